//! The processor against an API server.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod data;
mod faults;
mod owners;
mod rows;
mod support;

use pdata::Value;
use serde_json::json;
use testkit::contract::ProcessorContract;

use support::{BY_UID, Cluster, DEPLOYMENTS, JOBS, NAMESPACES, NODES, PODS, REPLICA_SETS, until, web};

#[tokio::test(start_paused = true)]
async fn contract() {
    ProcessorContract::new(k8sattributesprocessor::factory(), "passthrough: true").check().await;
}

#[tokio::test(start_paused = true)]
async fn contract_with_an_api_server() {
    let cluster = Cluster::with_web().await;
    ProcessorContract::new(k8sattributesprocessor::factory(), cluster.keys())
        .telemetry(&["otelcol.k8s.pod.association"])
        .check()
        .await;
}

#[tokio::test]
async fn only_what_is_needed_is_asked_for() {
    async fn check(yaml: &str, expected: &[&str]) {
        let cluster = Cluster::with_web().await;
        let running = cluster.start(yaml).await;
        for collection in [PODS, NAMESPACES, NODES, REPLICA_SETS, DEPLOYMENTS, JOBS] {
            let wanted = usize::from(expected.contains(&collection));
            assert_eq!(cluster.requests(collection), wanted, "{collection} {yaml}");
        }
        running.stop().await;
    }
    check("", &[PODS]).await;
    check("extract: {metadata: [k8s.deployment.uid, k8s.cluster.uid]}", &[PODS, REPLICA_SETS, NAMESPACES])
        .await;
    check("extract: {labels: [{from: deployment, key: tier}]}", &[PODS, REPLICA_SETS, DEPLOYMENTS]).await;
    let by_node = "pod_association: [{sources: [{from: resource_attribute, name: k8s.node.name}]}]";
    check(
        &format!("extract: {{metadata: [k8s.node.name], labels: [{{from: node, key: zone}}]}}\n{by_node}"),
        &[NODES],
    )
    .await;
}

#[tokio::test]
async fn processors_of_one_configuration_watch_once() {
    let cluster = Cluster::with_web().await;
    let (first, second) = (cluster.start(BY_UID).await, cluster.start(BY_UID).await);
    // Another configuration that needs the same of pods.
    let third = cluster.start("").await;
    assert_eq!((cluster.requests(PODS), cluster.server.watches()), (1, 1));
    first.processor.shutdown(tokio::time::Instant::now()).await.unwrap();
    assert!(!second.added_to("uid-web").await.is_empty());
    second.stop().await;
    assert!(!third.added(&[], Some("10.0.0.1:1")).await.is_empty());
    third.stop().await;
    until("the watch ends", async || cluster.server.watches() == 0).await;
}

/// The sixteen processors of the CloudWatch agent on a node: ten for labels of the node, six for those of pods.
#[tokio::test]
async fn a_node_of_the_cloudwatch_agent_has_two_watches() {
    let rule = |from: &str| format!("{{from: {from}, key_regex: (.*), tag_name: k8s.{from}.label.$1}}");
    let source = |name: &str| format!("{{from: resource_attribute, name: {name}}}");
    let node = format!(
        "filter: {{node: node-1}}\nexclude: {{pods: []}}\nextract: {{metadata: [k8s.node.name], labels: [{}]}}\n\
         pod_association: [{{sources: [{}]}}]",
        rule("node"),
        source("k8s.node.name")
    );
    let pod = format!(
        "filter: {{node: node-1}}\nexclude: {{pods: []}}\nextract: {{metadata: [k8s.pod.uid, k8s.node.name, \
         k8s.deployment.name, k8s.replicaset.name, k8s.daemonset.name, k8s.statefulset.name, k8s.job.name, \
         k8s.cronjob.name], labels: [{}]}}\npod_association: [{{sources: [{}, {}]}}]",
        rule("pod"),
        source("k8s.pod.name"),
        source("k8s.namespace.name")
    );
    let cluster = Cluster::with_web().await;
    let mut all = Vec::new();
    for number in 0..16 {
        all.push(cluster.start(if number < 10 { &node } else { &pod }).await);
    }
    let paths: Vec<String> = cluster.server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!((paths.len(), cluster.server.watches()), (2, 2), "{paths:?}");
    let of_node = [("k8s.node.name", Value::from("node-1"))];
    assert_eq!(
        all[0].added(&of_node, None).await,
        ["k8s.node.label.zone=of-node-1", "k8s.node.uid=uid-node-1"]
    );
    let of_pod = [("k8s.pod.name", "web-7b9f-x".into()), ("k8s.namespace.name", "shop".into())];
    let expected = [
        "k8s.deployment.name=web",
        "k8s.node.name=node-1",
        "k8s.pod.label.app=web",
        "k8s.pod.label.pod-template-hash=7b9f",
        "k8s.pod.uid=uid-web",
        "k8s.replicaset.name=web-7b9f",
    ];
    assert_eq!(all[15].added(&of_pod, None).await, expected);
    // What they share ends with the last of them.
    for running in &all {
        running.processor.shutdown(tokio::time::Instant::now()).await.unwrap();
    }
    until("the watches end", async || cluster.server.watches() == 0).await;
    for running in all {
        running.stop().await;
    }
}

