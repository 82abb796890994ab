//! The processor between a producer and a stage that does as it is told.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use component::{ConsumeError, Host, Kind, Processor};
use confmap::Node;
use pdata::{Batch, ClientInfo};
use testkit::contract::ProcessorContract;
use testkit::{LogCapture, RecordingSink, TestTelemetry, gauges};
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(3600);

struct Setup {
    processor: Arc<dyn Processor>,
    sink: Arc<RecordingSink>,
    host: Host,
    telemetry: TestTelemetry,
}

async fn setup(yaml: &str, sink: Arc<RecordingSink>) -> Setup {
    let telemetry = TestTelemetry::default();
    let factory = batchprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "batch").unwrap();
    let settings = telemetry.settings(Kind::Processor, "batch");
    let processor = factory.create(settings, &config, sink.clone()).unwrap();
    let host = Host::standalone();
    processor.start(&host).await.unwrap();
    Setup { processor, sink, host, telemetry }
}

impl Setup {
    async fn consume(&self, items: usize) {
        self.processor.consume(gauges(1, items)).await.unwrap();
        settle().await;
    }

    async fn shutdown(&self, time: Duration) {
        self.processor.shutdown(Instant::now() + time).await.unwrap();
        assert_eq!(self.host.tasks().names(), Vec::<String>::new());
    }

    fn sizes(&self) -> Vec<usize> {
        self.sink.batches().iter().map(Batch::items).collect()
    }

    fn metric(&self, name: &str) -> f64 {
        self.telemetry.value(&format!("otelcol_processor_batch_{name}{{processor=batch}}"))
    }

    fn dropped(&self, reason: &str) -> f64 {
        self.telemetry.value(&format!(
            "otelcol_processor_batch_dropped_items{{otel_signal=metrics,processor=batch,reason={reason}}}"
        ))
    }
}

/// Lets every task run until it waits for something.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn retryable() -> ConsumeError {
    ConsumeError::retryable("sending queue is full")
}

