//! A Kubernetes API server that answers what a test tells it to.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use component::TaskSet;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Plain HTTP on a port of 127.0.0.1. Paths that were not told of get a 404 with a Kubernetes `Status`. It stops when
/// it is dropped.
pub struct FakeApiServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

/// A request that the server was sent.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// `GET`, …
    pub method: String,
    /// The path and query.
    pub path: String,
    headers: HeaderMap,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, (StatusCode, Bytes)>,
    requests: Vec<ApiRequest>,
}

impl FakeApiServer {
    /// Starts a server without objects.
    #[allow(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let tasks = TaskSet::default();
        let server = tasks.clone().spawn("fake API server", serve(listener, Arc::clone(&state), tasks));
        Self { address, state, server }
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on answers requests for `path`, query included, with this status and JSON.
    #[allow(clippy::expect_used, reason = "statuses in tests are literals")]
    pub fn answer(&self, path: &str, status: u16, body: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.lock().answers.insert(path.to_owned(), (status, Bytes::copy_from_slice(body.as_bytes())));
    }

    /// From now on refuses requests for `path` as role-based access control does.
    pub fn forbid(&self, path: &str, message: &str) {
        self.answer(path, 403, &status_object(403, "Forbidden", message));
    }

    /// The requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.lock().requests.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for FakeApiServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl ApiRequest {
    /// A header that was sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, tasks: TaskSet) {
    while let Ok((connection, _)) = listener.accept().await {
        tasks.spawn("fake API server: connection", serve_connection(connection, Arc::clone(&state)));
    }
}

async fn serve_connection(connection: TcpStream, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&mut lock(&state), &request);
        async move { Ok::<_, Infallible>(response) }
    });
    // A client that hangs up is no fault of the server.
    let _ =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

fn answer(state: &mut State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let found = state.answers.get(path.trim_end_matches('?')).cloned();
    let (status, body) = found.unwrap_or_else(|| {
        (StatusCode::NOT_FOUND, status_object(404, "NotFound", &format!("{path} not found")).into())
    });
    let (method, headers) = (request.method().to_string(), request.headers().clone());
    state.requests.push(ApiRequest { method, path: path.trim_end_matches('?').to_owned(), headers });
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn status_object(code: u16, reason: &str, message: &str) -> String {
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
    .to_string()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
