//! Which field of which message.

use crate::Signal;
use crate::schema::{self, Message};

/// The messages that a place consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// A `ResourceMetrics`, `ResourceLogs` or `ResourceSpans`: the schema URL of the resource.
    ResourceEntry,
    /// A `Resource`.
    Resource,
    /// A `ScopeMetrics`, `ScopeLogs` or `ScopeSpans`: the schema URL of the scope.
    ScopeEntry,
    /// An `InstrumentationScope`.
    Scope,
    /// A `Metric`.
    Metric,
    /// A `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram` or `Summary`.
    Data,
    /// A data point, a `LogRecord` or a `Span`.
    Item,
    /// An event of a span.
    Event,
}

/// A field of a part, by its proto name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub(super) part: Part,
    /// The number of the field by kind of data; 0 where the message does not have it.
    pub(super) numbers: [u32; DATA_KINDS],
    /// The number within the message that the field is; 0 if the field is meant itself.
    pub(super) inner: u32,
}

/// How many kinds of data metrics have.
pub(super) const DATA_KINDS: usize = 5;

impl Part {
    /// How many parts there are.
    pub(super) const COUNT: usize = 8;

    /// What describes this part; nothing if the signal does not have it.
    pub(super) fn schema(self, signal: Signal, kind: usize) -> Option<&'static Message> {
        let entry = schema::request(signal).message(1)?;
        let scope_entry = entry.message(2)?;
        Some(match (self, signal) {
            (Self::ResourceEntry, _) => entry,
            (Self::Resource, _) => entry.message(1)?,
            (Self::ScopeEntry, _) => scope_entry,
            (Self::Scope, _) => scope_entry.message(1)?,
            (Self::Metric, Signal::Metrics) => scope_entry.message(2)?,
            (Self::Data, Signal::Metrics) => {
                scope_entry.message(2)?.message(DATA_NUMBERS.get(kind).copied()?)?
            }
            (Self::Item, Signal::Metrics) => Self::Data.schema(signal, kind)?.message(1)?,
            (Self::Item, _) => scope_entry.message(2)?,
            (Self::Event, Signal::Traces) => scope_entry.message(2)?.message(11)?,
            (Self::Metric | Self::Data | Self::Event, _) => return None,
        })
    }
}

/// The field numbers of the kinds of data in a metric, in the order of [`DataKind`](super::DataKind).
pub(super) const DATA_NUMBERS: [u32; DATA_KINDS] = [5, 7, 9, 10, 11];

impl Field {
    /// The field `name`, as the proto files call it, of `part` in batches of `signal`. Of data points and data, a field that
    /// some kind has.
    pub fn of(signal: Signal, part: Part, name: &str) -> Option<Field> {
        let numbers = std::array::from_fn(|kind| {
            let field = part.schema(signal, kind).and_then(|message| message.field_named(name));
            field.map_or(0, |(_, field)| field.number)
        });
        (numbers != [0; DATA_KINDS]).then_some(Field { part, numbers, inner: 0 })
    }

    /// The field `inner` of the message that is the field `name`: `status` and `code`.
    pub fn within(signal: Signal, part: Part, name: &str, inner: &str) -> Option<Field> {
        let field = Self::of(signal, part, name)?;
        let (_, inner) = part.schema(signal, 0)?.message(*field.numbers.first()?)?.field_named(inner)?;
        Some(Field { inner: inner.number, ..field })
    }

    /// The part that has the field.
    pub fn part(&self) -> Part {
        self.part
    }
}
