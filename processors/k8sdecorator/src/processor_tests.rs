//! What becomes of resources, with a kubelet that answers as it is told to.

use std::sync::Arc;

use component::{Component, Consumer, Host, Kind};
use k8s::row::{Pod, Row};
use k8s::{ApiServer, ApiServerConfig, Interner, Kubelet, KubeletConfig, NodeServices, Projection, Watches};
use pdata::{Batch, Signal};
use serde_json::json;
use testkit::{FakeApiServer, LogCapture, RecordingSink, TestTelemetry};
use tokio::time::{Duration, Instant};
use tracing::Level;

use crate::Config;
use crate::decoration::Node;
use crate::processor::DecoratorProcessor;
use crate::table::{Subject, Table};
use crate::watcher::{Known, Watcher};

const CONFIG: &str = "{cluster_name: c1, node_name: n1}";
const POD_BLOB: &str = concat!(
    r#"{"host":"n1","labels":{"app":"web","pod-template-hash":"7c9b6d5f4"},"namespace_name":"shop","pod_id":"u1","#,
    r#""pod_name":"web-7c9b6d5f4-x2k8q","pod_owners":[{"owner_kind":"Deployment","owner_name":"web"}]}"#
);
const CONTAINER: &str = r#"{"container_name":"app","containerd":{"container_id":"4f1d"},"host":"n1""#;

struct Run {
    processor: DecoratorProcessor,
    sink: Arc<RecordingSink>,
    telemetry: TestTelemetry,
    host: Host,
}

fn web() -> serde_json::Value {
    json!({
        "metadata": {
            "name": "web-7c9b6d5f4-x2k8q", "namespace": "shop", "uid": "u1",
            "labels": {"app": "web", "pod-template-hash": "7c9b6d5f4"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7c9b6d5f4", "uid": "r1", "controller": true}],
        },
        "spec": {"containers": [{"name": "app"}]},
        "status": {"containerStatuses": [{"name": "app", "containerID": "containerd://4f1d"}]},
    })
}

fn kubelet(server: &FakeApiServer) -> Kubelet {
    let kubelet = KubeletConfig { token_file: None, ca_file: None, ..KubeletConfig::new(server.url()) };
    Kubelet::new(KubeletConfig { timeout: Duration::from_secs(1), ..kubelet }).unwrap()
}

impl Run {
    async fn start(server: &FakeApiServer) -> Self {
        let config: Config = confmap::from_yaml(CONFIG).unwrap();
        let kubelet = kubelet(server);
        let (telemetry, sink, host) = (TestTelemetry::default(), RecordingSink::new(), Host::standalone());
        let settings = telemetry.settings(Kind::Processor, "k8sdecorator");
        let processor = DecoratorProcessor::new(settings, &config, Some(kubelet), sink.clone());
        processor.start(&host).await.unwrap();
        Self { processor, sink, telemetry, host }
    }

    /// The attributes of a resource after the processor, each `key=value`, sorted.
    async fn resource(&self, attributes: &[(&str, &str)]) -> Vec<String> {
        let batch = testkit::gauges(1, 1).edit_resources(|editor| {
            editor.retain(|_| false);
            for (key, value) in attributes {
                editor.insert(key, *value);
            }
        });
        self.processor.consume(batch).await.unwrap();
        let batches = self.sink.batches();
        let batch = batches.last().unwrap();
        assert_eq!(Batch::from_protobuf(Signal::Metrics, batch.to_protobuf()).unwrap(), *batch);
        let resource = pdata::metrics::resources(batch).next().unwrap();
        let pairs = resource.resource().attributes();
        let mut pairs: Vec<String> =
            pairs.map(|pair| format!("{}={}", pair.key, pair.value.as_str().unwrap_or("?"))).collect();
        pairs.sort();
        pairs
    }

    fn unknown(&self) -> f64 {
        self.telemetry.value("otelcol_processor_k8sdecorator_unknown_pods{processor=k8sdecorator}")
    }

    async fn stop(self) {
        self.processor.shutdown(Instant::now() + Duration::from_secs(1)).await.unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!self.host.tasks().names().iter().any(|name| name.contains("k8sdecorator")));
    }
}

async fn server_with(pods: serde_json::Value) -> FakeApiServer {
    let server = FakeApiServer::start().await;
    server.answer("/pods", 200, &json!({"kind": "PodList", "apiVersion": "v1", "items": pods}).to_string());
    server
}

