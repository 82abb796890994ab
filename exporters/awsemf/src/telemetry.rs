//! What the exporter counts beside sent and failed points.

use aws::logs::{Refused, Rejected};
use component::Settings;
use component::telemetry::PREFIX;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};

use crate::translate::Dropped;

/// Counters of one exporter.
#[derive(Clone)]
pub(crate) struct Telemetry {
    points: Counter<u64>,
    events: Counter<u64>,
    sets: Counter<u64>,
    truncated: Counter<u64>,
    sent: Counter<u64>,
    series: Gauge<u64>,
    exporter: KeyValue,
}

impl Telemetry {
    pub(crate) fn new(settings: &Settings) -> Self {
        let counter = |name: &str, what: &'static str, unit: &'static str| {
            settings
                .meter
                .u64_counter(format!("{PREFIX}exporter_awsemf_{name}"))
                .with_description(what)
                .with_unit(unit)
                .build()
        };
        Self {
            points: counter(
                "dropped_points",
                "Number of data points that were left out of events, by reason",
                "{points}",
            ),
            events: counter(
                "dropped_events",
                "Number of events that were not delivered, by reason",
                "{events}",
            ),
            sets: counter(
                "dropped_dimension_sets",
                "Number of dimension sets left out for having more names than CloudWatch takes",
                "{sets}",
            ),
            truncated: counter(
                "truncated_events",
                "Number of events cut to the size that CloudWatch Logs takes",
                "{events}",
            ),
            sent: counter("sent_events", "Number of events that the destination accepted", "{events}"),
            series: settings
                .meter
                .u64_gauge(format!("{PREFIX}exporter_awsemf_series"))
                .with_description("Number of cumulative series whose last value is remembered")
                .with_unit("{series}")
                .build(),
            exporter: KeyValue::new("exporter", settings.id.to_string()),
        }
    }

    /// Counts what a translation left out, and the series that it left behind.
    pub(crate) fn translated(&self, dropped: &Dropped, series: usize) {
        self.series.record(series as u64, std::slice::from_ref(&self.exporter));
        self.add(&self.points, "no_recorded_value", dropped.no_recorded_value);
        self.add(&self.points, "not_finite", dropped.not_finite);
        self.add(&self.points, "series_limit", dropped.series_limit);
        self.add(&self.points, "duplicate", dropped.duplicate);
        self.add(&self.points, "unknown_type", dropped.unknown_type);
        self.add(&self.events, "no_metrics", dropped.no_metrics);
        if dropped.oversized_dimension_sets > 0 {
            self.sets.add(dropped.oversized_dimension_sets, std::slice::from_ref(&self.exporter));
        }
    }

    /// Counts events that the service would not have taken.
    pub(crate) fn refused(&self, refused: &Refused) {
        self.add(&self.events, "too_old", refused.too_old);
        self.add(&self.events, "too_new", refused.too_new);
        self.add(&self.events, "empty", refused.empty);
        if refused.truncated > 0 {
            self.truncated.add(refused.truncated, std::slice::from_ref(&self.exporter));
        }
    }

    /// Counts the events of an accepted request.
    pub(crate) fn accepted(&self, events: u64, rejected: Rejected) {
        let Rejected { too_old, too_new, expired } = rejected;
        self.add(&self.events, "rejected_too_old", too_old);
        self.add(&self.events, "rejected_too_new", too_new);
        self.add(&self.events, "rejected_expired", expired);
        let kept = events.saturating_sub(too_old.max(expired) + too_new);
        self.sent.add(kept, std::slice::from_ref(&self.exporter));
    }

    /// Counts events that no retry would deliver.
    pub(crate) fn failed(&self, events: u64) {
        self.add(&self.events, "permanent_error", events);
    }

    /// Counts events that were given up while a retry was awaited that never came.
    pub(crate) fn abandoned(&self, events: u64) {
        self.add(&self.events, "not_retried", events);
    }

    fn add(&self, counter: &Counter<u64>, reason: &'static str, count: u64) {
        if count > 0 {
            counter.add(count, &[self.exporter.clone(), KeyValue::new("reason", reason)]);
        }
    }
}
