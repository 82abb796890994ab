//! What transforms make of metrics.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use component::Kind;
use confmap::Node;
use pdata::metrics::{Data, MetricView, Number};
use pdata::{Batch, KeyValues, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

/// A gauge of integers: `{labels} value`.
fn gauge(name: &str, points: &[(&str, i64)]) -> String {
    metric(name, "", points)
}

fn metric(name: &str, unit: &str, points: &[(&str, i64)]) -> String {
    let points: Vec<String> = points
        .iter()
        .map(|(labels, value)| {
            format!(r#"{{"asInt":"{value}","timeUnixNano":"5","attributes":[{}]}}"#, pairs(labels))
        })
        .collect();
    format!(r#"{{"name":"{name}","unit":"{unit}","gauge":{{"dataPoints":[{}]}}}}"#, points.join(","))
}

/// `a=x b=y` as attributes.
fn pairs(labels: &str) -> String {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap();
        format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
    };
    labels.split_whitespace().map(pair).collect::<Vec<_>>().join(",")
}

fn request(metrics: &[String]) -> Batch {
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{}]}},"scopeMetrics":[{{"scope":{{"name":"s"}},"metrics":[{}]}}]}}]}}"#,
        pairs("r=1"),
        metrics.join(",")
    );
    Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap()
}

async fn transformed(yaml: &str, batch: Batch) -> Batch {
    let sink = RecordingSink::new();
    let factory = metricstransformprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "metricstransform").unwrap();
    let settings = TestTelemetry::default().settings(Kind::Processor, "metricstransform");
    factory.create(settings, &config, sink.clone()).unwrap().consume(batch).await.unwrap();
    sink.batches().pop().unwrap()
}

/// `name{a=x}=1`, of every point in order; in front of the first metric of a further resource, its attributes.
fn texts(batch: &Batch) -> Vec<String> {
    let mut texts = Vec::new();
    for (index, entry) in pdata::metrics::resources(batch).enumerate() {
        if index > 0 {
            texts.push(format!("resource {{{}}}", labels(entry.resource().attributes())));
        }
        for metric in entry.scopes().flat_map(|scope| scope.metrics()) {
            texts.extend(points(&metric));
        }
    }
    texts
}

fn labels(pairs: KeyValues<'_>) -> String {
    let pairs: Vec<String> =
        pairs.map(|pair| format!("{}={}", pair.key, pair.value.as_str().unwrap_or("?"))).collect();
    pairs.join(" ")
}

fn points(metric: &MetricView<'_>) -> Vec<String> {
    match metric.data {
        Data::Gauge(points) | Data::Sum { points, .. } => points
            .numbers()
            .map(|point| {
                let value = match point.value.unwrap() {
                    Number::Int(value) => value.to_string(),
                    Number::Double(value) => format!("{value:?}"),
                };
                format!("{}{{{}}}={value}", metric.name, labels(point.attributes()))
            })
            .collect(),
        Data::Histogram { points, .. } => points
            .histograms()
            .map(|point| {
                let counts: Vec<u64> = point.bucket_counts().collect();
                let bounds: Vec<f64> = point.explicit_bounds().collect();
                format!(
                    "{}{{{}}}={} {:?} {counts:?} {bounds:?}",
                    metric.name,
                    labels(point.attributes()),
                    point.count,
                    point.sum
                )
            })
            .collect(),
        _ => Vec::new(),
    }
}

async fn check(transforms: &str, metrics: &[String], expected: &[&str]) {
    let batch = transformed(&format!("transforms: [{transforms}]"), request(metrics)).await;
    assert_eq!(texts(&batch), expected, "{transforms}");
}

