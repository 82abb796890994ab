//! What users write.

use std::collections::BTreeMap;

use aws::SessionConfig;
use confmap::{Duration, Optional, Problems};
use helper::{QueueConfig, RetryConfig};
use serde::{Deserialize, Deserializer};

use crate::names::Pattern;

/// The most bytes that the message of an event has, unless configured: what CloudWatch Logs takes.
const MAX_EVENT_BYTES: i64 = 1_048_550;
/// The least that the limit can be set to.
const LEAST_EVENT_BYTES: i64 = 1024;
/// How many requests are sent at the same time: one keeps the order of the events in a stream.
const NUM_CONSUMERS: i64 = 1;

/// The configuration of the exporter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "(LogsConfig, SessionConfig)")]
pub struct Config {
    /// The exporter's own keys.
    pub logs: LogsConfig,
    /// How AWS is reached; at the same level.
    pub session: SessionConfig,
}

/// The exporter's own keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct LogsConfig {
    /// The log group, with placeholders. Required.
    pub log_group_name: String,
    /// The log stream, with placeholders. Required.
    pub log_stream_name: String,
    /// Whether events are the bodies of the records as they are.
    pub raw_log: bool,
    /// Whether bodies that do not name a log group, as embedded metric format can, are dropped.
    pub emf_only: bool,
    /// Days that groups made by this exporter keep events; 0 for ever.
    pub log_retention: i64,
    /// Tags of groups made by this exporter.
    pub tags: Option<BTreeMap<String, String>>,
    /// The longest message of an event in bytes; the rest of it is cut off.
    pub max_event_bytes: i64,
    /// The extension of the CloudWatch agent that watches its AWS calls; no effect.
    pub middleware: Option<String>,
    /// The queue in front of the exporter.
    #[serde(deserialize_with = "queue")]
    pub sending_queue: Optional<QueueConfig>,
    /// Retries of requests that failed.
    #[serde(deserialize_with = "retry")]
    pub retry_on_failure: RetryConfig,
    /// The longest that one attempt takes; 0 for any.
    pub timeout: Duration,
}

fn queue<'de, D: Deserializer<'de>>(section: D) -> Result<Optional<QueueConfig>, D::Error> {
    confmap::over(section, &["num_consumers: 1"])
}

fn retry<'de, D: Deserializer<'de>>(section: D) -> Result<RetryConfig, D::Error> {
    confmap::over(section, &["max_elapsed_time: 0s"])
}

impl From<(LogsConfig, SessionConfig)> for Config {
    fn from((logs, session): (LogsConfig, SessionConfig)) -> Self {
        Self { logs, session }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        self.session.validate(problems);
        self.logs.validate(problems);
    }
}

impl LogsConfig {
    /// The longest message of an event in bytes.
    pub(crate) fn max_event_bytes(&self) -> usize {
        usize::try_from(self.max_event_bytes).unwrap_or_default()
    }

    fn validate(&self, problems: &mut Problems) {
        check_name(problems, "log_group_name", &self.log_group_name);
        check_name(problems, "log_stream_name", &self.log_stream_name);
        if self.emf_only && !self.raw_log {
            problems.at("emf_only", |problems| problems.report("`emf_only` requires `raw_log: true`"));
        }
        problems.at("log_retention", |problems| {
            if let Err(error) = aws::logs::check_retention(self.log_retention) {
                problems.report(error.to_string());
            }
        });
        problems.at("tags", |problems| {
            if let Err(error) = self.tags.as_ref().map_or(Ok(()), aws::logs::check_tags) {
                problems.report(error.to_string());
            }
        });
        if !(LEAST_EVENT_BYTES..=MAX_EVENT_BYTES).contains(&self.max_event_bytes) {
            problems.at("max_event_bytes", |problems| {
                problems.report(format!("must be from {LEAST_EVENT_BYTES} to {MAX_EVENT_BYTES}"));
            });
        }
        if let Some(queue) = self.sending_queue.as_ref() {
            problems.at("sending_queue", |problems| queue.validate(problems));
        }
        problems.at("retry_on_failure", |problems| self.retry_on_failure.validate(problems));
    }
}

