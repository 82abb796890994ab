//! The client's side of unary calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use component::{Code, Host};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;

use super::codec::RawCodec;
use super::connections::{Connections, Sender, State};
use super::{ACCEPTED, GRPC_ACCEPT_ENCODING, GRPC_ENCODING, broken, snappy};
use crate::Boxed;
use crate::body::BodyError;
use crate::config::{GrpcClientConfig, GrpcTarget, Place, check_extensions, header_map};
use crate::dial::ClientTasks;
use crate::error::Error;
use crate::tls::ClientTls;
use crate::{Compression, Encoding, Status};

/// The largest response: grpc-go's default.
const MAX_RESPONSE_SIZE: usize = 4 << 20;
/// How often a call that never left is tried on another connection.
const UNSENT_RETRIES: usize = 3;

/// Calls a server. Connections are made in the background, from the start on, and again when they break.
pub struct GrpcClient {
    connections: Connections,
    next: AtomicUsize,
    wait_for_ready: bool,
    packing: Option<Packing>,
    headers: HeaderMap,
    timeout: Option<Duration>,
    origin: Uri,
    tasks: ClientTasks,
}

/// Who compresses messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Tonic(CompressionEncoding),
    Snappy,
}

impl GrpcClient {
    /// A client for the configured endpoint. Does not wait for a connection. `name` is that of its tasks;
    /// `user_agent` is what it calls itself unless configured otherwise; `timeout` is told to the server.
    ///
    /// # Errors
    /// TLS cannot be set up, the compression is not one of gRPC, or an extension is missing.
    pub fn start<'a>(
        config: &'a GrpcClientConfig,
        host: &'a Host,
        name: &'a str,
        user_agent: &'a str,
        timeout: Option<Duration>,
    ) -> Boxed<'a, Result<Self, Error>> {
        Box::pin(Self::start_now(config, host, name, user_agent, timeout))
    }

    async fn start_now(
        config: &GrpcClientConfig,
        host: &Host,
        name: &str,
        user_agent: &str,
        timeout: Option<Duration>,
    ) -> Result<Self, Error> {
        check_extensions(config.auth.as_ref(), &config.middlewares)?;
        let packing = Packing::of(config.compression)?;
        let url_error = |reason| Error::Url { what: "endpoint", url: config.endpoint.clone(), reason };
        let target = GrpcTarget::parse(&config.endpoint).map_err(url_error)?;
        let tls = if config.tls.is_plaintext() && !target.force_tls {
            None
        } else {
            Some(ClientTls::load(&config.tls, &["h2"]).await?)
        };
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let origin = origin(scheme, config, &target).map_err(url_error)?;
        let tasks = ClientTasks::new(host, name);
        Ok(Self {
            connections: Connections::start(config, target.place, tls, tasks.clone()),
            next: AtomicUsize::new(0),
            wait_for_ready: config.wait_for_ready,
            packing,
            headers: headers(config, user_agent),
            timeout,
            origin,
            tasks,
        })
    }

    /// Calls `/service/method` with a message and returns the response's message.
    ///
    /// # Errors
    /// The server's status, or one that says why there is none.
    pub fn unary(&self, path: &'static str, message: Bytes) -> Boxed<'_, Result<Bytes, Status>> {
        Box::pin(self.unary_now(path, message))
    }

    async fn unary_now(&self, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
        let exchange =
            tower::service_fn(|request| async { self.exchange(request).await.map_err(tonic::Status::from) });
        let mut grpc = tonic::client::Grpc::with_origin(exchange, self.origin.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(MAX_RESPONSE_SIZE);
        if let Some(Packing::Tonic(encoding)) = self.packing {
            grpc = grpc.send_compressed(encoding);
        }
        let mut request = tonic::Request::new(message);
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        match grpc.unary(request, PathAndQuery::from_static(path), RawCodec).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(Status::from(&status)),
        }
    }

    /// Closes all connections and ends all tasks; calls in progress fail.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }

    /// Sends what tonic made of a call, and gives it what came back.
    async fn exchange(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (mut parts, mut body) = request.into_parts();
        for name in self.headers.keys() {
            // The protocol's own are not for configurations to change.
            if !parts.headers.contains_key(name) {
                let values = self.headers.get_all(name).into_iter();
                parts.headers.extend(values.map(|value| (name.clone(), value.clone())));
            }
        }
        parts.headers.insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
        if self.packing == Some(Packing::Snappy) {
            parts.headers.insert(GRPC_ENCODING, snappy::NAME);
            body = Body::new(snappy::pack(body).await?);
        }
        let response = self.send(Request::from_parts(parts, body)).await?;
        if response.status() != StatusCode::OK && !response.headers().contains_key(tonic::Status::GRPC_STATUS)
        {
            // tonic would take a proxy's page for messages.
            return Err(http_failure(response.status()));
        }
        let (mut parts, body) = response.into_parts();
        let body = if snappy::is_used(&parts.headers) {
            parts.headers.remove(GRPC_ENCODING);
            Body::new(snappy::unpack(body.map_err(BodyError::from), MAX_RESPONSE_SIZE).await?)
        } else {
            Body::new(body.map_err(|error| tonic::Status::from(broken(&error))))
        };
        Ok(Response::from_parts(parts, body))
    }

    /// Sends on the next connection that takes the request.
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Status> {
        for _ in 0..UNSENT_RETRIES {
            let mut sender = self.sender().await?;
            if let Err(error) = sender.ready().await {
                tracing::debug!(%error, "Connection is closed, taking another");
                self.connections.check();
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        request = unsent;
                        self.connections.check();
                    }
                    None => return Err(broken(error.error())),
                },
            }
        }
        Err(Status::new(Code::Unavailable, "the server closes connections before they can be used"))
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
}

impl Packing {
    fn of(compression: Compression) -> Result<Option<Self>, Error> {
        match compression.0 {
            None => Ok(None),
            Some(Encoding::Gzip) => Ok(Some(Self::Tonic(CompressionEncoding::Gzip))),
            Some(Encoding::Zstd) => Ok(Some(Self::Tonic(CompressionEncoding::Zstd))),
            Some(Encoding::Snappy) => Ok(Some(Self::Snappy)),
            Some(other) => Err(Error::UnsupportedCompression(other.as_str())),
        }
    }
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

fn origin(scheme: Scheme, config: &GrpcClientConfig, target: &GrpcTarget) -> Result<Uri, String> {
    let text = match (&target.place, config.authority.as_str(), config.tls.server_name_override.as_str()) {
        (_, authority, _) if !authority.is_empty() => authority.to_owned(),
        (_, _, name) if !name.is_empty() => name.to_owned(),
        (Place::Unix(_), ..) => "localhost".to_owned(),
        (place @ Place::Host(..), ..) => place.to_string(),
    };
    let authority = Authority::try_from(text.as_str()).map_err(|error| error.to_string())?;
    let origin = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
    origin.map_err(|error| error.to_string())
}

/// The headers of every call that are not the protocol's own.
fn headers(config: &GrpcClientConfig, user_agent: &str) -> HeaderMap {
    let mut out = HeaderMap::new();
    let user_agent = if config.user_agent.is_empty() { user_agent } else { &config.user_agent };
    if let Ok(value) = HeaderValue::try_from(user_agent) {
        out.insert(header::USER_AGENT, value);
    }
    for (name, value) in &header_map(&config.headers) {
        if !out.contains_key(name) {
            out.append(name, value.clone());
        }
    }
    out
}
