//! The server's side of unary calls.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use component::Code;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;

use super::codec::RawCodec;
use super::{ACCEPTED, GRPC_ACCEPT_ENCODING, GRPC_ENCODING, snappy};
use crate::Status;
use crate::body::BodyError;
use crate::body::WholeBody;
use crate::config::GrpcServerConfig;
use crate::http_server::nonzero;
use crate::serve::{DEFAULT_MAX_CONCURRENT_STREAMS, Handler, OVERLOAD_RETRY_AFTER, ServeOptions};
use crate::server_body::ServerBody;

const CONTENT_TYPE: &str = "application/grpc";
const GRPC_TIMEOUT: &str = "grpc-timeout";

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

    async fn answer(
        &self,
        request: Request<ServerBody>,
        peer: Option<SocketAddr>,
    ) -> Result<Response<WholeBody>, Status> {
        let route = self.route(request.uri().path())?;
        let timeout = timeout(request.headers());
        let work = self.unary(route, request, peer);
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, work)
                .await
                .unwrap_or_else(|_| Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded"))),
            None => work.await,
        }
    }

    async fn unary(
        &self,
        route: M::Route,
        request: Request<ServerBody>,
        peer: Option<SocketAddr>,
    ) -> Result<Response<WholeBody>, Status> {
        let (mut parts, body) = request.into_parts();
        let permit = body.permit().clone();
        let is_snappy = snappy::is_used(&parts.headers);
        let body = if is_snappy {
            parts.headers.remove(GRPC_ENCODING);
            Body::new(snappy::unpack(body, self.max_message_size).await?)
        } else {
            Body::new(body.map_err(body_error))
        };
        let authority = parts.uri.authority().cloned();
        let method = tower::service_fn(|request: tonic::Request<Bytes>| {
            let (metadata, _, message) = request.into_parts();
            // What came as it is has been counted on its way.
            let has_memory = permit.grow(message.len().saturating_sub(permit.held()));
            let mut headers = metadata.into_headers();
            if is_snappy {
                headers.insert(GRPC_ENCODING, snappy::NAME);
            }
            let call = Call { message, headers, authority: authority.clone(), peer };
            async move {
                if !has_memory {
                    return Err(tonic::Status::from(overloaded()));
                }
                self.methods.call(route, call).await.map(tonic::Response::new).map_err(tonic::Status::from)
            }
        });
        let response = tonic::server::Grpc::new(RawCodec)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(self.max_message_size)
            .unary(method, Request::from_parts(parts, body))
            .await;
        // tonic leaves a failure's status with the response it makes of it.
        match response.extensions().get::<tonic::Status>() {
            Some(status) => Err(Status::from(status)),
            None => whole(response).await,
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
    async fn handle(&self, request: Request<ServerBody>, peer: Option<SocketAddr>) -> Response<WholeBody> {
        if let Some(status) = not_grpc(&request) {
            return plain(status);
        }
        self.answer(request, peer).await.unwrap_or_else(|status| {
            let mut response: Response<WholeBody> = tonic::Status::from(status).into_http();
            // Tells a client that compressed in an unknown way what it may use.
            response.headers_mut().insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
            response
        })
    }

    fn refuse(&self, _request: Request<()>) -> Response<WholeBody> {
        tonic::Status::from(overloaded()).into_http()
    }
}

/// The status of a call for which there is no memory now.
fn overloaded() -> Status {
    Status {
        retry_after: Some(OVERLOAD_RETRY_AFTER),
        ..Status::new(Code::Unavailable, BodyError::NoMemory.to_string())
    }
}

/// The status of a call whose body this server gave up.
pub(super) fn body_status(error: &BodyError) -> Status {
    match error {
        BodyError::NoMemory => overloaded(),
        error => Status::new(Code::DeadlineExceeded, error.to_string()),
    }
}

/// The error of a body as tonic passes it on.
fn body_error(error: BodyError) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        BodyError::Broken(error) => error.into(),
        error => tonic::Status::from(body_status(&error)).into(),
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
        max_concurrent_streams: Some(config.max_concurrent_streams)
            .filter(|streams| *streams > 0)
            .unwrap_or(DEFAULT_MAX_CONCURRENT_STREAMS),
        ping: Some((ping_time, ping_timeout)),
        max_idle: nonzero(*parameters.max_connection_idle),
        max_age: nonzero(*parameters.max_connection_age),
        max_age_grace: nonzero(*parameters.max_connection_age_grace),
        ..ServeOptions::default()
    }
}

/// The HTTP status of a request that is no gRPC call.
fn not_grpc<B>(request: &Request<B>) -> Option<StatusCode> {
    if request.method() != HttpMethod::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_grpc = content_type
        .strip_prefix(CONTENT_TYPE.as_bytes())
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    (!is_grpc).then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// `grpc-timeout`: up to 8 digits and a unit.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = Some(digits).filter(|digits| digits.len() <= 8)?.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// An answer's body, which is there already.
async fn whole(response: Response<Body>) -> Result<Response<WholeBody>, Status> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|status| Status::from(&status))?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Response::from_parts(parts, WholeBody::new(body.to_bytes()).with_trailers(trailers)))
}

fn plain(status: StatusCode) -> Response<WholeBody> {
    let mut response = Response::new(WholeBody::default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let check = |text: &str, expected: Option<Duration>| {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static(GRPC_TIMEOUT), text.parse().unwrap())]);
            assert_eq!(timeout(&headers), expected, "{text}");
        };
        check("5S", Some(Duration::from_secs(5)));
        check("1H", Some(Duration::from_secs(3600)));
        check("99999999m", Some(Duration::from_millis(99_999_999)));
        check("100u", Some(Duration::from_micros(100)));
        check("123456789S", None);
        check("S", None);
        check("", None);
        check("5x", None);
        check("-5S", None);
    }
}
