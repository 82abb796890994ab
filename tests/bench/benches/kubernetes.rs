//! What it costs to add to a resource what is known of its pod, in one thread.

#![allow(clippy::expect_used, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;

use component::{Consumer, Host, Kind, Processor, async_trait};
use confmap::Node;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pdata::{Batch, Signal};
use serde_json::json;
use testkit::{FakeApiServer, TestTelemetry};
use tokio::runtime::{Builder, Runtime};

/// Pods that are known, and resources in a request.
const PODS: usize = 110;

/// Throws away what it is given.
struct Nothing;

#[async_trait]
impl Consumer for Nothing {
    async fn consume(&self, batch: Batch) -> Result<(), component::ConsumeError> {
        black_box(batch);
        Ok(())
    }
}

fn resources(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(FakeApiServer::start());
    (0..PODS).for_each(|number| server.put("/api/v1/pods", pod(number)));
    let directory = tempfile::tempdir().expect("a folder");
    let kubeconfig = directory.path().join("config");
    let cluster = json!({"server": server.url()});
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": cluster}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).expect("a file");
    let mut group = c.benchmark_group("k8s_attributes, a resource");
    group.throughput(Throughput::Elements(PODS as u64));
    for (name, prefix) in [("of a known pod", "uid-"), ("of an unknown pod", "other-")] {
        let processor = start(&runtime, &kubeconfig.display().to_string());
        let batch = request(prefix);
        group.bench_function(name, |b| {
            b.iter(|| runtime.block_on(processor.consume(black_box(batch.clone()))));
        });
    }
    group.finish();
}

fn start(runtime: &Runtime, kubeconfig: &str) -> Arc<dyn Processor> {
    let yaml = format!(
        "{{auth_type: kubeConfig, kube_config_path: {kubeconfig}, wait_for_metadata: true, \
         pod_association: [{{sources: [{{from: resource_attribute, name: k8s.pod.uid}}]}}], \
         extract: {{labels: [{{key_regex: .*}}]}}}}"
    );
    let factory = k8sattributesprocessor::factory();
    let node = Node::from_yaml("bench", &yaml).expect("YAML");
    let config = factory.decode(Some(&node), "").expect("a configuration");
    let settings = TestTelemetry::default().settings(Kind::Processor, "k8s_attributes");
    let processor = factory.create(settings, &config, Arc::new(Nothing)).expect("a processor");
    runtime.block_on(processor.start(&Host::standalone())).expect("started");
    processor
}

/// Each pod's resource with ten attributes and a point.
fn request(prefix: &str) -> Batch {
    let resources: Vec<_> = (0..PODS)
        .map(|number| {
            let mut attributes = vec![json!({"key": "k8s.pod.uid", "value": {"stringValue": format!("{prefix}{number}")}})];
            attributes.extend((1..10).map(|at| {
                json!({"key": format!("attribute.number.{at}"), "value": {"stringValue": format!("value-{at}")}})
            }));
            json!({
                "resource": {"attributes": attributes},
                "scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [{"asDouble": 1.5}]}}]}],
            })
        })
        .collect();
    let request = json!({"resourceMetrics": resources}).to_string();
    Batch::from_json(Signal::Metrics, request.as_bytes()).expect("a request")
}

fn pod(number: usize) -> serde_json::Value {
    json!({
        "metadata": {
            "name": format!("web-7b9f4c8d5e-{number}"), "namespace": "shop", "uid": format!("uid-{number}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod-template-hash": "7b9f4c8d5e", "app": "web", "tier": "front"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7b9f4c8d5e", "uid": "uid-rs", "controller": true}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "registry.example/shop/web:1.2.3"}]},
        "status": {
            "phase": "Running", "podIP": format!("10.0.0.{number}"), "startTime": "2026-01-01T00:00:01Z",
            "containerStatuses": [{"name": "c", "containerID": format!("containerd://{number}")}],
        },
    })
}

criterion_group!(benches, resources);
criterion_main!(benches);
