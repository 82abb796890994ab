//! The `attributes` processor: edits the attributes of spans, log records and data points.
//!
//! Nothing is decoded: items whose attributes change are written anew in the middle of the encoded bytes. See the `README.md` for the
//! options.

mod config;
mod processor;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use config::{Config, MatchProperties};
use processor::AttributesProcessor;

/// The factory of the `attributes` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "attributes",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Beta.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(AttributesProcessor::new(settings, &config, next)?);
        Ok(processor)
    })
}
