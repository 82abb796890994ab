//! Events of small batches, byte for byte.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure is a failed test")]

mod sink;

use awsemfexporter::{Config, Dropped, Translator};
use pdata::{Batch, Signal};
use serde_json::{Value, json};
use sink::Recorder;

const NOW: i64 = 1_700_000_000_999;
const NO_ROLLUP: &str = "dimension_rollup_option: NoDimensionRollup\n";

struct Run {
    translator: Translator,
    dropped: Dropped,
}

impl Run {
    fn new(keys: &str) -> Self {
        let config: Config = confmap::from_yaml(keys).unwrap();
        Self { translator: Translator::new(&config.emf, false).unwrap(), dropped: Dropped::default() }
    }

    /// The messages of a request of resources.
    fn send(&mut self, resources: Value) -> Vec<String> {
        self.events(resources).into_iter().map(|(_, message)| message).collect()
    }

    /// Where events go, and their messages.
    fn events(&mut self, resources: Value) -> Vec<(String, String)> {
        let request = json!({ "resourceMetrics": resources }).to_string();
        let batch = Batch::from_json(Signal::Metrics, request.as_bytes()).unwrap();
        let mut sink = Recorder::<false>::default();
        self.dropped = self.translator.translate(&batch, NOW, &mut sink);
        let events = sink.events.into_iter();
        events.map(|event| (format!("{} {}", event.group, event.stream), event.message)).collect()
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn resource(pairs: &[(&str, &str)], metrics: Value) -> Value {
    json!({"resource": {"attributes": attributes(pairs)}, "scopeMetrics": [{"metrics": metrics}]})
}

/// A point at 1700000000123 ms.
fn point(labels: &[(&str, &str)], mut fields: Value) -> Value {
    fields["timeUnixNano"] = json!("1700000000123000000");
    fields["attributes"] = attributes(labels);
    fields
}

fn gauge(name: &str, points: Value) -> Value {
    json!({"name": name, "gauge": {"dataPoints": points}})
}

fn field(message: &str, name: &str) -> Value {
    serde_json::from_str::<Value>(message).unwrap()[name].clone()
}

#[test]
fn golden_samples() {
    let one = json!([gauge("m", json!([point(&[], json!({"asInt": "1"}))]))]);
    assert_eq!(
        Run::new("").send(json!([resource(&[], one)])),
        [concat!(
            r#"{"Version":"1","_aws":{"CloudWatchMetrics":[{"Namespace":"default","Dimensions":[[]],"#,
            r#""Metrics":[{"Name":"m","Unit":"","StorageResolution":60}]}],"Timestamp":1700000000123},"m":1}"#
        )]
    );
    let labelled = json!([{"scopeMetrics": [{
        "scope": {"name": "lib"},
        "metrics": [gauge("m", json!([point(&[("a", "v")], json!({"asInt": "1"}))]))],
    }]}]);
    assert_eq!(
        Run::new("").send(labelled),
        [concat!(
            r#"{"OTelLib":"lib","Version":"1","_aws":{"CloudWatchMetrics":[{"Namespace":"default","#,
            r#""Dimensions":[["OTelLib"],["OTelLib","a"]],"Metrics":[{"Name":"m","Unit":"","StorageResolution":60}]}],"#,
            r#""Timestamp":1700000000123},"a":"v","m":1}"#
        )]
    );
    let histogram = json!([{"name": "h", "unit": "ms", "histogram": {
        "aggregationTemporality": 2,
        "dataPoints": [point(&[], json!({"count": "3", "sum": 6.0}))],
    }}]);
    assert_eq!(
        Run::new(NO_ROLLUP).send(json!([resource(&[], histogram)])),
        [concat!(
            r#"{"Version":"1","_aws":{"CloudWatchMetrics":[{"Namespace":"default","Dimensions":[[]],"#,
            r#""Metrics":[{"Name":"h","Unit":"Milliseconds","StorageResolution":60}]}],"Timestamp":1700000000123},"#,
            r#""h":{"Max":0,"Min":0,"Count":3,"Sum":6}}"#
        )]
    );
}

#[test]
fn what_wins_where_names_are_equal() {
    let labels = [("Timestamp", "t"), ("Version", "v"), ("_aws", "w"), ("m", "label")];
    let metrics = json!([gauge("m", json!([point(&labels, json!({"asInt": "1"}))]))]);
    let check = |version: &str, expected: &str| {
        let keys = format!("{NO_ROLLUP}disable_metric_extraction: true\nversion: '{version}'\n");
        assert_eq!(Run::new(&keys).send(json!([resource(&[], metrics.clone())])), [expected]);
    };
    check("1", r#"{"Timestamp":"t","Version":"v","_aws":"w","m":1}"#);
    check("0", r#"{"Timestamp":"1700000000123","Version":"v","_aws":"w","m":1}"#);
    check("2", r#"{"Timestamp":"t","Version":"v","_aws":"w","m":1}"#);
    let message = Run::new(NO_ROLLUP).send(json!([resource(&[], metrics)])).remove(0);
    assert_eq!(field(&message, "Version"), "1");
    assert_eq!(field(&message, "_aws")["Timestamp"], 1_700_000_000_123_i64);
}

#[test]
fn points_of_equal_labels_share_an_event_wherever_they_come_from() {
    let mut run = Run::new("dimension_rollup_option: NoDimensionRollup\nversion: plain\n");
    let points = |value: &str| {
        json!([
            point(&[("l", "a"), ("k", "1")], json!({"asInt": value})),
            point(&[("k", "1"), ("l", "b")], json!({"asInt": value})),
            point(&[], json!({"asInt": value})),
        ])
    };
    let metrics = |one: &str, two: &str| json!([gauge(one, points("1")), gauge(two, points("2"))]);
    for _ in 0..3 {
        let resources = json!([resource(&[], metrics("m", "n")), resource(&[], metrics("b", "m"))]);
        assert_eq!(
            run.send(resources),
            [
                r#"{"b":1,"k":"1","l":"a","m":1,"n":2}"#,
                r#"{"b":1,"k":"1","l":"b","m":1,"n":2}"#,
                r#"{"b":1,"m":1,"n":2}"#
            ]
        );
        assert_eq!(run.dropped, Dropped { duplicate: 3, ..Dropped::default() });
    }
}

#[test]
fn exponential_histograms_keep_the_limits() {
    let histogram = |scale: i32, zero: &str, counts: Vec<&str>| {
        let fields = json!({"count": "9", "sum": 5.0, "min": 1.0, "max": 8.0, "scale": scale,
            "zeroCount": zero, "positive": {"offset": 2, "bucketCounts": counts}});
        let metrics = json!([{"name": "m", "exponentialHistogram": {
            "aggregationTemporality": 1, "dataPoints": [point(&[], fields)]}}]);
        Run::new("version: plain\n").send(json!([resource(&[], metrics)]))
    };
    let parts: Vec<_> = histogram(3, "1", vec!["1"; 120]).iter().map(|text| field(text, "m")).collect();
    let lengths: Vec<_> = parts.iter().map(|part| part["Values"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [100, 21]);
    assert_eq!((&parts[0]["Sum"], &parts[1]["Sum"]), (&json!(5), &json!(0)));
    assert_eq!((&parts[0]["Count"], &parts[1]["Count"]), (&json!(100), &json!(21)));
    assert_eq!((&parts[0]["Max"], &parts[1]["Min"]), (&json!(8), &json!(1)));
    let mut gaps = vec!["0"; 250];
    gaps[7] = "1";
    assert_eq!(histogram(3, "0", gaps).len(), 1);
    assert_eq!(
        histogram(-10, "0", vec!["1"]),
        [r#"{"m":{"Values":[8],"Counts":[1],"Max":8,"Min":1,"Count":1,"Sum":5}}"#]
    );
}

#[test]
fn keys_of_the_cloudwatch_agent() {
    let keys = "enhanced_container_insights: true\nversion: '0'\ndimension_rollup_option: NoDimensionRollup\n\
                metric_declarations: [{dimensions: [[]], metric_name_selectors: [^h$]}]\n";
    let mut run = Run::new(keys);
    let mut send = |count: &str| {
        let points = json!([point(&[], json!({"count": count, "sum": 6.0, "min": 1.0, "max": 2.0}))]);
        let metrics = json!([
            gauge("not declared", json!([point(&[], json!({"asInt": "1"}))])),
            {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": points}},
        ]);
        let messages = run.send(json!([resource(&[("receiver", "awscontainerinsight")], metrics)]));
        (messages, run.dropped.no_metrics)
    };
    assert_eq!(send("3"), (vec![], 1));
    let (messages, dropped) = send("5");
    assert_eq!((messages.len(), dropped), (1, 1));
    assert_eq!(field(&messages[0], "h"), json!({"Max": 2, "Min": 1, "Count": 2, "Sum": 0}));
}

#[test]
fn a_cleared_resource_names_nothing() {
    let metrics = || json!([gauge("m", json!([point(&[], json!({"asInt": "1"}))]))]);
    let check = |clear: bool, expected: &str| {
        let keys = format!(
            "log_group_name: '{{ClusterName}}'\nlog_stream_name: s\n\
             resource_to_telemetry_conversion: {{enabled: true, clear_after_copy: {clear}}}\n"
        );
        let resource = resource(&[("ClusterName", "c"), ("service.name", "svc")], metrics());
        let (place, message) = Run::new(&keys).events(json!([resource])).remove(0);
        // The labels complete the names in any case.
        assert_eq!(place, "c s");
        assert_eq!(field(&message, "_aws")["CloudWatchMetrics"][0]["Namespace"], expected);
    };
    check(false, "svc");
    check(true, "default");
}

#[test]
fn an_integer_label_makes_no_namespace() {
    let metrics = json!([gauge("m", json!([point(&[], json!({"asInt": "1"}))]))]);
    let resources = json!([{
        "resource": {"attributes": [{"key": "service.name", "value": {"intValue": "7"}}]},
        "scopeMetrics": [{"metrics": metrics}],
    }]);
    let keys = "log_stream_name: '{ServiceName}'\n";
    assert_eq!(Run::new(keys).events(resources)[0].0, "/metrics/default 7");
}
