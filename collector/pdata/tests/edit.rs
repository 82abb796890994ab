//! Splitting and editing resources: against doing the same on `opentelemetry-proto` structs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod random;
mod rebuild;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use pdata::{Batch, ResourceEditor, Signal, Value};
use proptest::prelude::*;
use prost::Message;
use random::{Flavour, entropy};

/// The items of a request, each with everything around it.
fn items(batch: &Batch) -> Vec<String> {
    match batch.signal() {
        Signal::Metrics => metric_items(batch),
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(batch.to_protobuf()).unwrap();
            let mut items = Vec::new();
            for mut entry in request.resource_logs {
                for mut scope in std::mem::take(&mut entry.scope_logs) {
                    for record in std::mem::take(&mut scope.log_records) {
                        items.push(format!("{entry:?} {scope:?} {record:?}"));
                    }
                }
            }
            items
        }
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(batch.to_protobuf()).unwrap();
            let mut items = Vec::new();
            for mut entry in request.resource_spans {
                for mut scope in std::mem::take(&mut entry.scope_spans) {
                    for span in std::mem::take(&mut scope.spans) {
                        items.push(format!("{entry:?} {scope:?} {span:?}"));
                    }
                }
            }
            items
        }
    }
}

fn metric_items(batch: &Batch) -> Vec<String> {
    fn texts<T: std::fmt::Debug>(points: &mut Vec<T>) -> Vec<String> {
        points.drain(..).map(|point| format!("{point:?}")).collect()
    }
    let mut items = Vec::new();
    for mut entry in ExportMetricsServiceRequest::decode(batch.to_protobuf()).unwrap().resource_metrics {
        for mut scope in std::mem::take(&mut entry.scope_metrics) {
            for mut metric in std::mem::take(&mut scope.metrics) {
                let points = match &mut metric.data {
                    None => Vec::new(),
                    Some(Data::Gauge(data)) => texts(&mut data.data_points),
                    Some(Data::Sum(data)) => texts(&mut data.data_points),
                    Some(Data::Histogram(data)) => texts(&mut data.data_points),
                    Some(Data::ExponentialHistogram(data)) => texts(&mut data.data_points),
                    Some(Data::Summary(data)) => texts(&mut data.data_points),
                };
                items.extend(points.iter().map(|point| format!("{entry:?} {scope:?} {metric:?} {point}")));
            }
        }
    }
    items
}

fn entries(batch: &Batch) -> usize {
    match batch.signal() {
        Signal::Metrics => pdata::metrics::resources(batch).count(),
        Signal::Logs => pdata::logs::resources(batch).count(),
        Signal::Traces => pdata::traces::resources(batch).count(),
    }
}

/// One change of a resource.
#[derive(Debug, Clone)]
enum Change {
    Insert(String, Value),
    Update(String, Value),
    Upsert(String, Value),
    Remove(String),
    Retain(u8),
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Empty),
        "[a-z]{0,20}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9).prop_map(Value::Double),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec(("[a-z]{0,3}", inner), 0..3).prop_map(Value::KeyValues),
        ]
    })
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Keys that the random requests have, too.
    let key = prop_oneof![Just(String::new()), "text[4-6]", "[ab]"];
    let one = prop_oneof![
        (key.clone(), value()).prop_map(|(key, value)| Change::Insert(key, value)),
        (key.clone(), value()).prop_map(|(key, value)| Change::Update(key, value)),
        (key.clone(), value()).prop_map(|(key, value)| Change::Upsert(key, value)),
        key.prop_map(Change::Remove),
        any::<u8>().prop_map(Change::Retain),
    ];
    prop::collection::vec(one, 0..5)
}

fn keeps(salt: u8, key: &str) -> bool {
    key.bytes().fold(salt, u8::wrapping_add) % 3 > 0
}

fn edit(editor: &mut ResourceEditor<'_>, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Insert(key, value) => drop(editor.insert(key, value)),
            Change::Update(key, value) => drop(editor.update(key, value)),
            Change::Upsert(key, value) => editor.upsert(key, value),
            Change::Remove(key) => drop(editor.remove(key)),
            Change::Retain(salt) => editor.retain(|pair| keeps(*salt, pair.key)),
        }
    }
}

