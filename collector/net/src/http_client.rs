//! An HTTP client for small answers to large posts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use component::Host;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioTimer;
use tokio::sync::Semaphore;

use crate::Boxed;
use crate::body::PiecesBody;
use crate::config::{Compression, CompressionParams, HttpClientConfig, check_extensions, header_map};
use crate::connector::Connector;
use crate::dial::ClientTasks;
use crate::error::Error;
use crate::http_server::nonzero;
use crate::proxy::{Proxies, ProxyUrl};
use crate::tls::ClientTls;

/// What is read of an answer, at most: upstream's 64 KiB.
const MAX_ANSWER_SIZE: usize = 64 << 10;
/// How long a pinged HTTP/2 server has to answer: Go's default.
const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Sends requests over connections that are kept.
pub struct HttpClient {
    client: Client<Connector, PiecesBody>,
    headers: HeaderMap,
    compression: Compression,
    compression_params: CompressionParams,
    timeout: Option<Duration>,
    in_flight: Option<Semaphore>,
    cookies: Option<Cookies>,
    proxies: Proxies,
    tasks: ClientTasks,
}

/// What a server answered.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, cut after 64 KiB.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {url:?}: {reason}")]
pub struct HttpFailure {
    /// `Post`
    verb: String,
    url: String,
    reason: String,
    untrusted: bool,
}

/// How much a server may send ahead over HTTP/2, in bytes: per answer, and over the connection.
struct Windows {
    stream: u32,
    connection: u32,
}

/// Enough for a server in the same network; what several answers send ahead at once is memory.
const WINDOWS_NEARBY: Windows = Windows { stream: 256 << 10, connection: 1 << 20 };

/// The cookies of each server.
#[derive(Debug, Default)]
struct Cookies(Mutex<BTreeMap<String, BTreeMap<String, String>>>);

