//! One place in a batch: what is there, to be read and changed.

use smallvec::SmallVec;

use super::Part;
use super::field::{DATA_KINDS, DATA_NUMBERS, Field};
use crate::common::message_field;
use crate::metrics::{Data, MetricView};
use crate::schema::{self, Kind, Message, Rule};
use crate::value::put_pair;
use crate::wire::{
    FieldValue, Fields, WireType, put_bytes, put_fixed32, put_fixed64, put_message, put_tag, put_uint,
    put_varint, zigzag32, zigzag32_encode,
};
use crate::{AnyValueView, AttributeValue, Attributes, KeyValueView, KeyValues, Signal, Value};

/// What kind of points a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Values of a moment.
    Gauge,
    /// Values that add up.
    Sum,
    /// Distributions over explicit bounds.
    Histogram,
    /// Distributions over exponential bounds.
    ExponentialHistogram,
    /// Quantiles.
    Summary,
}

/// An item, a metric, a scope or a resource with everything above it.
#[derive(Debug)]
pub struct Place<'a> {
    pub(super) signal: Signal,
    parts: [State<'a>; Part::COUNT],
    /// What the metric has.
    pub(super) kind: Option<DataKind>,
    pub(super) kind_changed: bool,
    /// Memory for the next edit.
    spare: Vec<u8>,
}

/// One message of a place.
#[derive(Debug, Default)]
struct State<'a> {
    schema: Option<&'static Message>,
    original: &'a [u8],
    /// The message as it is now, without what is walked through on its own; memory that is used again.
    edited: Vec<u8>,
    changed: bool,
}

impl DataKind {
    pub(super) const ALL: [DataKind; DATA_KINDS] =
        [Self::Gauge, Self::Sum, Self::Histogram, Self::ExponentialHistogram, Self::Summary];

    /// The kind that stands in a field of a metric.
    pub(super) fn of_number(number: u32) -> Option<DataKind> {
        let position = DATA_NUMBERS.iter().position(|known| *known == number)?;
        Self::ALL.get(position).copied()
    }

    /// The field of a metric that it stands in.
    pub(super) fn number(self) -> u32 {
        DATA_NUMBERS.get(self as usize).copied().unwrap_or_default()
    }
}

impl<'a> Place<'a> {
    pub(super) fn new(signal: Signal) -> Self {
        Self { signal, parts: Default::default(), kind: None, kind_changed: false, spare: Vec::new() }
    }

    /// Moves a part to another message.
    pub(super) fn enter(&mut self, part: Part, original: &'a [u8]) {
        let schema = part.schema(self.signal, self.kind.map_or(0, |kind| kind as usize));
        let state = self.state_mut(part);
        state.schema = schema;
        state.original = original;
        state.changed = false;
    }

    /// The message without what is walked through on its own, if it was changed.
    pub(super) fn edited(&self, part: Part) -> Option<&[u8]> {
        let state = self.state(part);
        state.changed.then_some(&state.edited)
    }

