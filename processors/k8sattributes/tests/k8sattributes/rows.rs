//! The edge cases of upstream's processor, by the numbers of their list. Cases that other tests hold:
//!
//! | Case | Test |
//! |---|---|
//! | E1 no second try | `data::associations_in_order` |
//! | E2 static pods | `index_tests::static_pods_are_found_by_their_nodes_uid` |
//! | E3, E4, E64, E65 refused configurations | `faults::what_cannot_be_is_named_with_its_place` |
//! | E5 sources that are no text | `data::what_is_there_stays` |
//! | E6, E56 addresses in attributes | `association::tests` |
//! | E8, E21, E23 sources without a value | `index_tests::a_source_without_a_value_makes_no_key` |
//! | E11, E12 addresses that are used again | `index_tests::an_address_belongs_to_the_pod_that_started_last` |
//! | E13, E66 deletion | `index_tests::a_pod_that_is_gone_is_found_for_a_while` |
//! | E14, E15 keys that change | `index_tests::keys_that_a_pod_has_no_more_go` |
//! | E16, E17 what comes back | `index_tests::what_comes_again_is_not_forgotten` |
//! | E18, E20 ignored pods | `entry_tests::ignored_pods` |
//! | E22, E26 containers by id | `data::containers` |
//! | E25, E27, E29, E30 containers | `entry_tests::containers`, `image::tests` |
//! | E31 to E33, E37, E38 owners | `entry_tests::attributes_of_owners` |
//! | E34, E36, E50 to E52 what is known later | `what_comes_late_is_added` |
//! | E35 names of Jobs | `owner::tests::cron_jobs` |
//! | E39 to E42 rules | `rule::tests`, `template::tests` |
//! | E43 to E45 nodes and workloads without their names | `data::namespaces_nodes_and_workloads` |
//! | E47, E49 selectors | `filter::tests` |
//! | E54, E55 addresses of both families | `index_tests::keys_come_with_what_they_are_made_of` |
//! | E59 passthrough | `passthrough_asks_nobody` |
//! | E60, E62, E63 unset values and times | `entry_tests::attributes_of_pods` |
//!
//! Deadlines are of the monotonic clock (E67), and connections have an address only if they have an IP address (E57).
//!
//! The smallest set of inputs and what must come of them, V1 to V17; V18 to V21 are of other processors.
//!
//! | Vector | Test |
//! |---|---|
//! | V1, V2 Deployments by their ReplicaSets' names | `owner::tests::deployments` |
//! | V3 CronJobs by their Jobs' names | `owner::tests::cron_jobs` |
//! | V4, V5 no associations | `association::tests::resources_without_associations` |
//! | V6 the second association | `association::tests::the_first_association_whose_sources_are_all_there_is_used` |
//! | V7 keys of a pod that starts, V8 of one in its node's network | `index_tests::keys_come_with_what_they_are_made_of` |
//! | V9 two pods of one address | `index_tests::an_address_belongs_to_the_pod_that_started_last` |
//! | V10 a pod that comes again | `index_tests::what_comes_again_is_not_forgotten` |
//! | V11 to V13 patterns of keys | `rule::tests::attributes_of_labels`, `template::tests::expansion` |
//! | V14 the name of the service | `entry_tests::attributes_of_pods` |
//! | V15, V16 ignored pods | `entry_tests::ignored_pods` |
//! | V17 an image of a digest | `entry_tests::containers` |

use component::{Gates, Host};
use pdata::Value;
use serde_json::{Value as Json, json};
use testkit::{Fault, LogCapture};
use tracing::Level;

use crate::support::{BY_UID, Cluster, NAMESPACES, PODS, REPLICA_SETS, until, web};

