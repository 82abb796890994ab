//! The data point of a place as a whole: its view, and changes of several fields in one pass.

use smallvec::SmallVec;

use super::place::{DataKind, Place, copy_without, put_int};
use super::{Field, Part};
use crate::metrics::{
    ExponentialHistogramDataPointView, HistogramDataPointView, NumberDataPointView, SummaryDataPointView,
};
use crate::schema::{self, Kind, Message, Rule};
use crate::wire::{put_fixed64, put_message, put_uint, put_varint, zigzag32_encode};

/// A data point by its kind.
#[derive(Debug, Clone, Copy)]
pub enum Point<'p> {
    /// Of a gauge or sum.
    Number(NumberDataPointView<'p>),
    /// Of a histogram.
    Histogram(HistogramDataPointView<'p>),
    /// Of an exponential histogram.
    ExponentialHistogram(ExponentialHistogramDataPointView<'p>),
    /// Of a summary.
    Summary(SummaryDataPointView<'p>),
}

/// What becomes of one field.
#[derive(Debug, Clone, Copy)]
pub enum Change<'c> {
    /// It is not set.
    Clear,
    /// A number, which must be one of the integer types.
    Int(i64),
    /// A 64-bit float.
    Double(f64),
    /// The counts of a histogram's buckets.
    Counts(&'c [u64]),
    /// The bounds of a histogram's buckets.
    Bounds(&'c [f64]),
    /// The buckets of an exponential histogram.
    Buckets {
        /// The index of the first.
        offset: i32,
        /// Their counts.
        counts: &'c [u64],
    },
}

impl Place<'_> {
    /// The data point as it is now; nothing in other signals.
    pub fn point(&self) -> Option<Point<'_>> {
        let message = self.message(Part::Item);
        Some(match self.data_kind()? {
            DataKind::Gauge | DataKind::Sum => Point::Number(NumberDataPointView::parse(message)),
            DataKind::Histogram => Point::Histogram(HistogramDataPointView::parse(message)),
            DataKind::ExponentialHistogram => {
                Point::ExponentialHistogram(ExponentialHistogramDataPointView::parse(message))
            }
            DataKind::Summary => Point::Summary(SummaryDataPointView::parse(message)),
        })
    }

    /// Changes several fields of a part in one pass. `false` if the message does not have one of them, or a change is not of
    /// its type; nothing changes then.
    pub fn change(&mut self, part: Part, changes: &[(Field, Change<'_>)]) -> bool {
        let Some(schema) = self.schema(part) else { return false };
        let number = |field: &Field| if field.part() == part { self.number(*field) } else { 0 };
        let numbers: SmallVec<[u32; 8]> = changes.iter().map(|(field, _)| number(field)).collect();
        let is_oneof = |number: u32| rule(schema, number) == Some(Rule::Oneof);
        let oneof = numbers.iter().any(|number| is_oneof(*number));
        self.edit(part, |message, out| {
            copy_without(message, out, |other| numbers.contains(&other) || (oneof && is_oneof(other)));
            numbers.iter().zip(changes).all(|(number, (_, change))| put(schema, out, *number, change))
        })
    }
}

fn rule(schema: &Message, number: u32) -> Option<Rule> {
    schema.field(u64::from(number)).map(|(_, field)| field.rule)
}

fn put(schema: &Message, out: &mut Vec<u8>, number: u32, change: &Change<'_>) -> bool {
    let Some((_, field)) = schema.field(u64::from(number)) else { return false };
    let repeated = field.rule == Rule::Repeated;
    match (field.kind, *change) {
        (_, Change::Clear) => {}
        (Kind::Double, Change::Double(value)) if !repeated => put_fixed64(out, number, value.to_bits()),
        (kind, Change::Int(value)) if !repeated => return put_int(out, number, kind, value),
        (Kind::Fixed64, Change::Counts(counts)) if repeated => {
            if !counts.is_empty() {
                put_message(out, number, |out| {
                    counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
                });
            }
        }
        (Kind::Double, Change::Bounds(bounds)) if repeated => {
            if !bounds.is_empty() {
                put_message(out, number, |out| {
                    bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
                });
            }
        }
        (Kind::Message(message), Change::Buckets { offset, counts })
            if std::ptr::eq(message, &schema::BUCKETS) =>
        {
            put_message(out, number, |out| {
                if offset != 0 {
                    put_uint(out, 1, zigzag32_encode(offset));
                }
                if !counts.is_empty() {
                    put_message(out, 2, |out| counts.iter().for_each(|count| put_varint(out, *count)));
                }
            });
        }
        _ => return false,
    }
    true
}
