//! Metrics of many points, each with attributes.

use super::ResourceMetricsBuilder;
use crate::wire::{
    WireType, close_message, open_message, put_bytes, put_fixed64, put_message, put_tag, put_uint, put_varint,
};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: u64 = 2;

/// Since when a point counts, and when it was read: Unix times in nanoseconds. 0: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PointTimes {
    /// When counting began.
    pub start_unix_nano: u64,
    /// When it was read.
    pub unix_nano: u64,
}

/// A point of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramPoint<'a> {
    /// How many values there were: the sum of `counts`.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The upper bounds of the buckets but the last, which has none; in order.
    pub bounds: &'a [f64],
    /// How many values are in each bucket: one more than there are bounds.
    pub counts: &'a [u64],
}

/// Writes the points of a gauge or a sum. The metric ends with the next one of its resource.
#[derive(Debug)]
pub struct NumbersBuilder<'b> {
    out: &'b mut Vec<u8>,
    items: &'b mut usize,
}

/// Writes the points of a histogram. The metric ends with the next one of its resource.
#[derive(Debug)]
pub struct HistogramsBuilder<'b> {
    out: &'b mut Vec<u8>,
    items: &'b mut usize,
}

impl ResourceMetricsBuilder<'_> {
    /// Begins a gauge.
    pub fn gauges(&mut self, name: &str, description: &str, unit: &str) -> NumbersBuilder<'_> {
        self.begin_metric(name, description, unit, 5, |_| {});
        NumbersBuilder { out: &mut self.builder.out, items: &mut self.builder.items }
    }

    /// Begins a sum that only grows, counted since the points' start.
    pub fn cumulative_sums(&mut self, name: &str, description: &str, unit: &str) -> NumbersBuilder<'_> {
        self.begin_metric(name, description, unit, 7, |out| {
            put_uint(out, 2, CUMULATIVE);
            put_uint(out, 3, 1);
        });
        NumbersBuilder { out: &mut self.builder.out, items: &mut self.builder.items }
    }

    /// Begins a histogram, counted since the points' start.
    pub fn cumulative_histograms(
        &mut self,
        name: &str,
        description: &str,
        unit: &str,
    ) -> HistogramsBuilder<'_> {
        self.begin_metric(name, description, unit, 9, |out| put_uint(out, 2, CUMULATIVE));
        HistogramsBuilder { out: &mut self.builder.out, items: &mut self.builder.items }
    }

    fn begin_metric(
        &mut self,
        name: &str,
        description: &str,
        unit: &str,
        data: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.begin_metrics();
        let out = &mut self.builder.out;
        let metric = open_message(out, 2);
        for (field, text) in [(1, name), (2, description), (3, unit)] {
            if !text.is_empty() {
                put_bytes(out, field, text.as_bytes());
            }
        }
        let data = open_message(out, data);
        write(out);
        self.metric = Some([metric, data]);
    }

    pub(super) fn end_metric(&mut self) {
        if let Some([metric, data]) = self.metric.take() {
            close_message(&mut self.builder.out, data);
            close_message(&mut self.builder.out, metric);
        }
    }
}

impl NumbersBuilder<'_> {
    /// Adds a point.
    pub fn point<'a>(
        &mut self,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
        times: PointTimes,
        value: f64,
    ) {
        *self.items += 1;
        put_message(self.out, 1, |out| {
            put_times(out, times);
            put_fixed64(out, 4, value.to_bits());
            put_attributes(out, 7, attributes);
        });
    }
}

impl HistogramsBuilder<'_> {
    /// Adds a point.
    pub fn point<'a>(
        &mut self,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
        times: PointTimes,
        point: HistogramPoint<'_>,
    ) {
        *self.items += 1;
        put_message(self.out, 1, |out| {
            put_times(out, times);
            put_fixed64(out, 4, point.count);
            put_fixed64(out, 5, point.sum.to_bits());
            put_packed(out, 6, point.counts.iter().copied());
            put_packed(out, 7, point.bounds.iter().map(|bound| bound.to_bits()));
            put_attributes(out, 9, attributes);
        });
    }
}

fn put_times(out: &mut Vec<u8>, times: PointTimes) {
    if times.start_unix_nano != 0 {
        put_fixed64(out, 2, times.start_unix_nano);
    }
    put_fixed64(out, 3, times.unix_nano);
}

fn put_packed(out: &mut Vec<u8>, field: u32, values: impl ExactSizeIterator<Item = u64>) {
    if values.len() > 0 {
        put_tag(out, field, WireType::Len);
        put_varint(out, values.len() as u64 * 8);
        values.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }
}

fn put_attributes<'a>(
    out: &mut Vec<u8>,
    field: u32,
    attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    for (key, value) in attributes {
        put_message(out, field, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{self, Data, Number};
    use crate::{Batch, MetricsBuilder, Signal};

    #[test]
    fn what_is_built_reads_back() {
        let times = PointTimes { start_unix_nano: 3, unix_nano: 5 };
        let mut builder = MetricsBuilder::default();
        let mut resource = builder.resource();
        resource.attribute("service.name", "s");
        let mut gauge = resource.gauges("g", "help", "");
        gauge.point([("a", "1"), ("b", "")], times, 1.5);
        gauge.point([], times, f64::NAN);
        resource.cumulative_sums("s", "", "By").point([("a", "2")], times, 7.0);
        resource.gauge("plain", "", 9, Number::Int(1));
        let point = HistogramPoint { count: 3, sum: 2.5, bounds: &[0.5, 1.0], counts: &[1, 0, 2] };
        let mut histogram = resource.cumulative_histograms("h", "", "s");
        histogram.point([("verb", "GET")], times, point);
        // The resource ends the metric.
        drop(resource);
        let batch = builder.finish();
        assert_eq!(batch.items(), 5);
        let again = Batch::from_protobuf(Signal::Metrics, batch.to_protobuf()).unwrap();
        assert_eq!(again, batch);
        assert_eq!(again.items(), 5);

        let mut seen = Vec::new();
        for metric in
            metrics::resources(&batch).flat_map(|entry| entry.scopes()).flat_map(|scope| scope.metrics())
        {
            let text = match metric.data {
                Data::Gauge(points) => format!("gauge {}", points.numbers().count()),
                Data::Sum { points, .. } => format!("sum {:?}", points.numbers().next().unwrap().value),
                Data::Histogram { points, .. } => {
                    let point = points.histograms().next().unwrap();
                    let verb = point.attributes().get("verb").and_then(|value| value.as_str()).unwrap();
                    let counts: Vec<_> = point.bucket_counts().collect();
                    let bounds: Vec<_> = point.explicit_bounds().collect();
                    format!("histogram {verb} {counts:?} {bounds:?}")
                }
                _ => String::new(),
            };
            seen.push(format!("{} {:?} {:?} {text}", metric.name, metric.description, metric.unit));
        }
        assert_eq!(
            seen,
            [
                r#"g "help" "" gauge 2"#,
                r#"s "" "By" sum Some(Double(7.0))"#,
                r#"plain "" "" gauge 1"#,
                r#"h "" "s" histogram GET [1, 0, 2] [0.5, 1.0]"#,
            ]
        );
    }
}
