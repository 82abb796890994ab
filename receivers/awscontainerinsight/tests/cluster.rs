//! The receiver on a node of a real cluster: with `TESTBED_NODE` set, a service account mounted where pods have it, and
//! the environment that a pod gets; else there is nothing to test. Prints the last collection's records.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use awscontainerinsightreceiver::factory;
use component::{Host, Kind, Outputs};
use pdata::Batch;
use pdata::metrics::{Data, Number, resources};
use testkit::{RecordingSink, TestTelemetry};
use tokio::time::{Instant, sleep};

type Record = BTreeMap<String, String>;

fn records(batch: &Batch) -> Vec<Record> {
    let record = |resource: pdata::metrics::ResourceMetricsView<'_>| {
        let mut record = Record::new();
        for attribute in resource.resource().attributes() {
            record.insert(attribute.key.to_owned(), attribute.value.as_str().unwrap().to_owned());
        }
        for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
            let Data::Gauge(points) = metric.data else { panic!("{} is no gauge", metric.name) };
            let value = match points.numbers().next().unwrap().value.unwrap() {
                Number::Int(value) => value.to_string(),
                Number::Double(value) => value.to_string(),
            };
            record.insert(metric.name.to_owned(), value);
        }
        record
    };
    resources(batch).map(record).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_node() {
    let Ok(node) = std::env::var("TESTBED_NODE") else { return };
    if !std::path::Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").exists() {
        return;
    }
    let telemetry = TestTelemetry::default();
    let factory = factory();
    let yaml = std::env::var("TESTBED_RECEIVER").unwrap_or_else(|_| {
        "{container_orchestrator: eks, cluster_name: test, local_mode: true, collection_interval: 5s}"
            .to_owned()
    });
    let config = Arc::new(confmap::from_yaml::<awscontainerinsightreceiver::Config>(&yaml).unwrap());
    let sink = RecordingSink::new();
    let outputs = Outputs { metrics: Some(sink.clone()), ..Outputs::default() };
    let settings = telemetry.settings(Kind::Receiver, "awscontainerinsightreceiver");
    let receiver = factory.create(settings, &(config as component::AnyConfig), outputs).unwrap();
    let host = Host::standalone();
    receiver.start(&host).await.unwrap();
    while sink.calls() < 4 {
        sleep(Duration::from_millis(100)).await;
    }
    receiver.shutdown(Instant::now() + Duration::from_secs(30)).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(host.tasks().names(), [""; 0]);

    let last = records(sink.batches().last().unwrap());
    for record in &last {
        println!("{record:?}");
    }
    let machine = last.iter().find(|record| record["Type"] == "Node").unwrap();
    assert_eq!(machine["NodeName"], node);
    let pods: u64 = machine["node_number_of_running_pods"].parse().unwrap();
    let has_figures = |record: &&Record| record.contains_key("pod_memory_usage");
    assert!(last.iter().filter(has_figures).count() as u64 >= pods, "{machine:?}");
    let containers: u64 = machine["node_number_of_running_containers"].parse().unwrap();
    let has_figures = |record: &&Record| record.contains_key("container_memory_usage");
    assert!(last.iter().filter(has_figures).count() as u64 >= containers, "{machine:?}");
}