fn check_name(problems: &mut Problems, key: &str, name: &str) {
    if name.is_empty() {
        problems.report(format!("'{key}' must be set"));
    } else if let Err(unknown) = Pattern::parse(name) {
        problems.at(key, |problems| {
            problems.report_with_help(unknown.to_string(), Pattern::known());
        });
    }
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            log_group_name: String::new(),
            log_stream_name: String::new(),
            raw_log: false,
            emf_only: false,
            log_retention: 0,
            tags: None,
            max_event_bytes: MAX_EVENT_BYTES,
            middleware: None,
            sending_queue: Optional::some(QueueConfig {
                num_consumers: NUM_CONSUMERS,
                ..QueueConfig::default()
            }),
            retry_on_failure: RetryConfig { max_elapsed_time: Duration::ZERO, ..RetryConfig::default() },
            timeout: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use component::Config as _;

    use super::*;

    fn load(yaml: &str) -> Config {
        confmap::from_yaml(&format!("log_group_name: g\nlog_stream_name: s\n{yaml}")).unwrap()
    }

    #[test]
    fn defaults() {
        let config = load("");
        let queue = config.logs.sending_queue.as_ref().unwrap();
        assert_eq!((queue.num_consumers, queue.queue_size), (1, 1000));
        let retry = &config.logs.retry_on_failure;
        assert!(retry.enabled);
        assert_eq!(retry.initial_interval, Duration::from_secs(5));
        assert_eq!(retry.max_interval, Duration::from_secs(30));
        assert_eq!((retry.multiplier, retry.randomization_factor), (1.5, 0.5));
        assert_eq!(retry.max_elapsed_time, Duration::ZERO);
        assert_eq!(config.logs.max_event_bytes, 1_048_550);
        assert_eq!(config.session.max_retries, 2);
    }

    #[test]
    fn a_section_in_part_keeps_the_other_defaults() {
        let config =
            load("sending_queue: {queue_size: 5}\nretry_on_failure: {max_interval: 1s}\nregion: r\n");
        let queue = config.logs.sending_queue.as_ref().unwrap();
        assert_eq!((queue.num_consumers, queue.queue_size), (1, 5));
        let retry = &config.logs.retry_on_failure;
        assert_eq!((retry.max_interval, retry.max_elapsed_time), (Duration::from_secs(1), Duration::ZERO));
        assert_eq!(config.session.region, "r");
        assert!(load("sending_queue: {enabled: false}").logs.sending_queue.as_ref().is_none());
    }

    #[test]
    fn every_key_of_upstream_and_of_the_agent_is_known() {
        let config = load(
            "raw_log: true\nemf_only: true\nlog_retention: 7\ntags: {a: b}\nmiddleware: agenthealth/logs\ntimeout: 9s\n\
             num_workers: 4\nendpoint: h\nrequest_timeout_seconds: 1\nmax_retries: 3\nproxy_address: ''\nlocal_mode: \
             true\nresource_arn: x\nrole_arn: y\nexternal_id: z\nprofile: p\nshared_credentials_file: [f]\n\
             certificate_file_path: c\nimds_retries: 1\nno_verify_ssl: false\nmax_event_bytes: 262118\n",
        );
        let mut problems = Problems::default();
        config.validate(&mut problems);
        assert_eq!(problems.to_string(), "");
    }

    #[test]
    fn problems_are_named() {
        let check = |yaml: &str, expected: &[&str]| {
            let mut problems = Problems::default();
            confmap::from_yaml::<Config>(yaml).unwrap().validate(&mut problems);
            // Without the advice, which stands behind in parentheses.
            let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let found: Vec<_> = found
                .iter()
                .map(|problem| problem.split_once(" (the ").map_or(&**problem, |(told, _)| told))
                .collect();
            assert_eq!(found, expected, "{yaml}");
        };
        const NAMES: &str = "log_group_name: g\nlog_stream_name: s\n";
        let with_names = |yaml: &str, expected: &[&str]| check(&format!("{NAMES}{yaml}"), expected);
        check("{}", &["'log_group_name' must be set", "'log_stream_name' must be set"]);
        check("log_group_name: g", &["'log_stream_name' must be set"]);
        check(
            "log_group_name: '{ClusterName}{Nope}'\nlog_stream_name: 'a{}'",
            &[
                "log_group_name: invalid pattern between curly brackets: Nope",
                "log_stream_name: invalid pattern between curly brackets: ",
            ],
        );
        check("log_group_name: '}{{InstanceId}{'\nlog_stream_name: '{FaasName}'", &[]);
        with_names("emf_only: true", &["emf_only: `emf_only` requires `raw_log: true`"]);
        with_names(
            "log_retention: 2",
            &[
                "log_retention: invalid value for retention policy.  Please make sure to use the following values: 0 (Never \
              Expire), 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288, or \
              3653",
            ],
        );
        let tags = "tags: invalid amount of items.  Please input at least 1 tag or remove the tag field";
        with_names("tags: {}", &[tags]);
        with_names("max_event_bytes: 1023", &["max_event_bytes: must be from 1024 to 1048550"]);
        with_names("max_event_bytes: 1048551", &["max_event_bytes: must be from 1024 to 1048550"]);
        with_names("max_event_bytes: 1024", &[]);
        with_names("sending_queue: {queue_size: 0}", &["sending_queue: `queue_size` must be positive"]);
    }
}
