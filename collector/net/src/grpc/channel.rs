//! The client's side of unary calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use component::{Code, Host};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;

use super::connections::{Connections, Sender, State};
use super::{CONTENT_TYPE, GRPC_ACCEPT_ENCODING, GRPC_ENCODING, GRPC_TIMEOUT, frame, read_status};
use crate::Status;
use crate::body::WholeBody;
use crate::compression::Encoding;
use crate::config::{GrpcClientConfig, GrpcTarget, Place, check_extensions, header_map};
use crate::dial::ClientTasks;
use crate::error::Error;
use crate::tls::ClientTls;

/// The largest response: grpc-go's default.
const MAX_RESPONSE_SIZE: usize = 4 << 20;
/// How often a call that never left is tried on another connection.
const UNSENT_RETRIES: usize = 3;

/// Calls a server. Connections are made in the background, from the start on, and again when they break.
pub struct GrpcClient {
    connections: Connections,
    next: AtomicUsize,
    wait_for_ready: bool,
    encoding: Option<(&'static str, Encoding)>,
    headers: HeaderMap,
    scheme: Scheme,
    authority: Authority,
    tasks: ClientTasks,
}

impl GrpcClient {
    /// A client for the configured endpoint. Does not wait for a connection. `name` is that of its tasks;
    /// `user_agent` is what it calls itself unless configured otherwise; `timeout` is told to the server.
    ///
    /// # Errors
    /// TLS cannot be set up, the compression is not one of gRPC, or an extension is missing.
    pub async fn start(
        config: &GrpcClientConfig,
        host: &Host,
        name: &str,
        user_agent: &str,
        timeout: Option<Duration>,
    ) -> Result<Self, Error> {
        check_extensions(config.auth.as_ref(), &config.middlewares)?;
        let encoding = frame::encoding_of(config.compression).map_err(Error::UnsupportedCompression)?;
        let url_error = |reason| Error::Url { what: "endpoint", url: config.endpoint.clone(), reason };
        let target = GrpcTarget::parse(&config.endpoint).map_err(url_error)?;
        let tls = if config.tls.is_plaintext() && !target.force_tls {
            None
        } else {
            Some(ClientTls::load(&config.tls, &["h2"]).await?)
        };
        let authority = authority(config, &target).map_err(url_error)?;
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let tasks = ClientTasks::new(host, name);
        Ok(Self {
            connections: Connections::start(config, target.place, tls, tasks.clone()),
            next: AtomicUsize::new(0),
            wait_for_ready: config.wait_for_ready,
            encoding,
            headers: headers(config, encoding, user_agent, timeout),
            scheme,
            authority,
            tasks,
        })
    }

    /// Calls `/service/method` with a message and returns the response's message.
    ///
    /// # Errors
    /// The server's status, or one that says why there is none.
    pub async fn unary(&self, path: &'static str, message: &[u8]) -> Result<Bytes, Status> {
        let body = frame::frame(message, self.encoding.map(|(_, encoding)| encoding))?;
        let mut request = self.request(path, body)?;
        for _ in 0..UNSENT_RETRIES {
            let mut sender = self.sender().await?;
            if let Err(error) = sender.ready().await {
                tracing::debug!(%error, "Connection is closed, taking another");
                self.connections.check();
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return self.answer(response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        request = unsent;
                        self.connections.check();
                    }
                    None => return Err(frame::broken(error.error())),
                },
            }
        }
        Err(Status::new(Code::Unavailable, "the server closes connections before they can be used"))
    }

    /// Closes all connections and ends all tasks; calls in progress fail.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }

    fn request(&self, path: &'static str, body: Bytes) -> Result<Request<WholeBody>, Status> {
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|error| Status::new(Code::Internal, format!("invalid method {path}: {error}")))?;
        let mut request = Request::new(WholeBody::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    /// The next connection in turn; waits while the first attempt runs, or for as long as it takes with
    /// `wait_for_ready`.
    async fn sender(&self) -> Result<Sender, Status> {
        let mut state = self.connections.state();
        loop {
            match &*state.borrow_and_update() {
                State::Ready(senders) => {
                    let turn = self.next.fetch_add(1, Ordering::Relaxed) % senders.len().max(1);
                    let (before, after) = senders.split_at_checked(turn).unwrap_or_default();
                    if let Some(open) = after.iter().chain(before).find(|sender| !sender.is_closed()) {
                        return Ok(open.clone());
                    }
                    self.connections.check();
                }
                State::Failed(reason) if !self.wait_for_ready => {
                    let message =
                        format!("connection error: desc = \"transport: Error while dialing: {reason}\"");
                    return Err(Status::new(Code::Unavailable, message));
                }
                State::Connecting | State::Failed(_) => {}
            }
            if state.changed().await.is_err() {
                return Err(Status::new(Code::Unavailable, "the client is shut down"));
            }
        }
    }

    async fn answer(&self, response: Response<Incoming>) -> Result<Bytes, Status> {
        let (parts, body) = response.into_parts();
        if let Some(status) = read_status(&parts.headers) {
            // Nothing but headers came.
            return status.and_then(|()| Err(no_message()));
        }
        if parts.status != StatusCode::OK {
            return Err(http_failure(parts.status));
        }
        let encoding = frame::message_encoding(&parts.headers)?;
        let received = frame::receive(body, encoding, MAX_RESPONSE_SIZE).await?;
        match received.trailers.as_ref().and_then(read_status) {
            Some(Ok(())) => received.message.ok_or_else(no_message),
            Some(Err(status)) => Err(status),
            None => Err(Status::new(Code::Internal, "server closed the stream without sending trailers")),
        }
    }
}

fn no_message() -> Status {
    Status::new(Code::Internal, "cardinality violation: received no response message")
}

/// What a server that does not speak gRPC means (grpc/grpc `doc/http-grpc-status-mapping.md`).
fn http_failure(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("unexpected HTTP status code received from server: {status}"))
}

fn authority(config: &GrpcClientConfig, target: &GrpcTarget) -> Result<Authority, String> {
    let text = match (&target.place, config.authority.as_str(), config.tls.server_name_override.as_str()) {
        (_, authority, _) if !authority.is_empty() => authority.to_owned(),
        (_, _, name) if !name.is_empty() => name.to_owned(),
        (Place::Unix(_), ..) => "localhost".to_owned(),
        (place @ Place::Host(..), ..) => place.to_string(),
    };
    Authority::try_from(text.as_str()).map_err(|error| error.to_string())
}

/// The headers of every call: the protocol's own, then the configured ones that are not yet there.
fn headers(
    config: &GrpcClientConfig,
    encoding: Option<(&'static str, Encoding)>,
    user_agent: &str,
    timeout: Option<Duration>,
) -> HeaderMap {
    let mut out = HeaderMap::new();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    out.insert(header::TE, HeaderValue::from_static("trailers"));
    out.insert(GRPC_ACCEPT_ENCODING, frame::ACCEPTED);
    if let Some((name, _)) = encoding {
        out.insert(GRPC_ENCODING, HeaderValue::from_static(name));
    }
    let user_agent = if config.user_agent.is_empty() { user_agent } else { &config.user_agent };
    if let Ok(value) = HeaderValue::try_from(user_agent) {
        out.insert(header::USER_AGENT, value);
    }
    if let Some(value) = timeout.and_then(|timeout| HeaderValue::try_from(frame::timeout_text(timeout)).ok())
    {
        out.insert(GRPC_TIMEOUT, value);
    }
    for (name, value) in &header_map(&config.headers) {
        if !out.contains_key(name) {
            out.append(name, value.clone());
        }
    }
    out
}
