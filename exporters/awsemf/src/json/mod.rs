//! JSON text as upstream's encoder writes it: compact, HTML characters escaped, floats in shortest form.
//!
//! Source of the rules: Go's `encoding/json`.

mod decoded;
mod number;

pub(crate) use decoded::Decoded;
pub(crate) use number::{write_float, write_float_g, write_float_text, write_int, write_uint};

/// What stands between quotes unchanged, by leading byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    /// Always written as an escape.
    Escape,
    /// The first byte of U+2028 and U+2029, among others.
    Separator,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            classes[byte] = match byte as u8 {
                0..=0x1f | b'"' | b'\\' | b'<' | b'>' | b'&' => Class::Escape,
                0xe2 => Class::Separator,
                _ => Class::Plain,
            };
        }
        byte += 1;
    }
    classes
};

#[inline]
fn class(byte: u8) -> Class {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Plain)
}

/// Appends `text` as a JSON string.
#[inline]
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    write_escaped(out, text);
    out.push('"');
}

/// Appends what stands between the quotes of a JSON string, escaped once more if so wanted. Returns how many bytes of it
/// are not in the plain text.
#[inline]
pub(crate) fn write_text<const ESCAPED: bool>(out: &mut String, text: &str) -> usize {
    // No branch within the loop, so that it looks at many bytes at once.
    let special = text.bytes().fold(false, |special, byte| {
        special | (byte < 0x20) | matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&') | (byte == 0xe2)
    });
    if !special {
        out.push_str(text);
        return 0;
    }
    write_special_text::<ESCAPED>(out, text)
}

#[cold]
fn write_special_text<const ESCAPED: bool>(out: &mut String, text: &str) -> usize {
    if !ESCAPED {
        write_escaped(out, text);
        return 0;
    }
    let mut plain = String::new();
    write_escaped(&mut plain, text);
    push_escaped(out, &plain)
}

/// Appends JSON as it stands inside a JSON string. Returns how many bytes that adds.
pub(crate) fn push_escaped(out: &mut String, json: &str) -> usize {
    let before = out.len();
    let mut rest = json;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\')) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(plain);
        out.push('\\');
        let (special, behind) = special.split_at_checked(1).unwrap_or((special, ""));
        out.push_str(special);
        rest = behind;
    }
    out.push_str(rest);
    out.len() - before - json.len()
}

fn write_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| class(byte) != Class::Plain) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(plain);
        let Some(first) = special.chars().next() else { return };
        let (first_text, behind) = special.split_at_checked(first.len_utf8()).unwrap_or((special, ""));
        match first {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => push_hex(out, first),
            '<' | '>' | '&' => push_hex(out, first),
            _ => out.push_str(first_text),
        }
        rest = behind;
    }
    out.push_str(rest);
}

fn push_hex(out: &mut String, escaped: char) {
    let code = u32::from(escaped);
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from_digit((code >> shift) & 15, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::decoded::write_decoded;
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let check = |text: &str, expected: &str| {
            let mut out = String::new();
            write_string(&mut out, text);
            assert_eq!(out, expected, "{text:?}");
        };
        check("", "\"\"");
        check("plain é 🚀 \u{7f}", "\"plain é 🚀 \u{7f}\"");
        check("<a href=\"x\">&'", r#""\u003ca href=\"x\"\u003e\u0026'""#);
        check("\t\n\r\u{8}\u{c}\u{1}\u{1f}/\\", r#""\t\n\r\b\f\u0001\u001f/\\""#);
        check("a\u{2028}b\u{2029}c\u{2027}→", "\"a\\u2028b\\u2029c\u{2027}→\"");
    }

    /// Any JSON, a few levels deep.
    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            ".*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                prop::collection::btree_map(".*", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn strings_read_back(text in ".*") {
            let mut out = String::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn floats_read_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let mut out = String::new();
            write_float(&mut out, value);
            prop_assert_eq!(out.parse::<f64>().unwrap().to_bits(), value.to_bits());
            let mut general = String::new();
            write_float_g(&mut general, value);
            prop_assert_eq!(general.parse::<f64>().unwrap().to_bits(), value.to_bits());
        }

        #[test]
        fn decoding_is_stable(value in any_json()) {
            let mut once = String::new();
            prop_assert!(write_decoded(&mut once, &value.to_string()));
            let mut twice = String::new();
            prop_assert!(write_decoded(&mut twice, &once));
            prop_assert_eq!(&once, &twice);
            let escaped = !once.contains(['<', '>', '&', '\u{2028}']);
            prop_assert!(escaped, "{}", once);
        }

        #[test]
        fn any_text_decodes_as_the_json_parser_says(text in "[\\[\\]{}\",:0-9a-u\\\\ .eE+-]{0,12}") {
            let parsed = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(write_decoded(&mut String::new(), &text), parsed);
        }
    }
}
