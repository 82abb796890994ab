//! The way through a batch: every data point to its group.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use pdata::metrics::{
    BucketsView, Data, ExponentialHistogramDataPointView, FLAG_NO_RECORDED_VALUE, HistogramDataPointView,
    MetricView, NumberDataPointView, ResourceMetricsView, SummaryDataPointView, Temporality,
};
use pdata::{KeyValueView, KeyValues};

use crate::delta::{Deltas, SeriesKey};
use crate::emit::{Emission, Emitter};
use crate::group::{GroupKey, Groups, Kind, Target};
use crate::json::write_float_g;
use crate::labels::{LabelMark, LabelSet, Labels, hash_text};
use crate::metric::{MetricId, Metrics, Suffix};
use crate::names::UNDEFINED;
use crate::resource::{Identity, ResourceContext};
use crate::rules::Rules;
use crate::series::SeriesLimit;
use crate::template::Templates;
use crate::text::{Span, Text};
use crate::translate::{Dropped, EventSink};
use crate::value::{Stats, Value, Values};

/// One translation. Points are collected in groups and become events at the end, or earlier where they take much memory.
pub(crate) struct Walk<'t, 'a, S> {
    pub(crate) sink: &'t mut S,
    pub(crate) rules: &'t Rules,
    pub(crate) templates: &'t mut Templates,
    pub(crate) series: &'t mut SeriesLimit,
    pub(crate) emission: &'t mut Emission,
    /// Bytes of labels that points may still have.
    pub(crate) label_bytes: usize,
    pub(crate) metrics: &'t mut Metrics,
    pub(crate) deltas: &'t mut Deltas,
    pub(crate) groups: &'t mut Groups,
    pub(crate) values: &'t mut Values,
    pub(crate) series_hashers: &'t (RandomState, RandomState),
    pub(crate) labels: Labels<'a>,
    pub(crate) attributes: Vec<KeyValueView<'a>>,
    pub(crate) dropped: Dropped,
    pub(crate) now: i64,
    pub(crate) latest_metric: MetricId,
    pub(crate) parts: Vec<Value>,
    /// A name of a group or stream while it is tried.
    pub(crate) written: String,
    /// Of the resource, once a series of it was seen.
    pub(crate) identity: Option<Identity>,
    /// Of the label set that was used last.
    pub(crate) labels_identity: Option<(Span, Identity)>,
}

/// What stays when the events of all groups have been written.
#[derive(Clone, Copy, Default)]
struct Mark {
    labels: LabelMark,
    targets: usize,
}

/// Buckets of an exponential histogram beyond which it is not taken: SDKs make 160.
const MAX_POINT_BUCKETS: usize = 100_000;

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
    /// What the points of the metric need.
    mark: Mark,
    /// Bytes of the labels of points without attributes.
    base_bytes: usize,
}