#[tokio::test]
async fn updates() {
    let a = || vec![gauge("a", &[("x=1", 1), ("x=2", 2)]), gauge("b", &[("", 3)])];
    check("{include: a, action: update, new_name: c}", &a(), &["c{x=1}=1", "c{x=2}=2", "b{}=3"]).await;
    check("{include: z, action: update, new_name: c}", &a(), &["a{x=1}=1", "a{x=2}=2", "b{}=3"]).await;
    check(
        "{include: '^(.)$', match_type: regexp, action: update, new_name: 'new_$1'}",
        &a(),
        &["new_a{x=1}=1", "new_a{x=2}=2", "new_b{}=3"],
    )
    .await;
    check(
        "{include: '^(?P<n>.)', match_type: regexp, action: update, new_name: '${n}1'}",
        &a(),
        &["a1{x=1}=1", "a1{x=2}=2", "b1{}=3"],
    )
    .await;
    // An empty expansion leaves the text as it is.
    check(
        "{include: '^a', match_type: regexp, action: update, new_name: '$1'}",
        &a(),
        &["$1{x=1}=1", "$1{x=2}=2", "b{}=3"],
    )
    .await;
    // Later transforms see what earlier ones made.
    check(
        "{include: a, action: update, new_name: b}, {include: b, action: update, new_name: c}",
        &a(),
        &["c{x=1}=1", "c{x=2}=2", "c{}=3"],
    )
    .await;
}

#[tokio::test]
async fn labels_decide() {
    let a = || vec![gauge("a", &[("x=1", 1), ("x=2", 2), ("", 3)])];
    // Renames need all points to match.
    check(
        "{include: a, action: update, new_name: c, experimental_match_labels: {x: '1'}}",
        &a(),
        &["a{x=1}=1", "a{x=2}=2", "a{}=3"],
    )
    .await;
    // A missing label is the empty text.
    check(r"{include: a, match_type: regexp, action: insert, new_name: c, experimental_match_labels: {x: '^$'}}", &a(), &["a{x=1}=1", "a{x=2}=2", "a{}=3", "c{}=3"]).await;
    check(r"{include: a, match_type: regexp, action: insert, new_name: c, experimental_match_labels: {x: '\S'}}", &a(), &["a{x=1}=1", "a{x=2}=2", "a{}=3", "c{x=1}=1", "c{x=2}=2"]).await;
    check("{include: a, action: update, experimental_match_labels: {x: '1'}, operations: [{action: update_label, label: x, new_label: y}]}", &a(), &["a{y=1}=1", "a{x=2}=2", "a{}=3"]).await;
    check("{include: a, action: update, experimental_match_labels: {x: '1'}, operations: [{action: add_label, new_label: n, new_value: v}]}", &a(), &["a{x=1}=1", "a{x=2}=2", "a{}=3"]).await;
}

#[tokio::test]
async fn inserted_metrics_stand_at_the_end_and_are_not_matched_again() {
    let a = || vec![gauge("a", &[("", 1)]), gauge("b", &[("", 2)])];
    check("{include: a, action: insert, new_name: a}", &a(), &["a{}=1", "b{}=2", "a{}=1"]).await;
    check("{include: a, action: insert, new_name: c, operations: [{action: add_label, new_label: n, new_value: 'v{{version}}'}]}", &a(), &["a{}=1", "b{}=2", "c{n=v0.0.0}=1"]).await;
}

#[tokio::test]
async fn combined() {
    let metrics = || {
        vec![
            gauge("disk_read", &[("d=1", 1), ("d=2", 2)]),
            gauge("disk_write", &[("d=1", 10)]),
            gauge("other", &[("", 5)]),
        ]
    };
    check("{include: '^disk_(?P<way>.*)', match_type: regexp, action: combine, new_name: disk, aggregation_type: sum}", &metrics(),
        &["other{}=5", "disk{d=1 way=read}=1", "disk{d=2 way=read}=2", "disk{d=1 way=write}=10"]).await;
    check(
        "{include: '^disk_(.)', match_type: regexp, action: combine, new_name: disk, aggregation_type: sum}",
        &metrics(),
        &["other{}=5", "disk{d=1 $1=r}=1", "disk{d=2 $1=r}=2", "disk{d=1 $1=w}=10"],
    )
    .await;
    check("{include: '^disk_', match_type: regexp, action: combine, new_name: disk, aggregation_type: sum, operations: [{action: add_label, new_label: n, new_value: v}]}", &metrics(),
        &["other{}=5", "disk{d=1 n=v}=11", "disk{d=2 n=v}=2"]).await;
    // Units, labels and types must be the same.
    let check_same = async |metrics: Vec<String>| {
        let batch = request(&metrics);
        let yaml = "transforms: [{include: '^a', match_type: regexp, action: combine, new_name: c, aggregation_type: sum}]";
        assert_eq!(texts(&transformed(yaml, batch.clone()).await), texts(&batch));
    };
    check_same(vec![metric("a1", "By", &[("", 1)]), metric("a2", "s", &[("", 1)])]).await;
    check_same(vec![gauge("a1", &[("x=1", 1)]), gauge("a2", &[("y=1", 1)])]).await;
    check_same(vec![
        gauge("a1", &[("", 1)]),
        r#"{"name":"a2","sum":{"dataPoints":[{"asInt":"1"}]}}"#.to_owned(),
    ])
    .await;
}

