//! What users write.

use confmap::Problems;
use ottl::{ErrorMode, Groups};
use pdata::Signal;
use serde::Deserialize;

use crate::program::Program;

/// The configuration of the processor.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What becomes of errors of statements.
    pub error_mode: ErrorMode,
    /// Whether each log record has a resource and a scope of its own while statements run. Needs a feature gate.
    pub flatten_data: bool,
    /// What is done to metrics.
    pub metric_statements: Groups,
    /// What is done to log records.
    pub log_statements: Groups,
    /// What is done to spans.
    pub trace_statements: Groups,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            error_mode: ErrorMode::Propagate,
            flatten_data: false,
            metric_statements: Groups::default(),
            log_statements: Groups::default(),
            trace_statements: Groups::default(),
        }
    }
}

impl Config {
    /// The statements of a signal and their key.
    pub(crate) fn statements(&self, signal: Signal) -> (&'static str, &Groups) {
        match signal {
            Signal::Metrics => ("metric_statements", &self.metric_statements),
            Signal::Logs => ("log_statements", &self.log_statements),
            Signal::Traces => ("trace_statements", &self.trace_statements),
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        for signal in Signal::ALL {
            Program::new(self, signal, problems);
        }
    }
}
