//! What becomes of delta sums.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use component::{ConsumeError, Kind};
use confmap::Node;
use pdata::{Batch, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

fn request(metric: &str) -> Batch {
    let json = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#);
    Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap()
}

async fn run(batch: Batch) -> Result<Batch, ConsumeError> {
    let sink = RecordingSink::new();
    let factory = deltatorateprocessor::factory();
    let config =
        factory.decode(Some(&Node::from_yaml("test", "metrics: [a]").unwrap()), "deltatorate").unwrap();
    let settings = TestTelemetry::default().settings(Kind::Processor, "deltatorate");
    factory.create(settings, &config, sink.clone()).unwrap().consume(batch).await?;
    Ok(sink.batches().pop().unwrap())
}

async fn check(before: &str, after: &str) {
    let rated = run(request(before)).await.unwrap();
    assert_eq!(Batch::from_protobuf(Signal::Metrics, rated.to_protobuf()).as_ref(), Ok(&rated));
    let text = |batch: &Batch| String::from_utf8(batch.to_json()).unwrap();
    assert_eq!(text(&rated), text(&request(after)));
}

fn sum(name: &str, unit: &str, temporality: u8, point: &str) -> String {
    format!(
        r#"{{"name":"{name}","unit":"{unit}","sum":{{"aggregationTemporality":{temporality},"isMonotonic":true,"dataPoints":[{{{point}}}]}}}}"#
    )
}

fn gauge(unit: &str, point: &str) -> String {
    format!(r#"{{"name":"a","unit":"{unit}","gauge":{{"dataPoints":[{{{point}}}]}}}}"#)
}

const TWO_SECONDS: &str = r#""startTimeUnixNano":"1000000000","timeUnixNano":"3000000000""#;

/// Rows V20 and, of equal times, E81.
#[tokio::test]
async fn delta_sums_become_gauges() {
    let timed = |value: &str| {
        format!(r#"{TWO_SECONDS},{value},"attributes":[{{"key":"k","value":{{"intValue":"1"}}}}]"#)
    };
    check(&sum("a", "By", 1, &timed(r#""asInt":"10""#)), &gauge("By/s", &timed(r#""asDouble":5"#))).await;
    check(&sum("a", "", 1, &timed(r#""asDouble":3"#)), &gauge("", &timed(r#""asDouble":1.5"#))).await;
    let instant = r#""startTimeUnixNano":"5","timeUnixNano":"5""#;
    check(
        &sum("a", "1", 1, &format!(r#"{instant},"asInt":"10""#)),
        &gauge("1/s", &format!(r#"{instant},"asDouble":0"#)),
    )
    .await;
    let backwards = r#""startTimeUnixNano":"9","timeUnixNano":"5""#;
    check(
        &sum("a", "1", 1, &format!(r#"{backwards},"asInt":"10""#)),
        &gauge("1/s", &format!(r#"{backwards},"asDouble":0"#)),
    )
    .await;
}

#[tokio::test]
async fn everything_else_passes_without_a_copy() {
    let point = format!(r#"{TWO_SECONDS},"asInt":"10""#);
    for metric in [sum("b", "By", 1, &point), sum("a", "By", 2, &point), gauge("By", &point)] {
        let batch = request(&metric);
        let same = run(batch.clone()).await.unwrap();
        assert_eq!(same.to_protobuf().as_ptr(), batch.to_protobuf().as_ptr(), "{metric}");
    }
}

#[tokio::test]
async fn a_point_without_a_value_is_refused_for_good() {
    let error = run(request(&sum("a", "By", 1, TWO_SECONDS))).await.unwrap_err();
    assert_eq!(error, ConsumeError::permanent("unsupported metric data point type: Empty"));
}

#[test]
fn names_are_needed() {
    let error = deltatorateprocessor::factory().decode(None, "deltatorate").unwrap_err();
    assert_eq!(error.to_string(), "deltatorate: metric names are missing");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    ProcessorContract::new(deltatorateprocessor::factory(), "metrics: [m0]").check().await;
}
