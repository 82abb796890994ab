//! Why the API server could not be asked.

use std::time::Duration;

/// Why the API server did not tell what was asked. Messages name the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment or the service account's files are missing or broken.
    #[error("no access to the API server from this pod")]
    InCluster(#[source] Box<kube::config::InClusterError>),
    /// The client could not be made: an unusable certificate or address.
    #[error("cannot make a client of the API server")]
    Client(#[source] Box<kube::Error>),
    /// The name cannot be one of an object.
    #[error("{node:?} cannot be the name of a node: HOST_NAME must be spec.nodeName")]
    Name {
        /// The name.
        node: String,
        /// What is wrong with it.
        #[source]
        source: Box<kube::core::request::Error>,
    },
    /// There was no answer.
    #[error("cannot reach the API server")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There was no answer in time.
    #[error("the API server did not answer within {0:?}")]
    Timeout(Duration),
    /// The service account's role does not allow it.
    #[error("may not read node {node:?}: allow the service account `get` on `nodes` ({message})")]
    Forbidden {
        /// The node asked for.
        node: String,
        /// The API server's words.
        message: String,
    },
    /// There is no such node.
    #[error("there is no node {node:?}: HOST_NAME must be spec.nodeName")]
    NotFound {
        /// The node asked for.
        node: String,
    },
    /// The API server answered with another error.
    #[error("the API server answered {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The API server's words.
        message: String,
    },
    /// The answer is longer than any Node object can be.
    #[error("the answer of the API server is longer than {limit} bytes")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The answer is no Node object.
    #[error("cannot understand the answer of the API server")]
    Malformed(#[source] serde_json::Error),
}
