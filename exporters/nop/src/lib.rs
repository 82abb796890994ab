//! The `nop` exporter: accepts everything and does nothing.

use std::sync::Arc;

use component::{Component, ConsumeError, Consumer, Exporter, ExporterFactory, Meta, Stability, async_trait};
use pdata::Batch;
use serde::Deserialize;

/// The configuration: there is nothing to configure.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {}

impl component::Config for Config {}

/// The exporter.
struct Nop;

impl Component for Nop {}

#[async_trait]
impl Consumer for Nop {
    async fn consume(&self, _batch: Batch) -> Result<(), ConsumeError> {
        Ok(())
    }
}

/// The factory of the `nop` exporter.
pub fn factory() -> ExporterFactory {
    let meta = Meta {
        kind: "nop",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Beta.for_all_signals(),
    };
    ExporterFactory::new::<Config>(meta, |_settings, _config, _signal| {
        let exporter: Arc<dyn Exporter> = Arc::new(Nop);
        Ok(exporter)
    })
}