    /// What describes a part here.
    pub(super) fn schema(&self, part: Part) -> Option<&'static Message> {
        self.state(part).schema
    }

    #[allow(clippy::indexing_slicing, reason = "there is a state per part")]
    fn state(&self, part: Part) -> &State<'a> {
        &self.parts[part as usize]
    }

    #[allow(clippy::indexing_slicing, reason = "there is a state per part")]
    fn state_mut(&mut self, part: Part) -> &mut State<'a> {
        &mut self.parts[part as usize]
    }

    /// What the batch holds.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// What kind of points the metric has; nothing in other signals, and for a metric without data.
    pub fn data_kind(&self) -> Option<DataKind> {
        self.kind
    }

    /// The data of the metric as they arrived, to look at all points from above.
    pub fn data(&self) -> Data<'a> {
        match self.signal {
            Signal::Metrics => MetricView::parse(self.state(Part::Metric).original).data,
            _ => Data::None,
        }
    }

    /// Makes a gauge of a sum, or a sum of a gauge: their points are alike. Nothing happens to other kinds.
    pub fn set_data_kind(&mut self, kind: DataKind) {
        let simple = |kind: DataKind| matches!(kind, DataKind::Gauge | DataKind::Sum);
        if self.kind.is_some_and(|now| now != kind && simple(now)) && simple(kind) {
            self.kind = Some(kind);
            self.kind_changed = true;
            let schema = Part::Data.schema(self.signal, kind as usize);
            let data = self.state_mut(Part::Data);
            data.schema = schema;
            data.edited.clear();
            data.changed = true;
        }
    }

    /// The number of a field here; 0 if the message does not have it.
    pub(super) fn number(&self, field: Field) -> u32 {
        let kind = if self.signal == Signal::Metrics { self.kind.map_or(0, |kind| kind as usize) } else { 0 };
        let kind = if matches!(field.part, Part::Data | Part::Item) { kind } else { 0 };
        field.numbers.get(kind).copied().unwrap_or_default()
    }

    pub(super) fn message(&self, part: Part) -> &[u8] {
        let state = self.state(part);
        if state.changed { &state.edited } else { state.original }
    }

    /// The value of a field as it is now: numbers of all sizes as `Int`, ids as bytes, attributes as a map; `Empty` for what
    /// is not set and could be, what the message does not have, and messages of other kinds.
    pub fn get(&self, field: Field) -> AnyValueView<'_> {
        let number = self.number(field);
        let Some(schema) = self.state(field.part).schema else { return AnyValueView::Empty };
        let message = self.message(field.part);
        if field.inner == 0 {
            return read(schema, message, number);
        }
        match schema.message(number) {
            Some(schema) => read(schema, message_field(message, number), field.inner),
            None => AnyValueView::Empty,
        }
    }

    /// The attributes in a field as they are now; none for other fields.
    pub fn attributes(&self, field: Field) -> KeyValues<'_> {
        match self.get(field) {
            AnyValueView::KeyValues(pairs) => pairs,
            _ => KeyValues::new(&[], 1),
        }
    }

    /// Sets a field, or clears it with `Empty`. `false` if the message does not have the field or the value is of another
    /// type; nothing changes then.
    pub fn set(&mut self, field: Field, value: &Value) -> bool {
        let number = self.number(field);
        let Some(schema) = self.state(field.part).schema else { return false };
        if field.inner == 0 {
            return self.edit(field.part, |message, out| write(schema, message, out, number, value));
        }
        let Some(inner_schema) = schema.message(number) else { return false };
        self.edit(field.part, |message, out| {
            let mut inner = Vec::new();
            let written = write(inner_schema, message_field(message, number), &mut inner, field.inner, value);
            copy_without(message, out, |other| other == number);
            put_bytes(out, number, &inner);
            written
        })
    }

    /// Sets one attribute in a field of attributes. `false` for other fields.
    pub fn set_attribute(&mut self, field: Field, key: &str, value: impl AttributeValue) -> bool {
        let Some(number) = self.attributes_number(field) else { return false };
        self.edit(field.part, |message, out| {
            let mut done = false;
            each_field(message, |encoded, other, content| match content {
                FieldValue::Len(pair) if other == number && KeyValueView::parse(pair).key == key => {
                    if !done {
                        put_pair(out, number, key, &value);
                    }
                    done = true;
                }
                _ => out.extend_from_slice(encoded),
            });
            if !done {
                put_pair(out, number, key, &value);
            }
            true
        })
    }

    /// Adds those of a set that a field of attributes lacks, in one pass; whether there were any.
    pub fn add_attributes(&mut self, field: Field, set: &Attributes) -> bool {
        let Some(number) = self.attributes_number(field) else { return false };
        let lacks = |pair: &KeyValueView<'_>| self.attributes(field).get(pair.key).is_none();
        let missing: SmallVec<[KeyValueView<'_>; 8]> = set.iter().filter(lacks).collect();
        if missing.is_empty() {
            return false;
        }
        self.edit(field.part, |message, out| {
            out.extend_from_slice(message);
            missing.iter().for_each(|pair| put_bytes(out, number, pair.encoded));
            true
        })
    }

    /// Removes the attributes for which `keep` says no; whether there were any.
    pub fn retain_attributes(
        &mut self,
        field: Field,
        mut keep: impl FnMut(&KeyValueView<'_>) -> bool,
    ) -> bool {
        let Some(number) = self.attributes_number(field) else { return false };
        self.edit(field.part, |message, out| {
            let mut dropped = false;
            each_field(message, |encoded, other, content| match content {
                FieldValue::Len(pair) if other == number && !keep(&KeyValueView::parse(pair)) => {
                    dropped = true
                }
                _ => out.extend_from_slice(encoded),
            });
            dropped
        })
    }

    fn attributes_number(&self, field: Field) -> Option<u32> {
        let number = self.number(field);
        let (_, found) = self.state(field.part).schema?.field(u64::from(number))?;
        (field.inner == 0 && is_attributes(found)).then_some(number)
    }

    /// Lets `edit` write the message anew; it says whether that is to count.
    pub(super) fn edit(&mut self, part: Part, edit: impl FnOnce(&[u8], &mut Vec<u8>) -> bool) -> bool {
        let mut out = std::mem::take(&mut self.spare);
        out.clear();
        let signal = self.signal;
        let state = self.state_mut(part);
        let done = if state.changed {
            edit(&state.edited, &mut out)
        } else {
            // What is walked through on its own is put behind again once the walk is done.
            let head = &mut state.edited;
            head.clear();
            copy_without(state.original, head, |number| is_walked(part, signal, number));
            edit(head, &mut out)
        };
        if done {
            state.changed = true;
            std::mem::swap(&mut state.edited, &mut out);
        }
        self.spare = out;
        done
    }
}

/// Whether a field of a part is walked through on its own.
pub(super) fn is_walked(part: Part, signal: Signal, number: u32) -> bool {
    match part {
        Part::ResourceEntry | Part::ScopeEntry => matches!(number, 1 | 2),
        Part::Metric => DataKind::of_number(number).is_some(),
        Part::Data => number == 1,
        Part::Item => signal == Signal::Traces && number == 11,
        Part::Resource | Part::Scope | Part::Event => false,
    }
}

/// Calls `each` with the bytes, the number and the value of every field.
pub(super) fn each_field<'m>(message: &'m [u8], mut each: impl FnMut(&'m [u8], u32, FieldValue<'m>)) {
    let mut fields = Fields::new(message);
    let mut at = 0;
    while let Some((number, value)) = fields.next() {
        each(message.get(at..fields.position()).unwrap_or_default(), number, value);
        at = fields.position();
    }
}

