//! JSON as Go's `encoding/json` writes it: compact, map keys sorted, floats in shortest form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pdata::{AnyValueView, KeyValueView, KeyValues};

use super::append;

/// Appends a value as JSON that is safe within HTML (`<`, `>` and `&` escaped); bytes as base64, an empty value as
/// `null`. `false` when a number in it has no JSON form; what was appended is then of no use.
pub fn write_json(out: &mut String, value: AnyValueView<'_>) -> bool {
    write::<true>(out, value)
}

/// Appends attributes as a JSON object, under the rules of [`write_json`]. Of equal keys the last one counts, as in a Go
/// map.
pub fn write_json_map(out: &mut String, pairs: KeyValues<'_>) -> bool {
    write_map::<true>(out, pairs.collect())
}

/// Appends a JSON string that is safe within HTML.
pub fn write_json_string(out: &mut String, text: &str) {
    write_string::<true>(out, text);
}

/// Appends a value as JSON, safe within HTML or not.
pub(super) fn write<const HTML: bool>(out: &mut String, value: AnyValueView<'_>) -> bool {
    match value {
        AnyValueView::Empty => out.push_str("null"),
        AnyValueView::String(text) => write_string::<HTML>(out, text),
        AnyValueView::Bool(value) => append(out, value),
        AnyValueView::Int(value) => append(out, value),
        AnyValueView::Double(value) if !value.is_finite() => return false,
        AnyValueView::Double(value) => write_float(out, value),
        AnyValueView::Bytes(bytes) => {
            out.push('"');
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        AnyValueView::Array(array) => {
            out.push('[');
            for (index, value) in array.values().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                if !write::<HTML>(out, value) {
                    return false;
                }
            }
            out.push(']');
        }
        AnyValueView::KeyValues(pairs) => return write_map::<HTML>(out, pairs.collect()),
    }
    true
}

fn write_map<const HTML: bool>(out: &mut String, mut pairs: Vec<KeyValueView<'_>>) -> bool {
    // Reversed, the last of equal keys is the first of its run, which is what `dedup` keeps.
    pairs.reverse();
    pairs.sort_by(|a, b| a.key.cmp(b.key));
    pairs.dedup_by(|later, kept| later.key == kept.key);
    out.push('{');
    for (index, pair) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string::<HTML>(out, pair.key);
        out.push(':');
        if !write::<HTML>(out, pair.value) {
            return false;
        }
    }
    out.push('}');
    true
}

/// Appends the shortest decimal that reads back as the finite `value`: plain digits from 1e-6 up to 1e21, an exponent
/// beyond.
pub(super) fn write_float(out: &mut String, value: f64) {
    if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
        append(out, value);
    } else {
        let text = format!("{value:e}");
        out.push_str(&if value.abs() < 1.0 { text } else { text.replace('e', "e+") });
    }
}

fn write_string<const HTML: bool>(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // 0xe2 is the first byte of U+2028 and U+2029, among others.
    let special = |byte: u8| {
        matches!(byte, 0..=0x1f | b'"' | b'\\' | 0xe2) || HTML && matches!(byte, b'<' | b'>' | b'&')
    };
    while let Some(at) = rest.bytes().position(special) {
        let (plain, from_special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(plain);
        let mut chars = from_special.chars();
        let Some(c) = chars.next() else { break };
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
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{batch, body};
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let check = |text: &str, html: &str, plain: &str| {
            let (mut safe, mut unsafe_text) = (String::new(), String::new());
            write_string::<true>(&mut safe, text);
            write_string::<false>(&mut unsafe_text, text);
            assert_eq!((safe.as_str(), unsafe_text.as_str()), (html, plain), "{text:?}");
        };
        check("", "\"\"", "\"\"");
        check("<&>\"\u{2028}", r#""\u003c\u0026\u003e\"\u2028""#, "\"<&>\\\"\\u2028\"");
        check("plain é 🚀 \u{7f}→", "\"plain é 🚀 \u{7f}→\"", "\"plain é 🚀 \u{7f}→\"");
        check("<a=\"\">&'", r#""\u003ca=\"\"\u003e\u0026'""#, r#""<a=\"\">&'""#);
        let escaped = r#""\t\n\r\b\f\u0001\u001f/\\""#;
        check("\t\n\r\u{8}\u{c}\u{1}\u{1f}/\\", escaped, escaped);
        check("a\u{2028}b\u{2029}", "\"a\\u2028b\\u2029\"", "\"a\\u2028b\\u2029\"");
    }

    #[test]
    fn values_as_json() {
        let check = |json: &str, expected: Option<&str>| {
            let mut out = String::new();
            let written = write_json(&mut out, body(&batch(json)));
            assert_eq!(written.then_some(out.as_str()), expected, "{json}");
        };
        check("{}", Some("null"));
        check(r#"{"stringValue":"<a>&"}"#, Some(r#""\u003ca\u003e\u0026""#));
        check(r#"{"intValue":"9007199254740993"}"#, Some("9007199254740993"));
        check(r#"{"doubleValue":-0.0}"#, Some("-0"));
        check(r#"{"doubleValue":1e21}"#, Some("1e+21"));
        check(r#"{"doubleValue":5e-324}"#, Some("5e-324"));
        check(r#"{"doubleValue":"NaN"}"#, None);
        check(r#"{"doubleValue":"-Infinity"}"#, None);
        check(r#"{"bytesValue":"AQI="}"#, Some(r#""AQI=""#));
        check(r#"{"arrayValue":{"values":[{},{"boolValue":true}]}}"#, Some("[null,true]"));
        let map = r#"{"kvlistValue":{"values":[{"key":"b","value":{"intValue":"1"}},{"key":"a","value":{}},
            {"key":"b","value":{"intValue":"2"}}]}}"#;
        check(map, Some(r#"{"a":null,"b":2}"#));
        check(r#"{"kvlistValue":{"values":[{"key":"n","value":{"doubleValue":"Infinity"}}]}}"#, None);
    }

    proptest! {
        #[test]
        fn floats_read_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let mut out = String::new();
            write_float(&mut out, value);
            prop_assert_eq!(out.parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }
}
