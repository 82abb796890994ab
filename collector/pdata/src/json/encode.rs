//! Protobuf to OTLP/JSON.
//!
//! The text is upstream's: fields in the order of their declaration, defaults left out, 64-bit integers as strings,
//! enums as numbers, ids in hexadecimal, floats as Go writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Signal;
use crate::schema::{self, FIELDS, Field, Kind, Message, Rule};
use crate::wire::{FieldValue, Fields, WireType, varint, zigzag32};

/// Encodes the checked body of an export request.
pub(crate) fn encode(signal: Signal, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() * 2);
    put_object(&mut out, schema::request(signal), body);
    out
}

fn put_object(out: &mut Vec<u8>, message: &'static Message, bytes: &[u8]) {
    // The fields stand in any order on the wire. This keeps the first of each; the rest of a repeated one is looked
    // up again below.
    let mut found = [None; FIELDS];
    for (number, value) in Fields::new(bytes) {
        let slot = message.field(u64::from(number)).and_then(|(position, _)| found.get_mut(position));
        if let Some(slot @ None) = slot {
            *slot = Some(value);
        }
    }
    out.push(b'{');
    for (field, value) in message.fields.iter().zip(found) {
        match (field.rule, value) {
            (Rule::Repeated, Some(first)) => put_repeated(out, field, bytes, first),
            (Rule::Always, value) => {
                put_key(out, field);
                put_value(out, field.kind, value.unwrap_or(FieldValue::Len(&[])));
            }
            (Rule::Singular, Some(value)) if is_default(field.kind, value) => {}
            (_, Some(value)) => {
                put_key(out, field);
                put_value(out, field.kind, value);
            }
            (_, None) => {}
        }
    }
    out.push(b'}');
}

fn put_key(out: &mut Vec<u8>, field: &Field) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(field.json.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_repeated(out: &mut Vec<u8>, field: &Field, bytes: &[u8], first: FieldValue<'_>) {
    let mut at = 0;
    let mut next_packed = || {
        let packed = first.bytes();
        match field.kind.wire_type() {
            WireType::Fixed64 => {
                crate::wire::take(packed, &mut at).map(u64::from_le_bytes).map(FieldValue::Fixed64)
            }
            _ => varint(packed, &mut at).map(FieldValue::Varint),
        }
    };
    let mut messages =
        Fields::new(bytes).filter(|(number, _)| *number == field.number).map(|(_, value)| value);
    let values: &mut dyn Iterator<Item = FieldValue<'_>> = match field.kind.wire_type() {
        WireType::Len => &mut messages,
        _ => &mut std::iter::from_fn(&mut next_packed),
    };
    let mut opened = false;
    for value in values {
        if opened {
            out.push(b',');
        } else {
            put_key(out, field);
            out.push(b'[');
            opened = true;
        }
        put_value(out, field.kind, value);
    }
    if opened {
        out.push(b']');
    }
}

fn is_default(kind: Kind, value: FieldValue<'_>) -> bool {
    match kind {
        Kind::Double => value.double() == 0.0,
        // An id of zeros only is how upstream holds an id that is not set.
        Kind::Id(_) => value.bytes().iter().all(|byte| *byte == 0),
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Enum(_) => value.number() as u32 == 0,
        _ => value.number() == 0 && value.bytes().is_empty(),
    }
}

fn put_value(out: &mut Vec<u8>, kind: Kind, value: FieldValue<'_>) {
    match kind {
        Kind::Bool => out.extend_from_slice(if value.number() != 0 { b"true" } else { b"false" }),
        Kind::Int32 | Kind::Enum(_) => put_integer(out, value.number() as i32),
        Kind::Uint32 | Kind::Fixed32 => put_integer(out, value.number() as u32),
        Kind::Sint32 => put_integer(out, zigzag32(value.number())),
        Kind::Uint64 | Kind::Fixed64 => quoted(out, |out| put_integer(out, value.number())),
        Kind::Int64 | Kind::Sfixed64 => quoted(out, |out| put_integer(out, value.number() as i64)),
        Kind::Double => put_double(out, value.double()),
        Kind::Text => put_text(out, value.text()),
        Kind::Bytes => quoted(out, |out| {
            let start = out.len();
            let bytes = value.bytes();
            out.resize(start + bytes.len().div_ceil(3) * 4, b'=');
            let written = STANDARD.encode_slice(bytes, out.get_mut(start..).unwrap_or_default());
            debug_assert!(written.is_ok(), "four characters for three bytes");
        }),
        Kind::Id(_) => quoted(out, |out| {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            value.bytes().iter().for_each(|byte| out.extend([digit(byte >> 4), digit(byte & 15)]));
        }),
        Kind::Message(message) => put_object(out, message, value.bytes()),
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn put_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a string as the JSON writer of upstream escapes it.
fn put_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(*byte, b'"' | b'\\')) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, tail)) = tail.split_first() else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.extend(
                    [control >> 4, control & 15].iter().filter_map(|nibble| HEX.get(usize::from(*nibble))),
                );
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Writes the shortest decimal that reads back as `value`, laid out as Go's JSON writers do: plain digits from 1e-6 up
/// to 1e21, an exponent of at least two digits and with its sign beyond.
fn put_double(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"\"NaN\"");
    }
    if value.is_infinite() {
        let text: &[u8] = if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" };
        return out.extend_from_slice(text);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let magnitude = value.abs();
    match text.split_once('e') {
        None => out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes()),
        Some(_) if (1e-6..1e21).contains(&magnitude) => out.extend_from_slice(format!("{value}").as_bytes()),
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => (b'-', digits),
                None => (b'+', exponent.strip_prefix('+').unwrap_or(exponent)),
            };
            out.extend_from_slice(mantissa.strip_suffix(".0").unwrap_or(mantissa).as_bytes());
            out.extend([b'e', sign]);
            if digits.len() < 2 {
                out.push(b'0');
            }
            out.extend_from_slice(digits.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_read_like_go() {
        let check = |value: f64, expected: &str| assert_eq!(text_of(|out| put_double(out, value)), expected);
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(-2.5, "-2.5");
        check(0.1, "0.1");
        check(100.0, "100");
        check(123_456_789.125, "123456789.125");
        check(0.000_001, "0.000001");
        check(0.000_012_5, "0.0000125");
        check(0.000_000_999, "9.99e-07");
        check(1e-7, "1e-07");
        check(1.5e-300, "1.5e-300");
        check(5e-324, "5e-324");
        check(1e16, "10000000000000000");
        check(123_456_789_012_345_680_000.0, "123456789012345680000");
        check(9.99e20, "999000000000000000000");
        check(1e21, "1e+21");
        check(-1.25e21, "-1.25e+21");
        check(1e100, "1e+100");
        check(f64::MAX, "1.7976931348623157e+308");
        check(f64::NAN, "\"NaN\"");
        check(f64::INFINITY, "\"Infinity\"");
        check(f64::NEG_INFINITY, "\"-Infinity\"");
    }

    #[test]
    fn text_is_escaped_where_json_demands_it() {
        let check = |value: &str, expected: &str| assert_eq!(text_of(|out| put_text(out, value)), expected);
        check("", r#""""#);
        check("plain ü 中 😀", r#""plain ü 中 😀""#);
        check("a\"b\\c", r#""a\"b\\c""#);
        check("\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}", "\"\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\u{7f}\"");
        check("<a href='&'>", r#""<a href='&'>""#);
    }
}
