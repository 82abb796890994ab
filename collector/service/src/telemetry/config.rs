//! What users write below `service::telemetry`.

use std::collections::BTreeMap;

use confmap::{Duration, Problems};
use serde::Deserialize;
use serde_json::Value;

/// `service::telemetry`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TelemetryConfig {
    /// The collector's log.
    pub logs: LogsConfig,
    /// The collector's metrics.
    pub metrics: MetricsConfig,
    traces: TracesConfig,
    /// Attributes of the collector itself: `{attributes: [{name, value}], schema_url}`, or the older inline map.
    resource: BTreeMap<String, Value>,
}

/// `service::telemetry::logs`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct LogsConfig {
    /// `debug`, `info`, `warn`, `error`, `dpanic`, `panic`, `fatal`, in any case.
    pub level: String,
    /// `console` or `json`.
    pub encoding: String,
    development: bool,
    /// Leave out where in the code a line was written.
    pub disable_caller: bool,
    disable_stacktrace: bool,
    /// Thins out equal lines.
    pub sampling: SamplingConfig,
    /// `stderr`, `stdout` or file names.
    pub output_paths: Vec<String>,
    error_output_paths: Vec<String>,
    /// Fields of every line.
    pub initial_fields: BTreeMap<String, Value>,
    processors: Vec<Value>,
    disable_zap_resource: bool,
}

/// `service::telemetry::logs::sampling`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct SamplingConfig {
    /// Whether equal lines are thinned out at all.
    pub enabled: bool,
    /// The period in which lines are counted.
    pub tick: Duration,
    /// So many equal lines of a period are written.
    pub initial: u64,
    /// Then every so manieth; 0 for none.
    pub thereafter: u64,
}

/// `service::telemetry::metrics`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MetricsConfig {
    /// How much is measured.
    pub level: Level,
    readers: Option<Vec<Reader>>,
    views: Vec<Value>,
    /// Removed upstream in favour of `readers`; still understood here.
    address: Option<String>,
}

/// How much the collector measures of itself; written in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Level {
    /// Nothing.
    None,
    /// The essential.
    Basic,
    /// The default.
    #[default]
    Normal,
    /// Everything.
    Detailed,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Reader {
    pull: Option<Pull>,
    periodic: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Pull {
    exporter: PullExporter,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PullExporter {
    prometheus: Option<Prometheus>,
}

/// Where and how metrics are served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Prometheus {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) without_scope_info: bool,
    pub(crate) without_units: bool,
    pub(crate) without_type_suffix: bool,
    with_resource_constant_labels: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct TracesConfig {
    level: Option<Level>,
    propagators: Vec<String>,
    processors: Vec<Value>,
    sampler: Option<Value>,
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "basic" => Ok(Self::Basic),
            // `level:` without a value changes nothing.
            "" | "normal" => Ok(Self::Normal),
            "detailed" => Ok(Self::Detailed),
            _ => Err(format!("unknown metrics level {text:?} (valid values: none, basic, normal, detailed)")),
        }
    }
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            level: "info".into(),
            encoding: "console".into(),
            development: false,
            disable_caller: false,
            disable_stacktrace: false,
            sampling: SamplingConfig::default(),
            output_paths: vec!["stderr".into()],
            error_output_paths: vec!["stderr".into()],
            initial_fields: BTreeMap::new(),
            processors: Vec::new(),
            disable_zap_resource: false,
        }
    }
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            tick: Duration::from(std::time::Duration::from_secs(10)),
            initial: 10,
            thereafter: 100,
        }
    }
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: None,
            without_scope_info: true,
            without_units: true,
            without_type_suffix: true,
            with_resource_constant_labels: BTreeMap::new(),
        }
    }
}

impl LogsConfig {
    /// The least level that is written; `None` if the text is no level.
    pub(crate) fn level_filter(&self) -> Option<tracing::Level> {
        Some(match self.level.to_ascii_lowercase().as_str() {
            "debug" => tracing::Level::DEBUG,
            "" | "info" => tracing::Level::INFO,
            "warn" | "warning" => tracing::Level::WARN,
            "error" | "dpanic" | "panic" | "fatal" => tracing::Level::ERROR,
            _ => return None,
        })
    }
}

impl MetricsConfig {
    /// The servers to open: `localhost:8888` if nothing is said, none at level `none`.
    pub(crate) fn servers(&self) -> Vec<Prometheus> {
        if self.level == Level::None {
            return Vec::new();
        }
        if let Some((host, port)) = self.address.as_deref().and_then(|address| address.rsplit_once(':')) {
            return vec![Prometheus {
                host: host.to_owned(),
                port: port.parse().ok(),
                ..Prometheus::default()
            }];
        }
        match &self.readers {
            None => vec![Prometheus { port: Some(8888), ..Prometheus::default() }],
            Some(readers) => readers
                .iter()
                .filter_map(|reader| reader.pull.as_ref()?.exporter.prometheus.clone())
                .collect(),
        }
    }
}

