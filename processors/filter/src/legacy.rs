//! The blocks `include` and `exclude`.

use confmap::Problems;
use pdata::Signal;
use pdata::rewrite::{Level, Place};
use processing::{Criteria, MatchType, Matcher};

use crate::Config;
use crate::config::{LogCriteria, MetricCriteria, SpanCriteria};

/// What is kept of a signal by its blocks.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    include: Option<Block>,
    exclude: Option<Block>,
}

/// A block in two parts that are asked one by one: of metrics, the resource and the name.
#[derive(Debug, Default)]
struct Block {
    resource: Option<Matcher>,
    item: Option<Matcher>,
}

impl Legacy {
    pub(crate) fn new(config: &Config, signal: Signal, problems: &mut Problems) -> Self {
        let mut legacy = Self::default();
        let mut read = |section: &str, part: &str, block: &mut dyn FnMut(&mut Problems) -> Option<Block>| {
            problems.at(section, |problems| problems.at(part, block))
        };
        match signal {
            Signal::Metrics => {
                let of = |criteria: &Option<MetricCriteria>, problems: &mut Problems| {
                    criteria.as_ref().and_then(|criteria| of_metrics(criteria, problems))
                };
                legacy.include =
                    read("metrics", "include", &mut |problems| of(&config.metrics.include, problems));
                legacy.exclude =
                    read("metrics", "exclude", &mut |problems| of(&config.metrics.exclude, problems));
            }
            Signal::Logs => {
                let of = |criteria: &Option<LogCriteria>, problems: &mut Problems| {
                    criteria.as_ref().and_then(|criteria| of_logs(criteria, problems))
                };
                legacy.include = read("logs", "include", &mut |problems| of(&config.logs.include, problems));
                legacy.exclude = read("logs", "exclude", &mut |problems| of(&config.logs.exclude, problems));
            }
            Signal::Traces => {
                let of = |criteria: &Option<SpanCriteria>, problems: &mut Problems| {
                    criteria.as_ref().and_then(|criteria| of_spans(criteria, problems))
                };
                legacy.include =
                    read("spans", "include", &mut |problems| of(&config.spans.include, problems));
                legacy.exclude =
                    read("spans", "exclude", &mut |problems| of(&config.spans.exclude, problems));
            }
        }
        legacy
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.deepest().is_none()
    }

    /// The lowest level that is asked.
    pub(crate) fn deepest(&self) -> Option<Level> {
        let blocks = || [&self.include, &self.exclude].into_iter().flatten();
        if blocks().any(|block| block.item.is_some()) {
            return Some(Level::Item);
        }
        blocks().any(|block| block.resource.is_some()).then_some(Level::Resource)
    }

    /// Whether the blocks drop a resource, or an item.
    pub(crate) fn drops(&self, level: Level, place: &Place<'_>) -> bool {
        let is = |block: &Option<Block>, wanted: bool| {
            let block = block.as_ref();
            match level {
                Level::Resource => {
                    let matcher = block.and_then(|block| block.resource.as_ref());
                    matcher.is_some_and(|matcher| matcher.matches_resource(place) == wanted)
                }
                _ => {
                    let matcher = block.and_then(|block| block.item.as_ref());
                    matcher.is_some_and(|matcher| matcher.matches(place) == wanted)
                }
            }
        };
        is(&self.include, false) || is(&self.exclude, true)
    }
}

fn of_metrics(config: &MetricCriteria, problems: &mut Problems) -> Option<Block> {
    if config.match_type == "expr" {
        let help = "write the condition in `metrics.metric` or `metrics.datapoint`";
        problems.at("match_type", |problems| problems.report_with_help("expr is not supported", help));
        return None;
    }
    let match_type = MatchType::parse(&config.match_type, problems)?;
    let names = Criteria { names: ("metric_names", &config.metric_names), ..Criteria::default() };
    let resource =
        Criteria { resources: ("resource_attributes", &config.resource_attributes), ..Criteria::default() };
    Some(Block {
        resource: Matcher::new(Signal::Metrics, match_type, &resource, problems),
        item: Matcher::new(Signal::Metrics, match_type, &names, problems),
    })
}

fn of_logs(config: &LogCriteria, problems: &mut Problems) -> Option<Block> {
    // Upstream demands a type only where there are texts to compare; a least severity stands alone.
    let match_type = match config.match_type.as_str() {
        "" if config.severity_number.is_some() => MatchType::Strict,
        name => MatchType::parse(name, problems)?,
    };
    let criteria = Criteria {
        resources: ("resource_attributes", &config.resource_attributes),
        attributes: ("record_attributes", &config.record_attributes),
        severity_texts: ("severity_texts", &config.severity_texts),
        severity_number: config.severity_number.as_ref(),
        bodies: ("bodies", &config.bodies),
        ..Criteria::default()
    };
    Some(Block { resource: None, item: Matcher::new(Signal::Logs, match_type, &criteria, problems) })
}

fn of_spans(config: &SpanCriteria, problems: &mut Problems) -> Option<Block> {
    let match_type = MatchType::parse(&config.match_type, problems)?;
    let criteria = Criteria {
        services: ("services", &config.services),
        names: ("span_names", &config.span_names),
        span_kinds: ("span_kinds", &config.span_kinds),
        attributes: ("attributes", &config.attributes),
        resources: ("resources", &config.resources),
        libraries: ("libraries", &config.libraries),
        ..Criteria::default()
    };
    let item = Matcher::new(Signal::Traces, match_type, &criteria, problems);
    if item.is_none() && problems.is_empty() {
        let message = "at least one of services, span_names, span_kinds, attributes, libraries or resources must be specified";
        problems.report(message);
    }
    Some(Block { resource: None, item })
}
