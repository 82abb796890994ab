//! The `filter` processor: drops what is not wanted.
//!
//! Nothing is decoded: what is dropped is cut out of the encoded bytes. See the `README.md` for the options.

mod config;
mod legacy;
mod processor;
mod rules;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use config::{Config, LogCriteria, Logs, MetricCriteria, Metrics, SpanCriteria, Spans, Traces};
use processor::FilterProcessor;

/// The factory of the `filter` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "filter",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Alpha.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(FilterProcessor::new(settings, &config, next)?);
        Ok(processor)
    })
}
