//! What is added of pods.

use std::sync::Arc;

use k8s::row::{Job, ReplicaSet, Uid};
use serde_json::{Value, json};

use crate::test_support::{Cluster, pod};

/// The pairs in the order of names.
fn sorted(pairs: &str) -> String {
    let mut pairs: Vec<&str> = pairs.split(' ').collect();
    pairs.sort_unstable();
    pairs.join(" ")
}

#[tokio::test(start_paused = true)]
async fn attributes_of_pods() {
    fn check(extract: &str, extra: &Value, expected: &str) {
        let mut cluster = Cluster::new(&format!("extract: {extract}"));
        cluster.apply(&pod("p", extra));
        assert_eq!(cluster.attributes("p"), sorted(expected), "{extract}");
    }
    let none = json!({});
    check(
        "{}",
        &none,
        "k8s.namespace.name=ns k8s.pod.name=p k8s.pod.uid=p k8s.pod.start_time=2026-01-01T00:00:00Z \
         k8s.node.name=node-1",
    );
    check("{metadata: []}", &none, "");
    let unscheduled = json!({"spec": {"nodeName": ""}});
    let unset = "{metadata: [k8s.pod.hostname, k8s.pod.ip, k8s.node.name]}";
    check(unset, &unscheduled, "k8s.pod.hostname= k8s.pod.ip= k8s.node.name=");
    let labels = json!({"metadata": {"labels": {
        "app.kubernetes.io/name": "n", "app.kubernetes.io/instance": "i", "app.kubernetes.io/version": "v", "l": "L",
    }, "annotations": {"resource.opentelemetry.io/service.name": "a", "resource.opentelemetry.io/x": "X"}}});
    let service = "metadata: [service.name, service.namespace, service.version]";
    check(&format!("{{{service}}}"), &labels, "service.name=i service.namespace=ns service.version=v");
    check(
        &format!("{{{service}, otel_annotations: true}}"),
        &labels,
        "service.name=a service.namespace=ns service.version=v x=X",
    );
    check(&format!("{{{service}}}"), &none, "service.name=p service.namespace=ns");
    check("{metadata: [service.name], labels: [{key: l, tag_name: service.name}]}", &none, "service.name=p");
    check(
        "{metadata: [k8s.pod.name], labels: [{key: l, tag_name: k8s.pod.name}, {key_regex: 'l', from: pod}]}",
        &labels,
        "k8s.pod.name=L k8s.pod.labels.l=L",
    );
    let long = "n".repeat(253);
    check(
        "{metadata: [k8s.namespace.name]}",
        &json!({"metadata": {"namespace": long}}),
        &format!("k8s.namespace.name={long}"),
    );
}

