//! From data points to events.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use pdata::metrics::{
    self, Data, ExponentialHistogramDataPointView, FLAG_NO_RECORDED_VALUE, HistogramDataPointView, MetricView,
    NumberDataPointView, ResourceMetricsView, SummaryDataPointView, Temporality,
};
use pdata::{Batch, KeyValueView, KeyValues};

use crate::config::EmfConfig;
use crate::declaration::{Bits, DeclarationError};
use crate::delta::{Deltas, SeriesKey};
use crate::group::{GroupKey, Groups, Kind, Target};
use crate::json::write_float_g;
use crate::labels::{LabelSet, Labels, write_text};
use crate::metric::{MetricId, Metrics, Suffix};
use crate::names::UNDEFINED;
use crate::resource::{Identity, ResourceContext};
use crate::rules::Rules;
use crate::template::{Shape, Templates};
use crate::text::{Span, Text, recycle};
use crate::value::{Stats, Value, Values};

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

/// One translation.
struct Walk<'t, 'a> {
    rules: &'t Rules,
    metrics: &'t mut Metrics,
    deltas: &'t mut Deltas,
    groups: &'t mut Groups,
    values: &'t mut Values,
    series_hashers: &'t (RandomState, RandomState),
    labels: Labels<'a>,
    attributes: Vec<KeyValueView<'a>>,
    dropped: Dropped,
    now: i64,
    latest_metric: MetricId,
    parts: Vec<Value>,
    /// Of the resource, once a series of it was seen.
    identity: Option<Identity>,
    /// Of the label set that was used last.
    labels_identity: Option<(Span, Identity)>,
}

/// Where the points of one metric come from and go to.
struct Course<'m, 'a> {
    context: &'m ResourceContext,
    scope: &'a str,
    /// The labels of points without attributes.
    base: LabelSet,
    kind: Kind,
    name: &'a str,
    unit: &'a str,
    /// Where events go: that of the resource, or as an earlier point of the metric completed it.
    target: u32,
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

impl<'a> Walk<'_, 'a> {
    fn resource(&mut self, resource: &ResourceMetricsView<'a>) {
        self.identity = None;
        self.attributes.clear();
        self.attributes.extend(resource.resource().attributes());
        let start = self.labels.len();
        if self.rules.conversion.enabled {
            for pair in self.attributes.iter().filter(|pair| self.rules.conversion.takes(pair.key)) {
                self.labels.push(*pair);
            }
            self.labels.finish(start);
        }
        let converted = Span { start, end: self.labels.len() };
        let seen = if self.rules.conversion.clear { &[][..] } else { &self.attributes };
        let context = ResourceContext::new(self.rules, seen, converted, self.groups, &mut self.labels.arena);
        // Scopes mostly have the same name, or none.
        let mut last: Option<(&str, LabelSet)> = None;
        for scope in resource.scopes() {
            let name = scope.scope().name;
            let base = match last {
                Some((known, base)) if known == name => base,
                _ => self.labels.collect(std::iter::empty(), converted, name, self.rules.kubernetes),
            };
            last = Some((name, base));
            for metric in scope.metrics() {
                self.metric(&context, name, base, &metric);
            }
        }
    }

    fn metric(&mut self, context: &ResourceContext, scope: &'a str, base: LabelSet, metric: &MetricView<'a>) {
        let kind = match metric.data {
            Data::None => {
                tracing::warn!(metric = metric.name, "unhandled metric data type");
                self.dropped.unknown_type += 1;
                return;
            }
            Data::Gauge(_) => Kind::Gauge,
            Data::Sum { .. } => Kind::Sum,
            Data::Histogram { .. } => Kind::Histogram,
            Data::ExponentialHistogram { .. } => Kind::ExponentialHistogram,
            Data::Summary(_) => Kind::Summary,
        };
        let mut course = Course {
            context,
            scope,
            base,
            kind,
            name: metric.name,
            unit: metric.unit,
            target: context.target,
        };
        match metric.data {
            Data::None => {}
            Data::Gauge(points) => points.numbers().for_each(|point| self.number(&mut course, &point, false)),
            Data::Sum { points, temporality, .. } => {
                let cumulative = temporality == Temporality::Cumulative;
                points.numbers().for_each(|point| self.number(&mut course, &point, cumulative));
            }
            Data::Histogram { points, .. } => {
                points.histograms().for_each(|point| self.histogram(&mut course, &point));
            }
            Data::ExponentialHistogram { points, .. } => {
                points.exponential_histograms().for_each(|point| self.exponential(&mut course, &point));
            }
            Data::Summary(points) => points.summaries().for_each(|point| self.summary(&mut course, &point)),
        }
    }

