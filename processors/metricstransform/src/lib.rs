//! The `metricstransform` processor: renames, copies, combines and groups metrics and edits their labels.
//!
//! Requests in which no name matches pass without being decoded. See the `README.md` for the options.

mod aggregate;
mod compile;
mod config;
mod merge;
mod operation;
mod points;
mod processor;
mod transform;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};
use pdata::Signal;

pub use config::{Config, OperationConfig, TransformConfig, ValueAction};
use processor::MetricsTransformProcessor;

/// The factory of the `metricstransform` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "metrics_transform",
        aliases: &[],
        deprecated_aliases: &["metricstransform"],
        signals: &[(Signal::Metrics, Stability::Beta)],
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        let processor: Arc<dyn Processor> =
            Arc::new(MetricsTransformProcessor::new(settings, &config, next)?);
        Ok(processor)
    })
}
