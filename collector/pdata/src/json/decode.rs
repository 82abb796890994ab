//! OTLP/JSON to protobuf.
//!
//! The text is walked once and each value goes straight to the protobuf writer. Accepted is what upstream accepts, and
//! what the JSON mapping of protobuf allows beyond it.

use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use crate::schema::{self, Field, Kind, Message, Rule};
use crate::validate;
use crate::wire::{
    WireType, close_message, open_message, put_bytes, put_fixed32, put_fixed64, put_uint, put_varint,
    zigzag32_encode,
};
use crate::{InvalidPayload, MAX_DEPTH, Signal};

/// Standard base64; padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The largest integer up to which every integer is a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Encodes an OTLP/JSON export request as protobuf. What comes out is still to be checked.
pub(crate) fn decode(signal: Signal, body: &[u8]) -> Result<Vec<u8>, InvalidPayload> {
    let mut writer = Writer { out: Vec::with_capacity(body.len() / 2), path: Vec::new() };
    let mut json = serde_json::Deserializer::from_slice(body);
    // Only the messages of the schema are entered recursively, and their depth is bounded below.
    json.disable_recursion_limit();
    Object { writer: &mut writer, message: schema::request(signal), depth: 1 }
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| InvalidPayload::new(validate::path(writer.path.iter()), None, error.to_string()))?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    /// The fields that lead to the value being read. Left as it is by an error, to be reported.
    path: Vec<(&'static Field, usize)>,
}

/// A JSON object that is a message; its tag and length are written by others.
struct Object<'w> {
    writer: &'w mut Writer,
    message: &'static Message,
    depth: usize,
}

/// The value of a field: `null` for absent.
struct Value<'w> {
    writer: &'w mut Writer,
    field: &'static Field,
    depth: usize,
}

/// The elements of a repeated field.
struct Elements<'w>(Value<'w>);

/// One element of a repeated field: `null` for the default.
struct Element<'w>(Value<'w>);

/// The name of a field of a message; `None` for one that is not known.
struct Name(&'static Message);

/// A number, truth value or enum; yields what stands on the wire.
struct Number(Kind);

/// A string that is a text, an id or bytes.
struct Text<'w>(Value<'w>);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom(format!("messages nest deeper than {MAX_DEPTH} levels")));
        }
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.writer.path.push((field, 0));
            map.next_value_seed(Value { writer: self.writer, field, depth: self.depth })?;
            self.writer.path.pop();
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field_named(name).or_else(|| self.0.field_named(name_today(name)?)).map(|(_, field)| field))
    }
}

/// What a field of the time of instrumentation libraries is called now.
fn name_today(name: &str) -> Option<&'static str> {
    Some(match name {
        "instrumentationLibrary" | "instrumentation_library" => "scope",
        "instrumentationLibraryMetrics" | "instrumentation_library_metrics" => "scopeMetrics",
        "instrumentationLibraryLogs" | "instrumentation_library_logs" => "scopeLogs",
        "instrumentationLibrarySpans" | "instrumentation_library_spans" => "scopeSpans",
        _ => return None,
    })
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self.field.rule {
            Rule::Repeated => json.deserialize_seq(Elements(self)),
            _ => self.put(json),
        }
    }
}

impl Value<'_> {
    /// Writes one value with its tag.
    fn put<'de, D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self.field.kind {
            Kind::Message(message) => {
                let start = open_message(&mut self.writer.out, self.field.number);
                Object { writer: self.writer, message, depth: self.depth + 1 }.deserialize(json)?;
                close_message(&mut self.writer.out, start);
                Ok(())
            }
            Kind::Text | Kind::Bytes | Kind::Id(_) => json.deserialize_bytes(Text(self)),
            kind => {
                let value = json.deserialize_any(Number(kind))?;
                self.put_number(value);
                Ok(())
            }
        }
    }

    fn put_number(self, value: u64) {
        let is_default = match self.field.kind {
            Kind::Double => f64::from_bits(value) == 0.0,
            _ => value == 0,
        };
        if self.field.rule == Rule::Singular && is_default {
            return;
        }
        let (out, number) = (&mut self.writer.out, self.field.number);
        match self.field.kind.wire_type() {
            WireType::Fixed64 => put_fixed64(out, number, value),
            WireType::Fixed32 => put_fixed32(out, number, value as u32),
            _ => put_uint(out, number, value),
        }
    }

    /// Writes bytes with their tag, unless they are the default that need not be said.
    fn put_bytes(&mut self, bytes: &[u8]) {
        if self.field.rule != Rule::Singular || !bytes.is_empty() {
            put_bytes(&mut self.writer.out, self.field.number, bytes);
        }
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Value { writer, field, depth } = self.0;
        let packed = (field.kind.wire_type() != WireType::Len).then(|| {
            let before = writer.out.len();
            (before, open_message(&mut writer.out, field.number))
        });
        while array.next_element_seed(Element(Value { writer, field, depth }))?.is_some() {
            if let Some((_, index)) = writer.path.last_mut() {
                *index += 1;
            }
        }
        match packed {
            Some((before, start)) if writer.out.len() == start => writer.out.truncate(before),
            Some((_, start)) => close_message(&mut writer.out, start),
            None => {}
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E: Error>(mut self) -> Result<(), E> {
        match self.0.field.kind.wire_type() {
            WireType::Len => self.0.put_bytes(&[]),
            _ => self.put_packed(0),
        }
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self.0.field.kind.wire_type() {
            WireType::Len => self.0.put(json),
            _ => {
                let value = json.deserialize_any(Number(self.0.field.kind))?;
                self.put_packed(value);
                Ok(())
            }
        }
    }
}

impl Element<'_> {
    fn put_packed(self, value: u64) {
        let out = &mut self.0.writer.out;
        match self.0.field.kind.wire_type() {
            WireType::Fixed64 => out.extend_from_slice(&value.to_le_bytes()),
            WireType::Fixed32 => out.extend_from_slice(&(value as u32).to_le_bytes()),
            _ => put_varint(out, value),
        }
    }
}

