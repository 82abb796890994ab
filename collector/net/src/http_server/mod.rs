//! What the HTTP servers of components have in common: response headers, CORS, limits, decompression.

mod cors;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;

use crate::body::{BodyError, WholeBody, read_body};
use crate::compression::{DecompressError, Encoding};
use crate::config::{HttpServerConfig, header_map};
use crate::serve::{Handler, ServeOptions};
use crate::server_body::ServerBody;

use cors::Cors;

/// How long the next piece of a refused body is waited for: as long as Go's server keeps a connection for the same
/// reason.
const DISCARD_PATIENCE: Duration = Duration::from_millis(500);

/// Answers the requests that pass the server's own checks.
pub trait App: Send + Sync + 'static {
    /// Answers a request.
    fn handle(&self, request: HttpRequest) -> impl Future<Output = Response<WholeBody>> + Send;

    /// Answers a request whose body cannot be read.
    fn refuse(&self, request: &Parts, error: &RequestError) -> Response<WholeBody>;
}

/// A request whose body is still to be read.
#[derive(Debug)]
pub struct HttpRequest {
    /// Method, path, headers.
    pub parts: Parts,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    body: ServerBody,
    encoding: Option<Encoding>,
    limit: usize,
    timeout: Option<Duration>,
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// `Content-Encoding` is not among the accepted ones.
    #[error("unsupported Content-Encoding: {0}")]
    UnsupportedEncoding(String),
    /// The body is too large, on the wire or decompressed.
    #[error("http: request body too large")]
    TooLarge,
    /// The body is not what its encoding says.
    #[error("{0}")]
    Corrupt(#[source] std::io::Error),
    /// The connection broke, or the client gave up.
    #[error("{0}")]
    Broken(#[source] BodyError),
    /// The body took longer than `read_timeout`, or nothing more of it came in time.
    #[error("i/o timeout")]
    Timeout,
    /// The memory for requests in progress is used up: the client may try again.
    #[error("too many requests are in progress, try again later")]
    NoMemory,
}

/// A [`Handler`] of HTTP requests.
pub struct HttpService<A> {
    app: A,
    cors: Option<Cors>,
    response_headers: HeaderMap,
    encodings: Vec<String>,
    max_body_size: usize,
    read_timeout: Option<Duration>,
}

impl<A: App> HttpService<A> {
    /// Lets `app` answer what passes the checks of `config`.
    pub fn new<D>(config: &HttpServerConfig<D>, app: A) -> Self {
        let cors = config.cors.as_ref().and_then(Cors::new);
        Self {
            app,
            cors,
            response_headers: header_map(&config.response_headers),
            encodings: config.compression_algorithms.clone(),
            max_body_size: config.max_body_size(),
            read_timeout: nonzero(*config.read_timeout),
        }
    }

    async fn answer(&self, request: Request<ServerBody>, peer: Option<SocketAddr>) -> Response<WholeBody> {
        let (parts, body) = request.into_parts();
        let encoding = match self.encoding(&parts.headers) {
            Ok(encoding) => encoding,
            Err(error) => return self.app.refuse(&parts, &error),
        };
        let (limit, timeout) = (self.max_body_size, self.read_timeout);
        self.app.handle(HttpRequest { parts, peer, body, encoding, limit, timeout }).await
    }

    fn encoding(&self, headers: &HeaderMap) -> Result<Option<Encoding>, RequestError> {
        let name = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
        let name = String::from_utf8_lossy(name);
        if !self.encodings.iter().any(|accepted| *accepted == name) {
            return Err(RequestError::UnsupportedEncoding(name.into_owned()));
        }
        Ok(Encoding::parse(&name))
    }
}

impl<A: App> Handler for HttpService<A> {
    async fn handle(&self, request: Request<ServerBody>, peer: Option<SocketAddr>) -> Response<WholeBody> {
        let mut response = match &self.cors {
            Some(cors) if cors::is_preflight(&request) => cors.preflight(request.headers()),
            Some(cors) => {
                let headers = cors.actual(request.headers());
                let mut response = self.answer(request, peer).await;
                response.headers_mut().extend(headers);
                response
            }
            None => self.answer(request, peer).await,
        };
        for (name, value) in &self.response_headers {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        response
    }

    fn refuse(&self, request: Request<()>) -> Response<WholeBody> {
        self.app.refuse(&request.into_parts().0, &RequestError::NoMemory)
    }
}

impl HttpRequest {
    /// Reads and decompresses the body. Whatever the client sends, no more than the limit is kept.
    ///
    /// # Errors
    /// The body is too large, corrupt, late or breaks off.
    pub async fn read_body(mut self) -> Result<Bytes, RequestError> {
        let awaits_permission = self.parts.headers.contains_key(header::EXPECT);
        let read = async {
            let result = read_body(&mut self.body, self.limit).await;
            if matches!(result, Err(BodyError::TooLarge)) && !awaits_permission {
                discard(&mut self.body, self.limit).await;
            }
            result
        };
        let read = match self.timeout {
            Some(timeout) => tokio::time::timeout(timeout, read).await.map_err(|_| RequestError::Timeout)?,
            None => read.await,
        };
        let body = read.map_err(|error| match error {
            BodyError::TooLarge => RequestError::TooLarge,
            BodyError::NoMemory => RequestError::NoMemory,
            BodyError::Stalled => RequestError::Timeout,
            broken @ BodyError::Broken(_) => RequestError::Broken(broken),
        })?;
        let Some(encoding) = self.encoding else { return Ok(body) };
        match encoding.decompress(&body, self.limit) {
            Ok(body) if !self.body.permit().grow(body.len()) => Err(RequestError::NoMemory),
            Ok(body) => Ok(body.into()),
            Err(DecompressError::TooLarge { .. }) => Err(RequestError::TooLarge),
            Err(DecompressError::Corrupt(error)) => Err(RequestError::Corrupt(error)),
        }
    }
}

/// Reads on for a while without keeping anything. A client that is still writing when the connection closes never sees
/// the answer.
async fn discard(body: &mut ServerBody, limit: usize) {
    let mut discarded = 0;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(DISCARD_PATIENCE, body.frame()).await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > limit {
            return;
        }
    }
}

/// How the connections of a server so configured are served.
pub fn http_serve_options<D>(config: &HttpServerConfig<D>) -> ServeOptions {
    // The library's limit on heads also ends connections that wait for their next request.
    let header = nonzero(*config.read_header_timeout).or(nonzero(*config.read_timeout));
    let idle = nonzero(*config.idle_timeout).or(nonzero(*config.read_timeout));
    ServeOptions {
        http2_only: false,
        no_keep_alive: !config.keep_alives_enabled,
        read_header_timeout: header.map(|header| header.max(idle.unwrap_or_default())),
        write_timeout: nonzero(*config.write_timeout),
        max_idle: idle,
        ..ServeOptions::default()
    }
}

/// A response of a status with a body of some type.
pub fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<WholeBody> {
    let mut response = Response::new(WholeBody::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The path that a request should have had, if its path has empty, `.` or `..` segments (Go's `ServeMux` redirects to
/// it).
pub fn clean_path(path: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut clean = format!("/{}", segments.join("/"));
    if clean.len() > 1 && (path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..")) {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

/// Durations of which 0 is none.
pub(crate) fn nonzero(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(clean_path(path).as_deref(), expected, "{path}");
        };
        check("/v1/logs", None);
        check("/v1/logs/", None);
        check("/", None);
        check("//v1/logs", Some("/v1/logs"));
        check("/v1//logs/", Some("/v1/logs/"));
        check("/a/../v1/./logs", Some("/v1/logs"));
        check("/../..", Some("/"));
        check("", Some("/"));
    }
}