impl TelemetryConfig {
    /// Attributes that replace (`Some`) or remove (`None`) the collector's own.
    pub(crate) fn resource(&self) -> BTreeMap<String, Option<String>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match self.resource.get("attributes") {
            Some(Value::Array(attributes)) => attributes
                .iter()
                .filter_map(|attribute| Some((text(attribute.get("name")?)?, text(attribute.get("value")?))))
                .collect(),
            _ => self.resource.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
        }
    }

    /// Reports what is wrong, and warns of what is accepted without effect.
    pub(crate) fn validate(&self, problems: &mut Problems, warnings: &mut Vec<String>) {
        problems.at("logs", |problems| self.logs.validate(problems));
        problems.at("metrics", |problems| self.metrics.validate(problems, warnings));
        if !self.traces.processors.is_empty() {
            warnings.push("service::telemetry::traces: this collector makes no spans of its own".into());
        }
        if !self.logs.processors.is_empty() {
            warnings.push(
                "service::telemetry::logs::processors: this collector writes its log to `output_paths` only"
                    .into(),
            );
        }
        problems.at("resource", |problems| {
            for (key, value) in &self.resource {
                let known = key == "attributes" || key == "schema_url";
                if !known && !value.is_string() && !value.is_null() {
                    problems.at(key, |problems| problems.report("expected a string or null"));
                }
            }
        });
    }
}

impl LogsConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.level_filter().is_none() {
            let message = format!("unrecognized level: {:?}", self.level);
            problems.at("level", |problems| {
                problems.report_with_help(message, "one of debug, info, warn, error, dpanic, panic, fatal");
            });
        }
        if !["console", "json"].contains(&self.encoding.as_str()) {
            let message = format!("no encoder registered for name {:?}", self.encoding);
            problems.at("encoding", |problems| problems.report_with_help(message, "console or json"));
        }
    }
}

impl MetricsConfig {
    fn validate(&self, problems: &mut Problems, warnings: &mut Vec<String>) {
        if let Some(address) = &self.address {
            warnings.push(format!(
                "service::telemetry::metrics::address was removed upstream; write readers: [{{pull: {{exporter: \
                 {{prometheus: {{host, port}}}}}}}}] instead of {address:?}"
            ));
        }
        if !self.views.is_empty() {
            problems.at("views", |problems| match self.level {
                Level::Detailed => warnings.push("service::telemetry::metrics::views have no effect here".into()),
                _ => problems.report(
                    "service::telemetry::metrics::views can only be set when service::telemetry::metrics::level is detailed",
                ),
            });
        }
        let none = self.readers.as_ref().is_some_and(Vec::is_empty);
        if none && self.address.is_none() && self.level != Level::None {
            problems.report("collector telemetry metrics reader should exist when metric level is not none");
        }
        for (index, reader) in self.readers.iter().flatten().enumerate() {
            problems.at("readers", |problems| problems.index(index, |problems| reader.validate(problems)));
        }
    }
}

impl Reader {
    fn validate(&self, problems: &mut Problems) {
        if self.periodic.is_some() {
            problems.at("periodic", |problems| {
                problems.report_with_help(
                    "this collector serves its metrics and does not push them",
                    "use `pull` with a prometheus exporter, and a prometheus scraper where they should be pushed",
                );
            });
        }
        match self.pull.as_ref().map(|pull| &pull.exporter.prometheus) {
            Some(Some(prometheus)) if prometheus.port.is_none() => problems.report("port must be specified"),
            Some(None) => problems.report("no valid exporter: `pull::exporter` needs `prometheus`"),
            None if self.periodic.is_none() => problems.report("must specify one of `pull` or `periodic`"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_in_any_case() {
        let check = |text: &str, expected: Result<Level, &str>| {
            let yaml = format!("{{metrics: {{level: {text}}}, traces: {{level: {text}}}}}");
            match (confmap::from_yaml::<TelemetryConfig>(&yaml), expected) {
                (Ok(config), Ok(level)) => {
                    assert_eq!((config.metrics.level, config.traces.level), (level, Some(level)), "{text}");
                }
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{text}: {error}");
                }
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        };
        check("None", Ok(Level::None));
        check("BASIC", Ok(Level::Basic));
        check("normal", Ok(Level::Normal));
        check("Detailed", Ok(Level::Detailed));
        check("some", Err("metrics::level: unknown metrics level \"some\" (valid values: none, basic"));
    }
}
