//! A running receiver and the clients that talk to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use component::{Component, Host, Kind, Outputs};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::LocalAddress;
use otlpreceiver::OtlpReceiver;
use pdata::{Batch, Signal};
use testkit::{RecordingSink, TestTelemetry};
use tokio::net::TcpStream;
use tokio::time::Instant;

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

/// A receiver on ports of its own, all signals going to one sink.
pub(crate) struct Running {
    pub(crate) receiver: Arc<OtlpReceiver>,
    pub(crate) sink: Arc<RecordingSink>,
    pub(crate) telemetry: TestTelemetry,
    pub(crate) host: Host,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer over gRPC: the status is that of the trailers, or of the headers where there are no trailers.
#[derive(Debug, PartialEq)]
pub(crate) struct GrpcAnswer {
    pub(crate) http: u16,
    pub(crate) status: Option<i32>,
    pub(crate) message: String,
    pub(crate) body: Bytes,
}

/// Both protocols on free ports.
pub(crate) const BOTH: &str = "protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}";

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(BOTH, RecordingSink::new()).await
    }

    pub(crate) async fn with(yaml: &str, sink: Arc<RecordingSink>) -> Self {
        let mut outputs = Outputs::default();
        Signal::ALL.into_iter().for_each(|signal| outputs.set(signal, sink.clone()));
        Self::with_outputs(yaml, outputs, sink).await
    }

    pub(crate) async fn with_outputs(yaml: &str, outputs: Outputs, sink: Arc<RecordingSink>) -> Self {
        let config = Arc::new(confmap::from_yaml(yaml).unwrap());
        let telemetry = TestTelemetry::default();
        let receiver = OtlpReceiver::new(telemetry.settings(Kind::Receiver, "otlp"), config, outputs);
        let host = Host::standalone();
        receiver.start(&host).await.unwrap();
        Self { receiver: Arc::new(receiver), sink, telemetry, host }
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        tcp(self.receiver.grpc_address())
    }

    pub(crate) fn http(&self) -> SocketAddr {
        tcp(self.receiver.http_address())
    }

    /// Posts protobuf.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        request(self.http(), "POST", path, headers, body).await
    }

    /// Sends a good request over every protocol that is on; the sink has exactly those items more.
    pub(crate) async fn still_works(&self) {
        let before = self.sink.items();
        let batch = testkit::gauges(1, 3);
        let answer = self.post("/v1/metrics", &[("content-type", PROTOBUF)], batch.to_protobuf()).await;
        assert_eq!((answer.status, &*answer.body), (200, &[0x0a, 0][..]));
        if self.receiver.grpc_address().is_some() {
            let answer = export(self.grpc(), Signal::Metrics, &[], &frame(0, &batch.to_protobuf())).await;
            assert_eq!((answer.status, &*answer.body), (Some(0), &[0, 0, 0, 0, 2, 0x0a, 0][..]));
            assert_eq!(self.sink.items(), before + 6);
        } else {
            assert_eq!(self.sink.items(), before + 3);
        }
    }

    pub(crate) async fn shutdown(&self, within: Duration) {
        self.receiver.shutdown(Instant::now() + within).await.unwrap();
        assert_eq!(self.host.tasks().names(), Vec::<String>::new());
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) fn tcp(address: Option<LocalAddress>) -> SocketAddr {
    match address {
        Some(LocalAddress::Tcp(address)) => address,
        other => panic!("not a TCP address: {other:?}"),
    }
}

pub(crate) fn metrics() -> Batch {
    testkit::gauges(2, 3)
}

/// One HTTP/1.1 request on a connection of its own.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = async {
        // A server that answers before it has read everything may close early.
        let _ = connection.await;
    };
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let exchange = async move {
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    };
    tokio::join!(exchange, connection).0
}

/// A message in its frame.
pub(crate) fn frame(flag: u8, message: &[u8]) -> Bytes {
    let mut out = vec![flag];
    out.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    out.extend(message);
    out.into()
}

pub(crate) fn service(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "opentelemetry.proto.collector.metrics.v1.MetricsService",
        Signal::Logs => "opentelemetry.proto.collector.logs.v1.LogsService",
        Signal::Traces => "opentelemetry.proto.collector.trace.v1.TraceService",
    }
}

/// One call of a signal's `Export`, its body as it is.
pub(crate) async fn export(
    address: SocketAddr,
    signal: Signal,
    headers: &[(&str, &str)],
    body: &Bytes,
) -> GrpcAnswer {
    call(address, &format!("/{}/Export", service(signal)), headers, body).await
}

/// One gRPC call on a connection of its own, its body as it is.
pub(crate) async fn call(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &Bytes,
) -> GrpcAnswer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = async {
        let _ = connection.await;
    };
    let mut request = Request::builder()
        .method("POST")
        .uri(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.clone())).unwrap();
    let exchange = async move {
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or(parts.headers);
        let status = tonic::Status::from_header_map(&trailers);
        GrpcAnswer {
            http: parts.status.as_u16(),
            status: status.as_ref().map(|status| i32::from(status.code())),
            message: status.map(|status| status.message().to_owned()).unwrap_or_default(),
            body: body.to_bytes(),
        }
    };
    tokio::join!(exchange, connection).0
}
