//! What a resource decides for all its points.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use pdata::KeyValueView;

use crate::group::{Groups, Target};
use crate::labels::{LabelSet, Labels, hash_text, write_value};
use crate::names::write_service_namespace;
use crate::rules::Rules;
use crate::text::{Span, Text};

/// What a resource decides for all its points.
#[derive(Debug)]
pub(crate) struct ResourceContext {
    /// The labels that its attributes became.
    pub(crate) converted: Span,
    /// Where its events go.
    pub(crate) target: u32,
    /// Whether a placeholder of a name found nothing.
    pub(crate) incomplete: bool,
    /// Whether a Prometheus receiver scraped it.
    pub(crate) prometheus: bool,
    /// Whether summaries are cumulative.
    pub(crate) summary_deltas: bool,
    /// Whether histograms are cumulative and to be made deltas.
    pub(crate) histogram_deltas: bool,
}

/// Upstream's word for the receiver that scrapes Prometheus targets.
const PROMETHEUS: &str = "prometheus";
/// Upstream's word for the receiver of Container Insights.
const CONTAINER_INSIGHTS: &str = "awscontainerinsight";
/// What the names of the services begin with whose distributions the CloudWatch agent scrapes for Container Insights.
const INSIGHTS_SCRAPERS: [&str; 4] = [
    "containerInsightsKubeAPIServerScraper",
    "containerInsightsDCGMExporterScraper",
    "containerInsightsNeuronMonitorScraper",
    "containerInsightsKueueMetricsScraper",
];

impl ResourceContext {
    pub(crate) fn new(
        rules: &Rules,
        attributes: &[KeyValueView<'_>],
        converted: Span,
        groups: &mut Groups,
        arena: &mut String,
    ) -> Self {
        let find = |key: &str| attributes.iter().rev().find(|pair| pair.key == key).map(|pair| pair.value);
        let text = |key: &str| find(key).and_then(|value| value.as_str());
        let start = arena.len();
        let namespace = Text::make(arena, |arena| {
            if rules.namespace.is_empty() {
                write_service_namespace(arena, text("service.namespace"), text("service.name"));
            } else {
                arena.push_str(&rules.namespace);
            }
        });
        let mut complete = true;
        let mut write = |out: &mut String, key: &str| {
            let value = find(key);
            value.iter().for_each(|value| write_value(out, *value));
            value.is_some()
        };
        let group = if rules.group.is_empty() {
            Text::make(arena, |arena| {
                arena.push_str("/metrics/");
                if let Text::Made { start, end } = namespace {
                    arena.extend_from_within(start..end);
                }
            })
        } else {
            Text::make(arena, |arena| complete &= rules.group.write(arena, &mut write))
        };
        let stream = Text::make(arena, |arena| {
            if rules.stream.is_empty() {
                arena.push_str(&rules.default_stream);
            } else {
                complete &= rules.stream.write(arena, &mut write);
            }
        });
        let receiver = text("receiver").unwrap_or_default();
        let service = text("service.name").unwrap_or_default();
        let insights = rules.enhanced
            && (receiver == CONTAINER_INSIGHTS
                || INSIGHTS_SCRAPERS.iter().any(|name| service.starts_with(name)));
        Self {
            converted,
            target: groups.intern(arena, start, Target { namespace, group, stream }),
            incomplete: !complete,
            prometheus: receiver == PROMETHEUS,
            summary_deltas: receiver == PROMETHEUS || insights,
            histogram_deltas: insights,
        }
    }
}

/// What a resource, or the labels of a point, contribute to the identity of a series; 128 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity(pub(crate) u64, pub(crate) u64);

impl Identity {
    /// That of a resource: where its events go, and its attributes in any order.
    pub(crate) fn of<'t>(
        names: impl Iterator<Item = &'t str> + Clone,
        attributes: &[KeyValueView<'_>],
        states: &(RandomState, RandomState),
    ) -> Self {
        let mut text = String::new();
        let mut hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            names.clone().for_each(|name| hash_text(&mut hasher, name));
            let mut sum = 0_u64;
            for pair in attributes {
                text.clear();
                write_value(&mut text, pair.value);
                let mut one = state.build_hasher();
                hash_text(&mut one, pair.key);
                hash_text(&mut one, &text);
                sum = sum.wrapping_add(one.finish());
            }
            hasher.write_u64(sum);
            hasher.finish()
        };
        Self(hash(&states.0), hash(&states.1))
    }

    /// That of labels.
    pub(crate) fn of_labels(labels: &Labels<'_>, set: LabelSet, states: &(RandomState, RandomState)) -> Self {
        // The hash that groups are found by is as good as another.
        Self(set.hash, labels.hash(set.span, &states.1))
    }
}
