//! What users write.

use std::collections::BTreeMap;

use aws::SessionConfig;
use confmap::{Duration, Optional, Problems};
use helper::{QueueConfig, RetryConfig};
use serde::Deserialize;

use crate::declaration::Declaration;

/// The text that `dimension_rollup_option` has by default.
const DEFAULT_ROLLUP: &str = "ZeroAndSingleDimensionRollup";
/// The text that `output_destination` has by default.
const DEFAULT_DESTINATION: &str = "cloudwatch";
/// The text that `version` has by default.
const DEFAULT_VERSION: &str = "1";
/// What joins the values of a label matcher.
const DEFAULT_SEPARATOR: &str = ";";

/// The configuration of the exporter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "(EmfConfig, SessionConfig)")]
pub struct Config {
    /// The exporter's own keys.
    pub emf: EmfConfig,
    /// How AWS is reached; at the same level.
    pub session: SessionConfig,
}

/// The exporter's own keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct EmfConfig {
    /// The CloudWatch namespace; empty for that of the service.
    pub namespace: String,
    /// The log group, with placeholders; empty for `/metrics/` and the namespace.
    pub log_group_name: String,
    /// The log stream, with placeholders; empty for a name of the exporter's own.
    pub log_stream_name: String,
    /// Days that groups made by this exporter keep events; 0 for ever.
    pub log_retention: i64,
    /// Tags of groups made by this exporter.
    pub tags: Option<BTreeMap<String, String>>,
    /// Which dimension sets are added to that of all labels.
    pub dimension_rollup_option: String,
    /// Which resource attributes become labels.
    pub resource_to_telemetry_conversion: ConversionConfig,
    /// Fields whose text is replaced by the JSON it holds.
    pub parse_json_encoded_attr_values: Vec<String>,
    /// Which metrics are extracted, over which dimensions; none for all metrics over all labels.
    pub metric_declarations: Vec<MetricDeclaration>,
    /// Units of metrics.
    pub metric_descriptors: Vec<MetricDescriptor>,
    /// `cloudwatch` or `stdout`.
    pub output_destination: String,
    /// Whether summaries are written value by value.
    pub detailed_metrics: bool,
    /// The envelope: `0` or `1`; with others no metric is extracted.
    pub version: String,
    /// Whether pods and containers get a `kubernetes` object.
    pub eks_fargate_container_insights_enabled: bool,
    /// Whether the first value of a cumulative series is sent.
    pub retain_initial_value_of_delta_metric: bool,
    /// Whether events without an extracted metric are dropped, and distributions of the Container Insights receivers
    /// are made deltas.
    pub enhanced_container_insights: bool,
    /// Whether fields are written without directives.
    pub disable_metric_extraction: bool,
    /// The extension of the CloudWatch agent that watches its AWS calls; no effect.
    pub middleware: Option<String>,
    /// A queue in front of the exporter; off unless written.
    pub sending_queue: Optional<QueueConfig>,
    /// Retries of pushes that failed; off unless written.
    pub retry_on_failure: Optional<RetryConfig>,
    /// The longest that a push takes; 0 for any.
    pub timeout: Duration,
}

/// `resource_to_telemetry_conversion`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ConversionConfig {
    /// Whether resource attributes become labels.
    pub enabled: bool,
    /// Whether the three attributes that identify a service are left out.
    pub exclude_service_attributes: bool,
    /// Patterns of the attributes that become labels; any switches the conversion on.
    pub included: Vec<String>,
    /// Patterns of the attributes that do not.
    pub excluded: Vec<String>,
    /// Whether names and namespaces do not see resource attributes any more.
    pub clear_after_copy: bool,
}

/// `metric_declarations[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MetricDeclaration {
    /// Dimension sets.
    pub dimensions: Vec<Vec<String>>,
    /// Regular expressions; one has to be found in a metric's name.
    pub metric_name_selectors: Vec<String>,
    /// One has to accept the labels, if there are any.
    pub label_matchers: Vec<LabelMatcherConfig>,
}

/// `metric_declarations[].label_matchers[]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LabelMatcherConfig {
    /// The labels whose values are joined.
    pub label_names: Vec<String>,
    /// What joins them.
    pub separator: String,
    /// The regular expression that has to be found in the joined values.
    pub regex: String,
}

