//! TLS: good and bad clients, client certificates, replaced certificates.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use testkit::RecordingSink;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::peer::Running;

/// An authority and a certificate of it for localhost, in files.
struct Authority {
    ca: String,
    cert: String,
    key: String,
}

fn authority() -> Authority {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let cert =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    Authority { ca: ca.pem(), cert: cert.pem(), key: key.serialize_pem() }
}

impl Authority {
    fn write(&self, dir: &Path) {
        for (name, text) in [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)] {
            std::fs::write(dir.join(format!("{name}.pem")), text).unwrap();
        }
    }

    /// A client that trusts this authority, and shows the certificate of another if it has one.
    fn client(&self, own: Option<&Authority>, alpn: &str) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

fn yaml(dir: &Path, more: &str) -> String {
    let dir = dir.display();
    format!(
        "protocols: {{http: {{endpoint: '127.0.0.1:0', tls: {{cert_file: '{dir}/cert.pem', key_file: '{dir}/key.pem'{more}}}}}}}"
    )
}

/// Sends an empty request; the status line of the answer, or the error.
async fn exchange(running: &Running, connector: TlsConnector) -> std::io::Result<String> {
    let stream = TcpStream::connect(running.http()).await?;
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    let request = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap().lines().next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn good_and_bad_clients() {
    let dir = tempfile::tempdir().unwrap();
    let good = authority();
    good.write(dir.path());
    let running = Running::with(&yaml(dir.path(), ""), RecordingSink::new()).await;
    assert_eq!(exchange(&running, good.client(None, "http/1.1")).await.unwrap(), "HTTP/1.1 200 OK");

    let error = exchange(&running, authority().client(None, "http/1.1")).await.unwrap_err();
    assert!(error.to_string().starts_with("invalid peer certificate: "), "{error}");

    // Plaintext where TLS is spoken.
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    stream.write_all(b"POST /v1/logs HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));

    assert_eq!(exchange(&running, good.client(None, "http/1.1")).await.unwrap(), "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn http2_is_offered() {
    let dir = tempfile::tempdir().unwrap();
    let good = authority();
    good.write(dir.path());
    let running = Running::with(&yaml(dir.path(), ""), RecordingSink::new()).await;
    let stream = TcpStream::connect(running.http()).await.unwrap();
    let stream =
        good.client(None, "h2").connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn client_certificates_are_demanded() {
    let dir = tempfile::tempdir().unwrap();
    let good = authority();
    good.write(dir.path());
    let more = format!(", client_ca_file: '{}/ca.pem'", dir.path().display());
    let running = Running::with(&yaml(dir.path(), &more), RecordingSink::new()).await;
    assert_eq!(exchange(&running, good.client(Some(&good), "http/1.1")).await.unwrap(), "HTTP/1.1 200 OK");
    assert!(exchange(&running, good.client(None, "http/1.1")).await.is_err());
    assert!(exchange(&running, good.client(Some(&authority()), "http/1.1")).await.is_err());
}

#[tokio::test]
async fn replaced_certificates_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (authority(), authority());
    old.write(dir.path());
    let running = Running::with(&yaml(dir.path(), ", reload_interval: 1ns"), RecordingSink::new()).await;
    assert!(exchange(&running, old.client(None, "http/1.1")).await.is_ok());
    // Broken files do not end the service.
    std::fs::write(dir.path().join("cert.pem"), "broken").unwrap();
    assert!(exchange(&running, old.client(None, "http/1.1")).await.is_ok());
    new.write(dir.path());
    assert!(exchange(&running, new.client(None, "http/1.1")).await.is_ok());
    assert!(exchange(&running, old.client(None, "http/1.1")).await.is_err());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    use component::Component as _;
    let dir = tempfile::tempdir().unwrap();
    let check = async |expected: &str| {
        let config = Arc::new(confmap::from_yaml(&yaml(dir.path(), "")).unwrap());
        let settings = testkit::TestTelemetry::default().settings(component::Kind::Receiver, "otlp");
        let receiver = otlpreceiver::OtlpReceiver::new(settings, config, component::Outputs::default());
        let error = receiver.start(&component::Host::standalone()).await.unwrap_err().to_string();
        assert!(error.starts_with("failed to load TLS config: ") && error.contains(expected), "{error}");
    };
    check("cert.pem").await;
    authority().write(dir.path());
    std::fs::write(dir.path().join("cert.pem"), "broken").unwrap();
    check("no certificate found").await;
}
