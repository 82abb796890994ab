//! What is done to which metrics of a scope.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use regex::Regex;

use crate::aggregate::{self, Aggregation};
use crate::operation::Operation;
use crate::points::{self, Labels};

/// What is done to the metrics of a name.
#[derive(Debug)]
pub(crate) struct Transform {
    pub(crate) name: Text,
    pub(crate) labels: Vec<(String, Text)>,
    pub(crate) action: Action,
    /// Empty for the old name.
    pub(crate) new_name: String,
    pub(crate) operations: Vec<Operation>,
}

#[derive(Debug)]
pub(crate) enum Action {
    /// The metrics are changed.
    Update,
    /// Copies are changed and added.
    Insert,
    /// The metrics become one.
    Combine(Aggregation),
    /// The metrics move to a resource of their own with these attributes.
    Group(Vec<(String, String)>),
}

/// A text that is looked for.
#[derive(Debug)]
pub(crate) enum Text {
    Exactly(String),
    Pattern(Regex),
}

impl Text {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exactly(wanted) => wanted == text,
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

/// Runs all transforms on the metrics of one resource; what was moved to other resources is added to `grouped`.
pub(crate) fn run(transforms: &[Transform], entry: &mut ResourceMetrics, grouped: &mut Vec<ResourceMetrics>) {
    let (resource, schema_url) = (&entry.resource, &entry.schema_url);
    for scope in &mut entry.scope_metrics {
        for transform in transforms {
            let Action::Group(labels) = &transform.action else {
                transform.run(&mut scope.metrics);
                continue;
            };
            let metrics = transform.take(&mut scope.metrics);
            if metrics.is_empty() {
                continue;
            }
            let mut resource = resource.clone().unwrap_or_default();
            labels.iter().for_each(|(label, text)| points::set(&mut resource.attributes, label, text));
            grouped.push(ResourceMetrics {
                resource: Some(resource),
                scope_metrics: vec![ScopeMetrics {
                    scope: scope.scope.clone(),
                    metrics,
                    schema_url: scope.schema_url.clone(),
                }],
                schema_url: schema_url.clone(),
            });
        }
    }
    entry.scope_metrics.retain(|scope| !scope.metrics.is_empty());
}

impl Transform {
    fn run(&self, metrics: &mut Vec<Metric>) {
        match &self.action {
            Action::Update => metrics.retain_mut(|metric| !self.matches(metric) || self.change(metric)),
            Action::Insert => {
                let copies: Vec<Metric> = metrics
                    .iter()
                    .filter_map(|metric| self.copy_of(metric))
                    .filter_map(|mut copy| self.change(&mut copy).then_some(copy))
                    .collect();
                metrics.extend(copies);
            }
            Action::Combine(aggregation) => {
                let combinable = {
                    let matching: Vec<Metric> =
                        metrics.iter().filter_map(|metric| self.copy_of(metric)).collect();
                    let refusal = not_combinable(&matching);
                    if let Some(reason) = refusal {
                        tracing::warn!(new_name = self.new_name, reason, "unable to combine metrics");
                    }
                    !matching.is_empty() && refusal.is_none()
                };
                if combinable && let Some(mut metric) = self.combine(self.take(metrics), *aggregation) {
                    self.operate(&mut metric);
                    metrics.push(metric);
                }
            }
            Action::Group(_) => {}
        }
    }

    fn matches_labels(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(label, wanted)| wanted.matches(points::text(labels, label)))
    }

    /// Whether the name matches and the labels of any point do; without points, the name decides.
    fn matches(&self, metric: &Metric) -> bool {
        let is_asked = !self.labels.is_empty() && points::count(metric) > 0;
        self.name.matches(&metric.name)
            && (!is_asked || points::any(metric, |labels| self.matches_labels(labels)))
    }

    /// A copy with the points that match.
    fn copy_of(&self, metric: &Metric) -> Option<Metric> {
        self.matches(metric).then(|| {
            let mut copy = metric.clone();
            points::retain(&mut copy, |labels| self.matches_labels(labels));
            copy
        })
    }

    /// Takes the points that match, each with its metric.
    fn take(&self, metrics: &mut Vec<Metric>) -> Vec<Metric> {
        let mut taken = Vec::new();
        metrics.retain_mut(|metric| {
            let Some(copy) = self.copy_of(metric) else { return true };
            taken.push(copy);
            if self.labels.is_empty() {
                return false;
            }
            points::retain(metric, |labels| !self.matches_labels(labels));
            points::count(metric) > 0
        });
        taken
    }