/// What resources get of a cluster with this one pod, which `extra` is merged into.
async fn check(pod: Json, yaml: &str, attributes: &[(&str, &str)], peer: Option<&str>, expected: &[&str]) {
    let cluster = Cluster::new().await;
    cluster.server.put(PODS, pod);
    let running = cluster.start(yaml).await;
    let attributes: Vec<(&str, Value)> =
        attributes.iter().map(|(name, value)| (*name, Value::from(*value))).collect();
    assert_eq!(running.added(&attributes, peer).await, expected, "{yaml} {attributes:?}");
    running.stop().await;
}

fn with(change: impl FnOnce(&mut Json)) -> Json {
    let mut pod = web("uid-web", "10.0.0.1");
    change(&mut pod);
    pod
}

const UID: [(&str, &str); 1] = [("k8s.pod.uid", "uid-web")];
const NAME: &str = "extract: {metadata: [k8s.pod.name]}\n";

#[tokio::test]
async fn e7_e9_pods_in_the_network_of_their_node() {
    let pod = || with(|pod| pod["spec"]["hostNetwork"] = json!(true));
    check(pod(), NAME, &[], Some("10.0.0.1:1"), &[]).await;
    check(pod(), NAME, &[("k8s.pod.ip", "10.0.0.1")], None, &[]).await;
    check(pod(), &format!("{NAME}{BY_UID}"), &UID, None, &["k8s.pod.name=web-7b9f-x"]).await;
    let by_name = "extract: {metadata: [k8s.pod.uid]}\npod_association: [{sources: [{from: resource_attribute, \
                   name: k8s.pod.name}, {from: resource_attribute, name: k8s.namespace.name}]}]";
    let named = [("k8s.pod.name", "web-7b9f-x"), ("k8s.namespace.name", "shop")];
    check(pod(), by_name, &named, None, &["k8s.pod.uid=uid-web"]).await;
}

#[tokio::test]
async fn e10_of_several_pods_of_one_key_the_youngest_is_found_and_then_another() {
    let cluster = Cluster::new().await;
    for (number, second) in [(1, 1), (2, 9), (3, 5)] {
        let mut pod = web(&format!("uid-{number}"), &format!("10.0.0.{number}"));
        pod["metadata"]["name"] = json!(format!("pod-{number}"));
        pod["status"]["startTime"] = json!(format!("2026-01-01T00:00:0{second}Z"));
        cluster.server.put(PODS, pod);
    }
    let running = cluster
        .start(&format!(
            "{NAME}pod_delete_grace_period: 0s\npod_association: [{{sources: [{{from: resource_attribute, \
             name: app}}]}}]\n"
        ).replace("[k8s.pod.name]", "[k8s.pod.name], labels: [{key: app, tag_name: app}]"))
        .await;
    let found = async || running.added(&[("app", "web".into())], None).await;
    assert_eq!(found().await, ["k8s.pod.name=pod-2"]);
    for (gone, next) in [("pod-2", "k8s.pod.name=pod-3"), ("pod-3", "k8s.pod.name=pod-1")] {
        cluster.server.remove(PODS, "shop", gone);
        until(next, async || found().await == [next]).await;
    }
    cluster.server.remove(PODS, "shop", "pod-1");
    until("the end", async || found().await.is_empty()).await;
    running.stop().await;
}

#[tokio::test]
async fn e19_the_annotation_to_ignore_counts_without_rules_for_annotations() {
    let pod = with(|pod| {
        pod["metadata"]["annotations"] = json!({"opentelemetry.io/k8s-processor/ignore": " True"});
    });
    check(pod, BY_UID, &UID, None, &[]).await;
}

#[tokio::test]
async fn e23_e24_containers_that_are_not_the_only_one() {
    let tag = format!("extract: {{metadata: [container.image.tag, container.id]}}\n{BY_UID}");
    let two = json!([{"name": "a", "image": "img:1"}, {"name": "b", "image": "img:2"}]);
    let pending = with(|pod| {
        pod["spec"]["containers"] = two.clone();
        pod["status"]["containerStatuses"] = json!([{"name": "a", "containerID": ""}, {"name": "b"}]);
    });
    check(pending, &tag, &UID, None, &[]).await;
    let with_init = || {
        with(|pod| {
            pod["spec"]["initContainers"] = json!([{"name": "init", "image": "img:0"}]);
            pod["status"]["initContainerStatuses"] =
                json!([{"name": "init", "containerID": "containerd://i"}]);
        })
    };
    check(with_init(), &tag, &UID, None, &[]).await;
    let named = [UID[0], ("k8s.container.name", "init")];
    check(with_init(), &tag, &named, None, &["container.id=i", "container.image.tag=0"]).await;
}

