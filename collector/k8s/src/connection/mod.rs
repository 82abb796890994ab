//! How requests get to a server: connections that are kept, and who asks.

mod config;
mod credentials;
mod exec;
mod kubeconfig;
#[cfg(test)]
mod kubeconfig_tests;

pub(crate) use config::SERVICE_ACCOUNT;
pub use config::{ApiServerConfig, Credentials};
pub use exec::{ExecCluster, ExecConfig};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use component::Host;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use net::{Boxed, HttpClient, HttpClientConfig, HttpFailure, PiecesBody};
use tokio::sync::Mutex;

use crate::Error;
use credentials::{Authority, Issued};

/// The body of an answer, whatever it came over.
pub(crate) type Body = UnsyncBoxBody<Bytes, component::BoxError>;

/// What sends requests, whose URLs are paths with queries.
pub(crate) trait Transport: Send + Sync {
    fn send(&self, request: Request<Bytes>) -> Boxed<'_, Result<Response<Body>, Error>>;
}

/// How long a connection may be silent while an answer is awaited before it is asked for a sign of life, and how long that
/// may take: those of client-go.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

const AGENT: &str = concat!("otelcol-insights/", env!("CARGO_PKG_VERSION"));

/// The connections to one server. Over HTTP/2 all requests share one; a server without gets one for each answer at a time.
///
/// Answers are not compressed: a list would be inflated at a higher price than the bytes have within a cluster.
pub(crate) struct Connections {
    config: ApiServerConfig,
    authority: Authority,
    host: Host,
    client: Mutex<Option<Client>>,
    /// A request was given up before its answer began: its connection may be dead without anybody having said so.
    doubtful: AtomicBool,
}

/// A client and the identity that it shows in handshakes.
struct Client {
    http: Arc<HttpClient>,
    issued: Issued,
}

/// Raises doubts about the connection unless an answer comes.
struct Doubt<'a>(Option<&'a AtomicBool>);

impl Connections {
    /// No connection yet. Their tasks are `host`'s, and end when the connections are dropped.
    pub(crate) fn new(config: ApiServerConfig, host: &Host) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            authority: Authority::new(config.credentials.clone()),
            config,
            host: host.clone(),
            client: Mutex::new(None),
            doubtful: AtomicBool::new(false),
        })
    }

    async fn send_now(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        let (parts, body) = request.into_parts();
        let url = self.url(parts.uri.path_and_query())?;
        let request = |issued: &Issued| {
            let mut request = Request::new(PiecesBody::from(body.clone()));
            (*request.method_mut(), *request.uri_mut()) = (parts.method.clone(), url.clone());
            *request.headers_mut() = parts.headers.clone();
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
            if let Some(value) = &issued.header {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            request
        };
        let issued = self.authority.current().await?;
        let response = self.exchange(request(&issued), &issued).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        // A token that was replaced before its time: what is there now may be accepted.
        match self.authority.renew(&issued).await? {
            Some(issued) => self.exchange(request(&issued), &issued).await,
            None => Ok(response),
        }
    }

    async fn exchange(&self, request: Request<PiecesBody>, issued: &Issued) -> Result<Response<Body>, Error> {
        let client = self.client(issued).await?;
        let doubt = Doubt(Some(&self.doubtful));
        let answer = client.open(request).await;
        doubt.dispel();
        let response = answer.map_err(|failure| self.unreachable(&failure))?;
        Ok(response.map(|body| body.map_err(component::BoxError::from).boxed_unsync()))
    }

    /// The client that shows who `issued` says we are.
    async fn client(&self, issued: &Issued) -> Result<Arc<HttpClient>, Error> {
        let mut client = self.client.lock().await;
        if let Some(Client { http, issued: shown }) = &*client
            && shown.shows_same_certificate(issued)
            && !self.doubtful.swap(false, Ordering::Relaxed)
        {
            return Ok(Arc::clone(http));
        }
        let http = HttpClient::nearby(&self.settings(issued), &self.host, "k8s: connection")
            .await
            .map_err(|error| Error::Client(error.to_string()))?;
        let http = Arc::new(http);
        // Answers that are still read keep their connections.
        *client = Some(Client { http: Arc::clone(&http), issued: issued.clone() });
        Ok(http)
    }

    fn settings(&self, issued: &Issued) -> HttpClientConfig {
        let mut settings = HttpClientConfig {
            endpoint: self.config.url.to_string(),
            proxy_url: self.config.proxy_url.expose().to_owned(),
            tls: self.config.tls.clone(),
            http2_read_idle_timeout: PING_AFTER.into(),
            http2_ping_timeout: PING_TIMEOUT.into(),
            ..HttpClientConfig::default()
        };
        if let Some(certificate) = &issued.certificate {
            let own = &mut settings.tls.common;
            (own.cert_file, own.key_file) = Default::default();
            (own.cert_pem, own.key_pem) = (certificate.chain.clone(), certificate.key.clone());
        }
        settings
    }

    /// The URL of a path.
    fn url(&self, path: Option<&PathAndQuery>) -> Result<Uri, Error> {
        let path = path.map_or("/", PathAndQuery::as_str);
        let mut parts = self.config.url.clone().into_parts();
        let base = parts.path_and_query.as_ref().map_or("", |path| path.path()).trim_end_matches('/');
        let whole = if base.is_empty() { path.parse() } else { format!("{base}{path}").parse() };
        let unusable = |reason: String| Error::Setting { what: "path", reason };
        parts.path_and_query =
            Some(whole.map_err(|error: http::uri::InvalidUri| unusable(error.to_string()))?);
        Uri::from_parts(parts).map_err(|error| unusable(error.to_string()))
    }

    fn unreachable(&self, failure: &HttpFailure) -> Error {
        if failure.is_untrusted() {
            return Error::Untrusted {
                server: self.config.url.authority().map(ToString::to_string).unwrap_or_default(),
                roots: self.config.roots(),
                reason: failure.reason().to_owned(),
            };
        }
        Error::Unreachable(failure.reason().into())
    }
}

impl Transport for Connections {
    fn send(&self, request: Request<Bytes>) -> Boxed<'_, Result<Response<Body>, Error>> {
        Box::pin(self.send_now(request))
    }
}

impl Doubt<'_> {
    fn dispel(mut self) {
        self.0 = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(doubtful) = self.0 {
            doubtful.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn paths_follow_the_servers() {
        fn check(server: &str, path: &'static str, expected: &str) {
            let config = ApiServerConfig::new(server.parse().unwrap());
            let connections = Connections::new(config, &Host::standalone()).unwrap();
            let url = connections.url(Some(&PathAndQuery::from_static(path))).unwrap();
            assert_eq!(url.to_string(), expected);
        }
        check("https://10.0.0.1:443", "/api/v1/pods?limit=1", "https://10.0.0.1:443/api/v1/pods?limit=1");
        check("https://[fd00::1]:6443/", "/metrics", "https://[fd00::1]:6443/metrics");
        check("https://rancher/k8s/clusters/c-1/", "/api?a=b", "https://rancher/k8s/clusters/c-1/api?a=b");
    }
}