impl Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Bool => "true or false",
            Kind::Enum(_) => "the number or the name of an enum value",
            Kind::Double => r#"a number, "NaN", "Infinity" or "-Infinity""#,
            Kind::Uint32 | Kind::Fixed32 => "an unsigned 32-bit integer",
            Kind::Int32 | Kind::Sint32 => "a 32-bit integer",
            Kind::Uint64 | Kind::Fixed64 => "an unsigned 64-bit integer",
            _ => "a 64-bit integer",
        })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<u64, E> {
        match self.0 {
            Kind::Bool => Ok(u64::from(value)),
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        match self.0 {
            Kind::Double => Ok((value as f64).to_bits()),
            _ => self
                .integer(i128::from(value))
                .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        match self.0 {
            Kind::Double => Ok((value as f64).to_bits()),
            _ => self
                .integer(i128::from(value))
                .ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        match self.0 {
            Kind::Double => Ok(value.to_bits()),
            // `-0`, `5.0` and `1e3` are integers too.
            _ => Some(value)
                .filter(|value| value.fract() == 0.0 && value.abs() <= MAX_EXACT)
                .and_then(|value| self.integer(value as i128))
                .ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        match self.0 {
            Kind::Double => double(text),
            Kind::Enum(names) => names.iter().position(|name| *name == text).map(|number| number as u64),
            _ => text.parse().ok().and_then(|value| self.integer(value)),
        }
        .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl Number {
    /// What an integer is on the wire; `None` if it does not fit.
    fn integer(&self, value: i128) -> Option<u64> {
        match self.0 {
            Kind::Int32 | Kind::Enum(_) => i32::try_from(value).ok().map(|value| i64::from(value) as u64),
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(value).ok().map(u64::from),
            Kind::Sint32 => i32::try_from(value).ok().map(zigzag32_encode),
            Kind::Uint64 | Kind::Fixed64 => u64::try_from(value).ok(),
            Kind::Int64 | Kind::Sfixed64 => i64::try_from(value).ok().map(|value| value as u64),
            _ => None,
        }
    }
}

/// The bits of a double in a string.
fn double(text: &str) -> Option<u64> {
    let value = match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ => text.parse::<f64>().ok().filter(|value| value.is_finite())?,
    };
    Some(value.to_bits())
}

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.field.kind {
            Kind::Id(len) => write!(f, "an id of {} hexadecimal digits or none", len * 2),
            Kind::Bytes => f.write_str("base64"),
            _ => f.write_str("a string"),
        }
    }

    fn visit_bytes<E: Error>(mut self, text: &[u8]) -> Result<(), E> {
        match self.0.field.kind {
            Kind::Id(len) => {
                let mut id = [0; 16];
                match hex(text, len, &mut id) {
                    Some(id) => self.0.put_bytes(id),
                    None => {
                        return Err(E::invalid_value(Unexpected::Str(&String::from_utf8_lossy(text)), &self));
                    }
                }
            }
            Kind::Bytes => {
                let out = &mut self.0.writer.out;
                let start = open_message(out, self.0.field.number);
                if let Err(error) = BASE64.decode_vec(text, out) {
                    return Err(E::custom(format!("invalid base64: {error}")));
                }
                close_message(out, start);
            }
            _ => match std::str::from_utf8(text) {
                Ok(text) => self.0.put_bytes(text.as_bytes()),
                Err(_) => match without_surrogates(text) {
                    Some(text) => self.0.put_bytes(text.as_bytes()),
                    None => return Err(E::custom("invalid UTF-8")),
                },
            },
        }
        Ok(())
    }
}

/// The bytes of an id of `len` bytes, or of none.
fn hex<'a>(text: &[u8], len: usize, id: &'a mut [u8; 16]) -> Option<&'a [u8]> {
    if text.is_empty() {
        return Some(&[]);
    }
    let (pairs, odd) = text.as_chunks::<2>();
    if pairs.len() != len || !odd.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    for (slot, [high, low]) in id.iter_mut().zip(pairs) {
        *slot = digit(*high)? << 4 | digit(*low)?;
    }
    id.get(..len)
}

/// Puts U+FFFD where the text has half a surrogate pair, as a client writes that cuts strings in the middle
/// of one. `None` for text that is not UTF-8 otherwise.
fn without_surrogates(text: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                out.push_str(text);
                return Some(out);
            }
            Err(error) => {
                let (valid, tail) = rest.split_at_checked(error.valid_up_to())?;
                out.push_str(std::str::from_utf8(valid).ok()?);
                // Halves of pairs arrive encoded as if they were characters: U+D800 to U+DFFF in three bytes.
                let [0xed, 0xa0..=0xbf, 0x80..=0xbf, tail @ ..] = tail else { return None };
                out.push(char::REPLACEMENT_CHARACTER);
                rest = tail;
            }
        }
    }
}
