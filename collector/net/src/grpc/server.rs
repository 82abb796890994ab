//! The server's side of unary calls.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use component::Code;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{CONTENT_TYPE, GRPC_ACCEPT_ENCODING, frame, ok_trailers, put_status};
use crate::Status;
use crate::body::WholeBody;
use crate::config::GrpcServerConfig;
use crate::http_server::nonzero;
use crate::serve::{Handler, ServeOptions};

/// When a silent client is pinged, and how long it has to answer: grpc-go's defaults.
const DEFAULT_PING_TIME: Duration = Duration::from_secs(2 * 60 * 60);
const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A call that has arrived as a whole.
#[derive(Debug)]
pub struct Call {
    /// The decompressed message.
    pub message: Bytes,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The request's `:authority`.
    pub authority: Option<Authority>,
    /// The client's address.
    pub peer: Option<SocketAddr>,
}

/// What a call is answered with: a message or a status.
pub type UnaryReply = Result<Bytes, Status>;

/// Answers the calls of one service.
pub trait Method: Send + Sync + 'static {
    /// What is called.
    type Route: Copy + Send + Sync;

    /// What the path `/service/method` calls; of its service the full name.
    ///
    /// # Errors
    /// The service or the method is not known.
    fn route(&self, service: &str, method: &str) -> Result<Self::Route, Unknown>;

    /// Answers a call.
    fn call(&self, route: Self::Route, call: Call) -> impl Future<Output = UnaryReply> + Send;
}

/// What of a path is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The service.
    Service,
    /// The method of a known service.
    Method,
}

/// A [`Handler`] of gRPC calls.
#[derive(Debug)]
pub struct GrpcService<M> {
    methods: M,
    max_message_size: usize,
}

impl<M: Method> GrpcService<M> {
    /// Answers calls by `methods`, of messages of at most `max_message_size` bytes decompressed.
    pub fn new(methods: M, max_message_size: usize) -> Self {
        Self { methods, max_message_size }
    }

    async fn answer(&self, request: Request<Incoming>, peer: Option<SocketAddr>) -> UnaryReply {
        let route = self.route(request.uri().path())?;
        let encoding = frame::message_encoding(request.headers())?;
        let timeout = frame::timeout(request.headers());
        let work = async {
            let (parts, body) = request.into_parts();
            let received = frame::receive(body, encoding, self.max_message_size).await?;
            let message = received.message.ok_or_else(|| {
                Status::new(Code::Internal, "cardinality violation: received no message in a unary call")
            })?;
            let authority = parts.uri.into_parts().authority;
            self.methods.call(route, Call { message, headers: parts.headers, authority, peer }).await
        };
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, work)
                .await
                .unwrap_or_else(|_| Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded"))),
            None => work.await,
        }
    }

    fn route(&self, path: &str) -> Result<M::Route, Status> {
        let unimplemented = |message| Status::new(Code::Unimplemented, message);
        let (service, method) = path
            .strip_prefix('/')
            .and_then(|path| path.rsplit_once('/'))
            .ok_or_else(|| unimplemented(format!("malformed method name: {path:?}")))?;
        self.methods.route(service, method).map_err(|unknown| match unknown {
            Unknown::Service => unimplemented(format!("unknown service {service}")),
            Unknown::Method => unimplemented(format!("unknown method {method} for service {service}")),
        })
    }
}

impl<M: Method> Handler for GrpcService<M> {
    async fn handle(&self, request: Request<Incoming>, peer: Option<SocketAddr>) -> Response<WholeBody> {
        if let Some(status) = not_grpc(&request) {
            return plain(status);
        }
        match self.answer(request, peer).await.and_then(|message| frame::frame(&message, None)) {
            Ok(data) => respond(WholeBody::new(data).with_trailers(ok_trailers()), HeaderMap::new()),
            Err(status) => {
                let mut headers = HeaderMap::new();
                put_status(&status, &mut headers);
                // Tells a client that compressed in an unknown way what it may use.
                headers.insert(GRPC_ACCEPT_ENCODING, frame::ACCEPTED);
                respond(WholeBody::default(), headers)
            }
        }
    }
}

/// How the connections of a server so configured are served.
pub fn grpc_serve_options(config: &GrpcServerConfig) -> ServeOptions {
    let parameters = config.keepalive.as_ref().and_then(|keepalive| keepalive.server_parameters.clone());
    let parameters = parameters.unwrap_or_default();
    let ping_time = nonzero(*parameters.time).unwrap_or(DEFAULT_PING_TIME);
    let ping_timeout = nonzero(*parameters.timeout).unwrap_or(DEFAULT_PING_TIMEOUT);
    ServeOptions {
        http2_only: true,
        max_concurrent_streams: Some(config.max_concurrent_streams).filter(|streams| *streams > 0),
        ping: Some((ping_time, ping_timeout)),
        max_idle: nonzero(*parameters.max_connection_idle),
        max_age: nonzero(*parameters.max_connection_age),
        max_age_grace: nonzero(*parameters.max_connection_age_grace),
        ..ServeOptions::default()
    }
}

/// The HTTP status of a request that is no gRPC call.
fn not_grpc(request: &Request<Incoming>) -> Option<StatusCode> {
    if request.method() != HttpMethod::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_grpc = content_type
        .strip_prefix(CONTENT_TYPE.as_bytes())
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    (!is_grpc).then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

fn respond(body: WholeBody, mut headers: HeaderMap) -> Response<WholeBody> {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

fn plain(status: StatusCode) -> Response<WholeBody> {
    let mut response = Response::new(WholeBody::default());
    *response.status_mut() = status;
    response
}
