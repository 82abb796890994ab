//! What resources get.

use pdata::Value;

use crate::support::{BY_UID, Cluster};

const UID: (&str, &str) = ("k8s.pod.uid", "uid-web");

async fn check(yaml: &str, attributes: &[(&str, Value)], peer: Option<&str>, expected: &[&str]) {
    let running = Cluster::with_web().await.start(yaml).await;
    assert_eq!(running.added(attributes, peer).await, expected, "{yaml} {attributes:?}");
    running.stop().await;
}

fn texts<'a>(attributes: &[(&'a str, &str)]) -> Vec<(&'a str, Value)> {
    attributes.iter().map(|(name, value)| (*name, Value::from(*value))).collect()
}

#[tokio::test]
async fn a_connection_leads_to_the_defaults() {
    let defaults = [
        "container.image.name=img",
        "container.image.tag=1",
        "k8s.deployment.name=web",
        "k8s.namespace.name=shop",
        "k8s.node.name=node-1",
        "k8s.pod.name=web-7b9f-x",
        "k8s.pod.start_time=2026-01-01T00:00:00Z",
        "k8s.pod.uid=uid-web",
    ];
    check("", &[], Some("10.0.0.1:5678"), &defaults).await;
    check("", &[], Some("10.0.0.2:5678"), &[]).await;
    check("", &[], None, &[]).await;
    check("", &texts(&[("k8s.pod.ip", "::ffff:10.0.0.1")]), None, &defaults).await;
}

#[tokio::test]
async fn what_is_there_stays() {
    let yaml = format!("extract: {{metadata: [k8s.pod.name, k8s.node.name]}}\n{BY_UID}");
    let there = texts(&[UID, ("k8s.pod.name", "mine"), ("k8s.node.name", "")]);
    check(&yaml, &there, None, &["k8s.node.name=node-1"]).await;
    check(&yaml, &[(UID.0, UID.1.into()), ("k8s.pod.name", Value::Int(7))], None, &["k8s.node.name=node-1"])
        .await;
    check(&yaml, &texts(&[("k8s.pod.uid", "")]), None, &[]).await;
    check(&yaml, &[("k8s.pod.uid", Value::Int(7))], None, &[]).await;
}

#[tokio::test]
async fn the_address_of_a_pod() {
    let yaml = format!("extract: {{metadata: [k8s.pod.ip]}}\n{BY_UID}");
    check(&yaml, &texts(&[UID]), Some("9.9.9.9:1"), &["k8s.pod.ip=10.0.0.1"]).await;
    // Of whoever sent it, found or not.
    check("extract: {metadata: [k8s.pod.ip]}", &[], Some("9.9.9.9:1"), &["k8s.pod.ip=9.9.9.9"]).await;
    check("extract: {metadata: [k8s.pod.name]}", &[], Some("9.9.9.9:1"), &[]).await;
}

#[tokio::test]
async fn namespaces_nodes_and_workloads() {
    let yaml = format!(
        "extract: {{metadata: [k8s.pod.name, service.namespace], labels: [{{from: namespace, key: zone}}, \
         {{from: node, key_regex: (.*), tag_name: node.$1}}, {{from: deployment, key: tier, tag_name: tier}}]}}\n{BY_UID}"
    );
    let of_pod = [
        "k8s.namespace.labels.zone=of-shop",
        "k8s.node.uid=uid-node-1",
        "k8s.pod.name=web-7b9f-x",
        "node.zone=of-node-1",
        "service.namespace=shop",
        "tier=front",
    ];
    check(&yaml, &texts(&[UID]), None, &of_pod).await;
    // Without a pod a resource may name them itself.
    let named = texts(&[
        ("k8s.namespace.name", "shop"),
        ("k8s.node.name", "node-1"),
        ("k8s.deployment.uid", "uid-deployment"),
    ]);
    let others: Vec<&str> = of_pod.into_iter().filter(|text| !text.starts_with("k8s.pod.")).collect();
    check(&yaml, &named, None, &others).await;
    check(&yaml, &texts(&[("k8s.node.name", "other")]), None, &[]).await;
}

