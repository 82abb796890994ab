//! The `resource` processor: edits resource attributes.
//!
//! Only the resources are rewritten; the items behind them are not decoded or copied. See the `README.md` for the
//! options.

mod config;
mod processor;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use config::Config;
use processor::ResourceProcessor;

/// The factory of the `resource` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "resource",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Beta.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(ResourceProcessor::new(settings, &config, next)?);
        Ok(processor)
    })
}
