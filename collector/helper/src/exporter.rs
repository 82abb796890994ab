//! The exporter around a [`Sender`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use component::telemetry::{ExporterMetrics, PREFIX};
use component::{BoxError, Component, ComponentId, ConsumeError, Consumer, Exporter, Host, Kind, Settings};
use confmap::Optional;
use opentelemetry::KeyValue;
use pdata::{Batch, Signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batcher::{Batcher, Groups};
use crate::delivery::{Delivery, Failure, Sender};
use crate::disk::Disk;
use crate::queue::{Accepted, Element, Queue, Ticket};
use crate::storage::JournalError;
use crate::{Origin, QueueConfig, RetryConfig, log, storage};

/// How an exporter queues, retries and gives up.
#[derive(Debug, Clone)]
pub struct ExporterConfig {
    /// `sending_queue`; none for sending while the caller waits.
    pub queue: Optional<QueueConfig>,
    /// `retry_on_failure`.
    pub retry: RetryConfig,
    /// The limit of one attempt; `None` or zero for none.
    pub timeout: Option<Duration>,
}

/// Wraps a sender into an exporter of `signal`. `server` says where it sends, as metric attributes
/// (`server_address`, `server_port`, `url_path`).
pub fn exporter(
    settings: &Settings,
    signal: Signal,
    sender: Arc<dyn Sender>,
    config: ExporterConfig,
    server: Vec<KeyValue>,
) -> Arc<dyn Exporter> {
    let delivery = Arc::new(Delivery {
        sender,
        origin: Origin::new(settings, signal),
        retry: config.retry,
        timeout: config.timeout,
        metrics: ExporterMetrics::new(settings, server),
        signal,
        keeps: config.queue.as_ref().is_some_and(|queue| queue.storage.is_some()),
        in_flight: Arc::default(),
        stopped: CancellationToken::new(),
        expired: CancellationToken::new(),
    });
    let queue = config.queue.as_ref().map(|config| (Queue::new(config), config.clone()));
    observe(settings, signal, &delivery.in_flight, queue.as_ref().map(|(queue, _)| queue));
    let (kind, id) = (settings.kind, settings.id.clone());
    Arc::new(QueuedExporter { kind, id, delivery, queue, tasks: Mutex::default() })
}

struct QueuedExporter {
    kind: Kind,
    id: ComponentId,
    delivery: Arc<Delivery>,
    queue: Option<(Arc<Queue>, QueueConfig)>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[async_trait]
impl Component for QueuedExporter {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        self.delivery.sender.start(host).await?;
        let Some((queue, config)) = &self.queue else { return Ok(()) };
        if let Some(storage) = &config.storage {
            self.resume(host, queue, storage).await?;
        }
        let consumers = u32::try_from(config.num_consumers).unwrap_or(1).max(1);
        let name = format!("{}: {} queue", self.delivery.origin.id, self.delivery.signal);
        let spawned = match &config.batch {
            Some(batch) => {
                let batcher = Batcher {
                    queue: queue.clone(),
                    delivery: self.delivery.clone(),
                    host: host.clone(),
                    name: name.clone(),
                    workers: consumers,
                    groups: Groups::new(batch),
                };
                vec![host.spawn(name, batcher.run())]
            }
            None => (0..consumers)
                .map(|_| host.spawn(name.clone(), consume_queue(queue.clone(), self.delivery.clone())))
                .collect(),
        };
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend(spawned);
        Ok(())
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        // First the waits end, then what is queued gets one attempt each.
        self.delivery.stopped.cancel();
        if let Some((queue, _)) = &self.queue {
            queue.close();
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        if tokio::time::timeout_at(deadline, join(&mut tasks)).await.is_err() {
            self.delivery.expired.cancel();
        }
        if let Some((queue, _)) = &self.queue {
            self.drop_rest(queue);
        }
        join(&mut tasks).await;
        if let Some((queue, _)) = self.queue.clone() {
            // Where the thread pool is gone, the journal closes with the queue.
            let left = tokio::task::spawn_blocking(move || queue.disk().map(Disk::close)).await;
            if let Ok(Some(bytes @ 1..)) = left {
                log!(
                    info,
                    self.delivery.origin,
                    bytes,
                    "What could not be sent stays on disk until the next start."
                );
            }
        }
        self.delivery.sender.shutdown(deadline).await
    }
}

#[async_trait]
impl Consumer for QueuedExporter {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        let result = match &self.queue {
            None => self.delivery.deliver(batch).await.map_err(|failure| (failure.error, failure.items)),
            Some((queue, _)) => self.enqueue(queue, batch).await.map_err(|error| (error, items)),
        };
        result.map_err(|(error, rejected_items)| {
            log!(error, self.delivery.origin, %error, rejected_items, "Exporting failed. Rejecting data.");
            error
        })
    }
}

impl QueuedExporter {
    /// Opens the queue on disk and goes on with what is there.
    async fn resume(&self, host: &Host, queue: &Arc<Queue>, storage: &str) -> Result<(), BoxError> {
        let area = storage::area(host, storage, self.kind, &self.id, self.delivery.signal.as_str())?;
        let (queue, delivery) = (queue.clone(), self.delivery.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let (disk, elements) = Disk::open(&area, queue.sizer(), delivery)?;
            let (requests, bytes) = (elements.len(), disk.bytes());
            queue.resume(disk, elements);
            Ok::<_, JournalError>((requests, bytes))
        });
        let (requests, bytes) = opened.await??;
        if requests > 0 {
            let origin = &self.delivery.origin;
            log!(info, *origin, requests, bytes, "The sending queue goes on with what is on disk.");
        }
        Ok(())
    }

    async fn enqueue(&self, queue: &Arc<Queue>, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        match queue.offer(batch).await {
            Ok(Accepted::Queued) => Ok(()),
            Ok(Accepted::Pending(outcome)) => {
                outcome.await.unwrap_or_else(|_| Err(ConsumeError::retryable("interrupted due to shutdown")))
            }
            Err(error) => {
                self.delivery.metrics.enqueue_failed(self.delivery.signal, items);
                Err(error)
            }
        }
    }

    /// Counts what nobody will take out of the queue any more, in one line.
    fn drop_rest(&self, queue: &Arc<Queue>) {
        let mut dropped_items = 0;
        let error = ConsumeError::retryable("interrupted due to shutdown");
        while let Some(Element { batch, ticket }) = queue.try_take() {
            dropped_items += batch.items();
            ticket.finish(Err(&error));
        }
        if dropped_items > 0 {
            self.delivery.metrics.sent(self.delivery.signal, 0, dropped_items);
            log!(error, self.delivery.origin, %error, dropped_items, "Exporting failed. Dropping data.");
        }
    }
}

