//! Rewrites requests that are valid but encoded as no OTLP implementation encodes them.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::wire::{FieldValue, Fields, put_bytes, put_message};
use crate::{InvalidPayload, Signal};

/// Decodes into owned structs and encodes again. Unknown fields are dropped, as upstream drops them.
pub(crate) fn rewrite(signal: Signal, bytes: &[u8]) -> Result<Vec<u8>, InvalidPayload> {
    match signal {
        Signal::Metrics => through::<ExportMetricsServiceRequest>(bytes),
        Signal::Logs => through::<ExportLogsServiceRequest>(bytes),
        Signal::Traces => through::<ExportTraceServiceRequest>(bytes),
    }
}

fn through<M: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, InvalidPayload> {
    M::decode(renumber_scopes(bytes).as_slice())
        .map(|request| request.encode_to_vec())
        .map_err(|error| InvalidPayload::new(String::new(), None, error.to_string()))
}

/// Gives scopes that stand in the field of the former instrumentation library (1000) today's number (2). The messages
/// have the same shape otherwise. Bytes behind anything unreadable stay as they are, for the decoder to refuse.
fn renumber_scopes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut entries = Fields::new(bytes);
    let mut copied = 0;
    while let Some((number, value)) = entries.next() {
        match value {
            FieldValue::Len(entry) if number == 1 => {
                put_message(&mut out, 1, |out| renumber_entry(out, entry))
            }
            _ => out.extend_from_slice(bytes.get(copied..entries.position()).unwrap_or_default()),
        }
        copied = entries.position();
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    out
}

fn renumber_entry(out: &mut Vec<u8>, entry: &[u8]) {
    let mut fields = Fields::new(entry);
    let mut copied = 0;
    while let Some((number, value)) = fields.next() {
        match value {
            FieldValue::Len(scope) if number == 1000 => put_bytes(out, 2, scope),
            _ => out.extend_from_slice(entry.get(copied..fields.position()).unwrap_or_default()),
        }
        copied = fields.position();
    }
    out.extend_from_slice(entry.get(copied..).unwrap_or_default());
}

#[cfg(test)]
#[path = "../tests/random/mod.rs"]
mod random;

#[cfg(test)]
#[path = "../tests/rebuild/mod.rs"]
mod rebuild;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::random::{self, Flavour, entropy};
    use super::*;
    use crate::Batch;
    use crate::schema::{self, Field, Kind, Message, Rule};
    use crate::wire::{WireType, put_fixed32, put_fixed64, put_tag, put_uint, put_varint, take, varint};

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
                let expected = rewrite(signal, &unusual).unwrap();
                let batch = Batch::from_protobuf(signal, unusual.into()).unwrap();
                prop_assert_eq!(&rewrite(signal, &batch.to_protobuf()).unwrap(), &expected);
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
