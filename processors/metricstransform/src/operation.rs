//! What is done to one metric.

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, exemplar,
};

use crate::aggregate::{self, Aggregation};
use crate::points::{self, Labels};

#[derive(Debug)]
pub(crate) enum Operation {
    AddLabel {
        label: String,
        value: String,
    },
    /// The label gets another name, unless `new_label` is empty, and its values become others.
    UpdateLabel {
        label: String,
        new_label: String,
        values: Vec<(String, String)>,
    },
    /// Points with this value of the label go.
    DeleteLabelValue {
        label: String,
        value: String,
    },
    ToggleScalarDataType,
    ScaleValue(f64),
    /// Only these labels stay, and points that become alike are one.
    AggregateLabels {
        kept: Vec<String>,
        aggregation: Aggregation,
    },
    /// These values of a label become one, and points that become alike are one.
    AggregateLabelValues {
        label: String,
        values: Vec<String>,
        new_value: String,
        aggregation: Aggregation,
    },
}

impl Operation {
    /// Whether it is done to the points that match, not to metrics of which all points match.
    pub(crate) fn is_per_point(&self) -> bool {
        matches!(self, Self::UpdateLabel { .. } | Self::ToggleScalarDataType | Self::ScaleValue(_))
    }

    pub(crate) fn run(&self, metric: &mut Metric, concerns: &dyn Fn(&Labels) -> bool) {
        match self {
            Self::AddLabel { label, value } => points::for_each(metric, |labels| {
                if !points::has(labels, label) {
                    points::set(labels, label, value);
                }
            }),
            Self::UpdateLabel { label, new_label, values } => points::for_each(metric, |labels| {
                if concerns(labels) {
                    update(labels, label, new_label, values);
                }
            }),
            Self::DeleteLabelValue { label, value } => {
                points::retain(metric, |labels| {
                    !points::has(labels, label) || !is_text(labels, label, value)
                });
            }
            Self::ToggleScalarDataType => numbers(metric, concerns, |point| {
                point.value = point.value.map(|value| match value {
                    Value::AsInt(value) => Value::AsDouble(value as f64),
                    Value::AsDouble(value) => Value::AsInt(value as i64),
                });
            }),
            Self::ScaleValue(factor) => scale(metric, *factor, concerns),
            Self::AggregateLabels { kept, aggregation } => {
                points::for_each(metric, |labels| labels.retain(|pair| kept.contains(&pair.key)));
                aggregate::merge(metric, *aggregation);
            }
            Self::AggregateLabelValues { label, values, new_value, aggregation } => {
                points::for_each(metric, |labels| {
                    if points::has(labels, label) && values.iter().any(|value| is_text(labels, label, value))
                    {
                        points::set(labels, label, new_value);
                    }
                });
                aggregate::merge(metric, *aggregation);
            }
        }
    }
}

/// Whether a label is the string `text`; other types are never.
fn is_text(labels: &Labels, label: &str, text: &str) -> bool {
    let wanted = points::value(text);
    labels.iter().any(|pair| pair.key == label && pair.value == wanted)
}

fn update(labels: &mut Labels, label: &str, new_label: &str, values: &[(String, String)]) {
    let Some(position) = labels.iter().position(|pair| pair.key == label) else { return };
    let mut name = label;
    if !new_label.is_empty() && new_label != label {
        let mut pair = labels.remove(position);
        labels.retain(|pair| pair.key != new_label);
        pair.key = new_label.to_owned();
        labels.insert(position.min(labels.len()), pair);
        name = new_label;
    }
    let new = values.iter().find(|(old, _)| is_text(labels, name, old)).map(|(_, new)| new);
    if let Some(new) = new {
        points::set(labels, name, new);
    }
}

fn numbers(metric: &mut Metric, concerns: &dyn Fn(&Labels) -> bool, edit: impl FnMut(&mut NumberDataPoint)) {
    let points = match &mut metric.data {
        Some(Data::Gauge(gauge)) => &mut gauge.data_points,
        Some(Data::Sum(sum)) => &mut sum.data_points,
        _ => return,
    };
    points.iter_mut().filter(|point| concerns(&point.attributes)).for_each(edit);
}

fn scale(metric: &mut Metric, factor: f64, concerns: &dyn Fn(&Labels) -> bool) {
    match &mut metric.data {
        Some(Data::Histogram(histogram)) => {
            let points = histogram.data_points.iter_mut();
            points
                .filter(|point| concerns(&point.attributes))
                .for_each(|point| scale_histogram(point, factor));
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            let points = histogram.data_points.iter_mut();
            points
                .filter(|point| concerns(&point.attributes))
                .for_each(|point| scale_exponential(point, factor));
        }
        _ => numbers(metric, concerns, |point| {
            point.value = point.value.map(|value| match value {
                Value::AsInt(value) => Value::AsInt((value as f64 * factor) as i64),
                Value::AsDouble(value) => Value::AsDouble(value * factor),
            });
        }),
    }
}

fn scale_histogram(point: &mut HistogramDataPoint, factor: f64) {
    let scaled = [&mut point.sum, &mut point.min, &mut point.max].into_iter().flatten();
    scaled.chain(&mut point.explicit_bounds).for_each(|value| *value *= factor);
    scale_exemplars(&mut point.exemplars, factor);
}

/// A factor moves the buckets by as many as lie between it and one.
fn scale_exponential(point: &mut ExponentialHistogramDataPoint, factor: f64) {
    [&mut point.sum, &mut point.min, &mut point.max].into_iter().flatten().for_each(|value| *value *= factor);
    point.zero_threshold *= factor;
    let shift = (factor.log2() * f64::from(point.scale).exp2()).round() as i32;
    let buckets: [&mut Option<Buckets>; 2] = [&mut point.positive, &mut point.negative];
    buckets.into_iter().flatten().for_each(|buckets| buckets.offset = buckets.offset.saturating_add(shift));
    scale_exemplars(&mut point.exemplars, factor);
}

fn scale_exemplars(exemplars: &mut [Exemplar], factor: f64) {
    for exemplar in exemplars {
        exemplar.value = exemplar.value.map(|value| match value {
            exemplar::Value::AsInt(value) => exemplar::Value::AsInt((value as f64 * factor) as i64),
            exemplar::Value::AsDouble(value) => exemplar::Value::AsDouble(value * factor),
        });
    }
}
