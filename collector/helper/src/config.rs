//! The configuration blocks `sending_queue`, `retry_on_failure` and `timeout`.

use std::collections::BTreeSet;
use std::fmt;

use confmap::{Duration, Optional, Problems};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// `sending_queue`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "QueueKeys")]
pub struct QueueConfig {
    /// How many requests are sent at the same time.
    pub num_consumers: i64,
    /// How much the queue holds, in units of `sizer`; what is being sent counts.
    pub queue_size: i64,
    /// What `queue_size` counts.
    pub sizer: Sizer,
    /// Whether a full queue lets producers wait instead of refusing them.
    pub block_on_overflow: bool,
    /// Whether a producer gets the outcome of the export instead of an immediate success.
    pub wait_for_result: bool,
    /// The storage extension that keeps the queue on disk; `None` for a queue in memory.
    pub storage: Option<String>,
    /// How requests are joined before they are sent; `None` for not at all.
    pub batch: Option<BatchConfig>,
}

/// `sending_queue::batch`.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchConfig {
    /// How long the first request of a batch waits for others.
    pub flush_timeout: Duration,
    /// The size from which a batch is sent at once, in units of `sizer`.
    pub min_size: i64,
    /// The size that a batch does not exceed, in units of `sizer`; 0 for any.
    pub max_size: i64,
    /// What the sizes count: items or bytes.
    pub sizer: Sizer,
    /// What keeps batches apart.
    pub partition: PartitionConfig,
}

/// `sending_queue::batch::partition`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PartitionConfig {
    /// Requests are joined only if they have the same values of these client metadata keys.
    pub metadata_keys: Vec<String>,
}

/// What a size counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Sizer {
    /// Every request counts 1.
    #[default]
    Requests,
    /// Data points, log records, spans.
    Items,
    /// Bytes of the encoded request.
    Bytes,
}

/// `retry_on_failure`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct RetryConfig {
    /// Whether failed requests are sent again.
    pub enabled: bool,
    /// The first wait, before jitter.
    pub initial_interval: Duration,
    /// How far a wait may be from its interval, as a share of it.
    pub randomization_factor: f64,
    /// The growth of the interval per attempt.
    pub multiplier: f64,
    /// The longest interval, before jitter.
    pub max_interval: Duration,
    /// The time after which a request is given up; 0 for never.
    pub max_elapsed_time: Duration,
}

/// `timeout`, as exporters have it at their top level.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TimeoutConfig {
    /// The longest that one attempt takes; 0 for any.
    pub timeout: Duration,
}

/// The keys of `sending_queue` as written: whether `sizer` is written decides the sizer of `batch`.
#[derive(Deserialize)]
#[serde(default)]
struct QueueKeys {
    num_consumers: i64,
    queue_size: i64,
    sizer: SizerKey,
    block_on_overflow: bool,
    /// `block_on_overflow` by its name before 0.123; counts where it is written, as upstream.
    blocking: Option<bool>,
    wait_for_result: bool,
    storage: Option<String>,
    batch: Optional<BatchKeys>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct BatchKeys {
    flush_timeout: Duration,
    min_size: i64,
    max_size: i64,
    sizer: SizerKey,
    partition: PartitionConfig,
}

/// `sizer` as written; `None` if it is not. Upstream's own printed form of its default, `{}`, changes nothing.
#[derive(Debug, Clone, Copy, Default)]
struct SizerKey(Option<Sizer>);

struct SizerVisitor;

impl<'de> Visitor<'de> for SizerVisitor {
    type Value = SizerKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("requests, items or bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SizerKey, E> {
        Sizer::try_from(text.to_owned()).map(|sizer| SizerKey(Some(sizer))).map_err(E::custom)
    }

