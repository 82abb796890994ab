//! The `memory_limiter` processor: refuses data before memory runs out.
//!
//! What is measured is the resident memory of the process. See the `README.md` for why, and for the options.

mod checker;
mod config;
mod memory;
mod processor;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use config::Config;
use processor::MemoryLimiter;

/// The factory of the `memory_limiter` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "memory_limiter",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Beta.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(MemoryLimiter::new(settings, &config, next)?);
        Ok(processor)
    })
}
