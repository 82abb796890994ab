//! Requests to CloudWatch Logs: signed, one attempt each.

mod answer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use component::Host;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use net::{HttpClient, PiecesBody};
use serde::Serialize;

use crate::credentials::CredentialsCache;
use crate::sign::{sha256, sign};
use crate::{Session, SessionError};

/// The name of the service in signatures.
const SERVICE: &str = "logs";
/// A clock that differs from the service's by less is good enough for signatures, which hold five minutes.
const TOLERANCE: i64 = 60;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    /// There is no such group or stream.
    #[error("{0}")]
    NotFound(String),
    /// The group or stream is there already.
    #[error("{0}")]
    AlreadyExists(String),
    /// The same request was accepted before.
    #[error("{0}")]
    AlreadyAccepted(String),
    /// The account sends too fast.
    #[error("{reason}")]
    Throttled {
        /// What the service said.
        reason: String,
        /// The least wait that it asked for.
        after: Option<Duration>,
    },
    /// The service or the network is in a state that passes.
    #[error("{0}")]
    Unavailable(String),
    /// There are no credentials, or they are not good any more; the next request fetches new ones.
    #[error("{0}")]
    Unauthorized(String),
    /// The credentials do not allow this.
    #[error("{0}")]
    Denied(String),
    /// The same request would fail again.
    #[error("{reason}")]
    Permanent {
        /// The service's code; empty if the request was not sent or the answer has none.
        code: String,
        /// What is wrong.
        reason: String,
    },
}

/// The body of a `PutLogEvents` request, in pieces that are sent without being joined.
#[derive(Clone)]
pub(crate) struct PutBody {
    pub(crate) pieces: Vec<Bytes>,
}

/// Which events of an accepted request the service did not keep, by place in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RejectedInfo {
    /// Events before it are older than 14 days.
    pub(crate) too_old_end: Option<u64>,
    /// Events from it on are more than two hours ahead.
    pub(crate) too_new_start: Option<u64>,
    /// Events before it are older than the retention of the group.
    pub(crate) expired_end: Option<u64>,
}

/// Sends requests. Clones share connections, credentials and what is known of the service's clock.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    http: HttpClient,
    url: Uri,
    region: String,
    credentials: Arc<CredentialsCache>,
    user_agent: HeaderValue,
    /// How many seconds the service's clock is ahead of this machine's.
    ahead: AtomicI64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateLogGroup<'a> {
    log_group_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateLogStream<'a> {
    log_group_name: &'a str,
    log_stream_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PutRetentionPolicy<'a> {
    log_group_name: &'a str,
    retention_in_days: i32,
}

impl LogsError {
    /// Whether a later attempt may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable(_) | Self::Unauthorized(_))
    }

    /// Nothing was sent, and nothing ever will be.
    fn unsent(reason: impl fmt::Display) -> Self {
        Self::Permanent { code: String::new(), reason: reason.to_string() }
    }
}

