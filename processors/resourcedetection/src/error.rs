//! Why a detector did not find what it looked for.

use std::time::Duration;

use component::BoxError;

/// Why a detector did not find what it looked for. Not to be on its platform is no error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the environment or the configuration says cannot be used.
    #[error("{0}")]
    Setting(String),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which one.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What was answered makes no sense.
    #[error("cannot understand {what}")]
    Malformed {
        /// What it was that was answered.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// A request failed.
    #[error("cannot get {what}")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// Whether asking again does not help.
        is_permanent: bool,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// None of the sources of the host's name has one.
    #[error("no source of the host's name has one: {0}")]
    Hostname(String),
    /// There was no answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl Error {
    /// Whether asking again does not help.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Setting(_) | Self::File { .. } => true,
            Self::Request { is_permanent, .. } => *is_permanent,
            // A half-written answer may be whole the next time, a name server may come up later.
            Self::Malformed { .. } | Self::Hostname(_) | Self::Timeout(_) => false,
        }
    }
}