impl HttpClient {
    /// A client. `name` is that of its tasks; `user_agent` is what it calls itself unless the headers say otherwise.
    ///
    /// # Errors
    /// TLS or the proxy cannot be set up, or an extension is missing.
    pub fn start<'a>(
        config: &'a HttpClientConfig,
        host: &'a Host,
        name: &'a str,
        user_agent: &'a str,
    ) -> Boxed<'a, Result<Self, Error>> {
        Box::pin(Self::start_now(config, host, name, user_agent))
    }

    async fn start_now(
        config: &HttpClientConfig,
        host: &Host,
        name: &str,
        user_agent: &str,
    ) -> Result<Self, Error> {
        check_extensions(config.auth.as_ref(), &config.middlewares)?;
        let tls = ClientTls::load(&config.tls, protocols(config)).await?;
        let tasks = ClientTasks::new(host, name);
        let mut headers = header_map(&config.headers);
        if let Ok(value) = HeaderValue::try_from(user_agent) {
            headers.entry(header::USER_AGENT).or_insert(value);
        }
        Ok(Self::assemble(config, Some(tls), proxies(config)?, headers, tasks, None))
    }

    /// A client of the server `config.endpoint`, which is near: no proxy of the environment is asked, no certificate is
    /// loaded for an `http` URL, and answers are not sent far ahead. It is meant for [`open`](Self::open): headers,
    /// timeout and compression of the configuration do not count.
    ///
    /// # Errors
    /// TLS or the proxy cannot be set up.
    pub fn nearby<'a>(
        config: &'a HttpClientConfig,
        host: &'a Host,
        name: &'a str,
    ) -> Boxed<'a, Result<Self, Error>> {
        Box::pin(async move {
            let tls = match config.endpoint.starts_with("http://") {
                true => None,
                false => Some(ClientTls::load(&config.tls, protocols(config)).await?),
            };
            let proxies = if config.proxy_url.is_empty() { Proxies::default() } else { proxies(config)? };
            let tasks = ClientTasks::new(host, name);
            Ok(Self::assemble(config, tls, proxies, HeaderMap::new(), tasks, Some(WINDOWS_NEARBY)))
        })
    }

    fn assemble(
        config: &HttpClientConfig,
        tls: Option<ClientTls>,
        proxies: Proxies,
        headers: HeaderMap,
        tasks: ClientTasks,
        windows: Option<Windows>,
    ) -> Self {
        let connector = Connector::new(tls.map(Arc::new), proxies.clone());
        Self {
            client: client(config, connector, &tasks, windows),
            headers,
            compression: config.compression,
            compression_params: config.compression_params,
            timeout: nonzero(*config.timeout),
            in_flight: usize::try_from(config.max_conns_per_host).ok().filter(|n| *n > 0).map(Semaphore::new),
            cookies: config.cookies.is_some().then(Cookies::default),
            proxies,
            tasks,
        }
    }

    /// Posts a body, compressed as configured.
    ///
    /// # Errors
    /// There is no answer: the network, the timeout.
    pub async fn post(
        &self,
        url: &Uri,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<HttpAnswer, HttpFailure> {
        let request = self
            .request(url, content_type, body)
            .map_err(|error| HttpFailure::new(&Method::POST, url, error.to_string()))?;
        self.exchange(request).await
    }

    /// Sends a request as it is, to its absolute URL: nothing is compressed, no header is added but those that proxies
    /// need.
    ///
    /// # Errors
    /// There is no answer: the network, the timeout.
    pub async fn send(&self, mut request: Request<PiecesBody>) -> Result<HttpAnswer, HttpFailure> {
        let url = request.uri().clone();
        self.proxies.authorize(&url, request.headers_mut());
        self.exchange(request).await
    }

    /// Sends a request as [`send`](Self::send) does and leaves the body of the answer to be read as it arrives, whatever
    /// its length. There is no timeout: dropping the future or the body ends everything.
    ///
    /// # Errors
    /// There is no answer.
    pub fn open(
        &self,
        mut request: Request<PiecesBody>,
    ) -> Boxed<'_, Result<Response<Incoming>, HttpFailure>> {
        let url = request.uri().clone();
        self.proxies.authorize(&url, request.headers_mut());
        let method = request.method().clone();
        let answer = self.client.request(request);
        Box::pin(async move {
            answer.await.map_err(|error| HttpFailure {
                untrusted: is_untrusted(&error),
                ..HttpFailure::new(&method, &url, root_cause(&error))
            })
        })
    }

    fn exchange(&self, request: Request<PiecesBody>) -> Boxed<'_, Result<HttpAnswer, HttpFailure>> {
        Box::pin(self.exchange_now(request))
    }

    async fn exchange_now(&self, request: Request<PiecesBody>) -> Result<HttpAnswer, HttpFailure> {
        let (method, url) = (request.method().clone(), request.uri().clone());
        let failed = |reason: String| HttpFailure::new(&method, &url, reason);
        let exchange = async {
            // Closed never; an error would mean that there is no limit.
            let _permit = match &self.in_flight {
                Some(in_flight) => in_flight.acquire().await.ok(),
                None => None,
            };
            let response = self.client.request(request).await.map_err(|error| failed(root_cause(&error)))?;
            self.answer(&url, response).await.map_err(|error| failed(root_cause(&error)))
        };
        match self.timeout {
            Some(timeout) => tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
                Err(failed(
                    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into(),
                ))
            }),
            None => exchange.await,
        }
    }

    /// Closes all connections and ends all tasks; requests in progress fail.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }

    fn request(
        &self,
        url: &Uri,
        content_type: &'static str,
        body: Bytes,
    ) -> std::io::Result<Request<PiecesBody>> {
        let body = match self.compression.0 {
            Some(encoding) => encoding.compress(&body, self.compression_params.level())?.into(),
            None => body,
        };
        let mut request = Request::new(PiecesBody::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = self.compression.0 {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.as_str()));
        }
        if let Some(cookies) = self.cookies.as_ref().and_then(|cookies| cookies.of(url)) {
            headers.insert(header::COOKIE, cookies);
        }
        self.proxies.authorize(url, headers);
        Ok(request)
    }

    async fn answer(&self, url: &Uri, response: Response<Incoming>) -> hyper::Result<HttpAnswer> {
        let (parts, mut body) = response.into_parts();
        if let Some(cookies) = &self.cookies {
            cookies.keep(url, &parts.headers);
        }
        let mut kept = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let room = MAX_ANSWER_SIZE - kept.len();
            kept.extend_from_slice(data.get(..room).unwrap_or(&data));
            if kept.len() == MAX_ANSWER_SIZE {
                break;
            }
        }
        Ok(HttpAnswer { status: parts.status, headers: parts.headers, body: kept.freeze() })
    }
}

impl HttpFailure {
    pub(crate) fn new(method: &Method, url: &Uri, reason: String) -> Self {
        let (first, rest) = method.as_str().split_at_checked(1).unwrap_or_default();
        Self {
            verb: format!("{first}{}", rest.to_lowercase()),
            url: url.to_string(),
            reason,
            untrusted: false,
        }
    }

