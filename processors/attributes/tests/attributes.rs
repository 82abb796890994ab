//! What the actions make of items.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;

use component::{Kind, PipelineId};
use confmap::Node;
use pdata::{AnyValueView, Batch, ClientInfo, KeyValues, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

const ATTRIBUTES: &str =
    r#""attributes":[{"key":"s","value":{"stringValue":"v1"}},{"key":"i","value":{"intValue":"2"}}]"#;

fn request(signal: Signal) -> Batch {
    let resource = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#;
    let json = match signal {
        Signal::Metrics => format!(
            r#"{{"resourceMetrics":[{{{resource},"scopeMetrics":[{{"metrics":[
                {{"name":"a","gauge":{{"dataPoints":[{{"asInt":"1",{ATTRIBUTES}}}]}}}},
                {{"name":"b","histogram":{{"dataPoints":[{{"count":"1",{ATTRIBUTES}}}]}}}},
                {{"name":"c","exponentialHistogram":{{"dataPoints":[{{"count":"1",{ATTRIBUTES}}}]}}}},
                {{"name":"d","summary":{{"dataPoints":[{{"count":"1",{ATTRIBUTES}}}]}}}}]}}]}}]}}"#
        ),
        Signal::Logs => format!(
            r#"{{"resourceLogs":[{{{resource},"scopeLogs":[{{"logRecords":[
                {{"body":{{"stringValue":"x"}},"severityNumber":9,{ATTRIBUTES}}},{{"body":{{"stringValue":"y"}},"severityText":"WARN",{ATTRIBUTES}}}]}}]}}]}}"#
        ),
        Signal::Traces => format!(
            r#"{{"resourceSpans":[{{{resource},"scopeSpans":[{{"scope":{{"name":"lib"}},"spans":[
                {{"name":"x","kind":2,{ATTRIBUTES}}},{{"name":"y","kind":3,{ATTRIBUTES}}}]}}]}}]}}"#
        ),
    };
    Batch::from_json(signal, json.as_bytes()).unwrap()
}

/// The attributes of every item, as `key=value`.
async fn run(signal: Signal, yaml: &str) -> Vec<String> {
    let mut settings = TestTelemetry::default().settings(Kind::Processor, "attributes");
    settings.pipeline = Some(PipelineId::parse(signal.as_str()).unwrap());
    let sink = RecordingSink::new();
    let factory = attributesprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "attributes").unwrap();
    let processor = factory.create(settings, &config, sink.clone()).unwrap();
    let client = ClientInfo { address: Some("10.1.2.3:4".parse().unwrap()), ..ClientInfo::default() };
    processor.consume(request(signal).with_client(Some(Arc::new(client)))).await.unwrap();
    let batch = sink.batches().pop().unwrap();
    assert_eq!(Batch::from_protobuf(signal, batch.to_protobuf()).as_ref(), Ok(&batch));
    let mut items = Vec::new();
    for metric in pdata::metrics::resources(&batch).flat_map(|r| r.scopes()).flat_map(|s| s.metrics()) {
        match metric.data {
            pdata::metrics::Data::Gauge(points) => {
                items.extend(points.numbers().map(|point| text(point.attributes())))
            }
            pdata::metrics::Data::Histogram { points, .. } => {
                items.extend(points.histograms().map(|point| text(point.attributes())));
            }
            pdata::metrics::Data::ExponentialHistogram { points, .. } => {
                items.extend(points.exponential_histograms().map(|point| text(point.attributes())));
            }
            pdata::metrics::Data::Summary(points) => {
                items.extend(points.summaries().map(|point| text(point.attributes())));
            }
            _ => {}
        }
    }
    let records = pdata::logs::resources(&batch).flat_map(|r| r.scopes()).flat_map(|s| s.log_records());
    items.extend(records.map(|record| text(record.attributes())));
    let spans = pdata::traces::resources(&batch).flat_map(|r| r.scopes()).flat_map(|s| s.spans());
    items.extend(spans.map(|span| text(span.attributes())));
    items
}

