//! The receiver on the machine that the tests run on, by its factory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use awscontainerinsightreceiver::factory;
use component::{Host, Kind, Outputs, Registry};
use pdata::Batch;
use pdata::metrics::{Data, Number, resources};
use testkit::{RecordingSink, TestTelemetry};
use tokio::time::Instant;

fn node_metrics(batch: &Batch) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    for resource in resources(batch) {
        let attributes = resource.resource().attributes();
        if attributes.get("Type").and_then(|value| value.as_str()) != Some("Node") {
            continue;
        }
        assert!(attributes.get("NodeName").is_some_and(|name| name.as_str() != Some("")));
        assert!(attributes.get("AutoScalingGroupName").is_none());
        assert!(attributes.get("kubernetes").is_none());
        for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
            let Data::Gauge(points) = metric.data else { panic!("{} is no gauge", metric.name) };
            for point in points.numbers() {
                let value = match point.value.unwrap() {
                    Number::Int(value) => value as f64,
                    Number::Double(value) => value,
                };
                assert!(point.time_unix_nano > 1_600_000_000_000_000_000);
                metrics.insert(metric.name.to_owned(), value);
            }
        }
    }
    metrics
}

#[tokio::test]
async fn this_machine_has_plausible_figures() {
    let telemetry = TestTelemetry::default();
    let factory = factory();
    let yaml =
        "{container_orchestrator: none, cluster_name: test, local_mode: true, collection_interval: 100ms}";
    let config =
        std::sync::Arc::new(confmap::from_yaml::<awscontainerinsightreceiver::Config>(yaml).unwrap());
    let sink = RecordingSink::new();
    let outputs = Outputs { metrics: Some(sink.clone()), ..Outputs::default() };
    let settings = telemetry.settings(Kind::Receiver, "awscontainerinsightreceiver");
    let receiver = factory.create(settings, &(config as component::AnyConfig), outputs).unwrap();
    let host = Host::standalone();
    receiver.start(&host).await.unwrap();
    let mut items = 1;
    while sink.batches().len() < 2 {
        sink.wait_for_items(items).await;
        items = sink.items() + 1;
    }
    receiver.shutdown(Instant::now() + Duration::from_secs(30)).await.unwrap();
    assert_eq!(host.tasks().names(), [""; 0]);

    let [first, second] = [0, 1].map(|index| node_metrics(&sink.batches()[index]));
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let processors = processors.lines().filter(|line| line.starts_with("processor\t")).count();
    assert_eq!(first["node_cpu_limit"], processors as f64 * 1000.0);
    let memory = first["node_memory_limit"];
    assert!(memory > 64.0 * 1024.0 * 1024.0, "{memory}");
    assert!((1.0..=memory).contains(&first["node_memory_working_set"]), "{first:?}");
    assert!((0.0..=100.0).contains(&first["node_memory_utilization"]), "{first:?}");
    assert!(!first.contains_key("node_cpu_usage_total"));
    assert!(second["node_cpu_usage_total"] >= 0.0, "{second:?}");
}

#[tokio::test]
async fn both_names_of_the_receiver_are_known() {
    let mut registry = Registry::default();
    registry.receiver(factory());
    for name in ["awscontainerinsightreceiver", "awscontainerinsight"] {
        assert_eq!(registry.find_receiver(name).unwrap().meta.kind, "awscontainerinsightreceiver");
    }
    assert!(factory().decode(None, "receivers::awscontainerinsight").is_ok());
}
