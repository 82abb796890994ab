//! What an exporter to CloudWatch Logs counts. At rest, received = sent + dropped + queued.

use std::sync::{Arc, Weak};

use component::Settings;
use component::telemetry::{ExporterMetrics, PREFIX};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use pdata::Signal;

use super::event::Counts;
use super::queue::Queue;

/// Counters of one exporter.
#[derive(Clone)]
pub(crate) struct Telemetry {
    signal: Signal,
    items: ExporterMetrics,
    received: Counter<u64>,
    sent: Counter<u64>,
    dropped: Counter<u64>,
    truncated: Counter<u64>,
    requests: Counter<u64>,
    request_bytes: Counter<u64>,
    exporter: KeyValue,
}

impl Telemetry {
    /// The counters of the exporter type `kind`.
    pub(crate) fn new(settings: &Settings, signal: Signal, kind: &str) -> Self {
        let counter = |name: &str, what: &'static str, unit: &'static str| {
            settings
                .meter
                .u64_counter(format!("{PREFIX}exporter_{kind}_{name}"))
                .with_description(what)
                .with_unit(unit)
                .build()
        };
        Self {
            signal,
            items: ExporterMetrics::new(settings, Vec::new()),
            received: counter("received_events", "Number of events made of what arrived", "{events}"),
            sent: counter("sent_events", "Number of events that CloudWatch Logs accepted", "{events}"),
            dropped: counter(
                "dropped_events",
                "Number of events that were not delivered, by reason",
                "{events}",
            ),
            truncated: counter(
                "truncated_events",
                "Number of events cut to the size that CloudWatch Logs takes",
                "{events}",
            ),
            requests: counter("requests", "Number of PutLogEvents requests, by outcome", "{requests}"),
            request_bytes: counter("request_bytes", "Bytes of the bodies of PutLogEvents requests", "By"),
            exporter: KeyValue::new("exporter", settings.id.to_string()),
        }
    }

    /// Declares the gauges of a queue. They end with it.
    pub(crate) fn observe(&self, settings: &Settings, kind: &str, queue: &Arc<Queue>, is_queue: bool) {
        type Value = fn(&Queue) -> u64;
        let attributes = [self.exporter.clone(), KeyValue::new("data_type", self.signal.as_str())];
        let gauge = |name: String, what: &'static str, unit: &'static str, value: Value| {
            let (queue, attributes): (Weak<Queue>, _) = (Arc::downgrade(queue), attributes.clone());
            // The meter keeps the callback; the handle itself is not needed.
            let _ = settings
                .meter
                .u64_observable_gauge(name)
                .with_description(what)
                .with_unit(unit)
                .with_callback(move |observer| {
                    if let Some(queue) = queue.upgrade() {
                        observer.observe(value(&queue), &attributes);
                    }
                })
                .build();
        };
        gauge(
            format!("{PREFIX}exporter_{kind}_queued_events"),
            "Number of events that wait or are being sent",
            "{events}",
            Queue::events,
        );
        gauge(
            format!("{PREFIX}exporter_in_flight_requests"),
            "Number of requests currently being sent",
            "{requests}",
            |queue| queue.in_flight() as u64,
        );
        if is_queue {
            let (size, unit) = ("Current size of the sending queue, in units of its sizer", "{batches}");
            gauge(format!("{PREFIX}exporter_queue_size"), size, unit, Queue::used);
            let capacity = "Fixed capacity of the sending queue, in units of its sizer";
            gauge(format!("{PREFIX}exporter_queue_capacity"), capacity, unit, Queue::capacity);
        }
    }

    /// Counts the events that a push made, and those that it left out.
    pub(crate) fn made(&self, counts: &Counts) {
        self.add(&self.received, counts.received);
        self.add(&self.truncated, counts.truncated);
        for (reason, (events, items)) in &counts.dropped {
            self.dropped(reason, *events, *items);
        }
    }

    /// Counts events that were found on disk: this process has not received them before.
    pub(crate) fn recovered(&self, events: u64) {
        self.add(&self.received, events);
    }

    /// Counts events that the service keeps.
    pub(crate) fn sent(&self, events: u64, items: u64) {
        self.add(&self.sent, events);
        self.items.sent(self.signal, usize::try_from(items).unwrap_or(usize::MAX), 0);
    }

    /// Counts events that nobody will send any more.
    pub(crate) fn dropped(&self, reason: &'static str, events: u64, items: u64) {
        if events > 0 {
            self.dropped.add(events, &[self.exporter.clone(), KeyValue::new("reason", reason)]);
            self.items.sent(self.signal, 0, usize::try_from(items).unwrap_or(usize::MAX));
        }
    }

    /// Counts a batch that found no room.
    pub(crate) fn enqueue_failed(&self, items: usize) {
        self.items.enqueue_failed(self.signal, items);
    }

    /// Counts a request.
    pub(crate) fn request(&self, outcome: &'static str, bytes: usize) {
        self.requests.add(1, &[self.exporter.clone(), KeyValue::new("outcome", outcome)]);
        self.add(&self.request_bytes, bytes as u64);
    }

    fn add(&self, counter: &Counter<u64>, count: u64) {
        if count > 0 {
            counter.add(count, std::slice::from_ref(&self.exporter));
        }
    }
}
