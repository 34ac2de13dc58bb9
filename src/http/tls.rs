//! TLS for the listeners, by rustls with ring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config;

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there or holds no PEM.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key are no pair that TLS can use.
    #[error("cannot use {} with {}", certificate.display(), key.display())]
    Use {
        /// The file with the chain.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Reads certificate and key; HTTP/2 and HTTP/1.1 are offered.
///
/// # Errors
/// [`Error`] names the file.
pub fn acceptor(options: &config::Tls) -> Result<TlsAcceptor, Error> {
    let failed = |path: &Path, source| Error::Read { path: path.to_path_buf(), source };
    let chain = CertificateDer::pem_file_iter(&options.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| failed(&options.certificate, source))?;
    let key = PrivateKeyDer::from_pem_file(&options.key)
        .map_err(|source| failed(&options.key, source))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut server = server.map_err(|source| Error::Use {
        certificate: options.certificate.clone(),
        key: options.key.clone(),
        source,
    })?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}