fn edit_proto(resource: &mut Option<Resource>, changes: &[Change]) {
    let old = resource.clone();
    let attributes = &mut resource.get_or_insert_default().attributes;
    for change in changes {
        let position = |key: &str| attributes.iter().position(|pair| pair.key == key);
        match change {
            Change::Insert(key, value) | Change::Upsert(key, value) if position(key).is_none() => {
                attributes.push(KeyValue {
                    key: key.clone(),
                    value: Some(proto_value(value)),
                    key_strindex: 0,
                });
            }
            Change::Insert(..) => {}
            Change::Update(key, value) | Change::Upsert(key, value) => {
                if let Some(position) = position(key) {
                    attributes[position].value = Some(proto_value(value));
                    let mut index = 0;
                    attributes.retain(|pair| {
                        index += 1;
                        pair.key != *key || index == position + 1
                    });
                }
            }
            Change::Remove(key) => attributes.retain(|pair| pair.key != *key),
            Change::Retain(salt) => attributes.retain(|pair| keeps(*salt, &pair.key)),
        }
    }
    if old.is_none() && attributes.is_empty() {
        *resource = None;
    }
}

fn proto_value(value: &Value) -> AnyValue {
    let value = match value {
        Value::Empty => None,
        Value::String(text) => Some(ProtoValue::StringValue(text.clone())),
        Value::Bool(value) => Some(ProtoValue::BoolValue(*value)),
        Value::Int(value) => Some(ProtoValue::IntValue(*value)),
        Value::Double(value) => Some(ProtoValue::DoubleValue(*value)),
        Value::Bytes(bytes) => Some(ProtoValue::BytesValue(bytes.clone())),
        Value::Array(values) => {
            let values = values.iter().map(proto_value).collect();
            Some(ProtoValue::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values }))
        }
        Value::KeyValues(pairs) => {
            let values = pairs
                .iter()
                .map(|(key, value)| KeyValue {
                    key: key.clone(),
                    value: Some(proto_value(value)),
                    key_strindex: 0,
                })
                .collect();
            Some(ProtoValue::KvlistValue(opentelemetry_proto::tonic::common::v1::KeyValueList { values }))
        }
    };
    AnyValue { value }
}

/// The request with the changes made to every resource, encoded; a resource that was empty and is, left out.
fn edited_by_prost(signal: Signal, entropy: &[u8], changes: &[Change]) -> Vec<u8> {
    match signal {
        Signal::Metrics => {
            let mut request = random::metrics(Flavour::Anything, entropy);
            request.resource_metrics.iter_mut().for_each(|entry| edit_proto(&mut entry.resource, changes));
            request.encode_to_vec()
        }
        Signal::Logs => {
            let mut request = random::logs(Flavour::Anything, entropy);
            request.resource_logs.iter_mut().for_each(|entry| edit_proto(&mut entry.resource, changes));
            request.encode_to_vec()
        }
        Signal::Traces => {
            let mut request = random::traces(Flavour::Anything, entropy);
            request.resource_spans.iter_mut().for_each(|entry| edit_proto(&mut entry.resource, changes));
            request.encode_to_vec()
        }
    }
}

