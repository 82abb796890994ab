//! What users write.

use confmap::Problems;
use serde::Deserialize;

/// The configuration of the processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The attributes of items that go to their resource. Without any, equal resources are made one.
    pub keys: Vec<String>,
}

impl component::Config for Config {
    fn validate(&self, _: &mut Problems) {}
}

impl Config {
    /// The keys that say something, each once.
    pub(crate) fn distinct_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::with_capacity(self.keys.len());
        for key in self.keys.iter().filter(|key| !key.is_empty()) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }
}
