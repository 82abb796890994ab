//! What is added of pods.

use std::sync::Arc;

use k8s::row::{Job, ReplicaSet, Uid};
use serde_json::{Value, json};

use crate::association::BY_UID;
use crate::test_support::{Cluster, pod, shown};

#[tokio::test(start_paused = true)]
async fn attributes_of_pods() {
    fn check(extract: &str, extra: &Value, expected: &str) {
        let mut cluster = Cluster::new(&format!("extract: {extract}"));
        cluster.apply(&pod("p", extra));
        assert_eq!(cluster.attributes("p"), expected, "{extract}");
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
        assert_eq!(cluster.attributes("p"), expected, "{extract} {owners}");
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
        "",
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
    assert_eq!(cluster.get(BY_UID, "p").unwrap().workloads[0], None);
    let set = cluster.row::<ReplicaSet>(&owned("Deployment", "web-7b9f"));
    let job = cluster.row::<Job>(&owned("CronJob", "j"));
    for uid in [set.meta.uid.clone(), job.meta.uid.clone()] {
        cluster.joins.replica_sets.insert(set.meta.uid.clone(), Arc::clone(&set));
        cluster.joins.jobs.insert(job.meta.uid.clone(), Arc::clone(&job));
        cluster.pods.owner_changed(&uid, &cluster.joins);
    }
    assert_eq!(cluster.attributes("p"), "k8s.deployment.name=by-web-7b9f k8s.deployment.uid=uid-by-web-7b9f");
    assert_eq!(cluster.get(BY_UID, "p").unwrap().workloads[0].as_deref(), Some("uid-by-web-7b9f"));
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
        let entry = cluster.get(BY_UID, name).unwrap();
        assert_eq!((entry.ignored, entry.attributes.is_empty()), (expected, expected), "{name} {annotation}");
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
    fn check(fields: &str, extra: &Value, expected: &[&str]) {
        let mut cluster = Cluster::new(&format!("extract: {{metadata: [{fields}]}}"));
        cluster.apply(&pod("p", extra));
        let entry = cluster.get(BY_UID, "p").unwrap();
        let shown = entry.containers.iter().map(|container| {
            let runs = container.runs.iter().map(|run| {
                let digests = run.digests.as_ref().map(|digests| format!(" {digests:?}"));
                format!(
                    "{}:{}{}",
                    run.restarts,
                    run.id.as_deref().unwrap_or_default(),
                    digests.unwrap_or_default()
                )
            });
            let runs: Vec<String> = runs.collect();
            format!(
                "{}/{} [{}] {}",
                container.name,
                container.id,
                runs.join(","),
                shown(&container.attributes)
            )
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{fields}");
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
    check("k8s.pod.name", &running, &[]);
    check(
        "k8s.container.name, container.image.name, container.image.tag, service.version, service.instance.id",
        &running,
        &[
            "init/ [] ",
            &format!(
                "c/id2 [] k8s.container.name=c container.image.name=img container.image.tag=latest \
                 service.instance.id=ns.p.c service.version=sha256:{hash}"
            ),
        ],
    );
    check("container.id", &running, &["c/id2 [2:id2,1:id1] "]);
    check(
        "container.image.repo_digests",
        &running,
        &[&format!("c/id2 [2: Array([String(\"docker.io/library/img@sha256:{hash}\")]),1:] ")],
    );
    let pending = json!({"spec": {"containers": [{"name": "c", "image": "img:1"}]}});
    check(
        "k8s.container.name, container.image.tag, service.instance.id",
        &pending,
        &["c/ [] container.image.tag=1"],
    );
}
