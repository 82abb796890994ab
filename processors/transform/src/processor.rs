//! Runs the statements.

use std::sync::Arc;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Settings};
use confmap::Problems;
use pdata::Batch;

use crate::Config;
use crate::program::Program;

/// The feature gate of `flatten_data`.
const FLATTEN_GATE: &str = "transform.flatten.logs";

/// The processor.
pub(crate) struct TransformProcessor {
    program: Program,
    items: ProcessorMetrics,
    next: Arc<dyn Consumer>,
}

impl TransformProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let signal = settings.signal();
        if config.flatten_data && !settings.gates.is_enabled(FLATTEN_GATE) {
            return Err(format!(
                "'flatten_data' requires the '{FLATTEN_GATE}' feature gate to be enabled: start with \
                 --feature-gates={FLATTEN_GATE}"
            )
            .into());
        }
        let mut problems = Problems::default();
        let program = Program::new(config, signal, &mut problems);
        problems.into_result()?;
        Ok(Self { program, items: ProcessorMetrics::new(&settings, signal), next })
    }
}

impl Component for TransformProcessor {}

#[async_trait]
impl Consumer for TransformProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let batch = self.program.run(batch)?;
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