impl fmt::Debug for PutBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.pieces.iter().map(Bytes::len).sum();
        write!(f, "PutBody({bytes} bytes in {} pieces)", self.pieces.len())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.0.url)
            .field("region", &self.0.region)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Sets up connections, without making one. `name` is that of the tasks.
    ///
    /// # Errors
    /// TLS or the proxy cannot be set up.
    pub(crate) async fn start(
        session: &Session,
        host: &Host,
        name: &str,
        user_agent: &str,
    ) -> Result<Self, SessionError> {
        if session.http.tls.insecure_skip_verify {
            tracing::warn!(
                component = name,
                "no_verify_ssl is set: the certificate of CloudWatch Logs is not verified, anyone in between can read and \
                 change what is sent"
            );
        }
        let http = HttpClient::start(&session.http, host, name, user_agent).await?;
        Ok(Self(Arc::new(Inner {
            http,
            url: session.logs_url.clone()?,
            region: session.region.clone(),
            credentials: session.credentials.clone(),
            user_agent: HeaderValue::try_from(user_agent)
                .unwrap_or_else(|_| HeaderValue::from_static(SERVICE)),
            ahead: AtomicI64::new(0),
        })))
    }

    /// Sends the events of a body.
    ///
    /// # Errors
    /// The service did not take the events as a whole.
    pub(crate) async fn put_events(&self, body: &PutBody) -> Result<RejectedInfo, LogsError> {
        let answer = self.0.call("PutLogEvents", body.pieces.clone()).await?;
        answer::rejected(&answer)
    }

    /// Makes a log group.
    ///
    /// # Errors
    /// It exists already, or it cannot be made.
    pub(crate) async fn create_group(
        &self,
        group: &str,
        tags: Option<&BTreeMap<String, String>>,
    ) -> Result<(), LogsError> {
        self.0.call_with("CreateLogGroup", &CreateLogGroup { log_group_name: group, tags }).await
    }

    /// Makes a log stream.
    ///
    /// # Errors
    /// It exists already, its group does not, or it cannot be made.
    pub(crate) async fn create_stream(&self, group: &str, stream: &str) -> Result<(), LogsError> {
        let body = CreateLogStream { log_group_name: group, log_stream_name: stream };
        self.0.call_with("CreateLogStream", &body).await
    }

    /// Sets for how many days a group keeps its events.
    ///
    /// # Errors
    /// There is no such group, or the service refuses.
    pub(crate) async fn put_retention(&self, group: &str, days: i32) -> Result<(), LogsError> {
        let body = PutRetentionPolicy { log_group_name: group, retention_in_days: days };
        self.0.call_with("PutRetentionPolicy", &body).await
    }

    /// Closes all connections; requests on their way fail.
    pub(crate) async fn shutdown(&self) {
        self.0.http.shutdown().await;
    }
}

impl Inner {
    async fn call_with(&self, operation: &str, body: &impl Serialize) -> Result<(), LogsError> {
        let body = serde_json::to_vec(body).map_err(LogsError::unsent)?;
        self.call(operation, vec![body.into()]).await.map(drop)
    }

    /// One attempt.
    async fn call(&self, operation: &str, pieces: Vec<Bytes>) -> Result<Bytes, LogsError> {
        let credentials = self.credentials.get().await.map_err(|error| {
            LogsError::Unauthorized(format!("no AWS credentials: {}", component::causes(&error)))
        })?;
        let request = self.request(operation, pieces, &credentials)?;
        let answer =
            self.http.send(request).await.map_err(|failure| LogsError::Unavailable(failure.to_string()))?;
        let judged = answer::judge(answer.status, &answer.headers, &answer.body, &credentials);
        if let Err(LogsError::Unauthorized(_)) = judged {
            self.credentials.forget(&credentials);
            self.compare_clocks(&answer.headers);
        }
        judged.map(|()| answer.body)
    }

    fn request(
        &self,
        operation: &str,
        pieces: Vec<Bytes>,
        credentials: &Credentials,
    ) -> Result<Request<PiecesBody>, LogsError> {
        let digest = sha256(&pieces);
        let mut request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", format!("Logs_20140328.{operation}"))
            .header("x-amzn-logs-format", "json/emf")
            .body(PiecesBody::from(pieces))
            .map_err(LogsError::unsent)?;
        sign(&mut request, digest, SERVICE, &self.region, credentials, self.now())
            .map_err(LogsError::unsent)?;
        request.headers_mut().insert(header::USER_AGENT, self.user_agent.clone());
        Ok(request)
    }

    /// The time by the service's clock.
    fn now(&self) -> SystemTime {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let distance = Duration::from_secs(ahead.unsigned_abs());
        let now = SystemTime::now();
        if ahead < 0 { now.checked_sub(distance) } else { now.checked_add(distance) }.unwrap_or(now)
    }

    /// A refusal may mean that this machine's clock is wrong: signatures carry the time. Answers carry it too.
    fn compare_clocks(&self, headers: &HeaderMap) {
        let Some(ahead) = answer::date(headers).map(|theirs| seconds_between(SystemTime::now(), theirs))
        else {
            return;
        };
        let ahead = if ahead.abs() < TOLERANCE { 0 } else { ahead };
        if self.ahead.swap(ahead, Ordering::Relaxed) != ahead && ahead != 0 {
            tracing::warn!(
                seconds = ahead,
                "this machine's clock differs from that of CloudWatch Logs; allowing for it"
            );
        }
    }
}

/// How much later `b` is than `a`.
fn seconds_between(a: SystemTime, b: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match b.duration_since(a) {
        Ok(later) => seconds(later),
        Err(earlier) => -seconds(earlier.duration()),
    }
}
