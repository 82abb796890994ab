//! What cannot be, and what fails.

use component::Host;
use confmap::Node;
use testkit::{Fault, LogCapture};
use tracing::Level;

use crate::support::{BY_UID, Cluster, NODES, PODS, until};

#[tokio::test]
async fn a_kind_that_may_not_be_read_is_missing_alone() {
    let cluster = Cluster::with_web().await;
    cluster.server.fail(NODES, Fault::Status(403));
    let log = LogCapture::begin();
    let yaml = format!("extract: {{metadata: [k8s.pod.name, k8s.node.uid]}}\n{BY_UID}");
    let running = cluster.create(&yaml);
    running.processor.start(&running.host).await.unwrap();
    until("the pod", async || running.added_to("uid-web").await == ["k8s.pod.name=web-7b9f-x"]).await;
    until("a warning", async || !log.messages(Level::WARN).is_empty()).await;
    let lines = log.lines();
    let warnings: Vec<String> =
        lines.iter().filter(|line| line.level == Level::WARN).map(|line| format!("{line:?}")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`watch` on `nodes`"), "{warnings:?}");
    running.stop().await;
}

#[tokio::test]
async fn start_fails_where_it_is_to_wait_in_vain() {
    let cluster = Cluster::with_web().await;
    cluster.server.fail(PODS, Fault::Html);
    let running = cluster.create("wait_for_metadata: true\nwait_for_metadata_timeout: 300ms");
    let error = running.processor.start(&running.host).await.unwrap_err().to_string();
    assert!(error.starts_with("wait_for_metadata: not known after 300ms: pod ("), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn without_an_answer_data_flows_and_what_heals_is_used() {
    for fault in [Fault::Html, Fault::Status(500), Fault::Hang] {
        let cluster = Cluster::with_web().await;
        cluster.server.fail(PODS, fault);
        let running = cluster.create(BY_UID);
        running.processor.start(&running.host).await.unwrap();
        assert!(running.added_to("uid-web").await.is_empty());
        if fault != Fault::Hang {
            cluster.server.heal();
            until("the pod", async || !running.added_to("uid-web").await.is_empty()).await;
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn a_kubeconfig_that_is_missing_fails_the_start() {
    let cluster = Cluster::new().await;
    let running = cluster.create("context: nosuch");
    let error = running.processor.start(&Host::standalone()).await.unwrap_err().to_string();
    assert_eq!(error, "cannot use the kubeconfig");
}

#[test]
fn what_cannot_be_is_named_with_its_place() {
    fn check(yaml: &str, expected: &str) {
        let node = Node::from_yaml("test", yaml).unwrap();
        let decoded = k8sattributesprocessor::factory().decode(Some(&node), "processors::k8s_attributes");
        let problems = decoded.err().map(|problems| problems.to_string()).unwrap_or_default();
        assert!(problems.contains(expected), "{yaml}: {problems}");
    }
    check("auth_type: tls", "auth_type: auth_type tls has no client");
    check("auth_type: x", "auth_type: invalid authType for kubernetes: x");
    check("kube_api_qps: -1", "kube_api_qps: must not be negative");
    check("kube_api_burst: -1", "kube_api_burst: must not be negative");
    check("watch_sync_period: -1s", "watch_sync_period");
    check("pod_delete_grace_period: -1s", "pod_delete_grace_period");
    check(
        "extract: {metadata: [k8s.pod.nam]}",
        "extract::metadata[0]: \"k8s.pod.nam\" is not a supported metadata field (did you mean `k8s.pod.name`?)",
    );
    check(
        "extract: {labels: [{key_regex: '('}]}",
        "extract::labels[0]::key_regex: invalid regular expression",
    );
    check(
        "extract: {annotations: [{key: a, from: cronjob}]}",
        "extract::annotations[0]::from: cronjob is not a valid",
    );
    check("exclude: {pods: [{name: '('}]}", "exclude::pods[0]::name: invalid regular expression");
    check("extract: {label: []}", "extract: has invalid keys: label (did you mean `labels`?)");
    check("filter: {node_from_env_var: NO_SUCH_VARIABLE}", "filter::node_from_env_var: environment variable");
    check("pod_association: [{sources: []}]", "pod_association[0]::sources");
}

#[test]
fn what_upstream_takes_is_taken() {
    fn check(yaml: &str) {
        let node = Node::from_yaml("test", yaml).unwrap();
        let decoded = k8sattributesprocessor::factory().decode(Some(&node), "processors::k8s_attributes");
        assert!(decoded.is_ok(), "{yaml}: {:?}", decoded.err());
    }
    check("{}");
    check("{auth_type: none, kube_api_qps: 20, kube_api_burst: 40, watch_sync_period: 0s}");
    check("{auth_type: kubeConfig, context: c, kube_config_path: /k, passthrough: true}");
    check("{extract: {metadata: [], otel_annotations: true}, exclude: {pods: []}, pod_association: []}");
    check("{extract: {metadata: null, labels: [{tag_name: $1, key_regex: (.*), from: node}]}}");
}
