//! What users write.

use confmap::Problems;
use serde::Deserialize;

/// The configuration of the processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The names of the metrics that become rates.
    pub metrics: Vec<String>,
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        if self.metrics.is_empty() {
            problems.report("metric names are missing");
        }
    }
}
