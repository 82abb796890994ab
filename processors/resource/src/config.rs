//! What users write.

use confmap::Problems;
use processing::ActionConfig;
use serde::Deserialize;

/// The configuration of the processor.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What is done to the attributes of every resource, in order.
    pub attributes: Vec<ActionConfig>,
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        processing::actions("attributes", &self.attributes, problems);
    }
}
