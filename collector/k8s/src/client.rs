//! The API server's client.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use component::Host;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use net::Boxed;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::connection::{Body, Connections, Transport};
use crate::{ApiServerConfig, Error, NodeIdentity};

/// A question and its retries take no longer than this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The API server stores no object above 1.5 MiB (etcd's `--max-request-bytes`).
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// A refusal's words beyond this are not read.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// What may stand in the name of an object as it is.
const IN_NAMES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A connection to the API server, made when first used and shared by clones.
///
/// A client costs memory for TLS roots and connections: make one only in a cluster, and drop it when it is done.
#[derive(Clone)]
pub struct ApiServer {
    transport: Arc<dyn Transport>,
}

/// An answer that is read as it arrives: [`ApiServer::open_stream`].
pub struct ApiStream {
    body: Body,
}

/// The part of a `Status` that says why.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
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
        Self::new(ApiServerConfig::in_cluster()?)
    }

    /// The API server that `config` describes. The tasks of its connections are its own and end with it.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn new(config: ApiServerConfig) -> Result<Self, Error> {
        Self::on_host(config, &Host::standalone())
    }

    /// The same with the tasks among those of `host`.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn on_host(config: ApiServerConfig, host: &Host) -> Result<Self, Error> {
        Ok(Self { transport: Arc::new(Connections::new(config, host)?) })
    }

    /// The API server behind whatever sends the requests.
    #[cfg(test)]
    pub(crate) fn behind(transport: impl Transport + 'static) -> Self {
        Self { transport: Arc::new(transport) }
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
        // What the path would be made another one by.
        if matches!(name, "" | "." | "..") || name.contains(['/', '%']) {
            return Err(Error::Name { node: name.to_owned() });
        }
        let path = format!("/api/v1/nodes/{}", utf8_percent_encode(name, IN_NAMES));
        let request = Request::get(path).header(ACCEPT, "application/json").body(Bytes::new());
        let response = self.transport.send(request.map_err(unusable)?).await?;
        let status = response.status();
        let body = read(response.into_body(), LONGEST_ANSWER).await?;
        if status.is_success() { NodeIdentity::from_json(&body) } else { Err(refusal(name, status, &body)) }
    }

    /// Asks for `path`, query included, and reads an answer in JSON of at most 4 MiB, within 10 seconds. Roles name what is
    /// asked `get` on the path.
    ///
    /// # Errors
    /// All of [`Error`] but those of making the client.
    pub async fn get(&self, path: &str) -> Result<Bytes, Error> {
        let answer = async {
            let access = Access { verb: "get", resource: path };
            read(self.open(path, "application/json", access, TIMEOUT).await?.body, LONGEST_ANSWER).await
        };
        tokio::time::timeout(TIMEOUT, answer).await.unwrap_or(Err(Error::Timeout(TIMEOUT)))
    }

    /// Asks for `path`, query included, and leaves the answer to be read chunk by chunk; `accept` names the media types
    /// that are understood. Waits 10 seconds for the head of the answer. Roles name what is asked `get` on the path.
    ///
    /// # Errors
    /// All of [`Error`] but those of making the client.
    pub async fn open_stream(&self, path: &str, accept: &str) -> Result<ApiStream, Error> {
        self.open(path, accept, Access { verb: "get", resource: path }, TIMEOUT).await
    }

    /// Asks for `path`, query included. The body of a good answer is left unread; a bad one becomes an error. Waits for
    /// the answer's head as long as `timeout` says.
    pub(crate) async fn open(
        &self,
        path: &str,
        accept: &str,
        access: Access<'_>,
        timeout: Duration,
    ) -> Result<ApiStream, Error> {
        let request = Request::get(path).header(ACCEPT, accept).body(Bytes::new()).map_err(unusable)?;
        let answer = tokio::time::timeout(timeout, self.ask(request, access)).await;
        Ok(ApiStream { body: answer.unwrap_or(Err(Error::Timeout(timeout)))?.into_body() })
    }

    /// A good answer.
    fn ask<'a>(
        &'a self,
        request: Request<Bytes>,
        access: Access<'a>,
    ) -> Boxed<'a, Result<Response<Body>, Error>> {
        Box::pin(async move {
            let response = self.transport.send(request).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let retry_after = retry_after(response.headers());
            let body = read(response.into_body(), LONGEST_REFUSAL).await.unwrap_or_default();
            Err(bad(status, retry_after, words(&body), access))
        })
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
        let response = self.ask(request, access).await?;
        serde_json::from_slice(&read(response.into_body(), LONGEST_ANSWER).await?).map_err(Error::Malformed)
    }
}

impl ApiStream {
    /// What arrives next, as long as the server's writes are; nothing at the end of the answer. It waits as long as the
    /// server does, and bounds nothing. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if the connection ends before the answer.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(Error::Unreachable)?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
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
    match serde_json::from_slice::<Refusal>(body) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(body.get(..SHOWN).unwrap_or(body)).trim().to_owned(),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(component::MAX_RETRY_AFTER))
}

/// Reads an answer of at most `limit` bytes. One that comes in one piece is not copied.
async fn read(body: Body, limit: usize) -> Result<Bytes, Error> {
    let mut stream = ApiStream { body };
    let first = stream.chunk().await?.unwrap_or_default();
    let mut rest = BytesMut::new();
    while let Some(chunk) = stream.chunk().await? {
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&chunk);
        if rest.len() > limit {
            return Err(Error::TooLong { limit });
        }
    }
    if first.len() > limit {
        return Err(Error::TooLong { limit });
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn unusable(error: http::Error) -> Error {
    Error::Setting { what: "path", reason: error.to_string() }
}

fn refusal(node: &str, status: http::StatusCode, body: &[u8]) -> Error {
    let message = serde_json::from_slice::<Refusal>(body).map(|status| status.message).unwrap_or_default();
    match status {
        http::StatusCode::FORBIDDEN => Error::Forbidden { node: node.to_owned(), message },
        http::StatusCode::NOT_FOUND => Error::NotFound { node: node.to_owned() },
        _ => Error::Status { status: status.as_u16(), message },
    }
}
