//! A backend that does as it is told, and the exporter before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use component::{ConsumeError, Exporter, Host, Kind, async_trait};
use confmap::Optional;
use helper::{ExporterConfig, QueueConfig, RetryConfig, SendError, Sender};
use pdata::{Batch, Signal};
use testkit::{TestTelemetry, gauges};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// What the sender does with one attempt.
pub(crate) enum Act {
    Accept,
    Fail(SendError),
    /// Takes this long, then accepts.
    Slow(Duration),
}

#[derive(Default)]
pub(crate) struct Backend {
    pub(crate) script: Mutex<VecDeque<Act>>,
    pub(crate) accepted: Mutex<Vec<Batch>>,
    attempts: AtomicUsize,
    at_once: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
    /// Attempts wait here while it is closed.
    gate: Option<Semaphore>,
}

#[async_trait]
impl Sender for Backend {
    async fn send(&self, batch: Batch) -> Result<(), SendError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(now, Ordering::Relaxed);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Accept);
        let result = match act {
            Act::Accept => Ok(()),
            Act::Fail(error) => Err(error),
            Act::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        };
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        if result.is_ok() {
            self.accepted.lock().unwrap().push(batch);
        }
        result
    }
}

impl Backend {
    pub(crate) fn scripted(script: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), ..Self::default() })
    }

    pub(crate) fn gated() -> Arc<Self> {
        Arc::new(Self { gate: Some(Semaphore::new(0)), ..Self::default() })
    }

    pub(crate) fn open(&self, attempts: usize) {
        self.gate.as_ref().unwrap().add_permits(attempts);
    }

    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(crate) fn items(&self) -> Vec<usize> {
        self.accepted.lock().unwrap().iter().map(Batch::items).collect()
    }
}

pub(crate) struct Setup {
    pub(crate) backend: Arc<Backend>,
    pub(crate) exporter: Arc<dyn Exporter>,
    pub(crate) host: Host,
    pub(crate) telemetry: TestTelemetry,
}

pub(crate) async fn setup(
    backend: &Arc<Backend>,
    queue: &str,
    change: impl FnOnce(&mut ExporterConfig),
) -> Setup {
    setup_on(Host::standalone(), backend, queue, change).await
}

pub(crate) async fn setup_on(
    host: Host,
    backend: &Arc<Backend>,
    queue: &str,
    change: impl FnOnce(&mut ExporterConfig),
) -> Setup {
    let queue = match queue {
        "off" => Optional::none(),
        yaml => Optional::some(confmap::from_yaml::<QueueConfig>(yaml).unwrap()),
    };
    let retry = RetryConfig { randomization_factor: 0.0, ..RetryConfig::default() };
    let mut config = ExporterConfig { queue, retry, timeout: None };
    change(&mut config);
    let telemetry = TestTelemetry::default();
    let settings = telemetry.settings(Kind::Exporter, "x");
    let exporter = helper::exporter(&settings, Signal::Metrics, backend.clone(), config, Vec::new());
    exporter.start(&host).await.unwrap();
    Setup { backend: backend.clone(), exporter, host, telemetry }
}

impl Setup {
    pub(crate) async fn consume(&self, items: usize) -> Result<(), String> {
        self.exporter.consume(gauges(1, items)).await.map_err(|error| error.to_string())
    }

    /// Consumes in a task of its own.
    pub(crate) fn consume_aside(&self, items: usize) -> tokio::task::JoinHandle<Result<(), ConsumeError>> {
        let exporter = self.exporter.clone();
        self.host.spawn("producer", async move { exporter.consume(gauges(1, items)).await })
    }

    pub(crate) async fn shutdown(&self, after: Duration) {
        self.exporter.shutdown(Instant::now() + after).await.unwrap();
        assert_eq!(self.host.tasks().names(), Vec::<String>::new());
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.telemetry.value(&format!("otelcol_exporter_{name}{{exporter=x}}"))
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        self.telemetry.value(&format!("otelcol_exporter_{name}{{data_type=metrics,exporter=x}}"))
    }
}

pub(crate) fn unavailable() -> SendError {
    ConsumeError::retryable("unavailable").into()
}

pub(crate) fn invalid() -> SendError {
    ConsumeError::permanent("invalid").into()
}

pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Lets every task run until it waits for something.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_nanos(1)).await;
}