#[tokio::test(start_paused = true)]
async fn attributes_of_owners() {
    fn check(extract: &str, owners: &Value, expected: &str) {
        let mut cluster = Cluster::new(&format!("extract: {extract}"));
        let extra = json!({"metadata": {"labels": {"pod-template-hash": "7b9f"}, "ownerReferences": owners}});
        cluster.apply(&pod("p", &extra));
        assert_eq!(cluster.attributes("p"), sorted(expected), "{extract} {owners}");
    }
    let owner = |kind: &str, name: &str| json!({"kind": kind, "name": name, "uid": format!("uid-{name}")});
    let all = "{metadata: [k8s.replicaset.name, k8s.replicaset.uid, k8s.deployment.name, k8s.statefulset.name, \
               k8s.statefulset.uid, k8s.daemonset.name, k8s.daemonset.uid, k8s.job.name, k8s.job.uid, \
               k8s.cronjob.name, service.name]}";
    check(
        all,
        &json!([owner("ReplicaSet", "web-7b9f")]),
        "service.name=web k8s.replicaset.name=web-7b9f k8s.replicaset.uid=uid-web-7b9f k8s.deployment.name=web",
    );
    check(
        all,
        &json!([owner("ReplicaSet", "rollout-abc")]),
        "service.name=rollout-abc k8s.replicaset.name=rollout-abc k8s.replicaset.uid=uid-rollout-abc",
    );
    check(
        "{metadata: [k8s.deployment.name], deployment_name_from_replicaset: false}",
        &json!([owner("ReplicaSet", "web-7b9f")]),
        "k8s.deployment.name=web",
    );
    check(
        all,
        &json!([owner("StatefulSet", "s"), owner("Other", "o"), owner("DaemonSet", "d")]),
        "service.name=d k8s.statefulset.name=s k8s.statefulset.uid=uid-s k8s.daemonset.name=d \
         k8s.daemonset.uid=uid-d",
    );
    // 2026-01-01T00:00:00Z is minute 29453760.
    check(
        all,
        &json!([owner("Job", "cron-29453760")]),
        "service.name=cron k8s.job.name=cron-29453760 k8s.job.uid=uid-cron-29453760 k8s.cronjob.name=cron",
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_known_later_is_added_then() {
    let mut cluster = Cluster::new(
        "extract: {metadata: [k8s.deployment.name, k8s.deployment.uid, k8s.cronjob.name, k8s.cronjob.uid, \
         k8s.cluster.uid], labels: [{from: deployment, key: a}]}",
    );
    let owner = |kind: &str, name: &str| json!({"kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true});
    let owned = |kind: &str, name: &str| json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "ownerReferences": [owner(kind, &format!("by-{name}"))]}});
    let labels = json!({"pod-template-hash": "7b9f"});
    cluster.apply(&pod(
        "p",
        &json!({"metadata": {"labels": labels, "ownerReferences": [owner("ReplicaSet", "web-7b9f")]}}),
    ));
    cluster.apply(&pod("q", &json!({"metadata": {"ownerReferences": [owner("Job", "j")]}})));
    assert_eq!(cluster.attributes("p"), "k8s.deployment.name=web");
    assert_eq!(cluster.get("p").unwrap().common.workloads, None);
    let set = cluster.row::<ReplicaSet>(&owned("Deployment", "web-7b9f"));
    let job = cluster.row::<Job>(&owned("CronJob", "j"));
    for uid in [set.meta.uid.clone(), job.meta.uid.clone()] {
        cluster.joins.replica_sets.insert(set.meta.uid.clone(), Arc::clone(&set));
        cluster.joins.jobs.insert(job.meta.uid.clone(), Arc::clone(&job));
        cluster.pods.owner_changed(&uid, &cluster.joins);
    }
    assert_eq!(cluster.attributes("p"), "k8s.deployment.name=by-web-7b9f k8s.deployment.uid=uid-by-web-7b9f");
    assert_eq!(
        cluster.get("p").unwrap().common.workloads.as_ref().unwrap()[0].as_deref(),
        Some("uid-by-web-7b9f")
    );
    assert_eq!(cluster.attributes("q"), "k8s.cronjob.name=by-j k8s.cronjob.uid=uid-by-j");
    cluster.joins.cluster = Some(Uid::new("cluster"));
    cluster.pods.all_changed(&cluster.joins);
    assert_eq!(
        cluster.attributes("q"),
        "k8s.cluster.uid=cluster k8s.cronjob.name=by-j k8s.cronjob.uid=uid-by-j"
    );
    // A ReplicaSet that is nobody's makes no Deployment, whatever its name looks like.
    let alone = cluster.row::<ReplicaSet>(&json!({"metadata": {"name": "web-7b9f", "uid": "uid-web-7b9f"}}));
    cluster.joins.replica_sets.insert(alone.meta.uid.clone(), Arc::clone(&alone));
    cluster.pods.owner_changed(&alone.meta.uid, &cluster.joins);
    assert_eq!(cluster.attributes("p"), "k8s.cluster.uid=cluster");
}

#[tokio::test(start_paused = true)]
async fn ignored_pods() {
    fn check(yaml: &str, name: &str, annotation: &str, expected: bool) {
        let mut cluster = Cluster::new(yaml);
        let annotations = json!({"opentelemetry.io/k8s-processor/ignore": annotation});
        cluster.apply(&pod(name, &json!({"metadata": {"annotations": annotations}})));
        let entry = cluster.get(name).unwrap();
        assert_eq!(
            (entry.ignored, cluster.attributes(name).is_empty()),
            (expected, expected),
            "{name} {annotation}"
        );
        cluster.delete(name);
        assert!(cluster.pods.next_expiry().is_some(), "ignored pods go, too");
    }
    check("{}", "p", "True ", true);
    check("{}", "p", "false", false);
    check("{}", "p", "", false);
    check("{}", "jaeger-agent-b2zdv", "", true);
    check("{}", "my-jaeger-collector-1", "", true);
    check("exclude: {pods: []}", "jaeger-agent-b2zdv", "", true);
    check("exclude: {pods: [{name: '^web-'}]}", "jaeger-agent-b2zdv", "", false);
    check("exclude: {pods: [{name: '^web-'}]}", "web-1", "", true);
}

#[tokio::test(start_paused = true)]
async fn containers() {
    fn check(fields: &str, extra: &Value, name: &str, expected: &str) {
        let mut cluster = Cluster::new(&format!("extract: {{metadata: [{fields}]}}"));
        cluster.apply(&pod("p", extra));
        assert_eq!(cluster.container("p", name), expected, "{fields}");
    }
    let hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let running = json!({
        "spec": {
            "initContainers": [{"name": "init", "image": "Bad/Image:1"}],
            "containers": [{"name": "c", "image": format!("img@sha256:{hash}")}],
            "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
        },
        "status": {"containerStatuses": [{
            "name": "c", "containerID": "containerd://id2", "restartCount": 2, "imageID": format!("img@sha256:{hash}"),
            "lastState": {"terminated": {"containerID": "containerd://id1"}},
        }]},
    });
    check("k8s.pod.name", &running, "c", "none");
    let all = "k8s.container.name, container.image.name, container.image.tag, container.image.tags, service.version, \
               service.instance.id";
    check(all, &running, "init", "");
    check(all, &running, "debug", "none");
    let expected = format!(
        "container.image.name=img container.image.tag=latest k8s.container.name=c service.instance.id=ns.p.c \
         service.version=sha256:{hash} [latest]"
    );
    check(all, &running, "c", &expected);
    let pending = json!({"spec": {"containers": [{"name": "c", "image": "img:1"}]}});
    check(
        "k8s.container.name, container.image.tag, service.instance.id",
        &pending,
        "c",
        "container.image.tag=1",
    );

    let mut cluster = Cluster::new("extract: {metadata: [container.id, container.image.repo_digests]}");
    cluster.apply(&pod("p", &running));
    let entry = cluster.get("p").unwrap();
    let run = |restarts: Option<u32>| {
        let run = entry.container_named("c").unwrap().run(restarts)?;
        Some(format!("{} {}", run.id, run.digest.unwrap_or_default()))
    };
    let current = Some(format!("id2 docker.io/library/img@sha256:{hash}"));
    assert_eq!((run(None), run(Some(2))), (current.clone(), current));
    assert_eq!((run(Some(1)).as_deref(), run(Some(0)), run(Some(3))), (Some("id1 "), None, None));
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_workload_share_what_they_have_in_common() {
    let mut cluster = Cluster::new("extract: {labels: [{key: app}]}");
    let replica = |name: &str, app: &str| {
        pod(
            name,
            &json!({
                "metadata": {"labels": {"app": app}},
                "spec": {"containers": [{"name": "c", "image": "img:1"}]},
                "status": {"podIP": "10.0.0.1"},
            }),
        )
    };
    for number in 0..100 {
        cluster.apply(&replica(&format!("web-{number}"), "web"));
    }
    cluster.apply(&replica("api", "api"));
    assert_eq!(cluster.pods.commons(), 2);
    assert_eq!(
        cluster.attributes("web-7"),
        "k8s.namespace.name=ns k8s.node.name=node-1 k8s.pod.labels.app=web k8s.pod.name=web-7 \
         k8s.pod.start_time=2026-01-01T00:00:00Z k8s.pod.uid=web-7"
    );
    assert_eq!(size_of::<Option<crate::entry::Entry>>(), 32);
    // What nobody has any more goes.
    for number in 0..1000 {
        cluster.apply(&replica("api", &format!("v{number}")));
    }
    assert!(cluster.pods.commons() < 300, "{}", cluster.pods.commons());
}

#[tokio::test(start_paused = true)]
async fn attributes_of_one_name_are_told_twice_only_if_rules_say_so() {
    fn check(extract: &str, apart: bool) {
        let mut cluster = Cluster::new(&format!("extract: {extract}"));
        let extra = json!({
            "metadata": {"labels": {"l": "L", "app.kubernetes.io/version": "1"}},
            "spec": {"containers": [{"name": "c", "image": "i:2"}]},
            "status": {"containerStatuses": [{"name": "c", "containerID": "containerd://x", "image": "i"}]},
        });
        cluster.apply(&pod("p", &extra));
        assert_eq!(cluster.get("p").unwrap().common.apart, apart, "{extract}");
    }
    let rule = |name: &str| format!("labels: [{{key: l, tag_name: {name}}}]");
    let images = "metadata: [k8s.container.name, container.image.name, container.id]";
    check(&format!("{{{images}}}"), true);
    check(&format!("{{{images}, {}}}", rule("x")), true);
    for name in ["k8s.container.name", "container.image.name", "container.id", "service.instance.id"] {
        check(&format!("{{{images}, {}}}", rule(name)), false);
    }
    // A name of the pod's own gives way.
    check(&format!("{{metadata: [k8s.pod.name, k8s.container.name], {}}}", rule("k8s.pod.name")), true);
    check("{metadata: [service.version]}", false);
}