    fn visit_unit<E: de::Error>(self) -> Result<SizerKey, E> {
        Ok(SizerKey(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SizerKey, A::Error> {
        match map.next_key::<String>()? {
            None => Ok(SizerKey(None)),
            Some(key) => Err(de::Error::custom(format!(
                "invalid sizer key: {key:?} (valid values: requests, items, bytes)"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for SizerKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizerVisitor)
    }
}

impl QueueConfig {
    /// The section of exporters that queue unless told otherwise.
    pub fn on() -> Optional<QueueConfig> {
        Optional::some(Self::default())
    }

    /// The section of exporters that queue only when it is written.
    pub fn off() -> Optional<QueueConfig> {
        Optional::none()
    }

    /// Reports what is wrong; the caller is at the path of `sending_queue`.
    pub fn validate(&self, problems: &mut Problems) {
        if self.num_consumers <= 0 {
            problems.report("`num_consumers` must be positive");
        }
        if self.queue_size <= 0 {
            problems.report("`queue_size` must be positive");
        }
        if self.storage.is_some() && self.wait_for_result {
            problems.report(
                "`wait_for_result` is not supported with a persistent queue configured with `storage`",
            );
        }
        let Some(batch) = &self.batch else { return };
        if batch.sizer == self.sizer && batch.min_size > self.queue_size {
            problems.report("`min_size` must be less than or equal to `queue_size`");
        }
        problems.at("batch", |problems| batch.validate(problems));
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueKeys::default().into()
    }
}

impl BatchConfig {
    fn validate(&self, problems: &mut Problems) {
        if !matches!(self.sizer, Sizer::Items | Sizer::Bytes) {
            let sizer = self.sizer.as_str();
            problems.report(format!("`batch` supports only `items` or `bytes` sizer, found {sizer:?}"));
        }
        if self.flush_timeout == Duration::ZERO {
            problems.report("`flush_timeout` must be positive, found 0");
        }
        let (min, max) = (self.min_size, self.max_size);
        if min < 0 {
            problems.report(format!("`min_size` must be non-negative, found {min}"));
        }
        if max < 0 {
            problems.report(format!("`max_size` must be non-negative, found {max}"));
        }
        if max > 0 && max < min {
            problems.report(format!("`max_size` ({max}) must be greater or equal to `min_size` ({min})"));
        }
        problems.at("partition", |problems| self.partition.validate(problems));
    }
}

impl PartitionConfig {
    fn validate(&self, problems: &mut Problems) {
        let mut seen = BTreeSet::new();
        for key in self.metadata_keys.iter().map(|key| key.to_lowercase()) {
            if seen.contains(&key) {
                problems.report(format!("duplicate entry in metadata_keys: {key:?} (case-insensitive)"));
            }
            seen.insert(key);
        }
    }
}

impl Sizer {
    /// As the configuration calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Items => "items",
            Self::Bytes => "bytes",
        }
    }

    /// The size of a batch.
    pub fn size(self, batch: &pdata::Batch) -> u64 {
        match self {
            Self::Requests => 1,
            Self::Items => batch.items() as u64,
            Self::Bytes => batch.encoded_len() as u64,
        }
    }
}

impl TryFrom<String> for Sizer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "requests" => Ok(Self::Requests),
            "items" => Ok(Self::Items),
            "bytes" => Ok(Self::Bytes),
            _ => Err(format!("invalid sizer: {text:?} (valid values: requests, items, bytes)")),
        }
    }
}

impl RetryConfig {
    /// Reports what is wrong, also while retries are off; the caller is at the path of `retry_on_failure`.
    pub fn validate(&self, problems: &mut Problems) {
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            problems.report("'randomization_factor' must be within [0, 1]");
        }
        if !(self.multiplier >= 0.0 && self.multiplier.is_finite()) {
            problems.report("'multiplier' must be non-negative");
        }
        if self.max_elapsed_time > Duration::ZERO {
            if self.max_elapsed_time < self.initial_interval {
                problems.report("'max_elapsed_time' must not be less than 'initial_interval'");
            }
            if self.max_elapsed_time < self.max_interval {
                problems.report("'max_elapsed_time' must not be less than 'max_interval'");
            }
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_secs(300),
        }
    }
}

impl TimeoutConfig {
    /// The limit of one attempt; `None` for none.
    pub fn limit(&self) -> Option<std::time::Duration> {
        Some(self.timeout.0).filter(|timeout| !timeout.is_zero())
    }
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5) }
    }
}

impl Default for QueueKeys {
    fn default() -> Self {
        Self {
            num_consumers: 10,
            queue_size: 1000,
            sizer: SizerKey(None),
            block_on_overflow: false,
            blocking: None,
            wait_for_result: false,
            storage: None,
            batch: Optional::none(),
        }
    }
}

impl Default for BatchKeys {
    fn default() -> Self {
        Self {
            flush_timeout: Duration::from_millis(200),
            min_size: 8192,
            max_size: 0,
            sizer: SizerKey(None),
            partition: PartitionConfig::default(),
        }
    }
}

impl From<QueueKeys> for QueueConfig {
    fn from(keys: QueueKeys) -> Self {
        let batch = keys.batch.as_ref().map(|batch| BatchConfig {
            flush_timeout: batch.flush_timeout,
            min_size: batch.min_size,
            max_size: batch.max_size,
            sizer: batch.sizer.0.or(keys.sizer.0).unwrap_or(Sizer::Items),
            partition: batch.partition.clone(),
        });
        Self {
            num_consumers: keys.num_consumers,
            queue_size: keys.queue_size,
            sizer: keys.sizer.0.unwrap_or_default(),
            block_on_overflow: keys.blocking.unwrap_or(keys.block_on_overflow),
            wait_for_result: keys.wait_for_result,
            storage: keys.storage,
            batch,
        }
    }
}
