//! Rewrites requests that are valid but encoded as no OTLP implementation encodes them.
//!
//! Source: the protocol buffers encoding guide, "Last One Wins": of a singular field the last value counts, messages
//! are merged, which is the same as reading their bytes one after the other; of a oneof the last member counts.

use smallvec::{SmallVec, smallvec};

use crate::Signal;
use crate::schema::{self, Field, Kind, Message, Rule};
use crate::wire::{
    FieldValue, Fields, WireType, close_message, open_message, put_bytes, put_fixed32, put_fixed64,
    put_message, put_uint, put_varint,
};

/// The bytes of a message, in pieces that are read one after the other.
type Pieces<'a> = SmallVec<[&'a [u8]; 2]>;

/// Encodes a checked request anew, in the usual way.
///
/// Nothing is decoded into structs: a request of many empty messages would need a hundred times its size.
pub(crate) fn rewrite(signal: Signal, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    put_canonical(&mut out, schema::request(signal), &[bytes]);
    out
}

fn put_canonical(out: &mut Vec<u8>, message: &'static Message, pieces: &[&[u8]]) {
    let chosen = chosen_member(message, pieces);
    for (position, field) in message.fields.iter().enumerate() {
        let mut values = values(message, pieces).filter(|(at, _)| *at == position).map(|(_, value)| value);
        match (field.rule, field.kind) {
            (Rule::Repeated, Kind::Message(inner)) => values.for_each(|value| {
                put_message(out, field.number, |out| put_canonical(out, inner, &[value.bytes()]));
            }),
            (Rule::Repeated, kind) if kind.wire_type() == WireType::Len => {
                values.for_each(|value| put_value(out, field, value));
            }
            (Rule::Repeated, _) => put_packed(out, field, values),
            (Rule::Oneof, kind) => match (&chosen, kind) {
                (Some((at, value, pieces)), Kind::Message(inner)) if *at == position => {
                    debug_assert!(matches!(value, FieldValue::Len(_)));
                    put_message(out, field.number, |out| put_canonical(out, inner, pieces));
                }
                (Some((at, value, _)), _) if *at == position => put_value(out, field, *value),
                _ => {}
            },
            (_, Kind::Message(inner)) => {
                let pieces: Pieces<'_> = values.map(FieldValue::bytes).collect();
                if !pieces.is_empty() {
                    put_message(out, field.number, |out| put_canonical(out, inner, &pieces));
                }
            }
            _ => values.by_ref().last().iter().for_each(|value| put_value(out, field, *value)),
        }
    }
    put_unknown(out, message, pieces);
}

/// The known fields of a message, by their position in the schema.
fn values<'a>(
    message: &'static Message,
    pieces: &[&'a [u8]],
) -> impl Iterator<Item = (usize, FieldValue<'a>)> {
    pieces.iter().flat_map(|piece| Fields::new(piece)).filter_map(|(number, value)| {
        let number = u64::from(number);
        let (position, _) = message.field(number).or_else(|| message.former_field(number))?;
        Some((position, value))
    })
}

/// The member of the oneof that counts, with its last value and, of a message, the pieces to be merged.
fn chosen_member<'a>(
    message: &'static Message,
    pieces: &[&'a [u8]],
) -> Option<(usize, FieldValue<'a>, Pieces<'a>)> {
    let mut chosen: Option<(usize, FieldValue<'a>, Pieces<'a>)> = None;
    let members = values(message, pieces)
        .filter(|(position, _)| message.fields.get(*position).is_some_and(|field| field.rule == Rule::Oneof));
    for (position, value) in members {
        match &mut chosen {
            Some((at, last, pieces)) if *at == position => {
                *last = value;
                pieces.push(value.bytes());
            }
            _ => chosen = Some((position, value, smallvec![value.bytes()])),
        }
    }
    chosen
}

/// Writes numbers, which come one by one or packed, as one packed field.
fn put_packed<'a>(out: &mut Vec<u8>, field: &Field, values: impl Iterator<Item = FieldValue<'a>>) {
    let before = out.len();
    let start = open_message(out, field.number);
    for value in values {
        match value {
            FieldValue::Len(packed) => out.extend_from_slice(packed),
            FieldValue::Varint(number) => put_varint(out, number),
            FieldValue::Fixed64(number) => out.extend_from_slice(&number.to_le_bytes()),
            FieldValue::Fixed32(number) => out.extend_from_slice(&number.to_le_bytes()),
        }
    }
    if out.len() == start {
        out.truncate(before);
    } else {
        close_message(out, start);
    }
}

fn put_value(out: &mut Vec<u8>, field: &Field, value: FieldValue<'_>) {
    match value {
        FieldValue::Len(bytes) => put_bytes(out, field.number, bytes),
        FieldValue::Varint(number) => put_uint(out, field.number, number),
        FieldValue::Fixed64(number) => put_fixed64(out, field.number, number),
        FieldValue::Fixed32(number) => put_fixed32(out, field.number, number),
    }
}

