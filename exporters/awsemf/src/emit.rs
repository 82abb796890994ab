//! From groups to events.

use crate::declaration::{Bits, Matches};
use crate::group::{Group, Groups, Target};
use crate::json::Decoded;
use crate::labels::Labels;
use crate::metric::{MetricId, Metrics};
use crate::rules::Rules;
use crate::series::SeriesLimit;
use crate::template::{Shape, Template, Templates};
use crate::translate::{Dropped, EventSink};
use crate::value::{Value, Values};

/// What is used again for every event.
#[derive(Debug, Default)]
pub(crate) struct Emission {
    metrics: Vec<MetricId>,
    values: Vec<Value>,
    accepted: Bits,
    matches: Matches,
    decoded: Decoded,
    /// No metric.
    none: Bits,
    over: Bits,
}

/// Writes the groups of a batch.
pub(crate) struct Emitter<'t, 'a> {
    pub(crate) rules: &'t Rules,
    pub(crate) metrics: &'t Metrics,
    pub(crate) templates: &'t mut Templates,
    pub(crate) groups: &'t Groups,
    pub(crate) values: &'t Values,
    pub(crate) labels: &'t Labels<'a>,
    pub(crate) series: &'t mut SeriesLimit,
    pub(crate) dropped: &'t mut Dropped,
    /// Unix time in milliseconds.
    pub(crate) now: i64,
}

/// Where an event goes, and what it says beside its template.
#[derive(Clone, Copy)]
struct Content<'e> {
    group: &'e Group,
    target: Target,
    shape: Shape<'e>,
    values: &'e [Value],
}

impl Emitter<'_, '_> {
    /// Writes all groups, in order of first appearance.
    pub(crate) fn all<S: EventSink>(&mut self, emission: &mut Emission, sink: &mut S) {
        let (groups, labels) = (self.groups, self.labels);
        let Emission { metrics, values, accepted, matches, decoded, none, over } = emission;
        for group in groups.list() {
            let Some(target) = groups.target(group.key.target) else { continue };
            groups.values(group, metrics, values);
            if sink.is_exhausted() {
                self.dropped.push_too_large += metrics.len() as u64;
                continue;
            }
            if sink.max_event_bytes().is_some_and(|max| labels.bytes(group.labels) > max) {
                self.too_large(metrics);
                continue;
            }
            self.rules.declarations.accepting(accepted, matches, |name| {
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
                excluded: none,
            };
            let mut content = Content { group, target, shape, values };
            let Some(mut template) = self.templates.find(self.rules, self.metrics, &shape) else { continue };
            self.dropped.duplicate += template.duplicates as u64;
            self.dropped.oversized_dimension_sets += template.oversized_sets as u64;
            if self.rules.enhanced && !template.extracts() && !self.rules.no_extraction {
                self.dropped.no_metrics += 1;
                continue;
            }
            let label = |at: usize| shape.labels.get(at).map_or("", |label| label.text.get(shape.arena));
            over.clear();
            let refused = self.series.admit(shape.namespace, &template.extraction, label, over, self.now);
            if refused > 0 {
                self.dropped.series_over_limit += refused;
                content.shape.excluded = over;
                let found = self.templates.find(self.rules, self.metrics, &content.shape);
                let Some(without) = found else { continue };
                template = without;
            }
            if !write(self.values, template, &content, decoded, sink) {
                let places = self.places(metrics);
                self.halves(&places, &content, decoded, sink);
            }
        }
    }

    /// Counts values that make an event too large even alone.
    fn too_large(&mut self, metrics: &[MetricId]) {
        if self.dropped.too_large == 0 {
            let metric = metrics.first().and_then(|id| self.metrics.get(*id));
            let metric = metric.map_or("", |metric| &metric.name);
            tracing::warn!(metric, "dropping values that make an event too large even alone");
        }
        self.dropped.too_large += metrics.len() as u64;
    }

    /// The places of a group's metrics by name, without repeats.
    fn places(&self, metrics: &[MetricId]) -> Vec<usize> {
        let name =
            |at: usize| metrics.get(at).and_then(|id| self.metrics.get(*id)).map(|metric| &metric.name);
        let mut places: Vec<usize> = (0..metrics.len()).collect();
        places.sort_by_key(|at| name(*at));
        places.dedup_by_key(|at| name(*at));
        places
    }

    /// Writes the two halves of an event that is too large, each with the directives of its metrics.
    fn halves<S: EventSink>(
        &mut self,
        places: &[usize],
        whole: &Content<'_>,
        decoded: &mut Decoded,
        sink: &mut S,
    ) {
        if places.len() < 2 {
            return self.too_large(whole.shape.metrics);
        }
        if sink.is_exhausted() {
            self.dropped.push_too_large += places.len() as u64;
            return;
        }
        let (first, second) = places.split_at_checked(places.len() / 2).unwrap_or_default();
        for half in [first, second] {
            let metrics: Vec<MetricId> =
                half.iter().filter_map(|at| whole.shape.metrics.get(*at).copied()).collect();
            let values: Vec<Value> = half.iter().filter_map(|at| whole.values.get(*at).copied()).collect();
            let mut excluded = Bits::default();
            for (at, _) in half.iter().enumerate().filter(|(_, place)| whole.shape.excluded.contains(**place))
            {
                excluded.insert(at);
            }
            let shape = Shape { metrics: &metrics, excluded: &excluded, ..whole.shape };
            let content = Content { shape, values: &values, ..*whole };
            let Some(template) = self.templates.find(self.rules, self.metrics, &shape) else { continue };
            if !write(self.values, template, &content, decoded, sink) {
                let all: Vec<usize> = (0..metrics.len()).collect();
                self.halves(&all, &content, decoded, sink);
            }
        }
    }
}

/// Writes an event. `false` if it is too large.
#[inline]
fn write<S: EventSink>(
    values: &Values,
    template: &Template,
    content: &Content<'_>,
    decoded: &mut Decoded,
    sink: &mut S,
) -> bool {
    if sink.max_event_bytes().is_some_and(|max| template.plain_len > max) {
        return false;
    }
    let Content { group, target, shape, .. } = content;
    // A point that became several values counts with its first one.
    let points = shape.metrics.len() - template.duplicates;
    let items = if group.key.part == 0 { points as u32 } else { 0 };
    let (group_name, stream) = (target.group.get(shape.arena), target.stream.get(shape.arena));
    let Some(out) = sink.begin(group_name, stream, group.key.timestamp, items) else { return true };
    let places = (values, content.values);
    let plain_len = if S::ESCAPED {
        template.render::<true>(out, shape, group.key.timestamp, places, decoded)
    } else {
        template.render::<false>(out, shape, group.key.timestamp, places, decoded)
    };
    sink.end(plain_len)
}
