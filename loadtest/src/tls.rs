//! https:// for servers that are measured from outside: rustls with ring, the certificates that the system
//! trusts, those of a file, or any.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Trust {
    /// Believes certificates of an https:// server that those in this PEM file vouch for, beside the
    /// system's.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Believes any certificate of an https:// server.
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

impl Trust {
    /// Believes any certificate.
    pub(crate) const fn anyone() -> Self {
        Self { ca: None, insecure: true }
    }
}

/// How connections to one server are secured.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// For the server `host`, a name or an address.
    ///
    /// # Errors
    /// When there is no such name, or no certificate to believe.
    pub(crate) fn new(host: &str, trust: &Trust) -> anyhow::Result<Self> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .with_context(|| format!("{host} is no name of a server"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("set up TLS")?;
        let mut config = if trust.insecure {
            let any = Arc::new(Anyone { provider });
            builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth()
        } else {
            builder.with_root_certificates(roots(trust.ca.as_deref())?).with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Shakes hands over `stream`.
    ///
    /// # Errors
    /// When the server does not speak TLS, or shows a certificate that is not believed.
    pub(crate) async fn secure(&self, stream: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await.context("shake hands by TLS")
    }
}

/// The system's certificates, as far as they can be read, and those of the file.
fn roots(ca: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let name = path.display();
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("read the certificates of {name}"))?;
        ensure!(!certificates.is_empty(), "{name} holds no certificate");
        for certificate in certificates {
            roots.add(certificate).with_context(|| format!("{name} holds a wrong certificate"))?;
        }
    }
    ensure!(!roots.is_empty(), "this system trusts no certificates: --ca FILE names some");
    Ok(roots)
}

/// Believes every certificate; that the server holds its key is still checked.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
