//! Pods that come, change and go.

use std::time::Duration;

use k8s::row::Pod;
use k8s::{Change, Changes};
use serde_json::{Value, json};
use tokio::time::advance;

use crate::association::{BY_CONNECTION, BY_UID};
use crate::entry::Entry;
use crate::index::Candidate;
use crate::test_support::{Cluster, EARLIER, T, at, key, pod};

#[tokio::test(start_paused = true)]
async fn keys_come_with_what_they_are_made_of() {
    let mut cluster = Cluster::new("{}");
    cluster.apply(&pod("a", &json!({"status": {"phase": "Pending"}})));
    assert_eq!(cluster.len(), 1);
    cluster.apply(&pod("a", &json!({"status": {"startTime": T}})));
    assert_eq!(cluster.len(), 1);
    cluster.apply(&pod("a", &at("1.1.1.1", T)));
    assert_eq!(cluster.len(), 3);
    cluster.apply(&pod("host", &json!({"spec": {"hostNetwork": true}, "status": {"podIP": "9.9.9.9"}})));
    assert_eq!(cluster.len(), 4);
    let two = json!({"status": {"podIP": "2.2.2.2", "podIPs": [{"ip": "2.2.2.2"}, {"ip": "fd00::1"}]}});
    cluster.apply(&pod("dual", &two));
    assert_eq!(cluster.by_ip("FD00:0::1").as_deref(), Some("dual"));
}