#[tokio::test]
async fn e28_an_empty_id_of_a_container_stays_empty_and_other_attributes_do_not() {
    let yaml = format!("extract: {{metadata: [container.image.tag, container.id]}}\n{BY_UID}");
    let attributes = [UID[0], ("container.id", ""), ("container.image.tag", "")];
    check(with(|_| {}), &yaml, &attributes, None, &["container.image.tag=1"]).await;
}

#[tokio::test]
async fn e46_another_node_than_that_of_the_filter_is_not_known() {
    let cluster = Cluster::with_web().await;
    let running = cluster.start("filter: {node: node-1}\nextract: {metadata: [k8s.node.uid]}").await;
    let of = async |node: &str| running.added(&[("k8s.node.name", Value::from(node))], None).await;
    assert_eq!(of("node-1").await, ["k8s.node.uid=uid-node-1"]);
    assert!(of("node-2").await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn e48_a_cluster_uid_that_may_not_be_read_is_missing_and_told_once() {
    let cluster = Cluster::with_web().await;
    cluster.server.fail(NAMESPACES, Fault::Status(403));
    let log = LogCapture::begin();
    let yaml = format!("extract: {{metadata: [k8s.pod.name, k8s.cluster.uid]}}\n{BY_UID}");
    let running = cluster.create(&yaml);
    running.processor.start(&running.host).await.unwrap();
    until("the pod", async || running.added_to("uid-web").await == ["k8s.pod.name=web-7b9f-x"]).await;
    until("a warning", async || !log.messages(Level::WARN).is_empty()).await;
    assert_eq!(log.messages(Level::WARN).len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn e53_who_waits_for_metadata_waits_for_all_kinds() {
    let cluster = Cluster::with_web().await;
    cluster.server.fail(REPLICA_SETS, Fault::Hang);
    let running = cluster.create(
        "extract: {metadata: [k8s.deployment.uid]}\nwait_for_metadata: true\nwait_for_metadata_timeout: 500ms",
    );
    let error = running.processor.start(&Host::standalone()).await.unwrap_err().to_string();
    assert_eq!(error, "wait_for_metadata: not known after 500ms: replicaset (no answer yet)");
}

#[tokio::test]
async fn e54_addresses_of_both_families() {
    let dual = || with(|pod| pod["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]));
    let found = ["k8s.pod.name=web-7b9f-x"];
    check(dual(), NAME, &[], Some("[fd00::1]:1"), &found).await;
    check(dual(), NAME, &[("k8s.pod.ip", "FD00:0:0:0:0:0:0:1")], None, &found).await;
    check(dual(), NAME, &[], Some("[::ffff:10.0.0.1]:1"), &found).await;
    let single = with(|pod| pod["status"]["podIP"] = json!("2001:db8::7"));
    check(
        single,
        "extract: {metadata: [k8s.pod.ip]}\n",
        &[("k8s.pod.ip", "")],
        Some("[2001:DB8::7]:1"),
        &["k8s.pod.ip=2001:db8::7"],
    )
    .await;
}

#[tokio::test]
async fn e61_a_service_name_that_is_there_stays() {
    let yaml = format!("extract: {{metadata: [service.name]}}\n{BY_UID}");
    check(with(|_| {}), &yaml, &UID, None, &["service.name=web"]).await;
    let named = [UID[0], ("service.name", "unknown_service:java")];
    check(with(|_| {}), &yaml, &named, None, &[]).await;
}

#[tokio::test]
async fn pods_without_addresses_nodes_and_times() {
    let bare = || json!({"metadata": {"name": "bare", "namespace": "shop", "uid": "uid-web"}});
    let all = ["k8s.namespace.name=shop", "k8s.node.name=", "k8s.pod.name=bare"];
    check(bare(), BY_UID, &UID, None, &all).await;
    check(bare(), "", &[], Some("10.0.0.1:1"), &[]).await;
    check(bare(), "", &[("k8s.pod.ip", "")], None, &[]).await;
}

#[tokio::test]
async fn names_as_long_as_they_may_be() {
    let (long, label) = ("n".repeat(253), "v".repeat(63));
    let pod = with(|pod| {
        pod["metadata"]["name"] = json!(long);
        pod["spec"]["nodeName"] = json!(long);
        pod["metadata"]["labels"] = json!({"app": label});
        pod["metadata"]["ownerReferences"] = json!([{"kind": "StatefulSet", "name": long, "uid": "uid-s"}]);
    });
    let yaml = format!(
        "extract: {{metadata: [k8s.pod.name, k8s.node.name, k8s.statefulset.name], labels: [{{key: app}}]}}\n{BY_UID}"
    );
    let expected = [
        format!("k8s.node.name={long}"),
        format!("k8s.pod.labels.app={label}"),
        format!("k8s.pod.name={long}"),
        format!("k8s.statefulset.name={long}"),
    ];
    check(pod, &yaml, &UID, None, &expected.each_ref().map(String::as_str)).await;
}

#[tokio::test]
async fn feature_gates_choose_names() {
    async fn check(gates: &[&str], expected: &[&str], metric: &str, no_metric: &str) {
        let cluster = Cluster::with_web().await;
        let gates = Gates::new(gates.iter().map(|gate| format!("processor.k8sattributes.{gate}")));
        let running = cluster.create_with(
            &format!("extract: {{labels: [{{key: app}}]}}\nwait_for_metadata: true\n{BY_UID}"),
            gates.clone(),
        );
        running.processor.start(&running.host).await.unwrap();
        let added = running.added_to("uid-web").await;
        let named: Vec<&str> = added
            .iter()
            .map(String::as_str)
            .filter(|text| text.contains(".app=") || text.starts_with("container.image.tag"))
            .collect();
        assert_eq!(named, expected, "{gates:?}");
        let values = running.telemetry.values();
        assert!(values.contains_key(metric) && !values.contains_key(no_metric), "{gates:?} {values:?}");
        running.stop().await;
    }
    let (old, new) = ("otelcol_otelsvc_k8s_pod_added{}", "otelcol.k8s.watcher.pod.added{}");
    check(&[], &["container.image.tag=1", "k8s.pod.labels.app=web"], old, new).await;
    let (tags, label) = ("container.image.tags=Array([String(\"1\")])", "k8s.pod.label.app=web");
    let both = ["container.image.tag=1", tags, label, "k8s.pod.labels.app=web"];
    check(&["EmitV1K8sConventions"], &both, old, new).await;
    let v1 = ["EmitV1K8sConventions", "DontEmitV0K8sConventions"];
    check(&v1, &[tags, label], old, new).await;
    let metrics = ["telemetry.enableNewFormatMetrics", "telemetry.disableOldFormatMetrics"];
    check(&metrics, &["container.image.tag=1", "k8s.pod.labels.app=web"], new, old).await;
    let size = "otelcol.k8s.watcher.pod_cache.size{}";
    check(&metrics[..1], &["container.image.tag=1", "k8s.pod.labels.app=web"], size, "none").await;
}

#[tokio::test]
async fn no_names_at_all_are_refused() {
    let cluster = Cluster::with_web().await;
    let gates = Gates::new(["processor.k8sattributes.DontEmitV0K8sConventions"]);
    let running = cluster.create_with("", gates);
    let error = running.processor.start(&running.host).await.unwrap_err().to_string();
    assert!(error.contains("without processor.k8sattributes.EmitV1K8sConventions"), "{error}");
}
