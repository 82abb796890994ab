//! What the processor says about itself.

use component::Settings;
use component::telemetry::PREFIX;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};
use pdata::rewrite::DataKind;

use crate::tracker::Reason;

/// The kinds that are converted.
const KINDS: [(DataKind, &str); 3] = [
    (DataKind::Sum, "sum"),
    (DataKind::Histogram, "histogram"),
    (DataKind::ExponentialHistogram, "exponential_histogram"),
];

const REASONS: [(Reason, &str); 4] = [
    (Reason::Initial, "initial"),
    (Reason::Reset, "reset"),
    (Reason::BucketMismatch, "bucket_mismatch"),
    (Reason::Limit, "limit"),
];

/// The metrics of one processor.
pub(crate) struct Telemetry {
    datapoints: Counter<u64>,
    dropped: Counter<u64>,
    streams: Gauge<u64>,
}

/// What became of the points of one request.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    converted: [u64; KINDS.len()],
    dropped: [[u64; REASONS.len()]; KINDS.len()],
}

impl Counts {
    /// Counts a point.
    pub(crate) fn add(&mut self, kind: DataKind, outcome: Result<(), Reason>) {
        let Some(kind) = KINDS.iter().position(|(known, _)| *known == kind) else { return };
        let counter = match outcome {
            Ok(()) => self.converted.get_mut(kind),
            Err(reason) => {
                let reason = REASONS.iter().position(|(known, _)| *known == reason).unwrap_or_default();
                self.dropped.get_mut(kind).and_then(|reasons| reasons.get_mut(reason))
            }
        };
        counter.into_iter().for_each(|counter| *counter += 1);
    }

    /// How many points were dropped because too many streams are followed.
    pub(crate) fn over_limit(&self) -> u64 {
        self.dropped.iter().filter_map(|reasons| reasons.last()).sum()
    }
}

impl Telemetry {
    pub(crate) fn new(settings: &Settings) -> Self {
        let counter = |name: &str, description: &'static str| {
            settings
                .meter
                .u64_counter(format!("{PREFIX}cumulativetodelta_{name}"))
                .with_description(description)
                .with_unit("{datapoint}")
                .build()
        };
        Self {
            datapoints: counter("datapoints", "Number of data points converted to delta"),
            dropped: counter("datapoints_dropped", "Number of data points dropped without a delta"),
            streams: settings
                .meter
                .u64_gauge(format!("{PREFIX}cumulativetodelta_streams_tracked"))
                .with_description("Number of streams whose last point is remembered")
                .with_unit("{stream}")
                .build(),
        }
    }

    /// Adds what became of a request, with the number of streams after it.
    pub(crate) fn record(&self, counts: &Counts, streams: usize) {
        for ((_, kind), (converted, dropped)) in
            KINDS.iter().zip(counts.converted.iter().zip(&counts.dropped))
        {
            let kind = KeyValue::new("metric_type", *kind);
            if *converted > 0 {
                self.datapoints.add(*converted, std::slice::from_ref(&kind));
            }
            for ((_, reason), count) in REASONS.iter().zip(dropped).filter(|(_, count)| **count > 0) {
                self.dropped.add(*count, &[kind.clone(), KeyValue::new("reason", *reason)]);
            }
        }
        self.streams.record(streams as u64, &[]);
    }
}