#[tokio::test(start_paused = true)]
async fn an_address_belongs_to_the_pod_that_started_last() {
    let mut cluster = Cluster::new("{}");
    cluster.apply(&pod("a", &at("1.1.1.1", T)));
    cluster.apply(&pod("b", &at("1.1.1.1", EARLIER)));
    assert_eq!(cluster.by_ip("1.1.1.1").as_deref(), Some("a"));
    // A late update of the older one steals nothing.
    cluster.apply(&pod("b", &json!({"status": {"podIP": "1.1.1.1", "startTime": EARLIER, "hostIP": "x"}})));
    assert_eq!(cluster.by_ip("1.1.1.1").as_deref(), Some("a"));
    cluster.apply(&pod("c", &at("1.1.1.1", "2026-01-01T00:00:11Z")));
    assert_eq!(cluster.by_ip("1.1.1.1").as_deref(), Some("c"));
    // Within a second the pod that was made later has it.
    let young = json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:09Z"}, "status": at("3.3.3.3", T)["status"]});
    cluster.apply(&pod("young", &young));
    cluster.apply(&pod("old", &at("3.3.3.3", T)));
    assert_eq!(cluster.by_ip("3.3.3.3").as_deref(), Some("young"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_ended_gives_its_address_back() {
    let mut cluster = Cluster::new("{}");
    cluster.apply(&pod("job", &at("1.1.1.1", T)));
    let ended = json!({"status": {"podIP": "1.1.1.1", "startTime": T, "phase": "Succeeded"}});
    cluster.apply(&pod("job", &ended));
    // What it sent last may still be under way.
    assert_eq!(cluster.by_ip("1.1.1.1").as_deref(), Some("job"));
    advance(Duration::from_secs(121)).await;
    cluster.sweep();
    assert_eq!(cluster.by_ip("1.1.1.1"), None);
    assert!(cluster.get("job").is_some());
    cluster.apply(&pod("late", &ended));
    assert_eq!(cluster.by_ip("1.1.1.1"), None);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_is_found_for_a_while() {
    let mut cluster = Cluster::new("{}");
    cluster.apply(&pod("a", &at("1.1.1.1", T)));
    cluster.delete("a");
    advance(Duration::from_secs(119)).await;
    cluster.sweep();
    assert_eq!(cluster.by_ip("1.1.1.1").as_deref(), Some("a"));
    advance(Duration::from_secs(1)).await;
    cluster.sweep();
    assert_eq!((cluster.len(), cluster.pods.next_expiry()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_is_not_forgotten() {
    let mut cluster = Cluster::new(
        "pod_association: [{sources: [{from: resource_attribute, name: k8s.pod.name}, \
         {from: resource_attribute, name: k8s.namespace.name}]}]",
    );
    let web = |uid: &str, started: &str| {
        pod("web-0", &json!({"metadata": {"uid": uid}, "status": at("1.1.1.1", started)["status"]}))
    };
    cluster.apply(&web("first", T));
    cluster.delete("first");
    // The successor has name and address at once, even if its start is not known yet.
    let mut second = web("second", T);
    second["status"]["startTime"] = Value::Null;
    cluster.apply(&second);
    assert_eq!(cluster.by_ip("1.1.1.1").as_deref(), Some("second"));
    advance(Duration::from_secs(121)).await;
    cluster.sweep();
    assert_eq!(cluster.by_ip("1.1.1.1").as_deref(), Some("second"));
    let by_name = cluster.find(3, &["web-0", "ns"]).map(|entry| entry.pod.meta.uid.to_string());
    assert_eq!(by_name.as_deref(), Some("second"));
    assert_eq!(cluster.len(), 4, "uid, two of the address, name and namespace");
    // The same pod gone and there again.
    cluster.delete("second");
    cluster.apply(&second);
    advance(Duration::from_secs(500)).await;
    cluster.sweep();
    assert_eq!(cluster.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn keys_that_a_pod_has_no_more_go() {
    let mut cluster = Cluster::new(
        "{extract: {labels: [{key: app, tag_name: app}]}, \
         pod_association: [{sources: [{from: resource_attribute, name: app}]}, \
         {sources: [{from: resource_attribute, name: container.id}]}]}",
    );
    let with = |ip: &str, app: &str, id: &str| {
        pod(
            "a",
            &json!({
                "metadata": {"labels": {"app": app}},
                "status": {"podIP": ip, "containerStatuses": [{"name": "c", "containerID": format!("containerd://{id}")}]},
            }),
        )
    };
    cluster.apply(&with("1.1.1.1", "web", "id1"));
    assert_eq!(cluster.len(), 5);
    cluster.apply(&with("2.2.2.2", "api", "id2"));
    assert_eq!(cluster.len(), 9, "the old ones are good for what is under way");
    cluster.apply(&with("1.1.1.1", "api", "id2"));
    advance(Duration::from_secs(120)).await;
    cluster.sweep();
    assert_eq!(cluster.len(), 5);
    assert!(cluster.by_ip("1.1.1.1").is_some(), "an address that came back is kept");
    assert!(cluster.find(3, &["web"]).is_none());
    assert!(cluster.find(4, &["id2"]).is_some());
    cluster.delete("a");
    advance(Duration::from_secs(120)).await;
    cluster.sweep();
    assert_eq!((cluster.len(), cluster.pods.next_expiry()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_source_without_a_value_makes_no_key() {
    let mut cluster = Cluster::new(
        "pod_association: [{sources: [{from: resource_attribute, name: container.id}, \
         {from: resource_attribute, name: nosuch}]}, {sources: [{from: resource_attribute, name: container.id}]}]",
    );
    let pending = json!({"status": {"containerStatuses": [{"name": "a", "containerID": ""}, {"name": "b"}]}});
    cluster.apply(&pod("a", &pending));
    assert_eq!(cluster.len(), 1);
    // Host-network pods share their node's address.
    let mut cluster =
        Cluster::new("pod_association: [{sources: [{from: resource_attribute, name: host.name}]}]");
    cluster.apply(&pod("a", &json!({"spec": {"hostNetwork": true}, "status": {"podIP": "9.9.9.9"}})));
    assert_eq!(cluster.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn reading_all_anew_forgets_who_is_not_there() {
    let mut cluster = Cluster::new("pod_delete_grace_period: 0s");
    cluster.apply(&pod("a", &json!({})));
    cluster.apply(&pod("b", &json!({})));
    let (b, c) = (cluster.row::<Pod>(&pod("b", &json!({}))), cluster.row::<Pod>(&pod("c", &json!({}))));
    let changes = Changes { resync: true, list: vec![Change::Applied(c)] };
    cluster.pods.take(changes, || vec![b], &cluster.joins);
    cluster.sweep();
    let mut there = |uid: &str| cluster.get(uid).is_some();
    assert_eq!((there("a"), there("b"), there("c")), (false, true, true));
}

#[tokio::test(start_paused = true)]
async fn static_pods_are_found_by_their_nodes_uid() {
    let mut cluster = Cluster::new("{}");
    cluster.apply(&pod("a", &json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "hash"}}})));
    assert_eq!(cluster.get("hash").map(|entry| entry.pod.meta.uid.to_string()).as_deref(), Some("a"));
}

/// A number that depends on the one before, so that every run is the same.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_keys_lead_to_their_pods_and_nothing_stays() {
    for mut seed in 0..60 {
        let mut cluster = Cluster::new(
            "{extract: {labels: [{key: app, tag_name: app}]}, \
             pod_association: [{sources: [{from: resource_attribute, name: app}, {from: connection}]}]}",
        );
        for _ in 0..60 {
            let uid = format!("pod-{}", next(&mut seed) % 4);
            match next(&mut seed) % 5 {
                0 => cluster.delete(&uid),
                1 => advance(Duration::from_secs(50)).await,
                _ => {
                    let phase = ["Running", "Running", "Failed"][next(&mut seed) % 3];
                    let app = ["a", "b"][next(&mut seed) % 2];
                    let (ip, second) = (next(&mut seed) % 3, next(&mut seed) % 3);
                    cluster.apply(&pod(&uid, &json!({
                        "metadata": {"labels": {"app": app}},
                        "status": {"podIP": format!("10.0.0.{ip}"), "startTime": format!("2026-01-01T00:00:0{second}Z"), "phase": phase},
                    })));
                }
            }
            cluster.sweep();
            for pod in 0..4 {
                let uid = format!("pod-{pod}");
                let known = cluster.get(&uid);
                assert!(
                    known.is_none_or(|entry| entry.pod.meta.uid.to_string() == uid),
                    "a uid leads to its own pod"
                );
            }
        }
        (0..4).for_each(|pod| cluster.delete(&format!("pod-{pod}")));
        advance(Duration::from_secs(120)).await;
        cluster.sweep();
        assert_eq!((cluster.len(), cluster.pods.is_empty()), (0, true), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_seems_to_lead_to_another_pod_leads_to_its_own() {
    let mut cluster = Cluster::new("{}");
    cluster.apply(&pod("a", &at("1.1.1.1", T)));
    cluster.apply(&pod("b", &at("2.2.2.2", T)));
    cluster.pods.publish();
    let snapshot = cluster.index.read();
    let check = |layout: usize, of_a: &str, of_b: &str| {
        let [of_a, of_b] = [of_a, of_b].map(|value| key(&cluster.compiled, layout, &[value]));
        let candidate = Candidate { slot: snapshot.candidate(&of_b).slot, ..snapshot.candidate(&of_a) };
        let uid = |entry: Option<&Entry>| entry.map(|entry| entry.pod.meta.uid.to_string());
        assert_eq!(uid(candidate.slot.and_then(|slot| snapshot.entry(slot))).as_deref(), Some("b"));
        assert_eq!(uid(snapshot.confirmed(candidate, &of_a)).as_deref(), Some("a"));
    };
    check(BY_UID, "a", "b");
    check(BY_CONNECTION, "1.1.1.1", "2.2.2.2");
}
