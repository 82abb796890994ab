//! The exporter with a batcher behind its queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use component::ConsumeError;
use pdata::{Batch, ClientInfo};
use testkit::gauges;

use crate::support::{Act, Backend, LONG, invalid, settle, setup};

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