#[tokio::test]
async fn pods_and_containers_by_all_they_are_called() {
    let server = server_with(json!([web()])).await;
    let run = Run::start(&server).await;
    let pod = ["ClusterName=c1", "Namespace=shop", "NodeName=n1", "PodName=web"];
    let pod_blob = format!("kubernetes={POD_BLOB}");
    let added = |own: &[&str]| {
        let mut all: Vec<String> =
            own.iter().chain(&pod).map(|text| (*text).to_owned()).chain([pod_blob.clone()]).collect();
        all.sort();
        all.dedup();
        all
    };
    assert_eq!(run.resource(&[("k8s.pod.uid", "u1")]).await, added(&["k8s.pod.uid=u1"]));
    assert_eq!(run.resource(&[("PodId", "u1"), ("host", "h")]).await, added(&[]));
    assert_eq!(
        run.resource(&[("Namespace", "shop"), ("K8sPodName", "web-7c9b6d5f4-x2k8q"), ("Type", "Pod")]).await,
        added(&["Type=Pod"])
    );
    for own in [
        &[("container.id", "4f1d")][..],
        &[("container.id", "containerd://4f1d")],
        &[("k8s.pod.uid", "u1"), ("k8s.container.name", "app")],
        &[("PodId", "u1"), ("ContainerName", "app")],
    ] {
        let found = run.resource(own).await;
        let blob = found.iter().find_map(|pair| pair.strip_prefix("kubernetes=")).unwrap();
        assert!(blob.starts_with(CONTAINER), "{own:?}: {blob}");
        assert!(!found.iter().any(|pair| pair.starts_with("ContainerName")), "{found:?}");
    }
    assert_eq!(run.unknown(), 0.0);
    run.stop().await;
}

#[tokio::test]
async fn what_is_there_stays() {
    let server = server_with(json!([web()])).await;
    let run = Run::start(&server).await;
    let found = run.resource(&[("k8s.pod.uid", "u1"), ("PodName", "theirs"), ("ClusterName", "")]).await;
    assert!(
        found.contains(&"PodName=theirs".to_owned()) && found.contains(&"ClusterName=".to_owned()),
        "{found:?}"
    );
    run.stop().await;
}

#[tokio::test]
async fn resources_that_are_of_no_pod_or_of_an_unknown_one() {
    let server = server_with(json!([])).await;
    let run = Run::start(&server).await;
    let host = r#"kubernetes={"host":"n1"}"#;
    assert_eq!(
        run.resource(&[("Type", "NodeFS")]).await,
        ["ClusterName=c1", "NodeName=n1", "Type=NodeFS", host]
    );
    assert_eq!(run.resource(&[("Type", "Cluster")]).await, ["ClusterName=c1", "Type=Cluster"]);
    assert_eq!(run.resource(&[]).await, ["ClusterName=c1"]);
    assert_eq!(run.unknown(), 0.0);
    assert_eq!(
        run.resource(&[("k8s.pod.uid", "gone")]).await,
        ["ClusterName=c1", "NodeName=n1", "k8s.pod.uid=gone"],
        "it is not dropped"
    );
    assert_eq!(run.unknown(), 1.0);
    run.stop().await;
}

#[tokio::test]
async fn a_kubelet_that_refuses_stops_nothing() {
    let capture = LogCapture::begin();
    let server = FakeApiServer::start().await;
    server.forbid("/pods", "no");
    let run = Run::start(&server).await;
    assert_eq!(
        run.resource(&[("k8s.pod.uid", "u1")]).await,
        ["ClusterName=c1", "NodeName=n1", "k8s.pod.uid=u1"]
    );
    let warnings = capture.messages(Level::WARN);
    assert!(
        warnings.iter().any(|text| text.starts_with("the kubelet does not say which pods run")),
        "{warnings:?}"
    );
    run.stop().await;
}

#[test]
fn services() {
    let (projection, interner) = (Projection::all(), Interner::default());
    let pod = Pod::from_json(web().to_string().as_bytes(), &projection, &interner).unwrap().row;
    let table = Table::new([(&pod, Some("web-svc"))], &Node::default());
    let found = table.get(&Subject { uid: "u1", ..Subject::default() }).unwrap();
    assert_eq!(
        found.get("Service").and_then(|value| value.as_str().map(str::to_owned)).as_deref(),
        Some("web-svc")
    );
    let blob = found.get("kubernetes").unwrap();
    assert!(blob.as_str().unwrap().ends_with(r#""service_name":"web-svc"}"#));
    assert!(found.get("ClusterName").is_none(), "what is not known is not added");
}

#[tokio::test]
async fn services_are_those_of_the_nodes_namespaces() {
    const ALL: &str = "/apis/discovery.k8s.io/v1/endpointslices";
    let server = server_with(json!([web()])).await;
    for (service, namespace) in [("web-b", "shop"), ("web-a", "shop"), ("a", "other")] {
        let endpoint =
            json!({"targetRef": {"kind": "Pod", "namespace": namespace, "name": "web-7c9b6d5f4-x2k8q"}});
        let meta = json!({"name": service, "namespace": namespace});
        server.put(ALL, json!({"metadata": meta, "endpoints": [endpoint]}));
    }
    let (host, known) = (Host::standalone(), Arc::<Known>::default());
    let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
    let watcher = Watcher {
        id: "k8sdecorator".into(),
        kubelet: kubelet(&server),
        node: Node::default(),
        services: Some(NodeServices::new(&Watches::new(api, &host))),
        known: Arc::clone(&known),
    };
    let task = host.spawn("pods", watcher.run());
    known.asked.subscribe().wait_for(|asked| *asked).await.unwrap();
    let table = known.table.load_full();
    let found = table.get(&Subject { uid: "u1", ..Subject::default() }).unwrap();
    assert_eq!(found.get("Service").unwrap().as_str(), Some("web-a"), "the first list waits for them");
    assert!(
        !server.requests().iter().any(|request| request.path.starts_with(ALL)),
        "{:?}",
        server.requests()
    );
    task.abort();
}
