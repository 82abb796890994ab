//! The `metricsgeneration` processor: makes metrics of one or two others.
//!
//! Requests in which no rule finds its metrics pass without being decoded; others are decoded, and encoded once. See the `README.md`
//! for the options.

mod config;
mod generate;
mod processor;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};
use pdata::Signal;

pub use config::{Config, Rule};
use processor::MetricsGenerationProcessor;

/// The factory of the `metricsgeneration` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "metricsgeneration",
        aliases: &[],
        deprecated_aliases: &["experimental_metricsgeneration"],
        signals: &[(Signal::Metrics, Stability::Alpha)],
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> =
            Arc::new(MetricsGenerationProcessor::new(&settings, &config, next));
        Ok(processor)
    })
}
