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
/// The longest message that CloudWatch Logs takes, in bytes.
const MAX_EVENT_BYTES: usize = 1_048_550;
/// The least limit of messages that leaves room for directives, in bytes.
const MIN_EVENT_BYTES: usize = 1_024;
/// The metrics over dimension values that a namespace may have unless configured.
const DEFAULT_SERIES_LIMIT: usize = 500_000;
/// Megabytes of the output file unless configured.
const DEFAULT_FILE_MEGABYTES: u64 = 100;
/// Rotated output files that are kept unless configured.
const DEFAULT_FILE_BACKUPS: usize = 10;
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
    /// Container Insights' settings for all keys that are not written: `base`, `enhanced` or `lean`; empty for none.
    pub container_insights_profile: String,
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
    /// `cloudwatch`, `stdout` or `file`.
    pub output_destination: String,
    /// Where events go with the destination `file`.
    pub output_file: Option<OutputFileConfig>,
    /// The largest event, in bytes of its text; larger ones are split by metrics.
    pub max_event_bytes: usize,
    /// How many series (a metric over the values of a dimension set) a namespace may have; 0 for any.
    pub metric_series_limit: usize,
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
    /// A key of the CloudWatch agent's build: entities of log events; no effect.
    pub add_entity: bool,
    /// A key of the CloudWatch agent's build: metrics that it collects into distributions; no effect.
    pub metric_as_distribution: Vec<String>,
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

/// `output_file`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OutputFileConfig {
    /// The file that events are appended to; its directory has to exist.
    pub path: String,
    /// Megabytes (2²⁰ bytes) after which the file is put aside and a new one begun; 0 is 100, as upstream.
    pub max_megabytes: u64,
    /// How many of the files put aside are kept; 0 for all.
    pub max_backups: usize,
    /// For how many days files put aside are kept; 0 for ever.
    pub max_days: u64,
    /// Whether names of files put aside have local time rather than UTC.
    pub localtime: bool,
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
    /// A file.
    File,
}

impl From<(EmfConfig, SessionConfig)> for Config {
    fn from((emf, session): (EmfConfig, SessionConfig)) -> Self {
        Self { emf: crate::profile::applied(emf), session }
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

    /// Where events go; `None` for a word that means nothing.
    fn known_destination(&self) -> Option<Destination> {
        let is = |word: &str| self.output_destination.eq_ignore_ascii_case(word);
        if is(DEFAULT_DESTINATION) {
            Some(Destination::CloudWatch)
        } else if is("stdout") {
            Some(Destination::Stdout)
        } else if is("file") {
            Some(Destination::File)
        } else {
            None
        }
    }

    pub(crate) fn destination(&self) -> Destination {
        self.known_destination().unwrap_or_default()
    }

    pub(crate) fn validate(&self, problems: &mut Problems) {
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
        self.validate_output(problems);
        problems.at("container_insights_profile", |problems| {
            crate::profile::validate(&self.container_insights_profile, problems);
        });
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

impl EmfConfig {
    fn validate_output(&self, problems: &mut Problems) {
        match self.known_destination() {
            Some(Destination::File) => {
                let path = self.output_file.as_ref().map_or("", |file| &file.path);
                if path.is_empty() {
                    problems.at("output_file", |problems| {
                        problems.at("path", |problems| problems.report("must be set to write to a file"));
                    });
                }
            }
            Some(Destination::CloudWatch | Destination::Stdout) => {}
            None => problems.at("output_destination", |problems| {
                let destination = &self.output_destination;
                problems.report_with_help(
                    format!("unknown destination {destination:?}: all data would be discarded"),
                    "use cloudwatch, stdout or file",
                );
            }),
        }
        if !(MIN_EVENT_BYTES..=MAX_EVENT_BYTES).contains(&self.max_event_bytes) {
            problems.at("max_event_bytes", |problems| {
                problems.report(format!(
                    "must be between {MIN_EVENT_BYTES} and {MAX_EVENT_BYTES}, not {}",
                    self.max_event_bytes
                ));
            });
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
            container_insights_profile: String::new(),
            dimension_rollup_option: DEFAULT_ROLLUP.to_owned(),
            resource_to_telemetry_conversion: ConversionConfig::default(),
            parse_json_encoded_attr_values: Vec::new(),
            metric_declarations: Vec::new(),
            metric_descriptors: Vec::new(),
            output_destination: DEFAULT_DESTINATION.to_owned(),
            output_file: None,
            max_event_bytes: MAX_EVENT_BYTES,
            metric_series_limit: DEFAULT_SERIES_LIMIT,
            detailed_metrics: false,
            version: DEFAULT_VERSION.to_owned(),
            eks_fargate_container_insights_enabled: false,
            retain_initial_value_of_delta_metric: false,
            enhanced_container_insights: false,
            disable_metric_extraction: false,
            middleware: None,
            add_entity: false,
            metric_as_distribution: Vec::new(),
            sending_queue: QueueConfig::off(),
            retry_on_failure: Optional::none(),
            timeout: Duration::ZERO,
        }
    }
}

impl Default for OutputFileConfig {
    fn default() -> Self {
        Self {
            path: String::new(),
            max_megabytes: DEFAULT_FILE_MEGABYTES,
            max_backups: DEFAULT_FILE_BACKUPS,
            max_days: 0,
            localtime: false,
        }
    }
}

impl OutputFileConfig {
    /// The size after which a new file is begun, in bytes.
    pub(crate) fn max_bytes(&self) -> u64 {
        let megabytes = if self.max_megabytes == 0 { DEFAULT_FILE_MEGABYTES } else { self.max_megabytes };
        megabytes.saturating_mul(1 << 20)
    }
}

impl Default for LabelMatcherConfig {
    fn default() -> Self {
        Self { label_names: Vec::new(), separator: DEFAULT_SEPARATOR.to_owned(), regex: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_destinations_are_checked() {
        let check = |keys: &str, expected: Option<&str>| {
            let config: Config = confmap::from_yaml(&format!("region: r\n{keys}")).unwrap();
            let mut problems = Problems::default();
            component::Config::validate(&config, &mut problems);
            let got = problems.into_result().map_err(|problems| problems.to_string());
            match expected {
                None => assert_eq!(got.map_err(|text| format!("{keys}: {text}")), Ok(())),
                Some(expected) => assert!(got.is_err_and(|text| text.contains(expected)), "{keys}"),
            }
        };
        check("max_event_bytes: 262118", None);
        check("max_event_bytes: 1024", None);
        check("max_event_bytes: 1023", Some("max_event_bytes: must be between 1024 and 1048550, not 1023"));
        check("max_event_bytes: 1048551", Some("not 1048551"));
        check(
            "output_destination: FILE\noutput_file: {path: /tmp/x, max_megabytes: 5, localtime: true}",
            None,
        );
        check(
            "output_destination: file\noutput_file: {max_backups: 1}",
            Some("output_file::path: must be set"),
        );
        check("add_entity: true\nmetric_as_distribution: [m]\nmetric_series_limit: 0", None);
    }
}
