//! The text of verbosity `normal`: a line per item.

use std::fmt::Display;
use std::fmt::Write;

use helper::text::write_value;
use pdata::metrics::{
    BucketsView, Data, ExponentialHistogramDataPointView, HistogramDataPointView, MetricView, Number,
    NumberDataPointView, SummaryDataPointView,
};
use pdata::{Batch, KeyValues, ScopeView, Signal, logs, metrics, traces};

use crate::go::{Fixed, Id, Shortest};

/// The text of a batch; every line ends with a newline.
pub(crate) fn text(batch: &Batch) -> String {
    let mut out = String::new();
    match batch.signal() {
        Signal::Metrics => metrics_text(&mut out, batch),
        Signal::Logs => logs_text(&mut out, batch),
        Signal::Traces => traces_text(&mut out, batch),
    }
    out
}

fn logs_text(out: &mut String, batch: &Batch) {
    for (index, resource) in logs::resources(batch).enumerate() {
        resource_line(out, "ResourceLog", index, resource.schema_url(), resource.resource().attributes());
        for scope in resource.scopes() {
            scope_line(out, "ScopeLog", index, &scope.scope(), scope.schema_url());
            for record in scope.log_records() {
                write_value(out, record.body);
                out.push(' ');
                pairs(out, record.attributes(), " ");
                out.push('\n');
            }
        }
    }
}

fn traces_text(out: &mut String, batch: &Batch) {
    for (index, resource) in traces::resources(batch).enumerate() {
        resource_line(out, "ResourceTraces", index, resource.schema_url(), resource.resource().attributes());
        for scope in resource.scopes() {
            scope_line(out, "ScopeTraces", index, &scope.scope(), scope.schema_url());
            for span in scope.spans() {
                put(out, format_args!("{} {} {}", span.name, Id(span.trace_id), Id(span.span_id)));
                spaced_pairs(out, span.attributes());
                out.push('\n');
            }
        }
    }
}

fn metrics_text(out: &mut String, batch: &Batch) {
    for (index, resource) in metrics::resources(batch).enumerate() {
        resource_line(out, "ResourceMetrics", index, resource.schema_url(), resource.resource().attributes());
        for scope in resource.scopes() {
            scope_line(out, "ScopeMetrics", index, &scope.scope(), scope.schema_url());
            scope.metrics().for_each(|metric| metric_lines(out, &metric));
        }
    }
}

fn metric_lines(out: &mut String, metric: &MetricView<'_>) {
    let name = metric.name;
    match metric.data {
        Data::None => {}
        Data::Gauge(points) | Data::Sum { points, .. } => {
            points.numbers().for_each(|point| number_line(out, name, &point));
        }
        Data::Histogram { points, .. } => {
            points.histograms().for_each(|point| histogram_line(out, name, &point))
        }
        Data::ExponentialHistogram { points, .. } => {
            points.exponential_histograms().for_each(|point| exponential_line(out, name, &point));
        }
        Data::Summary(points) => points.summaries().for_each(|point| summary_line(out, name, &point)),
    }
}

fn number_line(out: &mut String, name: &str, point: &NumberDataPointView<'_>) {
    begin_point(out, name, point.attributes());
    match point.value {
        Some(Number::Int(value)) => put(out, value),
        Some(Number::Double(value)) => put(out, Shortest(value)),
        None => {}
    }
    out.push('\n');
}

fn histogram_line(out: &mut String, name: &str, point: &HistogramDataPointView<'_>) {
    begin_point(out, name, point.attributes());
    put(out, format_args!("count={}", point.count));
    extremes(out, point.sum, point.min, point.max);
    let mut bounds = point.explicit_bounds();
    for count in point.bucket_counts() {
        match bounds.next() {
            Some(bound) => put(out, format_args!(" le{}={count}", Shortest(bound))),
            None => put(out, format_args!(" {count}")),
        }
    }
    out.push('\n');
}

fn exponential_line(out: &mut String, name: &str, point: &ExponentialHistogramDataPointView<'_>) {
    begin_point(out, name, point.attributes());
    put(out, format_args!("count={}", point.count));
    extremes(out, point.sum, point.min, point.max);
    let base = 2f64.powf(2f64.powi(point.scale.saturating_neg()));
    let mut buckets = |buckets: &BucketsView<'_>| {
        for (index, count) in buckets.bucket_counts().enumerate() {
            let bound = base.powf(f64::from(buckets.offset) + index as f64);
            put(out, format_args!(" le{}={count}", Shortest(bound)));
        }
    };
    buckets(&point.negative);
    buckets(&point.positive);
    if point.zero_count > 0 {
        put(out, format_args!(" zero_count{}={}", Shortest(point.zero_threshold), point.zero_count));
    }
    out.push('\n');
}

fn summary_line(out: &mut String, name: &str, point: &SummaryDataPointView<'_>) {
    begin_point(out, name, point.attributes());
    put(out, format_args!("count={} sum={}", point.count, Fixed(point.sum)));
    for pair in point.quantile_values() {
        put(out, format_args!(" q{}={}", Shortest(pair.quantile), Shortest(pair.value)));
    }
    out.push('\n');
}

fn extremes(out: &mut String, sum: Option<f64>, min: Option<f64>, max: Option<f64>) {
    for (name, value) in [("sum", sum), ("min", min), ("max", max)] {
        if let Some(value) = value {
            put(out, format_args!(" {name}={}", Shortest(value)));
        }
    }
}

fn begin_point(out: &mut String, name: &str, attributes: KeyValues<'_>) {
    put(out, format_args!("{name}{{"));
    pairs(out, attributes, ",");
    out.push_str("} ");
}

fn resource_line(out: &mut String, what: &str, index: usize, schema_url: &str, attributes: KeyValues<'_>) {
    put(out, format_args!("{what} #{index}"));
    if !schema_url.is_empty() {
        put(out, format_args!(" [{schema_url}]"));
    }
    spaced_pairs(out, attributes);
    out.push('\n');
}

/// Scopes carry the number of their resource, as upstream prints it.
fn scope_line(out: &mut String, what: &str, resource: usize, scope: &ScopeView<'_>, schema_url: &str) {
    put(out, format_args!("{what} #{resource}"));
    let start = out.len();
    out.push(' ');
    out.push_str(scope.name);
    if !scope.version.is_empty() {
        put(out, format_args!("@{}", scope.version));
    }
    if !schema_url.is_empty() {
        let space = if out.len() > start + 1 { " " } else { "" };
        put(out, format_args!("{space}[{schema_url}]"));
    }
    if out.len() == start + 1 {
        out.truncate(start);
    }
    spaced_pairs(out, scope.attributes());
    out.push('\n');
}

fn spaced_pairs(out: &mut String, attributes: KeyValues<'_>) {
    if attributes.clone().next().is_some() {
        out.push(' ');
        pairs(out, attributes, " ");
    }
}

fn pairs(out: &mut String, attributes: KeyValues<'_>, separator: &str) {
    for (index, pair) in attributes.enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        put(out, format_args!("{}=", pair.key));
        write_value(out, pair.value);
    }
}

fn put(out: &mut String, value: impl Display) {
    // Writing to a string does not fail.
    let _ = write!(out, "{value}");
}
