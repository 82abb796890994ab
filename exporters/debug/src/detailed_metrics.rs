//! The metrics of verbosity `detailed`.

use pdata::KeyValues;
use pdata::metrics::{
    Data, ExemplarView, ExponentialHistogramDataPointView, HistogramDataPointView, MetricView,
    NumberDataPointView, SummaryDataPointView,
};

use crate::detailed::Lines;
use crate::go::{self, Fixed, Id, Time};

pub(crate) fn metric_lines(lines: &mut Lines, index: usize, metric: &MetricView<'_>) {
    lines.line(format_args!("Metric #{index}"));
    lines.line("Descriptor:");
    lines.line(format_args!("     -> Name: {}", metric.name));
    lines.line(format_args!("     -> Description: {}", metric.description));
    lines.line(format_args!("     -> Unit: {}", metric.unit));
    lines.line(format_args!("     -> DataType: {}", data_type(&metric.data)));
    lines.attributes("     -> Metadata", "     ", metric.metadata());
    if let Data::Sum { monotonic, .. } = metric.data {
        lines.line(format_args!("     -> IsMonotonic: {monotonic}"));
    }
    if let Data::Sum { temporality, .. }
    | Data::Histogram { temporality, .. }
    | Data::ExponentialHistogram { temporality, .. } = metric.data
    {
        lines.line(format_args!("     -> AggregationTemporality: {}", go::temporality(temporality)));
    }
    match metric.data {
        Data::None => {}
        Data::Gauge(points) | Data::Sum { points, .. } => {
            points.numbers().enumerate().for_each(|(index, point)| number_lines(lines, index, &point));
        }
        Data::Histogram { points, .. } => {
            points.histograms().enumerate().for_each(|(index, point)| histogram_lines(lines, index, &point));
        }
        Data::ExponentialHistogram { points, .. } => points
            .exponential_histograms()
            .enumerate()
            .for_each(|(index, point)| exponential_lines(lines, index, &point)),
        Data::Summary(points) => {
            points.summaries().enumerate().for_each(|(index, point)| summary_lines(lines, index, &point));
        }
    }
}

fn data_type(data: &Data<'_>) -> &'static str {
    match data {
        Data::None => "Empty",
        Data::Gauge(_) => "Gauge",
        Data::Sum { .. } => "Sum",
        Data::Histogram { .. } => "Histogram",
        Data::ExponentialHistogram { .. } => "ExponentialHistogram",
        Data::Summary(_) => "Summary",
    }
}

fn number_lines(lines: &mut Lines, index: usize, point: &NumberDataPointView<'_>) {
    lines.line(format_args!("NumberDataPoints #{index}"));
    point_head(lines, point.attributes(), point.start_time_unix_nano, point.time_unix_nano);
    if let Some(value) = go::number(point.value) {
        lines.line(format_args!("Value: {value}"));
    }
    exemplar_lines(lines, point.exemplars());
}

fn histogram_lines(lines: &mut Lines, index: usize, point: &HistogramDataPointView<'_>) {
    lines.line(format_args!("HistogramDataPoints #{index}"));
    point_head(lines, point.attributes(), point.start_time_unix_nano, point.time_unix_nano);
    lines.line(format_args!("Count: {}", point.count));
    extremes(lines, point.sum, point.min, point.max);
    for (index, bound) in point.explicit_bounds().enumerate() {
        lines.line(format_args!("ExplicitBounds #{index}: {}", Fixed(bound)));
    }
    for (index, count) in point.bucket_counts().enumerate() {
        lines.line(format_args!("Buckets #{index}, Count: {count}"));
    }
    exemplar_lines(lines, point.exemplars());
}

fn exponential_lines(lines: &mut Lines, index: usize, point: &ExponentialHistogramDataPointView<'_>) {
    lines.line(format_args!("ExponentialHistogramDataPoints #{index}"));
    point_head(lines, point.attributes(), point.start_time_unix_nano, point.time_unix_nano);
    lines.line(format_args!("Count: {}", point.count));
    extremes(lines, point.sum, point.min, point.max);
    // The natural logarithm of the base.
    let factor = std::f64::consts::LN_2 * 2f64.powi(point.scale.saturating_neg());
    let bounds = |offset: i32, position: usize| {
        let index = f64::from(offset) + position as f64;
        ((index * factor).exp(), ((index + 1.0) * factor).exp())
    };
    let negative: Vec<u64> = point.negative.bucket_counts().collect();
    for (position, count) in negative.iter().enumerate().rev() {
        let (lower, upper) = bounds(point.negative.offset, position);
        lines.line(format_args!("Bucket [{}, {}), Count: {count}", Fixed(-upper), Fixed(-lower)));
    }
    if point.zero_count != 0 {
        lines.line(format_args!("Bucket [0, 0], Count: {}", point.zero_count));
    }
    for (position, count) in point.positive.bucket_counts().enumerate() {
        let (lower, upper) = bounds(point.positive.offset, position);
        lines.line(format_args!("Bucket ({}, {}], Count: {count}", Fixed(lower), Fixed(upper)));
    }
    exemplar_lines(lines, point.exemplars());
}

fn summary_lines(lines: &mut Lines, index: usize, point: &SummaryDataPointView<'_>) {
    lines.line(format_args!("SummaryDataPoints #{index}"));
    point_head(lines, point.attributes(), point.start_time_unix_nano, point.time_unix_nano);
    lines.line(format_args!("Count: {}", point.count));
    lines.line(format_args!("Sum: {}", Fixed(point.sum)));
    for (index, pair) in point.quantile_values().enumerate() {
        let (quantile, value) = (Fixed(pair.quantile), Fixed(pair.value));
        lines.line(format_args!("QuantileValue #{index}: Quantile {quantile}, Value {value}"));
    }
}

fn point_head(lines: &mut Lines, attributes: KeyValues<'_>, start: u64, time: u64) {
    lines.attributes("Data point attributes", "", attributes);
    lines.line(format_args!("StartTimestamp: {}", Time(start)));
    lines.line(format_args!("Timestamp: {}", Time(time)));
}

fn extremes(lines: &mut Lines, sum: Option<f64>, min: Option<f64>, max: Option<f64>) {
    for (name, value) in [("Sum", sum), ("Min", min), ("Max", max)] {
        if let Some(value) = value {
            lines.line(format_args!("{name}: {}", Fixed(value)));
        }
    }
}

fn exemplar_lines<'a>(lines: &mut Lines, exemplars: impl Iterator<Item = ExemplarView<'a>>) {
    for (index, exemplar) in exemplars.enumerate() {
        if index == 0 {
            lines.line("Exemplars:");
        }
        lines.line(format_args!("Exemplar #{index}"));
        lines.line(format_args!("     -> Trace ID: {}", Id(exemplar.trace_id)));
        lines.line(format_args!("     -> Span ID: {}", Id(exemplar.span_id)));
        lines.line(format_args!("     -> Timestamp: {}", Time(exemplar.time_unix_nano)));
        if let Some(value) = go::number(exemplar.value) {
            lines.line(format_args!("     -> Value: {value}"));
        }
        lines.attributes("     -> FilteredAttributes", "     ", exemplar.filtered_attributes());
    }
}
