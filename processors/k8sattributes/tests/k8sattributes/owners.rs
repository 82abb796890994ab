//! Owners of the pods of one node, which are asked for one by one.

use component::Host;
use pdata::Value;
use serde_json::json;
use testkit::{Fault, LogCapture};
use tracing::Level;

use crate::support::{BY_UID, Cluster, DEPLOYMENTS, PODS, REPLICA_SETS, until};

const REPLICA_SET: &str = "/apis/apps/v1/namespaces/shop/replicasets/web-7b9f";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

fn of_node(rest: &str) -> String {
    format!(
        "filter: {{node: node-1}}\nextract: {{metadata: [k8s.deployment.name, k8s.deployment.uid], \
         labels: [{{from: deployment, key: tier}}]}}\n{rest}{BY_UID}"
    )
}

const ALL: [&str; 3] =
    ["k8s.deployment.label.tier=front", "k8s.deployment.name=web", "k8s.deployment.uid=uid-deployment"];

#[tokio::test]
async fn a_node_has_one_watch_and_asks_for_each_owner_once() {
    let cluster = Cluster::with_web().await;
    for number in 0..20 {
        let mut replica = crate::support::web(&format!("uid-{number}"), &format!("10.0.1.{number}"));
        replica["metadata"]["name"] = json!(format!("web-7b9f-{number}"));
        cluster.server.put(PODS, replica);
    }
    let running = cluster.start(&of_node("")).await;
    assert_eq!(running.added_to("uid-web").await, ALL);
    assert_eq!(running.added_to("uid-7").await, ALL);
    let mut paths: Vec<String> = cluster.server.requests().into_iter().map(|request| request.path).collect();
    paths.sort();
    assert_eq!(paths.len(), 3, "{paths:?}");
    assert!(paths[0].starts_with("/api/v1/pods?fieldSelector=spec%2EnodeName%3Dnode%2D1"), "{paths:?}");
    assert_eq!(paths[1..], [DEPLOYMENT, REPLICA_SET]);
    assert_eq!(cluster.server.watches(), 1);
    running.stop().await;
}

#[tokio::test]
async fn what_changes_is_seen_at_the_next_question() {
    let cluster = Cluster::with_web().await;
    let running = cluster.start(&of_node("watch_sync_period: 1s\n")).await;
    let changed =
        json!({"name": "web", "namespace": "shop", "uid": "uid-deployment", "labels": {"tier": "back"}});
    cluster.server.put(DEPLOYMENTS, json!({"metadata": changed}));
    until("the label", async || running.added_to("uid-web").await[0] == "k8s.deployment.label.tier=back")
        .await;
    // Another one of the same name is not the pod's, and what is gone tells nothing.
    let other = json!({"name": "web", "namespace": "shop", "uid": "uid-other", "labels": {"tier": "x"}});
    cluster.server.put(DEPLOYMENTS, json!({"metadata": other}));
    until("the end", async || running.added_to("uid-web").await == ALL[1..]).await;
    running.stop().await;
}

#[tokio::test]
async fn an_owner_that_is_not_there_is_not_asked_for_again() {
    let cluster = Cluster::with_web().await;
    cluster.server.remove(REPLICA_SETS, "shop", "web-7b9f");
    let running = cluster.start(&of_node("")).await;
    for change in 0..5 {
        let mut pod = crate::support::web("uid-web", "10.0.0.1");
        pod["metadata"]["labels"]["app"] = json!(format!("change-{change}"));
        cluster.server.put(PODS, pod);
    }
    assert_eq!(running.added_to("uid-web").await, ["k8s.deployment.name=web"]);
    assert_eq!(cluster.requests(REPLICA_SET), 1);
    running.stop().await;
}

#[tokio::test]
async fn owners_that_may_not_be_read_are_missing_alone_and_told_once() {
    let cluster = Cluster::with_web().await;
    cluster.server.fail("/apis/apps/v1/namespaces", Fault::Status(403));
    let log = LogCapture::begin();
    let running = cluster.create(&of_node(""));
    running.processor.start(&running.host).await.unwrap();
    until("the pod", async || running.added_to("uid-web").await == ["k8s.deployment.name=web"]).await;
    until("a warning", async || !log.messages(Level::WARN).is_empty()).await;
    let lines = log.lines();
    let warnings: Vec<String> =
        lines.iter().filter(|line| line.level == Level::WARN).map(|line| format!("{line:?}")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("lacks `get` on `replicasets`"), "{warnings:?}");
    running.stop().await;
    // Who waits for everything is told what is missing.
    let waiting = cluster
        .create(&format!("wait_for_metadata: true\nwait_for_metadata_timeout: 500ms\n{}", of_node("")));
    let error = waiting.processor.start(&Host::standalone()).await.unwrap_err().to_string();
    assert!(error.contains("owners of pods (the service account lacks `get`"), "{error}");
}

#[tokio::test]
async fn workloads_of_all_kinds() {
    let cluster = Cluster::new().await;
    for (kind, plural) in [("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets"), ("Job", "jobs")] {
        let group = if kind == "Job" { "batch" } else { "apps" };
        let owner = json!([{"kind": "CronJob", "name": "cron", "uid": "uid-cron", "controller": true}]);
        cluster.server.put(
            &format!("/apis/{group}/v1/{plural}"),
            json!({"metadata": {"name": plural, "namespace": "shop", "uid": format!("uid-{plural}"),
                "labels": {"of": plural}, "ownerReferences": owner}}),
        );
        let mut pod = crate::support::web(&format!("uid-of-{plural}"), "");
        pod["metadata"]["name"] = json!(format!("{plural}-0"));
        pod["metadata"]["ownerReferences"] =
            json!([{"kind": kind, "name": plural, "uid": format!("uid-{plural}"), "controller": true}]);
        cluster.server.put(PODS, pod);
    }
    let rules =
        ["statefulset", "daemonset", "job"].map(|from| format!("{{from: {from}, key: of}}")).join(", ");
    let running = cluster
        .start(&format!(
            "filter: {{node: node-1}}\nextract: {{metadata: [k8s.cronjob.uid], labels: [{rules}]}}\n{BY_UID}"
        ))
        .await;
    let added = async |plural: &str| {
        running.added(&[("k8s.pod.uid", Value::from(format!("uid-of-{plural}")))], None).await
    };
    assert_eq!(added("statefulsets").await, ["k8s.statefulset.label.of=statefulsets"]);
    assert_eq!(added("daemonsets").await, ["k8s.daemonset.label.of=daemonsets"]);
    assert_eq!(added("jobs").await, ["k8s.cronjob.uid=uid-cron", "k8s.job.label.of=jobs"]);
    running.stop().await;
}
