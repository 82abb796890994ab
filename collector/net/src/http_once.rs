//! An HTTP client without a pool: one connection, one request, no task.

use std::pin::pin;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::sync::OnceCell;

use crate::Boxed;
use crate::body::{PiecesBody, read_body};
use crate::config::HttpClientConfig;
use crate::connector::{Conn, Connector};
use crate::error::{Error, TlsError};
use crate::http_client::{HttpAnswer, HttpFailure, proxies, root_cause};
use crate::proxy::Proxies;
use crate::tls::ClientTls;

/// Makes a connection for every request and closes it after the answer: for what is asked for once in a while, where a
/// pool would only keep idle connections, and tasks with them. Speaks HTTP/1.1.
#[derive(Clone)]
pub struct HttpOnce {
    config: Arc<HttpClientConfig>,
    proxies: Proxies,
    /// Loaded with the first `https` URL: the system's authorities are hundreds.
    tls: Arc<OnceCell<Arc<ClientTls>>>,
}

impl HttpOnce {
    /// A client. Of the configuration, proxy and TLS count. `direct` are hosts and networks that no proxy of the
    /// environment is asked for, as in `NO_PROXY`.
    ///
    /// # Errors
    /// The proxy cannot be used.
    pub fn new(config: HttpClientConfig, direct: &[&str]) -> Result<Self, Error> {
        let proxies = proxies(&config)?.without(direct);
        Ok(Self { config: Arc::new(config), proxies, tls: Arc::default() })
    }

    /// Sends a request to its absolute URL and reads an answer of at most `limit` bytes. There is no timeout: dropping
    /// the future ends everything.
    ///
    /// # Errors
    /// There is no answer, or one that is too large.
    pub fn send(
        &self,
        request: Request<PiecesBody>,
        limit: usize,
    ) -> Boxed<'_, Result<HttpAnswer, HttpFailure>> {
        Box::pin(self.send_now(request, limit))
    }

    async fn send_now(
        &self,
        mut request: Request<PiecesBody>,
        limit: usize,
    ) -> Result<HttpAnswer, HttpFailure> {
        let (method, url) = (request.method().clone(), request.uri().clone());
        let failed = |reason: String| HttpFailure::new(&method, &url, reason);
        let connection = self.connect(&url).await.map_err(|error| failed(root_cause(&*error)))?;
        self.proxies.authorize(&url, request.headers_mut());
        prepare(&mut request, connection.proxied);
        exchange(connection, request, limit).await.map_err(|error| failed(root_cause(&*error)))
    }

    async fn connect(&self, url: &Uri) -> Result<Conn, Box<dyn std::error::Error + Send + Sync>> {
        let tls = match url.scheme_str() {
            Some("https") => Some(self.tls().await?.clone()),
            _ => None,
        };
        Ok(Connector::new(tls, self.proxies.clone()).connect(url.clone()).await?)
    }

    async fn tls(&self) -> Result<&Arc<ClientTls>, TlsError> {
        self.tls
            .get_or_try_init(async || ClientTls::load(&self.config.tls, &["http/1.1"]).await.map(Arc::new))
            .await
    }
}

/// Gives a request the form that goes over the wire: its host, and only its path unless a proxy reads it.
fn prepare(request: &mut Request<PiecesBody>, proxied: bool) {
    let url = request.uri().clone();
    if let Some(authority) = url.authority() {
        let default_port = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
        let host = match authority.port_u16() {
            Some(port) if port == default_port => authority.host(),
            _ => host,
        };
        if let Ok(host) = HeaderValue::try_from(host) {
            request.headers_mut().entry(header::HOST).or_insert(host);
        }
    }
    if !proxied {
        let path = url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
    }
}

async fn exchange(
    connection: Conn,
    request: Request<PiecesBody>,
    limit: usize,
) -> Result<HttpAnswer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(connection).await?;
    // The connection only moves bytes; whether it went well shows in the answer.
    let drive = pin!(async move {
        let _ = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    });
    let answer = pin!(async move {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = read_body::<Incoming>(body, limit).await.map_err(|error| match error {
            crate::BodyError::TooLarge => format!("the answer is larger than {limit} bytes").into(),
            crate::BodyError::Broken(error) => Box::<dyn std::error::Error + Send + Sync>::from(error),
            error => error.into(),
        })?;
        Ok(HttpAnswer { status: parts.status, headers: parts.headers, body })
    });
    tokio::select! {
        answer = answer => answer,
        never = drive => match never {},
    }
}
