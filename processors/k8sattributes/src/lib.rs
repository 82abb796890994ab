//! The `k8s_attributes` processor: adds to resources what the Kubernetes API server knows of their pods.
//!
//! Pods are watched, and what is added of each is worked out and encoded when the pod changes. A resource is read once,
//! found by its key in one lookup, and given what it lacks by copying. Items are not decoded. See the `README.md` for the
//! options.

mod association;
mod cluster;
mod common;
mod compile;
mod config;
mod enrichment;
mod entry;
#[cfg(test)]
mod entry_tests;
mod fetch;
mod field;
mod filter;
mod gating;
mod image;
mod index;
#[cfg(test)]
mod index_tests;
mod key;
mod needs;
mod objects;
mod owner;
mod pods;
mod processor;
mod rule;
mod telemetry;
mod template;
#[cfg(test)]
mod test_support;
mod view;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};

pub use cluster::Error;
pub use config::{
    AssociationConfig, Config, ExcludeConfig, ExcludePodConfig, ExtractConfig, FilterConfig, RuleConfig,
    SelectorConfig, SourceConfig,
};
use processor::AttributesProcessor;

/// The factory of the `k8s_attributes` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "k8s_attributes",
        aliases: &[],
        deprecated_aliases: &["k8sattributes"],
        signals: Stability::Beta.for_all_signals(),
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> = Arc::new(AttributesProcessor::new(settings, config, next)?);
        Ok(processor)
    })
}
