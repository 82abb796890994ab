//! What one data point costs in each stage that touches it, in one thread.

#![allow(clippy::expect_used, reason = "a bench")]

use std::hint::black_box;

use awsemfexporter::{EmfConfig, Translator};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use pdata::metrics::{self, Data};
use pdata::{Batch, Signal};
use prost::Message as _;

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
    let config: EmfConfig = confmap::from_yaml(&emf_config()).expect("a configuration");
    let mut translator = Translator::new(&config).expect("declarations");
    group.bench_function("translate to EMF", |b| {
        b.iter(|| {
            let mut written = 0;
            translator
                .translate(black_box(&batch), 1_700_000_000_000, |event| written += event.message.len());
            written
        });
    });
    group.bench_function("build", |b| b.iter(|| bench::payload::node_of_pods(black_box(1))));
    group.finish();
}

/// The exporter of the whole-process run.
fn emf_config() -> String {
    format!(
        "namespace: ContainerInsights
log_group_name: '/aws/containerinsights/{{ClusterName}}/performance'
log_stream_name: '{{NodeName}}'
resource_to_telemetry_conversion: {{enabled: true}}
dimension_rollup_option: NoDimensionRollup
parse_json_encoded_attr_values: [Sources, kubernetes]
metric_declarations:{}",
        bench::scenarios::DECLARATIONS
    )
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
