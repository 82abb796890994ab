//! What is left after the filter.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use component::{ConsumeError, Kind, PipelineId};
use confmap::Node;
use pdata::{Batch, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

const METRICS: &str = r#"{"resourceMetrics":[
  {"resource":{"attributes":[{"key":"app","value":{"stringValue":"shop"}},{"key":"n","value":{"intValue":"1"}}]},"scopeMetrics":[{"metrics":[
    {"name":"cpu","gauge":{"dataPoints":[{"asInt":"1","attributes":[{"key":"core","value":{"stringValue":"0"}}]},{"asInt":"2","attributes":[{"key":"core","value":{"stringValue":"1"}}]}]}},
    {"name":"memory","histogram":{"dataPoints":[{"count":"3","attributes":[{"key":"core","value":{"stringValue":"0"}}]}]}}]}]},
  {"resource":{"attributes":[{"key":"app","value":{"stringValue":"cart"}}]},"scopeMetrics":[{"metrics":[{"name":"disk","gauge":{"dataPoints":[{"asInt":"4"}]}}]}]}]}"#;

const LOGS: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"app","value":{"stringValue":"shop"}}]},"scopeLogs":[{"logRecords":[
    {"body":{"stringValue":"a"},"severityNumber":5,"severityText":"DEBUG"},
    {"body":{"stringValue":"b"},"severityNumber":17,"severityText":"ERROR","attributes":[{"key":"k","value":{"intValue":"1"}}]},
    {"body":{"stringValue":"c"}}]}]}]}"#;

const SPANS: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[
    {"scope":{"name":"lib","version":"1"},"spans":[
      {"name":"a","kind":2,"events":[{"name":"e1"},{"name":"e2"}]},
      {"name":"b","kind":3,"attributes":[{"key":"k","value":{"boolValue":true}}],"events":[{"name":"e1"}]}]}]}]}"#;

/// What is left: the names or bodies of the items, or the error.
async fn run(signal: Signal, yaml: &str) -> Result<(Vec<String>, f64), ConsumeError> {
    let json = match signal {
        Signal::Metrics => METRICS,
        Signal::Logs => LOGS,
        Signal::Traces => SPANS,
    };
    let batch = Batch::from_json(signal, json.as_bytes()).unwrap();
    let telemetry = TestTelemetry::default();
    let mut settings = telemetry.settings(Kind::Processor, "filter");
    settings.pipeline = Some(PipelineId::parse(signal.as_str()).unwrap());
    let sink = RecordingSink::new();
    let factory = filterprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "filter").unwrap();
    let processor = factory.create(settings, &config, sink.clone()).unwrap();
    processor.consume(batch).await?;
    let filtered = telemetry.values().into_iter().find(|(name, _)| name.contains("filtered{filter=filter}"));
    Ok((sink.batches().iter().flat_map(names).collect(), filtered.unwrap().1))
}

fn names(batch: &Batch) -> Vec<String> {
    let again = Batch::from_protobuf(batch.signal(), batch.to_protobuf()).unwrap();
    assert_eq!(again.items(), batch.items());
    let mut names = Vec::new();
    for metric in pdata::metrics::resources(batch).flat_map(|r| r.scopes()).flat_map(|s| s.metrics()) {
        let points = match metric.data {
            pdata::metrics::Data::Gauge(points) => points.count(),
            pdata::metrics::Data::Histogram { points, .. } => points.count(),
            _ => 0,
        };
        names.push(format!("{}{points}", metric.name));
    }
    for record in pdata::logs::resources(batch).flat_map(|r| r.scopes()).flat_map(|s| s.log_records()) {
        names.push(record.body.as_str().unwrap().to_owned());
    }
    for span in pdata::traces::resources(batch).flat_map(|r| r.scopes()).flat_map(|s| s.spans()) {
        names.push(format!("{}{}", span.name, span.events().count()));
    }
    names
}

async fn check(signal: Signal, yaml: &str, expected: &[&str]) {
    assert_eq!(run(signal, yaml).await.unwrap().0, expected, "{yaml}");
}

