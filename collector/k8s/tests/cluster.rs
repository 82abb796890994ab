//! Against a real API server: `KUBECONFIG` must name an administrator's of a cluster that may be written to, and
//! `TESTBED_API` must be set; else there is nothing to test. `kubectl` must be on the path.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::process::{Command, Stdio};
use std::time::Duration;

use component::Host;
use k8s::row::{Namespace, Pod, ReplicaSet};
use k8s::{ApiServer, ApiServerConfig, Election, ElectionConfig, Keys, Lock, Projection, Scope, Watches};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(90);

async fn api() -> Option<ApiServer> {
    std::env::var_os("TESTBED_API").filter(|_| std::env::var_os("KUBECONFIG").is_some())?;
    Some(ApiServer::new(ApiServerConfig::from_kubeconfig(None, None).unwrap()).unwrap())
}

fn kubectl(arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    let mut child =
        Command::new("kubectl").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..900 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} does not come");
}

#[tokio::test]
async fn objects_come_change_and_go() {
    let Some(api) = api().await else { return };
    let watches = Watches::new(api, &Host::standalone());
    let all = Projection::all();
    let namespaces = watches.watch::<Namespace>(&Scope::all(), &Projection::default());
    let pods = watches.watch::<Pod>(&Scope::all().namespace("default").labels("app=ours"), &all);
    let light = Projection { owners: true, labels: Keys::All, ..Projection::default() };
    let sets = watches.watch::<ReplicaSet>(&Scope::all(), &light);
    let synced = async {
        namespaces.synced().await;
        pods.synced().await;
        sets.synced().await;
    };
    timeout(SOON, synced).await.unwrap();
    assert!(namespaces.get("", "kube-system").is_some_and(|namespace| !namespace.meta.uid.is_empty()));
    let deployment = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"ours","namespace":"default"},
        "spec":{"replicas":2,"selector":{"matchLabels":{"app":"ours"}},"template":{"metadata":{"labels":{"app":"ours"}},
        "spec":{"containers":[{"name":"c","image":"none:1","resources":{"requests":{"cpu":"10m"}}}]}}}}"#;
    kubectl(&["apply", "-f", "-"], deployment);
    until("two pods", || pods.len() == 2).await;
    let mut found = Vec::new();
    pods.for_each(|pod| found.push(std::sync::Arc::clone(pod)));
    let pod = &found[0];
    assert_eq!((pod.meta.label("app").map(|app| &**app), pod.specs[0].cpu_request), (Some("ours"), Some(10)));
    let owner = pod.meta.controller("ReplicaSet").unwrap();
    until("the replica set", || sets.get_by_uid(&owner.uid).is_some()).await;
    let set = sets.get_by_uid(&owner.uid).unwrap();
    assert_eq!(set.meta.controller("Deployment").map(|owner| &*owner.name), Some("ours"));
    kubectl(&["-n", "default", "delete", "deployment", "ours", "--wait=false"], "");
    until("no pods", || pods.is_empty()).await;
    until("no replica set", || sets.get_by_uid(&owner.uid).is_none()).await;
    assert_eq!((pods.stats().failures, pods.stats().lists, sets.stats().failures), (0, 1, 0));
}

#[tokio::test]
async fn one_of_two_candidates_leads_and_a_foreign_holder_is_respected() {
    let Some(api) = api().await else { return };
    let namespace = "default".to_owned();
    for lock in [
        Lock::Lease { namespace: namespace.clone(), name: "ours-lease".into() },
        Lock::ConfigMap { namespace: namespace.clone(), name: "ours-config-map".into() },
    ] {
        let stand = |identity: &str| {
            let config = ElectionConfig {
                lease_duration: Duration::from_secs(6),
                renew_deadline: Duration::from_secs(3),
                retry_period: Duration::from_secs(1),
                ..ElectionConfig::new(identity)
            };
            Election::start(api.clone(), &Host::standalone(), lock.clone(), config).unwrap()
        };
        let mut a = stand("a");
        assert!(timeout(SOON, a.changed()).await.unwrap(), "{lock:?}");
        let mut b = stand("b");
        sleep(Duration::from_secs(8)).await;
        assert!(a.is_leader() && !b.is_leader());
        a.stop().await;
        assert!(timeout(Duration::from_secs(5), b.changed()).await.unwrap());
        // Somebody else's hand: the leader sees it and steps back until that one's time is over.
        let foreign = match &lock {
            Lock::Lease { .. } => (
                ["-n", "default", "patch", "lease", "ours-lease", "--type=merge", "-p"],
                r#"{"spec":{"holderIdentity":"kubectl","leaseDurationSeconds":7}}"#.to_owned(),
            ),
            Lock::ConfigMap { .. } => (
                ["-n", "default", "patch", "configmap", "ours-config-map", "--type=merge", "-p"],
                r#"{"metadata":{"annotations":{"control-plane.alpha.kubernetes.io/leader":"{\"holderIdentity\":\"kubectl\",\"leaseDurationSeconds\":7,\"acquireTime\":\"2026-01-01T00:00:00Z\",\"renewTime\":\"2026-01-01T00:00:00Z\",\"leaderTransitions\":9}"}}}"#.to_owned(),
            ),
        };
        let mut arguments = foreign.0.to_vec();
        arguments.push(&foreign.1);
        kubectl(&arguments, "");
        assert!(!timeout(SOON, b.changed()).await.unwrap());
        let lost = tokio::time::Instant::now();
        assert!(timeout(SOON, b.changed()).await.unwrap());
        assert!(lost.elapsed() >= Duration::from_secs(6), "{:?}", lost.elapsed());
        b.stop().await;
    }
    let events = kubectl(
        &["-n", "default", "get", "events", "--field-selector=reason=LeaderElection", "-o", "name"],
        "",
    );
    assert!(events.contains("ours-lease") && events.contains("ours-config-map"), "{events}");
    kubectl(&["-n", "default", "delete", "lease/ours-lease", "configmap/ours-config-map"], "");
}
