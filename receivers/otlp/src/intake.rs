//! The way into the pipelines.

use std::sync::Arc;

use component::telemetry::ReceiverMetrics;
use component::{ConsumeError, Outputs, Settings};
use net::Status;
use pdata::{Batch, ClientInfo, Signal};

/// Hands batches to the pipelines of their signal and counts them.
pub(crate) struct Intake {
    outputs: Outputs,
    metrics: ReceiverMetrics,
    /// Whether request headers go with the data.
    pub(crate) include_metadata: bool,
}

/// A batch whose answer is awaited. If the client goes away before it comes, the batch counts as refused: the client
/// was not told that it was taken.
struct Pending<'a> {
    metrics: &'a ReceiverMetrics,
    signal: Signal,
    items: usize,
    answered: bool,
}

impl Intake {
    pub(crate) fn new(
        settings: &Settings,
        transport: &'static str,
        outputs: &Outputs,
        include_metadata: bool,
    ) -> Self {
        Self {
            outputs: outputs.clone(),
            metrics: ReceiverMetrics::new(settings, transport),
            include_metadata,
        }
    }

    /// Whether a pipeline takes the signal.
    pub(crate) fn takes(&self, signal: Signal) -> bool {
        self.outputs.get(signal).is_some()
    }

    /// Waits for the pipelines to take a batch. One without items is taken without asking them.
    pub(crate) async fn deliver(&self, batch: Batch, client: Arc<ClientInfo>) -> Result<(), Status> {
        let (signal, items) = (batch.signal(), batch.items());
        let Some(consumer) = self.outputs.get(signal) else {
            return Err(Status::new(component::Code::Unimplemented, format!("no pipeline takes {signal}")));
        };
        if batch.is_empty() {
            return Ok(());
        }
        let mut pending = Pending { metrics: &self.metrics, signal, items, answered: false };
        let result = consumer.consume(batch.with_client(Some(client))).await;
        pending.answer(&result);
        result.map_err(|error| Status::from(&error))
    }
}

impl Pending<'_> {
    fn answer(&mut self, result: &Result<(), ConsumeError>) {
        self.answered = true;
        self.metrics.record(self.signal, self.items, result);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.metrics.record(self.signal, self.items, &Err(()));
        }
    }
}
