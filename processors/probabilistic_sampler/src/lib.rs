//! The `probabilistic_sampler` processor: keeps a share of spans and log records.
//!
//! Whether an item is kept depends on its trace or an attribute alone, so that all collectors decide the same. Nothing is decoded.
//! See the `README.md` for the options.

mod config;
mod item;
mod processor;
mod sampler;
mod telemetry;
mod threshold;
mod tracestate;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};
use pdata::Signal;

pub use config::{AttributeSource, Config, Mode};
use processor::ProbabilisticSamplerProcessor;

/// The factory of the `probabilistic_sampler` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "probabilistic_sampler",
        aliases: &[],
        deprecated_aliases: &[],
        signals: &[(Signal::Traces, Stability::Beta), (Signal::Logs, Stability::Alpha)],
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> =
            Arc::new(ProbabilisticSamplerProcessor::new(settings, Config::clone(&config), next)?);
        Ok(processor)
    })
}
