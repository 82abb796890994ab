//! The protobuf wire format: reading fields of checked messages and writing messages.
//!
//! Source: the protocol buffers encoding guide (varints, tags, length-delimited fields).

/// Wire types that a field of ours can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Len,
    Fixed32,
    /// Start or end of a group: deprecated, never written by OTLP implementations, but legal in a field that is not known.
    Group,
}

impl WireType {
    #[inline]
    pub(crate) fn from_tag(tag: u64) -> Option<Self> {
        Some(match tag & 7 {
            0 => Self::Varint,
            1 => Self::Fixed64,
            2 => Self::Len,
            3 | 4 => Self::Group,
            5 => Self::Fixed32,
            _ => return None,
        })
    }

    #[inline]
    fn number(self) -> u64 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Len => 2,
            Self::Group => 3,
            Self::Fixed32 => 5,
        }
    }
}

/// Reads a varint at `*at` and moves behind it. `None` at the end of the bytes or after ten bytes.
#[inline]
pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(u64::from(first));
    }
    varint_long(bytes, at)
}

fn varint_long(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for (index, byte) in bytes.get(*at..)?.iter().take(10).enumerate() {
        // The tenth byte has room for one bit only; more would be lost, so it is malformed.
        if index == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            *at += index + 1;
            return Some(value);
        }
    }
    None
}

/// The value of one field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FieldValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Len(&'a [u8]),
}

impl<'a> FieldValue<'a> {
    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Len(bytes) => bytes,
            _ => &[],
        }
    }

    /// The text of a string field of a checked message.
    #[inline]
    pub(crate) fn text(self) -> &'a str {
        checked_text(self.bytes())
    }

    #[inline]
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Varint(number) | Self::Fixed64(number) => number,
            Self::Fixed32(number) => u64::from(number),
            Self::Len(_) => 0,
        }
    }

    #[inline]
    pub(crate) fn double(self) -> f64 {
        f64::from_bits(self.number())
    }
}

/// Text whose UTF-8 was checked when the batch was made.
///
/// Checking again for every name would cost more than reading the rest of a data point.
#[allow(unsafe_code)]
#[inline]
fn checked_text(bytes: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(bytes).is_ok());
    // SAFETY: views are made in this crate only, over the bytes of a `Chunk`, and of a batch of their own signal. A
    // `Chunk` is made of bytes that passed `validate::check`, which checks the UTF-8 of every string field of the
    // schema; by the builder and the resource editor, which take `&str`; or of whole fields of another chunk of the same
    // signal. The schema marks as a string every field that a view reads as text.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

/// The fields of a checked message, in wire order. Ends at the first byte that is not well formed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The fields from a position on.
    #[inline]
    pub(crate) fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The fields that were not read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Where the next field starts.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, FieldValue<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        const ONE_BYTE_TAG: u8 = 0x87;
        // Nearly all fields: a number below 16, and a text or message of less than 128 bytes, or eight bytes.
        let [tag, rest @ ..] = self.bytes.get(self.at..)? else { return None };
        match (tag & ONE_BYTE_TAG, rest) {
            (2, [len @ 0..=0x7f, rest @ ..]) => {
                if let Some(value) = rest.get(..usize::from(*len)) {
                    self.at += 2 + value.len();
                    return Some((u32::from(tag >> 3), FieldValue::Len(value)));
                }
            }
            (1, rest) => {
                if let Some(value) = rest.first_chunk() {
                    self.at += 1 + value.len();
                    return Some((u32::from(tag >> 3), FieldValue::Fixed64(u64::from_le_bytes(*value))));
                }
            }
            _ => {}
        }
        self.next_of_any_kind()
    }
}

impl<'a> Fields<'a> {
    fn next_of_any_kind(&mut self) -> Option<(u32, FieldValue<'a>)> {
        // Most of these: a message of less than 16 KiB.
        if let [tag, low @ 0x80..=0xff, high @ 0..=0x7f, rest @ ..] = self.bytes.get(self.at..)?
            && tag & 0x87 == 2
            && let Some(value) = rest.get(..usize::from(*high) << 7 | usize::from(low & 0x7f))
        {
            self.at += 3 + value.len();
            return Some((u32::from(tag >> 3), FieldValue::Len(value)));
        }
        loop {
            let tag = varint(self.bytes, &mut self.at)?;
            let value = match WireType::from_tag(tag)? {
                WireType::Varint => FieldValue::Varint(varint(self.bytes, &mut self.at)?),
                WireType::Fixed64 => FieldValue::Fixed64(u64::from_le_bytes(take(self.bytes, &mut self.at)?)),
                WireType::Fixed32 => FieldValue::Fixed32(u32::from_le_bytes(take(self.bytes, &mut self.at)?)),
                WireType::Len => {
                    let len = usize::try_from(varint(self.bytes, &mut self.at)?).ok()?;
                    let start = self.at;
                    self.at = start.checked_add(len)?;
                    FieldValue::Len(self.bytes.get(start..self.at)?)
                }
                WireType::Group => {
                    skip_group(self.bytes, &mut self.at, tag, crate::MAX_DEPTH)?;
                    continue;
                }
            };
            return Some(((tag >> 3) as u32, value));
        }
    }
}

