//! What keeps a server or client from starting.

use std::io;
use std::path::PathBuf;

use crate::listen::ListenError;

/// What keeps a server or client from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS cannot be set up.
    #[error("failed to load TLS config: {0}")]
    Tls(#[from] TlsError),
    /// The named authenticator is not among the extensions.
    #[error("failed to resolve authenticator {0:?}: authenticator not found")]
    UnknownAuthenticator(String),
    /// The named middleware is not among the extensions.
    #[error("failed to resolve middleware {0:?}: middleware not found")]
    UnknownMiddleware(String),
    /// The compression is known, but not to this protocol.
    #[error("unsupported compression type {0:?}")]
    UnsupportedCompression(&'static str),
    /// A URL cannot be used.
    #[error("invalid {what} {url:?}: {reason}")]
    Url {
        /// Which URL.
        what: &'static str,
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why certificates, keys or parameters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("failed to load {what} {}: {source}", .path.display())]
    Read {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// PEM text does not hold what it should.
    #[error("failed to parse {what}: {reason}")]
    Pem {
        /// What the text should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The TLS library refuses the parameters.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    /// The verifier of certificates cannot be built.
    #[error("failed to build the certificate verifier: {0}")]
    Verifier(String),
    /// Not a host name.
    #[error("{0:?} is not a valid server name")]
    ServerName(String),
    /// None of the configured cipher suites or curves can be used.
    #[error("none of the configured {0} is supported by the TLS library")]
    NothingLeft(&'static str),
}
