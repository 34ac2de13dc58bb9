//! The certificate of the public listener is renewed under a running gateway.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;

use crate::commands::{Served, configuration};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/http").join(name)
}

/// Whether the gateway shows this certificate: the client believes no other.
async fn shows(public: &str, certificate: &str) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(golden(certificate)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = TcpStream::connect(public).await.unwrap();
    connector.connect("localhost".try_into().unwrap(), stream).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    // Beside nothing else that is watched.
    let secrets = folder.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    let put = |from: &str, to: &str| {
        // At once, as what renews certificates does.
        std::fs::copy(golden(from), secrets.join("new")).unwrap();
        std::fs::rename(secrets.join("new"), secrets.join(to)).unwrap();
    };
    put("certificate.pem", "chain.pem");
    put("key.pem", "key.pem");
    let tls = format!(
        "[http.tls]\ncertificate = \"{0}/chain.pem\"\nkey = \"{0}/key.pem\"\n",
        secrets.display()
    );
    std::fs::write(&file, configuration(folder.path()) + &tls).unwrap();
    let mut served = Served::start(&file);
    let public = served.wait_for("accepting events")["public"].as_str().unwrap().to_owned();
    assert!(shows(&public, "certificate.pem").await);
    assert!(!shows(&public, "certificate-renewed.pem").await);

    // Half of a pair is a fault, and the old one stays.
    put("certificate-renewed.pem", "chain.pem");
    let refused = served.wait_for("new configuration refused, old one stays");
    let faults = refused["faults"].as_str().unwrap();
    assert!(faults.contains("http.tls: cannot use") && faults.contains("chain.pem"), "{faults}");
    assert!(shows(&public, "certificate.pem").await);
    put("key-renewed.pem", "key.pem");
    served.wait_for("configuration taken over");
    assert!(shows(&public, "certificate-renewed.pem").await);
    assert!(!shows(&public, "certificate.pem").await);

    // Other files, by the configuration.
    let text = configuration(folder.path())
        + &tls.replace("chain.pem", "first.pem").replace("/key.pem", "/first.key")
        + "[[source]]\nname = \"other\"\nenvironment = \"prod\"\nwrite_key = \"wk-2\"\n";
    put("certificate.pem", "first.pem");
    put("key.pem", "first.key");
    std::fs::write(&file, text).unwrap();
    served.signal("-HUP");
    assert_eq!(served.taken_over(2), "");
    assert!(shows(&public, "certificate.pem").await);
    served.signal("-TERM");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}
