//! Weathers of CloudWatch Logs.

use std::time::Duration;

use testkit::cwlogs::{Effect, Rule};

/// A weather for CloudWatch Logs, and keys that fit it.
pub(crate) struct Weather {
    pub(crate) name: &'static str,
    pub(crate) rules: fn() -> Vec<Rule>,
    pub(crate) keys: &'static str,
    /// Whether it begins when group and streams are there, so that it meets requests with events to take.
    pub(crate) late: bool,
}

/// Retries that are quick enough for a test; also while credentials are renewed.
const QUICK: &str = "retry_on_failure: {initial_interval: 50ms, max_interval: 500ms, max_elapsed_time: 0}\n";

/// The weathers that every exporter has to endure.
pub(crate) const WEATHERS: [Weather; 11] = [
    Weather {
        name: "throttling_storm",
        rules: || vec![Rule::put(Effect::THROTTLED).lasting(Duration::from_secs(5))],
        keys: "",
        late: false,
    },
    Weather {
        name: "server_errors",
        rules: || {
            vec![
                Rule::put(Effect::UNAVAILABLE).times(2),
                Rule::put(Effect::INTERNAL).share(0.3, 1),
                Rule::put(Effect::UNAVAILABLE).share(0.3, 2),
                Rule::put(Effect::Html(502)).share(0.3, 3),
            ]
        },
        keys: QUICK,
        late: false,
    },
    Weather {
        name: "connections_reset",
        rules: || vec![Rule::put(Effect::ResetBefore).times(2), Rule::all(Effect::ResetBefore).share(0.3, 4)],
        keys: QUICK,
        late: false,
    },
    Weather {
        name: "lost_answers",
        rules: || vec![Rule::put(Effect::ResetAfter).times(2), Rule::all(Effect::ResetAfter).share(0.3, 5)],
        keys: QUICK,
        late: true,
    },
    Weather {
        name: "unreadable_answers",
        rules: || vec![Rule::put(Effect::Garbage).times(2), Rule::put(Effect::Garbage).share(0.2, 6)],
        keys: QUICK,
        late: true,
    },
    Weather {
        name: "slow_answers",
        rules: || vec![Rule::put(Effect::Slow(Duration::from_millis(500)))],
        keys: QUICK,
        late: false,
    },
    Weather {
        name: "no_answers",
        rules: || vec![Rule::put(Effect::Silence).times(2), Rule::put(Effect::NoAnswer).times(2)],
        keys: "request_timeout_seconds: 3\n",
        late: true,
    },
    Weather {
        name: "sequence_tokens",
        rules: || {
            vec![Rule::put(Effect::INVALID_TOKEN).times(2), Rule::put(Effect::INVALID_TOKEN).share(0.3, 7)]
        },
        keys: QUICK,
        late: false,
    },
    Weather {
        name: "answers_without_token",
        rules: || vec![Rule::put(Effect::WithoutToken)],
        keys: QUICK,
        late: false,
    },
    Weather {
        name: "streams_hard_to_make",
        rules: || {
            vec![
                Rule::on("CreateLogStream", Effect::THROTTLED).times(3),
                Rule::on("CreateLogGroup", Effect::INTERNAL).times(2),
                Rule::on("CreateLogGroup", Effect::ResetAfter).times(1),
                Rule::on("PutRetentionPolicy", Effect::DENIED),
            ]
        },
        keys: "log_retention: 7\nretry_on_failure: {initial_interval: 50ms, max_interval: 500ms, max_elapsed_time: 0}\n",
        late: false,
    },
    Weather {
        name: "everything_at_once",
        rules: || {
            vec![
                Rule::all(Effect::THROTTLED).share(0.2, 8),
                Rule::all(Effect::ResetBefore).share(0.1, 9),
                Rule::all(Effect::ResetAfter).share(0.1, 10),
                Rule::all(Effect::INTERNAL).share(0.2, 11),
                Rule::all(Effect::Html(503)).share(0.1, 12),
                Rule::put(Effect::Slow(Duration::from_millis(200))).share(0.5, 13),
            ]
        },
        keys: QUICK,
        late: false,
    },
];
