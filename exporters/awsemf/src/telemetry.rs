//! What the exporter counts beside sent and failed points.

use component::Settings;
use component::telemetry::PREFIX;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};

use crate::translate::{Dropped, Translator};

/// Counters of one exporter.
#[derive(Clone)]
pub(crate) struct Telemetry {
    points: Counter<u64>,
    events: Counter<u64>,
    sets: Counter<u64>,
    sent: Counter<u64>,
    over_limit: Counter<u64>,
    series: Gauge<u64>,
    metric_series: Gauge<u64>,
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
                "Number of dimension sets left out: more names than CloudWatch takes, or more sets than an event may have",
                "{sets}",
            ),
            sent: counter("sent_events", "Number of events that the destination accepted", "{events}"),
            over_limit: counter(
                "series_over_limit",
                "Number of data points that were not extracted as metrics because of metric_series_limit",
                "{points}",
            ),
            metric_series: settings
                .meter
                .u64_gauge(format!("{PREFIX}exporter_awsemf_metric_series"))
                .with_description(
                    "Number of series, metrics over values of dimension sets, that CloudWatch extracts",
                )
                .with_unit("{series}")
                .build(),
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
    pub(crate) fn translated(&self, dropped: &Dropped, translator: &Translator) {
        self.series.record(translator.series() as u64, std::slice::from_ref(&self.exporter));
        self.add(&self.points, "no_recorded_value", dropped.no_recorded_value);
        self.add(&self.points, "not_finite", dropped.not_finite);
        self.add(&self.points, "series_limit", dropped.series_limit);
        self.add(&self.points, "duplicate", dropped.duplicate);
        self.add(&self.points, "unknown_type", dropped.unknown_type);
        self.add(&self.points, "too_large", dropped.too_large);
        self.add(&self.points, "push_too_large", dropped.push_too_large);
        self.add(&self.events, "no_metrics", dropped.no_metrics);
        for (namespace, series) in translator.metric_series() {
            let namespace = KeyValue::new("namespace", namespace.to_owned());
            self.metric_series.record(series as u64, &[self.exporter.clone(), namespace]);
        }
        if dropped.series_over_limit > 0 {
            self.over_limit.add(dropped.series_over_limit, std::slice::from_ref(&self.exporter));
        }
        if dropped.oversized_dimension_sets > 0 {
            self.sets.add(dropped.oversized_dimension_sets, std::slice::from_ref(&self.exporter));
        }
    }

    /// Counts events that were written as lines.
    pub(crate) fn written(&self, events: u64) {
        self.sent.add(events, std::slice::from_ref(&self.exporter));
    }

    /// Counts events that could not be written.
    pub(crate) fn failed(&self, events: u64) {
        self.add(&self.events, "write_error", events);
    }

    fn add(&self, counter: &Counter<u64>, reason: &'static str, count: u64) {
        if count > 0 {
            counter.add(count, &[self.exporter.clone(), KeyValue::new("reason", reason)]);
        }
    }
}
