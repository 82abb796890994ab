//! From batches to events.

use foldhash::quality::RandomState;
use pdata::metrics;
use pdata::{Batch, KeyValueView};

use crate::config::EmfConfig;
use crate::declaration::{Bits, DeclarationError};
use crate::delta::Deltas;
use crate::group::Groups;
use crate::labels::Labels;
use crate::metric::{MetricId, Metrics};
use crate::rules::Rules;
use crate::template::{Shape, Templates};
use crate::text::recycle;
use crate::value::{Value, Values};
use crate::walk::Walk;

/// An event: what one line in a log stream becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The log group.
    pub group: &'a str,
    /// The log stream.
    pub stream: &'a str,
    /// Unix time in milliseconds.
    pub timestamp_ms: i64,
    /// The event's JSON.
    pub message: &'a str,
}

/// What a translation left out, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Points whose flag says that no value was recorded.
    pub no_recorded_value: u64,
    /// Points with a value that is not a number or infinite, or became so.
    pub not_finite: u64,
    /// Cumulative points of series that are too many to be remembered.
    pub series_limit: u64,
    /// Points of a metric that a group has already.
    pub duplicate: u64,
    /// Metrics without a type.
    pub unknown_type: u64,
    /// Events without an extracted metric, where those are not wanted.
    pub no_metrics: u64,
    /// Dimension sets with more names than CloudWatch takes.
    pub oversized_dimension_sets: u64,
}

/// Translates batches, one after another, and remembers what cumulative series need.
#[derive(Debug)]
pub struct Translator {
    rules: Rules,
    metrics: Metrics,
    templates: Templates,
    deltas: Deltas,
    groups: Groups,
    values: Values,
    labels: Labels<'static>,
    attributes: Vec<KeyValueView<'static>>,
    emission: Emission,
    series_hashers: (RandomState, RandomState),
}

/// What is used again for every event.
#[derive(Debug, Default)]
struct Emission {
    metrics: Vec<MetricId>,
    values: Vec<Value>,
    accepted: Bits,
    joined: String,
    message: String,
}

impl Translator {
    /// A translator for a configuration. What it ignores of it is logged.
    ///
    /// # Errors
    /// The first metric declaration that cannot be used.
    pub fn new(config: &EmfConfig) -> Result<Self, DeclarationError> {
        let default_stream = format!("otel-stream-{}", uuid::Uuid::new_v4());
        let (rules, warnings) = Rules::compile(config, default_stream)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self {
            rules,
            metrics: Metrics::default(),
            templates: Templates::default(),
            deltas: Deltas::default(),
            groups: Groups::default(),
            values: Values::default(),
            labels: Labels::default(),
            attributes: Vec::new(),
            emission: Emission::default(),
            series_hashers: Default::default(),
        })
    }

    /// Translates a batch of metrics. `sink` gets the events in order of first appearance. `now_ms`, Unix time in
    /// milliseconds, stands for the time of points without one.
    pub fn translate(&mut self, batch: &Batch, now_ms: i64, mut sink: impl FnMut(Event<'_>)) -> Dropped {
        if self.metrics.is_full() || self.templates.is_full() {
            // Templates refer to metrics by id.
            self.metrics.clear();
            self.templates.clear();
        }
        self.deltas.sweep(now_ms);
        self.groups.clear();
        self.values.clear();
        let mut walk = Walk {
            rules: &self.rules,
            metrics: &mut self.metrics,
            deltas: &mut self.deltas,
            groups: &mut self.groups,
            values: &mut self.values,
            series_hashers: &self.series_hashers,
            labels: std::mem::take(&mut self.labels).recycled(),
            attributes: recycle(std::mem::take(&mut self.attributes)),
            dropped: Dropped::default(),
            now: now_ms,
            latest_metric: 0,
            parts: Vec::new(),
            identity: None,
            labels_identity: None,
        };
        for resource in metrics::resources(batch) {
            walk.resource(&resource);
        }
        let (labels, attributes, mut dropped) = (walk.labels, walk.attributes, walk.dropped);
        self.emit(&labels, &mut dropped, &mut sink);
        self.labels = labels.recycled();
        self.attributes = recycle(attributes);
        dropped
    }

    /// How many cumulative series are remembered.
    pub fn series(&self) -> usize {
        self.deltas.len()
    }

    fn emit(&mut self, labels: &Labels<'_>, dropped: &mut Dropped, sink: &mut impl FnMut(Event<'_>)) {
        let Emission { metrics, values, accepted, joined, message } = &mut self.emission;
        for group in self.groups.list() {
            let Some(target) = self.groups.target(group.key.target) else { continue };
            self.groups.values(group, metrics, values);
            self.rules.declarations.accepting(accepted, joined, |name| {
                labels.get(group.labels, name).map(|text| text.get(&labels.arena))
            });
            let shape = Shape {
                labels: labels.of(group.labels),
                arena: &labels.arena,
                metrics,
                namespace: target.namespace.get(&labels.arena),
                kind: group.key.kind,
                prometheus: group.prometheus,
                accepted,
            };
            let Some(template) = self.templates.find(&self.rules, &self.metrics, &shape) else { continue };
            dropped.duplicate += template.duplicates as u64;
            dropped.oversized_dimension_sets += template.oversized_sets as u64;
            if self.rules.enhanced && !template.extracts && !self.rules.no_extraction {
                dropped.no_metrics += 1;
                continue;
            }
            message.clear();
            template.render(message, &shape, group.key.timestamp, &self.values, values);
            sink(Event {
                group: target.group.get(&labels.arena),
                stream: target.stream.get(&labels.arena),
                timestamp_ms: group.key.timestamp,
                message,
            });
        }
    }
}
