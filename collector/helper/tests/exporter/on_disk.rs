//! The exporter with its queue on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use component::{BoxError, Component, ComponentId, ConsumeError, Extension, Host, Kind, StorageArea};
use helper::{ExporterConfig, QueueConfig, RetryConfig};
use pdata::{Batch, Signal};
use tempfile::TempDir;
use testkit::{LogCapture, TestTelemetry, gauges};
use tokio::time::Instant;
use tracing::Level;

use crate::support::{Act, Backend, LONG, Setup, invalid, settle, setup_on, unavailable};

/// A storage extension over one directory.
struct Folder(PathBuf);

impl Component for Folder {}

impl Extension for Folder {
    fn storage(&self, kind: Kind, id: &ComponentId, name: &str) -> Option<Result<StorageArea, BoxError>> {
        let directory = self.0.join(format!("{kind}_{id}_{name}"));
        let made = fs::create_dir_all(&directory).map_err(Into::into);
        let timeout = Duration::from_secs(60);
        Some(made.map(|()| StorageArea { directory, timeout, ..StorageArea::default() }))
    }
}

fn host(directory: &Path) -> Host {
    let folder: Arc<dyn Extension> = Arc::new(Folder(directory.to_owned()));
    Host::standalone().with_extensions([(ComponentId::of_type("disk"), folder)])
}

async fn setup(directory: &TempDir, backend: &Arc<Backend>, queue: &str) -> Setup {
    let queue = format!("{{storage: disk, {queue}}}");
    setup_on(host(directory.path()), backend, &queue, |_| {}).await
}

/// The client's directory, without its lock.
fn files(directory: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.path().join("exporter_x_metrics")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("lock"));
    files.sort();
    files
}

/// What is on disk at this moment, in another place: what a killed process leaves.
fn as_killed(directory: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    let client = copy.path().join("exporter_x_metrics");
    fs::create_dir(&client).unwrap();
    for file in files(directory) {
        fs::copy(&file, client.join(file.file_name().unwrap())).unwrap();
    }
    copy
}

#[tokio::test(start_paused = true)]
async fn what_a_shutdown_interrupts_stays_and_comes_again() {
    let directory = TempDir::new().unwrap();
    let down = Backend::scripted((0..9).map(|_| Act::Fail(unavailable())));
    let log = LogCapture::begin();
    let it = setup(&directory, &down, "num_consumers: 1").await;
    for items in [1, 2, 3] {
        assert_eq!(it.consume(items).await, Ok(()));
    }
    settle().await;
    it.shutdown(LONG).await;
    assert_eq!(down.attempts(), 1, "the rest is left for the next start");
    assert_eq!(it.metric("send_failed_metric_points"), 0.0);
    assert_eq!(it.metric("sent_metric_points"), 0.0);
    assert!(log.lines().iter().all(|line| line.level != Level::ERROR), "{:?}", log.lines());
    let line = log.find("Exporting interrupted. The data stays in the sending queue on disk.").unwrap();
    assert_eq!(line.field("error"), "interrupted due to shutdown: unavailable");
    assert!(log.find("What could not be sent stays on disk until the next start.").is_some());
    assert_eq!(it.consume(1).await, Err("sending queue is stopped".to_owned()));

    let up = Backend::gated();
    let it = setup(&directory, &up, "num_consumers: 1").await;
    assert_eq!(it.gauge("queue_size"), 3.0);
    let line = log.find("The sending queue goes on with what is on disk.").unwrap();
    assert_eq!(line.field("requests"), "3");
    up.open(4);
    it.consume(4).await.unwrap();
    settle().await;
    it.shutdown(LONG).await;
    assert_eq!(up.items(), [1, 2, 3, 4]);
    assert_eq!(it.metric("sent_metric_points"), 10.0);
    assert_eq!(files(&directory), Vec::<PathBuf>::new());
}

