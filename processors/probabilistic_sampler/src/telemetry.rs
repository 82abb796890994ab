//! What the processor says about itself.

use std::collections::BTreeMap;

use component::Settings;
use component::telemetry::PREFIX;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use pdata::Signal;

use crate::sampler::{Policy, Sampler};

/// How many items were kept and dropped by what.
pub(crate) type Counts = BTreeMap<(Policy, bool), u64>;

/// The counter of one processor.
pub(crate) struct Telemetry(Counter<u64>);

impl Telemetry {
    pub(crate) fn new(settings: &Settings, signal: Signal) -> Self {
        let (name, what) = if signal == Signal::Logs { ("logs", "logs") } else { ("traces", "spans") };
        let counter = settings
            .meter
            .u64_counter(format!("{PREFIX}processor_probabilistic_sampler_count_{name}_sampled"))
            .with_description(format!("Count of {what} that were sampled or not"))
            .with_unit("1")
            .build();
        Self(counter)
    }

    pub(crate) fn record(&self, sampler: &Sampler, counts: &Counts) {
        for ((policy, kept), count) in counts {
            let policy = KeyValue::new("policy", sampler.policy_name(*policy).to_owned());
            self.0.add(*count, &[policy, KeyValue::new("sampled", kept.to_string())]);
        }
    }
}