/// `metric_descriptors[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MetricDescriptor {
    /// The metric.
    pub metric_name: String,
    /// Its CloudWatch unit.
    pub unit: String,
    /// Whether the unit also replaces one that the metric has.
    pub overwrite: bool,
}

/// Which dimension sets are added to that of all labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RollupOption {
    /// None.
    None,
    /// One per label.
    Single,
    /// The empty one and one per label.
    #[default]
    ZeroAndSingle,
}

/// Where events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Destination {
    /// CloudWatch Logs.
    #[default]
    CloudWatch,
    /// Standard output.
    Stdout,
}

impl From<(EmfConfig, SessionConfig)> for Config {
    fn from((emf, session): (EmfConfig, SessionConfig)) -> Self {
        Self { emf, session }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        self.session.validate(problems);
        self.emf.validate(problems);
    }
}

impl EmfConfig {
    pub(crate) fn rollup(&self) -> RollupOption {
        match self.dimension_rollup_option.as_str() {
            DEFAULT_ROLLUP => RollupOption::ZeroAndSingle,
            "SingleDimensionRollupOnly" => RollupOption::Single,
            _ => RollupOption::None,
        }
    }

    pub(crate) fn destination(&self) -> Destination {
        if self.output_destination.eq_ignore_ascii_case("stdout") {
            Destination::Stdout
        } else {
            Destination::CloudWatch
        }
    }

    fn validate(&self, problems: &mut Problems) {
        problems.at("log_retention", |problems| {
            if let Err(error) = aws::logs::check_retention(self.log_retention) {
                problems.report(error.to_string());
            }
        });
        problems.at("tags", |problems| {
            if let Err(error) = self.tags.as_ref().map_or(Ok(()), aws::logs::check_tags) {
                problems.report(error.to_string());
            }
        });
        if self.rollup() == RollupOption::None
            && !matches!(self.dimension_rollup_option.as_str(), "NoDimensionRollup" | "")
        {
            problems.at("dimension_rollup_option", |problems| {
                problems.report_with_help(
                    format!("unknown option {:?}", self.dimension_rollup_option),
                    "use ZeroAndSingleDimensionRollup, SingleDimensionRollupOnly or NoDimensionRollup",
                );
            });
        }
        let destination = &self.output_destination;
        if self.destination() == Destination::CloudWatch
            && !destination.eq_ignore_ascii_case(DEFAULT_DESTINATION)
        {
            problems.at("output_destination", |problems| {
                problems.report_with_help(
                    format!("unknown destination {destination:?}: all data would be discarded"),
                    "use cloudwatch or stdout",
                );
            });
        }
        problems.at("metric_declarations", |problems| {
            for (index, declaration) in self.metric_declarations.iter().enumerate() {
                if let Err(error) = Declaration::compile(declaration) {
                    problems.index(index, |problems| problems.report(error.to_string()));
                }
            }
        });
        if let Some(queue) = self.sending_queue.as_ref() {
            problems.at("sending_queue", |problems| queue.validate(problems));
        }
        if let Some(retry) = self.retry_on_failure.as_ref() {
            problems.at("retry_on_failure", |problems| retry.validate(problems));
        }
    }
}

impl Default for EmfConfig {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            log_group_name: String::new(),
            log_stream_name: String::new(),
            log_retention: 0,
            tags: None,
            dimension_rollup_option: DEFAULT_ROLLUP.to_owned(),
            resource_to_telemetry_conversion: ConversionConfig::default(),
            parse_json_encoded_attr_values: Vec::new(),
            metric_declarations: Vec::new(),
            metric_descriptors: Vec::new(),
            output_destination: DEFAULT_DESTINATION.to_owned(),
            detailed_metrics: false,
            version: DEFAULT_VERSION.to_owned(),
            eks_fargate_container_insights_enabled: false,
            retain_initial_value_of_delta_metric: false,
            enhanced_container_insights: false,
            disable_metric_extraction: false,
            middleware: None,
            sending_queue: QueueConfig::off(),
            retry_on_failure: Optional::none(),
            timeout: Duration::ZERO,
        }
    }
}

impl Default for LabelMatcherConfig {
    fn default() -> Self {
        Self { label_names: Vec::new(), separator: DEFAULT_SEPARATOR.to_owned(), regex: String::new() }
    }
}
