//! Which items come together.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use component::{Kind, PipelineId};
use confmap::Node;
use pdata::{Batch, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

fn attributes(pairs: &str) -> String {
    let pairs = pairs.split_whitespace().map(|pair| {
        let (key, value) = pair.split_once('=').unwrap();
        format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
    });
    pairs.collect::<Vec<String>>().join(",")
}

/// A scope with its records.
type Scoped<'t> = (&'t str, &'t [&'t str]);

/// Log records `body attributes` by scope: `scope: body k=v k=v; body …`.
fn logs(resources: &[(&str, &[Scoped<'_>])]) -> String {
    let entry = |(resource, scopes): &(&str, &[Scoped<'_>])| {
        let scope = |(scope, records): &Scoped<'_>| {
            let record = |record: &&str| {
                let (body, pairs) = record.split_once(' ').unwrap_or((record, ""));
                format!(r#"{{"body":{{"stringValue":"{body}"}},"attributes":[{}]}}"#, attributes(pairs))
            };
            let records: Vec<String> = records.iter().map(record).collect();
            format!(r#"{{"scope":{scope},"logRecords":[{}]}}"#, records.join(","))
        };
        let scopes: Vec<String> = scopes.iter().map(scope).collect();
        format!(
            r#"{{"resource":{{"attributes":[{}]}},"scopeLogs":[{}]}}"#,
            attributes(resource),
            scopes.join(",")
        )
    };
    format!(r#"{{"resourceLogs":[{}]}}"#, resources.iter().map(entry).collect::<Vec<String>>().join(","))
}

async fn run(signal: Signal, keys: &str, batch: Batch) -> (Batch, TestTelemetry) {
    let factory = groupbyattrsprocessor::factory();
    let config =
        factory.decode(Some(&Node::from_yaml("test", &format!("keys: {keys}")).unwrap()), "").unwrap();
    let (sink, telemetry) = (RecordingSink::new(), TestTelemetry::default());
    let mut settings = telemetry.settings(Kind::Processor, "groupbyattrs");
    settings.pipeline = Some(PipelineId::parse(signal.as_str()).unwrap());
    factory.create(settings, &config, sink.clone()).unwrap().consume(batch).await.unwrap();
    let grouped = sink.batches().pop().unwrap();
    let again = Batch::from_protobuf(signal, grouped.to_protobuf()).unwrap();
    assert_eq!((again.items(), &again), (grouped.items(), &grouped));
    (grouped, telemetry)
}

async fn check(signal: Signal, keys: &str, before: &str, after: &str) {
    let parse = |json: &str| Batch::from_json(signal, json.as_bytes()).unwrap();
    let (grouped, _) = run(signal, keys, parse(before)).await;
    let text = |batch: &Batch| String::from_utf8(batch.to_json()).unwrap();
    assert_eq!(text(&grouped), text(&parse(after)), "{keys}");
}

const S: &str = r#"{"name":"s","version":"1"}"#;
const T: &str = r#"{"name":"t"}"#;

#[tokio::test]
async fn records_go_to_the_resources_that_they_name() {
    let before = logs(&[
        ("r=1", &[(S, &["a host=x k=1", "b host=y", "c", "d k=2 host=x"]), (T, &["e host=x"])]),
        ("r=2", &[(S, &["f host=x"])]),
    ]);
    let after = logs(&[
        ("r=1 host=x", &[(S, &["a k=1", "d k=2"]), (T, &["e"])]),
        ("r=1 host=y", &[(S, &["b"])]),
        ("r=1", &[(S, &["c"])]),
        ("r=2 host=x", &[(S, &["f"])]),
    ]);
    check(Signal::Logs, "[host]", &before, &after).await;
}

#[tokio::test]
async fn values_of_items_win_over_those_of_the_resource() {
    let before = logs(&[("host=0 r=1", &[(S, &["a host=x", "b"])]), ("r=1 host=x", &[(S, &["c"])])]);
    let after = logs(&[("host=x r=1", &[(S, &["a", "c"])]), ("host=0 r=1", &[(S, &["b"])])]);
    check(Signal::Logs, "[host]", &before, &after).await;
}

#[tokio::test]
async fn several_keys() {
    let before = logs(&[("", &[(S, &["a p=1 h=2", "b h=2 p=1", "c p=1", "d h=1 p=2"])])]);
    let after =
        logs(&[("h=2 p=1", &[(S, &["a", "b"])]), ("p=1", &[(S, &["c"])]), ("h=1 p=2", &[(S, &["d"])])]);
    check(Signal::Logs, "[h, p, h, '']", &before, &after).await;
}

#[tokio::test]
async fn without_keys_equal_resources_become_one() {
    let before = logs(&[
        ("r=1 q=2", &[(S, &["a k=1"]), (T, &["b"])]),
        ("r=2", &[(S, &["c"])]),
        ("q=2 r=1", &[(S, &["d"]), (r#"{"name":"s"}"#, &["e"]), (S, &["f"])]),
    ]);
    let after = logs(&[
        ("r=1 q=2", &[(S, &["a k=1", "d", "f"]), (T, &["b"]), (r#"{"name":"s"}"#, &["e"])]),
        ("r=2", &[(S, &["c"])]),
    ]);
    check(Signal::Logs, "[]", &before, &after).await;
}

#[tokio::test]
async fn what_would_be_lost_stays_apart() {
    let scoped = |version: &str| format!(r#"{{"name":"s","attributes":[{}]}}"#, attributes(version));
    let (one, two) = (scoped("a=1"), scoped("a=2"));
    let before = logs(&[("r=1", &[(&one, &["a"]), (&two, &["b"]), (&one, &["c"])])]);
    let after = logs(&[("r=1", &[(&one, &["a", "c"]), (&two, &["b"])])]);
    check(Signal::Logs, "[]", &before, &after).await;
    let urls = r#"{"resourceLogs":[
        {"resource":{},"schemaUrl":"u","scopeLogs":[{"scope":{},"schemaUrl":"v","logRecords":[{"severityText":"a"}]}]},
        {"resource":{},"schemaUrl":"w","scopeLogs":[{"scope":{},"logRecords":[{"severityText":"b"}]}]}]}"#;
    check(Signal::Logs, "[k]", urls, urls).await;
}

#[tokio::test]
async fn spans() {
    let spans = |resources: &[(&str, &str)]| {
        let entry = |(resource, spans): &(&str, &str)| {
            format!(
                r#"{{"resource":{{"attributes":[{}]}},"scopeSpans":[{{"scope":{{}},"spans":[{spans}]}}]}}"#,
                attributes(resource)
            )
        };
        format!(r#"{{"resourceSpans":[{}]}}"#, resources.iter().map(entry).collect::<Vec<String>>().join(","))
    };
    let span = |name: &str, pairs: &str| {
        format!(
            r#"{{"name":"{name}","attributes":[{}],"events":[{{"name":"e","attributes":[{}]}}]}}"#,
            attributes(pairs),
            attributes("host=z")
        )
    };
    let before = spans(&[("r=1", &[span("a", "host=x"), span("b", "")].join(","))]);
    let after = spans(&[("r=1 host=x", &span("a", "")), ("r=1", &span("b", ""))]);
    check(Signal::Traces, "[host]", &before, &after).await;
}

#[tokio::test]
async fn points_go_with_their_metrics() {
    let point =
        |value: u8, pairs: &str| format!(r#"{{"asInt":"{value}","attributes":[{}]}}"#, attributes(pairs));
    let sum = |name: &str, head: &str, points: &[String]| {
        format!(
            r#"{{"name":"{name}",{head}"sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{}]}}}}"#,
            points.join(",")
        )
    };
    let gauge = |name: &str, points: &[String]| {
        format!(r#"{{"name":"{name}","gauge":{{"dataPoints":[{}]}}}}"#, points.join(","))
    };
    let request = |resources: &[(&str, &[String])]| {
        let entry = |(resource, metrics): &(&str, &[String])| {
            format!(
                r#"{{"resource":{{"attributes":[{}]}},"scopeMetrics":[{{"scope":{S},"metrics":[{}]}}]}}"#,
                attributes(resource),
                metrics.join(",")
            )
        };
        format!(
            r#"{{"resourceMetrics":[{}]}}"#,
            resources.iter().map(entry).collect::<Vec<String>>().join(",")
        )
    };
    let before = request(&[(
        "r=1",
        &[
            sum("a", r#""unit":"By","description":"d","#, &[point(1, "h=x k=1"), point(2, "h=y"), point(3, "h=x")]),
            gauge("a", &[point(4, "h=x")]),
            sum("a", r#""unit":"s","#, &[point(5, "h=x")]),
            sum("a", r#""unit":"By","#, &[point(6, "h=y")]),
            gauge("b", &[]),
            r#"{"name":"c","histogram":{"dataPoints":[{"count":"1","attributes":[{"key":"h","value":{"stringValue":"y"}}]}]}}"#.to_owned(),
        ],
    )]);
    let after = request(&[
        (
            "r=1 h=x",
            &[
                sum("a", r#""unit":"By","description":"d","#, &[point(1, "k=1"), point(3, "")]),
                gauge("a", &[point(4, "")]),
                sum("a", r#""unit":"s","#, &[point(5, "")]),
            ],
        ),
        (
            "r=1 h=y",
            &[
                sum("a", r#""unit":"By","description":"d","#, &[point(2, ""), point(6, "")]),
                r#"{"name":"c","histogram":{"dataPoints":[{"count":"1"}]}}"#.to_owned(),
            ],
        ),
    ]);
    check(Signal::Metrics, "[h]", &before, &after).await;
}

#[tokio::test]
async fn nothing_to_do_is_no_copy() {
    for keys in ["[]", "[host]"] {
        let json = logs(&[("r=1", &[(S, &["a", "b"]), (T, &["c"])]), ("r=2", &[(S, &["d"])])]);
        let batch = Batch::from_json(Signal::Logs, json.as_bytes()).unwrap();
        let (same, _) = run(Signal::Logs, keys, batch.clone()).await;
        assert_eq!(same.to_protobuf().as_ptr(), batch.to_protobuf().as_ptr(), "{keys}");
    }
}

#[tokio::test]
async fn counts() {
    let json = logs(&[("", &[(S, &["a host=x", "b host=y", "c"])])]);
    let batch = Batch::from_json(Signal::Logs, json.as_bytes()).unwrap();
    let (_, telemetry) = run(Signal::Logs, "[host]", batch).await;
    assert_eq!(telemetry.value("otelcol_processor_groupbyattrs_num_grouped_logs{}"), 2.0);
    assert_eq!(telemetry.value("otelcol_processor_groupbyattrs_num_non_grouped_logs{}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn contract() {
    let names = ["otelcol_processor_incoming_items"];
    ProcessorContract::new(groupbyattrsprocessor::factory(), "keys: [host]").telemetry(&names).check().await;
}
