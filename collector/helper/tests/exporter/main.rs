//! The exporter around a sender that does as it is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure is a failed test")]

mod batching;
mod on_disk;
mod support;

use std::time::Duration;

use component::{ConsumeError, Kind};
use helper::{ExporterConfig, QueueConfig, RetryConfig, SendError};
use pdata::Signal;
use support::{Act, Backend, LONG, invalid, settle, setup, unavailable};
use testkit::{LogCapture, TestTelemetry, gauges};
use tokio::time::Instant;
use tracing::Level;

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
    assert_eq!(
        it.telemetry.values().get("otelcol_exporter_send_failed_metric_points{exporter=x}"),
        Some(&0.0)
    );
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
    let check =
        async |script: Vec<Act>, change: fn(&mut ExporterConfig), expected: Result<(), &str>, attempts| {
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
    let it =
        setup(&Backend::scripted([Act::Accept, Act::Fail(invalid())]), "{wait_for_result: true}", |_| {})
            .await;
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
async fn exporters_have_gauges_of_their_own() {
    let telemetry = TestTelemetry::default();
    let exporters = ["x", "x/2"].map(|id| {
        let config =
            ExporterConfig { queue: QueueConfig::on(), retry: RetryConfig::default(), timeout: None };
        let settings = telemetry.settings(Kind::Exporter, id);
        helper::exporter(&settings, Signal::Logs, Backend::scripted([]), config, Vec::new())
    });
    exporters[1].consume(testkit::logs(1)).await.unwrap();
    let size =
        |id: &str| telemetry.value(&format!("otelcol_exporter_queue_size{{data_type=logs,exporter={id}}}"));
    assert_eq!((size("x"), size("x/2")), (0.0, 1.0));
    drop(exporters);
    assert!(telemetry.values().keys().all(|series| !series.starts_with("otelcol_exporter_queue_size")));
}
