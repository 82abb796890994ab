//! What becomes of resources.

use std::sync::Arc;

use component::{Component, Consumer, Host, Kind};
use pdata::{Attributes, Batch, Signal, Value};
use testkit::{LogCapture, RecordingSink, TestTelemetry};
use tokio::time::{Duration, Instant};
use tracing::Level;

use crate::Config;
use crate::detector::SCHEMA_URL;
use crate::engine::Detected;
use crate::processor::DetectionProcessor;

fn processor(yaml: &str, sink: Arc<RecordingSink>) -> DetectionProcessor {
    let config: Config = confmap::from_yaml(yaml).unwrap();
    let mut settings = TestTelemetry::default().settings(Kind::Processor, "resource_detection");
    settings.pipeline = component::PipelineId::parse("logs").ok();
    DetectionProcessor::new(settings, Arc::new(config), sink).unwrap()
}

fn batch(attributes: &str, schema_url: &str) -> Batch {
    let json = format!(
        r#"{{"resourceLogs": [{{"resource": {{"attributes": [{attributes}]}}, "schemaUrl": "{schema_url}",
            "scopeLogs": [{{"logRecords": [{{"body": {{"stringValue": "x"}}}}]}}]}}]}}"#
    );
    Batch::from_json(Signal::Logs, json.as_bytes()).unwrap()
}

fn text(key: &str, value: &str) -> String {
    format!(r#"{{"key": "{key}", "value": {{"stringValue": "{value}"}}}}"#)
}

fn detected() -> Detected {
    let list = Value::Array(vec!["10.0.0.1".into(), "fe80::1".into()]);
    let pairs: [(&str, Value); 3] = [("host.name", "ours".into()), ("host.ip", list), ("n", Value::Int(7))];
    Detected { schema_url: SCHEMA_URL, attributes: Attributes::new(pairs) }
}

fn check(yaml: &str, attributes: &str, expected: &[&str]) {
    let processor = processor(yaml, RecordingSink::new());
    let after = processor.apply(batch(attributes, ""), &detected());
    assert_eq!(Batch::from_protobuf(Signal::Logs, after.to_protobuf()).unwrap(), after);
    assert_eq!(after.items(), 1);
    let resource = pdata::logs::resources(&after).next().unwrap();
    let pairs = resource.resource().attributes().map(|pair| match Value::from(pair.value) {
        Value::String(text) => format!("{}={text}", pair.key),
        other => format!("{}={other:?}", pair.key),
    });
    assert_eq!(pairs.collect::<Vec<_>>(), expected, "{yaml} {attributes}");
}

const LIST: &str = r#"host.ip=Array([String("10.0.0.1"), String("fe80::1")])"#;

#[test]
fn what_is_detected_replaces_or_only_adds() {
    check("{}", &text("a", "x"), &["a=x", "host.name=ours", LIST, "n=Int(7)"]);
    check(
        "{}",
        &[text("host.name", "theirs"), text("a", "x")].join(","),
        &["a=x", "host.name=ours", LIST, "n=Int(7)"],
    );
    let theirs = [text("host.name", "theirs"), text("n", "")].join(",");
    check("override: false", &theirs, &["host.name=theirs", "n=", LIST]);
}

/// Row E76.
#[test]
fn an_empty_incoming_resource() {
    for yaml in ["override: true", "override: false"] {
        check(yaml, "", &["host.name=ours", LIST, "n=Int(7)"]);
    }
}

#[test]
fn the_schema_url_is_set_where_there_is_none() {
    let processor = processor("{}", RecordingSink::new());
    let url = |incoming: &str, detected: &Detected| {
        let after = processor.apply(batch("", incoming), detected);
        pdata::logs::resources(&after).next().unwrap().schema_url().to_owned()
    };
    assert_eq!(url("", &detected()), SCHEMA_URL);
    assert_eq!(url("https://example.com/1", &detected()), "https://example.com/1");
    assert_eq!(url("", &Detected { schema_url: "", ..detected() }), "");
}

/// Row E74.
#[test]
fn override_with_data_of_other_hosts() {
    let capture = LogCapture::begin();
    let processor = processor("{}", RecordingSink::new());
    processor.apply(batch(&text("host.name", "ours"), ""), &detected());
    assert!(capture.messages(Level::WARN).is_empty());
    for _ in 0..2 {
        processor.apply(batch(&text("host.name", "theirs"), ""), &detected());
    }
    let warnings = capture.messages(Level::WARN);
    assert!(warnings.len() == 1 && warnings[0].contains("override: false"), "{warnings:?}");
}

#[tokio::test(start_paused = true)]
async fn pipelines_share_one_detection_until_the_last_ends() {
    let yaml = "{detectors: [system], system: {hostname_sources: [os]}, refresh_interval: 1h}";
    let (host, sink) = (Host::standalone(), RecordingSink::new());
    let processors = [processor(yaml, sink.clone()), processor(yaml, sink.clone())];
    for processor in &processors {
        processor.start(&host).await.unwrap();
    }
    assert_eq!(host.tasks().names(), ["resource_detection: system"]);
    for processor in &processors {
        processor.consume(batch("", "")).await.unwrap();
    }
    let [first, second] = sink.batches().try_into().unwrap();
    assert_eq!(first, second);
    let resource = pdata::logs::resources(&first).next().unwrap();
    assert!(resource.resource().attributes().get("host.name").is_some());
    for (processor, left) in processors.iter().zip([1, 0]) {
        processor.shutdown(Instant::now() + Duration::from_secs(1)).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(host.tasks().names().len(), left);
    }
}
