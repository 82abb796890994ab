//! The configuration blocks that servers and clients share, with upstream's keys, defaults and messages.

mod client;
mod server;
mod tls;

pub use client::{
    BalancerName, Compression, CompressionParams, CookiesConfig, GrpcClientConfig, GrpcTarget,
    HttpClientConfig, KeepaliveClientConfig, Place,
};
pub use server::{
    CorsConfig, DialerConfig, GrpcServerConfig, HttpServerConfig, HttpServerDefaults,
    KeepaliveEnforcementPolicy, KeepaliveServerConfig, KeepaliveServerParameters,
};
pub use tls::{TlsClientConfig, TlsConfig, TlsServerConfig, TlsVersion, TpmConfig};

use confmap::{Headers, Problems};
use serde::Deserialize;

use crate::Error;

/// Which extension decides who may send, or adds credentials.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// The extension's id.
    pub authenticator: String,
    /// Query parameters that the extension sees beside the headers; HTTP servers only.
    pub request_params: Vec<String>,
}

/// An extension that sees requests before the component does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MiddlewareConfig {
    /// The extension's id.
    pub id: String,
}

/// Refuses what would need an extension that this build cannot have, so that nothing runs unprotected.
///
/// # Errors
/// An authenticator or a middleware is configured.
pub fn check_extensions(auth: Option<&AuthConfig>, middlewares: &[MiddlewareConfig]) -> Result<(), Error> {
    if let Some(auth) = auth {
        return Err(Error::UnknownAuthenticator(auth.authenticator.clone()));
    }
    match middlewares.first() {
        Some(middleware) => Err(Error::UnknownMiddleware(middleware.id.clone())),
        None => Ok(()),
    }
}

/// Reports headers that cannot be sent. Values are secret and never shown.
pub(crate) fn validate_headers(headers: &Headers, problems: &mut Problems) {
    for (name, value) in headers.iter() {
        if http::HeaderName::try_from(name).is_err() {
            problems.report(format!("{name:?} is not a valid header name"));
        } else if http::HeaderValue::try_from(value.expose()).is_err() {
            problems.report(format!("the value of {name:?} is not a valid header value"));
        }
    }
}

/// The headers that passed [`validate_headers`].
pub(crate) fn header_map(headers: &Headers) -> http::HeaderMap {
    headers
        .iter()
        .filter_map(|(name, value)| {
            let name = http::HeaderName::try_from(name).ok()?;
            let mut value = http::HeaderValue::try_from(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        })
        .collect()
}
