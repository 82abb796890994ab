//! What statements make of requests.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;

use component::{ConsumeError, Gates, Kind, PipelineId, Settings};
use confmap::Node;
use pdata::{Batch, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

async fn run(signal: Signal, yaml: &str, json: &str) -> Result<String, ConsumeError> {
    let batch = Batch::from_json(signal, json.as_bytes()).unwrap();
    let mut settings = TestTelemetry::default().settings(Kind::Processor, "transform");
    settings.pipeline = Some(PipelineId::parse(signal.as_str()).unwrap());
    let sink = RecordingSink::new();
    let factory = transformprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "transform").unwrap();
    factory.create(settings, &config, sink.clone()).unwrap().consume(batch).await?;
    let batch = sink.batches().pop().unwrap();
    assert_eq!(Batch::from_protobuf(signal, batch.to_protobuf()).as_ref(), Ok(&batch));
    Ok(String::from_utf8(batch.to_json()).unwrap())
}

/// A request with one resource, whose attribute `r` is the first argument, and log records.
fn logs(resource: &str, records: &[&str]) -> String {
    let records: Vec<String> =
        records.iter().map(|body| format!(r#"{{"body":{{"stringValue":"{body}"}}}}"#)).collect();
    format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"r","value":{{"stringValue":"{resource}"}}}}]}},"scopeLogs":[{{"scope":{{}},"logRecords":[{}]}}]}}]}}"#,
        records.join(",")
    )
}

async fn check(yaml: &str, records: &[&str], after: &str) {
    assert_eq!(run(Signal::Logs, yaml, &logs("x", records)).await.unwrap(), after, "{yaml}");
}

#[tokio::test]
async fn statements_run_in_order() {
    check(
        r#"log_statements: ['set(log.body, "b")', 'set(log.body, Concat([log.body, "c"], ""))']"#,
        &["a"],
        &logs("x", &["bc"]),
    )
    .await;
    check(r#"log_statements: [{context: log, statements: ['set(body, "b")', 'set(body, Concat([body, "c"], ""))']}]"#, &["a"], &logs("x", &["bc"])).await;
    check("{}", &["a"], &logs("x", &["a"])).await;
}

#[tokio::test]
async fn each_group_sees_what_the_groups_before_made_of_the_whole_request() {
    let yaml = r#"log_statements:
      - context: log
        statements: ['set(resource.attributes["r"], body)']
      - context: log
        statements: ['set(body, resource.attributes["r"])']"#;
    check(yaml, &["a", "b"], &logs("b", &["b", "b"])).await;
    let flat = r#"log_statements: ['set(resource.attributes["r"], log.body)', 'set(log.body, resource.attributes["r"])']"#;
    check(flat, &["a", "b"], &logs("b", &["b", "b"])).await;
    let one = r#"log_statements: [{context: log, statements: ['set(resource.attributes["r"], body)', 'set(body, resource.attributes["r"])']}]"#;
    check(one, &["a", "b"], &logs("b", &["a", "b"])).await;
}

#[tokio::test]
async fn records_may_have_resources_of_their_own() {
    let statements = r#"log_statements: ['set(resource.attributes["r"], log.body)']"#;
    check(statements, &["a", "b", "a"], &logs("a", &["a", "b", "a"])).await;
    let yaml = format!("flatten_data: true\n{statements}");
    let factory = transformprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", &yaml).unwrap()), "transform").unwrap();
    let create = |gates: Gates, sink: &Arc<RecordingSink>| {
        let mut settings = TestTelemetry::default().settings(Kind::Processor, "transform");
        settings.pipeline = Some(PipelineId::parse("logs").unwrap());
        factory.create(Settings { gates, ..settings }, &config, sink.clone())
    };
    let sink = RecordingSink::new();
    let refused = create(Gates::default(), &sink).err().unwrap().to_string();
    assert!(
        refused.starts_with("'flatten_data' requires the 'transform.flatten.logs' feature gate"),
        "{refused}"
    );
    let processor = create(Gates::new(["transform.flatten.logs"]), &sink).unwrap();
    let batch = Batch::from_json(Signal::Logs, logs("x", &["a", "b", "a"]).as_bytes()).unwrap().tracked();
    processor.consume(batch.clone()).await.unwrap();
    batch.deliveries().unwrap().insert(1, 2);
    let (got, inner) = (sink.batches().pop().unwrap(), |json: String| json[17..json.len() - 2].to_owned());
    let expected =
        format!(r#"{{"resourceLogs":[{},{}]}}"#, inner(logs("a", &["a", "a"])), inner(logs("b", &["b"])));
    assert_eq!((got.items(), String::from_utf8(got.to_json()).unwrap()), (3, expected));
    assert!(got.deliveries().unwrap().contains(1, 2), "another delivery");
}

#[tokio::test]
async fn conditions_of_groups_and_statements() {
    let yaml = r#"log_statements: [{context: log, conditions: ['body == "a"', 'body == "b"'], statements: ['set(body, "z") where body != "b"']}]"#;
    check(yaml, &["a", "b", "c"], &logs("x", &["z", "b", "c"])).await;
    check(
        r#"log_statements: ['set(resource.attributes["r"], "y") where resource.attributes["r"] == "x"']"#,
        &["a"],
        &logs("y", &["a"]),
    )
    .await;
    check(r#"log_statements: ['set(log.cache["k"], log.body)', 'set(log.body, Concat([log.cache["k"], "!"], ""))']"#, &["a", "b"], &logs("x", &["a!", "b!"])).await;
}

#[tokio::test]
async fn metrics_and_spans() {
    let json = |name: &str, unit: &str, core: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"resource":{{}},"scopeMetrics":[{{"scope":{{}},"metrics":[{{"name":"{name}","unit":"{unit}","gauge":{{"dataPoints":[{{"attributes":[{core}],"timeUnixNano":"1","asInt":"2"}}]}}}}]}}]}}]}}"#
        )
    };
    let core = |value: &str| format!(r#"{{"key":"core","value":{{"stringValue":"{value}"}}}}"#);
    let yaml = r#"metric_statements:
      - context: metric
        statements: ['replace_pattern(name, "^old_(.*)$", "new_$1")', 'set(unit, "By") where unit == ""']
      - context: datapoint
        statements: ['set(attributes["core"], Format("core-%s", [attributes["core"]])) where metric.name == "new_a"']"#;
    assert_eq!(
        run(Signal::Metrics, yaml, &json("old_a", "", &core("0"))).await.unwrap(),
        json("new_a", "By", &core("core-0"))
    );
    let spans = |name: &str, event: &str| {
        format!(
            r#"{{"resourceSpans":[{{"resource":{{}},"scopeSpans":[{{"scope":{{}},"spans":[{{"name":"{name}","events":[{{"name":"{event}"}}],"status":{{}}}}]}}]}}]}}"#
        )
    };
    let yaml = r#"trace_statements: ['set(span.name, "s") where span.name == "a"', 'set(spanevent.name, span.name)']"#;
    assert_eq!(run(Signal::Traces, yaml, &spans("a", "e")).await.unwrap(), spans("s", "s"));
}