/// Copies the fields for which `skip` says no.
pub(super) fn copy_without(message: &[u8], out: &mut Vec<u8>, skip: impl Fn(u32) -> bool) {
    each_field(message, |encoded, number, _| {
        if !skip(number) {
            out.extend_from_slice(encoded);
        }
    });
}

fn is_attributes(field: &schema::Field) -> bool {
    field.rule == Rule::Repeated
        && matches!(field.kind, Kind::Message(message) if std::ptr::eq(message, &schema::KEY_VALUE))
}

fn is_any_value(kind: Kind) -> bool {
    matches!(kind, Kind::Message(message) if std::ptr::eq(message, &schema::ANY_VALUE))
}

fn read<'m>(schema: &Message, message: &'m [u8], number: u32) -> AnyValueView<'m> {
    let Some((_, field)) = schema.field(u64::from(number)) else { return AnyValueView::Empty };
    if is_attributes(field) {
        return AnyValueView::KeyValues(KeyValues::new(message, number));
    }
    if field.rule == Rule::Repeated {
        return AnyValueView::Empty;
    }
    let value = Fields::new(message).find(|(other, _)| *other == number).map(|(_, value)| value);
    let Some(value) = value else {
        return if matches!(field.rule, Rule::Oneof | Rule::Optional) {
            AnyValueView::Empty
        } else {
            zero(field.kind)
        };
    };
    match field.kind {
        Kind::Text => AnyValueView::String(value.text()),
        Kind::Bytes | Kind::Id(_) => AnyValueView::Bytes(value.bytes()),
        Kind::Bool => AnyValueView::Bool(value.number() != 0),
        Kind::Double => AnyValueView::Double(value.double()),
        Kind::Sint32 => AnyValueView::Int(i64::from(zigzag32(value.number()))),
        Kind::Int32 | Kind::Enum(_) => AnyValueView::Int(i64::from(value.number() as i32)),
        Kind::Uint32 | Kind::Uint64 | Kind::Int64 | Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed64 => {
            AnyValueView::Int(value.number() as i64)
        }
        Kind::Message(_) if is_any_value(field.kind) => AnyValueView::parse(value.bytes()),
        Kind::Message(_) => AnyValueView::Empty,
    }
}

