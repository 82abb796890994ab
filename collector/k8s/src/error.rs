//! Why the API server or the kubelet could not be asked.

use std::path::PathBuf;
use std::time::Duration;

/// Why the API server did not tell what was asked. Messages name the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment or the service account's files are missing or broken.
    #[error("no access to the API server from this pod: {0}")]
    InCluster(String),
    /// The kubeconfig is missing or broken, or asks for what is not supported.
    #[error("cannot use the kubeconfig {}: {reason}", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The client could not be made: an unusable certificate, file or address.
    #[error("cannot make a client of the server: {0}")]
    Client(String),
    /// The token cannot be read, or the credential plugin gives none.
    #[error("no credentials: {0}")]
    Credentials(String),
    /// The name cannot be one of an object.
    #[error("{node:?} cannot be the name of a node: HOST_NAME must be spec.nodeName")]
    Name {
        /// The name.
        node: String,
    },
    /// The server's certificate was not signed by whom is trusted, or is another's.
    #[error("the certificate of {server} is not accepted by {roots}: {reason}")]
    Untrusted {
        /// Host and port.
        server: String,
        /// The file with the certificate authorities, or what is used instead.
        roots: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// There was no answer.
    #[error("cannot reach the server")]
    Unreachable(#[source] component::BoxError),
    /// There was no answer in time.
    #[error("the server did not answer within {0:?}")]
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
    /// The service account's role does not allow it, or its token is not accepted.
    #[error(
        "may not {verb} {resource} ({status}): allow the service account `{verb}` on `{resource}` ({message})"
    )]
    Denied {
        /// `list`, `watch`, …
        verb: &'static str,
        /// The resource as roles name it: `pods`, `replicasets.apps`.
        resource: String,
        /// 401 or 403.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The version asked for is no longer known.
    #[error("the version asked for is too old")]
    Gone,
    /// Somebody else wrote the object first.
    #[error("somebody else wrote the object first")]
    Conflict,
    /// The server has too much to do.
    #[error("the server has too much to do")]
    Busy {
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server answered with another error.
    #[error("the server answered {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The API server's words.
        message: String,
    },
    /// The answer, or an object in it, is longer than any can be.
    #[error("an object in the server's answer is longer than {limit} bytes")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The answer is no object of the API server's.
    #[error("cannot understand the answer of the server")]
    Malformed(#[source] serde_json::Error),
    /// The answer is no JSON; a proxy or a load balancer may have made it.
    #[error("not JSON at byte {offset}: {shown:?}")]
    NotJson {
        /// Where in the answer.
        offset: usize,
        /// How it goes on there.
        shown: String,
    },
    /// The connection ended before the answer did.
    #[error("the answer ends after {offset} bytes")]
    CutOff {
        /// The length of what came.
        offset: usize,
    },
    /// The server sent nothing for too long.
    #[error("the server sent nothing for {0:?}")]
    Silent(Duration),
    /// The address, the token's file or another setting cannot be used.
    #[error("unusable {what}: {reason}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}
