//! Time and memory of a translation: in proportion to the batch, or to the text that a batch may become.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use awsemfexporter::{Dropped, EmfConfig, EventSink, Translator};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Summary, SummaryDataPoint, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use pdata::{Batch, Signal};
use prost::Message as _;
use testkit::assert_linear;

const MAX_EVENT: usize = 1 << 20;
const NOW: i64 = 1_700_000_000_000;

/// Counts events and their text, and keeps neither.
#[derive(Default)]
struct Counter {
    text: String,
    events: usize,
    bytes: usize,
    /// Bytes of text that are taken.
    budget: Option<usize>,
}

impl EventSink for Counter {
    const ESCAPED: bool = true;

    fn max_event_bytes(&self) -> Option<usize> {
        Some(MAX_EVENT)
    }

    fn is_exhausted(&self) -> bool {
        self.budget.is_some_and(|budget| self.bytes > budget)
    }

    fn begin(&mut self, _: &str, _: &str, _: i64, _: u32) -> Option<&mut String> {
        self.text.clear();
        Some(&mut self.text)
    }

    fn end(&mut self, plain_len: usize) -> bool {
        let taken = plain_len <= MAX_EVENT;
        self.events += usize::from(taken);
        self.bytes += self.text.len();
        taken
    }
}

fn attributes(count: usize, length: usize) -> Vec<KeyValue> {
    let value = |at: usize| any_value::Value::StringValue(at.to_string().repeat(length));
    (0..count)
        .map(|at| KeyValue {
            key: format!("k{at:06}"),
            value: Some(AnyValue { value: Some(value(at)) }),
            ..Default::default()
        })
        .collect()
}

fn batch(resource: Vec<KeyValue>, scope: &str, metrics: Vec<metric::Data>) -> Batch {
    let metric = |(at, data)| Metric { name: format!("m{at}"), data: Some(data), ..Default::default() };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: resource, ..Default::default() }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope { name: scope.to_owned(), ..Default::default() }),
                metrics: metrics.into_iter().enumerate().map(metric).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    Batch::from_protobuf(Signal::Metrics, request.encode_to_vec().into()).unwrap()
}

fn gauge(points: impl IntoIterator<Item = Vec<KeyValue>>) -> metric::Data {
    let point = |attributes| NumberDataPoint { attributes, ..Default::default() };
    metric::Data::Gauge(Gauge { data_points: points.into_iter().map(point).collect() })
}

fn summary(labels: usize, quantiles: usize) -> metric::Data {
    let quantile = |at| ValueAtQuantile { quantile: at as f64 / quantiles as f64, value: 1.0 };
    let point = SummaryDataPoint {
        attributes: attributes(labels, 1),
        count: 1,
        quantile_values: (0..quantiles).map(quantile).collect(),
        ..Default::default()
    };
    metric::Data::Summary(Summary { data_points: vec![point] })
}

fn exponential(labels: usize, buckets: usize) -> metric::Data {
    let positive = Buckets { offset: 0, bucket_counts: vec![1; buckets] };
    let point = ExponentialHistogramDataPoint {
        attributes: attributes(labels, 1),
        scale: 20,
        positive: Some(positive),
        ..Default::default()
    };
    let data_points = vec![point];
    metric::Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality: 1 })
}

fn translator(yaml: &str) -> Translator {
    let config: EmfConfig = confmap::from_yaml(yaml).unwrap();
    Translator::new(&config, true).unwrap()
}

fn translate(yaml: &str, batch: &Batch, budget: Option<usize>) -> (Counter, Dropped) {
    let mut sink = Counter { budget, ..Counter::default() };
    let dropped = translator(yaml).translate(batch, NOW, &mut sink);
    (sink, dropped)
}

fn check_linear(yaml: &str, small: usize, make: impl FnMut(usize) -> Batch) {
    assert_linear(small, make, |batch| {
        translate(yaml, batch, None);
    });
}