fn zero(kind: Kind) -> AnyValueView<'static> {
    match kind {
        Kind::Text => AnyValueView::String(""),
        Kind::Bytes | Kind::Id(_) => AnyValueView::Bytes(&[]),
        Kind::Bool => AnyValueView::Bool(false),
        Kind::Double => AnyValueView::Double(0.0),
        Kind::Message(_) => AnyValueView::Empty,
        _ => AnyValueView::Int(0),
    }
}

/// Copies a message with one field set anew; `false` if the value is not of its type.
fn write(schema: &Message, message: &[u8], out: &mut Vec<u8>, number: u32, value: &Value) -> bool {
    let Some((_, field)) = schema.field(u64::from(number)) else { return false };
    let oneof = |other: u32| {
        let other = schema.field(u64::from(other));
        field.rule == Rule::Oneof && other.is_some_and(|(_, other)| other.rule == Rule::Oneof)
    };
    copy_without(message, out, |other| other == number || oneof(other));
    if is_attributes(field) {
        let Value::KeyValues(pairs) = value else { return false };
        pairs.iter().for_each(|(key, value)| put_pair(out, number, key, value));
        return true;
    }
    if field.rule == Rule::Repeated {
        return false;
    }
    put_value(out, field, value)
}

fn put_value(out: &mut Vec<u8>, field: &schema::Field, value: &Value) -> bool {
    let number = field.number;
    match (field.kind, value) {
        (kind, value) if is_any_value(kind) => put_message(out, number, |out| value.put_body(out)),
        (Kind::Message(_), _) => return false,
        (_, Value::Empty) => {}
        (Kind::Text, Value::String(text)) => put_bytes(out, number, text.as_bytes()),
        (Kind::Bytes, Value::Bytes(bytes)) => put_bytes(out, number, bytes),
        (Kind::Id(len), Value::Bytes(bytes)) if bytes.is_empty() || bytes.len() == len => {
            put_bytes(out, number, bytes);
        }
        (Kind::Bool, Value::Bool(value)) => put_uint(out, number, u64::from(*value)),
        (Kind::Double, Value::Double(value)) => put_fixed64(out, number, value.to_bits()),
        (kind, Value::Int(value)) => return put_int(out, number, kind, *value),
        _ => return false,
    }
    true
}

pub(super) fn put_int(out: &mut Vec<u8>, number: u32, kind: Kind, value: i64) -> bool {
    match kind {
        Kind::Fixed64 | Kind::Sfixed64 => put_fixed64(out, number, value as u64),
        Kind::Fixed32 => put_fixed32(out, number, value as u32),
        Kind::Int64 | Kind::Uint64 => put_uint(out, number, value as u64),
        Kind::Uint32 => put_uint(out, number, u64::from(value as u32)),
        Kind::Int32 | Kind::Enum(_) => {
            put_tag(out, number, WireType::Varint);
            put_varint(out, i64::from(value as i32) as u64);
        }
        Kind::Sint32 => put_uint(out, number, zigzag32_encode(value as i32)),
        _ => return false,
    }
    true
}