#[tokio::test]
async fn errors() {
    let yaml = |mode: &str| {
        format!(
            r#"{{error_mode: {mode}, log_statements: ['delete_key(log.body, "a")', 'set(log.body, "b")']}}"#
        )
    };
    for mode in ["ignore", "silent"] {
        check(&yaml(mode), &["a"], &logs("x", &["b"])).await;
    }
    let expected = ConsumeError::permanent(
        r#"failed to execute statement: delete_key(log.body, "a"), expected map but got string"#,
    );
    assert_eq!(run(Signal::Logs, &yaml("propagate"), &logs("x", &["a"])).await, Err(expected.clone()));
    let default = r#"log_statements: ['delete_key(log.body, "a")']"#;
    assert_eq!(run(Signal::Logs, default, &logs("x", &["a"])).await, Err(expected));
    let group = r#"log_statements: [{context: log, error_mode: ignore, statements: ['delete_key(body, "a")', 'set(body, "b")']}]"#;
    check(group, &["a"], &logs("x", &["b"])).await;
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let problems =
            transformprocessor::factory().decode(Some(&node), "transform").unwrap_err().to_string();
        assert!(problems.contains(expected), "{yaml}: {problems}");
    };
    check(
        "log_statements: ['set(log.bdy, 1)']",
        "transform::log_statements[0]: \"set(log.bdy, 1)\": invalid syntax at 1:5: unknown path `bdy` of a log (did you mean `body`?)",
    );
    check(
        "metric_statements: [{context: metric, statements: ['set(name, 1)', 'st(name, 1)']}]",
        "transform::metric_statements[0]::statements[1]: \"st(name, 1)\"",
    );
    check(
        "metric_statements: [{context: metric, conditions: ['nam == 1']}]",
        "metric_statements[0]::conditions[0]",
    );
    check(
        "trace_statements: [{context: log}]",
        "unknown context \"log\" (contexts of traces: resource, scope, span, spanevent)",
    );
    check("log_statements: ['set(body, 1)']", "unable to infer a valid context");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    let yaml = r#"{metric_statements: ['set(datapoint.attributes["a"], 1)'], log_statements: ['set(log.attributes["a"], 1)'], trace_statements: ['set(span.attributes["a"], 1)']}"#;
    ProcessorContract::new(transformprocessor::factory(), yaml).check().await;
}
