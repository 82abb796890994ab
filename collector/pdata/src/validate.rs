//! The one pass over arriving bytes: well-formedness, types, UTF-8, id lengths, depth; counts the items.

use std::fmt;

use crate::Signal;
use crate::schema::{self, Field, Kind, Message, Rule};
use crate::wire::{Fields, WireType, skip_group, take, varint};

/// How deep messages may nest, the request itself included: protobuf's customary limit.
pub const MAX_DEPTH: usize = 100;

/// Why bytes are not an OTLP request: where in the bytes, which field, what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPayload {
    path: String,
    offset: Option<usize>,
    reason: String,
}

impl InvalidPayload {
    pub(crate) fn new(path: String, offset: Option<usize>, reason: impl Into<String>) -> Self {
        Self { path, offset, reason: reason.into() }
    }

    /// The field, as in `resourceMetrics[0].resource.attributes[2].key`; empty for the request itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl std::error::Error for InvalidPayload {}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if !self.path.is_empty() {
            write!(f, " in {}", self.path)?;
        }
        self.offset.iter().try_for_each(|offset| write!(f, " at byte {offset}"))
    }
}

/// What the pass found in a well-formed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// Data points, log records or spans.
    pub(crate) items: usize,
    /// Whether the bytes are as the views expect them; else `canonical::rewrite` makes them so.
    pub(crate) canonical: bool,
}

/// Checks a whole request.
pub(crate) fn check(signal: Signal, bytes: &[u8]) -> Result<Report, InvalidPayload> {
    let mut pass = Pass { items: 0, canonical: true };
    match pass.message(bytes, 0, schema::request(signal), 1) {
        Ok(()) => Ok(Report { items: pass.items, canonical: pass.canonical }),
        Err(fault) => {
            Err(InvalidPayload::new(path(fault.fields.iter().rev()), Some(fault.offset), fault.reason))
        }
    }
}

/// A fault on its way up to the request; each level adds its field.
struct Fault {
    reason: String,
    offset: usize,
    /// Innermost first.
    fields: Vec<(&'static Field, usize)>,
}

impl Fault {
    #[cold]
    fn new(reason: impl Into<String>, offset: usize) -> Box<Self> {
        Box::new(Self { reason: reason.into(), offset, fields: Vec::new() })
    }
}

/// The path of a field: the fields that lead to it, outermost first, each with its index.
pub(crate) fn path<'a>(fields: impl Iterator<Item = &'a (&'static Field, usize)>) -> String {
    let mut path = String::new();
    for (field, index) in fields {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(field.json);
        if field.rule == Rule::Repeated {
            path.push_str(&format!("[{index}]"));
        }
    }
    path
}

struct Pass {
    items: usize,
    canonical: bool,
}

impl Pass {
    /// Checks the message that stands in `bytes` from `start` to the end of `bytes`.
    ///
    /// `bytes` begins at the beginning of the request, so that positions in it are those a person can look up.
    fn message(
        &mut self,
        bytes: &[u8],
        start: usize,
        message: &'static Message,
        depth: usize,
    ) -> Result<(), Box<Fault>> {
        self.items += usize::from(message.item);
        let mut seen = Seen::default();
        let mut at = start;
        if std::ptr::eq(message, &raw const schema::NUMBER_DATA_POINT) {
            at += number_point_head(bytes, start, &mut seen);
        }
        while at < bytes.len() {
            let field_at = at;
            let tag =
                varint(bytes, &mut at).ok_or_else(|| Fault::new("truncated or overlong tag", field_at))?;
            let wire_type = WireType::from_tag(tag)
                .ok_or_else(|| Fault::new(format!("unknown wire type {}", tag & 7), field_at))?;
            if tag >> 3 == 0 || tag >> 3 > 0x1fff_ffff {
                return Err(Fault::new(format!("invalid field number {}", tag >> 3), field_at));
            }
            let known = message.field(tag >> 3).or_else(|| {
                let former = message.former_field(tag >> 3);
                self.canonical &= former.is_none();
                former
            });
            let Some((position, field)) = known else {
                unknown(bytes, &mut at, wire_type, tag, depth)?;
                continue;
            };
            self.canonical &= seen.note(position, field, message.entry && field_at != start);
            self.field(bytes, &mut at, wire_type, field, depth).map_err(|mut fault| {
                fault.fields.push((field, occurrences(bytes, start, field_at, field.number)));
                fault
            })?;
        }
        Ok(())
    }

