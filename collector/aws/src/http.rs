//! Our HTTP client behind the SDK's interface: the SDK's credential providers bring no client of their own.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Uri;
use net::{HttpAnswer, HttpClientConfig, HttpFailure, HttpOnce, PiecesBody};

/// The longest answer of STS, instance metadata or a container's agent that is read.
const MAX_ANSWER: usize = 1 << 20;
/// The longest that a request takes whose sender sets no limit.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Metadata and container agents live at link-local addresses: what a proxy would find there are its own.
const LINK_LOCAL: [&str; 3] = ["169.254.0.0/16", "fd00:ec2::/32", "fe80::/10"];

/// A host of which no proxy of the environment is asked: all of them.
const EVERYTHING: [&str; 1] = ["*"];

/// Sends the requests for credentials, metadata and the region, each over a connection of its own.
#[derive(Clone)]
pub(crate) struct Requests {
    client: HttpOnce,
}

/// The same with the limit that a sender set.
struct Limited {
    client: HttpOnce,
    timeout: Duration,
}

impl Requests {
    /// Of the configuration, TLS counts. Proxies are those of the environment.
    ///
    /// # Errors
    /// Never for a configuration without a proxy.
    pub(crate) fn new(config: HttpClientConfig) -> Result<Self, net::Error> {
        Ok(Self {
            client: HttpOnce::new(HttpClientConfig { proxy_url: String::new(), ..config }, &LINK_LOCAL)?,
        })
    }

    /// The same for an agent of this machine, which no proxy can reach.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn local() -> Result<Self, net::Error> {
        Ok(Self { client: HttpOnce::new(HttpClientConfig::default(), &EVERYTHING)? })
    }

    /// What is at a URL, of at most `limit` bytes. There is no timeout.
    ///
    /// # Errors
    /// There is no answer, or one that is too large.
    pub(crate) async fn get(&self, url: Uri, limit: usize) -> Result<HttpAnswer, HttpFailure> {
        let mut request = http::Request::new(PiecesBody::default());
        *request.uri_mut() = url;
        self.client.send(request, limit).await
    }

    /// For the SDK.
    pub(crate) fn shared(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests")
    }
}

impl HttpClient for Requests {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // The limit until the first byte counts from the start of the request, so it covers connecting.
        let timeout = settings.read_timeout().unwrap_or(TIMEOUT);
        SharedHttpConnector::new(Limited { client: self.client.clone(), timeout })
    }
}

impl fmt::Debug for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limited({:?})", self.timeout)
    }
}

impl HttpConnector for Limited {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, timeout) = (self.client.clone(), self.timeout);
        HttpConnectorFuture::new(async move {
            let request = ours(request)?;
            let sent = tokio::time::timeout(timeout, client.send(request, MAX_ANSWER)).await;
            let answer = sent
                .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?
                .map_err(|failure| ConnectorError::io(failure.into()))?;
            theirs(answer)
        })
    }
}

fn ours(request: HttpRequest) -> Result<http::Request<PiecesBody>, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body.bytes().ok_or_else(|| ConnectorError::user("the body is a stream".into()))?;
    Ok(http::Request::from_parts(parts, Bytes::copy_from_slice(body).into()))
}

fn theirs(answer: HttpAnswer) -> Result<HttpResponse, ConnectorError> {
    let mut response = http::Response::new(SdkBody::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}
