//! What Container Insights calls a pod: after the workload that made it.

use k8s::row::{Owner, Pod};

/// The label by which a ReplicaSet of a Deployment tells its pods from those of others.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// What Kubernetes makes the ends of names of.
const SAFE: &str = "bcdfghjklmnpqrstvwxz2456789";
/// The minutes since 1970 when CronJobs began to name their Jobs by minutes.
const FIRST_MINUTE: u64 = 26_000_000;
/// The pods whose names are cut unless full ones are preferred.
const PROXY: &str = "kube-proxy";

/// The attribute `PodName` of a pod.
pub(crate) fn pod_name<'p>(pod: &'p Pod, owners: &[(&'p str, &'p str)], prefer_full: bool) -> &'p str {
    let own = &*pod.meta.name;
    let kinds = pod.meta.owners.iter().filter(is_named).map(|owner| &*owner.kind);
    for (kind, (_, workload)) in kinds.zip(owners) {
        match kind {
            "StatefulSet" => return own,
            "DaemonSet" | "Job" | "ReplicaSet" | "ReplicationController" => return workload,
            _ => {}
        }
    }
    if !prefer_full && own.starts_with(PROXY) { PROXY } else { own }
}

/// Kind and name of the workload behind each owner of a pod.
pub(crate) fn owners(pod: &Pod) -> Vec<(&str, &str)> {
    let hash = pod.meta.label(TEMPLATE_HASH).map(|hash| &**hash);
    pod.meta.owners.iter().filter(is_named).map(|owner| workload(owner, hash)).collect()
}

fn is_named(owner: &&Owner) -> bool {
    !owner.kind.is_empty() && !owner.name.is_empty()
}

fn workload<'o>(owner: &'o Owner, hash: Option<&str>) -> (&'o str, &'o str) {
    let (kind, name) = (&*owner.kind, &*owner.name);
    match (kind, name.rsplit_once('-')) {
        ("ReplicaSet", Some((deployment, end))) if !deployment.is_empty() && is_hash(end, hash) => {
            ("Deployment", deployment)
        }
        ("Job", Some((cron_job, end))) if !cron_job.is_empty() && is_time(end) => ("CronJob", cron_job),
        _ => (kind, name),
    }
}

fn is_hash(end: &str, hash: Option<&str>) -> bool {
    hash == Some(end) || end.len() >= 3 && end.chars().all(|character| SAFE.contains(character))
}

/// Whether a CronJob named a Job by this: minutes, before Kubernetes 1.21 seconds.
fn is_time(end: &str) -> bool {
    end.bytes().all(|digit| digit.is_ascii_digit())
        && match end.len() {
            10 => true,
            8 => end.parse::<u64>().is_ok_and(|minutes| minutes >= FIRST_MINUTE),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use k8s::row::Row;
    use k8s::{Interner, Projection};

    use super::*;

    #[test]
    fn names() {
        let check = |owner: Option<(&str, &str)>, hash: &str, full: bool, pod: &str, expected: &str| {
            let owners_of: Vec<_> = owner
                .iter()
                .map(|(kind, name)| serde_json::json!({"kind": kind, "name": name, "uid": "u"}))
                .collect();
            let labels = serde_json::json!({TEMPLATE_HASH: hash});
            let metadata = serde_json::json!({"name": pod, "ownerReferences": owners_of, "labels": labels});
            let json = serde_json::json!({"metadata": metadata}).to_string();
            let pod = Pod::from_json(json.as_bytes(), &Projection::all(), &Interner::default()).unwrap().row;
            let owners = owners(&pod);
            let owner = owners.first().map(|(kind, name)| format!(" of {kind} {name}")).unwrap_or_default();
            assert_eq!(format!("{}{owner}", pod_name(&pod, &owners, full)), expected);
        };
        check(
            Some(("ReplicaSet", "web-7c9b6d5f4")),
            "7c9b6d5f4",
            false,
            "web-7c9b6d5f4-x",
            "web of Deployment web",
        );
        check(Some(("ReplicaSet", "web-1013")), "1013", false, "p", "web of Deployment web");
        check(Some(("ReplicaSet", "web-1013")), "", false, "p", "web-1013 of ReplicaSet web-1013");
        check(Some(("Job", "report-29923849")), "", false, "p", "report of CronJob report");
        check(Some(("Job", "report-1606789020")), "", false, "p", "report of CronJob report");
        check(Some(("Job", "report-20261123")), "", false, "p", "report-20261123 of Job report-20261123");
        check(Some(("StatefulSet", "db")), "", false, "db-0", "db-0 of StatefulSet db");
        check(Some(("DaemonSet", "agent")), "", false, "agent-x", "agent of DaemonSet agent");
        check(Some(("Node", "n")), "", false, "etcd-n", "etcd-n of Node n");
        check(None, "", false, "kube-proxy-x", "kube-proxy");
        check(None, "", true, "kube-proxy-x", "kube-proxy-x");
    }
}
