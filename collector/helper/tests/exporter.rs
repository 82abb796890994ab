//! The exporter around a sender that does as it is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure is a failed test")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use component::{ConsumeError, Exporter, Host, Kind, async_trait};
use confmap::Optional;
use helper::{ExporterConfig, QueueConfig, RetryConfig, SendError, Sender};
use pdata::{Batch, ClientInfo, Signal};
use testkit::{LogCapture, TestTelemetry, gauges};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Level;

/// What the sender does with one attempt.
enum Act {
    Accept,
    Fail(SendError),
    /// Takes this long, then accepts.
    Slow(Duration),
}

#[derive(Default)]
struct Backend {
    script: Mutex<VecDeque<Act>>,
    accepted: Mutex<Vec<Batch>>,
    attempts: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
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
    fn scripted(script: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), ..Self::default() })
    }

    fn gated() -> Arc<Self> {
        Arc::new(Self { gate: Some(Semaphore::new(0)), ..Self::default() })
    }

    fn open(&self, attempts: usize) {
        self.gate.as_ref().unwrap().add_permits(attempts);
    }

    fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }

    fn items(&self) -> Vec<usize> {
        self.accepted.lock().unwrap().iter().map(Batch::items).collect()
    }
}

struct Setup {
    backend: Arc<Backend>,
    exporter: Arc<dyn Exporter>,
    host: Host,
    telemetry: TestTelemetry,
}

async fn setup(backend: &Arc<Backend>, queue: &str, change: impl FnOnce(&mut ExporterConfig)) -> Setup {
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
    let host = Host::standalone();
    exporter.start(&host).await.unwrap();
    Setup { backend: backend.clone(), exporter, host, telemetry }
}

impl Setup {
    async fn consume(&self, items: usize) -> Result<(), String> {
        self.exporter.consume(gauges(1, items)).await.map_err(|error| error.to_string())
    }

    /// Consumes in a task of its own.
    fn consume_aside(&self, items: usize) -> tokio::task::JoinHandle<Result<(), ConsumeError>> {
        let exporter = self.exporter.clone();
        self.host.spawn("producer", async move { exporter.consume(gauges(1, items)).await })
    }

    async fn shutdown(&self, after: Duration) {
        self.exporter.shutdown(Instant::now() + after).await.unwrap();
        assert_eq!(self.host.tasks().names(), Vec::<String>::new());
    }

    fn metric(&self, name: &str) -> f64 {
        self.telemetry.value(&format!("otelcol_exporter_{name}{{exporter=x}}"))
    }

    fn gauge(&self, name: &str) -> f64 {
        self.telemetry.value(&format!("otelcol_exporter_{name}{{data_type=metrics,exporter=x}}"))
    }
}

fn unavailable() -> SendError {
    ConsumeError::retryable("unavailable").into()
}

fn invalid() -> SendError {
    ConsumeError::permanent("invalid").into()
}

const LONG: Duration = Duration::from_secs(3600);

