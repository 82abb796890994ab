//! What users write under `extensions: health_check:`.

use confmap::{Duration, Problems};
use net::{HttpServerConfig, HttpServerDefaults};
use serde::Deserialize;

/// The extension's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "(Own, HttpServerConfig<HealthDefaults>)")]
pub struct Config {
    /// The server.
    pub server: HttpServerConfig<HealthDefaults>,
    /// The path that is answered; `/` stands for all paths.
    pub path: String,
    /// Texts that replace the JSON answer.
    pub response_body: Option<ResponseBody>,
    /// Understood, without effect.
    pub check_collector_pipeline: CheckCollectorPipeline,
}

/// Texts that replace the JSON answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ResponseBody {
    /// While all pipelines run.
    pub healthy: String,
    /// At other times.
    pub unhealthy: String,
}

/// `check_collector_pipeline`: understood, without effect, as upstream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CheckCollectorPipeline {
    /// Whether failures of exporters would count.
    pub enabled: bool,
    /// In which time.
    pub interval: Duration,
    /// How many.
    pub exporter_failure_threshold: i64,
}

/// The defaults of the extension's server.
#[derive(Debug, Clone, Copy)]
pub struct HealthDefaults;

impl HttpServerDefaults for HealthDefaults {
    const ENDPOINT: &'static str = "localhost:13133";
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Own {
    path: String,
    response_body: Option<ResponseBody>,
    check_collector_pipeline: CheckCollectorPipeline,
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        self.server.validate(problems);
        if !self.path.starts_with('/') {
            problems.report("path must start with /");
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        (Own::default(), HttpServerConfig::default()).into()
    }
}

impl Default for Own {
    fn default() -> Self {
        Self {
            path: "/".into(),
            response_body: None,
            check_collector_pipeline: CheckCollectorPipeline::default(),
        }
    }
}

impl Default for CheckCollectorPipeline {
    fn default() -> Self {
        Self { enabled: false, interval: Duration::from_secs(300), exporter_failure_threshold: 5 }
    }
}

impl From<(Own, HttpServerConfig<HealthDefaults>)> for Config {
    fn from((own, server): (Own, HttpServerConfig<HealthDefaults>)) -> Self {
        let Own { path, response_body, check_collector_pipeline } = own;
        Self { server, path, response_body, check_collector_pipeline }
    }
}

#[cfg(test)]
mod tests {
    use component::Config as _;

    use super::*;

    #[test]
    fn defaults_and_problems() {
        assert_eq!(Config::default().server.endpoint, "localhost:13133");
        assert_eq!(Config::default().path, "/");
        let check = |yaml: &str, expected: &str| {
            let config: Config = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::default();
            config.validate(&mut problems);
            assert_eq!(problems.to_string(), expected, "{yaml}");
        };
        check("{}", "");
        check(
            "{endpoint: 'x:1', path: /health, check_collector_pipeline: {enabled: true, interval: 1m}}",
            "",
        );
        check("{path: health}", "path must start with /");
    }
}
