//! Values as `fmt` prints them under `%v`.

use std::collections::BTreeMap;

use pdata::AnyValueView;

use super::append;

/// Appends a value as Go's `%v` prints it: floats under the rules of `%g` (`1e+06`), bytes as `[1 2 3]`, lists as
/// `[a b]`, maps as `map[k:v]` with sorted keys, an empty value as `<nil>`.
pub fn write_go(out: &mut String, value: AnyValueView<'_>) {
    match value {
        AnyValueView::Empty => out.push_str("<nil>"),
        AnyValueView::String(text) => out.push_str(text),
        AnyValueView::Bool(value) => append(out, value),
        AnyValueView::Int(value) => append(out, value),
        AnyValueView::Double(value) => write_float(out, value),
        AnyValueView::Bytes(bytes) => write_list(out, bytes.iter(), append),
        AnyValueView::Array(array) => write_list(out, array.values(), write_go),
        AnyValueView::KeyValues(pairs) => {
            // The last of equal keys wins, as in a Go map.
            let sorted: BTreeMap<&str, AnyValueView<'_>> = pairs.map(|pair| (pair.key, pair.value)).collect();
            out.push_str("map");
            write_list(out, sorted.into_iter(), |out, (key, value)| {
                out.push_str(key);
                out.push(':');
                write_go(out, value);
            });
        }
    }
}

fn write_list<T>(out: &mut String, items: impl Iterator<Item = T>, write: impl Fn(&mut String, T)) {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        write(out, item);
    }
    out.push(']');
}

/// `%g` with the shortest precision: an exponent of at least two digits below 1e-4 and from 1e6 on (`strconv`).
fn write_float(out: &mut String, value: f64) {
    match value {
        value if value.is_nan() => return out.push_str("NaN"),
        f64::INFINITY => return out.push_str("+Inf"),
        f64::NEG_INFINITY => return out.push_str("-Inf"),
        _ => {}
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    if (-4..6).contains(&exponent.parse::<i32>().unwrap_or(0)) {
        return append(out, value);
    }
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    append(out, format_args!("{mantissa}e{sign}{digits:0>2}"));
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, body};
    use super::*;

    #[test]
    fn values_as_go_prints_them() {
        let check = |json: &str, expected: &str| {
            let mut out = String::new();
            write_go(&mut out, body(&batch(json)));
            assert_eq!(out, expected, "{json}");
        };
        check("{}", "<nil>");
        check(r#"{"stringValue":"a"}"#, "a");
        check(r#"{"boolValue":false}"#, "false");
        check(r#"{"intValue":"-12345678"}"#, "-12345678");
        check(r#"{"doubleValue":0}"#, "0");
        check(r#"{"doubleValue":1.5}"#, "1.5");
        check(r#"{"doubleValue":123456}"#, "123456");
        check(r#"{"doubleValue":1000000}"#, "1e+06");
        check(r#"{"doubleValue":1234567}"#, "1.234567e+06");
        check(r#"{"doubleValue":0.0001}"#, "0.0001");
        check(r#"{"doubleValue":0.00001}"#, "1e-05");
        check(r#"{"doubleValue":-1e100}"#, "-1e+100");
        check(r#"{"doubleValue":"NaN"}"#, "NaN");
        check(r#"{"doubleValue":"Infinity"}"#, "+Inf");
        check(r#"{"doubleValue":"-Infinity"}"#, "-Inf");
        check(r#"{"bytesValue":"AQID"}"#, "[1 2 3]");
        check(r#"{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"},{}]}}"#, "[a b <nil>]");
        check(
            r#"{"kvlistValue":{"values":[{"key":"b","value":{"intValue":"1"}},{"key":"a","value":{"boolValue":true}}]}}"#,
            "map[a:true b:1]",
        );
    }
}
