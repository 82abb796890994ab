//! The `groupbyattrs` processor: moves attributes of items to their resources, and makes equal resources one.
//!
//! Nothing is decoded: items are copied as they are but for the attributes that move. See the `README.md` for the options.

mod config;
mod processor;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use config::Config;
use processor::GroupByAttrsProcessor;

/// The factory of the `groupbyattrs` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "groupbyattrs",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Beta.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(GroupByAttrsProcessor::new(&settings, &config, next));
        Ok(processor)
    })
}
