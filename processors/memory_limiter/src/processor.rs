//! Refuses or passes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use component::telemetry::{ItemCounters, ProcessorMetrics};
use component::{BoxError, Component, ConsumeError, Consumer, Host, Settings};
use opentelemetry::KeyValue;
use pdata::Batch;
use tokio::time::Instant;

use crate::Config;
use crate::checker::Checker;

/// The processor.
pub(crate) struct MemoryLimiter {
    id: String,
    checker: Arc<Checker>,
    started: AtomicBool,
    next: Arc<dyn Consumer>,
    items: ProcessorMetrics,
    accepted: ItemCounters,
    refused: ItemCounters,
}

impl MemoryLimiter {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let id = settings.id.to_string();
        let signal = settings.signal();
        let counters = |prefix: &str, what: &str| {
            let attributes = vec![KeyValue::new("processor", id.clone())];
            ItemCounters::new(&settings.meter, prefix, what, attributes)
        };
        Ok(Self {
            accepted: counters(
                "processor_memory_limiter_accepted",
                "successfully pushed into the next component",
            ),
            refused: counters("processor_memory_limiter_refused", "that were rejected for want of memory"),
            items: ProcessorMetrics::new(&settings, signal),
            id,
            checker: config.checker()?,
            started: AtomicBool::new(false),
            next,
        })
    }
}

#[async_trait]
impl Component for MemoryLimiter {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        if !self.started.swap(true, Ordering::AcqRel) {
            self.checker.start(host, &self.id);
        }
        Ok(())
    }

    async fn shutdown(&self, _deadline: Instant) -> Result<(), BoxError> {
        if self.started.swap(false, Ordering::AcqRel) {
            self.checker.stop().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for MemoryLimiter {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let (signal, items) = (batch.signal(), batch.items());
        self.items.incoming(items);
        if !self.checker.admits(batch.encoded_len()) {
            self.refused.add(signal, items);
            self.accepted.add(signal, 0);
            return Err(ConsumeError::retryable("data refused due to high memory usage"));
        }
        self.accepted.add(signal, items);
        self.refused.add(signal, 0);
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
