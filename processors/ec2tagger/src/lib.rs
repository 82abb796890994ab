//! The `ec2tagger` processor: adds to data points what is known of the EC2 instance that the collector runs on.
//!
//! The instance is asked for in the background; data points are not decoded, what is added is encoded once. See the
//! `README.md` for the options.

mod config;
mod processor;
#[cfg(test)]
mod processor_tests;
mod shared;
mod source;
mod tagger;
mod volumes;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};
use pdata::Signal;

pub use config::Config;
use processor::TaggerProcessor;
pub use source::Error;
use source::Instance;

/// The factory of the `ec2tagger` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "ec2tagger",
        aliases: &[],
        deprecated_aliases: &[],
        signals: &[(Signal::Metrics, Stability::Stable)],
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let instance = Arc::new(Instance::new(&config)?);
        let processor: Arc<dyn Processor> = Arc::new(TaggerProcessor::new(settings, config, instance, next)?);
        Ok(processor)
    })
}