    /// Why, without what was asked for.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the server's certificate is the reason; told of answers that are [opened](HttpClient::open).
    pub fn is_untrusted(&self) -> bool {
        self.untrusted
    }
}

pub(crate) fn proxies(config: &HttpClientConfig) -> Result<Proxies, Error> {
    if config.proxy_url.is_empty() {
        return Ok(Proxies::from_environment(|name| std::env::var(name).ok()));
    }
    let url = ProxyUrl::parse(&confmap::Secret::new(config.proxy_url.clone()))
        // The URL may hold a password.
        .map_err(|reason| Error::Url { what: "proxy_url", url: confmap::REDACTED.to_owned(), reason })?;
    Ok(Proxies::fixed(url))
}

fn client(
    config: &HttpClientConfig,
    connector: Connector,
    tasks: &ClientTasks,
    windows: Option<Windows>,
) -> Client<Connector, PiecesBody> {
    let limit = |limit: i64| usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let idle = limit(config.max_idle_conns_per_host).or(limit(config.max_idle_conns));
    let mut builder = Client::builder(tasks.clone());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(nonzero(*config.idle_conn_timeout))
        .pool_max_idle_per_host(if config.disable_keep_alives { 0 } else { idle.unwrap_or(usize::MAX) });
    if let Some(Windows { stream, connection }) = windows {
        builder.http2_initial_stream_window_size(stream).http2_initial_connection_window_size(connection);
    }
    if let Some(interval) = nonzero(*config.http2_read_idle_timeout) {
        builder
            .http2_keep_alive_interval(interval)
            .http2_keep_alive_timeout(nonzero(*config.http2_ping_timeout).unwrap_or(DEFAULT_PING_TIMEOUT));
    }
    builder.build(connector)
}

fn protocols(config: &HttpClientConfig) -> &'static [&'static str] {
    if config.force_attempt_http2 { &["h2", "http/1.1"] } else { &["http/1.1"] }
}

/// Whether an error is that of a certificate that is not accepted.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return matches!(error, rustls::Error::InvalidCertificate(_));
    }
    // The source of an error of the system is that of the error it wraps, which itself would be left out.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match (wrapped, error.source()) {
        (Some(wrapped), _) => is_untrusted(wrapped),
        (None, Some(source)) => is_untrusted(source),
        (None, None) => false,
    }
}

/// What is at the root of an error, as Go's messages have it: the library's own words are only `client error (Connect)`.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

impl Cookies {
    fn of(&self, url: &Uri) -> Option<HeaderValue> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = all.get(url.authority()?.as_str()).filter(|mine| !mine.is_empty())?;
        let pairs: Vec<_> = mine.iter().map(|(name, value)| format!("{name}={value}")).collect();
        HeaderValue::try_from(pairs.join("; ")).ok()
    }

    fn keep(&self, url: &Uri, headers: &HeaderMap) {
        let Some(authority) = url.authority() else { return };
        for cookie in headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let Some((name, value)) = pair.split_once('=') else { continue };
            let gone = attributes.to_lowercase().split(';').any(|attribute| {
                let max_age = attribute.trim().strip_prefix("max-age=").map(str::parse::<i64>);
                matches!(max_age, Some(Ok(seconds)) if seconds <= 0)
            });
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = all.entry(authority.to_string()).or_default();
            if gone {
                mine.remove(name.trim());
            } else if mine.len() < MAX_COOKIES || mine.contains_key(name.trim()) {
                mine.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

/// The most cookies of one server, as browsers limit them.
const MAX_COOKIES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_kept_per_server() {
        let cookies = Cookies::default();
        let (a, b): (Uri, Uri) = ("http://a/v1".parse().unwrap(), "http://b/".parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, "route=1; Path=/".parse().unwrap());
        headers.append(header::SET_COOKIE, "old=2".parse().unwrap());
        cookies.keep(&a, &headers);
        assert_eq!(cookies.of(&a).unwrap(), "old=2; route=1");
        assert_eq!(cookies.of(&b), None);
        headers.clear();
        headers.append(header::SET_COOKIE, "old=; Max-Age=0".parse().unwrap());
        cookies.keep(&a, &headers);
        assert_eq!(cookies.of(&a).unwrap(), "route=1");
    }
}
