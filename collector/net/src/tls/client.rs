//! The client's side: handshakes that check the server, or are told not to.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{material, server};
use crate::config::TlsClientConfig;
use crate::error::TlsError;

/// TLS of a client.
pub struct ClientTls {
    config: TlsClientConfig,
    protocols: Vec<Vec<u8>>,
    state: Mutex<(TlsConnector, Instant)>,
}

impl ClientTls {
    /// Reads certificates and keys. `protocols` are offered by ALPN, the best first.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub async fn load(config: &TlsClientConfig, protocols: &[&str]) -> Result<Self, TlsError> {
        server::warn_of_old_version(&config.common);
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connector = connector(config, &protocols).await?;
        Ok(Self { config: config.clone(), protocols, state: Mutex::new((connector, Instant::now())) })
    }

    /// Shakes hands with the server called `host`.
    ///
    /// # Errors
    /// The name cannot be one of a certificate, or the handshake fails.
    pub(crate) async fn connect<S>(&self, host: &str, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match self.config.server_name_override.as_str() {
            "" => host,
            name => name,
        };
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| std::io::Error::other(TlsError::ServerName(name.to_owned())))?;
        self.connector().await.connect(name, stream).await
    }

    async fn connector(&self) -> TlsConnector {
        let mut state = self.state.lock().await;
        let interval = *self.config.common.reload_interval;
        if !interval.is_zero() && state.1.elapsed() >= interval {
            match connector(&self.config, &self.protocols).await {
                Ok(connector) => *state = (connector, Instant::now()),
                Err(error) => {
                    tracing::error!(%error, "Failed to reload TLS certificates, keeping the old ones");
                }
            }
        }
        state.0.clone()
    }
}

async fn connector(config: &TlsClientConfig, protocols: &[Vec<u8>]) -> Result<TlsConnector, TlsError> {
    let provider = material::provider(&config.common)?;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(material::versions(&config.common))?;
    let builder = if config.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
    } else {
        builder.with_root_certificates(material::roots(&config.common).await?)
    };
    let mut client = match material::certified_key(&config.common).await? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    client.alpn_protocols = protocols.to_vec();
    Ok(TlsConnector::from(Arc::new(client)))
}

/// `insecure_skip_verify`: takes any certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
