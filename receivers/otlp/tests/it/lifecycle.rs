//! Beginning and end: ports, sockets, requests in progress.

use std::sync::Arc;
use std::time::Duration;

use component::{Component, ConsumeError, Consumer, Host, Kind, Outputs, async_trait};
use otlpreceiver::OtlpReceiver;
use pdata::{Batch, Signal};
use testkit::{RecordingSink, TestTelemetry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::peer::{PROTOBUF, Running, export, frame, metrics, request};

/// Says when it is called, and answers when it may.
#[derive(Default)]
struct Slow {
    called: Notify,
    proceed: Notify,
}

/// Counts the calls that were dropped before their answer.
struct Dropped<'a>(&'a Notify);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait]
impl Consumer for Slow {
    async fn consume(&self, _batch: Batch) -> Result<(), ConsumeError> {
        self.called.notify_one();
        let dropped = Dropped(&self.called);
        self.proceed.notified().await;
        std::mem::forget(dropped);
        Ok(())
    }
}

async fn slow() -> (Arc<Slow>, Running) {
    let slow = Arc::new(Slow::default());
    let mut outputs = Outputs::default();
    outputs.set(Signal::Metrics, slow.clone());
    let running = Running::with_outputs(crate::peer::BOTH, outputs, RecordingSink::new()).await;
    (slow, running)
}

#[tokio::test]
async fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    for protocol in ["grpc", "http"] {
        let yaml = format!("protocols: {{{protocol}: {{endpoint: '{address}'}}}}");
        let config = Arc::new(confmap::from_yaml(&yaml).unwrap());
        let settings = TestTelemetry::default().settings(Kind::Receiver, "otlp");
        let receiver = OtlpReceiver::new(settings, config, Outputs::default());
        let error = receiver.start(&Host::standalone()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("listen tcp {address}: bind: address already in use"));
        receiver.shutdown(Instant::now()).await.unwrap();
    }
}

#[tokio::test]
async fn an_authenticator_is_never_ignored() {
    let check = async |yaml: &str, expected: &str| {
        let config = Arc::new(confmap::from_yaml(yaml).unwrap());
        let settings = TestTelemetry::default().settings(Kind::Receiver, "otlp");
        let receiver = OtlpReceiver::new(settings, config, Outputs::default());
        let error = receiver.start(&Host::standalone()).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        "protocols: {grpc: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth}}}",
        r#"failed to resolve authenticator "basicauth": authenticator not found"#,
    )
    .await;
    check(
        "protocols: {http: {endpoint: '127.0.0.1:0', middlewares: [{id: limiter}]}}",
        r#"failed to resolve middleware "limiter": middleware not found"#,
    )
    .await;
}

#[tokio::test]
async fn a_request_in_progress_is_finished() {
    let (slow, running) = slow().await;
    let (http, grpc) = (running.http(), running.grpc());
    let body = metrics().to_protobuf();
    let headers = [("content-type", PROTOBUF)];
    let over_http = request(http, "POST", "/v1/metrics", &headers, body.clone());
    let framed = frame(0, &body);
    let over_grpc = export(grpc, Signal::Metrics, &[], &framed);
    let end = async {
        slow.called.notified().await;
        slow.called.notified().await;
        let shutdown = running.shutdown(Duration::from_secs(60));
        let release = async {
            // The ports are closed before the requests are done.
            while TcpStream::connect(http).await.is_ok() || TcpStream::connect(grpc).await.is_ok() {
                tokio::task::yield_now().await;
            }
            slow.proceed.notify_one();
            slow.proceed.notify_one();
        };
        let ((), ()) = tokio::join!(shutdown, release);
    };
    let (http, grpc, ()) = tokio::join!(over_http, over_grpc, end);
    assert_eq!((http.status, grpc.status), (200, Some(0)));
    let accepted = |transport: &str| {
        let series =
            format!("otelcol_receiver_accepted_metric_points{{receiver=otlp,transport={transport}}}");
        running.telemetry.value(&series)
    };
    assert_eq!((accepted("http"), accepted("grpc")), (6.0, 6.0));
}

