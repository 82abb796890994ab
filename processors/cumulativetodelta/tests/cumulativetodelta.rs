//! What becomes of cumulative points.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use component::{Kind, Processor};
use confmap::Node;
use pdata::metrics::{Data, MetricView, Number, Temporality};
use pdata::{Batch, Signal};
use testkit::contract::ProcessorContract;
use testkit::{LogCapture, RecordingSink, TestTelemetry};

struct Setup {
    processor: Arc<dyn Processor>,
    sink: Arc<RecordingSink>,
    telemetry: TestTelemetry,
}

impl Setup {
    fn new(yaml: &str) -> Self {
        let factory = cumulativetodeltaprocessor::factory();
        let node = (!yaml.is_empty()).then(|| Node::from_yaml("test", yaml).unwrap());
        let config = factory.decode(node.as_ref(), "").unwrap();
        let (sink, telemetry) = (RecordingSink::new(), TestTelemetry::default());
        let settings = telemetry.settings(Kind::Processor, "cumulativetodelta");
        let processor = factory.create(settings, &config, sink.clone()).unwrap();
        Self { processor, sink, telemetry }
    }

    /// What comes of a metric.
    async fn send(&self, metric: &str) -> Vec<String> {
        self.consume(&request("", metric)).await
    }

    async fn consume(&self, batch: &Batch) -> Vec<String> {
        let before = self.sink.batches().len();
        self.processor.consume(batch.clone()).await.unwrap();
        let batches = self.sink.batches();
        batches.get(before..).unwrap().iter().flat_map(texts).collect()
    }

    fn value(&self, series: &str) -> f64 {
        self.telemetry.value(&format!("otelcol_cumulativetodelta_{series}"))
    }
}

fn request(resource: &str, metric: &str) -> Batch {
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{resource}]}},"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#
    );
    Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap()
}

/// A cumulative monotonic sum of one point.
fn sum(start: u64, time: u64, value: &str) -> String {
    format!(
        r#"{{"name":"a","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
            {{"startTimeUnixNano":"{start}","timeUnixNano":"{time}",{value}}}]}}}}"#
    )
}

fn histogram(time: u64, point: &str) -> String {
    format!(
        r#"{{"name":"h","histogram":{{"aggregationTemporality":2,"dataPoints":[{{"timeUnixNano":"{time}",{point}}}]}}}}"#
    )
}

fn exponential(time: u64, point: &str) -> String {
    format!(
        r#"{{"name":"e","exponentialHistogram":{{"aggregationTemporality":2,"dataPoints":[{{"timeUnixNano":"{time}",{point}}}]}}}}"#
    )
}

/// Every point as `temporality start..time value`.
fn texts(batch: &Batch) -> Vec<String> {
    let again = Batch::from_protobuf(batch.signal(), batch.to_protobuf()).unwrap();
    assert_eq!((again.items(), &again), (batch.items(), batch));
    let scopes = pdata::metrics::resources(batch).flat_map(|resource| resource.scopes());
    scopes.flat_map(|scope| scope.metrics()).flat_map(|metric| points(&metric)).collect()
}

fn points(metric: &MetricView<'_>) -> Vec<String> {
    let head = |temporality: Temporality, start: u64, time: u64| format!("{temporality:?} {start}..{time}");
    match metric.data {
        Data::Sum { points, temporality, .. } => points
            .numbers()
            .map(|point| {
                let value = match point.value {
                    Some(Number::Int(value)) => value.to_string(),
                    Some(Number::Double(value)) => format!("{value:?}"),
                    None => "none".to_owned(),
                };
                format!("{} {value}", head(temporality, point.start_time_unix_nano, point.time_unix_nano))
            })
            .collect(),
        Data::Histogram { points, temporality } => points
            .histograms()
            .map(|point| {
                let head = head(temporality, point.start_time_unix_nano, point.time_unix_nano);
                let counts: Vec<u64> = point.bucket_counts().collect();
                assert_eq!((point.min, point.max), (None, None));
                format!("{head} {} {:?} {counts:?}", point.count, point.sum)
            })
            .collect(),
        Data::ExponentialHistogram { points, temporality } => points
            .exponential_histograms()
            .map(|point| {
                let head = head(temporality, point.start_time_unix_nano, point.time_unix_nano);
                let (positive, negative) = (point.positive, point.negative);
                let counts =
                    |buckets: pdata::metrics::BucketsView<'_>| buckets.bucket_counts().collect::<Vec<u64>>();
                assert_eq!((point.min, point.max), (None, None));
                format!(
                    "{head} {} {:?} scale {} zero {} {}{:?} {}{:?}",
                    point.count,
                    point.sum,
                    point.scale,
                    point.zero_count,
                    positive.offset,
                    counts(positive),
                    negative.offset,
                    counts(negative)
                )
            })
            .collect(),
        Data::Gauge(points) => vec![format!("gauge of {}", points.count())],
        _ => vec!["other".to_owned()],
    }
}

