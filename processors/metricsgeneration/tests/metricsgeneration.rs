//! What the rules make.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use component::{Gates, Kind};
use confmap::Node;
use pdata::metrics::Data;
use pdata::{Batch, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

fn points(points: &[(f64, &str)]) -> String {
    let point = |(value, labels): &(f64, &str)| {
        let pairs = labels.split_whitespace().map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
        });
        let pairs: Vec<String> = pairs.collect();
        format!(r#"{{"asDouble":{value},"timeUnixNano":"5","attributes":[{}]}}"#, pairs.join(","))
    };
    points.iter().map(point).collect::<Vec<String>>().join(",")
}

fn gauge(name: &str, values: &[(f64, &str)]) -> String {
    format!(r#"{{"name":"{name}","unit":"By","gauge":{{"dataPoints":[{}]}}}}"#, points(values))
}

fn sum(name: &str, values: &[(f64, &str)]) -> String {
    format!(
        r#"{{"name":"{name}","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{}]}}}}"#,
        points(values)
    )
}

fn request(scopes: &[&[String]]) -> Batch {
    let scopes = scopes.iter().map(|metrics| format!(r#"{{"metrics":[{}]}}"#, metrics.join(",")));
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{}]}}]}}"#,
        scopes.collect::<Vec<String>>().join(",")
    );
    Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap()
}

async fn run(yaml: &str, batch: Batch) -> Batch {
    run_with(Gates::default(), yaml, batch).await
}

async fn run_with(gates: Gates, yaml: &str, batch: Batch) -> Batch {
    let factory = metricsgenerationprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "").unwrap();
    let sink = RecordingSink::new();
    let mut settings = TestTelemetry::default().settings(Kind::Processor, "metricsgeneration");
    settings.gates = gates;
    factory.create(settings, &config, sink.clone()).unwrap().consume(batch).await.unwrap();
    sink.batches().pop().unwrap()
}

/// The metrics called `new…`: `name type unit time value labels; …`, by scope.
fn new_metrics(batch: &Batch) -> Vec<String> {
    let mut texts = Vec::new();
    for resource in pdata::metrics::resources(batch) {
        for (number, scope) in resource.scopes().enumerate() {
            for metric in scope.metrics().filter(|metric| metric.name.starts_with("new")) {
                let (kind, points) = match metric.data {
                    Data::Gauge(points) => ("gauge".to_owned(), points),
                    Data::Sum { points, temporality, monotonic } => {
                        (format!("sum/{temporality:?}/{monotonic}"), points)
                    }
                    _ => continue,
                };
                let points = points.numbers().map(|point| {
                    let labels = point
                        .attributes()
                        .map(|pair| format!(" {}={}", pair.key, pair.value.as_str().unwrap_or_default()));
                    let value = point.value.map(|value| value.as_f64());
                    format!("@{} {:?}{}", point.time_unix_nano, value.unwrap(), labels.collect::<String>())
                });
                let points: Vec<String> = points.collect();
                texts.push(format!(
                    "{number} {} {kind} {:?}: {}",
                    metric.name,
                    metric.unit,
                    points.join("; ")
                ));
            }
        }
    }
    texts
}

async fn check(yaml: &str, scopes: &[&[String]], expected: &[&str]) {
    assert_eq!(new_metrics(&run(yaml, request(scopes)).await), expected, "{yaml}");
}

fn calculate(operation: &str) -> String {
    format!(
        "rules: [{{name: new, unit: u, type: calculate, metric1: a, metric2: b, operation: {operation}}}]"
    )
}

