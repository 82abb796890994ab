//! The `transform` processor: runs OTTL statements.
//!
//! Nothing is decoded: what statements change is written anew in the middle of the encoded bytes. See the `README.md` for the
//! options.

mod config;
mod processor;
mod program;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use config::Config;
use processor::TransformProcessor;

/// The factory of the `transform` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "transform",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Beta.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(TransformProcessor::new(settings, &config, next)?);
        Ok(processor)
    })
}
