//! What is printed, and where.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use component::{Exporter, Host, Kind};
use confmap::Node;
use pdata::{Batch, Signal};
use testkit::contract::ExporterContract;
use testkit::{LogCapture, TestTelemetry};
use tokio::time::Instant;
use tracing::Level;

fn sample(signal: Signal) -> Batch {
    let json = match signal {
        Signal::Metrics => include_bytes!("../testdata/metrics.json").as_slice(),
        Signal::Logs => include_bytes!("../testdata/logs.json"),
        Signal::Traces => include_bytes!("../testdata/traces.json"),
    };
    Batch::from_json(signal, json).unwrap()
}

fn create(yaml: &str, signal: Signal) -> Arc<dyn Exporter> {
    let factory = debugexporter::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "debug").unwrap();
    let settings = TestTelemetry::default().settings(Kind::Exporter, "debug");
    factory.create(settings, &config, signal).unwrap()
}

async fn export(yaml: &str, batches: &[Batch]) {
    let exporter = create(yaml, batches.first().unwrap().signal());
    exporter.start(&Host::standalone()).await.unwrap();
    for batch in batches {
        exporter.consume(batch.clone()).await.unwrap();
    }
    exporter.shutdown(Instant::now() + Duration::from_secs(1)).await.unwrap();
}

/// The log of one batch: each line's fields behind its text.
async fn logged(verbosity: &str, signal: Signal) -> String {
    let log = LogCapture::begin();
    export(&format!("verbosity: {verbosity}"), &[sample(signal)]).await;
    let lines: Vec<_> = log
        .lines()
        .iter()
        .inspect(|line| assert_eq!(line.level, Level::INFO))
        .map(|line| {
            let mut line = line.clone();
            line.fields.retain(|name, _| !name.starts_with("otelcol."));
            line
        })
        .map(|line| {
            if line.fields.is_empty() {
                line.message.clone()
            } else {
                format!("{} {:?}", line.message, line.fields)
            }
        })
        .collect();
    lines.join("\n")
}

#[tokio::test]
async fn basic() {
    assert_eq!(
        logged("basic", Signal::Metrics).await,
        r#"Metrics {"data points": "6", "metrics": "6", "resource metrics": "1"}"#
    );
    assert_eq!(logged("basic", Signal::Logs).await, r#"Logs {"log records": "4", "resource logs": "2"}"#);
    assert_eq!(logged("Basic", Signal::Traces).await, r#"Traces {"resource spans": "1", "spans": "2"}"#);
}

#[tokio::test]
async fn normal() {
    insta::assert_snapshot!("normal_metrics", logged("normal", Signal::Metrics).await);
    insta::assert_snapshot!("normal_logs", logged("normal", Signal::Logs).await);
    insta::assert_snapshot!("normal_traces", logged("normal", Signal::Traces).await);
}

#[tokio::test]
async fn detailed() {
    insta::assert_snapshot!("detailed_metrics", logged("detailed", Signal::Metrics).await);
    insta::assert_snapshot!("detailed_logs", logged("Detailed", Signal::Logs).await);
    insta::assert_snapshot!("detailed_traces", logged("detailed", Signal::Traces).await);
}

#[tokio::test]
async fn files_get_what_the_log_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    let yaml = format!(
        "{{verbosity: normal, use_internal_logger: false, output_paths: [{:?}], sending_queue: {{}}}}",
        path.to_str().unwrap()
    );
    for _ in 0..2 {
        export(&yaml, &[sample(Signal::Traces)]).await;
    }
    let once = "Traces\t{\"resource spans\": 1, \"spans\": 2}\n\
        ResourceTraces #0 resource-attr=resource-attr-val-1\n\
        ScopeTraces #0 lib\n\
        operationA 0102030405060708090a0b0c0d0e0f10 1112131415161718 http.method=GET\n\
        operationB  \n\n";
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{once}{once}"));
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_fails_the_start() {
    let exporter = create("{use_internal_logger: false, output_paths: [/nosuch/file]}", Signal::Logs);
    let error = exporter.start(&Host::standalone()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot open output path \"/nosuch/file\" for appending");
}

#[tokio::test]
async fn log_lines_say_who_speaks() {
    let log = LogCapture::begin();
    export("{}", &[sample(Signal::Logs)]).await;
    let line = log.find("Logs").unwrap();
    let fields = ["id", "kind"].map(|name| line.field(&format!("otelcol.component.{name}")).to_owned());
    assert_eq!((fields, line.field("otelcol.signal")), (["debug".to_owned(), "exporter".to_owned()], "logs"));
}

#[tokio::test(start_paused = true)]
async fn sampling_counts_messages_by_text() {
    let log = LogCapture::begin();
    let batches = vec![sample(Signal::Logs); 9];
    export("{sampling_initial: 2, sampling_thereafter: 3}", &batches).await;
    assert_eq!(log.lines().len(), 4);
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let problems = debugexporter::factory().decode(Some(&node), "debug").unwrap_err().to_string();
        assert!(problems.contains(expected), "{yaml}: {problems}");
    };
    assert!(
        debugexporter::factory()
            .decode(Some(&Node::from_yaml("test", "verbosity:").unwrap()), "debug")
            .is_ok()
    );
    check("verbosity: none", "verbosity level \"None\" is not supported");
    check("verbosity: loud", "unknown metrics level \"loud\"");
    check("output_paths: [stderr]", "`output_paths` has no effect while `use_internal_logger` is true");
    check("sending_queue: {queue_size: 0}", "debug::sending_queue: `queue_size` must be positive");
    check("verbosty: basic", "has invalid keys: verbosty");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    ExporterContract::new(debugexporter::factory(), "verbosity: detailed").check().await;
}
