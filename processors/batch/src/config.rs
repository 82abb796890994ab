//! What users write.

use std::collections::BTreeSet;

use confmap::{Duration, Problems};
use serde::Deserialize;

/// The configuration of the processor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The longest that an item waits for others; 0 for sending every request at once.
    pub timeout: Duration,
    /// The number of items from which a batch is sent; 0 for sending every request at once.
    pub send_batch_size: u32,
    /// The most items in a batch; 0 for any number.
    pub send_batch_max_size: u32,
    /// Only requests with the same values of these client metadata keys are joined.
    pub metadata_keys: Vec<String>,
    /// How many combinations of values may occur; 0 for any number.
    pub metadata_cardinality_limit: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(200),
            send_batch_size: 8192,
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

impl Config {
    /// The metadata keys in lower case, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.metadata_keys.iter().map(|key| key.to_lowercase()).collect();
        keys.sort();
        keys
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        if self.send_batch_max_size > 0 && self.send_batch_max_size < self.send_batch_size {
            problems.report("send_batch_max_size must be greater or equal to send_batch_size");
        }
        let mut seen = BTreeSet::new();
        for key in self.keys() {
            if seen.contains(&key) {
                problems.report(format!("duplicate entry in metadata_keys: {key:?} (case-insensitive)"));
            }
            seen.insert(key);
        }
    }
}
