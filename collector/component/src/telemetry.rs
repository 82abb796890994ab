//! What components say about themselves, under upstream's metric names.
//!
//! Names are without unit and type suffixes: `otelcol_receiver_accepted_metric_points`. Every handle is made once per
//! component; recording is one addition.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use pdata::Signal;

use crate::Settings;

/// The prefix of all names.
pub const PREFIX: &str = "otelcol_";

/// How a metric name calls the items of a signal.
pub fn items_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "metric_points",
        Signal::Logs => "log_records",
        Signal::Traces => "spans",
    }
}

/// One counter per signal, with the same attributes.
#[derive(Clone)]
pub struct ItemCounters {
    metrics: Counter<u64>,
    logs: Counter<u64>,
    traces: Counter<u64>,
    attributes: Vec<KeyValue>,
}

impl ItemCounters {
    /// Counters `<PREFIX><prefix>_<items>`, as `receiver_accepted` + `metric_points`.
    pub fn new(meter: &Meter, prefix: &str, what: &str, attributes: Vec<KeyValue>) -> Self {
        let counter = |signal: Signal| {
            let items = items_name(signal);
            meter
                .u64_counter(format!("{PREFIX}{prefix}_{items}"))
                .with_description(format!("Number of {} {what}", items.replace('_', " ")))
                .with_unit(format!("{{{items}}}"))
                .build()
        };
        Self {
            metrics: counter(Signal::Metrics),
            logs: counter(Signal::Logs),
            traces: counter(Signal::Traces),
            attributes,
        }
    }

    /// Adds `items`; adding 0 makes the series visible.
    pub fn add(&self, signal: Signal, items: usize) {
        let counter = match signal {
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
            Signal::Traces => &self.traces,
        };
        counter.add(items as u64, &self.attributes);
    }
}

/// What a receiver counts: items taken by the pipeline and items that it refused.
#[derive(Clone)]
pub struct ReceiverMetrics {
    accepted: ItemCounters,
    refused: ItemCounters,
}

impl ReceiverMetrics {
    /// `transport` is `grpc`, `http`, or empty for receivers without one.
    pub fn new(settings: &Settings, transport: &'static str) -> Self {
        let attributes =
            vec![KeyValue::new("receiver", settings.id.to_string()), KeyValue::new("transport", transport)];
        let counters =
            |prefix: &str, what: &str| ItemCounters::new(&settings.meter, prefix, what, attributes.clone());
        Self {
            accepted: counters("receiver_accepted", "successfully pushed into the pipeline"),
            refused: counters("receiver_refused", "that could not be pushed into the pipeline"),
        }
    }

    /// Counts `items` by the pipeline's answer. Both series appear with the first call.
    pub fn record<E>(&self, signal: Signal, items: usize, result: &Result<(), E>) {
        let (accepted, refused) = if result.is_ok() { (items, 0) } else { (0, items) };
        self.accepted.add(signal, accepted);
        self.refused.add(signal, refused);
    }
}

/// What a scraper counts.
#[derive(Clone)]
pub struct ScraperMetrics {
    scraped: ItemCounters,
    errored: ItemCounters,
}

impl ScraperMetrics {
    /// Counters of the scraper `scraper` in a receiver.
    pub fn new(settings: &Settings, scraper: &str) -> Self {
        let attributes = vec![
            KeyValue::new("receiver", settings.id.to_string()),
            KeyValue::new("scraper", scraper.to_owned()),
        ];
        let counters =
            |prefix: &str, what: &str| ItemCounters::new(&settings.meter, prefix, what, attributes.clone());
        Self {
            scraped: counters("scraper_scraped", "successfully scraped"),
            errored: counters("scraper_errored", "that could not be scraped"),
        }
    }

    /// Counts one collection.
    pub fn record(&self, signal: Signal, scraped: usize, errored: usize) {
        self.scraped.add(signal, scraped);
        self.errored.add(signal, errored);
    }
}

/// What every processor counts.
#[derive(Clone)]
pub struct ProcessorMetrics {
    incoming: Counter<u64>,
    outgoing: Counter<u64>,
    attributes: Vec<KeyValue>,
}

impl ProcessorMetrics {
    /// Counters of one processor in a pipeline of `signal`.
    pub fn new(settings: &Settings, signal: Signal) -> Self {
        let counter = |name: &str, what: &str| {
            settings
                .meter
                .u64_counter(format!("{PREFIX}processor_{name}_items"))
                .with_description(format!("Number of items {what} the processor"))
                .with_unit("{items}")
                .build()
        };
        Self {
            incoming: counter("incoming", "passed to"),
            outgoing: counter("outgoing", "emitted from"),
            attributes: vec![
                KeyValue::new("processor", settings.id.to_string()),
                KeyValue::new("otel_signal", signal.as_str()),
            ],
        }
    }

    /// Counts items that arrived.
    pub fn incoming(&self, items: usize) {
        self.incoming.add(items as u64, &self.attributes);
    }

    /// Counts items that were handed on.
    pub fn outgoing(&self, items: usize) {
        self.outgoing.add(items as u64, &self.attributes);
    }
}

/// What every exporter counts.
#[derive(Clone)]
pub struct ExporterMetrics {
    sent: ItemCounters,
    send_failed: ItemCounters,
    enqueue_failed: ItemCounters,
}

impl ExporterMetrics {
    /// Counters of one exporter. `server` adds where it sends, as `server_address` and `server_port`.
    pub fn new(settings: &Settings, server: Vec<KeyValue>) -> Self {
        let exporter = KeyValue::new("exporter", settings.id.to_string());
        let mut with_server = vec![exporter.clone()];
        with_server.extend(server);
        let counters = |prefix: &str, what: &str, attributes: Vec<KeyValue>| {
            ItemCounters::new(&settings.meter, prefix, what, attributes)
        };
        Self {
            sent: counters("exporter_sent", "successfully sent to destination", with_server.clone()),
            send_failed: counters("exporter_send_failed", "in failed attempts to send", with_server),
            enqueue_failed: counters(
                "exporter_enqueue_failed",
                "failed to be added to the sending queue",
                vec![exporter],
            ),
        }
    }

    /// Counts items by the outcome of their last attempt.
    pub fn sent(&self, signal: Signal, sent: usize, failed: usize) {
        self.sent.add(signal, sent);
        self.send_failed.add(signal, failed);
    }

    /// Counts items that the queue refused.
    pub fn enqueue_failed(&self, signal: Signal, items: usize) {
        self.enqueue_failed.add(signal, items);
    }
}
