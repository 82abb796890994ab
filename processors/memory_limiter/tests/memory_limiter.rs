//! The processor against the memory of the test itself.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use component::{AnyConfig, ConsumeError, Host, Kind, Processor};
use confmap::Node;
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry, gauges};
use tokio::time::Instant;

fn decode(yaml: &str) -> Result<AnyConfig, String> {
    let node = Node::from_yaml("test", yaml).unwrap();
    memorylimiterprocessor::factory()
        .decode(Some(&node), "memory_limiter")
        .map_err(|problems| problems.to_string())
}

fn create(telemetry: &TestTelemetry, config: &AnyConfig, sink: &Arc<RecordingSink>) -> Arc<dyn Processor> {
    let settings = telemetry.settings(Kind::Processor, "memory_limiter");
    memorylimiterprocessor::factory().create(settings, config, sink.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn data_beyond_the_limit_is_refused_for_now_and_counted() {
    // No process fits into one MiB.
    let config = decode("{check_interval: 1s, limit_mib: 1}").unwrap();
    let (telemetry, sink) = (TestTelemetry::default(), RecordingSink::new());
    let processor = create(&telemetry, &config, &sink);
    processor.start(&Host::standalone()).await.unwrap();
    let refused = processor.consume(gauges(1, 3)).await.unwrap_err();
    assert_eq!(refused, ConsumeError::retryable("data refused due to high memory usage"));
    assert_eq!(sink.calls(), 0);
    let values = telemetry.values();
    let value = |name: &str| {
        values[&format!("otelcol_processor_memory_limiter_{name}_metric_points{{processor=memory_limiter}}")]
    };
    assert_eq!((value("refused"), value("accepted")), (3.0, 0.0));
    processor.shutdown(Instant::now()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pipelines_share_one_timer() {
    let config = decode("{check_interval: 1s, limit_percentage: 100}").unwrap();
    let (telemetry, sink, host) = (TestTelemetry::default(), RecordingSink::new(), Host::standalone());
    let processors = [create(&telemetry, &config, &sink), create(&telemetry, &config, &sink)];
    for processor in &processors {
        processor.start(&host).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(host.tasks().names(), ["memory_limiter: memory checks"]);
    for processor in &processors {
        processor.shutdown(Instant::now()).await.unwrap();
    }
    tokio::task::yield_now().await;
    assert!(host.tasks().names().is_empty());
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let problems = decode(yaml).unwrap_err();
        assert!(problems.contains(expected), "{yaml}: {problems}");
    };
    check("limit_mib: 1", "memory_limiter: 'check_interval' must be greater than zero");
    check("check_interval: 1s", "'limit_mib' or 'limit_percentage' must be greater than zero");
    check("{limit_mib: 5, spike_limit_mib: 5}", "'spike_limit_mib' must be smaller than 'limit_mib'");
    check("limit_percentage: 101", "must be greater than zero and less than or equal to hundred");
    check(
        "{limit_percentage: 5, spike_limit_percentage: 5}",
        "'spike_limit_percentage' must be smaller than 'limit_percentage'",
    );
    check(
        "{min_gc_interval_when_hard_limited: 11s}",
        "'min_gc_interval_when_soft_limited' should be larger than 'min_gc_interval_when_hard_limited'",
    );
}

#[tokio::test(start_paused = true)]
async fn contract() {
    ProcessorContract::new(memorylimiterprocessor::factory(), "{check_interval: 1s, limit_percentage: 100}")
        .telemetry(&[
            "otelcol_processor_memory_limiter_accepted_X",
            "otelcol_processor_memory_limiter_refused_X",
        ])
        .check()
        .await;
}