#[tokio::test]
async fn passthrough_asks_nobody() {
    let cluster = Cluster::with_web().await;
    let running = cluster.start("passthrough: true").await;
    assert_eq!(running.added(&[], Some("10.0.0.1:1234")).await, ["k8s.pod.ip=10.0.0.1"]);
    assert_eq!(running.added(&[], Some("[::ffff:10.0.0.1]:1234")).await, ["k8s.pod.ip=10.0.0.1"]);
    let host_name = [("host.name", Value::from("10.0.0.2"))];
    assert_eq!(running.added(&host_name, None).await, ["k8s.pod.ip=10.0.0.2"]);
    let pod_ip = [("k8s.pod.ip", Value::from("10.0.0.3"))];
    assert!(running.added(&pod_ip, Some("10.0.0.1:1234")).await.is_empty());
    assert!(cluster.server.requests().is_empty());
    let values = running.telemetry.values();
    assert!(!values.keys().any(|name| name.contains("association")), "{values:?}");
}

#[tokio::test]
async fn changes_are_followed() {
    let cluster = Cluster::with_web().await;
    let running = cluster.start(&format!("extract: {{metadata: [k8s.pod.name], labels: [{{key: app}}]}}\npod_delete_grace_period: 0s\n{BY_UID}")).await;
    assert_eq!(running.added_to("uid-web").await, ["k8s.pod.labels.app=web", "k8s.pod.name=web-7b9f-x"]);
    let mut changed = web("uid-web", "10.0.0.1");
    changed["metadata"]["labels"]["app"] = json!("api");
    cluster.server.put(PODS, changed);
    until("the label", async || running.added_to("uid-web").await[0] == "k8s.pod.labels.app=api").await;
    // Another pod of the same name and address.
    cluster.server.remove(PODS, "shop", "web-7b9f-x");
    cluster.server.put(PODS, web("uid-2", "10.0.0.1"));
    until("the successor", async || !running.added_to("uid-2").await.is_empty()).await;
    until("the end", async || running.added_to("uid-web").await.is_empty()).await;
    let values = running.telemetry.values();
    assert_eq!(values["otelcol_otelsvc_k8s_pod_added{}"], 2.0, "{values:?}");
    assert_eq!(
        (values["otelcol_otelsvc_k8s_pod_updated{}"], values["otelcol_otelsvc_k8s_pod_deleted{}"]),
        (1.0, 1.0)
    );
    assert_eq!(values["otelcol_otelsvc_k8s_pod_table_size{}"], 3.0, "uid, and twice the address");
    running.stop().await;
}

#[tokio::test]
async fn what_comes_late_is_added() {
    let cluster = Cluster::with_web().await;
    cluster.server.remove(REPLICA_SETS, "shop", "web-7b9f");
    cluster.server.remove(NAMESPACES, "", "kube-system");
    let running = cluster
        .start(&format!(
            "extract: {{metadata: [k8s.deployment.name, k8s.deployment.uid, k8s.cluster.uid], \
             labels: [{{from: deployment, key: tier}}]}}\n{BY_UID}"
        ))
        .await;
    assert_eq!(running.added_to("uid-web").await, ["k8s.deployment.name=web"]);
    let owned = json!([{"kind": "Deployment", "name": "web", "uid": "uid-deployment", "controller": true}]);
    let metadata =
        json!({"name": "web-7b9f", "namespace": "shop", "uid": "uid-rs", "ownerReferences": owned});
    cluster.server.put(REPLICA_SETS, json!({"metadata": metadata}));
    cluster.server.put(NAMESPACES, json!({"metadata": {"name": "kube-system", "uid": "uid-cluster"}}));
    let all = [
        "k8s.cluster.uid=uid-cluster",
        "k8s.deployment.label.tier=front",
        "k8s.deployment.name=web",
        "k8s.deployment.uid=uid-deployment",
    ];
    until("all of it", async || running.added_to("uid-web").await == all).await;
    running.stop().await;
}
