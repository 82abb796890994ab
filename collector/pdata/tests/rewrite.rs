//! What the walk through a batch changes and drops.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use pdata::rewrite::{DataKind, Field, Level, Part, Place, Verdict};
use pdata::{AnyValueView, Batch, Signal, Value};

fn batch(signal: Signal, json: &str) -> Batch {
    Batch::from_json(signal, json.as_bytes()).unwrap()
}

/// The batch after the walk, which must be a valid request with as many items as it says.
fn rewrite(batch: &Batch, mut visit: impl FnMut(Level, &mut Place<'_>) -> Verdict) -> Batch {
    let rewritten = batch.clone().rewrite(&mut visit);
    let again = Batch::from_protobuf(batch.signal(), rewritten.to_protobuf()).unwrap();
    assert_eq!((again.items(), &again), (rewritten.items(), &rewritten));
    rewritten
}

fn check(signal: Signal, before: &str, visit: impl FnMut(Level, &mut Place<'_>) -> Verdict, after: &str) {
    let rewritten = rewrite(&batch(signal, before), visit);
    let text = |batch: &Batch| String::from_utf8(batch.to_json()).unwrap();
    assert_eq!(text(&rewritten), text(&batch(signal, after)));
}

const METRICS: &str = r#"{"resourceMetrics":[
    {"resource":{"attributes":[{"key":"r","value":{"stringValue":"1"}}]},"schemaUrl":"u","scopeMetrics":[
        {"scope":{"name":"s","version":"v"},"metrics":[
            {"name":"a","unit":"By","sum":{"dataPoints":[{"asInt":"1","timeUnixNano":"5"},{"asInt":"2"}],"aggregationTemporality":2,"isMonotonic":true}},
            {"name":"b","histogram":{"dataPoints":[{"count":"1"}]}},
            {"name":"c"}]},
        {"metrics":[{"name":"d","gauge":{"dataPoints":[{"asDouble":1.5}]}}]}]},
    {"scopeMetrics":[{"metrics":[{"name":"e","gauge":{"dataPoints":[{"asInt":"7"}]}}]}]}]}"#;

const SPANS: &str = r#"{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"s"},"spans":[
    {"name":"x","events":[{"name":"e1"},{"name":"e2"}],"status":{"code":2,"message":"m"}},
    {"name":"y","events":[{"name":"e1"}]}]}]}]}"#;

fn text<'p>(place: &'p Place<'_>, field: Field) -> &'p str {
    place.get(field).as_str().unwrap_or_default()
}

#[test]
fn what_is_not_changed_is_not_copied() {
    for (signal, json) in [(Signal::Metrics, METRICS), (Signal::Traces, SPANS)] {
        let batch = batch(signal, json);
        let same = rewrite(&batch, |_, _| Verdict::Descend);
        assert_eq!(same.to_protobuf().as_ptr(), batch.to_protobuf().as_ptr());
    }
}

#[test]
fn every_level_is_shown_in_order() {
    let name = Field::of(Signal::Metrics, Part::Metric, "name").unwrap();
    let mut seen = Vec::new();
    let _ = rewrite(&batch(Signal::Metrics, METRICS), |level, place| {
        seen.push((level, if level >= Level::Metric { text(place, name).to_owned() } else { String::new() }));
        Verdict::Descend
    });
    let seen: Vec<String> = seen.iter().map(|(level, name)| format!("{level:?}{name}")).collect();
    let expected = "Resource Scope Metrica Itema Itema Metricb Itemb Metricc Scope Metricd Itemd Resource Scope Metrice Iteme";
    assert_eq!(seen.join(" "), expected);
}

#[test]
fn drops_take_what_is_empty_with_them() {
    let name = Field::of(Signal::Metrics, Part::Metric, "name").unwrap();
    let dropped = |names: &'static str| {
        move |level: Level, place: &mut Place<'_>| match level {
            Level::Item if names.contains(text(place, name)) => Verdict::Drop,
            _ => Verdict::Descend,
        }
    };
    check(
        Signal::Metrics,
        METRICS,
        dropped("abcde"),
        r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"r","value":{"stringValue":"1"}}]},"schemaUrl":"u","scopeMetrics":[{"scope":{"name":"s","version":"v"},"metrics":[{"name":"c"}]}]}]}"#,
    );
    let left = rewrite(&batch(Signal::Metrics, METRICS), dropped("ade"));
    assert_eq!((left.items(), pdata::metrics::resources(&left).count()), (1, 1));
    let none = rewrite(&batch(Signal::Metrics, METRICS), |_, _| Verdict::Drop);
    assert_eq!((none.items(), none.encoded_len(), none.chunks().len()), (0, 0, 0));
    let one = rewrite(&batch(Signal::Metrics, METRICS), |level, place| match level {
        Level::Metric if text(place, name) != "a" => Verdict::Drop,
        Level::Metric => Verdict::Keep,
        _ => Verdict::Descend,
    });
    assert_eq!(one.items(), 2);
}

