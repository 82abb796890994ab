//! The `k8sdecorator` processor: adds to metrics of pods and containers what Container Insights calls them.
//!
//! The pods of the node are asked of the kubelet in the background. What is added for each is encoded once per list, and put
//! into resources by copying; data points are not decoded. See the `README.md` for the options.

mod config;
mod decoration;
mod processor;
#[cfg(test)]
mod processor_tests;
mod table;
mod watcher;

use std::sync::Arc;

use component::{Meta, Processor, ProcessorFactory, Stability};
use k8s::{Kubelet, KubeletConfig};
use pdata::Signal;

pub use config::Config;
use processor::DecoratorProcessor;

/// The factory of the `k8sdecorator` processor.
pub fn factory() -> ProcessorFactory {
    let meta = Meta {
        kind: "k8sdecorator",
        aliases: &[],
        deprecated_aliases: &[],
        signals: &[(Signal::Metrics, Stability::Beta)],
    };
    ProcessorFactory::new::<Config>(meta, |settings, config, next| {
        // Outside a cluster, and on a node whose address nobody said, there is nobody to ask.
        let endpoint = config.host_ip();
        let is_askable = !endpoint.is_empty() && k8s::is_in_cluster();
        let kubelet = is_askable.then(|| Kubelet::new(KubeletConfig::new(endpoint))).transpose()?;
        let processor: Arc<dyn Processor> =
            Arc::new(DecoratorProcessor::new(settings, &config, kubelet, next));
        Ok(processor)
    })
}