#[tokio::test]
async fn metric_blocks() {
    let check = async |yaml: &str, expected: &[&str]| {
        check(Signal::Metrics, &format!("metrics: {{{yaml}}}"), expected).await
    };
    check("include: {match_type: strict, metric_names: [cpu, dis]}", &["cpu2"]).await;
    check("include: {match_type: regexp, metric_names: ['^d', emo]}", &["memory1", "disk1"]).await;
    check("exclude: {match_type: strict, metric_names: [cpu]}", &["memory1", "disk1"]).await;
    check("include: {match_type: regexp, metric_names: ['.*']}, exclude: {match_type: strict, metric_names: [disk]}", &["cpu2", "memory1"]).await;
    check("include: {match_type: strict, resource_attributes: [{key: app, value: cart}]}", &["disk1"]).await;
    check("exclude: {match_type: strict, resource_attributes: [{key: n}]}", &["disk1"]).await;
    check("exclude: {match_type: strict, resource_attributes: [{key: n, value: 1}]}", &["disk1"]).await;
    // A strict value has a type.
    check(
        "exclude: {match_type: strict, resource_attributes: [{key: n, value: '1'}]}",
        &["cpu2", "memory1", "disk1"],
    )
    .await;
    check(
        "include: {match_type: regexp, resource_attributes: [{key: app, value: '^s'}, {key: n, value: '1'}]}",
        &["cpu2", "memory1"],
    )
    .await;
    // The resource and the name are independent tests.
    check(
        "include: {match_type: strict, metric_names: [disk], resource_attributes: [{key: app, value: shop}]}",
        &[],
    )
    .await;
    check(
        "exclude: {match_type: strict, metric_names: [cpu], resource_attributes: [{key: app, value: cart}]}",
        &["memory1"],
    )
    .await;
}