/// Waits for the tasks; those that have ended are off the list even if the wait is given up.
async fn join(tasks: &mut Vec<JoinHandle<()>>) {
    while let Some(task) = tasks.last_mut() {
        if let Err(error) = task.await {
            tracing::error!(%error, "Sending queue consumer failed.");
        }
        tasks.pop();
    }
}

async fn consume_queue(queue: Arc<Queue>, delivery: Arc<Delivery>) {
    while let Some(Element { batch, ticket }) = queue.take().await {
        send_and_finish(&delivery, batch, [ticket]).await;
    }
}

/// Sends one batch and tells everybody who has a part in it.
pub(crate) async fn send_and_finish(
    delivery: &Delivery,
    batch: Batch,
    tickets: impl IntoIterator<Item = Ticket>,
) {
    let result = delivery.deliver(batch).await;
    if let Err(Failure { error, items, kept: true }) = &result {
        // Tickets without an outcome keep their elements on disk.
        drop(tickets);
        log!(info, delivery.origin, %error, items, "Exporting interrupted. The data stays in the sending queue on disk.");
        return;
    }
    let mut dropped = false;
    for ticket in tickets {
        dropped |= !ticket.is_awaited();
        ticket.finish(result.as_ref().copied().map_err(|failure| &failure.error));
    }
    if let (Err(Failure { error, items, .. }), true) = (&result, dropped) {
        log!(error, delivery.origin, %error, dropped_items = items, "Exporting failed. Dropping data.");
    }
}

/// Declares the gauges. They hold weak references: the metrics of an exporter that is gone just end.
fn observe(settings: &Settings, signal: Signal, in_flight: &Arc<AtomicU64>, queue: Option<&Arc<Queue>>) {
    let attributes =
        [KeyValue::new("exporter", settings.id.to_string()), KeyValue::new("data_type", signal.as_str())];
    let gauge = |name: &str,
                 what: &'static str,
                 unit: &'static str,
                 value: Box<dyn Fn() -> Option<u64> + Send + Sync>| {
        let attributes = attributes.clone();
        // The meter keeps the callback; the handle itself is not needed.
        let _ = settings
            .meter
            .u64_observable_gauge(format!("{PREFIX}exporter_{name}"))
            .with_description(what)
            .with_unit(unit)
            .with_callback(move |observer| {
                if let Some(value) = value() {
                    observer.observe(value, &attributes);
                }
            })
            .build();
    };
    let count: Weak<AtomicU64> = Arc::downgrade(in_flight);
    gauge(
        "in_flight_requests",
        "Number of requests currently being sent, waits between attempts included",
        "{requests}",
        Box::new(move || count.upgrade().map(|count| count.load(Ordering::Relaxed))),
    );
    let Some(queue) = queue else { return };
    let unit = "{batches}";
    let weak = Arc::downgrade(queue);
    gauge(
        "queue_size",
        "Current size of the sending queue, in units of its sizer",
        unit,
        Box::new(move || weak.upgrade().map(|queue| queue.used())),
    );
    let weak = Arc::downgrade(queue);
    gauge(
        "queue_capacity",
        "Fixed capacity of the sending queue, in units of its sizer",
        unit,
        Box::new(move || weak.upgrade().map(|queue| queue.capacity())),
    );
}
