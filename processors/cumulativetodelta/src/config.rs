//! What users write.

use std::fmt;

use confmap::{Duration, Problems};
use pdata::rewrite::DataKind;
use processing::{MatchType, RegexpCache, Texts};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

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
    /// Treatment of the first point of a stream: `auto`, `keep` or `drop`, or the numbers 0 to 2 for them.
    pub initial_value: InitialValue,
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

/// Treatment of the first point of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InitialValue {
    /// It is kept if the stream began after the processor did.
    #[default]
    Auto,
    /// It is kept.
    Keep,
    /// It is dropped.
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
            initial_value: InitialValue::Auto,
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        problems.at("include", |problems| self.include.filter(problems));
        problems.at("exclude", |problems| self.exclude.filter(problems));
    }
}

struct InitialValueVisitor;

impl Visitor<'_> for InitialValueVisitor {
    type Value = InitialValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, keep or drop")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<InitialValue, E> {
        match name {
            "auto" => Ok(InitialValue::Auto),
            "keep" => Ok(InitialValue::Keep),
            "drop" => Ok(InitialValue::Drop),
            other => Err(E::custom(format!("unknown initial_value: {other} (one of auto, keep, drop)"))),
        }
    }

    /// The number of upstream's constant, as the CloudWatch agent writes it.
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<InitialValue, E> {
        match number {
            0 => Ok(InitialValue::Auto),
            1 => Ok(InitialValue::Keep),
            2 => Ok(InitialValue::Drop),
            other => Err(E::custom(format!("unknown initial_value: {other} (one of auto, keep, drop)"))),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<InitialValue, E> {
        self.visit_u64(u64::try_from(number).unwrap_or(u64::MAX))
    }

    fn visit_unit<E: de::Error>(self) -> Result<InitialValue, E> {
        Ok(InitialValue::Auto)
    }
}

impl<'de> Deserialize<'de> for InitialValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InitialValueVisitor)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_value_is_a_name_or_the_number_of_upstreams_constant() {
        let check = |text: &str, expected: Result<InitialValue, &str>| {
            let config = confmap::from_yaml::<Config>(&format!("initial_value: {text}"));
            match expected {
                Ok(expected) => assert_eq!(config.unwrap().initial_value, expected, "{text}"),
                Err(expected) => {
                    let error = config.unwrap_err().to_string();
                    assert!(error.contains(expected), "{text}: {error}");
                }
            }
        };
        check("auto", Ok(InitialValue::Auto));
        check("0", Ok(InitialValue::Auto));
        check("1", Ok(InitialValue::Keep));
        check("2", Ok(InitialValue::Drop));
        check("3", Err("unknown initial_value: 3 (one of auto, keep, drop)"));
        check("-1", Err("unknown initial_value"));
        check("first", Err("initial_value: unknown initial_value: first"));
    }
}