/// Copies what a newer version of OTLP may know.
fn put_unknown(out: &mut Vec<u8>, message: &'static Message, pieces: &[&[u8]]) {
    for piece in pieces {
        let mut fields = Fields::new(piece);
        let mut at = 0;
        while let Some((number, _)) = fields.next() {
            let number = u64::from(number);
            if message.field(number).is_none() && message.former_field(number).is_none() {
                out.extend_from_slice(piece.get(at..fields.position()).unwrap_or_default());
            }
            at = fields.position();
        }
    }
}

#[cfg(test)]
#[path = "../tests/random/mod.rs"]
mod random;

#[cfg(test)]
#[path = "../tests/rebuild/mod.rs"]
mod rebuild;

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::random::{self, Flavour, entropy};
    use super::*;
    use crate::Batch;
    use crate::wire::{put_tag, take, varint};

    /// Decodes and encodes with `prost`.
    fn through_prost(signal: Signal, bytes: &[u8]) -> Vec<u8> {
        match signal {
            Signal::Metrics => ExportMetricsServiceRequest::decode(bytes).unwrap().encode_to_vec(),
            Signal::Logs => ExportLogsServiceRequest::decode(bytes).unwrap().encode_to_vec(),
            Signal::Traces => ExportTraceServiceRequest::decode(bytes).unwrap().encode_to_vec(),
        }
    }

    /// Encodes messages anew in ways that mean the same and that nobody writes.
    struct Scrambler(u64);

    impl Scrambler {
        /// A random number below `bound`: xorshift.
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 20) as usize % bound
        }

        fn message(&mut self, message: &'static Message, bytes: &[u8]) -> Vec<u8> {
            // The pieces of each field number in order; numbers may stand in any order.
            let mut pieces: Vec<(u32, Vec<u8>)> = Vec::new();
            for (number, value) in Fields::new(bytes) {
                let (_, field) = message.field(u64::from(number)).unwrap();
                if field.rule == Rule::Oneof {
                    // A member that loses: it stands before, and the number keeps it there.
                    let loser = message.fields.iter().find(|other| other.rule == Rule::Oneof).unwrap();
                    if self.below(4) == 0 {
                        let mut piece = self.piece(loser, zero(loser));
                        piece.extend(self.piece(field, value));
                        pieces.push((number, piece));
                        continue;
                    }
                }
                if let (Kind::Message(inner), false) = (field.kind, field.rule == Rule::Repeated)
                    && self.below(3) == 0
                {
                    // The message in two parts, to be merged.
                    let cut = self.cut(value.bytes());
                    let (front, back) = value.bytes().split_at(cut);
                    for part in [front, back] {
                        let mut piece = Vec::new();
                        put_bytes(&mut piece, field.number, &self.message(inner, part));
                        pieces.push((number, piece));
                    }
                    continue;
                }
                if field.rule != Rule::Repeated && self.below(4) == 0 {
                    // The same field before, with a value that is overwritten or merged with nothing.
                    let piece = self.piece(field, zero(field));
                    pieces.push((number, piece));
                }
                match value {
                    FieldValue::Len(packed) if field.rule == Rule::Repeated && !is_len(field) => {
                        self.repeated_numbers(field, packed, &mut pieces);
                    }
                    value => {
                        let piece = self.piece(field, value);
                        pieces.push((number, piece));
                    }
                }
            }
            if self.below(8) == 0 {
                let mut unknown = Vec::new();
                put_uint(&mut unknown, 900, 1);
                pieces.push((900, unknown));
            }
            if self.below(32) == 0 {
                // A group with a field in it.
                let mut group = Vec::new();
                put_varint(&mut group, 901 << 3 | 3);
                put_uint(&mut group, 1, 1);
                put_varint(&mut group, 901 << 3 | 4);
                pieces.push((901, group));
            }
            self.shuffle(pieces)
        }

        /// A place between two fields.
        fn cut(&mut self, bytes: &[u8]) -> usize {
            let mut fields = Fields::new(bytes);
            let skipped = self.below(4);
            fields.by_ref().take(skipped).for_each(|_| ());
            fields.position()
        }

        /// Shuffles fields; pieces of the same number keep their order.
        fn shuffle(&mut self, mut pieces: Vec<(u32, Vec<u8>)>) -> Vec<u8> {
            let mut out = Vec::new();
            if self.below(2) == 0 {
                return pieces.into_iter().flat_map(|(_, piece)| piece).collect();
            }
            while !pieces.is_empty() {
                let number = pieces[self.below(pieces.len())].0;
                let first = pieces.iter().position(|(other, _)| *other == number).unwrap();
                out.extend(pieces.remove(first).1);
            }
            out
        }

        fn repeated_numbers(
            &mut self,
            field: &'static Field,
            packed: &[u8],
            pieces: &mut Vec<(u32, Vec<u8>)>,
        ) {
            let mut numbers = Vec::new();
            let mut at = 0;
            while at < packed.len() {
                numbers.push(match field.kind.wire_type() {
                    WireType::Fixed64 => u64::from_le_bytes(take(packed, &mut at).unwrap()),
                    _ => varint(packed, &mut at).unwrap(),
                });
            }
            let mut rest = numbers.as_slice();
            while !rest.is_empty() {
                let (part, tail) = rest.split_at(1 + self.below(rest.len()));
                rest = tail;
                let mut piece = Vec::new();
                if self.below(2) == 0 {
                    part.iter().for_each(|value| put_number(&mut piece, field, *value));
                } else {
                    put_message(&mut piece, field.number, |out| {
                        for value in part {
                            match field.kind.wire_type() {
                                WireType::Fixed64 => out.extend_from_slice(&value.to_le_bytes()),
                                _ => put_varint(out, *value),
                            }
                        }
                    });
                }
                pieces.push((field.number, piece));
            }
        }

        fn piece(&mut self, field: &'static Field, value: FieldValue<'_>) -> Vec<u8> {
            let mut out = Vec::new();
            match field.kind {
                Kind::Message(message) => {
                    put_bytes(&mut out, field.number, &self.message(message, value.bytes()))
                }
                _ if is_len(field) && self.below(8) == 0 => {
                    // A length that takes more bytes than it needs.
                    put_tag(&mut out, field.number, WireType::Len);
                    put_varint(&mut out, value.bytes().len() as u64 | 1 << 14);
                    let high = out.len() - 1;
                    out[high] = 0;
                    out.extend_from_slice(value.bytes());
                }
                _ if is_len(field) => put_bytes(&mut out, field.number, value.bytes()),
                _ => put_number(&mut out, field, value.number()),
            }
            out
        }
    }

    fn is_len(field: &Field) -> bool {
        field.kind.wire_type() == WireType::Len
    }

    /// A default value of a field.
    fn zero(field: &Field) -> FieldValue<'static> {
        if is_len(field) { FieldValue::Len(&[]) } else { FieldValue::Varint(0) }
    }

    fn put_number(out: &mut Vec<u8>, field: &Field, value: u64) {
        match field.kind.wire_type() {
            WireType::Fixed64 => put_fixed64(out, field.number, value),
            WireType::Fixed32 => put_fixed32(out, field.number, value as u32),
            _ => put_uint(out, field.number, value),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn unusual_encodings_read_as_prost_reads_them(entropy in entropy(), seed in 1u64..) {
            for signal in Signal::ALL {
                let usual = random::encoded(signal, Flavour::Anything, &entropy);
                let unusual = Scrambler(seed).message(schema::request(signal), &usual);
                let expected = through_prost(signal, &unusual);
                let usual = rewrite(signal, &unusual);
                prop_assert!(crate::validate::check(signal, &usual).unwrap().canonical);
                prop_assert_eq!(&through_prost(signal, &usual), &expected);
                let batch = Batch::from_protobuf(signal, unusual.into()).unwrap();
                prop_assert_eq!(&through_prost(signal, &batch.to_protobuf()), &expected);
                let expected = Batch::from_protobuf(signal, expected.into()).unwrap();
                prop_assert_eq!(batch.items(), expected.items());
                prop_assert_eq!(rebuild::encoded(&batch), rebuild::encoded(&expected));
                prop_assert_eq!(batch.to_json(), expected.to_json());
                // And an edit finds the resource where it must be.
                let edit = |batch: Batch| batch.edit_resources(|editor| editor.upsert("new", true));
                prop_assert_eq!(rebuild::encoded(&edit(batch)), rebuild::encoded(&edit(expected)));
            }
        }
    }

    #[test]
    fn instrumentation_libraries_become_scopes() {
        let mut bytes = Vec::new();
        put_message(&mut bytes, 1, |out| {
            put_message(out, 1, |out| put_uint(out, 2, 3));
            put_message(out, 1000, |out| {
                put_message(out, 1, |out| put_bytes(out, 1, b"library"));
                put_message(out, 2, |out| put_bytes(out, 5, b"span"));
            });
        });
        let batch = Batch::from_protobuf(Signal::Traces, bytes.into()).unwrap();
        assert_eq!(batch.items(), 1);
        let entry = crate::traces::resources(&batch).next().unwrap();
        assert_eq!(entry.resource().dropped_attributes_count(), 3);
        let scope = entry.scopes().next().unwrap();
        assert_eq!(scope.scope().name, "library");
        assert_eq!(scope.spans().next().unwrap().name, "span");
    }
}