#[tokio::test]
async fn grouped() {
    let metrics = || vec![gauge("container_cpu", &[("", 1)]), gauge("pod_cpu", &[("", 2)])];
    check("{include: '^container_', match_type: regexp, action: group, group_resource_labels: {kind: container}}", &metrics(),
        &["pod_cpu{}=2", "resource {r=1 kind=container}", "container_cpu{}=1"]).await;
    check(
        "{include: '.*', match_type: regexp, action: group, group_resource_labels: {r: '2'}}",
        &metrics(),
        &["container_cpu{}=1", "pod_cpu{}=2"],
    )
    .await;
}

#[tokio::test]
async fn operations() {
    let a = || vec![gauge("a", &[("x=1 y=1", 1), ("x=1 y=2", 4), ("x=2 y=1", 7)])];
    let check = async |operation: &str, expected: &[&str]| {
        check(&format!("{{include: a, action: update, operations: [{{{operation}}}]}}"), &a(), expected)
            .await;
    };
    let aggregate = |way: &str| format!("action: aggregate_labels, label_set: [x], aggregation_type: {way}");
    check(&aggregate("sum"), &["a{x=1}=5", "a{x=2}=7"]).await;
    check(&aggregate("mean"), &["a{x=1}=2", "a{x=2}=7"]).await;
    check(&aggregate("min"), &["a{x=1}=1", "a{x=2}=7"]).await;
    check(&aggregate("max"), &["a{x=1}=4", "a{x=2}=7"]).await;
    check(&aggregate("median"), &["a{x=1}=2", "a{x=2}=7"]).await;
    // The count of one point is its value.
    check(&aggregate("count"), &["a{x=1}=2", "a{x=2}=7"]).await;
    check("action: aggregate_labels, label_set: [], aggregation_type: sum", &["a{}=12"]).await;
    check("action: aggregate_label_values, label: x, aggregated_values: ['1', '2'], new_value: all, aggregation_type: sum", &["a{x=all y=1}=8", "a{x=all y=2}=4"]).await;
    check(
        "action: update_label, label: x, new_label: z, value_actions: [{value: '1', new_value: one}]",
        &["a{z=one y=1}=1", "a{z=one y=2}=4", "a{z=2 y=1}=7"],
    )
    .await;
    check("action: update_label, label: x, new_label: y", &["a{y=1}=1", "a{y=1}=4", "a{y=2}=7"]).await;
    check("action: delete_label_value, label: x, label_value: '1'", &["a{x=2 y=1}=7"]).await;
    check("action: delete_label_value, label: x", &["a{x=1 y=1}=1", "a{x=1 y=2}=4", "a{x=2 y=1}=7"]).await;
    check("action: toggle_scalar_data_type", &["a{x=1 y=1}=1.0", "a{x=1 y=2}=4.0", "a{x=2 y=1}=7.0"]).await;
    check(
        "action: experimental_scale_value, experimental_scale: -1.5",
        &["a{x=1 y=1}=-1", "a{x=1 y=2}=-6", "a{x=2 y=1}=-10"],
    )
    .await;
    check(
        "action: add_label, new_label: x, new_value: '9'",
        &["a{x=1 y=1}=1", "a{x=1 y=2}=4", "a{x=2 y=1}=7"],
    )
    .await;
}

