//! Where the collector under load sends: servers that count and forget.

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
use tokio::net::TcpListener;

/// What arrived.
#[derive(Default)]
pub struct Arrived {
    /// PutLogEvents requests.
    pub requests: AtomicU64,
    /// The bytes of their bodies.
    pub bytes: AtomicU64,
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
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    if put {
        counter.requests.fetch_add(1, Ordering::Relaxed);
        counter.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    Ok(Response::new(Full::new(Bytes::from_static(br#"{"nextSequenceToken":"1"}"#))))
}