#[tokio::test]
async fn half_a_request_is_cut_at_the_deadline() {
    let running = Running::start().await;
    let mut half = TcpStream::connect(running.http()).await.unwrap();
    half.write_all(b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\n\x0a")
        .await
        .unwrap();
    let mut silent = TcpStream::connect(running.grpc()).await.unwrap();
    silent.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    running.still_works().await;
    running.shutdown(Duration::from_millis(50)).await;
    let mut answer = Vec::new();
    // Closed or reset; never an answer of success.
    let _ = half.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(running.sink.items(), 6);
}

#[tokio::test]
async fn connections_without_requests_do_not_delay_the_end() {
    let running = Running::start().await;
    let _new = TcpStream::connect(running.http()).await.unwrap();
    let _new_grpc = TcpStream::connect(running.grpc()).await.unwrap();
    let mut used = TcpStream::connect(running.http()).await.unwrap();
    used.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(used.read(&mut [0; 1024]).await.unwrap() > 0);
    running.still_works().await;
    let began = Instant::now();
    running.shutdown(Duration::from_secs(60)).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_pipeline_is_left_at_the_deadline() {
    let (slow, running) = slow().await;
    let (http, grpc) = (running.http(), running.grpc());
    let body = metrics().to_protobuf();
    let client = async move {
        let mut stream = TcpStream::connect(http).await.unwrap();
        let head = format!(
            "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    };
    let end = async {
        slow.called.notified().await;
        running.shutdown(Duration::from_millis(50)).await;
    };
    tokio::join!(client, end);
    assert!(TcpStream::connect(grpc).await.is_err());
    let refused = "otelcol_receiver_refused_metric_points{receiver=otlp,transport=http}";
    assert_eq!(running.telemetry.value(refused), 6.0);
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let (slow, running) = slow().await;
    let body = metrics().to_protobuf();
    let framed = frame(0, &body);
    tokio::select! {
        _ = export(running.grpc(), Signal::Metrics, &[], &framed) => panic!("answered"),
        () = slow.called.notified() => {}
    }
    // The call was dropped with its connection.
    slow.called.notified().await;
    tokio::select! {
        _ = request(running.http(), "POST", "/v1/metrics", &[("content-type", PROTOBUF)], body) => panic!("answered"),
        () = slow.called.notified() => {}
    }
    slow.called.notified().await;
    running.shutdown(Duration::from_secs(60)).await;
    for transport in ["grpc", "http"] {
        let refused =
            format!("otelcol_receiver_refused_metric_points{{receiver=otlp,transport={transport}}}");
        assert_eq!(running.telemetry.value(&refused), 6.0, "{transport}");
    }
}

#[tokio::test]
async fn a_call_whose_deadline_passes_is_cancelled() {
    let (slow, running) = slow().await;
    let framed = frame(0, &metrics().to_protobuf());
    let answer = export(running.grpc(), Signal::Metrics, &[("grpc-timeout", "5m")], &framed).await;
    assert_eq!((answer.status, answer.message.as_str()), (Some(4), "context deadline exceeded"));
    // Called, and dropped.
    slow.called.notified().await;
    running.shutdown(Duration::from_secs(60)).await;
    let refused = "otelcol_receiver_refused_metric_points{receiver=otlp,transport=grpc}";
    assert_eq!(running.telemetry.value(refused), 6.0);
}

#[tokio::test]
async fn unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("otlp.sock");
    let yaml = format!("protocols: {{http: {{transport: unix, endpoint: '{}'}}}}", path.display());
    let running = Running::with(&yaml, RecordingSink::new()).await;
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let body = metrics().to_protobuf();
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(running.sink.batches(), [metrics()]);
    assert_eq!(running.sink.batches()[0].client().unwrap().address, None);
    running.shutdown(Duration::from_secs(5)).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn shutdown_without_start() {
    let config = Arc::new(confmap::from_yaml("protocols: {grpc: , http: }").unwrap());
    let settings = TestTelemetry::default().settings(Kind::Receiver, "otlp");
    OtlpReceiver::new(settings, config, Outputs::default()).shutdown(Instant::now()).await.unwrap();
}
