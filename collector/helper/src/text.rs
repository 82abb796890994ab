//! Attribute values as text, as Go's `pcommon.Value.AsString` writes them.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pdata::AnyValueView;

/// Appends a value: text as it is, bytes as base64, lists and maps as JSON, nothing for an empty value.
pub fn write_value(out: &mut String, value: AnyValueView<'_>) {
    match value {
        AnyValueView::Empty => {}
        AnyValueView::String(text) => out.push_str(text),
        AnyValueView::Bool(value) => append(out, value),
        AnyValueView::Int(value) => append(out, value),
        AnyValueView::Double(value) => write_double(out, value),
        AnyValueView::Bytes(bytes) => STANDARD.encode_string(bytes, out),
        AnyValueView::Array(_) | AnyValueView::KeyValues(_) => {
            let start = out.len();
            // JSON has no words for NaN and the infinities; upstream writes nothing then.
            if !write_json(out, value) {
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

/// Appends the shortest decimal that reads back as `value`: plain digits from 1e-6 up to 1e21, an exponent beyond.
fn write_double(out: &mut String, value: f64) {
    if !value.is_finite() {
        out.push_str("json: unsupported value: ");
        out.push_str(match value {
            value if value.is_nan() => "NaN",
            value if value > 0.0 => "+Inf",
            _ => "-Inf",
        });
    } else if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
        append(out, value);
    } else {
        let text = format!("{value:e}");
        out.push_str(&if value.abs() < 1.0 { text } else { text.replace('e', "e+") });
    }
}

/// Appends JSON as Go's `encoding/json` writes it: keys sorted, no spaces, safe within HTML. Whether that is possible.
fn write_json(out: &mut String, value: AnyValueView<'_>) -> bool {
    match value {
        AnyValueView::Empty => out.push_str("null"),
        AnyValueView::String(text) => write_json_string(out, text),
        AnyValueView::Double(value) if !value.is_finite() => return false,
        AnyValueView::Bool(_) | AnyValueView::Int(_) | AnyValueView::Double(_) => write_value(out, value),
        AnyValueView::Bytes(bytes) => write_json_string(out, &STANDARD.encode(bytes)),
        AnyValueView::Array(array) => {
            out.push('[');
            for (index, value) in array.values().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                if !write_json(out, value) {
                    return false;
                }
            }
            out.push(']');
        }
        AnyValueView::KeyValues(pairs) => {
            // The last of equal keys wins, as in a Go map.
            let sorted: BTreeMap<&str, AnyValueView<'_>> = pairs.map(|pair| (pair.key, pair.value)).collect();
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json_string(out, key);
                out.push(':');
                if !write_json(out, value) {
                    return false;
                }
            }
            out.push('}');
        }
    }
    true
}

fn write_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                append(out, format_args!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn append(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string does not fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use pdata::{Batch, Signal};

    use super::*;

    #[test]
    fn values_read_as_upstream_writes_them() {
        let check = |json: &str, expected: &str| {
            let body =
                format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{json}}}]}}]}}]}}"#);
            let batch = Batch::from_json(Signal::Logs, body.as_bytes()).unwrap();
            let scope = pdata::logs::resources(&batch).flat_map(|resource| resource.scopes()).next().unwrap();
            assert_eq!(value_text(scope.log_records().next().unwrap().body), expected, "{json}");
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
        check(r#"{"doubleValue":"NaN"}"#, "json: unsupported value: NaN");
        check(r#"{"doubleValue":"-Infinity"}"#, "json: unsupported value: -Inf");
        check(r#"{"bytesValue":"AQI="}"#, "AQI=");
        let list = r#"{"arrayValue":{"values":[{"stringValue":"<a\u0001\n"},{"intValue":"1"},{}]}}"#;
        check(list, r#"["\u003ca\u0001\n",1,null]"#);
        check(r#"{"arrayValue":{"values":[{"doubleValue":"NaN"}]}}"#, "");
        let map = r#"{"kvlistValue":{"values":[{"key":"b","value":{"bytesValue":"AQI="}},
            {"key":"a","value":{"kvlistValue":{"values":[]}}},{"key":"b","value":{"boolValue":false}}]}}"#;
        check(map, r#"{"a":{},"b":false}"#);
    }
}