fn text(attributes: KeyValues<'_>) -> String {
    let pair = |value: AnyValueView<'_>| match value {
        AnyValueView::String(text) => text.to_owned(),
        AnyValueView::Int(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    let pairs: Vec<String> =
        attributes.map(|attribute| format!("{}={}", attribute.key, pair(attribute.value))).collect();
    pairs.join(" ")
}

const SAME: &str = "s=v1 i=2";

#[tokio::test]
async fn actions_on_every_item() {
    for signal in Signal::ALL {
        let check = async |actions: &str, expected: &str| {
            let items = run(signal, &format!("actions: [{actions}]")).await;
            assert!(
                items.len() >= 2 && items.iter().all(|item| item == expected),
                "{signal} {actions}: {items:?}"
            );
        };
        check("{action: insert, key: n, value: x}", "s=v1 i=2 n=x").await;
        check("{action: insert, key: s, value: x}", SAME).await;
        check("{action: update, key: s, value: x}", "s=x i=2").await;
        check("{action: update, key: n, value: x}", SAME).await;
        check("{action: upsert, key: n, from_attribute: i}", "s=v1 i=2 n=2").await;
        check("{action: upsert, key: n, from_attribute: no}", SAME).await;
        check("{action: insert, key: ip, from_context: client.address}", "s=v1 i=2 ip=10.1.2.3").await;
        check("{action: delete, key: s}", "i=2").await;
        check("{action: delete, pattern: '^[si]$'}", "").await;
        check("{action: DELETE, key: s, value: other}", SAME).await;
        check(
            "{action: hash, key: s}",
            "s=3bfc269594ef649228e9a74bab00f042efc91d5acc6fbee31a382e80d42388fe i=2",
        )
        .await;
        check(
            "{action: extract, key: s, pattern: '(?P<letter>[a-z])(?P<digit>\\d)'}",
            "s=v1 i=2 letter=v digit=1",
        )
        .await;
        check(
            "{action: convert, key: i, converted_type: string}, {action: insert, key: j, from_attribute: i}",
            "s=v1 i=2 j=2",
        )
        .await;
    }
}

#[tokio::test]
async fn only_what_is_included_and_not_excluded_is_changed() {
    let check = async |signal: Signal, yaml: &str, expected: &[bool]| {
        let items = run(signal, &format!("{{actions: [{{action: delete, key: s}}], {yaml}}}")).await;
        let changed: Vec<bool> = items.iter().map(|item| item == "i=2").collect();
        assert_eq!(changed, expected, "{yaml}");
    };
    check(Signal::Traces, "include: {match_type: strict, span_names: [x]}", &[true, false]).await;
    check(Signal::Traces, "exclude: {match_type: regexp, span_kinds: [SERVER]}", &[false, true]).await;
    check(
        Signal::Traces,
        "include: {match_type: strict, services: [shop]}, exclude: {match_type: strict, span_names: [y]}",
        &[true, false],
    )
    .await;
    check(Signal::Traces, "include: {match_type: strict, libraries: [{name: other}]}", &[false, false]).await;
    check(Signal::Logs, "include: {match_type: regexp, log_bodies: ['^x']}", &[true, false]).await;
    check(Signal::Logs, "include: {match_type: strict, log_severity_number: {min: 9}}", &[true, false]).await;
    check(Signal::Logs, "exclude: {match_type: strict, log_severity_texts: [WARN]}", &[true, false]).await;
    check(Signal::Logs, "include: {match_type: strict, attributes: [{key: i, value: 2}]}", &[true, true])
        .await;
    check(Signal::Logs, "include: {match_type: strict, attributes: [{key: i, value: '2'}]}", &[false, false])
        .await;
    check(
        Signal::Metrics,
        "include: {match_type: strict, metric_names: [a, d]}",
        &[true, false, false, true],
    )
    .await;
    check(Signal::Metrics, "exclude: {match_type: strict, resources: [{key: service.name}]}", &[false; 4])
        .await;
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let problems =
            attributesprocessor::factory().decode(Some(&node), "attributes").unwrap_err().to_string();
        assert!(problems.contains(expected), "{yaml}: {problems}");
    };
    check("actions: []", "attributes: missing required field \"actions\"");
    check("actions: [{action: insert, value: 1}]", "attributes::actions[0]: missing required field \"key\"");
    let include = |include: &str, expected: &str| {
        check(&format!("{{actions: [{{action: delete, key: s}}], include: {{{include}}}}}"), expected);
    };
    include("span_names: [x]", "attributes::include::match_type: unrecognized match_type: ''");
    include(
        "match_type: regexp, span_names: ['(']",
        "attributes::include::span_names[0]: invalid regular expression",
    );
    include("match_type: strict", "attributes::include: nothing is asked of the items");
    include(
        "match_type: strict, log_bodies: [x], span_names: [y]",
        "span_names should not be specified for logs",
    );
}

#[test]
fn keys_of_another_signal_are_refused_by_the_pipeline() {
    let yaml = "{actions: [{action: delete, key: s}], include: {match_type: strict, span_names: [x]}}";
    let factory = attributesprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "attributes").unwrap();
    let settings = TestTelemetry::default().settings(Kind::Processor, "attributes");
    let error = factory.create(settings, &config, RecordingSink::new()).err().unwrap();
    assert!(error.to_string().contains("include: span_names should not be specified for metrics"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    let yaml = "actions: [{action: upsert, key: k, value: v}]";
    ProcessorContract::new(attributesprocessor::factory(), yaml).check().await;
}
