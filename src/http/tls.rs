//! TLS for the listeners, by rustls with ring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::config;

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there or holds no PEM.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: pem::Error,
    },
    /// Certificate and key are no pair that TLS can use.
    #[error("cannot use {} with {}: {reason}", certificate.display(), key.display())]
    Use {
        /// The file with the chain.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why.
        reason: rustls::Error,
    },
}

/// A certificate and its key, read and found to belong together.
#[derive(Clone, Debug)]
pub struct Pair(Arc<ServerConfig>);

impl Pair {
    /// Reads both files; HTTP/2, 1.1 and 1.0 are offered.
    ///
    /// # Errors
    /// What is wrong with each file, else with the two together; each names its files.
    pub fn read(options: &config::Tls) -> Result<Self, Vec<Error>> {
        let failed = |path: &Path, reason| Error::Read { path: path.to_path_buf(), reason };
        let chain = CertificateDer::pem_file_iter(&options.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .and_then(
                |chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) },
            )
            .map_err(|reason| failed(&options.certificate, reason));
        let key = PrivateKeyDer::from_pem_file(&options.key)
            .map_err(|reason| failed(&options.key, reason));
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let mut server = server.map_err(|reason| {
            let (certificate, key) = (options.certificate.clone(), options.key.clone());
            vec![Error::Use { certificate, key, reason }]
        })?;
        server.alpn_protocols =
            ["h2", "http/1.1", "http/1.0"].map(|name| name.as_bytes().to_vec()).into();
        Ok(Self(Arc::new(server)))
    }
}

/// Encrypts connections with a pair that can be exchanged. Cheap to clone; all clones have the same.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<ArcSwap<ServerConfig>>);

impl Acceptor {
    /// Begins with `pair`.
    #[must_use]
    pub fn new(pair: Pair) -> Self {
        Self(Arc::new(ArcSwap::new(pair.0)))
    }

    /// Takes `pair` from the next connection on; those that are there stay.
    pub fn exchange(&self, pair: Pair) {
        self.0.store(pair.0);
    }

    /// Shakes hands with a client.
    pub fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        TlsAcceptor::from(self.0.load_full()).accept(stream)
    }
}
