//! OTLP/gRPC: what is answered to what, by an independent client and by hand.

use std::time::Duration;

use component::{Code, ConsumeError, Outputs};
use net::Encoding;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use pdata::Signal;
use prost::Message;
use testkit::RecordingSink;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};

use crate::peer::{BOTH, Running, call, export, frame, metrics, service};

async fn channel(running: &Running) -> Channel {
    Endpoint::try_from(format!("http://{}", running.grpc())).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn an_independent_client_is_understood() {
    let running = Running::start().await;
    let channel = channel(&running).await;
    let metrics = ExportMetricsServiceRequest::decode(metrics().to_protobuf()).unwrap();
    let logs = ExportLogsServiceRequest::decode(testkit::logs(4).to_protobuf()).unwrap();
    let spans = ExportTraceServiceRequest::decode(testkit::spans(5).to_protobuf()).unwrap();
    for compression in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let (mut metrics_client, mut logs_client, mut spans_client) = (
            MetricsServiceClient::new(channel.clone()),
            LogsServiceClient::new(channel.clone()),
            TraceServiceClient::new(channel.clone()),
        );
        if let Some(encoding) = compression {
            metrics_client = metrics_client.send_compressed(encoding).accept_compressed(encoding);
            logs_client = logs_client.send_compressed(encoding);
            spans_client = spans_client.send_compressed(encoding);
        }
        let answer = metrics_client.export(metrics.clone()).await.unwrap().into_inner();
        assert_eq!(answer.partial_success.unwrap_or_default().rejected_data_points, 0);
        logs_client.export(logs.clone()).await.unwrap();
        spans_client.export(spans.clone()).await.unwrap();
    }
    let signals: Vec<_> =
        running.sink.batches().iter().map(|batch| (batch.signal(), batch.items())).collect();
    let once = [(Signal::Metrics, 6), (Signal::Logs, 4), (Signal::Traces, 5)];
    assert_eq!(signals, [once, once, once].concat());
    let accepted = "otelcol_receiver_accepted_spans{receiver=otlp,transport=grpc}";
    assert_eq!(running.telemetry.value(accepted), 15.0);
    running.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn every_compression() {
    let running = Running::start().await;
    for (name, encoding) in
        [("gzip", Encoding::Gzip), ("zstd", Encoding::Zstd), ("snappy", Encoding::SnappyFramed)]
    {
        let body = encoding.compress(&metrics().to_protobuf(), None).unwrap();
        let answer =
            export(running.grpc(), Signal::Metrics, &[("grpc-encoding", name)], &frame(1, &body)).await;
        assert_eq!((answer.status, &*answer.body), (Some(0), &[0, 0, 0, 0, 2, 0x0a, 0][..]), "{name}");
    }
    assert!(running.sink.batches().iter().all(|batch| *batch == metrics()));
    assert_eq!(running.sink.calls(), 3);
}

#[tokio::test]
async fn requests_without_items_do_not_reach_the_pipeline() {
    let running = Running::start().await;
    let answer = export(running.grpc(), Signal::Logs, &[], &frame(0, b"")).await;
    assert_eq!(answer.status, Some(0));
    assert_eq!(running.sink.calls(), 0);
}

#[tokio::test]
async fn a_refusal_is_told_as_what_it_is() {
    let wait = Some(Duration::from_millis(2900));
    for (error, code) in [
        (ConsumeError::permanent("no: 100 % ü"), 13),
        (ConsumeError::retryable("later"), 14),
        (
            ConsumeError::Retryable {
                reason: "slow down".into(),
                code: Some(Code::ResourceExhausted),
                after: wait,
            },
            8,
        ),
        (ConsumeError::Permanent { reason: "no".into(), code: Some(Code::Unimplemented) }, 12),
    ] {
        let running = Running::start().await;
        running.sink.refuse(Some(error.clone()));
        let request = ExportTraceServiceRequest::decode(testkit::spans(2).to_protobuf()).unwrap();
        let status = TraceServiceClient::new(channel(&running).await).export(request).await.unwrap_err();
        assert_eq!((status.code() as i32, status.message()), (code, error.to_string().as_str()));
        let retry_after = net::Status::from_protobuf(status.details()).and_then(|status| status.retry_after);
        assert_eq!(retry_after, error.retry_after());
        let refused = "otelcol_receiver_refused_spans{receiver=otlp,transport=grpc}";
        assert_eq!(running.telemetry.value(refused), 2.0);
        running.sink.refuse(None);
        running.still_works().await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_unimplemented() {
    let sink = RecordingSink::new();
    let mut outputs = Outputs::default();
    outputs.set(Signal::Metrics, sink.clone());
    let running = Running::with_outputs(BOTH, outputs, sink).await;
    let check = async |path: &str, message: &str| {
        let answer = call(running.grpc(), path, &[], &frame(0, b"")).await;
        assert_eq!((answer.http, answer.status, answer.message.as_str()), (200, Some(12), message), "{path}");
    };
    let logs = service(Signal::Logs);
    check(&format!("/{logs}/Export"), &format!("unknown service {logs}")).await;
    let metrics = service(Signal::Metrics);
    check(&format!("/{metrics}/Import"), &format!("unknown method Import for service {metrics}")).await;
    check("/grpc.health.v1.Health/Check", "unknown service grpc.health.v1.Health").await;
    check("/x", "malformed method name: \"/x\"").await;
    running.still_works().await;
}

#[tokio::test]
async fn the_client_goes_with_the_data() {
    let yaml = "protocols: {grpc: {endpoint: '127.0.0.1:0', include_metadata: true}}";
    let running = Running::with(yaml, RecordingSink::new()).await;
    let headers = [("x-tenant", "a")];
    export(running.grpc(), Signal::Metrics, &headers, &frame(0, &metrics().to_protobuf())).await;
    let client = running.sink.batches()[0].client().unwrap().clone();
    assert!(client.address.unwrap().ip().is_loopback());
    let get = |name: &str| {
        client.metadata.iter().find(|(known, _)| known == name).map(|(_, values)| values.join(","))
    };
    assert_eq!(get("x-tenant").as_deref(), Some("a"));
    assert_eq!(get("host"), Some(running.grpc().to_string()));
}