    /// Renames a metric and runs the operations; whether anything is left of it.
    fn change(&self, metric: &mut Metric) -> bool {
        let was_empty = points::count(metric) == 0;
        if !self.new_name.is_empty() && self.all_match(metric) {
            metric.name = self.renamed(&metric.name);
        }
        self.operate(metric);
        was_empty || points::count(metric) > 0
    }

    fn all_match(&self, metric: &Metric) -> bool {
        !points::any(metric, |labels| !self.matches_labels(labels))
    }

    fn renamed(&self, name: &str) -> String {
        let Text::Pattern(pattern) = &self.name else { return self.new_name.clone() };
        let mut expanded = String::new();
        if let Some(captures) = pattern.captures(name) {
            captures.expand(&self.new_name, &mut expanded);
        }
        if expanded.is_empty() { self.new_name.clone() } else { expanded }
    }

    fn operate(&self, metric: &mut Metric) {
        for operation in &self.operations {
            if operation.is_per_point() {
                operation.run(metric, &|labels| self.matches_labels(labels));
            } else if self.all_match(metric) {
                operation.run(metric, &|_| true);
            }
        }
    }

    /// One metric of several; the groups of the expression become labels.
    fn combine(&self, metrics: Vec<Metric>, aggregation: Aggregation) -> Option<Metric> {
        let mut metrics = metrics.into_iter().map(|mut metric| {
            let name = std::mem::take(&mut metric.name);
            if let Text::Pattern(pattern) = &self.name
                && let Some(captures) = pattern.captures(&name)
            {
                let groups = pattern.capture_names().enumerate().skip(1).filter_map(|(index, name)| {
                    let text = captures.get(index)?.as_str();
                    let label = name.map_or_else(|| format!("${index}"), str::to_owned);
                    (!text.is_empty()).then_some((label, text))
                });
                let groups: Vec<(String, &str)> = groups.collect();
                points::for_each(&mut metric, |labels: &mut Vec<KeyValue>| {
                    groups.iter().for_each(|(label, text)| points::set(labels, label, text));
                });
            }
            metric
        });
        let mut combined = metrics.next()?;
        for metric in metrics {
            match (&mut combined.data, metric.data) {
                (Some(Data::Gauge(all)), Some(Data::Gauge(more))) => all.data_points.extend(more.data_points),
                (Some(Data::Sum(all)), Some(Data::Sum(more))) => all.data_points.extend(more.data_points),
                (Some(Data::Histogram(all)), Some(Data::Histogram(more))) => {
                    all.data_points.extend(more.data_points)
                }
                (Some(Data::ExponentialHistogram(all)), Some(Data::ExponentialHistogram(more))) => {
                    all.data_points.extend(more.data_points);
                }
                _ => {}
            }
        }
        combined.name = self.new_name.clone();
        aggregate::merge(&mut combined, aggregation);
        Some(combined)
    }
}

/// Why metrics cannot become one.
fn not_combinable(metrics: &[Metric]) -> Option<&'static str> {
    let (first, rest) = metrics.split_first()?;
    let kind = |metric: &Metric| match &metric.data {
        None => (0, 0, false),
        Some(Data::Gauge(_)) => (1, 0, false),
        Some(Data::Sum(sum)) => (2, sum.aggregation_temporality, sum.is_monotonic),
        Some(Data::Histogram(histogram)) => (3, histogram.aggregation_temporality, false),
        Some(Data::ExponentialHistogram(histogram)) => (4, histogram.aggregation_temporality, false),
        Some(Data::Summary(_)) => (5, 0, false),
    };
    let labels = |metric: &Metric| {
        let mut keys = BTreeSet::new();
        points::any(metric, |labels| {
            keys.extend(labels.iter().map(|pair| pair.key.clone()));
            false
        });
        keys
    };
    if kind(first).0 == 5 {
        return Some("Summary metrics cannot be combined");
    }
    if rest.iter().any(|metric| kind(metric) != kind(first)) {
        return Some("metrics cannot be combined as they are of different types");
    }
    if rest.iter().any(|metric| metric.unit != first.unit) {
        return Some("metrics cannot be combined as they have different units");
    }
    if rest.iter().any(|metric| labels(metric) != labels(first)) {
        return Some("metrics cannot be combined as they have different attributes");
    }
    None
}
