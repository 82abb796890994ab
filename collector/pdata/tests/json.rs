//! OTLP/JSON in and out: what is accepted, what is written, and the way there and back.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod random;
mod rebuild;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use pdata::{Batch, Signal};
use proptest::prelude::*;
use random::{Flavour, entropy};

/// The JSON that a JSON request comes out as.
fn again(signal: Signal, json: &str) -> Result<String, String> {
    match Batch::from_json(signal, json.as_bytes()) {
        Ok(batch) => Ok(String::from_utf8(batch.to_json()).unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

/// Checks what a log record comes out as; both without the envelope.
fn record(json: &str, expected: &str) {
    let request = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{json}]}}]}}]}}"#);
    let expected = format!(
        r#"{{"resourceLogs":[{{"resource":{{}},"scopeLogs":[{{"scope":{{}},"logRecords":[{expected}]}}]}}]}}"#
    );
    assert_eq!(again(Signal::Logs, &request), Ok(expected), "{json}");
}

/// Checks that a log record is refused.
fn refused(json: &str, expected: &str) {
    let request = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{json}]}}]}}]}}"#);
    let expected = expected.replace("RECORD", "resourceLogs[0].scopeLogs[0].logRecords[0]");
    assert_eq!(again(Signal::Logs, &request), Err(expected), "{json}");
}

