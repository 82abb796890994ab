//! Runs the actions.

use std::sync::Arc;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Settings};
use confmap::Problems;
use pdata::Batch;
use processing::Action;

use crate::Config;

/// The processor.
pub(crate) struct ResourceProcessor {
    actions: Vec<Action>,
    items: ProcessorMetrics,
    next: Arc<dyn Consumer>,
}

impl ResourceProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let mut problems = Problems::default();
        let actions = processing::actions("attributes", &config.attributes, &mut problems);
        problems.into_result()?;
        let signal = settings.signal();
        Ok(Self { actions, items: ProcessorMetrics::new(&settings, signal), next })
    }
}

impl Component for ResourceProcessor {}

#[async_trait]
impl Consumer for ResourceProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let client = batch.client().cloned();
        let batch = batch.edit_resources(|editor| {
            self.actions.iter().for_each(|action| action.apply(editor, client.as_deref()));
        });
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
