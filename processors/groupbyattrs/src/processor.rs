//! Groups requests.

use std::sync::Arc;

use async_trait::async_trait;
use component::telemetry::{PREFIX, ProcessorMetrics};
use component::{Component, ConsumeError, Consumer, Settings};
use opentelemetry::metrics::{Counter, Histogram};
use pdata::rewrite::Regrouped;
use pdata::{Batch, Signal};

use crate::Config;

/// The processor.
pub(crate) struct GroupByAttrsProcessor {
    keys: Vec<String>,
    items: ProcessorMetrics,
    grouped: Counter<u64>,
    non_grouped: Counter<u64>,
    groups: Histogram<u64>,
    next: Arc<dyn Consumer>,
}

impl GroupByAttrsProcessor {
    pub(crate) fn new(settings: &Settings, config: &Config, next: Arc<dyn Consumer>) -> Self {
        let signal = settings.signal();
        let (items, group) = match signal {
            Signal::Metrics => ("metrics", "metric"),
            Signal::Logs => ("logs", "log"),
            Signal::Traces => ("spans", "span"),
        };
        let counter = |name: &str, what: &str| {
            settings
                .meter
                .u64_counter(format!("{PREFIX}processor_groupbyattrs_{name}_{items}"))
                .with_description(format!("Number of {items} that {what} attributes grouped"))
                .with_unit("1")
                .build()
        };
        Self {
            keys: config.distinct_keys(),
            items: ProcessorMetrics::new(settings, signal),
            grouped: counter("num_grouped", "had"),
            non_grouped: counter("num_non_grouped", "did not have"),
            groups: settings
                .meter
                .u64_histogram(format!("{PREFIX}processor_groupbyattrs_{group}_groups"))
                .with_description(format!("Distribution of groups extracted for {items}"))
                .with_unit("1")
                .build(),
            next,
        }
    }
}

impl Component for GroupByAttrsProcessor {}

#[async_trait]
impl Consumer for GroupByAttrsProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let Regrouped { batch, moved, resources } = batch.group_by_attributes(&self.keys);
        self.grouped.add(moved as u64, &[]);
        self.non_grouped.add(items.saturating_sub(moved) as u64, &[]);
        self.groups.record(resources as u64, &[]);
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
