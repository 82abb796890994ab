//! The `batch` processor: joins small requests into large ones.
//!
//! Requests are joined by appending their bytes; nothing is decoded or copied. See the `README.md` for the options.

mod config;
mod processor;
mod shard;
mod telemetry;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use config::Config;
use processor::BatchProcessor;

/// The factory of the `batch` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "batch",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Beta.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(BatchProcessor::new(settings, &config, next)?);
        Ok(processor)
    })
}
