//! Runs the rules.

use std::sync::Arc;

use async_trait::async_trait;
use component::telemetry::{PREFIX, ProcessorMetrics};
use component::{BoxError, Component, ConsumeError, Consumer, Settings};
use confmap::Problems;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use pdata::{Batch, Signal};

use crate::Config;
use crate::rules::Rules;

/// The processor.
pub(crate) struct FilterProcessor {
    rules: Rules,
    items: ProcessorMetrics,
    filtered: Counter<u64>,
    name: [KeyValue; 1],
    next: Arc<dyn Consumer>,
}

impl FilterProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let signal = settings.signal();
        let mut problems = Problems::default();
        let rules = Rules::new(config, signal, &mut problems);
        problems.into_result()?;
        let (items, what) = match signal {
            Signal::Metrics => ("datapoints", "metric data points"),
            Signal::Logs => ("logs", "logs"),
            Signal::Traces => ("spans", "spans"),
        };
        let filtered = settings
            .meter
            .u64_counter(format!("{PREFIX}processor_filter_{items}.filtered"))
            .with_description(format!("Number of {what} dropped by the filter processor"))
            .with_unit("1")
            .build();
        let name = [KeyValue::new("filter", settings.id.to_string())];
        Ok(Self { rules, items: ProcessorMetrics::new(&settings, signal), filtered, name, next })
    }
}

impl Component for FilterProcessor {}

#[async_trait]
impl Consumer for FilterProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let before = batch.items();
        self.items.incoming(before);
        let batch = if self.rules.is_empty() {
            batch
        } else {
            let mut run = self.rules.run();
            let batch = batch.rewrite(&mut run);
            if let Some(error) = run.error {
                return Err(error);
            }
            batch
        };
        self.filtered.add((before - batch.items()) as u64, &self.name);
        self.items.outgoing(batch.items());
        if batch.encoded_len() == 0 {
            return Ok(());
        }
        self.next.consume(batch).await
    }
}
