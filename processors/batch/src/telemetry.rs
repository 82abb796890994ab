//! What the processor says about itself.

use std::sync::Weak;

use component::Settings;
use component::telemetry::{PREFIX, ProcessorMetrics};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use pdata::Signal;

use crate::processor::Shards;

/// The bounds of the size histogram: upstream's.
const SIZES: [f64; 22] = [
    10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0,
    7000.0, 8000.0, 9000.0, 10000.0, 20000.0, 30000.0, 50000.0, 100000.0,
];

/// The metrics of one processor.
pub(crate) struct Telemetry {
    pub(crate) items: ProcessorMetrics,
    send_size: Histogram<u64>,
    size_trigger: Counter<u64>,
    timeout_trigger: Counter<u64>,
    dropped: Counter<u64>,
    processor: [KeyValue; 1],
    signal: Signal,
}

/// Why a batch is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// It is large enough.
    Size,
    /// It is old enough, or the processor stops.
    Timeout,
}

/// Why a batch is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The next stage will never take it.
    Permanent,
    /// The next stage did not take it for too long.
    RetriesExhausted,
    /// The processor had to stop.
    Shutdown,
}

impl Telemetry {
    pub(crate) fn new(settings: &Settings, signal: Signal) -> Self {
        let meter = &settings.meter;
        let counter = |name: &str, what: &'static str, unit: &'static str| {
            meter
                .u64_counter(format!("{PREFIX}processor_batch_{name}"))
                .with_description(what)
                .with_unit(unit)
                .build()
        };
        Self {
            items: ProcessorMetrics::new(settings, signal),
            send_size: meter
                .u64_histogram(format!("{PREFIX}processor_batch_batch_send_size"))
                .with_description("Number of units in the batch")
                .with_unit("{units}")
                .with_boundaries(SIZES.to_vec())
                .build(),
            size_trigger: counter(
                "batch_size_trigger_send",
                "Number of times the batch was sent due to a size trigger",
                "{times}",
            ),
            timeout_trigger: counter(
                "timeout_trigger_send",
                "Number of times the batch was sent due to a timeout trigger",
                "{times}",
            ),
            dropped: counter(
                "dropped_items",
                "Number of items given up because the next stage did not take them",
                "{items}",
            ),
            processor: [KeyValue::new("processor", settings.id.to_string())],
            signal,
        }
    }

    /// Counts a batch that is about to be sent.
    pub(crate) fn sending(&self, items: usize, trigger: Trigger) {
        self.items.outgoing(items);
        self.send_size.record(items as u64, &self.processor);
        match trigger {
            Trigger::Size => self.size_trigger.add(1, &self.processor),
            Trigger::Timeout => self.timeout_trigger.add(1, &self.processor),
        }
    }

    /// Counts a batch that is given up.
    pub(crate) fn dropped(&self, items: usize, loss: Loss) {
        let [processor] = &self.processor;
        let attributes = [
            processor.clone(),
            KeyValue::new("otel_signal", self.signal.as_str()),
            KeyValue::new("reason", loss.as_str()),
        ];
        self.dropped.add(items as u64, &attributes);
    }
}

impl Loss {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Declares the gauge of how many combinations of metadata values there are.
pub(crate) fn observe_cardinality(settings: &Settings, shards: Weak<Shards>) {
    let attributes = [KeyValue::new("processor", settings.id.to_string())];
    // The meter keeps the callback; the handle itself is not needed.
    let _ = settings
        .meter
        .u64_observable_gauge(format!("{PREFIX}processor_batch_metadata_cardinality"))
        .with_description("Number of distinct metadata value combinations being processed")
        .with_unit("{combinations}")
        .with_callback(move |observer| {
            if let Some(shards) = shards.upgrade() {
                observer.observe(shards.count() as u64, &attributes);
            }
        })
        .build();
}
