//! What data points have beside numbers: buckets as lists of numbers, quantiles and exemplars as lists of maps.

use pdata::Value;
use pdata::metrics::{BucketsView, ExemplarView, Number};
use pdata::rewrite::{Change, Field, Part, Place, Point};

use crate::path::Root;

/// What a path to them leads to; nothing for points of other kinds.
pub(crate) fn get(root: Root, place: &Place<'_>) -> Value {
    let ints = |counts: &mut dyn Iterator<Item = u64>| {
        Value::Array(counts.map(|count| Value::Int(count as i64)).collect())
    };
    match (root, place.point()) {
        (Root::BucketCounts(_), Some(Point::Histogram(point))) => ints(&mut point.bucket_counts()),
        (Root::Bounds(_), Some(Point::Histogram(point))) => {
            Value::Array(point.explicit_bounds().map(Value::Double).collect())
        }
        (Root::Offset(_, negative), point) => match exponential(point, negative) {
            Some(buckets) => Value::Int(i64::from(buckets.offset)),
            None => Value::Empty,
        },
        (Root::ExponentialCounts(_, negative), point) => match exponential(point, negative) {
            Some(buckets) => ints(&mut buckets.bucket_counts()),
            None => Value::Empty,
        },
        (Root::Quantiles, Some(Point::Summary(point))) => {
            let pair = |quantile, value| {
                map([("quantile", Value::Double(quantile)), ("value", Value::Double(value))])
            };
            Value::Array(point.quantile_values().map(|at| pair(at.quantile, at.value)).collect())
        }
        (Root::Exemplars, Some(point)) => Value::Array(match point {
            Point::Number(point) => point.exemplars().map(exemplar).collect(),
            Point::Histogram(point) => point.exemplars().map(exemplar).collect(),
            Point::ExponentialHistogram(point) => point.exemplars().map(exemplar).collect(),
            Point::Summary(_) => return Value::Empty,
        }),
        _ => Value::Empty,
    }
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::KeyValues(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// An exemplar under the names of the proto fields, its value under `value`.
fn exemplar(exemplar: ExemplarView<'_>) -> Value {
    let attributes = exemplar.filtered_attributes();
    let attributes = attributes.map(|pair| (pair.key.to_owned(), Value::from(pair.value))).collect();
    map([
        ("time_unix_nano", Value::Int(exemplar.time_unix_nano.cast_signed())),
        (
            "value",
            match exemplar.value {
                Some(Number::Int(value)) => Value::Int(value),
                Some(Number::Double(value)) => Value::Double(value),
                None => Value::Empty,
            },
        ),
        ("trace_id", Value::Bytes(exemplar.trace_id.to_vec())),
        ("span_id", Value::Bytes(exemplar.span_id.to_vec())),
        ("filtered_attributes", Value::KeyValues(attributes)),
    ])
}

/// Sets what a path to buckets leads to. A value of a type that cannot stand there is ignored, as upstream does.
pub(crate) fn set(root: Root, place: &mut Place<'_>, value: &Value) {
    match root {
        Root::BucketCounts(field) => {
            if let Some(counts) = counts(value) {
                place.change(Part::Item, &[(field, Change::Counts(&counts))]);
            }
        }
        Root::Bounds(field) => {
            if let Some(bounds) = bounds(value) {
                place.change(Part::Item, &[(field, Change::Bounds(&bounds))]);
            }
        }
        Root::Offset(field, negative) => {
            let now = exponential(place.point(), negative).map(|buckets| buckets.bucket_counts().collect());
            let offset = match value {
                Value::Int(offset) => i32::try_from(*offset).ok(),
                _ => None,
            };
            set_exponential(place, field, offset, now);
        }
        Root::ExponentialCounts(field, negative) => {
            let now = exponential(place.point(), negative).map(|buckets| buckets.offset);
            set_exponential(place, field, now, counts(value));
        }
        _ => {}
    }
}

fn exponential(point: Option<Point<'_>>, negative: bool) -> Option<BucketsView<'_>> {
    match point {
        Some(Point::ExponentialHistogram(point)) => {
            Some(if negative { point.negative } else { point.positive })
        }
        _ => None,
    }
}

fn set_exponential(place: &mut Place<'_>, field: Field, offset: Option<i32>, counts: Option<Vec<u64>>) {
    if let (Some(offset), Some(counts)) = (offset, counts) {
        place.change(Part::Item, &[(field, Change::Buckets { offset, counts: &counts })]);
    }
}

/// The counts in a list of integers.
fn counts(value: &Value) -> Option<Vec<u64>> {
    let Value::Array(values) = value else { return None };
    let count = |value: &Value| match value {
        Value::Int(count) => u64::try_from(*count).ok(),
        _ => None,
    };
    values.iter().map(count).collect()
}

/// The bounds in a list of numbers.
fn bounds(value: &Value) -> Option<Vec<f64>> {
    let Value::Array(values) = value else { return None };
    let bound = |value: &Value| match value {
        Value::Double(bound) => Some(*bound),
        Value::Int(bound) => Some(*bound as f64),
        _ => None,
    };
    values.iter().map(bound).collect()
}
