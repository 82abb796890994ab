use pdata::Signal;
use serde_json::{Value, json};

use super::*;

/// What a record became: `group|stream|time|message`, or the reason of its loss in parentheses.
fn convert(yaml: &str, batch: &Batch) -> Vec<String> {
    let yaml = format!("log_group_name: g\nlog_stream_name: s\n{yaml}");
    let config: crate::Config = confmap::from_yaml(&yaml).unwrap();
    let mut all = Vec::new();
    Converter::new(&config.logs).unwrap().convert(batch, |outcome| {
        all.push(match outcome {
            Outcome::Event { group, stream, timestamp_ms, message } => {
                format!("{group}|{stream}|{timestamp_ms}|{message}")
            }
            Outcome::Dropped(reason) => format!("({reason})"),
        });
    });
    all
}

fn batch(resource_logs: Value) -> Batch {
    let json = json!({"resourceLogs": resource_logs});
    Batch::from_json(Signal::Logs, json.to_string().as_bytes()).unwrap()
}

fn one(record: Value) -> Batch {
    batch(json!([{"scopeLogs": [{"logRecords": [record]}]}]))
}

fn body(text: &str) -> Value {
    json!({"body": {"stringValue": text}})
}

#[test]
fn records_become_objects() {
    let check = |record: Value, message: &str| {
        let expected = format!("g|s|0|{message}");
        assert_eq!(convert("", &one(record.clone())), [expected], "{record}");
    };
    check(json!({}), "{}");
    check(body("<a>&"), r#"{"body":"\u003ca\u003e\u0026"}"#);
    check(body(""), r#"{"body":""}"#);
    check(json!({"body": {}}), "{}");
    check(json!({"body": {"intValue": "9007199254740993"}}), r#"{"body":9007199254740993}"#);
    check(json!({"body": {"doubleValue": 1e21}}), r#"{"body":1e+21}"#);
    check(json!({"body": {"boolValue": false}}), r#"{"body":false}"#);
    check(json!({"body": {"bytesValue": "AQI="}}), r#"{"body":"AQI="}"#);
    check(json!({"body": {"arrayValue": {"values": [{}, {"intValue": "1"}]}}}), r#"{"body":[null,1]}"#);
    let map = json!([{"key": "b", "value": {"intValue": "1"}}, {"key": "a", "value": {}}]);
    check(json!({"body": {"kvlistValue": {"values": map}}}), r#"{"body":{"a":null,"b":1}}"#);
    check(json!({"attributes": map, "flags": 1}), r#"{"flags":1,"attributes":{"a":null,"b":1}}"#);
    // Neither is exported.
    check(json!({"eventName": "e", "observedTimeUnixNano": "5000000"}), "{}");
    let zeros = json!({"traceId": "00000000000000000000000000000000", "spanId": "0000000000000000"});
    check(zeros, "{}");
}

#[test]
fn members_stand_in_a_fixed_order() {
    let attribute = |key: &str| json!([{"key": key, "value": {"stringValue": "v"}}]);
    let batch = batch(json!([{
        "resource": {"attributes": attribute("r")},
        "scopeLogs": [
            {
                "scope": {"name": "lib", "version": "1", "attributes": attribute("s")},
                "logRecords": [{
                    "timeUnixNano": "1700000000123999999",
                    "body": {"stringValue": "b"},
                    "severityNumber": 9,
                    "severityText": "Info",
                    "droppedAttributesCount": 2,
                    "flags": 257,
                    "traceId": "0102030405060708090A0B0C0D0E0F10",
                    "spanId": "0102030405060708",
                    "attributes": attribute("a"),
                }, {}],
            },
            {"scope": {"version": "2", "attributes": attribute("s")}, "logRecords": [{}]},
            {"scope": {"name": "plain"}, "logRecords": [{"severityNumber": 1}]},
        ],
    }]));
    let scope = r#""scope":{"name":"lib","version":"1","attributes":{"s":"v"}}"#;
    let resource = r#""resource":{"r":"v"}"#;
    assert_eq!(
        convert("", &batch),
        [
            format!(
                "g|s|1700000000123|{{\"body\":\"b\",\"severity_number\":9,\"severity_text\":\"Info\",\
                 \"dropped_attributes_count\":2,\"flags\":257,\"trace_id\":\"0102030405060708090a0b0c0d0e0f10\",\
                 \"span_id\":\"0102030405060708\",\"attributes\":{{\"a\":\"v\"}},{scope},{resource}}}"
            ),
            format!("g|s|0|{{{scope},{resource}}}"),
            format!("g|s|0|{{{resource}}}"),
            format!("g|s|0|{{\"severity_number\":1,\"scope\":{{\"name\":\"plain\"}},{resource}}}"),
        ]
    );
}

#[test]
fn numbers_without_json_form_cost_only_their_record() {
    let nan = || json!({"doubleValue": "NaN"});
    let attributes =
        || json!([{"key": "k", "value": {"arrayValue": {"values": [{"doubleValue": "Infinity"}]}}}]);
    let batch = batch(json!([
        {"scopeLogs": [
            {"logRecords": [{"body": nan()}, body("a"), {"attributes": attributes()}]},
            {"scope": {"name": "n", "attributes": attributes()}, "logRecords": [body("b")]},
            {"logRecords": [body("c")]},
        ]},
        {"resource": {"attributes": attributes()}, "scopeLogs": [{"logRecords": [body("d")]}]},
        {"scopeLogs": [{"logRecords": [body("e")]}]},
    ]));
    let lost = "(not_finite)";
    let event = |body: &str| format!("g|s|0|{{\"body\":\"{body}\"}}");
    assert_eq!(convert("", &batch), [lost, &event("a"), lost, lost, &event("c"), lost, &event("e")]);
}

#[test]
fn raw_bodies_are_text() {
    let check = |record: Value, message: &str| {
        let expected = format!("g|s|0|{message}");
        assert_eq!(convert("raw_log: true", &one(record.clone())), [expected], "{record}");
    };
    check(body("as <it> is\n"), "as <it> is\n");
    check(json!({"body": {"intValue": "-7"}}), "-7");
    check(json!({"body": {"boolValue": true}}), "true");
    check(json!({"body": {"doubleValue": 1e21}}), "1e+21");
    check(json!({"body": {"doubleValue": "NaN"}}), "NaN");
    check(json!({"body": {"bytesValue": "AQI="}}), "AQI=");
    check(json!({"body": {"arrayValue": {"values": [{"stringValue": "<"}, {}]}}}), r#"["<",null]"#);
    // Without a text there is no event; the pusher drops and counts it.
    check(json!({}), "");
    check(body(""), "");
}

#[test]
fn raw_bodies_may_name_their_destination() {
    let check = |text: &str, place: &str| {
        assert_eq!(convert("raw_log: true", &one(body(text))), [format!("{place}|0|{text}")]);
        let only = convert("raw_log: true\nemf_only: true", &one(body(text)));
        let expected = if place == "g|s" { "(not_emf)".to_owned() } else { format!("{place}|0|{text}") };
        assert_eq!(only, [expected], "{text}");
    };
    check(r#"{"_aws":{"logGroupName":"G","logStreamName":"S"},"m":1}"#, "G|S");
    check(r#"{"_aws":{"LogGroupName":"G"}}"#, "G|s");
    check(r#"{"log_group_name":"G","log_stream_name":"S"}"#, "G|S");
    check(r#"{"_aws":{"logStreamName":"S"}}"#, "g|s");
    check(r#"{"_aws":{"logGroupName":1}}"#, "g|s");
    check("plain", "g|s");
    let map = json!([{"key": "log_group_name", "value": {"stringValue": "G"}}]);
    let record = json!({"body": {"kvlistValue": {"values": map}}});
    assert_eq!(convert("raw_log: true", &one(record)), [r#"G|s|0|{"log_group_name":"G"}"#]);
    // Without `raw_log` bodies name nothing.
    let event = convert("", &one(body(r#"{"log_group_name":"G"}"#)));
    assert_eq!(event, [r#"g|s|0|{"body":"{\"log_group_name\":\"G\"}"}"#]);
}

#[test]
fn records_of_a_resource_may_have_streams_of_their_own() {
    let attribute = |key: &str, value: &str| json!([{"key": key, "value": {"stringValue": value}}]);
    let record = |pod: &str| json!({"body": {"stringValue": "b"}, "attributes": attribute("PodName", pod)});
    let records = || json!([{"logRecords": [record("p"), body("b"), record("q")]}]);
    let batch = batch(json!([
        {"scopeLogs": records()},
        {"resource": {"attributes": attribute("pod", "r")}, "scopeLogs": records()},
    ]));
    let config = "raw_log: true\nlog_stream_name: '{PodName}'";
    let yaml = format!("log_group_name: g\n{config}");
    let config: crate::Config = confmap::from_yaml(&yaml).unwrap();
    let mut streams = Vec::new();
    Converter::new(&config.logs).unwrap().convert(&batch, |outcome| {
        if let Outcome::Event { stream, .. } = outcome {
            streams.push(stream.to_owned());
        }
    });
    assert_eq!(streams, ["p", "undefined", "q", "r", "r", "r"]);
}

#[test]
fn times_are_milliseconds() {
    let check = |nanoseconds: u64, expected: i64| {
        let mut record = body("b");
        record["timeUnixNano"] = json!(nanoseconds.to_string());
        record["observedTimeUnixNano"] = json!("1700000000000000000");
        assert_eq!(convert("raw_log: true", &one(record)), [format!("g|s|{expected}|b")]);
    };
    check(0, 0);
    check(999_999, 0);
    check(1_700_000_000_123_999_999, 1_700_000_000_123);
    check(u64::MAX, 18_446_744_073_709);
}
