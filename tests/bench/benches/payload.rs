//! What one data point costs in each stage that touches it, in one thread.

#![allow(clippy::expect_used, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws::logs::{Events, MAX_MESSAGE_BYTES, StreamChunks};
use awsemfexporter::{EmfConfig, EventSink, Translator};
use component::{ConsumeError, Consumer, Kind, ProcessorFactory, async_trait};
use confmap::Node;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use pdata::metrics::{self, Data};
use pdata::{Batch, Signal};
use prost::Message as _;
use testkit::TestTelemetry;
use tokio::runtime::Builder;

fn payload(c: &mut Criterion) {
    let batch = bench::payload::node_of_pods(0);
    let bytes = batch.to_protobuf();
    let mut group = c.benchmark_group("payload");
    group.throughput(Throughput::Elements(batch.items() as u64));
    group.bench_function("check on arrival", |b| {
        b.iter(|| Batch::from_protobuf(Signal::Metrics, bytes.clone()).map(|batch| batch.items()));
    });
    group.bench_function("walk the views", |b| b.iter(|| walk(black_box(&batch))));
    group.bench_function("decode with prost, to compare", |b| {
        b.iter(|| ExportMetricsServiceRequest::decode(bytes.clone()));
    });
    group.bench_function("build", |b| b.iter(|| bench::payload::node_of_pods(black_box(1))));
    group.finish();
    translate(c, "a node of pods", bench::scenarios::DECLARATIONS, &[batch]);
    process(c, &cumulativetodeltaprocessor::factory(), "initial_value: keep");
    process(c, &groupbyattrsprocessor::factory(), "keys: [pod]");
    let requests: Vec<Batch> = (0..bench::series::VARIANTS).map(bench::series::pods).collect();
    translate(c, "300,000 series, 50 declarations", &bench::series::declarations(), &requests);
}

/// A processor on cumulative sums with attributes: the same request again and again.
fn process(c: &mut Criterion, factory: &ProcessorFactory, yaml: &str) {
    let node = Node::from_yaml("bench", yaml).expect("yaml");
    let config = factory.decode(Some(&node), "").expect("a configuration");
    let settings = TestTelemetry::default().settings(Kind::Processor, factory.meta.kind);
    let processor = factory.create(settings, &config, Arc::new(Nothing)).expect("a processor");
    let batch = sums();
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut group = c.benchmark_group("process");
    group.throughput(Throughput::Elements(batch.items() as u64));
    group.bench_function(factory.meta.kind, |b| {
        b.iter(|| runtime.block_on(processor.consume(black_box(batch.clone()))));
    });
    group.finish();
}

/// 25 sums of 110 pods, as a flat source writes them: all under one resource, the pod in an attribute.
fn sums() -> Batch {
    let pair = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let point = |pod: usize| {
        let pod = format!("shop-7c9d8f6b5-{pod:05}");
        let pairs = [
            pair("pod", &pod),
            pair("namespace", "shop"),
            pair("interface", "eth0"),
            pair("direction", "in"),
        ];
        format!(
            r#"{{"startTimeUnixNano":"1700000000000000000","timeUnixNano":"1700000060000000000","asInt":"5","attributes":[{}]}}"#,
            pairs.join(",")
        )
    };
    let points: Vec<String> = (0..110).map(point).collect();
    let metric = |number: usize| {
        format!(
            r#"{{"name":"metric.{number}","unit":"By","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{}]}}}}"#,
            points.join(",")
        )
    };
    let metrics: Vec<String> = (0..25).map(metric).collect();
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{}]}},"scopeMetrics":[{{"metrics":[{}]}}]}}]}}"#,
        pair("cluster", "bench"),
        metrics.join(",")
    );
    Batch::from_json(Signal::Metrics, json.as_bytes()).expect("valid")
}

/// Takes everything.
struct Nothing;

#[async_trait]
impl Consumer for Nothing {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        black_box(batch);
        Ok(())
    }
}

/// Requests to events, as they stand in requests to CloudWatch Logs.
fn translate(c: &mut Criterion, name: &str, declarations: &str, requests: &[Batch]) {
    let config: EmfConfig =
        confmap::from_yaml(&bench::scenarios::emf_keys(declarations)).expect("a configuration");
    let mut translator = Translator::new(&config, true).expect("declarations");
    let mut group = c.benchmark_group("translate to EMF");
    // The times of the payloads are of now, too.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let points: usize = requests.iter().map(Batch::items).sum();
    group.throughput(Throughput::Elements(points as u64));
    group.bench_function(name, |b| {
        b.iter(|| {
            for request in requests {
                let mut hand_over = |streams: Vec<StreamChunks>| drop(streams);
                let events = Events::new(now_ms, MAX_MESSAGE_BYTES, request.encoded_len(), &mut hand_over);
                let mut sink = Sink(events);
                translator.translate(black_box(request), now_ms, &mut sink);
                black_box(&mut sink.0);
            }
        });
    });
    group.finish();
}

/// Events for CloudWatch Logs.
struct Sink<'h>(Events<'h>);

impl EventSink for Sink<'_> {
    const ESCAPED: bool = true;

    fn max_event_bytes(&self) -> Option<usize> {
        Some(self.0.max_event_bytes())
    }

    fn begin(&mut self, group: &str, stream: &str, timestamp_ms: i64, items: u32) -> Option<&mut String> {
        self.0.begin(group, stream, timestamp_ms, items)
    }

    fn end(&mut self, plain_len: usize) -> bool {
        self.0.end(plain_len)
    }
}

/// Reads every name, unit, attribute and value.
fn walk(batch: &Batch) -> usize {
    let mut read = 0;
    for resource in metrics::resources(batch) {
        for pair in resource.resource().attributes() {
            read += pair.key.len() + pair.value.as_str().map_or(0, str::len);
        }
        for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
            read += metric.name.len() + metric.unit.len();
            if let Data::Gauge(points) = metric.data {
                for point in points.numbers() {
                    read += point.value.map_or(0, |value| value.as_f64().to_bits() as usize & 1);
                }
            }
        }
    }
    read
}

criterion_group!(benches, payload);
criterion_main!(benches);
