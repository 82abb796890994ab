//! Where the collector under load sends: servers that count and forget.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use tokio::net::TcpListener;

/// One request of so many is read: the sink shares the machine with the collector.
const SAMPLE: u64 = 8;
/// What every event counts beside its message, as the service has it.
const EVENT_OVERHEAD: usize = 26;

/// What arrived.
#[derive(Default)]
pub struct Arrived {
    /// PutLogEvents requests.
    pub requests: AtomicU64,
    /// The bytes of their bodies.
    pub bytes: AtomicU64,
    /// The bytes of the bodies of the sampled requests.
    sampled: AtomicU64,
    /// The bytes of the events in these: their messages and 26 for each.
    events: AtomicU64,
}

/// The events of a request.
#[derive(Deserialize)]
struct Input<'a> {
    #[serde(rename = "logEvents", borrow)]
    events: Vec<InputEvent<'a>>,
}

#[derive(Deserialize)]
struct InputEvent<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl Arrived {
    /// The bytes of all events as the service counts them, from what the sampled requests say of their share.
    pub fn event_bytes(&self) -> f64 {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        read(&self.bytes) * read(&self.events) / read(&self.sampled).max(1.0)
    }

    fn sample(&self, body: &[u8]) {
        let Ok(input) = serde_json::from_slice::<Input<'_>>(body) else { return };
        let events: usize = input.events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum();
        self.sampled.fetch_add(body.len() as u64, Ordering::Relaxed);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
    }
}

/// A CloudWatch Logs endpoint that takes everything.
pub async fn cloudwatch_logs() -> Result<(SocketAddr, Arc<Arrived>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let arrived = Arc::new(Arrived::default());
    let counter = arrived.clone();
    let tasks = component::TaskSet::default();
    let connections = tasks.clone();
    tasks.spawn("cloudwatch logs sink", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = counter.clone();
            let service = service_fn(move |request| take(request, counter.clone()));
            connections.spawn("connection", async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A connection that breaks ends with the collector under test.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok((address, arrived))
}

async fn take(
    request: Request<Incoming>,
    counter: Arc<Arrived>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let put = request
        .headers()
        .get("x-amz-target")
        .is_some_and(|target| target.as_bytes().ends_with(b"PutLogEvents"));
    let mut body = request.into_body();
    let sampled = put && counter.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE);
    let (mut bytes, mut kept) = (0, Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len() as u64;
        if sampled {
            kept.extend_from_slice(&data);
        }
    }
    if sampled {
        counter.sample(&kept);
    }
    if put {
        counter.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    Ok(Response::new(Full::new(Bytes::from_static(br#"{"nextSequenceToken":"1"}"#))))
}

/// A kubelet that always answers the same at `/pods`; how often it was asked.
pub async fn kubelet(pods: String) -> Result<(SocketAddr, Arc<AtomicU64>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let asked = Arc::new(AtomicU64::new(0));
    let counter = asked.clone();
    let pods = Bytes::from(pods);
    let tasks = component::TaskSet::default();
    let connections = tasks.clone();
    tasks.spawn("kubelet", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (counter, pods) = (counter.clone(), pods.clone());
            let service = service_fn(move |_: Request<Incoming>| {
                counter.fetch_add(1, Ordering::Relaxed);
                let answer = Response::new(Full::new(pods.clone()));
                async move { Ok::<_, Infallible>(answer) }
            });
            connections.spawn("connection", async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A connection that breaks ends with the collector under test.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok((address, asked))
}