#[tokio::test]
async fn histograms() {
    let point = |labels: &str| {
        format!(
            r#"{{"count":"3","sum":4,"bucketCounts":["1","2"],"explicitBounds":[1.5],"timeUnixNano":"5","attributes":[{}]}}"#,
            pairs(labels)
        )
    };
    let histogram = || {
        vec![format!(
            r#"{{"name":"h","histogram":{{"aggregationTemporality":2,"dataPoints":[{},{}]}}}}"#,
            point("x=1"),
            point("x=2")
        )]
    };
    check(
        "{include: h, action: update, operations: [{action: aggregate_labels, aggregation_type: min}]}",
        &histogram(),
        &["h{}=6 Some(8.0) [2, 4] [1.5]"],
    )
    .await;
    check("{include: h, action: update, experimental_match_labels: {x: '1'}, operations: [{action: experimental_scale_value, experimental_scale: 2}]}", &histogram(),
        &["h{x=1}=3 Some(8.0) [1, 2] [3.0]", "h{x=2}=3 Some(4.0) [1, 2] [1.5]"]).await;
}

#[tokio::test]
async fn metrics_without_points_are_dropped_if_they_had_some() {
    let delete = "{include: '.*', match_type: regexp, action: update, operations: [{action: delete_label_value, label: x, label_value: '1'}]}";
    let batch = transformed(
        &format!("transforms: [{delete}]"),
        request(&[gauge("a", &[("x=1", 1)]), gauge("b", &[])]),
    )
    .await;
    let names: Vec<String> = pdata::metrics::resources(&batch)
        .flat_map(|entry| entry.scopes())
        .flat_map(|scope| scope.metrics())
        .map(|metric| metric.name.to_owned())
        .collect();
    assert_eq!(names, ["b"]);
}

#[tokio::test]
async fn what_no_transform_is_about_is_not_copied() {
    let batch = request(&[gauge("a", &[("", 1)])]);
    let same = transformed("transforms: [{include: b, action: update, new_name: c}]", batch.clone()).await;
    assert_eq!(same.to_protobuf().as_ptr(), batch.to_protobuf().as_ptr());
}

#[test]
fn what_is_refused() {
    let check = |transform: &str, expected: &str| {
        let node = Node::from_yaml("test", &format!("transforms: [{{{transform}}}]")).unwrap();
        let problems = metricstransformprocessor::factory().decode(Some(&node), "m").unwrap_err().to_string();
        assert!(problems.contains(expected), "{transform}: {problems}");
    };
    check("action: update", "m::transforms[0]: missing required field \"include\"");
    check("include: a, action: rename", "\"action\" must be in [insert update combine group]");
    check("include: a, action: insert", "missing required field \"new_name\" while \"action\" is insert");
    check(
        "include: a, action: combine, new_name: b",
        "missing required field \"aggregation_type\" while \"action\" is combine",
    );
    check(
        "include: a, action: group",
        "missing required field \"group_resource_labels\" while \"action\" is group",
    );
    check("include: a, action: update, match_type: glob", "\"match_type\" must be in [strict regexp]");
    check(
        "include: '(', action: update, match_type: regexp",
        "\"include\", error parsing regexp: missing closing ): `(`",
    );
    check("include: a, action: update, submatch_case: title", "\"submatch_case\" must be in [lower upper]");
    let operation = |operation: &str, expected: &str| {
        check(&format!("include: a, action: update, operations: [{{{operation}}}]"), expected);
    };
    operation(
        "action: update_label",
        "operation 1: missing required field \"label\" while \"action\" is update_label",
    );
    operation(
        "action: add_label, new_label: a",
        "operation 1: missing required field \"new_value\" while \"action\" is add_label",
    );
    operation(
        "action: experimental_scale_value",
        "operation 1: missing required field \"experimental_scale\"",
    );
    operation(
        "action: aggregate_labels, aggregation_type: avg",
        "operation 1: \"aggregation_type\" must be in [sum mean min max median count]",
    );
    operation("action: drop", "operation 1: \"action\" must be in [add_label");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    let yaml = "transforms: [{include: '.*', match_type: regexp, action: update, operations: [{action: add_label, new_label: a, new_value: b}]}]";
    ProcessorContract::new(metricstransformprocessor::factory(), yaml).check().await;
}
