//! The processor as the service runs it.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use component::{Host, Kind};
use confmap::Node;
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};
use tokio::time::{Duration, Instant};

/// A file that cannot be a kubeconfig.
const NO_KUBECONFIG: &str =
    "{auth_type: kubeConfig, kube_config_path: /proc/self/nosuch, node_from_env_var: PATH}";

async fn start(yaml: &str) -> (Result<(), String>, usize) {
    let factory = resourcedetectionprocessor::factory();
    let node = Node::from_yaml("test", yaml).unwrap();
    let config = factory.decode(Some(&node), "processors::resource_detection").unwrap();
    let (telemetry, sink, host) = (TestTelemetry::default(), RecordingSink::new(), Host::standalone());
    let processor = factory
        .create(telemetry.settings(Kind::Processor, "resource_detection"), &config, sink.clone())
        .unwrap();
    let started = processor.start(&host).await.map_err(|error| error.to_string());
    processor.consume(testkit::gauges(1, 3)).await.unwrap();
    processor.shutdown(Instant::now() + Duration::from_secs(1)).await.unwrap();
    (started, sink.items())
}

#[tokio::test(start_paused = true)]
async fn contract() {
    let yaml = "{detectors: [env, system, lambda, elastic_beanstalk, ecs], system: {hostname_sources: [os]}}";
    ProcessorContract::new(resourcedetectionprocessor::factory(), yaml).check().await;
}

/// The name of a variable that holds no node's name is an error for good.
#[tokio::test(start_paused = true)]
async fn a_detector_that_fails_ends_the_start_only_if_it_is_told_to() {
    let yaml = format!("detectors: [env, k8s_api]\nk8s_api: {NO_KUBECONFIG}\n");
    assert_eq!(start(&yaml).await, (Ok(()), 3));
    let (started, _) = start(&format!("{yaml}fail_on_error: true\n")).await;
    let error = started.unwrap_err();
    assert!(error.starts_with("failed to detect resource attributes: k8s_api: "), "{error}");
    assert!(error.contains("in the variable PATH is no node's name"), "{error}");
}

#[test]
fn both_names_load() {
    let meta = resourcedetectionprocessor::factory().meta;
    assert_eq!((meta.kind, meta.deprecated_aliases), ("resource_detection", &["resourcedetection"][..]));
}
