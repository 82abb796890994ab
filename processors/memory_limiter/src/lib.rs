//! The `memory_limiter` processor: refuses data before memory runs out.
//!
//! What is measured is the resident memory of the process. See the `README.md` for why, and for the options.

mod checker;
mod config;
mod memory;
mod processor;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};
use pdata::Signal;

pub use config::Config;
use processor::MemoryLimiter;

/// The factory of the `memory_limiter` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "memory_limiter",
        aliases: &[],
        deprecated_aliases: &[],
        signals: &[
            (Signal::Traces, Stability::Beta),
            (Signal::Metrics, Stability::Beta),
            (Signal::Logs, Stability::Beta),
        ],
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(MemoryLimiter::new(settings, &config, next)?);
        Ok(processor)
    })
}
