//! What users may write, and what they are told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure is a failed test")]

use component::Config;
use confmap::{Optional, Problems};
use helper::{QueueConfig, RetryConfig, Sizer, TimeoutConfig};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Exporter {
    sending_queue: Optional<QueueConfig>,
    retry_on_failure: RetryConfig,
}

impl Default for Exporter {
    fn default() -> Self {
        Self { sending_queue: QueueConfig::on(), retry_on_failure: RetryConfig::default() }
    }
}

impl Config for Exporter {
    fn validate(&self, problems: &mut Problems) {
        if let Some(queue) = self.sending_queue.as_ref() {
            problems.at("sending_queue", |problems| queue.validate(problems));
        }
        problems.at("retry_on_failure", |problems| self.retry_on_failure.validate(problems));
    }
}

fn decode(yaml: &str) -> Result<Exporter, String> {
    let config: Exporter = confmap::from_yaml(yaml).map_err(|problems| problems.to_string())?;
    let mut problems = Problems::default();
    config.validate(&mut problems);
    if problems.is_empty() { Ok(config) } else { Err(problems.to_string()) }
}

fn queue(yaml: &str) -> Option<QueueConfig> {
    decode(yaml).unwrap().sending_queue.into_option()
}

#[test]
fn defaults() {
    let config = queue("").unwrap();
    assert_eq!(config, QueueConfig::default());
    assert_eq!((config.num_consumers, config.queue_size, config.sizer), (10, 1000, Sizer::Requests));
    assert!(!config.block_on_overflow && !config.wait_for_result);
    assert!(config.batch.is_none());
    assert_eq!(queue("sending_queue:"), Some(QueueConfig::default()));
    assert_eq!(queue("sending_queue: {enabled: false}"), None);
    assert_eq!(queue("sending_queue: {storage: file_storage}").unwrap().storage.unwrap(), "file_storage");
    assert_eq!(queue("sending_queue: {queue_size: 10.9}").unwrap().queue_size, 10);
    assert_eq!(TimeoutConfig::default().limit().unwrap().as_secs(), 5);
    assert_eq!(confmap::from_yaml::<TimeoutConfig>("timeout: 0s").unwrap().limit(), None);
}

#[test]
fn the_queue_as_the_cloudwatch_agent_prints_it_changes_nothing() {
    let printed = "sending_queue: {block_on_overflow: false, blocking: false, enabled: true, num_consumers: 10, \
                   queue_size: 1000, sizer: {}, wait_for_result: false}";
    assert_eq!(queue(printed), queue("{}"));
}

#[test]
fn the_old_name_of_block_on_overflow_counts_where_it_is_written() {
    let blocks = |keys: &str| queue(&format!("sending_queue: {{{keys}}}")).unwrap().block_on_overflow;
    assert!(blocks("blocking: true"));
    assert!(blocks("blocking: true, block_on_overflow: false"));
    assert!(!blocks("blocking: false, block_on_overflow: true"));
    assert!(blocks("block_on_overflow: true"));
}

#[test]
fn a_sizer_with_keys_is_refused() {
    let error = decode("sending_queue: {sizer: {items: 1}}").unwrap_err();
    assert!(
        error.contains("sending_queue::sizer") && error.contains("invalid sizer key: \"items\""),
        "{error}"
    );
}

#[test]
fn the_batch_inherits_the_sizer_that_is_written() {
    let sizer = |yaml: &str| queue(yaml).unwrap().batch.unwrap().sizer;
    assert_eq!(sizer("sending_queue: {batch: {}}"), Sizer::Items);
    assert_eq!(sizer("sending_queue: {sizer: bytes, queue_size: 100000, batch: {}}"), Sizer::Bytes);
    assert_eq!(sizer("sending_queue: {sizer: bytes, batch: {sizer: items}}"), Sizer::Items);
    assert_eq!(sizer("sending_queue: {sizer: requests, batch: {sizer: items}}"), Sizer::Items);
    let batch = queue("sending_queue: {batch: {}}").unwrap().batch.unwrap();
    assert_eq!((batch.min_size, batch.max_size, batch.flush_timeout.as_millis()), (8192, 0, 200));
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let error = decode(yaml).err().unwrap_or_default();
        assert!(error.contains(expected), "{yaml}\n{error}");
    };
    check("sending_queue: {num_consumers: 0}", "sending_queue: `num_consumers` must be positive");
    check("sending_queue: {queue_size: 0}", "sending_queue: `queue_size` must be positive");
    check("sending_queue: {queue_size: -5}", "`queue_size` must be positive");
    check("sending_queue: {sizer: pods}", "invalid sizer: \"pods\"");
    check(
        "sending_queue: {storage: file_storage, wait_for_result: true}",
        "`wait_for_result` is not supported with a persistent queue configured with `storage`",
    );
    check(
        "sending_queue: {sizer: requests, batch: {min_size: 10}}",
        "sending_queue::batch: `batch` supports only `items` or `bytes` sizer, found \"requests\"",
    );
    check(
        "sending_queue: {sizer: items, batch: {min_size: 1001}}",
        "`min_size` must be less than or equal to `queue_size`",
    );
    check("sending_queue: {batch: {flush_timeout: 0s}}", "`flush_timeout` must be positive");
    check(
        "sending_queue: {batch: {max_size: 10}}",
        "`max_size` (10) must be greater or equal to `min_size` (8192)",
    );
    check("sending_queue: {batch: {min_size: -1}}", "`min_size` must be non-negative, found -1");
    check(
        "sending_queue: {batch: {partition: {metadata_keys: [a, A]}}}",
        "sending_queue::batch::partition: duplicate entry in metadata_keys: \"a\" (case-insensitive)",
    );
    check("sending_queue: {num_consumer: 1}", "has invalid keys: num_consumer");
    check(
        "retry_on_failure: {enabled: false, randomization_factor: 2}",
        "'randomization_factor' must be within [0, 1]",
    );
    check("retry_on_failure: {multiplier: -1}", "'multiplier' must be non-negative");
    check(
        "retry_on_failure: {max_elapsed_time: 1s, max_interval: 1s}",
        "'max_elapsed_time' must not be less than 'initial_interval'",
    );
    check(
        "retry_on_failure: {max_elapsed_time: 10s}",
        "'max_elapsed_time' must not be less than 'max_interval'",
    );
    assert!(decode("retry_on_failure: {max_elapsed_time: 0}").is_ok());
}
