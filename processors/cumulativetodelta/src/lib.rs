//! The `cumulativetodelta` processor: makes deltas of cumulative monotonic sums, histograms and exponential histograms.
//!
//! Nothing is decoded: a point is read in place, compared with the last one of its stream and written anew in the middle of the
//! encoded bytes. See the `README.md` for the options.

mod config;
mod exponential;
mod histogram;
mod identity;
mod processor;
mod telemetry;
mod tracker;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};
use pdata::Signal;

pub use config::{Config, MatchMetrics};
use processor::CumulativeToDeltaProcessor;

/// The factory of the `cumulativetodelta` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "cumulativetodelta",
        aliases: &[],
        deprecated_aliases: &[],
        signals: &[(Signal::Metrics, Stability::Beta)],
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> =
            Arc::new(CumulativeToDeltaProcessor::new(settings, &config, next)?);
        Ok(processor)
    })
}
