//! What is sent, and what answers mean.

use std::time::Duration;

use bytes::Bytes;
use component::{Code, Host};
use net::Status;
use pdata::{Batch, Signal};
use testkit::LogCapture;
use tracing::Level;

use crate::peer::{Running, Script, direct};

fn sample(signal: Signal) -> Batch {
    match signal {
        Signal::Metrics => testkit::gauges(2, 3),
        Signal::Logs => testkit::logs(4),
        Signal::Traces => testkit::spans(5),
    }
}

#[tokio::test]
async fn every_signal_goes_out_as_it_is() {
    let host = Host::standalone();
    for signal in Signal::ALL {
        let script = Script::default();
        let server = script.serve(&host, "127.0.0.1:0", None).await;
        let running = Running::start(&direct(server.local_address(), ""), signal).await;
        running.send(sample(signal)).await.unwrap();
        let seen = script.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(
            (seen[0].service.as_str(), &seen[0].message),
            (net::otlp::grpc_path(signal), &sample(signal).to_protobuf())
        );
        let header = |name: &str| seen[0].headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("grpc-encoding").as_deref(), Some("gzip"));
        assert_eq!(header("grpc-timeout").as_deref(), Some("5000000u"));
        assert!(header("user-agent").unwrap().starts_with("test/0.0.0 (linux/"));
        assert_eq!(seen[0].authority.as_deref(), Some(server.local_address().to_string().as_str()));
        running.shutdown().await;
    }
}

#[tokio::test]
async fn an_independent_server_understands() {
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
        TraceService, TraceServiceServer,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use tonic::codec::CompressionEncoding;

    struct Spans(tokio::sync::mpsc::UnboundedSender<usize>);

    #[tonic::async_trait]
    impl TraceService for Spans {
        async fn export(
            &self,
            request: tonic::Request<ExportTraceServiceRequest>,
        ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
            let spans = request.into_inner().resource_spans;
            let spans = spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum();
            self.0.send(spans).unwrap();
            if spans > 5 {
                let details = Status {
                    retry_after: Some(Duration::from_secs(9)),
                    ..Status::new(Code::ResourceExhausted, "")
                };
                return Err(tonic::Status::with_details(
                    tonic::Code::ResourceExhausted,
                    "slow down: 100 %",
                    details.to_protobuf().into(),
                ));
            }
            Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
        }
    }

    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = futures_util::stream::unfold(listener, |listener| async {
        let stream = listener.accept().await.map(|(stream, _)| stream);
        Some((stream, listener))
    });
    let service = TraceServiceServer::new(Spans(sender))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip);
    let server = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
    let client = async {
        for compression in ["gzip", "zstd", "none"] {
            let more = format!(", compression: {compression}");
            let running = Running::start(&direct(address, &more), Signal::Traces).await;
            running.send(testkit::spans(5)).await.unwrap();
            assert_eq!(received.recv().await, Some(5), "{compression}");
            let error = running.send(testkit::spans(6)).await.unwrap_err();
            assert_eq!(
                (error.code(), error.retry_after()),
                (Code::ResourceExhausted, Some(Duration::from_secs(9)))
            );
            assert!(error.to_string().contains("slow down: 100 %"), "{error}");
            received.recv().await;
            running.shutdown().await;
        }
    };
    tokio::select! {
        result = server => panic!("the server ended: {result:?}"),
        () = client => {}
    }
}

#[tokio::test]
async fn headers_authority_and_user_agent() {
    let host = Host::standalone();
    let script = Script::default();
    let server = script.serve(&host, "127.0.0.1:0", None).await;
    let more = ", headers: {X-Tenant: a, te: ignored}, authority: 'own.example', user_agent: mine/1, compression: snappy, timeout: 0s";
    let running = Running::start(&direct(server.local_address(), more), Signal::Logs).await;
    running.send(testkit::logs(1)).await.unwrap();
    let seen = &script.seen()[0];
    let header = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("x-tenant"), Some("a"));
    assert_eq!(header("te"), Some("trailers"));
    assert_eq!(header("user-agent"), Some("mine/1"));
    assert_eq!(header("grpc-encoding"), Some("snappy"));
    assert_eq!(header("grpc-timeout"), None);
    assert_eq!(seen.authority.as_deref(), Some("own.example"));
    assert_eq!(seen.message, testkit::logs(1).to_protobuf());
}

#[tokio::test]
async fn what_may_be_retried() {
    let check = async |code: Code, retry_after: Option<Duration>, permanent: bool| {
        let host = Host::standalone();
        let script = Script::failing(Status { retry_after, ..Status::new(code, "no") });
        let server = script.serve(&host, "127.0.0.1:0", None).await;
        let running = Running::start(&direct(server.local_address(), ""), Signal::Logs).await;
        let error = running.send(testkit::logs(2)).await.unwrap_err();
        assert_eq!((error.is_permanent(), error.code()), (permanent, code), "{error:?}");
        assert_eq!(error.retry_after(), retry_after.filter(|_| !permanent));
        assert!(error.to_string().ends_with(&format!("rpc error: code = {code:?} desc = no")), "{error}");
        running.send(testkit::logs(3)).await.unwrap();
        let counted = |what: &str| {
            running
                .telemetry
                .values()
                .iter()
                .filter(|(name, _)| name.contains(what))
                .map(|(_, value)| *value)
                .sum::<f64>()
        };
        assert_eq!(
            (counted("exporter_sent_log_records"), counted("exporter_send_failed_log_records")),
            (3.0, 2.0)
        );
    };
    check(Code::Unavailable, None, false).await;
    check(Code::Unavailable, Some(Duration::from_secs(3)), false).await;
    check(Code::Aborted, None, false).await;
    check(Code::ResourceExhausted, None, true).await;
    check(Code::ResourceExhausted, Some(Duration::from_secs(3)), false).await;
    check(Code::InvalidArgument, None, true).await;
    check(Code::Internal, None, true).await;
    check(Code::Unimplemented, None, true).await;
}

#[tokio::test]
async fn partial_success_is_logged_and_counts_as_sent() {
    let host = Host::standalone();
    let script = Script::answering([Ok(Bytes::from_static(b"\x0a\x09\x08\x02\x12\x05stale"))]);
    let server = script.serve(&host, "127.0.0.1:0", None).await;
    let running = Running::start(&direct(server.local_address(), ""), Signal::Traces).await;
    let log = LogCapture::begin();
    running.send(testkit::spans(5)).await.unwrap();
    let line = log.find("Partial success response").unwrap();
    assert_eq!((line.level, line.field("dropped_spans"), line.field("reason")), (Level::WARN, "2", "stale"));
    assert_eq!(script.seen().len(), 1);
    let sent = running.telemetry.values().into_iter().find(|(name, _)| name.contains("exporter_sent_spans"));
    let (name, value) = sent.unwrap();
    assert_eq!(value, 5.0);
    assert!(name.contains("server_address=127.0.0.1") && name.contains("server_port="), "{name}");
}

#[tokio::test]
async fn an_answer_that_is_no_response_is_permanent() {
    let host = Host::standalone();
    let script = Script::answering([Ok(Bytes::from_static(b"\xff"))]);
    let server = script.serve(&host, "127.0.0.1:0", None).await;
    let running = Running::start(&direct(server.local_address(), ""), Signal::Traces).await;
    assert!(running.send(testkit::spans(1)).await.unwrap_err().is_permanent());
}
