//! The points of a metric, whatever their kind.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

/// The attributes of a point.
pub(crate) type Labels = Vec<KeyValue>;

/// How many points a metric has.
pub(crate) fn count(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

/// Whether `test` says yes to the labels of any point.
pub(crate) fn any(metric: &Metric, mut test: impl FnMut(&Labels) -> bool) -> bool {
    match &metric.data {
        None => false,
        Some(Data::Gauge(data)) => data.data_points.iter().any(|point| test(&point.attributes)),
        Some(Data::Sum(data)) => data.data_points.iter().any(|point| test(&point.attributes)),
        Some(Data::Histogram(data)) => data.data_points.iter().any(|point| test(&point.attributes)),
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter().any(|point| test(&point.attributes))
        }
        Some(Data::Summary(data)) => data.data_points.iter().any(|point| test(&point.attributes)),
    }
}

/// Lets `edit` change the labels of every point.
pub(crate) fn for_each(metric: &mut Metric, mut edit: impl FnMut(&mut Labels)) {
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(data)) => data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes)),
        Some(Data::Sum(data)) => data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes)),
        Some(Data::Histogram(data)) => {
            data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes))
        }
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes));
        }
        Some(Data::Summary(data)) => {
            data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes))
        }
    }
}

/// Removes the points for whose labels `keep` says no.
pub(crate) fn retain(metric: &mut Metric, mut keep: impl FnMut(&Labels) -> bool) {
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(data)) => data.data_points.retain(|point| keep(&point.attributes)),
        Some(Data::Sum(data)) => data.data_points.retain(|point| keep(&point.attributes)),
        Some(Data::Histogram(data)) => data.data_points.retain(|point| keep(&point.attributes)),
        Some(Data::ExponentialHistogram(data)) => data.data_points.retain(|point| keep(&point.attributes)),
        Some(Data::Summary(data)) => data.data_points.retain(|point| keep(&point.attributes)),
    }
}

/// The text of a label: empty for one that is missing or no string.
pub(crate) fn text<'l>(labels: &'l Labels, label: &str) -> &'l str {
    match labels.iter().find(|pair| pair.key == label).and_then(|pair| pair.value.as_ref()?.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        _ => "",
    }
}

/// Whether there is a label of this name.
pub(crate) fn has(labels: &Labels, label: &str) -> bool {
    labels.iter().any(|pair| pair.key == label)
}

/// A string as a value.
pub(crate) fn value(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) })
}

/// Sets a label to a string, whether or not it is there.
pub(crate) fn set(labels: &mut Labels, label: &str, text: &str) {
    match labels.iter_mut().find(|pair| pair.key == label) {
        Some(pair) => pair.value = value(text),
        None => labels.push(KeyValue { key: label.to_owned(), value: value(text), ..KeyValue::default() }),
    }
}