    #[inline]
    fn number(&mut self, course: &mut Course<'_, 'a>, point: &NumberDataPointView<'a>, cumulative: bool) {
        let mut value = point.value.map_or(0.0, |value| value.as_f64());
        if !self.admits(point.flags, value.is_finite()) {
            return;
        }
        let set = self.label_set(course, point.attributes());
        if cumulative {
            let key = self.series(course, set);
            match self.deltas.number(key, value, self.rules.retain_initial, self.now) {
                Some(delta) if delta.is_finite() => value = delta,
                Some(_) => {
                    self.dropped.not_finite += 1;
                    return;
                }
                None => return,
            }
        }
        self.add(course, set, point.time_unix_nano, 0, Suffix::None, Value::Number(value));
    }

    fn histogram(&mut self, course: &mut Course<'_, 'a>, point: &HistogramDataPointView<'a>) {
        let [sum, min, max] = [point.sum, point.min, point.max].map(|value| value.unwrap_or(0.0));
        if !self.admits(point.flags, sum.is_finite() && min.is_finite() && max.is_finite()) {
            return;
        }
        let set = self.label_set(course, point.attributes());
        let mut stats = Stats { max, min, count: point.count, sum };
        if course.context.histogram_deltas && !self.change(course, set, &mut stats) {
            return;
        }
        let value = self.values.stats(stats);
        self.add(course, set, point.time_unix_nano, 0, Suffix::None, value);
    }

    fn exponential(&mut self, course: &mut Course<'_, 'a>, point: &ExponentialHistogramDataPointView<'a>) {
        let finite = [point.sum, point.min, point.max].iter().flatten().all(|value| value.is_finite());
        if !self.admits(point.flags, finite) {
            return;
        }
        let set = self.label_set(course, point.attributes());
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        self.values.exponential(point, &mut parts);
        for (part, value) in parts.iter().enumerate() {
            self.add(course, set, point.time_unix_nano, part as u32, Suffix::None, *value);
        }
        self.parts = parts;
    }

    fn summary(&mut self, course: &mut Course<'_, 'a>, point: &SummaryDataPointView<'a>) {
        let quantiles = || point.quantile_values();
        let finite = point.sum.is_finite()
            && quantiles().all(|pair| pair.quantile.is_finite() && pair.value.is_finite());
        if !self.admits(point.flags, finite) {
            return;
        }
        let set = self.label_set(course, point.attributes());
        // The least and the greatest by place, as upstream: quantiles come in order.
        let mut stats = Stats {
            max: quantiles().last().map_or(0.0, |pair| pair.value),
            min: quantiles().next().map_or(0.0, |pair| pair.value),
            count: point.count,
            sum: point.sum,
        };
        if course.context.summary_deltas && !self.change(course, set, &mut stats) {
            return;
        }
        let time = point.time_unix_nano;
        if !self.rules.detailed {
            let value = self.values.stats(stats);
            return self.add(course, set, time, 0, Suffix::None, value);
        }
        self.add(course, set, time, 0, Suffix::Sum, Value::Number(stats.sum));
        self.add(course, set, time, 1, Suffix::Count, Value::Number(stats.count as f64));
        for (index, pair) in quantiles().enumerate() {
            let text = Text::make(&mut self.labels.arena, |arena| write_float_g(arena, pair.quantile));
            let set = self.labels.with(set, "quantile", text);
            self.add(course, set, time, 2 + index as u32, Suffix::None, Value::Number(pair.value));
        }
    }

    /// Turns count and sum into their change. `false` if there is nothing to send.
    fn change(&mut self, course: &Course<'_, 'a>, set: LabelSet, stats: &mut Stats) -> bool {
        let key = self.series(course, set);
        let totals = (stats.sum, stats.count);
        match self.deltas.distribution(key, totals, self.rules.retain_initial, self.now) {
            Some((sum, count)) if sum.is_finite() => {
                (stats.sum, stats.count) = (sum, count);
                true
            }
            Some(_) => {
                self.dropped.not_finite += 1;
                false
            }
            None => false,
        }
    }

