//! What upstream's exporter gets wrong on the way from points to events, each test named after the defect.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure is a failed test")]

mod sink;

use awsemfexporter::{Config, Dropped, Translator};
use component::Config as _;
use confmap::Problems;
use pdata::{Batch, Signal};
use serde_json::{Value, json};
use sink::{Recorded, Recorder};

const NOW: i64 = 1_700_000_000_999;
/// Nothing but the fields.
const PLAIN: &str = "version: plain\n";

struct Run {
    translator: Translator,
    sink: Recorder<true>,
    dropped: Dropped,
}

impl Run {
    fn new(keys: &str) -> Self {
        let config: Config = confmap::from_yaml(keys).unwrap();
        let translator = Translator::new(&config.emf, true).unwrap();
        Self { translator, sink: Recorder::default(), dropped: Dropped::default() }
    }

    fn send(&mut self, resources: Value) -> Vec<Recorded> {
        let request = json!({ "resourceMetrics": resources }).to_string();
        let batch = Batch::from_json(Signal::Metrics, request.as_bytes()).unwrap();
        self.dropped = self.translator.translate(&batch, NOW, &mut self.sink);
        std::mem::take(&mut self.sink.events)
    }

    fn messages(&mut self, resources: Value) -> Vec<String> {
        self.send(resources).into_iter().map(|event| event.message).collect()
    }
}