/// Row V21.
#[tokio::test]
async fn a_point_is_the_change_since_the_last() {
    let setup = Setup::new("initial_value: drop");
    assert_eq!(setup.send(&sum(0, 1, r#""asInt":"10""#)).await, Vec::<String>::new());
    assert_eq!(setup.send(&sum(0, 2, r#""asInt":"25""#)).await, ["Delta 1..2 15"]);
    assert_eq!(setup.send(&sum(0, 3, r#""asInt":"5""#)).await, Vec::<String>::new());
    assert_eq!(setup.send(&sum(0, 4, r#""asInt":"9""#)).await, ["Delta 3..4 4"]);
    // Nobody asks whether times go forward.
    assert_eq!(setup.send(&sum(0, 2, r#""asInt":"10""#)).await, ["Delta 4..2 1"]);
    assert_eq!(setup.value("datapoints{metric_type=sum}"), 3.0);
    assert_eq!(setup.value("datapoints_dropped{metric_type=sum,reason=initial}"), 1.0);
    assert_eq!(setup.value("datapoints_dropped{metric_type=sum,reason=reset}"), 1.0);
    assert_eq!(setup.value("streams_tracked{}"), 1.0);
}

#[tokio::test]
async fn what_makes_a_stream() {
    let setup = Setup::new("initial_value: drop");
    let metric = |name: &str, unit: &str, start: u64, point: &str| {
        format!(
            r#"{{"name":"{name}","unit":"{unit}","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
            {{"startTimeUnixNano":"{start}","timeUnixNano":"9",{point}}}]}}}}"#
        )
    };
    let pair = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let one = r#""asInt":"1""#;
    let labelled = |labels: &str| format!(r#"{one},"attributes":[{labels}]"#);
    let (x, y) = (pair("x", "1"), pair("y", "2"));
    for (resource, metric) in [
        ("", metric("a", "", 0, one)),
        ("", metric("b", "", 0, one)),
        ("", metric("a", "By", 0, one)),
        ("", metric("a", "", 1, one)),
        ("", metric("a", "", 0, r#""asDouble":1"#)),
        ("", metric("a", "", 0, &labelled(&x))),
        ("", metric("a", "", 0, &labelled(&format!("{x},{y}")))),
        (x.as_str(), metric("a", "", 0, one)),
    ] {
        assert_eq!(
            setup.consume(&request(resource, &metric)).await,
            Vec::<String>::new(),
            "{resource} {metric}"
        );
    }
    assert_eq!(setup.value("streams_tracked{}"), 8.0);
    // The order of attributes says nothing.
    let turned = metric("a", "", 0, &labelled(&format!("{y},{x}")));
    assert_eq!(setup.send(&turned).await, ["Delta 9..9 0"]);
}

#[tokio::test]
async fn first_points() {
    let check = async |yaml: &str, start: u64, time: u64, expected: &[&str]| {
        let got = Setup::new(yaml).send(&sum(start, time, r#""asInt":"7""#)).await;
        assert_eq!(got, expected, "{yaml} {start} {time}");
    };
    let future = 4_000_000_000_000_000_000;
    check("", 0, 5, &[]).await;
    check("", 1_000_000_000, 2_000_000_000, &[]).await;
    check("", future, future, &[]).await;
    let kept = format!("Delta {future}..{} 7", future + 1);
    check("", future, future + 1, &[&kept]).await;
    check("initial_value: auto", future, future + 1, &[&kept]).await;
    check("initial_value: keep", 3, 5, &["Delta 0..5 7"]).await;
    check("initial_value: drop", future, future + 1, &[]).await;
}

#[tokio::test]
async fn what_is_not_converted() {
    let setup = Setup::new("");
    let batch = request(
        "",
        r#"{"name":"g","gauge":{"dataPoints":[{"asInt":"1"}]}},
        {"name":"up and down","sum":{"aggregationTemporality":2,"dataPoints":[{"asInt":"1"}]}},
        {"name":"delta","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"1"}]}},
        {"name":"s","summary":{"dataPoints":[{"count":"1"}]}}"#,
    );
    setup.processor.consume(batch.clone()).await.unwrap();
    let same = setup.sink.batches().pop().unwrap();
    assert_eq!(same.to_protobuf().as_ptr(), batch.to_protobuf().as_ptr());
    // A sum that is no number stays; a point without a value goes.
    assert_eq!(setup.send(&sum(1, 2, r#""asDouble":"NaN""#)).await, ["Delta 1..2 NaN"]);
    assert_eq!(setup.send(&sum(1, 2, r#""asInt":"7","flags":1"#)).await, Vec::<String>::new());
    assert_eq!(setup.value("streams_tracked{}"), 0.0);
}

#[tokio::test]
async fn filters() {
    let check = async |yaml: &str, converted: bool| {
        let setup = Setup::new(&format!("initial_value: keep\n{yaml}"));
        let got = setup.send(&sum(0, 2, r#""asInt":"7""#)).await;
        let expected = if converted { "Delta 0..2 7" } else { "Cumulative 0..2 7" };
        assert_eq!(got, [expected], "{yaml}");
    };
    check("include: {match_type: strict, metrics: [a]}", true).await;
    check("include: {match_type: strict, metrics: [A, ab]}", false).await;
    check("include: {match_type: regexp, metrics: ['^[a-c]$']}", true).await;
    check("exclude: {match_type: regexp, metrics: [a]}", false).await;
    check("include: {match_type: strict, metrics: [a]}\nexclude: {match_type: strict, metrics: [a]}", false)
        .await;
    check("include: {metric_types: [Sum]}", true).await;
    check("include: {metric_types: [histogram, exponentialhistogram]}", false).await;
    check("exclude: {metric_types: [sum]}", false).await;
    check("include: {match_type: strict, metrics: [b], metric_types: [sum]}", false).await;
}

/// Row E80.
#[tokio::test]
async fn histograms() {
    let setup = Setup::new("initial_value: drop");
    let point = |count: u64, sum: &str, counts: [u64; 2]| {
        format!(
            r#""count":"{count}"{sum},"bucketCounts":["{}","{}"],"explicitBounds":[1.5],"min":1,"max":2"#,
            counts[0], counts[1]
        )
    };
    let none = Vec::<String>::new();
    assert_eq!(setup.send(&histogram(1, &point(10, r#","sum":50"#, [6, 4]))).await, none);
    let changed = setup.send(&histogram(2, &point(15, r#","sum":80"#, [8, 7]))).await;
    assert_eq!(changed, ["Delta 1..2 5 Some(30.0) [2, 3]"]);
    // Without a sum there is none; the next one counts from the last that was known.
    assert_eq!(setup.send(&histogram(3, &point(16, "", [9, 7]))).await, ["Delta 2..3 1 None [1, 0]"]);
    assert_eq!(
        setup.send(&histogram(4, &point(17, r#","sum":90"#, [9, 8]))).await,
        ["Delta 3..4 1 Some(10.0) [0, 1]"]
    );
    // It began anew, and counts from there at once.
    assert_eq!(setup.send(&histogram(5, &point(2, r#","sum":3"#, [1, 1]))).await, none);
    assert_eq!(
        setup.send(&histogram(6, &point(4, r#","sum":5"#, [2, 2]))).await,
        ["Delta 5..6 2 Some(2.0) [1, 1]"]
    );
    // A bucket fell though the count did not.
    assert_eq!(setup.send(&histogram(7, &point(5, r#","sum":6"#, [1, 4]))).await, none);
    // Other buckets, by number and by bounds.
    let other = r#""count":"9","bucketCounts":["9"]"#;
    assert_eq!(setup.send(&histogram(8, other)).await, none);
    assert_eq!(setup.send(&histogram(9, other)).await, ["Delta 8..9 0 None [0]"]);
    let bounds = r#""count":"9","bucketCounts":["9"],"explicitBounds":[7]"#;
    assert_eq!(setup.send(&histogram(10, bounds)).await, none);
    assert_eq!(setup.value("datapoints_dropped{metric_type=histogram,reason=reset}"), 2.0);
    assert_eq!(setup.value("datapoints_dropped{metric_type=histogram,reason=bucket_mismatch}"), 2.0);
    assert_eq!(setup.value("datapoints{metric_type=histogram}"), 5.0);
}

#[tokio::test]
async fn exponential_histograms() {
    let setup = Setup::new("initial_value: drop");
    let point = |count: u64, scale: i32, zero: &str, positive: &str| {
        format!(
            r#""count":"{count}","sum":{count},"scale":{scale},{zero},"positive":{{{positive}}},"negative":{{"offset":-2,"bucketCounts":["1"]}},"min":1,"max":2"#
        )
    };
    let none = Vec::<String>::new();
    let zero = r#""zeroCount":"1""#;
    assert_eq!(
        setup.send(&exponential(1, &point(5, 2, zero, r#""offset":4,"bucketCounts":["1","2"]"#))).await,
        none
    );
    assert_eq!(
        setup
            .send(&exponential(2, &point(8, 2, zero, r#""offset":3,"bucketCounts":["0","2","2","2"]"#)))
            .await,
        ["Delta 1..2 3 Some(3.0) scale 2 zero 0 4[1, 0, 2] 0[]"]
    );
    // A lower scale joins buckets: 4 to 6 with 2, 2, 2 are 2 and 3 with 4 and 2.
    let coarse = point(9, 1, zero, r#""offset":2,"bucketCounts":["4","3"]"#).replace("-2", "-1");
    assert_eq!(
        setup.send(&exponential(3, &coarse)).await,
        ["Delta 2..3 1 Some(1.0) scale 1 zero 0 3[1] 0[]"]
    );
    // A wider zero bucket takes what lies in it: bucket 2 of scale 1 reaches from 2 to 2.8.
    let wide = point(10, 1, r#""zeroCount":"6","zeroThreshold":2.5"#, r#""offset":3,"bucketCounts":["3"]"#)
        .replace(r#""offset":-2,"bucketCounts":["1"]"#, "");
    assert_eq!(setup.send(&exponential(4, &wide)).await, ["Delta 3..4 1 Some(1.0) scale 1 zero 0 0[] 0[]"]);
    // A finer scale is a new process.
    let finer = point(11, 3, r#""zeroCount":"6","zeroThreshold":2.5"#, r#""offset":30,"bucketCounts":["3"]"#);
    assert_eq!(setup.send(&exponential(5, &finer)).await, none);
    assert_eq!(
        setup.send(&exponential(6, &finer.replace("11", "12"))).await,
        ["Delta 5..6 1 Some(1.0) scale 3 zero 0 0[] 0[]"]
    );
    assert_eq!(setup.value("datapoints_dropped{metric_type=exponential_histogram,reason=reset}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn streams_are_forgotten() {
    let check = async |yaml: &str, idle: u64, remembered: bool| {
        let setup = Setup::new(&format!("initial_value: drop\n{yaml}"));
        setup.send(&sum(0, 1, r#""asInt":"1""#)).await;
        tokio::time::advance(Duration::from_secs(idle)).await;
        let got = setup.send(&sum(0, 2, r#""asInt":"2""#)).await;
        assert_eq!(!got.is_empty(), remembered, "{yaml} {idle}");
    };
    check("", 3599, true).await;
    check("", 3601, false).await;
    check("max_staleness: 1m", 61, false).await;
    check("max_staleness: 0", 1_000_000, true).await;
}

/// Row E79.
#[tokio::test(start_paused = true)]
async fn a_start_time_that_moves_begins_a_stream_each_time_which_is_said() {
    let logs = LogCapture::begin();
    let setup = Setup::new("initial_value: keep");
    for time in 1..20 {
        let got = setup.send(&sum(time, time + 1, r#""asInt":"7""#)).await;
        assert_eq!(got, [format!("Delta 0..{} 7", time + 1)]);
    }
    assert_eq!(setup.value("streams_tracked{}"), 19.0);
    assert_eq!(logs.messages(tracing::Level::WARN), Vec::<String>::new());
    tokio::time::advance(Duration::from_secs(3600)).await;
    setup.send(&sum(1, 2, r#""asInt":"7""#)).await;
    assert_eq!(setup.value("streams_tracked{}"), 1.0);
    let said = logs.messages(tracing::Level::WARN);
    assert!(said.len() == 1 && said[0].starts_with("Most streams had one point only"), "{said:?}");
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let error = cumulativetodeltaprocessor::factory().decode(Some(&node), "").unwrap_err();
        assert!(error.to_string().contains(expected), "{yaml}: {error}");
    };
    check("initial_value: maybe", "initial_value: unknown initial_value: maybe");
    check("include: {metrics: [a]}", "include: match_type must be set if metrics are supplied");
    check("exclude: {match_type: strict}", "exclude: metrics must be supplied if match_type is set");
    check(
        "include: {match_type: exact, metrics: [a]}",
        "include::match_type: unrecognized match_type: 'exact'",
    );
    check("include: {match_type: regexp, metrics: ['(']}", "include::metrics[0]: invalid regular expression");
    check(
        "exclude: {metric_types: [sum, gauge]}",
        "exclude::metric_types[1]: found invalid metric type: gauge",
    );
    check("max_staleness: -1s", "max_staleness");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    ProcessorContract::new(cumulativetodeltaprocessor::factory(), "").check().await;
}
