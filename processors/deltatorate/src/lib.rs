//! The `deltatorate` processor: makes rates per second of delta sums.
//!
//! Nothing is decoded: the metrics that are named are written anew in the middle of the encoded bytes. See the `README.md` for the
//! options.

mod config;
mod processor;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};
use pdata::Signal;

pub use config::Config;
use processor::DeltaToRateProcessor;

/// The factory of the `deltatorate` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "deltatorate",
        aliases: &[],
        deprecated_aliases: &[],
        signals: &[(Signal::Metrics, Stability::Alpha)],
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(DeltaToRateProcessor::new(settings, &config, next)?);
        Ok(processor)
    })
}