#[test]
fn a_span_without_events_stays() {
    let name = Field::of(Signal::Traces, Part::Event, "name").unwrap();
    let drop = |level: Level, place: &mut Place<'_>| match level {
        Level::Event if text(place, name) == "e1" => Verdict::Drop,
        _ => Verdict::Descend,
    };
    check(
        Signal::Traces,
        SPANS,
        drop,
        r#"{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"s"},"spans":[
        {"name":"x","events":[{"name":"e2"}],"status":{"code":2,"message":"m"}},{"name":"y"}]}]}]}"#,
    );
}

#[test]
fn fields_of_all_parts_are_set() {
    let field = |part, name| Field::of(Signal::Metrics, part, name).unwrap();
    let string = |text: &str| Value::String(text.to_owned());
    let edit = |level: Level, place: &mut Place<'_>| {
        match level {
            Level::Resource => {
                assert!(place.set(field(Part::ResourceEntry, "schema_url"), &string("new")));
                assert!(place.set_attribute(field(Part::Resource, "attributes"), "k", true));
            }
            Level::Scope => assert!(place.set(field(Part::Scope, "name"), &string("scope"))),
            Level::Metric => {
                assert!(place.set(field(Part::Metric, "unit"), &string("1")));
                place.set_data_kind(DataKind::Gauge);
                assert!(!place.set(field(Part::Metric, "unit"), &Value::Int(1)), "a unit is text");
            }
            Level::Item if place.data_kind() == Some(DataKind::Gauge) => {
                assert!(place.set(field(Part::Item, "as_double"), &Value::Double(0.5)));
                assert!(place.set(field(Part::Item, "time_unix_nano"), &Value::Int(9)));
            }
            _ => assert!(
                !place.set(field(Part::Item, "as_double"), &Value::Double(0.5)),
                "a histogram has none"
            ),
        }
        Verdict::Descend
    };
    let resource = |attributes: &str, body: &str| {
        format!(
            r#"{{"resource":{{"attributes":[{attributes}{{"key":"k","value":{{"boolValue":true}}}}]}},"schemaUrl":"new","scopeMetrics":[{body}]}}"#
        )
    };
    let point = r#"{"asDouble":0.5,"timeUnixNano":"9"}"#;
    let first = resource(
        r#"{"key":"r","value":{"stringValue":"1"}},"#,
        &format!(
            r#"{{"scope":{{"name":"scope","version":"v"}},"metrics":[
            {{"name":"a","unit":"1","gauge":{{"dataPoints":[{point},{point}]}}}},
            {{"name":"b","unit":"1","histogram":{{"dataPoints":[{{"count":"1"}}]}}}},
            {{"name":"c","unit":"1"}}]}},
            {{"scope":{{"name":"scope"}},"metrics":[{{"name":"d","unit":"1","gauge":{{"dataPoints":[{point}]}}}}]}}"#
        ),
    );
    let second = resource(
        "",
        &format!(
            r#"{{"scope":{{"name":"scope"}},"metrics":[{{"name":"e","unit":"1","gauge":{{"dataPoints":[{point}]}}}}]}}"#
        ),
    );
    check(Signal::Metrics, METRICS, edit, &format!(r#"{{"resourceMetrics":[{first},{second}]}}"#));
}

#[test]
fn what_is_set_reads_back_at_once() {
    let field = |name| Field::of(Signal::Traces, Part::Item, name).unwrap();
    let code = Field::within(Signal::Traces, Part::Item, "status", "code").unwrap();
    let left = rewrite(&batch(Signal::Traces, SPANS), |level, place| {
        if level == Level::Item {
            assert!(place.set(code, &Value::Int(1)) && place.set(field("kind"), &Value::Int(3)));
            assert!(matches!(place.get(code), AnyValueView::Int(1)));
            assert!(Field::within(Signal::Traces, Part::Item, "status", "nosuch").is_none());
            assert!(!place.set(field("trace_id"), &Value::Bytes(vec![1; 3])), "16 bytes or none");
            assert!(place.set(field("trace_id"), &Value::Bytes(vec![1; 16])));
            assert!(place.set_attribute(field("attributes"), "a", 1i64));
            assert!(place.set_attribute(field("attributes"), "b", 2i64));
            assert!(place.retain_attributes(field("attributes"), |pair| pair.key != "a"));
            assert!(!place.retain_attributes(field("attributes"), |pair| pair.key != "a"));
            assert_eq!(place.attributes(field("attributes")).count(), 1);
            return Verdict::Keep;
        }
        Verdict::Descend
    });
    let span = pdata::traces::resources(&left)
        .flat_map(|entry| entry.scopes())
        .flat_map(|scope| scope.spans())
        .next()
        .unwrap();
    assert_eq!((span.status.code, span.status.message, span.kind, span.events().count()), (1, "m", 3, 2));
}
