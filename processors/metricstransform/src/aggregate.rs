//! Points with the same labels and time become one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, NumberDataPoint};
use prost::Message;

use crate::merge;
use crate::points::Labels;

/// How numbers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregation {
    Sum,
    Mean,
    Min,
    Max,
    Median,
    Count,
}

impl Aggregation {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sum" => Self::Sum,
            "mean" => Self::Mean,
            "min" => Self::Min,
            "max" => Self::Max,
            "median" => Self::Median,
            "count" => Self::Count,
            _ => return None,
        })
    }
}

/// Merges the points of a metric. Histograms are always added up; summaries cannot be merged and go.
pub(crate) fn merge(metric: &mut Metric, aggregation: Aggregation) {
    let delta = AggregationTemporality::Delta as i32;
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(data)) => merge_numbers(&mut data.data_points, aggregation, false),
        Some(Data::Sum(data)) => {
            merge_numbers(&mut data.data_points, aggregation, data.aggregation_temporality == delta);
        }
        Some(Data::Histogram(data)) => {
            let delta = data.aggregation_temporality == delta;
            let key = |point: &merge::Histogram| merge::histogram_key(point, delta);
            data.data_points = groups(std::mem::take(&mut data.data_points), key)
                .into_iter()
                .filter_map(|group| group.into_iter().reduce(merge::add_histograms))
                .collect();
        }
        Some(Data::ExponentialHistogram(data)) => {
            let delta = data.aggregation_temporality == delta;
            let key = |point: &merge::Exponential| merge::exponential_key(point, delta);
            data.data_points = groups(std::mem::take(&mut data.data_points), key)
                .into_iter()
                .filter_map(|group| group.into_iter().reduce(merge::add_exponential))
                .collect();
        }
        Some(Data::Summary(data)) => data.data_points.clear(),
    }
}

fn merge_numbers(points: &mut Vec<NumberDataPoint>, aggregation: Aggregation, delta: bool) {
    let key = |point: &NumberDataPoint| {
        identity(&point.attributes, point.time_unix_nano, delta.then_some(point.start_time_unix_nano))
    };
    let groups = groups(std::mem::take(points), key);
    *points = groups.into_iter().filter_map(|group| merge_group(group, aggregation)).collect();
}

fn merge_group(group: Vec<NumberDataPoint>, aggregation: Aggregation) -> Option<NumberDataPoint> {
    if group.len() == 1 {
        return group.into_iter().next();
    }
    let values: Vec<Value> = group.iter().filter_map(|point| point.value).collect();
    let start = group.iter().map(|point| point.start_time_unix_nano).min()?;
    let mut merged = group.into_iter().reduce(|mut merged, point| {
        merged.exemplars.extend(point.exemplars);
        merged
    })?;
    merged.start_time_unix_nano = start;
    merged.value = aggregate(&values, aggregation);
    Some(merged)
}

fn double(value: &Value) -> f64 {
    match value {
        Value::AsInt(value) => *value as f64,
        Value::AsDouble(value) => *value,
    }
}

/// The first value decides whether the result is an integer; sums and means of integers pass over floats then.
fn aggregate(values: &[Value], aggregation: Aggregation) -> Option<Value> {
    let is_int = matches!(values.first()?, Value::AsInt(_));
    let ints = || {
        values.iter().filter_map(|value| if let Value::AsInt(value) = value { Some(*value) } else { None })
    };
    let int_sum = || ints().fold(0i64, i64::wrapping_add);
    let sum = || values.iter().map(double).sum::<f64>();
    let least = |first: &Value, second: &Value| double(first).total_cmp(&double(second));
    Some(match aggregation {
        Aggregation::Sum if is_int => Value::AsInt(int_sum()),
        Aggregation::Sum => Value::AsDouble(sum()),
        Aggregation::Mean if is_int => Value::AsInt(int_sum() / values.len() as i64),
        Aggregation::Mean => Value::AsDouble(sum() / values.len() as f64),
        Aggregation::Min => *values.iter().min_by(|first, second| least(first, second))?,
        Aggregation::Max => *values.iter().max_by(|first, second| least(first, second))?,
        Aggregation::Count => Value::AsInt(values.len() as i64),
        Aggregation::Median => {
            let mut sorted: Vec<f64> = values.iter().map(double).collect();
            sorted.sort_by(f64::total_cmp);
            let upper = *sorted.get(sorted.len() / 2)?;
            let lower = *sorted.get((sorted.len() - 1) / 2)?;
            let median = (lower + upper) / 2.0;
            if is_int { Value::AsInt(median as i64) } else { Value::AsDouble(median) }
        }
    })
}

/// What makes points one: the labels in any order, and the times.
pub(crate) fn identity(labels: &Labels, time: u64, start: Option<u64>) -> Vec<u8> {
    let mut pairs: Vec<Vec<u8>> = labels.iter().map(Message::encode_length_delimited_to_vec).collect();
    pairs.sort();
    let mut key = pairs.concat();
    key.extend_from_slice(&time.to_le_bytes());
    key.extend_from_slice(&start.unwrap_or_default().to_le_bytes());
    key
}

/// Points that belong together, in the order of their first.
fn groups<P>(points: Vec<P>, key: impl Fn(&P) -> Vec<u8>) -> Vec<Vec<P>> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut groups: Vec<Vec<P>> = Vec::new();
    for point in points {
        match places.entry(key(&point)) {
            Entry::Vacant(place) => {
                place.insert(groups.len());
                groups.push(vec![point]);
            }
            Entry::Occupied(place) => {
                if let Some(group) = groups.get_mut(*place.get()) {
                    group.push(point);
                }
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_one() {
        let check = |values: &[Value], expected: [Value; 6]| {
            let all = ["sum", "mean", "min", "max", "median", "count"]
                .map(|name| Aggregation::named(name).unwrap());
            assert_eq!(
                all.map(|aggregation| aggregate(values, aggregation).unwrap()),
                expected,
                "{values:?}"
            );
        };
        use Value::{AsDouble as D, AsInt as I};
        check(&[I(1), I(2), I(4)], [I(7), I(2), I(1), I(4), I(2), I(3)]);
        check(&[I(1), I(4)], [I(5), I(2), I(1), I(4), I(2), I(2)]);
        check(&[D(1.0), D(4.0)], [D(5.0), D(2.5), D(1.0), D(4.0), D(2.5), I(2)]);
        check(&[I(1), D(8.0)], [I(1), I(0), I(1), D(8.0), I(4), I(2)]);
        check(&[D(1.0), I(8)], [D(9.0), D(4.5), D(1.0), I(8), D(4.5), I(2)]);
        assert_eq!(aggregate(&[], Aggregation::Sum), None);
    }
}