    /// Counts a point that is not taken.
    #[inline]
    fn admits(&mut self, flags: u32, finite: bool) -> bool {
        if flags & FLAG_NO_RECORDED_VALUE != 0 {
            self.dropped.no_recorded_value += 1;
            false
        } else if !finite {
            self.dropped.not_finite += 1;
            false
        } else {
            true
        }
    }

    #[inline]
    fn label_set(&mut self, course: &Course<'_, 'a>, attributes: KeyValues<'a>) -> LabelSet {
        let mut probe = attributes;
        if probe.next().is_none() {
            return course.base;
        }
        self.labels.collect(attributes, course.context.converted, course.scope, self.rules.kubernetes)
    }

    /// What makes a series: its name, its labels, where the resource's events go, and the resource itself.
    fn series(&mut self, course: &Course<'_, 'a>, set: LabelSet) -> SeriesKey {
        let identity = *self.identity.get_or_insert_with(|| {
            let target = self.groups.target(course.context.target);
            let names = target.iter().flat_map(Target::texts).map(|text| text.get(&self.labels.arena));
            Identity::of(names, &self.attributes, self.series_hashers)
        });
        let labels = match self.labels_identity {
            Some((span, identity)) if span == set.span => identity,
            _ => Identity::of_labels(&self.labels, set.span, self.series_hashers),
        };
        self.labels_identity = Some((set.span, labels));
        let hash = |state: &RandomState, identity: u64, labels: u64| {
            let mut hasher = state.build_hasher();
            write_text(&mut hasher, course.name);
            hasher.write_u8(course.kind as u8);
            hasher.write_u64(identity);
            hasher.write_u64(labels);
            hasher.finish()
        };
        let (first, second) = self.series_hashers;
        SeriesKey(hash(first, identity.0, labels.0), hash(second, identity.1, labels.1))
    }

    #[inline]
    fn add(
        &mut self,
        course: &mut Course<'_, 'a>,
        set: LabelSet,
        time_unix_nano: u64,
        part: u32,
        suffix: Suffix,
        value: Value,
    ) {
        if course.context.incomplete {
            self.complete(course, set);
        }
        let timestamp = if time_unix_nano == 0 { self.now } else { (time_unix_nano / 1_000_000) as i64 };
        let metric = self.metrics.id(self.rules, self.latest_metric, course.name, suffix, course.unit);
        self.latest_metric = metric;
        let key = GroupKey { target: course.target, timestamp, kind: course.kind, part };
        self.groups.add(&self.labels, key, set, course.context.prometheus, metric, value);
    }

    /// Names that the resource could not complete are tried again with the labels of the point. What that gives stays
    /// for the points of the metric that follow.
    fn complete(&mut self, course: &mut Course<'_, 'a>, set: LabelSet) {
        let Some(mut target) = self.groups.target(course.target) else { return };
        let start = self.labels.arena.len();
        for (pattern, name) in
            [(&self.rules.group, &mut target.group), (&self.rules.stream, &mut target.stream)]
        {
            if !pattern.is_empty() && name.get(&self.labels.arena).contains(UNDEFINED) {
                let mut written = String::new();
                pattern.write(&mut written, |out, key| {
                    let text = self.labels.get(set.span, key);
                    text.iter().for_each(|text| out.push_str(text.get(&self.labels.arena)));
                    text.is_some()
                });
                *name = Text::make(&mut self.labels.arena, |arena| arena.push_str(&written));
            }
        }
        course.target = self.groups.intern(&mut self.labels.arena, start, target);
    }
}

impl Dropped {
    /// Adds what another translation left out.
    pub fn add(&mut self, other: &Dropped) {
        self.no_recorded_value += other.no_recorded_value;
        self.not_finite += other.not_finite;
        self.duplicate += other.duplicate;
        self.unknown_type += other.unknown_type;
        self.no_metrics += other.no_metrics;
        self.oversized_dimension_sets += other.oversized_dimension_sets;
    }
}
