//! The server's side: handshakes with certificates that may be replaced while the server runs.

use std::sync::Arc;
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::material;
use crate::config::{TlsConfig, TlsServerConfig, TlsVersion};
use crate::error::TlsError;

/// How often a reloadable `client_ca_file` is looked at, at most.
const CLIENT_CA_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// TLS of a server.
pub struct ServerTls {
    config: TlsServerConfig,
    protocols: Vec<Vec<u8>>,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    client_ca: Option<Vec<u8>>,
    loaded: Instant,
    client_ca_checked: Instant,
}

impl ServerTls {
    /// Reads certificates and keys. `protocols` are offered by ALPN, the best first.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub async fn load(config: &TlsServerConfig, protocols: &[&str]) -> Result<Self, TlsError> {
        warn_of_old_version(&config.common);
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let client_ca = read_client_ca(config).await?;
        let acceptor = acceptor(config, &protocols, client_ca.as_deref()).await?;
        let now = Instant::now();
        let state = State { acceptor, client_ca, loaded: now, client_ca_checked: now };
        Ok(Self { config: config.clone(), protocols, state: Mutex::new(state) })
    }

    /// What accepts the next connection. Reads the files again where that is due; if they are broken, those read
    /// before stay in use.
    pub(crate) async fn acceptor(&self) -> TlsAcceptor {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let interval = *self.config.common.reload_interval;
        let old = !interval.is_zero() && now.duration_since(state.loaded) >= interval;
        let check_ca = self.config.client_ca_file_reload
            && now.duration_since(state.client_ca_checked) >= CLIENT_CA_CHECK_INTERVAL;
        if old || check_ca {
            state.client_ca_checked = now;
            if let Err(error) = self.reload(&mut state, old, now).await {
                tracing::error!(%error, "Failed to reload TLS certificates, keeping the old ones");
            }
        }
        state.acceptor.clone()
    }

    async fn reload(&self, state: &mut State, old: bool, now: Instant) -> Result<(), TlsError> {
        let client_ca = match (&state.client_ca, self.config.client_ca_file_reload) {
            (Some(known), false) => Some(known.clone()),
            _ => read_client_ca(&self.config).await?,
        };
        if old || client_ca != state.client_ca {
            state.acceptor = acceptor(&self.config, &self.protocols, client_ca.as_deref()).await?;
            state.client_ca = client_ca;
            state.loaded = now;
        }
        Ok(())
    }
}

/// Says once what becomes of a version that the TLS library does not have.
pub(super) fn warn_of_old_version(config: &TlsConfig) {
    if TlsVersion::parse(&config.min_version).is_ok_and(|version| version < TlsVersion::Tls12) {
        tracing::warn!(min_version = config.min_version, "TLS below 1.2 is not supported, using 1.2");
    }
}

async fn read_client_ca(config: &TlsServerConfig) -> Result<Option<Vec<u8>>, TlsError> {
    if config.client_ca_file.as_os_str().is_empty() {
        return Ok(None);
    }
    material::read("client CA", &config.client_ca_file).await.map(Some)
}

async fn acceptor(
    config: &TlsServerConfig,
    protocols: &[Vec<u8>],
    client_ca: Option<&[u8]>,
) -> Result<TlsAcceptor, TlsError> {
    let Some((chain, key)) = material::certified_key(&config.common).await? else {
        return Err(TlsError::Pem { what: "TLS cert", reason: "no certificate is configured".into() });
    };
    let provider = material::provider(&config.common)?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(material::versions(&config.common))?;
    let builder = match client_ca {
        Some(text) => {
            let mut roots = RootCertStore::empty();
            for certificate in material::certificates("client CA", text)? {
                roots.add(certificate)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TlsError::Verifier(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