#[tokio::test]
async fn calculations() {
    let metrics = [gauge("a", &[(10.0, "k=1"), (20.0, "")]), gauge("b", &[(4.0, "k=2"), (5.0, "")])];
    for (operation, values) in [
        ("add", "@5 14.0 k=1; @5 24.0"),
        ("subtract", "@5 6.0 k=1; @5 16.0"),
        ("multiply", "@5 40.0 k=1; @5 80.0"),
        ("divide", "@5 2.5 k=1; @5 5.0"),
        ("percent", "@5 250.0 k=1; @5 500.0"),
    ] {
        check(&calculate(operation), &[&metrics], &[&format!(r#"0 new gauge "u": {values}"#)]).await;
    }
}

#[tokio::test]
async fn the_new_metric_is_like_the_first() {
    let (a, b) = ([(10.0, "")], [(4.0, "")]);
    let add = calculate("add");
    check(&add, &[&[gauge("a", &a)], &[sum("b", &b)]], &[r#"0 new gauge "u": @5 14.0"#]).await;
    check(&add, &[&[gauge("b", &b)], &[sum("a", &a)]], &[r#"1 new sum/Unspecified/false "u": @5 14.0"#])
        .await;
    // Each metric of the name gets one; of the second operand the last counts.
    let both = [gauge("a", &a), gauge("b", &[(1.0, "")])];
    let more = [gauge("a", &[(20.0, "")]), gauge("b", &b)];
    check(&add, &[&both, &more], &[r#"0 new gauge "u": @5 14.0"#, r#"1 new gauge "u": @5 24.0"#]).await;
}

#[tokio::test]
async fn nothing_is_made_of_nothing() {
    let a = gauge("a", &[(10.0, "")]);
    let zero = gauge("b", &[(0.0, "")]);
    let histogram = r#"{"name":"b","histogram":{"dataPoints":[{"count":"1","sum":2}]}}"#.to_owned();
    check(&calculate("divide"), &[&[a.clone(), zero.clone()]], &[]).await;
    check(&calculate("percent"), &[&[a.clone(), zero.clone()]], &[]).await;
    check(&calculate("add"), &[&[a.clone(), zero.clone()]], &[r#"0 new gauge "u": @5 10.0"#]).await;
    check(&calculate("add"), &[&[a.clone(), histogram.clone()]], &[r#"0 new gauge "u": @5 10.0"#]).await;
    check(&calculate("add"), &[&[histogram.replace('b', "a"), zero]], &[]).await;
    check("rules: [{name: new, type: scale, metric1: a, scale_by: 2}]", &[std::slice::from_ref(&a)], &[])
        .await;
    let batch = request(&[&[a]]);
    let same = run(&calculate("add"), batch.clone()).await;
    assert_eq!(same.to_protobuf().as_ptr(), batch.to_protobuf().as_ptr());
}

#[tokio::test]
async fn scaling() {
    let metrics = [gauge("a", &[(1.5, "k=1")]), gauge("b", &[(2.0, "")])];
    let yaml = "rules:
- {name: new.mega, unit: MBy, type: scale, metric1: a, scale_by: 1000, operation: multiply}
- {name: new.half, type: scale, metric1: b, scale_by: 2, operation: divide}
- {name: new.of.new, type: scale, metric1: new.half, scale_by: 2, operation: divide}";
    check(yaml, &[&metrics], &[r#"0 new.mega gauge "MBy": @5 1500.0 k=1"#, r#"0 new.half gauge "": @5 1.0"#])
        .await;
}

#[tokio::test]
async fn attributes_match() {
    let metrics = [
        gauge("a", &[(10.0, "cpu=0 x=1"), (20.0, "cpu=1 x=2"), (30.0, "y=3")]),
        gauge("b", &[(1.0, "cpu=0 z=5"), (2.0, "cpu=1")]),
    ];
    let gates = Gates::new(["metricsgeneration.MatchAttributes"]);
    let made = run_with(gates, &calculate("add"), request(&[&metrics])).await;
    let expected = "@5 11.0 cpu=0 x=1 z=5; @5 22.0 cpu=1 x=2; @5 31.0 y=3 cpu=0 z=5; @5 32.0 y=3 cpu=1";
    assert_eq!(new_metrics(&made), [format!(r#"0 new gauge "u": {expected}"#)]);
}

#[test]
fn what_is_refused() {
    let check = |rule: &str, expected: &str| {
        let node = Node::from_yaml("test", &format!("rules: [{rule}]")).unwrap();
        let error = metricsgenerationprocessor::factory().decode(Some(&node), "").unwrap_err();
        assert!(error.to_string().contains(&format!("rules[0]: {expected}")), "{rule}: {error}");
    };
    check("{type: scale, metric1: a, scale_by: 1}", r#"missing required field "name""#);
    check("{name: n, metric1: a}", r#"missing required field "type""#);
    check("{name: n, type: scale, scale_by: 1}", r#"missing required field "metric1""#);
    check("{name: n, type: guess, metric1: a}", r#""type" must be in ["calculate" "scale"]"#);
    check(
        "{name: n, type: calculate, metric1: a}",
        r#"missing required field "metric2" for generation type "calculate""#,
    );
    check(
        "{name: n, type: scale, metric1: a}",
        r#"field "scale_by" required to be greater than 0 for generation type "scale""#,
    );
    check(
        "{name: n, type: scale, metric1: a, scale_by: 1, operation: power}",
        r#""operation" must be in ["add" "divide" "multiply" "percent" "subtract"]"#,
    );
    check(
        "{name: a, type: scale, metric1: a, scale_by: 1}",
        r#"value of field "name" may not match value of field "metric1""#,
    );
}

#[tokio::test(start_paused = true)]
async fn contract() {
    ProcessorContract::new(metricsgenerationprocessor::factory(), "").check().await;
}
