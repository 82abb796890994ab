//! A Kubernetes API server: it answers what a test tells it to, else from the objects that the test put into it, and
//! fails as it is told to.

mod objects;

pub use objects::AnswerBody;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use component::TaskSet;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use objects::Objects;

/// Plain HTTP on a port of 127.0.0.1, or without a network through [`handle`](Self::handle). It lists, watches (with
/// streamed lists, bookmarks and versions), reads, creates and replaces the objects of collections that were named
/// once. Other paths get a 404 with a Kubernetes `Status`. It stops when it is dropped.
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
    /// By the beginning of the path.
    faults: BTreeMap<String, Fault>,
    objects: Objects,
    requests: Vec<ApiRequest>,
}

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A refusal with this status and a Kubernetes `Status`.
    Status(u16),
    /// What a proxy in front says, with status 200.
    Html,
    /// No answer, ever.
    Hang,
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

    /// From now on requests whose paths begin with `prefix` fail.
    pub fn fail(&self, prefix: &str, fault: Fault) {
        self.lock().faults.insert(prefix.to_owned(), fault);
    }

    /// From now on nothing fails any more.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Serves a collection, `/api/v1/pods`, even if nothing is in it.
    pub fn serve(&self, collection: &str) {
        self.lock().objects.serve(collection);
    }

    /// Creates or replaces an object, which gets the next version, in a collection: `/api/v1/pods`.
    pub fn put(&self, collection: &str, object: serde_json::Value) {
        self.lock().objects.put(collection, object);
    }

    /// Deletes an object; `namespace` is empty for objects that live in none.
    pub fn remove(&self, collection: &str, namespace: &str, name: &str) {
        self.lock().objects.remove(collection, namespace, name);
    }

    /// An object as it is.
    pub fn object(&self, collection: &str, namespace: &str, name: &str) -> Option<serde_json::Value> {
        self.lock().objects.get(collection, namespace, name)
    }

    /// Forgets what happened so far: watches from versions before now are told so.
    pub fn compact(&self) {
        self.lock().objects.compact();
    }

    /// Ends all open watches in the middle of an event.
    pub fn cut_watches(&self) {
        self.lock().objects.cut_watches();
    }

    /// Ends all open watches in good order.
    pub fn end_watches(&self) {
        self.lock().objects.end_watches();
    }

    /// Sends a bookmark to all open watches.
    pub fn bookmark(&self) {
        self.lock().objects.bookmark();
    }

    /// From now on refuses to stream lists, as servers before 1.32 do.
    pub fn refuse_streamed_lists(&self) {
        self.lock().objects.streams = false;
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        self.lock().objects.watches()
    }

    /// Answers a request without a network.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<AnswerBody> {
        let answered = answer(&mut self.lock(), request);
        match answered {
            Some(response) => response,
            None => std::future::pending().await,
        }
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
        let state = Arc::clone(&state);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let answered = answer(&mut lock(&state), Request::from_parts(parts, body));
            match answered {
                Some(response) => Ok::<_, Infallible>(response),
                None => std::future::pending().await,
            }
        }
    });
    // A client that hangs up is no fault of the server.
    let _ =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

/// No answer if there never is to be one.
fn answer(state: &mut State, request: Request<Bytes>) -> Option<Response<AnswerBody>> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = path.trim_end_matches('?').to_owned();
    let (method, headers) = (request.method().to_string(), request.headers().clone());
    state.requests.push(ApiRequest { method, path: path.clone(), headers });
    let (status, body) = if let Some((status, body)) = state.answers.get(&path) {
        (*status, AnswerBody::full(body.clone()))
    } else if let Some((_, fault)) = state.faults.iter().find(|(prefix, _)| path.starts_with(prefix.as_str()))
    {
        fault.answer()?
    } else {
        state.objects.answer(&request)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Some(response)
}

impl Fault {
    fn answer(self) -> Option<(StatusCode, AnswerBody)> {
        match self {
            Self::Status(code) => {
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let reason = status.canonical_reason().unwrap_or_default();
                Some((status, AnswerBody::full(status_object(code, reason, "told to fail"))))
            }
            Self::Html => Some((StatusCode::OK, AnswerBody::full("<html><body>Log in</body></html>"))),
            Self::Hang => None,
        }
    }
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
