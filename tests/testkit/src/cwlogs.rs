//! A CloudWatch Logs that records what it is sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use component::Host;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::emf::Event;

/// What CloudWatch Logs was told.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Events in order of arrival.
    pub events: Vec<Event>,
    /// Operations in order: `PutLogEvents`, `CreateLogGroup`, …
    pub operations: Vec<String>,
    /// Headers of the requests, in the same order.
    pub headers: Vec<HeaderMap>,
    /// Retention in days by group.
    pub retention: BTreeMap<String, i64>,
    /// Tags by group.
    pub tags: BTreeMap<String, Value>,
}

/// A failure to answer with instead of doing what is asked.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The operation that fails.
    pub operation: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The error code: `ThrottlingException`.
    pub code: &'static str,
}

/// The recording service. Groups and streams have to be created before events are taken.
#[derive(Debug)]
pub struct CloudWatchLogs {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    recorded: Recorded,
    groups: BTreeMap<String, BTreeSet<String>>,
    faults: VecDeque<Fault>,
    rejected: Option<Value>,
}

impl CloudWatchLogs {
    /// Serves on a free port of the loopback interface until the runtime ends.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let host = Host::standalone();
        let (server, state) = (host.clone(), shared.clone());
        host.spawn("CloudWatch Logs", async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = state.clone();
                server.spawn("CloudWatch Logs: connection", async move {
                    let service = service_fn(move |request| answer(state.clone(), request));
                    // A client that goes away is no fault of ours.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(connection), service)
                        .await;
                });
            }
        });
        Ok(Self { address, shared })
    }

    /// Its base URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was told so far.
    pub fn recorded(&self) -> Recorded {
        self.shared.lock().recorded.clone()
    }

    /// Answers the next requests of an operation with faults, in order.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().faults.extend(faults);
    }

    /// Answers `PutLogEvents` with this `rejectedLogEventsInfo` from now on.
    pub fn reject(&self, info: Value) {
        self.shared.lock().rejected = Some(info);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation =
        target.and_then(|target| target.strip_prefix("Logs_20140328.")).unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let input: Value = serde_json::from_slice(&body).unwrap_or_default();
    let outcome = shared.lock().execute(&operation, headers, &input);
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err((status, code)) => (status, json!({"__type": code, "message": format!("{operation} failed")})),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/x-amz-json-1.1"));
    Ok(response)
}

impl State {
    fn execute(
        &mut self,
        operation: &str,
        headers: HeaderMap,
        input: &Value,
    ) -> Result<Value, (u16, &'static str)> {
        self.recorded.operations.push(operation.to_owned());
        self.recorded.headers.push(headers);
        if let Some(at) = self.faults.iter().position(|fault| fault.operation == operation) {
            return match self.faults.remove(at) {
                Some(fault) => Err((fault.status, fault.code)),
                None => Err((500, "InternalFailure")),
            };
        }
        let text = |key: &str| input.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (group, stream) = (text("logGroupName"), text("logStreamName"));
        match operation {
            "CreateLogGroup" if self.groups.contains_key(&group) => {
                Err((400, "ResourceAlreadyExistsException"))
            }
            "CreateLogGroup" => {
                if let Some(tags) = input.get("tags") {
                    self.recorded.tags.insert(group.clone(), tags.clone());
                }
                self.groups.insert(group, BTreeSet::new());
                Ok(json!({}))
            }
            "PutRetentionPolicy" => {
                let days = input.get("retentionInDays").and_then(Value::as_i64).unwrap_or_default();
                self.recorded.retention.insert(group, days);
                Ok(json!({}))
            }
            "CreateLogStream" => match self.groups.get_mut(&group) {
                None => Err((400, "ResourceNotFoundException")),
                Some(streams) => {
                    let new = streams.insert(stream);
                    new.then(|| json!({})).ok_or((400, "ResourceAlreadyExistsException"))
                }
            },
            "PutLogEvents" => {
                if !self.groups.get(&group).is_some_and(|streams| streams.contains(&stream)) {
                    return Err((400, "ResourceNotFoundException"));
                }
                self.put(&group, &stream, input)
            }
            _ => Err((400, "UnknownOperationException")),
        }
    }

    fn put(&mut self, group: &str, stream: &str, input: &Value) -> Result<Value, (u16, &'static str)> {
        let events = input.get("logEvents").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let time = |event: &Value| event.get("timestamp").and_then(Value::as_i64);
        if events.is_empty() || !events.is_sorted_by_key(time) {
            return Err((400, "InvalidParameterException"));
        }
        self.recorded.events.extend(events.iter().map(|event| Event {
            group: Some(group.to_owned()),
            stream: Some(stream.to_owned()),
            timestamp: time(event),
            message: event.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
        }));
        let mut answer = json!({"nextSequenceToken": "1"});
        if let (Some(rejected), Some(answer)) = (&self.rejected, answer.as_object_mut()) {
            answer.insert("rejectedLogEventsInfo".to_owned(), rejected.clone());
        }
        Ok(answer)
    }
}
