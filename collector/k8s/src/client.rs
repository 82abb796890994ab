//! The API server's client.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::core::Status;
use kube::core::params::GetParams;

use crate::{ApiServerConfig, Error, NodeIdentity};

/// A question and its retries take no longer than this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The API server stores no object above 1.5 MiB (etcd's `--max-request-bytes`).
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// A refusal's words beyond this are not read.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// A connection to the API server, made when first used.
///
/// A client costs memory for TLS roots and connections: make one only in a cluster, and drop it when it is done.
#[derive(Clone)]
pub struct ApiServer {
    client: kube::Client,
}

/// A question as roles see it: what to allow if it is denied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access<'a> {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'a str,
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

    /// The API server behind a client that exists.
    #[cfg(test)]
    pub(crate) fn from_client(client: kube::Client) -> Self {
        Self { client }
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
        let request = kube::core::Request::new("/api/v1/nodes")
            .get(name, &GetParams::default())
            .map_err(|source| Error::Name { node: name.to_owned(), source: Box::new(source) })?;
        let response = self.send(request.map(Bytes::from)).await?;
        let status = response.status();
        let body = read(response, LONGEST_ANSWER).await?;
        if status.is_success() { NodeIdentity::from_json(&body) } else { Err(refusal(name, status, &body)) }
    }

    /// Asks for `path`, query included. The body of a good answer is left unread; a bad one becomes an error. Waits for
    /// the answer's head as long as `timeout` says.
    pub(crate) async fn open(
        &self,
        path: &str,
        accept: &str,
        access: Access<'_>,
        timeout: Duration,
    ) -> Result<Response<Body>, Error> {
        let request = Request::get(path).header(ACCEPT, accept).body(Bytes::new()).map_err(unusable)?;
        let answer = async { good(self.send(request).await?, access).await };
        tokio::time::timeout(timeout, answer).await.unwrap_or(Err(Error::Timeout(timeout)))
    }

    /// Reads, creates or replaces one object; the answer is the object.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        object: Option<&serde_json::Value>,
        access: Access<'_>,
    ) -> Result<serde_json::Value, Error> {
        let body = match object {
            Some(object) => Bytes::from(serde_json::to_vec(object).map_err(Error::Malformed)?),
            None => Bytes::new(),
        };
        let request = Request::builder().method(method).uri(path).header(ACCEPT, "application/json");
        let request = request.header(CONTENT_TYPE, "application/json").body(body).map_err(unusable)?;
        let response = good(self.send(request).await?, access).await?;
        serde_json::from_slice(&read(response, LONGEST_ANSWER).await?).map_err(Error::Malformed)
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        self.client.send(request.map(Body::from)).await.map_err(|error| Error::Unreachable(Box::new(error)))
    }
}

/// Lets good answers through.
async fn good(response: Response<Body>, access: Access<'_>) -> Result<Response<Body>, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = retry_after(response.headers());
    let body = read(response, LONGEST_REFUSAL).await.unwrap_or_default();
    Err(bad(status, retry_after, words(&body), access))
}

/// The error that a status means.
pub(crate) fn bad(
    status: StatusCode,
    retry_after: Option<Duration>,
    message: String,
    access: Access<'_>,
) -> Error {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Denied {
            verb: access.verb,
            resource: access.resource.to_owned(),
            status: status.as_u16(),
            message,
        },
        StatusCode::GONE => Error::Gone,
        StatusCode::CONFLICT => Error::Conflict,
        StatusCode::TOO_MANY_REQUESTS => Error::Busy { retry_after },
        _ => Error::Status { status: status.as_u16(), message },
    }
}

/// What a refusal says: the message of a `Status`, else the beginning of the text.
fn words(body: &[u8]) -> String {
    const SHOWN: usize = 200;
    match serde_json::from_slice::<Status>(body) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(body.get(..SHOWN).unwrap_or(body)).trim().to_owned(),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

async fn read(response: Response<Body>, limit: usize) -> Result<Bytes, Error> {
    let body = Limited::new(response.into_body(), limit).collect().await.map_err(|e| unreadable(e, limit))?;
    Ok(body.to_bytes())
}

fn unreadable(error: Box<dyn std::error::Error + Send + Sync>, limit: usize) -> Error {
    if error.is::<LengthLimitError>() { Error::TooLong { limit } } else { Error::Unreachable(error) }
}

fn unusable(error: http::Error) -> Error {
    Error::Setting { what: "path", reason: error.to_string() }
}

fn refusal(node: &str, status: http::StatusCode, body: &[u8]) -> Error {
    let message = serde_json::from_slice::<Status>(body).map(|status| status.message).unwrap_or_default();
    match status {
        http::StatusCode::FORBIDDEN => Error::Forbidden { node: node.to_owned(), message },
        http::StatusCode::NOT_FOUND => Error::NotFound { node: node.to_owned() },
        _ => Error::Status { status: status.as_u16(), message },
    }
}