impl<'a, S: EventSink> Walk<'_, 'a, S> {
    /// Writes the events of all groups.
    pub(crate) fn emit(&mut self) {
        Emitter {
            rules: self.rules,
            metrics: self.metrics,
            templates: self.templates,
            groups: self.groups,
            values: self.values,
            labels: &self.labels,
            series: self.series,
            dropped: &mut self.dropped,
            now: self.now,
        }
        .all(self.emission, self.sink);
    }

    fn mark(&self) -> Mark {
        Mark { labels: self.labels.mark(), targets: self.groups.targets() }
    }

    /// Writes the events of all groups if they take much memory, and forgets all but what was there at `mark`. Returns
    /// true if it did.
    #[inline]
    fn make_memory(&mut self, mark: Mark) -> bool {
        let is_full =
            self.labels.is_full() || self.groups.is_full() || self.values.is_full() || self.metrics.is_full();
        if is_full {
            self.flush(mark);
        }
        is_full
    }

    #[cold]
    fn flush(&mut self, mark: Mark) {
        self.emit();
        self.groups.cut_back(mark.targets);
        self.labels.cut_back(mark.labels);
        self.values.clear();
        self.labels_identity = None;
        if self.metrics.is_full() {
            // Templates refer to metrics by id.
            self.metrics.clear();
            self.templates.clear();
        }
    }

    /// Takes all points of a resource.
    pub(crate) fn resource(&mut self, resource: &ResourceMetricsView<'a>) {
        self.make_memory(Mark::default());
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
        let converted_bytes = self.labels.bytes(converted);
        let mark = self.mark();
        // Scopes mostly have the same name, or none.
        let mut last: Option<(&str, LabelSet)> = None;
        for scope in resource.scopes() {
            let name = scope.scope().name;
            let base = match last {
                Some((known, base)) if known == name => base,
                _ => {
                    self.make_memory(mark);
                    self.label_bytes = self.label_bytes.saturating_sub(converted_bytes);
                    self.labels.collect(std::iter::empty(), converted, name, self.rules.kubernetes)
                }
            };
            last = Some((name, base));
            let mut course = Course {
                context: &context,
                scope: name,
                base,
                kind: Kind::Gauge,
                name: "",
                unit: "",
                target: context.target,
                mark: self.mark(),
                base_bytes: converted_bytes + name.len(),
            };
            for metric in scope.metrics() {
                self.metric(&mut course, &metric);
            }
        }
    }

    fn metric(&mut self, course: &mut Course<'_, 'a>, metric: &MetricView<'a>) {
        let kind = match metric.data {
            Data::None => {
                if self.dropped.unknown_type == 0 {
                    tracing::warn!(metric = metric.name, "unhandled metric data type");
                }
                self.dropped.unknown_type += 1;
                return;
            }
            Data::Gauge(_) => Kind::Gauge,
            Data::Sum { .. } => Kind::Sum,
            Data::Histogram { .. } => Kind::Histogram,
            Data::ExponentialHistogram { .. } => Kind::ExponentialHistogram,
            Data::Summary(_) => Kind::Summary,
        };
        (course.kind, course.name, course.unit) = (kind, metric.name, metric.unit);
        course.target = course.context.target;
        match metric.data {
            Data::None => {}
            Data::Gauge(points) => points.numbers().for_each(|point| self.number(course, &point, false)),
            Data::Sum { points, temporality, .. } => {
                let cumulative = temporality == Temporality::Cumulative;
                points.numbers().for_each(|point| self.number(course, &point, cumulative));
            }
            Data::Histogram { points, .. } => {
                points.histograms().for_each(|point| self.histogram(course, &point));
            }
            Data::ExponentialHistogram { points, .. } => {
                points.exponential_histograms().for_each(|point| self.exponential(course, &point));
            }
            Data::Summary(points) => points.summaries().for_each(|point| self.summary(course, &point)),
        }
    }

    #[inline]
    fn number(&mut self, course: &mut Course<'_, 'a>, point: &NumberDataPointView<'a>, cumulative: bool) {
        let mut value = point.value.map_or(0.0, |value| value.as_f64());
        if !self.admits(point.flags, value.is_finite()) {
            return;
        }
        let Some(set) = self.label_set(course, point.attributes()) else { return };
        if cumulative {
            let key = self.series(course, set);
            match self.deltas.number(key, value, self.rules.retain_initial, self.now) {
                Some(delta) if delta.is_finite() => value = delta,
                Some(_) => {
                    self.dropped.not_finite += 1;
                    return;
                }
                None => return self.first_value(),
            }
        }
        self.add(course, set, point.time_unix_nano, 0, Suffix::None, Value::Number(value));
        self.release(course, set);
    }

    fn histogram(&mut self, course: &mut Course<'_, 'a>, point: &HistogramDataPointView<'a>) {
        let [sum, min, max] = [point.sum, point.min, point.max].map(|value| value.unwrap_or(0.0));
        if !self.admits(point.flags, sum.is_finite() && min.is_finite() && max.is_finite()) {
            return;
        }
        let Some(set) = self.label_set(course, point.attributes()) else { return };
        let mut stats = Stats { max, min, count: point.count, sum };
        if course.context.histogram_deltas && !self.change(course, set, &mut stats) {
            return;
        }
        let value = self.values.stats(stats);
        self.add(course, set, point.time_unix_nano, 0, Suffix::None, value);
        self.release(course, set);
    }

    fn exponential(&mut self, course: &mut Course<'_, 'a>, point: &ExponentialHistogramDataPointView<'a>) {
        let finite = [point.sum, point.min, point.max].iter().flatten().all(|value| value.is_finite());
        if !self.admits(point.flags, finite) {
            return;
        }
        let buckets = |view: &BucketsView<'_>| view.bucket_counts().take(MAX_POINT_BUCKETS + 1).count();
        if buckets(&point.positive) + buckets(&point.negative) > MAX_POINT_BUCKETS {
            self.dropped.too_large += 1;
            return;
        }
        let Some(set) = self.label_set(course, point.attributes()) else { return };
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        self.values.exponential(point, &mut parts);
        for (part, value) in parts.iter().enumerate() {
            self.add(course, set, point.time_unix_nano, part as u32, Suffix::None, *value);
        }
        if parts.len() == 1 {
            self.release(course, set);
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
        let Some(set) = self.label_set(course, point.attributes()) else { return };
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
            self.add(course, set, time, 0, Suffix::None, value);
            return self.release(course, set);
        }
        self.add(course, set, time, 0, Suffix::Sum, Value::Number(stats.sum));
        self.add(course, set, time, 1, Suffix::Count, Value::Number(stats.count as f64));
        let mark = self.mark();
        let bytes = self.labels.bytes(set.span);
        for (index, pair) in quantiles().enumerate() {
            if self.make_memory(mark) {
                course.target = course.context.target;
            }
            if !self.spend(bytes) {
                return;
            }
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
            None => {
                self.first_value();
                false
            }
        }
    }

    /// The first value of a series is remembered, unless there are too many.
    fn first_value(&mut self) {
        self.dropped.series_limit += u64::from(self.deltas.is_full());
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

    /// The labels of a point; `None` if the labels of the batch have become too much text.
    #[inline(always)]
    fn label_set(&mut self, course: &mut Course<'_, 'a>, attributes: KeyValues<'a>) -> Option<LabelSet> {
        if self.make_memory(course.mark) {
            course.target = course.context.target;
        }
        if attributes.is_empty() {
            return Some(course.base);
        }
        self.spend(course.base_bytes).then(|| self.collect(course, attributes))
    }

    /// Takes bytes from what labels may have. Returns false if none are left: the point is counted.
    #[inline]
    fn spend(&mut self, bytes: usize) -> bool {
        self.label_bytes = self.label_bytes.saturating_sub(bytes);
        let has_bytes = self.label_bytes > 0;
        self.dropped.push_too_large += u64::from(!has_bytes);
        has_bytes
    }

    fn collect(&mut self, course: &Course<'_, 'a>, attributes: KeyValues<'a>) -> LabelSet {
        self.labels.collect(attributes, course.context.converted, course.scope, self.rules.kubernetes)
    }

    /// Forgets the labels of a point that joined a group: the group has its own.
    #[inline]
    fn release(&mut self, course: &Course<'_, 'a>, set: LabelSet) {
        if set.span != course.base.span && !self.groups.latest_has(set.span) {
            self.labels.release(set.span);
            self.labels_identity = None;
        }
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
            _ => Identity::of_labels(&self.labels, set, self.series_hashers),
        };
        self.labels_identity = Some((set.span, labels));
        let hash = |state: &RandomState, identity: u64, labels: u64| {
            let mut hasher = state.build_hasher();
            hash_text(&mut hasher, course.name);
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
        let mut written = std::mem::take(&mut self.written);
        let mut changed = false;
        for (pattern, name) in
            [(&self.rules.group, &mut target.group), (&self.rules.stream, &mut target.stream)]
        {
            if pattern.is_empty() || !name.get(&self.labels.arena).contains(UNDEFINED) {
                continue;
            }
            written.clear();
            pattern.write(&mut written, |out, key| {
                let text = self.labels.get(set.span, key);
                text.iter().for_each(|text| out.push_str(text.get(&self.labels.arena)));
                text.is_some()
            });
            if written != name.get(&self.labels.arena) {
                *name = Text::make(&mut self.labels.arena, |arena| arena.push_str(&written));
                changed = true;
            }
        }
        self.written = written;
        if !changed {
            return;
        }
        course.target = self.groups.intern(&mut self.labels.arena, start, target);
    }
}
