//! What users write.

use confmap::{Optional, Problems};
use helper::QueueConfig;
use serde::Deserialize;

/// The configuration of the exporter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How much is written.
    pub verbosity: Verbosity,
    /// How many messages with the same text are written per second before sampling begins.
    pub sampling_initial: u32,
    /// Of the messages beyond, every how-many-eth is written; 0 for none.
    pub sampling_thereafter: u32,
    /// Whether the output goes to the collector's own log.
    pub use_internal_logger: bool,
    /// Where the output goes otherwise: `stdout`, `stderr` or paths of files, which are appended to.
    pub output_paths: Vec<String>,
    /// The sending queue; off unless it is written.
    pub sending_queue: Optional<QueueConfig>,
}

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Verbosity {
    /// One line of counts per batch.
    #[default]
    Basic,
    /// One line per item.
    Normal,
    /// Everything.
    Detailed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            verbosity: Verbosity::Basic,
            sampling_initial: 2,
            sampling_thereafter: 1,
            use_internal_logger: true,
            output_paths: vec!["stdout".to_owned()],
            sending_queue: QueueConfig::off(),
        }
    }
}

impl TryFrom<String> for Verbosity {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            // A null is the empty text.
            "" | "basic" => Ok(Self::Basic),
            "none" => Err("verbosity level \"None\" is not supported".to_owned()),
            "normal" => Ok(Self::Normal),
            "detailed" => Ok(Self::Detailed),
            _ => Err(format!("unknown metrics level {text:?} (valid values: basic, normal, detailed)")),
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        if self.use_internal_logger && self.output_paths != Self::default().output_paths {
            problems.report_with_help(
                "`output_paths` has no effect while `use_internal_logger` is true",
                "set `use_internal_logger: false`",
            );
        }
        if !self.use_internal_logger && self.output_paths.iter().any(String::is_empty) {
            problems.at("output_paths", |problems| problems.report("a path must not be empty"));
        }
        if let Some(queue) = self.sending_queue.as_ref() {
            problems.at("sending_queue", |problems| queue.validate(problems));
        }
    }
}
