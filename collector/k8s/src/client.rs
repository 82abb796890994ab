//! The API server's client.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::core::params::GetParams;
use kube::core::{Request, Status};

use crate::{ApiServerConfig, Error, NodeIdentity};

/// A question and its retries take no longer than this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The API server stores no object above 1.5 MiB (etcd's `--max-request-bytes`).
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// A connection to the API server, made when first used.
///
/// A client costs memory for TLS roots and connections: make one only in a cluster, and drop it when it is done.
#[derive(Clone)]
pub struct ApiServer {
    client: kube::Client,
}

impl ApiServer {
    /// The API server of the cluster whose pod this is, with the pod's service account.
    ///
    /// # Errors
    /// [`Error::InCluster`] or [`Error::Client`].
    pub fn in_cluster() -> Result<Self, Error> {
        let config = ApiServerConfig::incluster().map_err(|error| Error::InCluster(Box::new(error)))?;
        Self::new(config)
    }

    /// The API server that `config` describes. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn new(config: ApiServerConfig) -> Result<Self, Error> {
        let client = kube::Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))?;
        Ok(Self { client })
    }

    /// Which machine the node `name` is: `get` on the core resource `nodes`.
    ///
    /// # Errors
    /// All of [`Error`] but those of making the client.
    pub async fn node(&self, name: &str) -> Result<NodeIdentity, Error> {
        match tokio::time::timeout(TIMEOUT, self.get_node(name)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout(TIMEOUT)),
        }
    }

    async fn get_node(&self, name: &str) -> Result<NodeIdentity, Error> {
        let request = Request::new("/api/v1/nodes")
            .get(name, &GetParams::default())
            .map_err(|source| Error::Name { node: name.to_owned(), source: Box::new(source) })?;
        let response = self
            .client
            .send(request.map(Body::from))
            .await
            .map_err(|error| Error::Unreachable(Box::new(error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await.map_err(unreadable)?;
        let body = body.to_bytes();
        if status.is_success() { NodeIdentity::from_json(&body) } else { Err(refusal(name, status, &body)) }
    }
}

fn unreadable(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    if error.is::<LengthLimitError>() {
        Error::TooLong { limit: LONGEST_ANSWER }
    } else {
        Error::Unreachable(error)
    }
}

fn refusal(node: &str, status: http::StatusCode, body: &[u8]) -> Error {
    let message = serde_json::from_slice::<Status>(body).map(|status| status.message).unwrap_or_default();
    match status {
        http::StatusCode::FORBIDDEN => Error::Forbidden { node: node.to_owned(), message },
        http::StatusCode::NOT_FOUND => Error::NotFound { node: node.to_owned() },
        _ => Error::Status { status: status.as_u16(), message },
    }
}
