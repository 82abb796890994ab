//! A processor in front of a fake API server.

use std::sync::Arc;
use std::time::Duration;

use component::{Gates, Host, Kind, Processor, Settings};
use confmap::Node;
use pdata::{Batch, ClientInfo, Signal, Value};
use serde_json::json;
use testkit::{FakeApiServer, RecordingSink, TestTelemetry};
use tokio::time::{Instant, sleep};

pub(crate) const PODS: &str = "/api/v1/pods";
pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";
pub(crate) const NODES: &str = "/api/v1/nodes";
pub(crate) const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
pub(crate) const JOBS: &str = "/apis/batch/v1/jobs";

/// How long a test waits for what happens in the background.
const SOON: Duration = Duration::from_secs(20);

/// A cluster: one pod with everything, in front of which processors are put.
pub(crate) struct Cluster {
    pub(crate) server: FakeApiServer,
    directory: tempfile::TempDir,
}

pub(crate) struct Running {
    pub(crate) processor: Arc<dyn Processor>,
    pub(crate) sink: Arc<RecordingSink>,
    pub(crate) telemetry: TestTelemetry,
    pub(crate) host: Host,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let server = FakeApiServer::start().await;
        for collection in [PODS, NAMESPACES, NODES, REPLICA_SETS, DEPLOYMENTS, JOBS] {
            server.serve(collection);
        }
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
             clusters: [{{name: c, cluster: {{server: '{}'}}}}]\n\
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
            server.url()
        );
        std::fs::write(directory.path().join("config"), kubeconfig).unwrap();
        Self { server, directory }
    }

    /// The pod `web` of a Deployment, its node and its namespace.
    pub(crate) async fn with_web() -> Self {
        let cluster = Self::new().await;
        cluster.server.put(PODS, web("uid-web", "10.0.0.1"));
        let owned =
            json!([{"kind": "Deployment", "name": "web", "uid": "uid-deployment", "controller": true}]);
        let metadata =
            json!({"name": "web-7b9f", "namespace": "shop", "uid": "uid-rs", "ownerReferences": owned});
        cluster.server.put(REPLICA_SETS, json!({"metadata": metadata}));
        let labels = json!({"tier": "front"});
        let metadata = json!({"name": "web", "namespace": "shop", "uid": "uid-deployment", "labels": labels});
        cluster.server.put(DEPLOYMENTS, json!({"metadata": metadata}));
        for (collection, name) in [(NODES, "node-1"), (NAMESPACES, "shop"), (NAMESPACES, "kube-system")] {
            let metadata =
                json!({"name": name, "uid": format!("uid-{name}"), "labels": {"zone": format!("of-{name}")}});
            cluster.server.put(collection, json!({"metadata": metadata}));
        }
        cluster
    }

    /// The keys that reach this cluster.
    pub(crate) fn keys(&self) -> String {
        format!(
            "auth_type: kubeConfig\nkube_config_path: {}\n",
            self.directory.path().join("config").display()
        )
    }

    /// A processor that has not started.
    pub(crate) fn create(&self, yaml: &str) -> Running {
        self.create_with(yaml, Gates::default())
    }

    /// A processor that has not started, with feature gates.
    pub(crate) fn create_with(&self, yaml: &str, gates: Gates) -> Running {
        let factory = k8sattributesprocessor::factory();
        let node = Node::from_yaml("test", &format!("{}{yaml}", self.keys())).unwrap();
        let config = factory.decode(Some(&node), "processors::k8s_attributes").unwrap();
        let (telemetry, sink) = (TestTelemetry::default(), RecordingSink::new());
        let settings = Settings { gates, ..telemetry.settings(Kind::Processor, "k8s_attributes") };
        let processor = factory.create(settings, &config, sink.clone()).unwrap();
        Running { processor, sink, telemetry, host: Host::standalone() }
    }

    /// A processor that knows everything.
    pub(crate) async fn start(&self, yaml: &str) -> Running {
        let running = self.create(&format!("wait_for_metadata: true\n{yaml}"));
        running.processor.start(&running.host).await.unwrap();
        running
    }

    /// How many requests for a collection were made.
    pub(crate) fn requests(&self, collection: &str) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|request| request.path.split('?').next() == Some(collection)).count()
    }
}

impl Running {
    /// What a resource with these attributes, sent by `peer`, gets: in the order of names, without what it had.
    pub(crate) async fn added(&self, attributes: &[(&str, Value)], peer: Option<&str>) -> Vec<String> {
        let batch = testkit::logs(1).edit_resources(|editor| {
            editor.retain(|_| false);
            for (name, value) in attributes {
                editor.insert(name, value);
            }
        });
        let address = peer.map(|peer| peer.parse().unwrap());
        let client = ClientInfo { address, metadata: Vec::new() };
        self.processor.consume(batch.with_client(Some(Arc::new(client)))).await.unwrap();
        let batches = self.sink.batches();
        let batch = batches.last().unwrap();
        assert_eq!(Batch::from_protobuf(Signal::Logs, batch.to_protobuf()).unwrap(), *batch);
        let mut added: Vec<String> = pdata::logs::resources(batch)
            .flat_map(|resource| resource.resource().attributes())
            .map(|pair| (pair.key.to_owned(), Value::from(pair.value)))
            .filter(|(key, value)| !attributes.iter().any(|(name, had)| name == key && had == value))
            .map(|(key, value)| match value {
                Value::String(text) => format!("{key}={text}"),
                other => format!("{key}={other:?}"),
            })
            .collect();
        added.sort();
        added
    }

    /// What a resource gets that names its pod by uid.
    pub(crate) async fn added_to(&self, uid: &str) -> Vec<String> {
        self.added(&[("k8s.pod.uid", uid.into())], None).await
    }

    pub(crate) async fn stop(self) {
        self.processor.shutdown(Instant::now() + SOON).await.unwrap();
        until("all tasks end", async || self.host.tasks().names().is_empty()).await;
    }
}

/// Waits for what happens in the background.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < end, "{what}: does not come");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Associates by uid.
pub(crate) const BY_UID: &str =
    "pod_association: [{sources: [{from: resource_attribute, name: k8s.pod.uid}]}]\n";

pub(crate) fn web(uid: &str, ip: &str) -> serde_json::Value {
    json!({
        "metadata": {
            "name": "web-7b9f-x", "namespace": "shop", "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod-template-hash": "7b9f", "app": "web"},
            "annotations": {"note": "a\u{1F600}"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7b9f", "uid": "uid-rs", "controller": true}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "img:1"}]},
        "status": {
            "phase": "Running", "podIP": ip, "startTime": "2026-01-01T00:00:01Z",
            "containerStatuses": [{"name": "c", "containerID": "containerd://cid", "restartCount": 1}],
        },
    })
}