#[test]
fn numbers_come_as_numbers_or_strings() {
    record(r#"{"timeUnixNano":"5"}"#, r#"{"timeUnixNano":"5","body":{}}"#);
    record(
        r#"{"timeUnixNano":18446744073709551615}"#,
        r#"{"timeUnixNano":"18446744073709551615","body":{}}"#,
    );
    record(
        r#"{"body":{"intValue":"-9223372036854775808"}}"#,
        r#"{"body":{"intValue":"-9223372036854775808"}}"#,
    );
    record(r#"{"body":{"intValue":-0}}"#, r#"{"body":{"intValue":"0"}}"#);
    record(r#"{"body":{"intValue":1e3}}"#, r#"{"body":{"intValue":"1000"}}"#);
    record(
        r#"{"flags":"1","droppedAttributesCount":2}"#,
        r#"{"body":{},"droppedAttributesCount":2,"flags":1}"#,
    );
    record(r#"{"body":{"doubleValue":"NaN"}}"#, r#"{"body":{"doubleValue":"NaN"}}"#);
    record(r#"{"body":{"doubleValue":"-Infinity"}}"#, r#"{"body":{"doubleValue":"-Infinity"}}"#);
    record(r#"{"body":{"doubleValue":1e21}}"#, r#"{"body":{"doubleValue":1e+21}}"#);
    record(r#"{"body":{"doubleValue":"0.5"}}"#, r#"{"body":{"doubleValue":0.5}}"#);
    record(r#"{"body":{"doubleValue":3}}"#, r#"{"body":{"doubleValue":3}}"#);
    record(
        r#"{"body":{"doubleValue":0.30000000000000004}}"#,
        r#"{"body":{"doubleValue":0.30000000000000004}}"#,
    );
}

#[test]
fn names_come_in_either_spelling_and_unknown_ones_are_skipped() {
    record(
        r#"{"severity_text":"a","observed_time_unix_nano":1}"#,
        r#"{"observedTimeUnixNano":"1","severityText":"a","body":{}}"#,
    );
    record(r#"{"severityNumber":"SEVERITY_NUMBER_INFO"}"#, r#"{"severityNumber":9,"body":{}}"#);
    record(r#"{"severityNumber":77}"#, r#"{"severityNumber":77,"body":{}}"#);
    record(
        r#"{"later":{"deep":[[[{"x":null}]],"\ud800"]},"eventName":"e"}"#,
        r#"{"body":{},"eventName":"e"}"#,
    );
}

#[test]
fn null_is_absent_and_an_element_that_is_null_is_empty() {
    record(r#"{"severityText":null,"body":null,"attributes":null,"flags":null}"#, r#"{"body":{}}"#);
    record(
        r#"{"body":{"arrayValue":{"values":[null,{},{"stringValue":""}]}}}"#,
        r#"{"body":{"arrayValue":{"values":[{},{},{"stringValue":""}]}}}"#,
    );
}

#[test]
fn chosen_members_are_written_even_when_empty() {
    record(r#"{"body":{"boolValue":false}}"#, r#"{"body":{"boolValue":false}}"#);
    record(r#"{"body":{"bytesValue":""}}"#, r#"{"body":{"bytesValue":""}}"#);
    record(r#"{"body":{"kvlistValue":{}}}"#, r#"{"body":{"kvlistValue":{}}}"#);
    record(
        r#"{"attributes":[{"key":"k"}],"flags":0}"#,
        r#"{"body":{},"attributes":[{"key":"k","value":{}}]}"#,
    );
}

#[test]
fn ids_are_hexadecimal_and_bytes_base64() {
    record(
        r#"{"traceId":"ABCDEF0123456789abcdef0123456789","spanId":"EEE19B7EC3C1B174"}"#,
        r#"{"body":{},"traceId":"abcdef0123456789abcdef0123456789","spanId":"eee19b7ec3c1b174"}"#,
    );
    record(r#"{"traceId":"","spanId":"0000000000000000"}"#, r#"{"body":{}}"#);
    record(r#"{"body":{"bytesValue":"+/8="}}"#, r#"{"body":{"bytesValue":"+/8="}}"#);
    record(r#"{"body":{"bytesValue":"+/8"}}"#, r#"{"body":{"bytesValue":"+/8="}}"#);
    record(r#"{"body":{"bytesValue":"AAEC"}}"#, r#"{"body":{"bytesValue":"AAEC"}}"#);
}

#[test]
fn half_a_surrogate_pair_is_replaced() {
    record(
        r#"{"severityText":"a\ud83db\ude00\ud83d\ude00"}"#,
        "{\"severityText\":\"a\u{fffd}b\u{fffd}😀\",\"body\":{}}",
    );
}

#[test]
fn the_order_of_names_does_not_matter() {
    let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"e"}],"scope":{"name":"s"}}],"resource":{"droppedAttributesCount":1}}]}"#;
    let expected = r#"{"resourceLogs":[{"resource":{"droppedAttributesCount":1},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"body":{},"eventName":"e"}]}]}]}"#;
    assert_eq!(again(Signal::Logs, json), Ok(expected.to_owned()));
}

#[test]
fn instrumentation_libraries_are_scopes() {
    let json = r#"{"resourceSpans":[{"instrumentationLibrarySpans":[{"instrumentationLibrary":{"name":"l"},"spans":[{"name":"s"}]}]}]}"#;
    let expected = r#"{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{"name":"l"},"spans":[{"name":"s","status":{}}]}]}]}"#;
    assert_eq!(again(Signal::Traces, json), Ok(expected.to_owned()));
}

#[test]
fn metrics_are_written_as_upstream_writes_them() {
    let json = r#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":[
        {"name":"n","unit":"By","sum":{"isMonotonic":true,"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE",
            "dataPoints":[{"asInt":"0","timeUnixNano":1,"attributes":[{"key":"a","value":{"stringValue":"v"}}]}]}},
        {"name":"h","histogram":{"dataPoints":[{"count":2,"sum":0,"min":0,"bucketCounts":["1",1],"explicitBounds":[1.5]}]}},
        {"name":"e","exponentialHistogram":{"dataPoints":[{"scale":-3,"positive":{"offset":"-1","bucketCounts":[300]}}]}},
        {"name":"q","summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5,"value":0}]}]}},
        {"name":"g","gauge":{}},
        {"name":"none"}]}]}]}"#;
    let expected = concat!(
        r#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":["#,
        r#"{"name":"n","unit":"By","sum":{"dataPoints":[{"attributes":[{"key":"a","value":{"stringValue":"v"}}],"#,
        r#""timeUnixNano":"1","asInt":"0"}],"aggregationTemporality":2,"isMonotonic":true}},"#,
        r#"{"name":"h","histogram":{"dataPoints":[{"count":"2","sum":0,"bucketCounts":["1","1"],"#,
        r#""explicitBounds":[1.5],"min":0}]}},"#,
        r#"{"name":"e","exponentialHistogram":{"dataPoints":[{"scale":-3,"#,
        r#""positive":{"offset":-1,"bucketCounts":["300"]},"negative":{}}]}},"#,
        r#"{"name":"q","summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5}]}]}},"#,
        r#"{"name":"g","gauge":{}},{"name":"none"}]}]}]}"#
    );
    assert_eq!(again(Signal::Metrics, json), Ok(expected.to_owned()));
}

#[test]
fn faults_name_the_field_and_the_place() {
    let check = |json: &str, expected: &str| {
        assert_eq!(again(Signal::Logs, json), Err(expected.to_owned()), "{json}");
    };
    check("", "EOF while parsing a value at line 1 column 0");
    check("{} {}", "trailing characters at line 1 column 4");
    check("[]", "invalid type: sequence, expected an object at line 1 column 0");
    check(
        "{\"resourceLogs\":[{\n\"scopeLogs\":{}}]}",
        "invalid type: map, expected an array at line 2 column 12 in resourceLogs[0].scopeLogs[0]",
    );
    check(
        r#"{"resourceLogs":[{},{"schemaUrl":1}]}"#,
        "invalid type: integer `1`, expected a string at line 1 column 34 in resourceLogs[1].schemaUrl",
    );
    refused(
        r#"{"attributes":[{},{"key":"k","value":{"intValue":"x"}}]}"#,
        "invalid value: string \"x\", expected a 64-bit integer at line 1 column 98 in RECORD.attributes[1].value.intValue",
    );
    refused(
        r#"{"traceId":"abc"}"#,
        "invalid value: string \"abc\", expected an id of 32 hexadecimal digits or none at line 1 column 62 in RECORD.traceId",
    );
    refused(
        r#"{"spanId":"zzzzzzzzzzzzzzzz"}"#,
        "invalid value: string \"zzzzzzzzzzzzzzzz\", expected an id of 16 hexadecimal digits or none at line 1 column 74 in RECORD.spanId",
    );
    refused(
        r#"{"severityNumber":"LOUD"}"#,
        "invalid value: string \"LOUD\", expected the number or the name of an enum value at line 1 column 70 in RECORD.severityNumber",
    );
    refused(
        r#"{"flags":4294967296}"#,
        "invalid value: integer `4294967296`, expected an unsigned 32-bit integer at line 1 column 65 in RECORD.flags",
    );
    refused(
        r#"{"body":{"intValue":1.5}}"#,
        "invalid value: floating point `1.5`, expected a 64-bit integer at line 1 column 69 in RECORD.body.intValue",
    );
    refused(
        r#"{"body":{"boolValue":1}}"#,
        "invalid value: integer `1`, expected true or false at line 1 column 68 in RECORD.body.boolValue",
    );
    refused(
        r#"{"body":{"bytesValue":"?"}}"#,
        "invalid base64: Invalid symbol 63, offset 0. at line 1 column 71 in RECORD.body.bytesValue",
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(levels), "]}}".repeat(levels));
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{close}}}]}}]}}]}}"#)
    };
    // The request, its entry, scope and record are four levels, each array two.
    let batch = Batch::from_json(Signal::Logs, nested(48).as_bytes()).unwrap();
    assert_eq!(
        Batch::from_json(Signal::Logs, &batch.to_json()).map(|again| again.to_json()),
        Ok(batch.to_json())
    );
    let error = Batch::from_json(Signal::Logs, nested(49).as_bytes()).unwrap_err();
    assert!(error.reason().starts_with("messages nest deeper than 100 levels"), "{error}");
    // What is skipped may nest as it likes.
    let skipped = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Batch::from_json(Signal::Logs, skipped.as_bytes()), Ok(Batch::empty(Signal::Logs)));
    assert!(Batch::from_json(Signal::Logs, "[".repeat(100_000).as_bytes()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_reads_back(entropy in entropy()) {
        for signal in Signal::ALL {
            let bytes = random::encoded(signal, Flavour::Anything, &entropy);
            let json = Batch::from_protobuf(signal, bytes.into()).unwrap().to_json();
            let read = Batch::from_json(signal, &json).unwrap();
            prop_assert_eq!(String::from_utf8(read.to_json()).unwrap(), String::from_utf8(json).unwrap());
        }
    }

    #[test]
    fn what_is_read_back_is_what_was_written(entropy in entropy()) {
        for signal in Signal::ALL {
            let bytes = random::encoded(signal, Flavour::Plain, &entropy);
            let batch = Batch::from_protobuf(signal, bytes.into()).unwrap();
            let read = Batch::from_json(signal, &batch.to_json()).unwrap();
            prop_assert_eq!(read.items(), batch.items());
            prop_assert_eq!(rebuild::encoded(&read), rebuild::encoded(&batch));
        }
    }

    #[test]
    fn opentelemetry_proto_reads_what_is_written(entropy in entropy()) {
        for signal in Signal::ALL {
            let bytes = random::encoded(signal, Flavour::Plain, &entropy);
            let json = Batch::from_protobuf(signal, bytes.into()).unwrap().to_json();
            let text = String::from_utf8(json.clone()).unwrap();
            match signal {
                Signal::Metrics => {
                    let read: ExportMetricsServiceRequest = serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{e}: {text}"));
                    prop_assert_eq!(read, random::metrics(Flavour::Plain, &entropy));
                }
                Signal::Logs => {
                    let read: ExportLogsServiceRequest = serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{e}: {text}"));
                    prop_assert_eq!(read, random::logs(Flavour::Plain, &entropy));
                }
                Signal::Traces => {
                    let read: ExportTraceServiceRequest = serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{e}: {text}"));
                    prop_assert_eq!(read, random::traces(Flavour::Plain, &entropy));
                }
            }
        }
    }

    #[test]
    fn damaged_text_is_refused_or_read(
        entropy in entropy(),
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for signal in Signal::ALL {
            let bytes = random::encoded(signal, Flavour::Anything, &entropy);
            let mut json = Batch::from_protobuf(signal, bytes.into()).unwrap().to_json();
            for (at, byte) in &at {
                let at = at.index(json.len());
                json[at] = *byte;
            }
            if let Ok(batch) = Batch::from_json(signal, &json) {
                let written = batch.to_json();
                prop_assert_eq!(Batch::from_json(signal, &written).unwrap().to_json(), written);
            }
        }
    }
}