fn problems(keys: &str) -> String {
    let config: Config = confmap::from_yaml(keys).unwrap();
    let mut problems = Problems::default();
    config.validate(&mut problems);
    problems.into_result().unwrap_err().to_string()
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn point(labels: &[(&str, &str)], mut fields: Value) -> Value {
    fields["attributes"] = attributes(labels);
    if fields.get("timeUnixNano").is_none() {
        fields["timeUnixNano"] = json!("1700000000123000000");
    }
    fields
}

fn gauge(name: &str, points: Value) -> Value {
    json!({"name": name, "gauge": {"dataPoints": points}})
}

fn one(name: &str) -> Value {
    gauge(name, json!([point(&[], json!({"asInt": "1"}))]))
}

fn resource(pairs: &[(&str, &str)], metrics: Value) -> Value {
    json!({"resource": {"attributes": attributes(pairs)}, "scopeMetrics": [{"metrics": metrics}]})
}

fn parse(message: &str) -> Value {
    serde_json::from_str(message).unwrap()
}

#[test]
fn scope_name_leaking_into_the_scopes_behind_it() {
    let scopes = json!([{"scopeMetrics": [
        {"scope": {"name": "lib"}, "metrics": [one("a")]},
        {"scope": {}, "metrics": [one("b")]},
    ]}]);
    assert_eq!(Run::new(PLAIN).messages(scopes), [r#"{"OTelLib":"lib","a":1}"#, r#"{"b":1}"#]);
}

#[test]
fn time_leaking_into_the_points_behind_it() {
    let points = json!([
        point(&[("l", "a")], json!({"asInt": "1"})),
        point(&[("l", "b")], json!({"asInt": "2", "timeUnixNano": "0"})),
    ]);
    let events = Run::new(PLAIN).send(json!([resource(&[], json!([gauge("m", points)]))]));
    let times: Vec<i64> = events.iter().map(|event| event.timestamp_ms).collect();
    assert_eq!(times, [1_700_000_000_123, NOW]);
}

#[test]
fn completed_names_leaking_into_other_metrics() {
    let keys = format!("{PLAIN}log_group_name: g\nlog_stream_name: '{{NodeName}}'\n");
    let metric = |name: &str, nodes: &[&str]| {
        let points: Vec<Value> =
            nodes.iter().map(|node| point(&[("NodeName", node)], json!({"asInt": "1"}))).collect();
        gauge(name, json!(points))
    };
    let mut run = Run::new(&keys);
    for _ in 0..2 {
        let events = run.send(json!([
            resource(&[], json!([metric("m", &["n1"]), metric("k", &["n2"]), one("none")])),
            resource(&[("host", "other")], json!([metric("m", &["n3"])])),
        ]));
        let streams: Vec<&str> = events.iter().map(|event| event.stream.as_str()).collect();
        assert_eq!(streams, ["n1", "n2", "undefined", "n3"]);
    }
}

#[test]
fn truncation_that_makes_invalid_json() {
    let keys = "dimension_rollup_option: NoDimensionRollup\n\
                metric_declarations: [{dimensions: [[l]], metric_name_selectors: ['^metric_.*[0-4]$']}]\n";
    let labels = [("l", "a \"quoted\" <label>")];
    let points = || json!([point(&labels, json!({"asDouble": 1.5}))]);
    let metrics: Vec<Value> = (0..50)
        .map(|number| gauge(&format!("metric_{number:02}"), points()))
        .chain([gauge("metric_00", points())])
        .collect();
    let mut run = Run::new(keys);
    let whole = run.send(json!([resource(&[], json!(metrics))]));
    assert_eq!((whole.len(), whole[0].items, run.dropped.duplicate), (1, 50, 1));
    let largest = whole[0].message.len();
    for max in [largest, largest - 1, largest / 3, 1024, 400] {
        run.sink.max = Some(max);
        let parts = run.send(json!([resource(&[], json!(metrics))]));
        assert_eq!(run.dropped, Dropped { duplicate: 1, ..Dropped::default() }, "{max}");
        assert_eq!(parts.iter().map(|part| part.items).sum::<u32>(), 50, "{max}");
        assert_eq!(parts.len() == 1, max == largest, "{max}");
        let (mut values, mut extracted) = (Vec::new(), Vec::new());
        for part in &parts {
            assert!(part.message.len() <= max);
            let message = parse(&part.message);
            assert_eq!(message["l"], "a \"quoted\" <label>");
            let fields = message.as_object().unwrap().keys();
            values.extend(fields.filter(|name| name.starts_with("metric_")).cloned());
            for definition in
                message["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().into_iter().flatten()
            {
                let name = definition["Name"].as_str().unwrap().to_owned();
                assert!(message.get(&name).is_some(), "{name} is extracted and not there");
                extracted.push(name);
            }
        }
        assert_eq!((values.len(), extracted.len()), (50, 25), "{max}");
    }
    run.sink.max = Some(40);
    assert_eq!(run.send(json!([resource(&[], json!(metrics))])), []);
    assert_eq!(run.dropped.too_large, 50);
}

#[test]
fn push_lost_to_a_point_that_is_too_old() {
    let metrics = json!([
        gauge("old", json!([point(&[], json!({"asInt": "1", "timeUnixNano": "1600000000000000000"}))])),
        one("new"),
    ]);
    let mut run = Run::new(PLAIN);
    run.sink.oldest_ms = 1_690_000_000_000;
    assert_eq!(run.messages(json!([resource(&[], metrics)])), [r#"{"new":1}"#]);
}

#[test]
fn push_lost_to_a_delta_that_is_infinite() {
    let sum = |value: f64| {
        let points = json!([point(&[("s", "x")], json!({"asDouble": value}))]);
        json!({"name": "m", "sum": {"aggregationTemporality": 2, "dataPoints": points}})
    };
    let mut run = Run::new(PLAIN);
    run.send(json!([resource(&[], json!([sum(-1.7e308)]))]));
    let messages = run.messages(json!([resource(&[], json!([sum(1.7e308), one("other")]))]));
    assert_eq!(messages, [r#"{"other":1}"#]);
    assert_eq!(run.dropped, Dropped { not_finite: 1, ..Dropped::default() });
}

#[test]
fn push_lost_to_an_exponential_bucket_without_a_bound() {
    let fields = json!({"count": "1", "sum": 5.0, "min": 1.0, "max": 8.0, "scale": -10,
        "positive": {"offset": 0, "bucketCounts": ["1"]}});
    let histogram = json!({"name": "h", "exponentialHistogram": {
        "aggregationTemporality": 1, "dataPoints": [point(&[], fields)]}});
    let messages = Run::new(PLAIN).messages(json!([resource(&[], json!([histogram, one("other")]))]));
    assert_eq!(messages.len(), 2);
    assert_eq!(parse(&messages[0])["h"]["Max"], 8);
}

#[test]
fn process_that_dies_of_a_bad_selector() {
    let text = problems("region: r\nmetric_declarations: [{metric_name_selectors: ['[']}]\n");
    assert!(text.contains("invalid regular expression \"[\" in metric_name_selectors"), "{text}");
}

#[test]
fn declarations_that_are_dropped_in_silence() {
    let text = problems("region: r\nmetric_declarations: [{dimensions: [[a]]}]\n");
    assert!(text.contains("metric_name_selectors must not be empty"), "{text}");
    let matcher = "metric_declarations: [{metric_name_selectors: [m], label_matchers: [{regex: x}]}]\n";
    let text = problems(&format!("region: r\n{matcher}"));
    assert!(text.contains("label_names of a label matcher must not be empty"), "{text}");
}

#[test]
fn data_discarded_by_an_unknown_destination() {
    let text = problems("region: r\noutput_destination: kinesis\n");
    assert!(text.contains("unknown destination \"kinesis\""), "{text}");
    assert!(text.contains("use cloudwatch, stdout or file"), "{text}");
    let text = problems("region: r\noutput_destination: File\n");
    assert!(text.contains("output_file::path"), "{text}");
}

#[test]
fn baseline_shared_by_resources_with_equal_labels() {
    let sum = |value: &str, name: &str| {
        let points = json!([point(&[], json!({"asInt": value}))]);
        json!([{"name": name, "sum": {"aggregationTemporality": 2, "dataPoints": points}}])
    };
    let mut run = Run::new(PLAIN);
    let both = |a: &str, b: &str| {
        json!([resource(&[("host", "a")], sum(a, "m")), resource(&[("host", "b")], sum(b, "m"))])
    };
    run.send(both("10", "1000"));
    assert_eq!(run.translator.series(), 2);
    let only_second = json!([resource(&[("host", "b")], sum("1002", "m"))]);
    assert_eq!(run.messages(only_second), [r#"{"m":2}"#]);
}

#[test]
fn count_of_a_restarted_summary_that_wraps_around() {
    let mut run = Run::new(PLAIN);
    let mut send = |count: &str, sum: f64| {
        let points = json!([point(&[], json!({"count": count, "sum": sum}))]);
        let metrics = json!([{"name": "m", "summary": {"dataPoints": points}}]);
        run.messages(json!([resource(&[("receiver", "prometheus")], metrics)]))
    };
    send("9", 90.0);
    assert_eq!(parse(&send("2", 20.0)[0])["m"], json!({"Max": 0, "Min": 0, "Count": 2, "Sum": 20}));
}

#[test]
fn document_refused_for_more_than_100_metrics_in_a_directive() {
    let metrics: Vec<Value> = (0..201).map(|number| one(&format!("m{number:03}"))).collect();
    let messages = Run::new("").messages(json!([resource(&[], json!(metrics))]));
    let message = parse(&messages[0]);
    let sizes: Vec<usize> = message["_aws"]["CloudWatchMetrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|directive| directive["Metrics"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [100, 100, 1]);
}

#[test]
fn document_refused_for_its_dimensions() {
    let check = |labels: &[(&str, &str)], oversized: u64| {
        let metrics = json!([gauge("m", json!([point(labels, json!({"asInt": "1"}))]))]);
        let mut run = Run::new("dimension_rollup_option: NoDimensionRollup\n");
        let messages = run.messages(json!([resource(&[], metrics)]));
        assert_eq!(parse(&messages[0])["m"], 1);
        assert_eq!(parse(&messages[0]).get("_aws"), None);
        assert_eq!(run.dropped, Dropped { oversized_dimension_sets: oversized, ..Dropped::default() });
    };
    let names: Vec<String> = (0..31).map(|number| format!("l{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    check(&many, 1);
    check(&[("a", ""), ("b", "v")], 0);
}

#[test]
fn bill_for_labels_without_end() {
    let keys = "metric_series_limit: 10\ndimension_rollup_option: NoDimensionRollup\nnamespace: ns\n";
    let mut run = Run::new(keys);
    let mut extracted = 0;
    for round in 0..2 {
        for pod in 0..20 {
            let pod = format!("pod-{pod}");
            let points = json!([point(&[("pod", &pod)], json!({"asInt": "1"}))]);
            let message = parse(&run.messages(json!([resource(&[], json!([gauge("m", points)]))]))[0]);
            assert_eq!((&message["pod"], &message["m"]), (&json!(pod), &json!(1)));
            assert_eq!(run.dropped.series_over_limit, u64::from(message.get("_aws").is_none()));
            extracted += u64::from(message.get("_aws").is_some());
        }
        assert_eq!(extracted, 10 * (round + 1));
    }
    assert_eq!(run.translator.metric_series().collect::<Vec<_>>(), [("ns", 10)]);
}