#[tokio::test(start_paused = true)]
async fn a_kill_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let it = setup(&directory, &Backend::gated(), "num_consumers: 2, sizer: items").await;
    it.backend.open(1);
    for items in [1, 2, 3, 4] {
        it.consume(items).await.unwrap();
    }
    settle().await;
    let sent = it.backend.items();
    assert_eq!((sent.len(), it.backend.attempts()), (1, 3), "two are in flight, one waits");
    let left = as_killed(&directory);
    let up = Backend::gated();
    let again = setup(&left, &up, "num_consumers: 1, sizer: items").await;
    assert_eq!(again.gauge("queue_size"), 10.0 - sent[0] as f64);
    up.open(3);
    settle().await;
    again.shutdown(LONG).await;
    let expected: Vec<usize> = (1..=4).filter(|items| *items != sent[0]).collect();
    assert_eq!(up.items(), expected, "in order");
    it.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_does_not_come_again() {
    let directory = TempDir::new().unwrap();
    let backend = Backend::scripted([Act::Fail(invalid()), Act::Fail(unavailable())]);
    let once = |config: &mut ExporterConfig| config.retry.enabled = false;
    let log = LogCapture::begin();
    let it = setup_on(host(directory.path()), &backend, "{storage: disk, num_consumers: 1}", once).await;
    it.consume(1).await.unwrap();
    it.consume(2).await.unwrap();
    settle().await;
    let dropped: Vec<_> = log.lines().iter().map(|line| line.field("error").to_owned()).collect();
    assert_eq!(dropped, ["invalid", "unavailable"]);
    assert_eq!(it.gauge("queue_size"), 0.0);
    it.shutdown(LONG).await;
    assert_eq!(it.metric("send_failed_metric_points"), 3.0);
    assert_eq!(files(&directory), Vec::<PathBuf>::new());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_backend_loses_nothing_at_the_deadline() {
    for batch in ["", ", batch: {min_size: 2, max_size: 2, flush_timeout: 1ms}"] {
        let directory = TempDir::new().unwrap();
        let it = setup(&directory, &Backend::gated(), &format!("num_consumers: 1{batch}")).await;
        for items in [1, 4, 3] {
            assert_eq!(it.consume(items).await, Ok(()));
        }
        settle().await;
        let began = Instant::now();
        it.shutdown(Duration::from_secs(7)).await;
        assert_eq!(began.elapsed().as_secs(), 7);
        assert_eq!(it.metric("send_failed_metric_points"), 0.0);
        let up = Backend::gated();
        up.open(100);
        let it = setup(&directory, &up, "num_consumers: 1").await;
        settle().await;
        it.shutdown(LONG).await;
        assert_eq!(up.items(), [1, 4, 3], "{batch}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_for_good_does_not_bring_the_whole_back() {
    let directory = TempDir::new().unwrap();
    let backend = Backend::scripted([Act::Accept, Act::Fail(invalid()), Act::Accept]);
    let batch = "num_consumers: 1, batch: {min_size: 2, max_size: 2, flush_timeout: 1ms}";
    let it = setup(&directory, &backend, batch).await;
    it.consume(6).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(backend.items(), [2, 2]);
    it.shutdown(LONG).await;
    assert_eq!(it.metric("send_failed_metric_points"), 2.0);
    assert_eq!(files(&directory), Vec::<PathBuf>::new());
}

#[tokio::test(start_paused = true)]
async fn what_comes_from_disk_occupies_the_queue() {
    let directory = TempDir::new().unwrap();
    let it = setup(&directory, &Backend::gated(), "num_consumers: 1, sizer: items, queue_size: 5").await;
    it.consume(3).await.unwrap();
    it.shutdown(Duration::ZERO).await;
    let it = setup(&directory, &Backend::gated(), "num_consumers: 1, sizer: items, queue_size: 5").await;
    assert_eq!(it.gauge("queue_size"), 3.0);
    assert_eq!(it.consume(3).await, Err("sending queue is full".to_owned()));
    assert_eq!(it.consume(2).await, Ok(()));
    it.backend.open(2);
    settle().await;
    assert_eq!(it.backend.items(), [3, 2]);
    it.shutdown(LONG).await;

    let bytes = gauges(1, 7).encoded_len() as f64;
    let sized = "num_consumers: 1, sizer: bytes, queue_size: 100000";
    let it = setup(&directory, &Backend::gated(), sized).await;
    it.consume(7).await.unwrap();
    it.shutdown(Duration::ZERO).await;
    let it = setup(&directory, &Backend::gated(), sized).await;
    assert_eq!(it.gauge("queue_size"), bytes);
    it.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_is_the_producers_to_know() {
    let directory = TempDir::new().unwrap();
    let it = setup(&directory, &Backend::scripted([]), "num_consumers: 1").await;
    let client = directory.path().join("exporter_x_metrics");
    fs::remove_dir_all(&client).unwrap();
    let error = it.exporter.consume(gauges(1, 3)).await.unwrap_err();
    let ConsumeError::Retryable { reason, .. } = error else { panic!("{error}") };
    let expected = format!("sending queue cannot be written to disk: cannot create {}", client.display());
    assert!(reason.starts_with(&expected) && reason.contains("No such file"), "{reason}");
    assert_eq!(it.metric("enqueue_failed_metric_points"), 3.0);
    assert_eq!(it.gauge("queue_size"), 0.0, "the room is free again");
    fs::create_dir(&client).unwrap();
    assert_eq!(it.consume(2).await, Ok(()));
    settle().await;
    assert_eq!(it.backend.items(), [2]);
    it.shutdown(LONG).await;
}

/// Large enough that a second one is not held in memory.
fn large(number: usize) -> Batch {
    let batch = gauges(1, 60_000 + number);
    assert!(batch.encoded_len() > 2 << 20, "{}", batch.encoded_len());
    batch
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_is_on_disk_alone() {
    for batch in ["", ", batch: {sizer: items, min_size: 1, flush_timeout: 1ms}"] {
        let directory = TempDir::new().unwrap();
        let backend = Backend::gated();
        let it = setup(&directory, &backend, &format!("num_consumers: 1{batch}")).await;
        for number in 0..4 {
            it.exporter.consume(large(number)).await.unwrap();
        }
        backend.open(4);
        settle().await;
        it.shutdown(LONG).await;
        let accepted = backend.accepted.lock().unwrap().clone();
        assert_eq!(accepted, (0..4).map(large).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_while_it_waits_is_dropped_aloud() {
    let directory = TempDir::new().unwrap();
    let backend = Backend::gated();
    let it = setup(&directory, &backend, "num_consumers: 1").await;
    let log = LogCapture::begin();
    for number in 0..4 {
        it.exporter.consume(large(number)).await.unwrap();
    }
    let log_file = files(&directory).into_iter().find(|file| file.extension().unwrap() == "log").unwrap();
    let mut bytes = fs::read(&log_file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&log_file, bytes).unwrap();
    backend.open(4);
    it.consume(1).await.unwrap();
    settle().await;
    assert_eq!(backend.items(), [60_000, 60_001, 60_002, 1]);
    let line = log.find("Exporting failed. Dropping data.").unwrap();
    assert_eq!(line.field("dropped_items"), "60003");
    assert!(line.field("error").ends_with(" is damaged"), "{}", line.field("error"));
    assert_eq!(it.metric("send_failed_metric_points"), 60_003.0);
    assert_eq!(it.gauge("queue_size"), 0.0);
    it.shutdown(LONG).await;
    assert_eq!(files(&directory), Vec::<PathBuf>::new());
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_is_not_there_is_named() {
    let queue = confmap::from_yaml::<QueueConfig>("{storage: disk/other}").unwrap();
    let config = ExporterConfig {
        queue: confmap::Optional::some(queue),
        retry: RetryConfig::default(),
        timeout: None,
    };
    let settings = TestTelemetry::default().settings(Kind::Exporter, "x");
    let exporter = helper::exporter(&settings, Signal::Metrics, Backend::scripted([]), config, Vec::new());
    let directory = TempDir::new().unwrap();
    let refused = exporter.consume(gauges(1, 1)).await.unwrap_err();
    assert_eq!(refused, ConsumeError::retryable("sending queue is not started"));
    let error = exporter.start(&host(directory.path())).await.unwrap_err().to_string();
    assert!(error.starts_with("no storage client extension found: \"disk/other\""), "{error}");
    exporter.shutdown(Instant::now() + LONG).await.unwrap();
}
