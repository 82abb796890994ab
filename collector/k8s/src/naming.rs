//! What Container Insights calls a pod after: the workload that made it, without asking anybody.

use crate::row::{Owner, Pod};

/// The label by which a ReplicaSet of a Deployment tells its pods from those of others; its name ends with it.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// What Kubernetes makes the ends of names of (`SafeEncodeString` in apimachinery's util/rand).
const SAFE: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The minutes since 1970 when CronJobs began to name their Jobs by minutes; what is less is a date, not a time.
const FIRST_MINUTE: u64 = 26_000_000;

/// How pods are named.
#[derive(Debug, Clone, Copy, Default)]
pub struct Naming {
    /// Names that are long are not cut: the key `prefer_full_pod_name`.
    pub prefer_full: bool,
    /// What upstream makes of Jobs: the key `shorten_job_pod_names`.
    pub shorten_jobs: bool,
}

/// A pod's names.
#[derive(Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// The attribute `PodName`.
    pub pod_name: &'a str,
    /// Kind and name of each owner, as `pod_owners` tells them.
    pub owners: Vec<(&'a str, &'a str)>,
}

impl Naming {
    /// The names of a pod.
    #[must_use]
    pub fn of(self, pod: &Pod) -> Names<'_> {
        let mut pod_name = None;
        let mut owners = Vec::new();
        let hash = pod.meta.label(TEMPLATE_HASH).map(|hash| &**hash);
        for owner in pod.meta.owners.iter().filter(|owner| !owner.kind.is_empty() && !owner.name.is_empty()) {
            let (kind, name) = self.workload(owner, hash);
            let own = match &*owner.kind {
                "StatefulSet" => Some(&*pod.meta.name),
                "DaemonSet" | "Job" | "ReplicaSet" | "ReplicationController" => Some(name),
                _ => None,
            };
            pod_name = pod_name.or(own);
            owners.push((kind, name));
        }
        let own = &*pod.meta.name;
        let is_proxy = !self.prefer_full && own.starts_with("kube-proxy");
        Names { pod_name: pod_name.unwrap_or(if is_proxy { "kube-proxy" } else { own }), owners }
    }

    /// Kind and name of what is behind an owner.
    fn workload<'a>(self, owner: &'a Owner, hash: Option<&str>) -> (&'a str, &'a str) {
        let name = &*owner.name;
        match &*owner.kind {
            "ReplicaSet" => match deployment(name, hash) {
                Some(deployment) => ("Deployment", deployment),
                None => ("ReplicaSet", name),
            },
            "Job" => match self.cron_job(name) {
                Some(cron_job) => ("CronJob", cron_job),
                None if self.shorten_jobs && !self.prefer_full => {
                    ("Job", name.split(['.', '-']).next().unwrap_or(name))
                }
                None => ("Job", name),
            },
            kind => (kind, name),
        }
    }

    /// The CronJob of a Job, which it names after the time it was due: in minutes, before Kubernetes 1.21 in seconds.
    fn cron_job(self, job: &str) -> Option<&str> {
        let (name, time) = job.rsplit_once('-')?;
        let is_number = !name.is_empty() && time.bytes().all(|digit| digit.is_ascii_digit());
        let is_time = match time.len() {
            10 => true,
            8 => !self.shorten_jobs && time.parse::<u64>().is_ok_and(|minutes| minutes >= FIRST_MINUTE),
            _ => false,
        };
        (is_number && is_time).then_some(name)
    }
}

/// The Deployment of a ReplicaSet.
fn deployment<'a>(name: &'a str, hash: Option<&str>) -> Option<&'a str> {
    let (deployment, suffix) = name.rsplit_once('-')?;
    let is_hash = hash == Some(suffix) || suffix.len() >= 3 && suffix.chars().all(|c| SAFE.contains(c));
    (is_hash && !deployment.is_empty()).then_some(deployment)
}

#[cfg(test)]
mod tests {
    use crate::row::Row;
    use crate::{Interner, Projection};

    use super::*;

    #[test]
    fn names() {
        fn check(naming: Naming, owner: Option<(&str, &str)>, hash: &str, pod: &str, expected: &str) {
            let owners: Vec<_> = owner
                .iter()
                .map(|(kind, name)| serde_json::json!({"kind": kind, "name": name, "uid": "u"}))
                .collect();
            let pod = serde_json::json!({"metadata": {
                "name": pod, "ownerReferences": owners, "labels": {TEMPLATE_HASH: hash},
            }});
            let json = pod.to_string();
            let pod = Pod::from_json(json.as_bytes(), &Projection::all(), &Interner::default()).unwrap().row;
            let Names { pod_name, owners } = naming.of(&pod);
            let owner = owners.first().map(|(kind, name)| format!(" of {kind} {name}"));
            assert_eq!(format!("{pod_name}{}", owner.unwrap_or_default()), expected);
        }
        let usual = Naming::default();
        let full = Naming { prefer_full: true, ..usual };
        let cut = Naming { shorten_jobs: true, ..usual };
        let set = |name| Some(("ReplicaSet", name));
        let job = |name| Some(("Job", name));

        check(usual, set("web-7c9b6d5f4"), "7c9b6d5f4", "web-7c9b6d5f4-x2k8q", "web of Deployment web");
        check(usual, set("a-b-bcd"), "", "p", "a-b of Deployment a-b");
        // Digits that are not among the safe ones: only the label tells.
        check(usual, set("web-7c9b6d5f4"), "7c9b6d5f4", "web-7c9b6d5f4-x", "web of Deployment web");
        check(usual, set("web-1013"), "1013", "p", "web of Deployment web");
        check(usual, set("web-1013"), "", "p", "web-1013 of ReplicaSet web-1013");
        check(usual, set("web-bc"), "", "p", "web-bc of ReplicaSet web-bc");
        check(usual, set("plain"), "", "p", "plain of ReplicaSet plain");

        check(usual, job("every-minute-29923849"), "", "p", "every-minute of CronJob every-minute");
        check(usual, job("report-1606789020"), "", "p", "report of CronJob report");
        check(usual, job("report-29923849"), "", "p", "report of CronJob report");
        check(usual, job("report-20261123"), "", "p", "report-20261123 of Job report-20261123");
        check(usual, job("a.b-c"), "", "p", "a.b-c of Job a.b-c");
        check(cut, job("every-minute-29923849"), "", "p", "every of Job every");
        check(cut, job("a.b-c"), "", "p", "a of Job a");
        check(cut, job("every-day-1606789020"), "", "p", "every-day of CronJob every-day");
        check(Naming { prefer_full: true, ..cut }, job("a.b-c"), "", "p", "a.b-c of Job a.b-c");

        check(usual, Some(("StatefulSet", "store")), "", "store-0", "store-0 of StatefulSet store");
        check(usual, Some(("DaemonSet", "agent")), "", "agent-vrz7s", "agent of DaemonSet agent");
        check(usual, Some(("Node", "n")), "", "etcd-n", "etcd-n of Node n");
        check(usual, Some(("", "n")), "", "bare", "bare");
        check(usual, None, "", "kube-proxy-n", "kube-proxy");
        check(full, None, "", "kube-proxy-n", "kube-proxy-n");
    }
}