    #[inline]
    fn field(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        wire_type: WireType,
        field: &'static Field,
        depth: usize,
    ) -> Result<(), Box<Fault>> {
        let value_at = *at;
        let expected = field.wire;
        let packable = field.rule == Rule::Repeated && expected != WireType::Len;
        if wire_type != expected {
            if packable && wire_type == WireType::Len {
                let packed = length_delimited(bytes, at)?;
                return packed_numbers(packed, value_at, expected);
            }
            return Err(Fault::new(format!("wire type {wire_type:?} where {expected:?} is due"), value_at));
        }
        // Numbers that are not packed are legal, but the views read packed ones only.
        self.canonical &= !packable;
        match expected {
            WireType::Varint => {
                varint(bytes, at).ok_or_else(|| Fault::new("truncated or overlong varint", value_at))?;
            }
            WireType::Fixed64 => {
                take::<8>(bytes, at).ok_or_else(|| Fault::new("truncated fixed64", value_at))?;
            }
            WireType::Fixed32 => {
                take::<4>(bytes, at).ok_or_else(|| Fault::new("truncated fixed32", value_at))?;
            }
            WireType::Len | WireType::Group => {
                let value = length_delimited(bytes, at)?;
                match field.kind {
                    Kind::Message(_) if depth >= MAX_DEPTH => {
                        let reason = format!("messages nest deeper than {MAX_DEPTH} levels");
                        return Err(Fault::new(reason, value_at));
                    }
                    Kind::Message(inner) => {
                        let whole = bytes.get(..*at).unwrap_or(bytes);
                        self.message(whole, *at - value.len(), inner, depth + 1)?;
                    }
                    Kind::Text => check_text(value, *at - value.len())?,
                    Kind::Id(len) if !value.is_empty() && value.len() != len => {
                        let reason = format!("id of {} bytes where {len} or none are due", value.len());
                        return Err(Fault::new(reason, value_at));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// How many bytes at the beginning of a number's point are its times and its value, in order: what nearly all points
/// consist of, and nothing in it can be wrong.
#[inline]
fn number_point_head(bytes: &[u8], start: usize, seen: &mut Seen) -> usize {
    const START_TIME: u8 = 2 << 3 | 1;
    const TIME: u8 = 3 << 3 | 1;
    const AS_DOUBLE: u8 = 4 << 3 | 1;
    const AS_INT: u8 = 6 << 3 | 1;
    let mut rest = bytes.get(start..).unwrap_or_default();
    let whole = rest.len();
    for (tags, position) in [([START_TIME; 2], 1), ([TIME; 2], 2), ([AS_DOUBLE, AS_INT], 3)] {
        if let [tag, _, _, _, _, _, _, _, _, behind @ ..] = rest
            && tags.contains(tag)
        {
            rest = behind;
            // Of the two values one may stand: its bit alone does not matter.
            seen.positions |= 1 << position;
            seen.oneof |= position == 3;
        }
    }
    whole - rest.len()
}

/// Steps over a field that this version of OTLP does not have.
#[cold]
fn unknown(
    bytes: &[u8],
    at: &mut usize,
    wire_type: WireType,
    tag: u64,
    depth: usize,
) -> Result<(), Box<Fault>> {
    let value_at = *at;
    let read = match wire_type {
        WireType::Varint => varint(bytes, at).is_some(),
        WireType::Fixed64 => take::<8>(bytes, at).is_some(),
        WireType::Fixed32 => take::<4>(bytes, at).is_some(),
        WireType::Len => length_delimited(bytes, at).map(|_| true)?,
        WireType::Group if skip_group(bytes, at, tag, MAX_DEPTH.saturating_sub(depth)).is_some() => true,
        WireType::Group => {
            return Err(Fault::new("group that does not end or nests too deep", value_at));
        }
    };
    if read { Ok(()) } else { Err(Fault::new("truncated unknown field", value_at)) }
}

/// Which singular fields of a message were met.
#[derive(Default)]
struct Seen {
    positions: u32,
    oneof: bool,
}

impl Seen {
    /// Notes a field; `false` if it makes the message non-canonical.
    #[inline]
    fn note(&mut self, position: usize, field: &Field, behind_others: bool) -> bool {
        let bit = 1u32 << (position & 31);
        let again = self.positions & bit != 0;
        self.positions |= bit;
        match field.rule {
            // Packed numbers may be split over several fields; messages and texts are one field each.
            Rule::Repeated => !again || matches!(field.kind, Kind::Message(_) | Kind::Text),
            Rule::Oneof => !std::mem::replace(&mut self.oneof, true),
            // In a ResourceMetrics the resource must come first: it is replaced without touching the rest.
            Rule::Always => !(again || behind_others && field.number == 1),
            Rule::Singular | Rule::Optional => !again,
        }
    }
}

#[inline]
fn length_delimited<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Box<Fault>> {
    let start = *at;
    let len = varint(bytes, at).ok_or_else(|| Fault::new("truncated or overlong length", start))?;
    let end = usize::try_from(len).ok().and_then(|len| at.checked_add(len)).filter(|end| *end <= bytes.len());
    match end.and_then(|end| bytes.get(*at..end)) {
        Some(value) => {
            *at += value.len();
            Ok(value)
        }
        None => {
            let left = bytes.len().saturating_sub(*at);
            Err(Fault::new(format!("length {len} where {left} bytes are left"), start))
        }
    }
}

fn packed_numbers(packed: &[u8], at: usize, expected: WireType) -> Result<(), Box<Fault>> {
    let whole = match expected {
        WireType::Fixed64 => packed.len().is_multiple_of(8),
        WireType::Fixed32 => packed.len().is_multiple_of(4),
        _ => {
            let mut position = 0;
            while position < packed.len() && varint(packed, &mut position).is_some() {}
            position == packed.len()
        }
    };
    if whole { Ok(()) } else { Err(Fault::new("packed numbers end within a number", at)) }
}

#[inline]
fn check_text(value: &[u8], at: usize) -> Result<(), Box<Fault>> {
    // Names and values are ASCII nearly always, and short.
    if value.is_ascii() {
        return Ok(());
    }
    match std::str::from_utf8(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::new("invalid UTF-8", at + error.valid_up_to())),
    }
}

/// How many fields of a number stand between `start` and `end`.
#[cold]
fn occurrences(bytes: &[u8], start: usize, end: usize, number: u32) -> usize {
    let before = bytes.get(start..end).unwrap_or_default();
    Fields::new(before).filter(|(field, _)| *field == number).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{put_bytes, put_fixed64, put_message, put_tag, put_varint};

    /// `resourceMetrics[0].scopeMetrics[0].metrics[0]` with a body of its own.
    fn metric(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| put_message(out, 2, |out| put_message(out, 2, write)));
        out
    }

    fn fails(bytes: &[u8], expected: &str) {
        let error = check(Signal::Metrics, bytes).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_empty_request_is_valid() {
        assert_eq!(check(Signal::Metrics, &[]), Ok(Report { items: 0, canonical: true }));
    }

    #[test]
    fn points_are_counted() {
        let bytes = metric(|out| {
            put_bytes(out, 1, b"m");
            put_message(out, 5, |out| (0..3).for_each(|_| put_message(out, 1, |_| ())));
        });
        assert_eq!(check(Signal::Metrics, &bytes), Ok(Report { items: 3, canonical: true }));
    }

    #[test]
    fn faults_name_the_field_and_the_place() {
        fails(&[0x0a], "truncated or overlong length in resourceMetrics[0] at byte 1");
        fails(&[0x0a, 0x05, 0x00], "length 5 where 1 bytes are left in resourceMetrics[0] at byte 1");
        fails(&[0x00], "invalid field number 0 at byte 0");
        fails(&[0x0f], "unknown wire type 7 at byte 0");
        fails(
            &metric(|out| put_bytes(out, 1, b"a\xff")),
            "invalid UTF-8 in resourceMetrics[0].scopeMetrics[0].metrics[0].name at byte 9",
        );
        fails(
            &metric(|out| {
                put_tag(out, 1, WireType::Varint);
                put_varint(out, 1);
            }),
            "wire type Varint where Len is due in resourceMetrics[0].scopeMetrics[0].metrics[0].name at byte 7",
        );
        fails(
            &metric(|out| {
                put_message(out, 5, |out| {
                    put_message(out, 1, |_| ());
                    put_message(out, 1, |out| put_message(out, 5, |out| put_bytes(out, 5, &[1, 2])));
                });
            }),
            "id of 2 bytes where 16 or none are due in \
             resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[1].exemplars[0].traceId at byte 15",
        );
    }

    #[test]
    fn depth_is_bounded() {
        // Attribute values nest through arrays: AnyValue and ArrayValue are a level each.
        fn nest(out: &mut Vec<u8>, levels: usize) {
            if levels > 0 {
                put_message(out, 5, |out| put_message(out, 1, |out| nest(out, levels - 1)));
            }
        }
        let attribute = |levels| {
            let mut out = Vec::new();
            put_message(&mut out, 1, |out| {
                put_message(out, 1, |out| {
                    put_message(out, 1, |out| put_message(out, 2, |out| nest(out, levels)))
                });
            });
            out
        };
        assert!(check(Signal::Metrics, &attribute(47)).is_ok());
        let error = check(Signal::Metrics, &attribute(48)).unwrap_err();
        assert_eq!(error.reason(), "messages nest deeper than 100 levels");
    }

    #[test]
    fn unusual_encodings_are_noticed() {
        let check = |bytes: &[u8], canonical| {
            assert_eq!(check(Signal::Metrics, bytes).map(|r| r.canonical), Ok(canonical), "{bytes:?}");
        };
        check(&metric(|out| put_bytes(out, 1, b"m")), true);
        // The times and values of a point in and out of order, once and twice, both values.
        let point = |fields: &[u32]| {
            let write = |out: &mut Vec<u8>| fields.iter().for_each(|field| put_fixed64(out, *field, 1));
            metric(|out| put_message(out, 5, |out| put_message(out, 1, write)))
        };
        [&[2, 3, 4][..], &[3, 6], &[4], &[6, 3, 2]].iter().for_each(|fields| check(&point(fields), true));
        [&[2, 3, 4, 6][..], &[6, 6], &[3, 4, 3], &[2, 2]]
            .iter()
            .for_each(|fields| check(&point(fields), false));
        // A singular field twice.
        check(
            &metric(|out| {
                put_bytes(out, 1, b"m");
                put_bytes(out, 1, b"n");
            }),
            false,
        );
        // Two members of a oneof.
        check(
            &metric(|out| {
                put_message(out, 5, |_| ());
                put_message(out, 7, |_| ());
            }),
            false,
        );
        // A resource behind its items.
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_message(out, 2, |_| ());
            put_message(out, 1, |_| ());
        });
        check(&out, false);
        // The field of the former instrumentation library.
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| put_message(out, 1000, |_| ()));
        check(&out, false);
        // An unknown field is somebody's newer field.
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| put_message(out, 900, |_| ()));
        check(&out, true);
    }
}
