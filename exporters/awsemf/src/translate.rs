//! From batches to events.

use foldhash::quality::RandomState;
use pdata::metrics;
use pdata::{Batch, KeyValueView};

use crate::config::EmfConfig;
use crate::declaration::DeclarationError;
use crate::delta::Deltas;
use crate::emit::Emission;
use crate::group::Groups;
use crate::labels::Labels;
use crate::metric::Metrics;
use crate::rules::Rules;
use crate::series::SeriesLimit;
use crate::template::Templates;
use crate::text::recycle;
use crate::value::Values;
use crate::walk::Walk;

/// Where a translation writes its events. Texts go straight to where they stay.
pub trait EventSink {
    /// Whether texts are wanted as they stand inside a JSON string (escaped once more).
    const ESCAPED: bool;

    /// The largest event in bytes of its plain text; `None` for any.
    fn max_event_bytes(&self) -> Option<usize>;

    /// Returns true if the sink takes no more events of this batch: making them would be in vain.
    fn is_exhausted(&self) -> bool {
        false
    }

    /// Begins an event of a log group and stream; `None` if it is not wanted (too old, too new: the sink has counted
    /// it). The text is appended to the returned string. `timestamp_ms` is Unix time in milliseconds, `items` how many
    /// data points the event stands for: a point that several events share counts in one of them.
    fn begin(&mut self, group: &str, stream: &str, timestamp_ms: i64, items: u32) -> Option<&mut String>;

    /// Ends the event; `plain_len` is the length of its plain (unescaped) text in bytes. `false`: it was too large, and
    /// its text was taken back.
    fn end(&mut self, plain_len: usize) -> bool;
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
    /// Values that make an event too large even alone.
    pub too_large: u64,
    /// Values that were written but not extracted as metrics, because the namespace would have too many series.
    pub series_over_limit: u64,
    /// Dimension sets with more names than CloudWatch takes, or beyond the number of sets of an event.
    pub oversized_dimension_sets: u64,
    /// Points of a batch that would become too much text.
    pub push_too_large: u64,
}

/// Bytes of labels that a batch may become at least, as each of its points may have those of its resource.
const MIN_LABEL_BYTES: usize = 256 << 20;
/// Bytes of labels that a batch may become, as a multiple of its own size.
const MAX_EXPANSION: usize = 32;

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
    series: SeriesLimit,
    series_hashers: (RandomState, RandomState),
}

impl Translator {
    /// A translator for a configuration, and for sinks that want escaped text or plain text. What it ignores of the
    /// configuration is logged.
    ///
    /// # Errors
    /// The first metric declaration that cannot be used.
    pub fn new(config: &EmfConfig, escaped: bool) -> Result<Self, DeclarationError> {
        let default_stream = format!("otel-stream-{}", uuid::Uuid::new_v4());
        let (rules, warnings) = Rules::compile(config, default_stream)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self {
            rules,
            metrics: Metrics::default(),
            templates: Templates::new(escaped),
            deltas: Deltas::default(),
            groups: Groups::default(),
            values: Values::default(),
            labels: Labels::default(),
            attributes: Vec::new(),
            emission: Emission::default(),
            series: SeriesLimit::new(config.metric_series_limit),
            series_hashers: Default::default(),
        })
    }

    /// Translates a batch of metrics. `sink` gets the events in order of first appearance. `now_ms`, Unix time in
    /// milliseconds, stands for the time of points without one.
    pub fn translate<S: EventSink>(&mut self, batch: &Batch, now_ms: i64, sink: &mut S) -> Dropped {
        if self.templates.are_escaped() != S::ESCAPED {
            self.templates = Templates::new(S::ESCAPED);
        }
        if self.metrics.is_full() || self.templates.is_full() {
            // Templates refer to metrics by id.
            self.metrics.clear();
            self.templates.clear();
        }
        self.deltas.sweep(now_ms);
        self.series.sweep(now_ms);
        self.groups.clear();
        self.values.clear();
        let mut walk = Walk {
            sink,
            rules: &self.rules,
            templates: &mut self.templates,
            series: &mut self.series,
            emission: &mut self.emission,
            label_bytes: batch.encoded_len().saturating_mul(MAX_EXPANSION).max(MIN_LABEL_BYTES),
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
            written: String::new(),
            identity: None,
            labels_identity: None,
        };
        for resource in metrics::resources(batch) {
            walk.resource(&resource);
        }
        walk.emit();
        let (labels, attributes, dropped) = (walk.labels, walk.attributes, walk.dropped);
        self.labels = labels.recycled();
        self.attributes = recycle(attributes);
        dropped
    }

    /// How many cumulative series are remembered.
    pub fn series(&self) -> usize {
        self.deltas.len()
    }
    /// The series that CloudWatch makes of the events: by namespace, metrics over values of dimension sets. Counted if
    /// `metric_series_limit` is not 0.
    pub fn metric_series(&self) -> impl Iterator<Item = (&str, usize)> {
        self.series.counts()
    }
}
