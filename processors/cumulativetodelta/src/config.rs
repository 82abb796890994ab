//! What users write.

use confmap::{Duration, Problems};
use pdata::rewrite::DataKind;
use processing::{MatchType, RegexpCache, Texts};
use serde::Deserialize;

/// The configuration of the processor.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Only these metrics are converted.
    pub include: MatchMetrics,
    /// These metrics are not converted, even if they are included.
    pub exclude: MatchMetrics,
    /// A stream of which nothing was heard for so long is forgotten; zero for never.
    pub max_staleness: Duration,
    /// What becomes of the first point of a stream: `auto`, `keep` or `drop`.
    pub initial_value: String,
}

/// Which metrics are meant: by name and by type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MatchMetrics {
    /// Their names; any if there are none.
    pub metrics: Vec<String>,
    /// `strict` or `regexp`.
    pub match_type: String,
    /// Accepted; results of expressions need no cache.
    pub regexp: RegexpCache,
    /// `sum`, `histogram`, `exponentialhistogram`; any if there are none.
    pub metric_types: Vec<String>,
}

/// What becomes of the first point of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InitialValue {
    /// It is kept if the stream began after the processor did.
    Auto,
    Keep,
    Drop,
}

/// The compiled form of a [`MatchMetrics`].
#[derive(Debug, Default)]
pub(crate) struct Filter {
    names: Option<Texts>,
    kinds: Vec<DataKind>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            include: MatchMetrics::default(),
            exclude: MatchMetrics::default(),
            max_staleness: Duration::from_secs(3600),
            initial_value: "auto".to_owned(),
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        InitialValue::parse(&self.initial_value, problems);
        problems.at("include", |problems| self.include.filter(problems));
        problems.at("exclude", |problems| self.exclude.filter(problems));
    }
}

impl InitialValue {
    /// The value of a name; reported if there is none.
    pub(crate) fn parse(name: &str, problems: &mut Problems) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "keep" => Some(Self::Keep),
            "drop" => Some(Self::Drop),
            other => {
                problems.at("initial_value", |problems| {
                    problems.report_with_help(
                        format!("unknown initial_value: {other}"),
                        "one of auto, keep, drop",
                    );
                });
                None
            }
        }
    }
}

impl MatchMetrics {
    pub(crate) fn filter(&self, problems: &mut Problems) -> Filter {
        let names = match (self.metrics.is_empty(), self.match_type.is_empty()) {
            (true, true) => None,
            (false, true) => {
                problems.report("match_type must be set if metrics are supplied");
                None
            }
            (true, false) => {
                problems.report("metrics must be supplied if match_type is set");
                None
            }
            (false, false) => MatchType::parse(&self.match_type, problems).map(|match_type| {
                problems.at("metrics", |problems| Texts::new(match_type, &self.metrics, problems))
            }),
        };
        let kinds = self.metric_types.iter().enumerate();
        let kinds = kinds.filter_map(|(index, name)| {
            let kind = kind(name);
            if kind.is_none() {
                problems.at("metric_types", |problems| {
                    problems.index(index, |problems| {
                        let help = "one of sum, histogram, exponentialhistogram";
                        problems.report_with_help(format!("found invalid metric type: {name}"), help);
                    });
                });
            }
            kind
        });
        let kinds = kinds.collect();
        Filter { names, kinds }
    }
}

fn kind(name: &str) -> Option<DataKind> {
    Some(match name.to_lowercase().as_str() {
        "sum" => DataKind::Sum,
        "histogram" => DataKind::Histogram,
        "exponentialhistogram" => DataKind::ExponentialHistogram,
        _ => return None,
    })
}

impl Filter {
    /// Whether this, as `include`, lets a metric in.
    pub(crate) fn includes(&self, name: &str, kind: DataKind) -> bool {
        self.names.as_ref().is_none_or(|names| names.matches(name))
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
    }

    /// Whether this, as `exclude`, keeps a metric out: its name or its type is enough.
    pub(crate) fn excludes(&self, name: &str, kind: DataKind) -> bool {
        self.names.as_ref().is_some_and(|names| names.matches(name)) || self.kinds.contains(&kind)
    }
}
