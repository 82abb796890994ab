//! What a leader tells of a cluster.

use std::collections::BTreeSet;

use component::Host;
use k8s::{ApiServer, ApiServerConfig, Election, ElectionConfig, Lock};
use pdata::metrics::{Data, resources};
use serde_json::{Value, json};
use testkit::FakeApiServer;
use tokio::time::timeout;

use super::nodes::{HYPERPOD_HEALTH, INSTANCE_TYPE};
use super::*;
use crate::pods::test_machine::{identity, options};

const SOON: Duration = Duration::from_secs(20);

fn in_namespace(namespace: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "namespace": namespace}});
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn fill(server: &FakeApiServer) {
    let node = |name: &str, condition: &str, status: &str| {
        json!({"metadata": {"name": name}, "status": {"conditions": [
            {"type": "Ready", "status": "False"}, {"type": condition, "status": status}]}})
    };
    for (name, condition, status) in
        [("a", "DiskPressure", "False"), ("b", "PIDPressure", "True"), ("c", "NetworkUnavailable", "Unknown")]
    {
        server.put("/api/v1/nodes", node(name, condition, status));
    }
    let mut hyperpod = node("hyperpod-i-0a1b", "DiskPressure", "False");
    hyperpod["metadata"]["labels"] =
        json!({HYPERPOD_HEALTH: "UnschedulablePendingReboot", INSTANCE_TYPE: "ml.g5.xlarge", "other": "x"});
    server.put("/api/v1/nodes", hyperpod);
    for (namespace, name, phase) in
        [("shop", "web-1", "Running"), ("shop", "web-2", "Running"), ("jobs", "done", "Succeeded")]
    {
        server.put("/api/v1/pods", in_namespace(namespace, name, json!({"status": {"phase": phase}})));
    }
    let mut waits = in_namespace(
        "jobs",
        "big-29924373-x",
        json!({"spec": {"nodeName": ""}, "status": {"phase": "Pending"}}),
    );
    waits["metadata"]["uid"] = json!("u");
    waits["metadata"]["ownerReferences"] = json!([{"kind": "Job", "name": "big-29924373", "uid": "u"}]);
    server.put("/api/v1/pods", waits);
    let started = json!({"spec": {"nodeName": "b"}, "status": {"phase": "Pending"}});
    server.put("/api/v1/pods", in_namespace("jobs", "pulls", started));
    let endpoint = |pod: &str, ready: bool| {
        json!({"conditions": {"ready": ready},
               "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod}})
    };
    // Two slices of one service share a pod.
    for (slice, endpoints) in [
        ("web-v4", vec![endpoint("web-1", true), endpoint("web-2", true)]),
        ("web-v6", vec![endpoint("web-1", true)]),
        ("empty", vec![endpoint("web-1", false)]),
    ] {
        let service = slice.split('-').next().unwrap();
        let mut object = in_namespace("shop", slice, json!({"endpoints": endpoints}));
        object["metadata"]["labels"] = json!({"kubernetes.io/service-name": service});
        server.put("/apis/discovery.k8s.io/v1/endpointslices", object);
    }
    let status = json!({"readyReplicas": 2, "availableReplicas": 1, "unavailableReplicas": 2});
    let set = json!({"spec": {"replicas": 3}, "status": status});
    for plural in ["deployments", "statefulsets", "replicasets"] {
        server.put(&format!("/apis/apps/v1/{plural}"), in_namespace("shop", plural, set.clone()));
    }
    let mut owned = in_namespace("shop", "owned", set);
    owned["metadata"]["ownerReferences"] = json!([{"kind": "Deployment", "name": "d", "uid": "u"}]);
    server.put("/apis/apps/v1/replicasets", owned);
    let status = json!({"desiredNumberScheduled": 4, "currentNumberScheduled": 3, "numberReady": 1,
                        "numberAvailable": 2, "numberUnavailable": 1});
    let set = in_namespace("shop", "daemonsets", json!({"status": status}));
    server.put("/apis/apps/v1/daemonsets", set);
}

/// Each record in a line: its own attributes, then its metrics with their units.
fn lines(leading: &Leading) -> BTreeSet<String> {
    let mut records = Records::default();
    let (at, mut health) = (Moment { unix_nano: 1, monotonic: Duration::ZERO }, Health::default());
    leading.write(at, &identity(), &mut health, &mut records);
    let batch = records.take();
    let shared = ["Version", "Sources", "ClusterName", "NodeName"];
    resources(&batch)
        .map(|resource| {
            let mut line = Vec::new();
            for attribute in resource.resource().attributes() {
                let value = attribute.value.as_str().unwrap();
                match attribute.key {
                    "Sources" => assert_eq!(value, r#"["apiserver"]"#),
                    "NodeName" if value.starts_with("hyperpod-") => line.push(value.to_owned()),
                    "NodeName" => assert_eq!(value, "node-1"),
                    "ClusterName" => assert_eq!(value, "demo"),
                    _ => {}
                }
                if !shared.contains(&attribute.key) {
                    line.push(value.to_owned());
                }
            }
            for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
                let Data::Gauge(points) = metric.data else { panic!("{} is no gauge", metric.name) };
                let value = points.numbers().next().unwrap().value.unwrap();
                assert_eq!(metric.unit, "Count");
                line.push(format!("{}={value:?}", metric.name));
            }
            line.join(" ")
        })
        .collect()
}

#[tokio::test]
async fn the_leader_tells_of_the_cluster() {
    let server = FakeApiServer::start().await;
    fill(&server);
    server.serve("/apis/coordination.k8s.io/v1/leases");
    let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
    let host = Host::standalone();
    let watches = Watches::new(api.clone(), &host);
    let lock = Lock::Lease { namespace: "ns".to_owned(), name: "leader".to_owned() };
    let leadership = Election::start(api, &host, lock, ElectionConfig::new("node-1")).unwrap();
    let (sender, mut lead) = watch::channel(None);
    let stop = CancellationToken::new();
    let standing = host.spawn("stand", stand(leadership, watches, options(true), None, sender, stop.clone()));
    timeout(SOON, lead.wait_for(Option::is_some)).await.unwrap().unwrap();
    let leading = lead.borrow_and_update().clone().unwrap();
    leading.nodes.synced().await;
    leading.pods.synced().await;
    leading.services.synced().await;
    leading.workloads.as_ref().unwrap().synced().await;
    let expected = [
        "Cluster cluster_node_count=Int(4) cluster_failed_node_count=Int(2) \
         cluster_number_of_running_pods=Int(2)",
        r#"ClusterNamespace shop {"namespace_name":"shop"} namespace_number_of_running_pods=Int(2)"#,
        r#"ClusterService shop web {"namespace_name":"shop","service_name":"web"} service_number_of_running_pods=Int(2)"#,
        "Pod jobs big big-29924373-x Pending pending \
         {\"host\":\"node-1\",\"namespace_name\":\"jobs\",\"pod_id\":\"u\",\"pod_name\":\"big-29924373-x\",\
         \"pod_owners\":[{\"owner_kind\":\"CronJob\",\"owner_name\":\"big\"}]} pod_status_pending=Int(1) \
         pod_status_running=Int(0) pod_status_succeeded=Int(0) pod_status_failed=Int(0) pod_status_ready=Int(0) \
         pod_status_scheduled=Int(0) pod_status_unknown=Int(0)",
        "HyperPodNode hyperpod-i-0a1b i-0a1b hyperpod_node_health_status_schedulable=Int(0) \
         hyperpod_node_health_status_unschedulable=Int(0) \
         hyperpod_node_health_status_unschedulable_pending_replacement=Int(0) \
         hyperpod_node_health_status_unschedulable_pending_reboot=Int(1)",
        "ClusterDeployment shop deployments replicas_desired=Int(3) replicas_ready=Int(2) \
         status_replicas_available=Int(1) status_replicas_unavailable=Int(2)",
        "ClusterDaemonSet shop daemonsets replicas_desired=Int(4) replicas_ready=Int(3) \
         status_replicas_available=Int(2) status_replicas_unavailable=Int(1)",
        "ClusterStatefulSet shop statefulsets replicas_desired=Int(3) replicas_ready=Int(2) \
         status_replicas_available=Int(1)",
        "ClusterReplicaSet shop replicasets replicas_desired=Int(3) replicas_ready=Int(2) \
         status_replicas_available=Int(1)",
    ];
    assert_eq!(lines(&leading), expected.map(str::to_owned).into());

    stop.cancel();
    timeout(SOON, standing).await.unwrap().unwrap();
    assert!(lead.borrow().is_none());
    let lease = server.object("/apis/coordination.k8s.io/v1/leases", "ns", "leader").unwrap();
    assert_ne!(lease["spec"]["holderIdentity"], "node-1", "another may lead at once: {lease}");
}