#[tokio::test]
async fn metric_conditions() {
    let check = async |yaml: &str, expected: &[&str]| check(Signal::Metrics, yaml, expected).await;
    check(r#"metrics: {metric: ['name == "cpu"', 'type == METRIC_DATA_TYPE_HISTOGRAM']}"#, &["disk1"]).await;
    check(r#"metrics: {resource: ['attributes["app"] == "shop"']}"#, &["disk1"]).await;
    check(r#"metrics: {datapoint: ['attributes["core"] == "0"']}"#, &["cpu1", "disk1"]).await;
    check(
        r#"metrics: {datapoint: ['metric.name == "cpu" and value_int < 2']}"#,
        &["cpu1", "memory1", "disk1"],
    )
    .await;
    check(r#"metrics: {metric: ['HasAttrKeyOnDatapoint("core")']}"#, &["disk1"]).await;
    check(r#"metrics: {metric: ['HasAttrOnDatapoint("core", "1")']}"#, &["memory1", "disk1"]).await;
    check(
        r#"metric_conditions: ['resource.attributes["app"] == "cart"', 'datapoint.value_int == 2']"#,
        &["cpu1", "memory1"],
    )
    .await;
    check(r#"metric_conditions: [{context: metric, conditions: ['name == "cpu"']}]"#, &["memory1", "disk1"])
        .await;
    check(r#"metrics: {metric: ['IsMatch(name, ".*")']}"#, &[]).await;
    check("{}", &["cpu2", "memory1", "disk1"]).await;
}

/// Row E78.
#[tokio::test]
async fn conditions_on_points_hold_for_every_kind() {
    let point = |value: &str| {
        let pair =
            |core: u8| format!(r#""attributes":[{{"key":"core","value":{{"stringValue":"{core}"}}}}]"#);
        format!(r#"{{"dataPoints":[{{{value},{}}},{{{value},{}}}]}}"#, pair(0), pair(1))
    };
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[
            {{"name":"a","gauge":{}}},{{"name":"b","sum":{}}},{{"name":"c","histogram":{}}},
            {{"name":"d","exponentialHistogram":{}}},{{"name":"e","summary":{}}}]}}]}}]}}"#,
        point(r#""asInt":"1""#),
        point(r#""asDouble":1"#),
        point(r#""count":"1""#),
        point(r#""count":"1""#),
        point(r#""count":"1""#)
    );
    let batch = Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap();
    let factory = filterprocessor::factory();
    let yaml = r#"metrics: {datapoint: ['attributes["core"] == "0"']}"#;
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "filter").unwrap();
    let sink = RecordingSink::new();
    let settings = TestTelemetry::default().settings(Kind::Processor, "filter");
    factory.create(settings, &config, sink.clone()).unwrap().consume(batch).await.unwrap();
    let left = sink.batches().pop().unwrap();
    assert_eq!(left.items(), 5);
    assert!(!String::from_utf8(left.to_json()).unwrap().contains(r#"{"stringValue":"0"}"#));
}

#[tokio::test]
async fn logs() {
    let check = async |yaml: &str, expected: &[&str]| {
        check(Signal::Logs, &format!("logs: {{{yaml}}}"), expected).await
    };
    check("include: {match_type: strict, bodies: [a, c]}", &["a", "c"]).await;
    check("exclude: {match_type: regexp, bodies: ['[ab]']}", &["c"]).await;
    check("include: {match_type: strict, severity_texts: [ERROR]}", &["b"]).await;
    check("include: {severity_number: {min: 9}}", &["b"]).await;
    check("include: {severity_number: {min: 9, match_undefined: true}}", &["b", "c"]).await;
    check("include: {match_type: strict, record_attributes: [{key: k, value: 1}]}", &["b"]).await;
    check("include: {match_type: strict, resource_attributes: [{key: app, value: other}]}", &[]).await;
    check(
        "exclude: {match_type: strict, bodies: [a], resource_attributes: [{key: app, value: other}]}",
        &["a", "b", "c"],
    )
    .await;
    check(r#"log_record: ['severity_number < SEVERITY_NUMBER_WARN', 'body == "b"']"#, &[]).await;
    check(r#"log_record: ['IsMatch(body, "^[bc]")']"#, &["a"]).await;
}

#[tokio::test]
async fn spans() {
    let check = async |yaml: &str, expected: &[&str]| check(Signal::Traces, yaml, expected).await;
    check("spans: {include: {match_type: strict, span_names: [a]}}", &["a2"]).await;
    check("spans: {exclude: {match_type: strict, span_kinds: [SPAN_KIND_SERVER]}}", &["b1"]).await;
    check("spans: {exclude: {match_type: regexp, services: ['^sh']}}", &[]).await;
    check("spans: {include: {match_type: strict, attributes: [{key: k, value: true}]}}", &["b1"]).await;
    check("spans: {include: {match_type: strict, libraries: [{name: lib, version: '2'}]}}", &[]).await;
    check("spans: {include: {match_type: strict, libraries: [{name: lib}]}}", &["a2", "b1"]).await;
    check("spans: {include: {match_type: strict, resources: [{key: service.name, value: shop}], span_names: [b]}}", &["b1"]).await;
    check(r#"traces: {span: ['name == "a"']}"#, &["b1"]).await;
    // A span stays without its events.
    check(r#"traces: {spanevent: ['name == "e1"']}"#, &["a1", "b0"]).await;
    check(r#"traces: {span: ['name == "a"'], spanevent: ['true']}"#, &["b0"]).await;
    check(r#"trace_conditions: ['spanevent.name == "e2"', 'span.kind == SPAN_KIND_CLIENT']"#, &["a1"]).await;
}

#[tokio::test]
async fn errors_of_conditions() {
    let yaml = |mode: &str| {
        format!(r#"{{error_mode: {mode}, logs: {{log_record: ['body + 1 == 2', 'body == "a"']}}}}"#)
    };
    assert_eq!(
        run(Signal::Logs, &yaml("ignore")).await.unwrap(),
        (vec!["b".to_owned(), "c".to_owned()], 1.0)
    );
    assert_eq!(run(Signal::Logs, &yaml("silent")).await.unwrap().1, 1.0);
    let error = run(Signal::Logs, &yaml("propagate")).await.unwrap_err();
    assert_eq!(
        error,
        ConsumeError::permanent(
            "failed to eval condition: body + 1 == 2, expected int or double but got string"
        )
    );
    let group = r#"log_conditions: [{error_mode: propagate, context: log, conditions: ['body + 1 == 2']}]"#;
    assert!(run(Signal::Logs, group).await.is_err());
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let problems = filterprocessor::factory().decode(Some(&node), "filter").unwrap_err().to_string();
        assert!(problems.contains(expected), "{yaml}: {problems}");
    };
    check(
        "metrics: {include: {match_type: expr, expressions: [x]}}",
        "filter::metrics::include::match_type: expr is not supported",
    );
    check(
        "metrics: {include: {metric_names: [x]}}",
        "filter::metrics::include::match_type: unrecognized match_type: ''",
    );
    check(
        "metrics: {include: {match_type: regexp, metric_names: ['(']}}",
        "include::metric_names[0]: invalid regular expression",
    );
    check(
        "metrics: {include: {match_type: strict, metric_names: [a]}, metric: ['true']}",
        "filter: cannot use ottl conditions and include/exclude for metrics at the same time",
    );
    check(
        "metric_conditions: ['metric.name == nil']\nmetrics: {metric: ['true']}",
        "cannot use metric_conditions and metrics at the same time",
    );
    check(
        "logs: {log_record: ['bdy == 1']}",
        "filter::logs::log_record[0]: \"bdy == 1\": invalid syntax at 1:1: unknown path `bdy` of a log (did you mean `body`?)",
    );
    check("metric_conditions: ['true']", "filter::metric_conditions[0]: unable to infer a valid context");
    check("error_mode: loud", "error_mode");
    check("spans: {include: {match_type: strict}}", "at least one of services, span_names");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    ProcessorContract::new(
        filterprocessor::factory(),
        "{metrics: {metric: ['name == \"no\"']}, logs: {log_record: ['false']}}",
    )
    .telemetry(&[])
    .check()
    .await;
}