fn client(tenant: &str) -> Option<Arc<ClientInfo>> {
    let metadata = vec![
        ("tenant".to_owned(), vec![tenant.to_owned()]),
        ("other".to_owned(), vec!["dropped".to_owned()]),
    ];
    Some(Arc::new(ClientInfo { address: None, metadata }))
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_sent_when_it_is_large_enough() {
    let it = setup("{send_batch_size: 10, timeout: 1h}", RecordingSink::new()).await;
    for items in [4, 4] {
        it.consume(items).await;
    }
    assert!(it.sizes().is_empty());
    it.consume(4).await;
    assert_eq!(it.sizes(), [12]);
    it.consume(1).await;
    it.shutdown(LONG).await;
    assert_eq!(it.sizes(), [12, 1], "shutdown sends the rest");
    assert_eq!(it.metric("batch_size_trigger_send"), 1.0);
    assert_eq!(it.metric("timeout_trigger_send"), 1.0);
    assert_eq!(it.metric("batch_send_size"), 2.0);
    assert_eq!(
        it.telemetry.value("otelcol_processor_incoming_items{otel_signal=metrics,processor=batch}"),
        13.0
    );
    assert_eq!(
        it.telemetry.value("otelcol_processor_outgoing_items{otel_signal=metrics,processor=batch}"),
        13.0
    );
}

#[tokio::test(start_paused = true)]
async fn the_timer_strikes_at_fixed_intervals_from_the_last_full_batch() {
    let it = setup("{send_batch_size: 10, timeout: 100ms}", RecordingSink::new()).await;
    tokio::time::advance(Duration::from_millis(250)).await;
    it.consume(1).await;
    tokio::time::advance(Duration::from_millis(49)).await;
    settle().await;
    assert!(it.sizes().is_empty());
    tokio::time::advance(Duration::from_millis(2)).await;
    settle().await;
    assert_eq!(it.sizes(), [1], "the third strike is at 300 ms");
    it.consume(10).await;
    it.consume(2).await;
    tokio::time::advance(Duration::from_millis(98)).await;
    settle().await;
    assert_eq!(it.sizes(), [1, 10], "the full batch began a new interval");
    tokio::time::advance(Duration::from_millis(4)).await;
    settle().await;
    assert_eq!(it.sizes(), [1, 10, 2]);
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn large_requests_are_split_and_keep_their_order() {
    let it = setup("{send_batch_size: 4, send_batch_max_size: 5, timeout: 1h}", RecordingSink::new()).await;
    it.consume(13).await;
    assert_eq!(it.sizes(), [5, 5]);
    it.shutdown(LONG).await;
    assert_eq!(it.sizes(), [5, 5, 3]);
    let names: Vec<String> = it
        .sink
        .batches()
        .iter()
        .flat_map(|batch| pdata::metrics::resources(batch).flat_map(|r| r.scopes()).collect::<Vec<_>>())
        .flat_map(|scope| scope.metrics().map(|metric| metric.name.to_owned()).collect::<Vec<_>>())
        .collect();
    let expected: Vec<String> = (0..13).map(|i| format!("m{i}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn zero_size_or_time_sends_at_once() {
    for yaml in ["send_batch_size: 0", "timeout: 0s", "{send_batch_size: 0, send_batch_max_size: 2}"] {
        let it = setup(yaml, RecordingSink::new()).await;
        it.consume(3).await;
        assert_eq!(it.sink.items(), 3, "{yaml}");
        it.shutdown(LONG).await;
    }
}

#[tokio::test(start_paused = true)]
async fn producers_wait_while_the_next_stage_refuses_and_nothing_is_lost() {
    let it = setup("{send_batch_size: 1, timeout: 1h}", RecordingSink::new()).await;
    it.sink.refuse(Some(retryable()));
    let processor = it.processor.clone();
    let producer = it.host.spawn("producer", async move {
        for _ in 0..100 {
            processor.consume(gauges(1, 1)).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!producer.is_finished(), "the buffer is bounded");
    assert_eq!(it.sink.items(), 0);
    it.sink.refuse(None);
    producer.await.unwrap();
    it.shutdown(LONG).await;
    assert_eq!(it.sink.items(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_counted_by_reason() {
    let it = setup("{send_batch_size: 1, timeout: 1h}", RecordingSink::new()).await;
    let log = LogCapture::begin();
    it.sink.refuse(Some(ConsumeError::permanent("never")));
    it.consume(3).await;
    assert_eq!(it.dropped("permanent"), 3.0);
    let line = log.find("Sender failed").unwrap();
    assert_eq!(
        (line.field("error"), line.field("dropped_items"), line.field("reason")),
        ("never", "3", "permanent")
    );

    it.sink.refuse(Some(retryable()));
    it.consume(4).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(it.dropped("retries_exhausted"), 0.0);
    tokio::time::sleep(Duration::from_secs(100)).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(it.dropped("retries_exhausted"), 4.0);
    it.consume(5).await;
    assert_eq!(it.dropped("retries_exhausted"), 9.0, "a stage that is dead is asked once per batch");
    it.sink.refuse(None);
    it.consume(1).await;
    it.sink.refuse(Some(retryable()));
    it.consume(6).await;
    assert_eq!(it.dropped("retries_exhausted"), 9.0, "it has accepted something since");
    it.shutdown(Duration::from_secs(10)).await;
    assert_eq!(it.dropped("shutdown"), 6.0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_long_as_it_is_asked_to() {
    let slow =
        ConsumeError::Retryable { reason: "slow".into(), code: None, after: Some(Duration::from_secs(42)) };
    let it = setup("send_batch_size: 0", RecordingSink::scripted([Some(slow)])).await;
    let began = Instant::now();
    it.consume(1).await;
    it.sink.wait_for_items(1).await;
    assert_eq!(began.elapsed().as_secs(), 42);
    it.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_gives_a_refusing_stage_half_of_the_time() {
    let it = setup("send_batch_size: 0", RecordingSink::new()).await;
    it.sink.refuse(Some(retryable()));
    for _ in 0..3 {
        it.consume(1).await;
    }
    let began = Instant::now();
    it.shutdown(Duration::from_secs(20)).await;
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(it.dropped("shutdown"), 3.0);
    let refused = it.processor.consume(gauges(1, 1)).await.unwrap_err();
    assert_eq!(refused, ConsumeError::retryable("batch processor is not running"));
}

#[tokio::test(start_paused = true)]
async fn metadata_keys_keep_requests_apart() {
    let yaml = "{metadata_keys: [Tenant], metadata_cardinality_limit: 2, timeout: 1h}";
    let it = setup(yaml, RecordingSink::new()).await;
    for (tenant, items) in [("a", 1), ("b", 10), ("a", 2)] {
        it.processor.consume(gauges(1, items).with_client(client(tenant))).await.unwrap();
    }
    let refused = it.processor.consume(gauges(1, 1).with_client(client("c"))).await.unwrap_err();
    assert_eq!(refused, ConsumeError::permanent("too many batcher metadata-value combinations"));
    assert_eq!(it.metric("metadata_cardinality"), 2.0);
    it.shutdown(LONG).await;
    let mut got: Vec<_> =
        it.sink.batches().iter().map(|batch| (batch.items(), batch.client().cloned())).collect();
    got.sort_by_key(|(items, _)| *items);
    let only = |tenant: &str| {
        let metadata = vec![("tenant".to_owned(), vec![tenant.to_owned()])];
        Some(Arc::new(ClientInfo { address: None, metadata }))
    };
    assert_eq!(got, [(3, only("a")), (10, only("b"))]);
}

#[tokio::test(start_paused = true)]
async fn without_metadata_keys_metadata_is_dropped() {
    let it = setup("send_batch_size: 0", RecordingSink::new()).await;
    it.processor.consume(gauges(1, 1).with_client(client("a"))).await.unwrap();
    it.shutdown(LONG).await;
    assert!(it.sink.batches().iter().all(|batch| batch.client().is_none()));
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let problems = batchprocessor::factory().decode(Some(&node), "batch").unwrap_err().to_string();
        assert!(problems.contains(expected), "{yaml}: {problems}");
    };
    check(
        "{send_batch_size: 10, send_batch_max_size: 9}",
        "batch: send_batch_max_size must be greater or equal to send_batch_size",
    );
    check("send_batch_max_size: 10", "send_batch_max_size must be greater or equal to send_batch_size");
    check("metadata_keys: [a, A]", "duplicate entry in metadata_keys: \"a\" (case-insensitive)");
    check("timeout: -1s", "negative");
    check("send_batch_sizes: 1", "has invalid keys: send_batch_sizes");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    ProcessorContract::new(batchprocessor::factory(), "")
        .telemetry(&[
            "otelcol_processor_batch_batch_send_size",
            "otelcol_processor_batch_metadata_cardinality",
        ])
        .losses("otelcol_processor_batch_dropped_items")
        .check()
        .await;
}