#[test]
fn time_grows_linearly_with_the_labels_of_a_point() {
    check_linear("{}", 2000, |labels| batch(Vec::new(), "s", vec![gauge([attributes(labels, 1)])]));
}

#[test]
fn time_grows_linearly_with_the_labels_that_declarations_meet() {
    let declared =
        "metric_declarations: [{dimensions: [[k000001], [k000002, k000003]], metric_name_selectors: ['^m']}]";
    check_linear(declared, 2000, |labels| batch(Vec::new(), "s", vec![gauge([attributes(labels, 1)])]));
}

#[test]
fn time_grows_linearly_with_the_labels_of_a_resource() {
    let convert = "resource_to_telemetry_conversion: {enabled: true}";
    check_linear(convert, 2000, |labels| batch(attributes(labels, 1), "s", vec![gauge([Vec::new()])]));
}

#[test]
fn time_grows_linearly_with_the_metrics_of_an_event() {
    check_linear("{}", 1000, |metrics| {
        batch(Vec::new(), "s", (0..metrics).map(|_| gauge([Vec::new()])).collect())
    });
}

#[test]
fn time_grows_linearly_with_repeated_points() {
    check_linear("{}", 5000, |points| batch(Vec::new(), "s", vec![gauge((0..points).map(|_| Vec::new()))]));
}

#[test]
fn time_grows_linearly_with_the_buckets_of_a_point() {
    check_linear("{}", 5000, |buckets| batch(Vec::new(), "s", vec![exponential(1, buckets)]));
}

#[test]
fn time_grows_linearly_with_quantiles() {
    check_linear("detailed_metrics: true", 500, |quantiles| {
        batch(Vec::new(), "s", vec![summary(1, quantiles)])
    });
}

#[test]
fn four_hundred_thousand_labels_are_no_event_and_counted() {
    let many = batch(Vec::new(), "s", vec![gauge([attributes(400_000, 1)])]);
    let (sink, dropped) = translate("{}", &many, None);
    assert_eq!((sink.events, sink.bytes, dropped.too_large), (0, 0, 1));
}

#[test]
fn what_is_too_large_for_an_event_is_not_written() {
    let convert = "resource_to_telemetry_conversion: {enabled: true}";
    let points = (0..1000).map(|at| attributes(1, at + 1));
    let large = batch(attributes(2, MAX_EVENT), "s", vec![gauge(points)]);
    let (sink, dropped) = translate(convert, &large, None);
    assert_eq!((sink.events, sink.bytes), (0, 0));
    assert!(dropped.too_large + dropped.push_too_large == 1000 && dropped.push_too_large > 0, "{dropped:?}");
}

#[test]
fn a_batch_becomes_no_more_text_than_the_sink_takes() {
    let convert = "resource_to_telemetry_conversion: {enabled: true}";
    let check = |batch: &Batch, yaml: &str| {
        let (sink, dropped) = translate(yaml, batch, Some(1 << 20));
        assert!(sink.bytes < 4 << 20, "{} bytes", sink.bytes);
        assert!(dropped.push_too_large > 0, "{dropped:?}");
    };
    let points = || (0..2000).map(|at| attributes(1, at % 100 + 1));
    check(&batch(attributes(100, 1000), "s", vec![gauge(points())]), convert);
    check(&batch(Vec::new(), &"s".repeat(100_000), vec![gauge(points())]), "{}");
    check(&batch(Vec::new(), "s", vec![summary(10_000, 1000)]), "detailed_metrics: true");
    check(&batch(Vec::new(), "s", vec![exponential(10_000, 90_000)]), "{}");
}

#[test]
fn a_histogram_of_too_many_buckets_is_counted() {
    let (sink, dropped) = translate("{}", &batch(Vec::new(), "s", vec![exponential(1, 100_001)]), None);
    assert_eq!((sink.events, dropped.too_large), (0, 1));
}