/// Moves behind the group that `tag` begins. `None` if it does not end, ends as another, or nests too deep.
#[cold]
pub(crate) fn skip_group(bytes: &[u8], at: &mut usize, tag: u64, depth: usize) -> Option<()> {
    const END: u64 = 4;
    if tag & 7 == END || depth == 0 {
        return None;
    }
    loop {
        let inner = varint(bytes, at)?;
        if inner & 7 == END {
            return (inner >> 3 == tag >> 3).then_some(());
        }
        if inner >> 3 == 0 || inner > u64::from(u32::MAX) {
            return None;
        }
        match WireType::from_tag(inner)? {
            WireType::Varint => drop(varint(bytes, at)?),
            WireType::Fixed64 => drop(take::<8>(bytes, at)?),
            WireType::Fixed32 => drop(take::<4>(bytes, at)?),
            WireType::Len => {
                let len = usize::try_from(varint(bytes, at)?).ok()?;
                *at = at.checked_add(len).filter(|end| *end <= bytes.len())?;
            }
            WireType::Group => skip_group(bytes, at, inner, depth - 1)?,
        }
    }
}

#[inline]
pub(crate) fn take<const N: usize>(bytes: &[u8], at: &mut usize) -> Option<[u8; N]> {
    let taken = bytes.get(*at..)?.first_chunk::<N>()?;
    *at += N;
    Some(*taken)
}

/// How many bytes a varint takes.
#[inline]
pub(crate) fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Appends a varint.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_tag(out: &mut Vec<u8>, field: u32, wire_type: WireType) {
    put_varint(out, u64::from(field) << 3 | wire_type.number());
}

/// Appends a length-delimited field.
#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_tag(out, field, WireType::Len);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
pub(crate) fn put_fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    put_tag(out, field, WireType::Fixed64);
    out.extend_from_slice(&value.to_le_bytes());
}

#[inline]
pub(crate) fn put_fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    put_tag(out, field, WireType::Fixed32);
    out.extend_from_slice(&value.to_le_bytes());
}

#[inline]
pub(crate) fn put_uint(out: &mut Vec<u8>, field: u32, value: u64) {
    put_tag(out, field, WireType::Varint);
    put_varint(out, value);
}

/// Appends a message field whose body `write` appends.
///
/// The length goes before the body but is known after it: one byte is left for it, and a body of 128 bytes or more
/// is moved by the few bytes that are missing.
pub(crate) fn put_message<R>(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let open = open_message(out, field);
    let result = write(out);
    close_message(out, open);
    result
}

/// Begins a message field; to be ended by [`close_message`] with the returned position.
#[inline]
pub(crate) fn open_message(out: &mut Vec<u8>, field: u32) -> usize {
    put_tag(out, field, WireType::Len);
    out.push(0);
    out.len()
}

/// Ends the message field that [`open_message`] began.
#[inline]
pub(crate) fn close_message(out: &mut Vec<u8>, start: usize) {
    let len = out.len().saturating_sub(start);
    let mut prefix = [0u8; 10];
    let mut used = 0;
    let mut rest = len as u64;
    loop {
        let more = rest >= 0x80;
        if let Some(slot) = prefix.get_mut(used) {
            *slot = (rest as u8 & 0x7f) | if more { 0x80 } else { 0 };
        }
        used += 1;
        if !more {
            break;
        }
        rest >>= 7;
    }
    if used > 1 {
        let missing = used - 1;
        out.resize(out.len() + missing, 0);
        out.copy_within(start..start + len, start + missing);
    }
    if let (Some(slot), Some(prefix)) = (out.get_mut(start - 1..start - 1 + used), prefix.get(..used)) {
        slot.copy_from_slice(prefix);
    }
}

/// The value of an `sint32`: zigzag, of the low 32 bits of the varint.
#[inline]
pub(crate) fn zigzag32(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// The inverse of [`zigzag32`].
#[inline]
pub(crate) fn zigzag32_encode(value: i32) -> u64 {
    u64::from((value << 1 ^ value >> 31) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            let mut at = 0;
            assert_eq!(varint(&out, &mut at), Some(value));
            assert_eq!(at, out.len());
        }
    }

    #[test]
    fn malformed_varints_are_refused() {
        let check = |bytes: &[u8]| assert_eq!(varint(bytes, &mut 0), None, "{bytes:?}");
        check(&[]);
        check(&[0x80]);
        check(&[0x80; 11]);
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]);
    }

    #[test]
    fn nested_messages_of_every_length_get_their_length() {
        for len in [0usize, 1, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut out = vec![0xaa];
            put_message(&mut out, 3, |out| out.resize(out.len() + len, 0x55));
            let mut fields = Fields::new(&out[1..]);
            let (field, value) = fields.next().unwrap();
            assert_eq!((field, value.bytes().len()), (3, len));
            assert!(value.bytes().iter().all(|byte| *byte == 0x55));
            assert!(fields.next().is_none());
            assert_eq!(fields.position(), out.len() - 1);
        }
    }

    #[test]
    fn zigzag_round_trips() {
        let check = |encoded, value| {
            assert_eq!(zigzag32(encoded), value);
            assert_eq!(zigzag32_encode(value), encoded);
        };
        check(0, 0);
        check(1, -1);
        check(2, 1);
        check(4_294_967_294, i32::MAX);
        check(4_294_967_295, i32::MIN);
        // Bits beyond the 32nd are not part of the number.
        assert_eq!(zigzag32(1 << 32 | 2), 1);
    }
}