/// A batch of several requests, the second half of them with an edited resource.
fn joined(signal: Signal, parts: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::empty(signal);
    for (index, entropy) in parts.iter().enumerate() {
        let bytes = random::encoded(signal, Flavour::Anything, entropy);
        let mut part = Batch::from_protobuf(signal, bytes.into()).unwrap();
        if index * 2 >= parts.len() {
            part = part.edit_resources(|editor| editor.upsert("part", index as i64));
        }
        batch.append(part).unwrap();
    }
    batch
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_split_keeps_every_item_with_its_surroundings(
        parts in prop::collection::vec(entropy(), 0..4),
        at in any::<prop::sample::Index>(),
    ) {
        for signal in Signal::ALL {
            let whole = joined(signal, &parts);
            let expected = items(&whole);
            prop_assert_eq!(whole.items(), expected.len());
            let at = at.index(expected.len() + 2);
            let mut rest = whole.clone();
            let first = rest.split_off_first(at);
            prop_assert_eq!(first.items(), at.min(expected.len()));
            prop_assert_eq!(first.items() + rest.items(), expected.len());
            // What is left of a large entry may be in halves of halves.
            prop_assert!(entries(&first) + entries(&rest) <= entries(&whole) + 1 + rest.items().checked_ilog2().unwrap_or(0) as usize);
            for part in [&first, &rest] {
                // The counts of the pieces are those of their bytes.
                let again = Batch::from_protobuf(signal, part.to_protobuf()).unwrap();
                prop_assert_eq!(again.items(), part.items());
                prop_assert_eq!(again.encoded_len(), part.encoded_len());
                prop_assert_eq!(part.chunks().iter().map(|chunk| chunk.items()).sum::<usize>(), part.items());
            }
            prop_assert_eq!([items(&first), items(&rest)].concat(), expected);
        }
    }

    #[test]
    fn splitting_again_and_again_ends(entropy in entropy(), step in 1usize..4) {
        for signal in Signal::ALL {
            let mut rest = joined(signal, &[entropy.clone(), entropy.clone()]);
            let (expected, mut seen) = (items(&rest), Vec::new());
            while !rest.is_empty() {
                let part = rest.split_off_first(step);
                prop_assert_eq!(part.items(), step.min(expected.len() - seen.len()));
                seen.extend(items(&part));
            }
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn edits_are_those_of_the_structs(entropy in entropy(), changes in changes(), again in changes()) {
        for signal in Signal::ALL {
            let bytes = random::encoded(signal, Flavour::Anything, &entropy);
            let batch = Batch::from_protobuf(signal, bytes.into()).unwrap();
            let edited = batch
                .clone()
                .edit_resources(|editor| edit(editor, &changes))
                .edit_resources(|editor| edit(editor, &again));
            let all = [changes.clone(), again.clone()].concat();
            let expected = edited_by_prost(signal, &entropy, &all);
            let checked = Batch::from_protobuf(signal, edited.to_protobuf()).unwrap();
            prop_assert_eq!(checked.items(), batch.items());
            prop_assert_eq!(edited.encoded_len(), edited.to_protobuf().len());
            prop_assert_eq!(rebuild::encoded(&edited), rebuild::encoded(&checked));
            let expected = Batch::from_protobuf(signal, expected.into()).unwrap();
            prop_assert_eq!(rebuild::encoded(&edited), rebuild::encoded(&expected));
        }
    }
}

/// Logs of resources `r` = 0, 1, … with a body of `len` bytes each.
fn sample(resources: usize, len: usize) -> Batch {
    let body = "x".repeat(len);
    let entries: Vec<_> = (0..resources)
        .map(|r| {
            format!(
                r#"{{"resource":{{"attributes":[{{"key":"r","value":{{"intValue":{r}}}}}]}},
                "scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"{body}"}}}}]}}]}}"#
            )
        })
        .collect();
    let json = format!(r#"{{"resourceLogs":[{}]}}"#, entries.join(","));
    Batch::from_json(Signal::Logs, json.as_bytes()).unwrap()
}

#[test]
fn looking_without_changing_changes_nothing() {
    let batch = sample(3, 10);
    let before = batch.to_protobuf();
    let after = batch.edit_resources(|editor| {
        assert!(editor.get("r").is_some());
        assert!(!editor.update("missing", "x"));
        assert!(!editor.insert("r", true));
        assert!(!editor.remove("missing"));
        editor.retain(|_| true);
    });
    assert_eq!(after.to_protobuf().as_ptr(), before.as_ptr());
}

#[test]
fn resources_may_have_any_length() {
    // Lengths of one byte, of two and of three, that grow and shrink; some resources stay, and some entries have none.
    for (before, after) in
        [(0, 1), (10, 200), (200, 10), (120, 121), (115, 130), (300, 400), (9, 20_000), (20_000, 9)]
    {
        let resources = |len: usize, kept: bool| {
            let text = |len: usize| {
                format!(
                    r#"{{"attributes": [{{"key": "a", "value": {{"stringValue": "{}"}}}}]}}"#,
                    "x".repeat(len)
                )
            };
            let body = r#""scopeLogs": [{"logRecords": [{"body": {"stringValue": "y"}}]}]"#;
            let entries: Vec<String> = (0..70)
                .map(|at| match at % 3 {
                    0 => format!(r#"{{"resource": {}, {body}}}"#, text(if kept { before } else { len })),
                    1 => format!(r#"{{"resource": {}, {body}}}"#, text(len)),
                    _ => format!("{{{body}}}"),
                })
                .collect();
            Batch::from_json(
                Signal::Logs,
                format!(r#"{{"resourceLogs": [{}]}}"#, entries.join(",")).as_bytes(),
            )
            .unwrap()
        };
        let mut at = 0;
        let value = "x".repeat(after);
        let edited = resources(before, false).edit_resources(|editor| {
            if at % 3 == 1 {
                assert!(editor.update("a", value.as_str()));
                assert_eq!(editor.get("a").and_then(|value| value.as_str()), Some(value.as_str()));
                editor.insert("b", true);
                assert!(editor.remove("b"));
            }
            at += 1;
        });
        assert_eq!(edited, resources(after, true), "{before} {after}");
    }
}

#[test]
fn large_items_are_not_copied() {
    let batch = sample(3, 1000);
    let edited = batch.clone().edit_resources(|editor| {
        editor.insert("cluster", "c");
        if editor.get("r").and_then(|value| value.as_str().map(str::len)).is_none() {
            editor.upsert("r", Value::from("text"));
        }
    });
    let bodies = |batch: &Batch| -> Vec<*const u8> {
        pdata::logs::resources(batch)
            .flat_map(|entry| entry.scopes())
            .flat_map(|scope| scope.log_records())
            .filter_map(|record| record.body.as_str().map(str::as_ptr))
            .collect()
    };
    assert_eq!(bodies(&edited), bodies(&batch));
    let keys: Vec<_> = pdata::logs::resources(&edited)
        .map(|entry| entry.resource().attributes().map(|pair| pair.key.to_owned()).collect::<Vec<_>>())
        .collect();
    assert_eq!(keys, vec![["r", "cluster"]; 3]);
}

#[test]
fn entries_beside_the_cut_are_not_copied() {
    let mut rest = sample(5, 1000);
    let range = rest.to_protobuf().as_ptr_range();
    let first = rest.split_off_first(2);
    assert!(range.contains(&first.to_protobuf().as_ptr()));
    assert!(range.contains(&rest.to_protobuf().as_ptr()));
    assert_eq!((first.chunks().len(), rest.chunks().len()), (1, 1));
}

#[test]
fn a_large_resource_is_cut_into_many_parts_in_no_time() {
    let mut rest = {
        let records = vec!["{}"; 200_000].join(",");
        let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
        Batch::from_json(Signal::Logs, json.as_bytes()).unwrap()
    };
    let mut parts = 0;
    let mut written = 0;
    while !rest.is_empty() {
        let part = rest.split_off_first(100);
        assert_eq!((part.items(), entries(&part)), (100, 1));
        written += part.encoded_len();
        parts += 1;
    }
    assert_eq!(parts, 2000);
    assert!(written < 2_000_000, "{written}");
}

#[test]
fn an_attribute_can_be_copied_from_another() {
    let batch = sample(1, 1).edit_resources(|editor| {
        if let Some(value) = editor.get("r").map(Value::from) {
            editor.insert("copy", value);
        }
    });
    let attributes = pdata::logs::resources(&batch).next().unwrap().resource().attributes();
    assert!(matches!(attributes.get("copy"), Some(pdata::AnyValueView::Int(0))));
}
