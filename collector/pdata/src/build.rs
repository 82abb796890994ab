//! Writes OTLP bytes directly, for receivers that make telemetry themselves.

mod points;

use bytes::Bytes;

pub use points::{HistogramPoint, HistogramsBuilder, NumbersBuilder, PointTimes};

use crate::metrics::Number;
use crate::wire::{close_message, open_message, put_bytes, put_fixed64, put_message};
use crate::{Batch, Chunk, Signal};

/// Writes a metrics request: resources with gauges of one point, or with metrics of many.
///
/// ```
/// let mut builder = pdata::MetricsBuilder::default();
/// let mut node = builder.resource();
/// node.attribute("Type", "Node");
/// node.gauge("node_cpu_limit", "", 1_700_000_000_000_000_000, pdata::metrics::Number::Int(2000));
/// node.end();
/// assert_eq!(builder.finish().items(), 1);
/// ```
#[derive(Debug, Default)]
pub struct MetricsBuilder {
    out: Vec<u8>,
    items: usize,
    /// The bytes and items of the resources that were ended: all that counts, should one ever be leaked open.
    ended: (usize, usize),
}

/// Writes one resource: attributes first, then metrics. Dropping it ends it.
#[derive(Debug)]
pub struct ResourceMetricsBuilder<'a> {
    builder: &'a mut MetricsBuilder,
    entry: usize,
    resource: Option<usize>,
    scope: Option<usize>,
    /// The metric that is being written, and its data.
    metric: Option<[usize; 2]>,
}

impl MetricsBuilder {
    /// A builder with room for this many bytes, where it is known how large the last such batch was.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// How many bytes there are so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ended.0
    }

    /// Whether there is nothing yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a resource.
    pub fn resource(&mut self) -> ResourceMetricsBuilder<'_> {
        self.drop_leaked();
        let entry = open_message(&mut self.out, 1);
        let resource = Some(open_message(&mut self.out, 1));
        ResourceMetricsBuilder { builder: self, entry, resource, scope: None, metric: None }
    }

    /// The finished batch.
    pub fn finish(mut self) -> Batch {
        self.drop_leaked();
        Batch::of_chunk(Signal::Metrics, Chunk::encoded(Bytes::from(self.out), self.items))
    }

    fn drop_leaked(&mut self) {
        self.out.truncate(self.ended.0);
        self.items = self.ended.1;
    }
}

impl ResourceMetricsBuilder<'_> {
    /// Adds a string attribute. Attributes behind the first metric are ignored: the resource is written by then.
    pub fn attribute(&mut self, key: &str, value: &str) {
        if self.resource.is_some() {
            put_message(&mut self.builder.out, 1, |out| {
                put_bytes(out, 1, key.as_bytes());
                put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
            });
        }
    }

    /// Adds a gauge with one point without attributes, at a Unix time in nanoseconds.
    pub fn gauge(&mut self, name: &str, unit: &str, time_unix_nano: u64, value: Number) {
        self.begin_metrics();
        self.builder.items += 1;
        put_message(&mut self.builder.out, 2, |out| {
            put_bytes(out, 1, name.as_bytes());
            if !unit.is_empty() {
                put_bytes(out, 3, unit.as_bytes());
            }
            put_message(out, 5, |out| {
                put_message(out, 1, |out| {
                    put_fixed64(out, 3, time_unix_nano);
                    match value {
                        Number::Int(value) => put_fixed64(out, 6, value as u64),
                        Number::Double(value) => put_fixed64(out, 4, value.to_bits()),
                    }
                });
            });
        });
    }

    /// Ends the resource.
    pub fn end(self) {}

    fn begin_metrics(&mut self) {
        self.end_metric();
        if let Some(resource) = self.resource.take() {
            close_message(&mut self.builder.out, resource);
            self.scope = Some(open_message(&mut self.builder.out, 2));
        }
    }
}

impl Drop for ResourceMetricsBuilder<'_> {
    fn drop(&mut self) {
        self.end_metric();
        let out = &mut self.builder.out;
        [self.resource, self.scope].into_iter().flatten().for_each(|start| close_message(out, start));
        close_message(out, self.entry);
        self.builder.ended = (self.builder.out.len(), self.builder.items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{self, Data};

    #[test]
    fn what_is_built_reads_back() {
        let mut builder = MetricsBuilder::default();
        let long = "x".repeat(300);
        for kind in ["Node", "NodeFS"] {
            let mut resource = builder.resource();
            resource.attribute("Type", kind);
            resource.attribute("long", &long);
            resource.gauge("a", "Percent", 5, Number::Double(1.5));
            resource.gauge("b", "", 6, Number::Int(-7));
        }
        builder.resource().end();
        let batch = builder.finish();
        assert_eq!(batch.items(), 4);
        let again = Batch::from_protobuf(Signal::Metrics, batch.to_protobuf()).unwrap();
        assert_eq!(again.items(), 4);
        assert_eq!(again, batch);

        let mut seen = Vec::new();
        for resource in metrics::resources(&batch) {
            let kind = resource.resource().attributes().get("Type").and_then(|value| value.as_str());
            for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
                let Data::Gauge(points) = metric.data else { panic!("not a gauge") };
                for point in points.numbers() {
                    seen.push((kind, metric.name, metric.unit, point.time_unix_nano, point.value));
                }
            }
        }
        let node = Some("Node");
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[0], (node, "a", "Percent", 5, Some(Number::Double(1.5))));
        assert_eq!(seen[1], (node, "b", "", 6, Some(Number::Int(-7))));
        assert_eq!(metrics::resources(&batch).count(), 3);
    }

    #[test]
    fn a_leaked_resource_leaves_no_half_message() {
        let mut builder = MetricsBuilder::default();
        builder.resource().gauge("a", "", 1, Number::Int(1));
        let mut leaked = builder.resource();
        leaked.attribute("key", "value");
        leaked.gauge("b", "", 1, Number::Int(1));
        std::mem::forget(leaked);
        builder.resource().gauge("c", "", 1, Number::Int(1));
        let batch = builder.finish();
        assert_eq!(batch.items(), 2);
        assert_eq!(Batch::from_protobuf(Signal::Metrics, batch.to_protobuf()).unwrap().items(), 2);
    }
}
