//! Attribute values as text, as upstream's Go writes them.
//!
//! | | |
//! |---|---|
//! | [`write_value`], [`value_text`] | `pcommon.Value.AsString` |
//! | [`write_json`], [`write_json_map`], [`write_json_string`] | `encoding/json` |
//! | [`write_go`] | `fmt`'s `%v` |

mod go;
mod json;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pdata::AnyValueView;

pub use go::write_go;
pub use json::{write_json, write_json_map, write_json_string};

/// Appends a value: text as it is, bytes as base64, lists and maps as JSON, nothing for an empty value.
pub fn write_value(out: &mut String, value: AnyValueView<'_>) {
    match value {
        AnyValueView::Empty => {}
        AnyValueView::String(text) => out.push_str(text),
        AnyValueView::Bool(value) => append(out, value),
        AnyValueView::Int(value) => append(out, value),
        AnyValueView::Double(value) if value.is_nan() => out.push_str("NaN"),
        AnyValueView::Double(f64::INFINITY) => out.push_str("Infinity"),
        AnyValueView::Double(f64::NEG_INFINITY) => out.push_str("-Infinity"),
        AnyValueView::Double(value) => json::write_float(out, value),
        AnyValueView::Bytes(bytes) => STANDARD.encode_string(bytes, out),
        AnyValueView::Array(_) | AnyValueView::KeyValues(_) => {
            let start = out.len();
            // JSON has no words for NaN and the infinities; upstream writes nothing then.
            if !json::write::<false>(out, value) {
                out.truncate(start);
            }
        }
    }
}

/// The text of a value.
pub fn value_text(value: AnyValueView<'_>) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn append(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string does not fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use pdata::{Batch, Signal};

    use super::*;

    /// A batch of one log record with this body.
    pub(super) fn batch(body: &str) -> Batch {
        let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}"#);
        Batch::from_json(Signal::Logs, json.as_bytes()).unwrap()
    }

    /// The body of the record.
    pub(super) fn body(batch: &Batch) -> AnyValueView<'_> {
        let scope = pdata::logs::resources(batch).flat_map(|resource| resource.scopes()).next().unwrap();
        scope.log_records().next().unwrap().body
    }

    #[test]
    fn values_read_as_upstream_writes_them() {
        let check = |json: &str, expected: &str| {
            assert_eq!(value_text(body(&batch(json))), expected, "{json}");
        };
        check(r"{}", "");
        check(r#"{"stringValue":"a \"b\""}"#, "a \"b\"");
        check(r#"{"boolValue":true}"#, "true");
        check(r#"{"intValue":"-7"}"#, "-7");
        check(r#"{"doubleValue":1.5}"#, "1.5");
        check(r#"{"doubleValue":3}"#, "3");
        check(r#"{"doubleValue":1e-7}"#, "1e-7");
        check(r#"{"doubleValue":0.000001}"#, "0.000001");
        check(r#"{"doubleValue":1e20}"#, "100000000000000000000");
        check(r#"{"doubleValue":-1.5e21}"#, "-1.5e+21");
        check(r#"{"doubleValue":"NaN"}"#, "NaN");
        check(r#"{"doubleValue":"Infinity"}"#, "Infinity");
        check(r#"{"doubleValue":"-Infinity"}"#, "-Infinity");
        check(r#"{"bytesValue":"AQI="}"#, "AQI=");
        let list = r#"{"arrayValue":{"values":[{"stringValue":"<a\u0001\n"},{"intValue":"1"},{}]}}"#;
        check(list, r#"["<a\u0001\n",1,null]"#);
        check(r#"{"arrayValue":{"values":[{"doubleValue":"NaN"}]}}"#, "");
        let map = r#"{"kvlistValue":{"values":[{"key":"b","value":{"bytesValue":"AQI="}},
            {"key":"a","value":{"kvlistValue":{"values":[]}}},{"key":"b","value":{"boolValue":false}}]}}"#;
        check(map, r#"{"a":{},"b":false}"#);
    }
}
