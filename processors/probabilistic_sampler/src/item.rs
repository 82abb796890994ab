//! What spans and log records say about sampling, and where it is written.

use helper::text::value_text;
use pdata::rewrite::{Field, Part, Place};
use pdata::{AnyValueView, Signal, Value};

use crate::threshold::{Randomness, Threshold, ValueError};
use crate::tracestate::TraceState;

/// The attribute of spans that forces a decision.
const SPAN_PRIORITY: &str = "sampling.priority";
/// The attributes of log records that stand for what the trace state says of spans.
const RECORD_THRESHOLD: &str = "sampling.threshold";
const RECORD_RANDOMNESS: &str = "sampling.randomness";

/// The fields of items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    pub(crate) trace_id: Field,
    pub(crate) attributes: Field,
    /// Of spans.
    pub(crate) trace_state: Option<Field>,
}

/// What an item says about sampling, to be read and set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Carrier {
    pub(crate) randomness: Option<Randomness>,
    pub(crate) threshold: Option<Threshold>,
}

/// What `sampling.priority` of a span forces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    Defer,
    Keep,
    Drop,
}

impl Fields {
    pub(crate) fn new(signal: Signal) -> Option<Self> {
        Some(Self {
            trace_id: Field::of(signal, Part::Item, "trace_id")?,
            attributes: Field::of(signal, Part::Item, "attributes")?,
            trace_state: Field::of(signal, Part::Item, "trace_state"),
        })
    }

    /// The trace id; nothing if there is none.
    pub(crate) fn trace_id<'p>(&self, place: &'p Place<'_>) -> Option<&'p [u8]> {
        match place.get(self.trace_id) {
            AnyValueView::Bytes(id) if id.iter().any(|byte| *byte != 0) => Some(id),
            _ => None,
        }
    }

    /// What an item says about sampling.
    pub(crate) fn carrier(&self, place: &Place<'_>) -> Result<Carrier, ValueError> {
        if let Some(field) = self.trace_state {
            let state = TraceState::parse(place.get(field).as_str().unwrap_or_default())?;
            let (randomness, threshold) = (state.randomness, state.threshold);
            return Ok(Carrier {
                randomness: randomness.map(|(_, randomness)| randomness),
                threshold: threshold.map(|(_, threshold)| threshold),
            });
        }
        let mut carrier = Carrier::default();
        let mut fault = None;
        for pair in place.attributes(self.attributes) {
            let Some(text) = pair.value.as_str().filter(|text| !text.is_empty()) else { continue };
            let parsed = match pair.key {
                RECORD_THRESHOLD => Threshold::parse(text).map(|value| carrier.threshold = Some(value)),
                RECORD_RANDOMNESS => Randomness::parse(text).map(|value| carrier.randomness = Some(value)),
                _ => Ok(()),
            };
            fault = fault.or(parsed.err());
        }
        fault.map_or(Ok(carrier), Err)
    }

    /// Writes what is said about sampling: `after`, where `before` is there. Without `threshold`, that stays as it was written.
    pub(crate) fn write(&self, place: &mut Place<'_>, before: &Carrier, after: &Carrier, threshold: bool) {
        let randomness = after.randomness.filter(|_| before.randomness != after.randomness);
        if let Some(field) = self.trace_state {
            let now = place.get(field).as_str().unwrap_or_default();
            let Ok(mut state) = TraceState::parse(now) else { return };
            if let Some(randomness) = randomness {
                state.randomness = Some((randomness.text(), randomness));
            }
            if threshold {
                state.threshold = after.threshold.map(|threshold| (threshold.text(), threshold));
            }
            let text = state.text();
            if text != now {
                place.set(field, &Value::String(text));
            }
            return;
        }
        if let Some(randomness) = randomness {
            place.set_attribute(self.attributes, RECORD_RANDOMNESS, randomness.text());
        }
        if let Some(after) = after.threshold.filter(|_| threshold) {
            place.set_attribute(self.attributes, RECORD_THRESHOLD, after.text());
        }
    }

    /// The bytes of an attribute that randomness is made of: its own, or those of its text.
    pub(crate) fn hashed<T>(&self, place: &Place<'_>, key: &str, hash: impl Fn(&[u8]) -> T) -> Option<T> {
        let value = place.attributes(self.attributes).get(key)?;
        let hashed = |bytes: &[u8]| (!bytes.is_empty()).then(|| hash(bytes));
        match value {
            AnyValueView::Bytes(bytes) => hashed(bytes),
            AnyValueView::String(text) => hashed(text.as_bytes()),
            other => hashed(value_text(other).as_bytes()),
        }
    }

    /// What a span's priority forces: 0 drops it, more keeps it.
    pub(crate) fn span_priority(&self, place: &Place<'_>) -> Priority {
        let number = match place.attributes(self.attributes).get(SPAN_PRIORITY) {
            Some(AnyValueView::Int(number)) => number as f64,
            Some(AnyValueView::Double(number)) => number,
            Some(AnyValueView::String(text)) => text.parse().unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        if number == 0.0 {
            Priority::Drop
        } else if number > 0.0 {
            Priority::Keep
        } else {
            Priority::Defer
        }
    }

    /// The share of a log record's own, where its attribute `key` is a number but 0 that is one in percent.
    pub(crate) fn record_priority(
        &self,
        place: &Place<'_>,
        key: &str,
        precision: usize,
    ) -> Option<Threshold> {
        let percent = match place.attributes(self.attributes).get(key)? {
            AnyValueView::Int(number) => number as f64,
            AnyValueView::Double(number) => number,
            _ => return None,
        };
        Threshold::of(percent / 100.0, precision)
    }
}