/// Lets every task run until it waits for something.
async fn settle() {
    tokio::time::sleep(Duration::from_nanos(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_answers_at_once_and_delivers_everything() {
    let it = setup(&Backend::scripted([]), "{}", |_| {}).await;
    for items in [1, 2, 3] {
        assert_eq!(it.consume(items).await, Ok(()));
    }
    assert_eq!(it.consume(0).await, Ok(()), "nothing is not queued");
    assert_eq!(it.gauge("queue_size"), 3.0);
    assert_eq!(it.gauge("queue_capacity"), 1000.0);
    it.shutdown(LONG).await;
    let mut items = it.backend.items();
    items.sort();
    assert_eq!(items, [1, 2, 3]);
    assert_eq!(it.metric("sent_metric_points"), 6.0);
    assert_eq!(it.telemetry.values().get("otelcol_exporter_send_failed_metric_points{exporter=x}"), Some(&0.0));
    assert_eq!(it.gauge("queue_size"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_occupies_the_queue() {
    let it = setup(&Backend::gated(), "{queue_size: 2, num_consumers: 1}", |_| {}).await;
    let log = LogCapture::begin();
    assert_eq!(it.consume(1).await, Ok(()));
    settle().await;
    assert_eq!(it.backend.attempts(), 1);
    assert_eq!(it.gauge("in_flight_requests"), 1.0);
    assert_eq!(it.consume(1).await, Ok(()));
    let refused = it.exporter.consume(gauges(1, 5)).await.unwrap_err();
    assert_eq!(refused, ConsumeError::retryable("sending queue is full"));
    assert_eq!(it.metric("enqueue_failed_metric_points"), 5.0);
    let line = log.find("Exporting failed. Rejecting data.").unwrap();
    assert_eq!((line.field("error"), line.field("rejected_items")), ("sending queue is full", "5"));
    it.backend.open(2);
    settle().await;
    assert_eq!(it.backend.items(), [1, 1]);
    assert_eq!(it.gauge("in_flight_requests"), 0.0);
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn an_element_larger_than_the_queue_is_refused_for_good() {
    let it = setup(&Backend::scripted([]), "{queue_size: 2, sizer: items}", |_| {}).await;
    let refused = it.exporter.consume(gauges(1, 3)).await.unwrap_err();
    assert_eq!(refused, ConsumeError::permanent("element size too large"));
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_is_sent_again_after_growing_waits() {
    let backend = Backend::scripted([Act::Fail(unavailable()), Act::Fail(unavailable())]);
    let it = setup(&backend, "off", |_| {}).await;
    let log = LogCapture::begin();
    let began = Instant::now();
    assert_eq!(it.consume(4).await, Ok(()));
    // The timer has a resolution of a millisecond.
    assert!((12.5..12.51).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    let lines = log.lines();
    let texts: Vec<_> =
        lines.iter().map(|line| (line.level, line.message.as_str(), line.field("interval"))).collect();
    let again = "Exporting failed. Will retry the request after interval.";
    assert_eq!(texts, [(Level::INFO, again, "5s"), (Level::INFO, again, "7.5s")]);
    assert_eq!(it.metric("sent_metric_points"), 4.0);
    assert_eq!(it.metric("send_failed_metric_points"), 0.0);
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn the_refusing_side_may_ask_for_a_longer_wait() {
    let slow_down = ConsumeError::Retryable {
        reason: "slow down".into(),
        code: None,
        after: Some(Duration::from_secs(42)),
    };
    let it = setup(&Backend::scripted([Act::Fail(slow_down.into())]), "off", |_| {}).await;
    let began = Instant::now();
    assert_eq!(it.consume(1).await, Ok(()));
    assert_eq!(began.elapsed().as_secs(), 42);
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn how_an_export_ends() {
    let check = async |script: Vec<Act>, change: fn(&mut ExporterConfig), expected: Result<(), &str>, attempts| {
        let it = setup(&Backend::scripted(script), "off", change).await;
        assert_eq!(it.consume(2).await, expected.map_err(str::to_owned));
        assert_eq!(it.backend.attempts(), attempts);
        it.shutdown(LONG).await;
        let failed = if expected.is_ok() { 0.0 } else { 2.0 };
        assert_eq!(it.metric("send_failed_metric_points"), failed);
        assert_eq!(it.metric("sent_metric_points"), 2.0 - failed);
    };
    let off = |config: &mut ExporterConfig| config.retry.enabled = false;
    let brief = |config: &mut ExporterConfig| {
        config.retry.max_elapsed_time = confmap::Duration::from_secs(11);
    };
    let timeout = |config: &mut ExporterConfig| {
        config.timeout = Some(Duration::from_secs(1));
        config.retry.enabled = false;
    };
    let slow = || Act::Slow(Duration::from_secs(2));
    check(vec![Act::Fail(invalid())], |_| {}, Err("not retryable error: invalid"), 1).await;
    check(vec![Act::Fail(unavailable())], off, Err("unavailable"), 1).await;
    let twice = vec![Act::Fail(unavailable()), Act::Fail(unavailable())];
    check(twice, brief, Err("no more retries left: unavailable"), 2).await;
    check(vec![slow()], |_| {}, Ok(()), 1).await;
    check(vec![slow()], timeout, Err("context deadline exceeded: no answer within 1s"), 1).await;
}

#[tokio::test(start_paused = true)]
async fn only_the_remaining_part_is_retried_and_counted() {
    let remaining = |items| Some(gauges(1, items));
    let backend = Backend::scripted([
        Act::Fail(SendError { remaining: remaining(3), ..unavailable() }),
        Act::Fail(SendError { remaining: remaining(1), ..invalid() }),
    ]);
    let it = setup(&backend, "off", |_| {}).await;
    let log = LogCapture::begin();
    assert!(it.consume(10).await.is_err());
    assert_eq!(it.metric("sent_metric_points"), 9.0);
    assert_eq!(it.metric("send_failed_metric_points"), 1.0);
    assert_eq!(log.find("Exporting failed. Rejecting data.").unwrap().field("rejected_items"), "1");
    let nothing_left = Act::Fail(SendError { remaining: remaining(0), ..unavailable() });
    it.backend.script.lock().unwrap().push_back(nothing_left);
    assert_eq!(it.consume(1).await, Ok(()));
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_queued_request_that_fails_is_dropped_aloud() {
    let it = setup(&Backend::scripted([Act::Fail(invalid())]), "{}", |_| {}).await;
    let log = LogCapture::begin();
    assert_eq!(it.consume(7).await, Ok(()));
    it.shutdown(LONG).await;
    let line = log.find("Exporting failed. Dropping data.").unwrap();
    assert_eq!((line.level, line.field("dropped_items")), (Level::ERROR, "7"));
    assert_eq!(line.field("error"), "not retryable error: invalid");
    assert_eq!(it.metric("send_failed_metric_points"), 7.0);
}

#[tokio::test(start_paused = true)]
async fn a_producer_may_wait_for_the_outcome() {
    let it = setup(&Backend::scripted([Act::Accept, Act::Fail(invalid())]), "{wait_for_result: true}", |_| {}).await;
    assert_eq!(it.consume(1).await, Ok(()));
    let error = it.exporter.consume(gauges(1, 1)).await.unwrap_err();
    assert_eq!(error, ConsumeError::permanent("not retryable error: invalid"));
    assert_eq!(it.metric("enqueue_failed_metric_points"), 0.0);
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_waits_and_tries_the_rest_once() {
    let dead = || Act::Fail(unavailable());
    let it = setup(&Backend::scripted((0..10).map(|_| dead())), "{num_consumers: 1}", |_| {}).await;
    let log = LogCapture::begin();
    for items in [1, 2, 3] {
        assert_eq!(it.consume(items).await, Ok(()));
    }
    settle().await;
    assert_eq!(it.backend.attempts(), 1);
    let began = Instant::now();
    it.shutdown(LONG).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(it.backend.attempts(), 3);
    assert_eq!(it.metric("send_failed_metric_points"), 6.0);
    let errors: Vec<_> = log.lines().iter().filter(|line| line.level == Level::ERROR).cloned().collect();
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(|line| line.field("error") == "interrupted due to shutdown: unavailable"));
    assert_eq!(it.consume(1).await, Err("sending queue is stopped".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_backend_does_not_outlast_the_deadline() {
    for queue in ["{num_consumers: 1}", "{num_consumers: 1, batch: {min_size: 1, flush_timeout: 1ms}}"] {
        let it = setup(&Backend::gated(), queue, |_| {}).await;
        for items in [1, 2, 3] {
            assert_eq!(it.consume(items).await, Ok(()));
        }
        settle().await;
        let began = Instant::now();
        it.shutdown(Duration::from_secs(7)).await;
        assert_eq!(began.elapsed().as_secs(), 7, "{queue}");
        assert_eq!(it.metric("send_failed_metric_points"), 6.0, "every loss is counted: {queue}");
        assert_eq!(it.gauge("queue_size"), 0.0, "{queue}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_start_is_fine() {
    let telemetry = TestTelemetry::default();
    let config = ExporterConfig { queue: QueueConfig::on(), retry: RetryConfig::default(), timeout: None };
    let settings = telemetry.settings(Kind::Exporter, "x");
    let exporter = helper::exporter(&settings, Signal::Metrics, Backend::scripted([]), config, Vec::new());
    exporter.shutdown(Instant::now() + LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_are_joined_up_to_the_size_or_the_time() {
    let batch = "{num_consumers: 1, batch: {min_size: 10, flush_timeout: 200ms}}";
    let it = setup(&Backend::scripted([]), batch, |_| {}).await;
    for items in [4, 4] {
        it.consume(items).await.unwrap();
    }
    settle().await;
    assert_eq!(it.backend.items(), Vec::<usize>::new());
    assert_eq!(it.gauge("queue_size"), 2.0, "what waits in a batch occupies the queue");
    it.consume(4).await.unwrap();
    settle().await;
    assert_eq!(it.backend.items(), [12], "the size is reached");
    it.consume(3).await.unwrap();
    tokio::time::sleep(Duration::from_millis(199)).await;
    assert_eq!(it.backend.items(), [12]);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(it.backend.items(), [12, 3], "the time is over");
    it.consume(5).await.unwrap();
    it.shutdown(LONG).await;
    assert_eq!(it.backend.items(), [12, 3, 5], "shutdown sends the rest");
    assert_eq!(it.metric("sent_metric_points"), 20.0);
}

#[tokio::test(start_paused = true)]
async fn large_requests_are_split() {
    let batch = "{num_consumers: 1, batch: {min_size: 4, max_size: 4, flush_timeout: 200ms}}";
    let it = setup(&Backend::scripted([]), batch, |_| {}).await;
    it.consume(3).await.unwrap();
    it.consume(11).await.unwrap();
    settle().await;
    assert_eq!(it.backend.items(), [4, 4, 4]);
    assert_eq!(it.gauge("queue_size"), 1.0, "the second request is not finished");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(it.backend.items(), [4, 4, 4, 2]);
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_limit_batches() {
    let one = gauges(1, 1).encoded_len();
    let max = 3 * one;
    let batch = format!(
        "{{num_consumers: 1, sizer: bytes, queue_size: 100000, batch: {{min_size: {max}, max_size: {max}}}}}"
    );
    let it = setup(&Backend::scripted([]), &batch, |_| {}).await;
    it.consume(40).await.unwrap();
    it.shutdown(LONG).await;
    let accepted = it.backend.accepted.lock().unwrap().clone();
    assert!(accepted.iter().all(|batch| batch.encoded_len() <= max));
    assert_eq!(accepted.iter().map(Batch::items).sum::<usize>(), 40);
}

#[tokio::test(start_paused = true)]
async fn every_producer_of_a_batch_learns_its_outcome() {
    let batch = "{wait_for_result: true, batch: {min_size: 4, max_size: 4, flush_timeout: 1s}}";
    let it = setup(&Backend::scripted([Act::Accept, Act::Fail(invalid())]), batch, |_| {}).await;
    let small = it.consume_aside(3);
    let large = it.consume_aside(5);
    assert_eq!(small.await.unwrap(), Ok(()), "all of it was in the first batch");
    let error = large.await.unwrap().unwrap_err();
    assert_eq!(error, ConsumeError::permanent("not retryable error: invalid"), "its second part failed");
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn batches_are_sent_at_the_same_time_up_to_the_consumers() {
    let it = setup(&Backend::gated(), "{num_consumers: 2, batch: {min_size: 1}}", |_| {}).await;
    for _ in 0..5 {
        it.consume(1).await.unwrap();
    }
    settle().await;
    assert_eq!(it.backend.attempts(), 2);
    it.backend.open(5);
    it.shutdown(LONG).await;
    assert_eq!(it.backend.most_at_once.load(Ordering::Relaxed), 2);
    assert_eq!(it.backend.items().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn partitions_are_kept_apart() {
    let batch = "{batch: {min_size: 100, partition: {metadata_keys: [Tenant]}}}";
    let it = setup(&Backend::scripted([]), batch, |_| {}).await;
    let client = |tenant: &str| {
        let metadata = vec![
            ("tenant".to_owned(), vec![tenant.to_owned()]),
            ("other".to_owned(), vec!["dropped".to_owned()]),
        ];
        Some(Arc::new(ClientInfo { address: None, metadata }))
    };
    for (tenant, items) in [("a", 1), ("b", 10), ("a", 2)] {
        it.exporter.consume(gauges(1, items).with_client(client(tenant))).await.unwrap();
    }
    it.consume(20).await.unwrap();
    it.shutdown(LONG).await;
    let mut got: Vec<_> = it
        .backend
        .accepted
        .lock()
        .unwrap()
        .iter()
        .map(|batch| (batch.items(), batch.client().unwrap().metadata.clone()))
        .collect();
    got.sort();
    let only = |tenant: &str| vec![("tenant".to_owned(), vec![tenant.to_owned()])];
    assert_eq!(got, [(3, only("a")), (10, only("b")), (20, vec![])]);
}
