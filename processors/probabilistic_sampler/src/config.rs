//! What users write.

use confmap::Problems;
use serde::Deserialize;

use crate::threshold::{DIGITS, MIN_PROBABILITY};

/// The configuration of the processor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How much is kept, in percent; 100 and more for everything.
    pub sampling_percentage: f32,
    /// Goes into the hash of the mode `hash_seed`.
    pub hash_seed: u32,
    /// How it is decided what is kept.
    pub mode: Mode,
    /// Whether items without what decides are dropped.
    pub fail_closed: bool,
    /// Hexadecimal digits of a threshold, 1 to 14.
    pub sampling_precision: i64,
    /// Where the randomness of log records comes from.
    pub attribute_source: AttributeSource,
    /// The attribute of log records that is hashed, where the trace is not; empty for none.
    pub from_attribute: String,
    /// The attribute of log records that says how much of it is kept, in percent; empty for none.
    pub sampling_priority: String,
}

/// How it is decided what is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By a hash of the trace or of an attribute.
    #[default]
    #[serde(alias = "")]
    HashSeed,
    /// By the randomness of the trace, so that no more than the share is kept of everything.
    Equalizing,
    /// By the randomness of the trace, so that the share is kept of what comes.
    Proportional,
}

/// Where the randomness of log records comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum AttributeSource {
    /// The trace, or the attribute where there is none.
    #[default]
    #[serde(rename = "traceID")]
    TraceId,
    /// The attribute. So is the empty text, as upstream takes it.
    #[serde(rename = "record", alias = "")]
    Record,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sampling_percentage: 0.0,
            hash_seed: 0,
            mode: Mode::default(),
            fail_closed: true,
            sampling_precision: 4,
            attribute_source: AttributeSource::default(),
            from_attribute: String::new(),
            sampling_priority: String::new(),
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        let percentage = self.sampling_percentage;
        let ratio = f64::from(percentage) / 100.0;
        problems.at("sampling_percentage", |problems| {
            if !percentage.is_finite() {
                problems.report(format!("sampling rate is invalid: {percentage:.6}%"));
            } else if ratio < 0.0 {
                problems.report(format!("sampling rate is negative: {percentage:.6}%"));
            } else if ratio > 0.0 && ratio < MIN_PROBABILITY {
                problems.report(format!("sampling rate is too small: {percentage}%"));
            }
        });
        problems.at("sampling_precision", |problems| match self.sampling_precision {
            precision if precision > DIGITS as i64 => {
                problems.report(format!("sampling precision is too great, should be <= 14: {precision}"));
            }
            precision if precision <= 0 => {
                problems.report_with_help(format!("invalid sampling precision: {precision}"), "1 to 14");
            }
            _ => {}
        });
    }
}
