//! The `resource_detection` processor: adds to resources what is known of the place where the collector runs.
//!
//! Each detector is asked in a task of its own, until it has answered. What they found is merged in the order of the
//! configuration, encoded once, and put into resources by copying; items are not decoded. See the `README.md` for the
//! options.

mod attributes;
mod config;
mod detector;
mod detectors;
mod engine;
#[cfg(test)]
mod engine_tests;
mod error;
#[cfg(test)]
mod fake;
mod processor;
#[cfg(test)]
mod processor_tests;
mod shared;
mod sources;
mod unavailable;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use attributes::{
    AttributeConfig, BeanstalkAttributes, Ec2Attributes, EcsAttributes, EksAttributes, KubernetesAttributes,
    LambdaAttributes, SystemAttributes,
};
pub use config::{
    BeanstalkConfig, Config, DetectionConfig, Ec2Config, EcsConfig, EksConfig, KubernetesConfig,
    LambdaConfig, SystemConfig,
};
pub use error::Error;
use processor::DetectionProcessor;

/// The factory of the `resource_detection` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "resource_detection",
        aliases: &[],
        deprecated_aliases: &["resourcedetection"],
        signals: Stability::Beta.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(DetectionProcessor::new(settings, config, next)?);
        Ok(processor)
    })
}