#[tokio::test]
async fn containers() {
    let yaml = format!(
        "extract: {{metadata: [k8s.container.name, container.id, container.image.tag, service.instance.id]}}\n{BY_UID}"
    );
    let all = [
        "container.id=cid",
        "container.image.tag=1",
        "k8s.container.name=c",
        "service.instance.id=shop.web-7b9f-x.c",
    ];
    check(&yaml, &texts(&[UID]), None, &all).await;
    check(&yaml, &texts(&[UID, ("k8s.container.name", "c")]), None, &[all[0], all[1], all[3]]).await;
    check(&yaml, &texts(&[UID, ("container.id", "cid")]), None, &all[1..]).await;
    // A name that is none is not made good by an id.
    check(&yaml, &texts(&[UID, ("k8s.container.name", "d"), ("container.id", "cid")]), None, &[]).await;
    check(&yaml, &texts(&[UID, ("container.id", "other")]), None, &[]).await;
    check(&yaml, &texts(&[UID, ("container.id", "")]), None, &all[1..]).await;
    let restarts = |count: Value| vec![(UID.0, UID.1.into()), ("k8s.container.restart_count", count)];
    check(&yaml, &restarts(Value::Int(1)), None, &all).await;
    check(&yaml, &restarts("1".into()), None, &all).await;
    check(&yaml, &restarts(Value::Int(2)), None, &all[1..]).await;
    check(&yaml, &restarts("x".into()), None, &all[1..]).await;
    let by_id = "pod_association: [{sources: [{from: resource_attribute, name: container.id}]}]\n";
    let names = "extract: {metadata: [k8s.pod.name]}\n";
    check(&format!("{names}{by_id}"), &texts(&[("container.id", "cid")]), None, &["k8s.pod.name=web-7b9f-x"])
        .await;
}

#[tokio::test]
async fn associations_in_order() {
    let yaml = "extract: {metadata: [k8s.pod.name]}\npod_association: [\
                {sources: [{from: resource_attribute, name: k8s.pod.uid}]}, \
                {sources: [{from: resource_attribute, name: k8s.pod.name}, {from: resource_attribute, name: k8s.namespace.name}]}, \
                {sources: [{from: connection}]}]";
    let found = ["k8s.pod.name=web-7b9f-x"];
    check(yaml, &texts(&[UID]), None, &found).await;
    check(yaml, &[], Some("10.0.0.1:1"), &found).await;
    // What is said but not known is not looked for otherwise.
    check(yaml, &texts(&[("k8s.pod.uid", "nosuch")]), Some("10.0.0.1:1"), &[]).await;
    let running = Cluster::with_web().await.start(yaml).await;
    running.added(&texts(&[UID]), None).await;
    running.added(&texts(&[("k8s.pod.uid", "nosuch")]), None).await;
    running.added(&texts(&[("k8s.pod.name", "web-7b9f-x"), ("k8s.namespace.name", "shop")]), None).await;
    running.added(&[], None).await;
    let values = running.telemetry.values();
    let count = |identifier: &str, status: &str| {
        let labels = format!("otelcol.signal=metrics,pod_identifier={identifier},status={status}");
        values.get(&format!("otelcol.k8s.pod.association{{{labels}}}")).copied().unwrap_or_default()
    };
    let (uid, name) = (
        "resource_attribute/k8s.pod.uid",
        "resource_attribute/k8s.pod.name+resource_attribute/k8s.namespace.name",
    );
    assert_eq!(
        (count(uid, "success"), count(uid, "error"), count(name, "success"), count("", "error")),
        (1.0, 1.0, 1.0, 1.0),
        "{values:?}"
    );
    assert_eq!(values["otelcol_otelsvc_k8s_ip_lookup_miss{}"], 1.0);
    running.stop().await;
}
