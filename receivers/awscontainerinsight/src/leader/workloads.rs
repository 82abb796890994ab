//! What is told of the cluster's workloads, and of the pods that wait for a node.

use k8s::row::{DaemonSet, Deployment, Meta, Pod, ReplicaSet, Replicas, StatefulSet};
use k8s::{Keys, Projection, Scope, Watched, Watches};

use crate::collector::Moment;
use crate::identity::Identity;
use crate::pods::{Options, write_pending};
use crate::record::{RecordType, Records, field};

/// The workloads of the cluster, and the pods that no node has yet.
pub(super) struct Workloads {
    /// Those without a node.
    pending: Watched<Pod>,
    deployments: Watched<Deployment>,
    daemon_sets: Watched<DaemonSet>,
    stateful_sets: Watched<StatefulSet>,
    replica_sets: Watched<ReplicaSet>,
}

impl Workloads {
    /// Begins to watch.
    pub(super) fn watch(watches: &Watches) -> Self {
        let status = Projection { status: true, ..Projection::default() };
        let owned = Projection { owners: true, ..status.clone() };
        Self {
            pending: watches.watch(
                &Scope::all().fields("spec.nodeName=,status.phase=Pending"),
                &Projection { labels: Keys::All, ..owned.clone() },
            ),
            deployments: watches.watch(&Scope::all(), &status),
            daemon_sets: watches.watch(&Scope::all(), &status),
            stateful_sets: watches.watch(&Scope::all(), &status),
            replica_sets: watches.watch(&Scope::all(), &owned),
        }
    }

    /// Waits until everything was listed once.
    #[cfg(test)]
    pub(super) async fn synced(&self) {
        self.pending.synced().await;
        self.deployments.synced().await;
        self.daemon_sets.synced().await;
        self.stateful_sets.synced().await;
        self.replica_sets.synced().await;
    }

    /// Adds the records of what was listed by now.
    pub(super) fn write(&self, options: Options, at: Moment, identity: &Identity, records: &mut Records) {
        self.pending.for_each(|pod| write_pending(pod, options, at, identity, records));
        self.deployments.for_each(|set| {
            let replicas = set.replicas;
            let unavailable = Some(replicas.unavailable);
            write_workload(RecordType::Deployment, &set.meta, replicas, unavailable, at, identity, records);
        });
        self.daemon_sets.for_each(|set| {
            // Upstream takes those that are scheduled for those that are ready.
            let replicas = Replicas { ready: set.replicas.current, ..set.replicas };
            let unavailable = Some(replicas.unavailable);
            write_workload(RecordType::DaemonSet, &set.meta, replicas, unavailable, at, identity, records);
        });
        self.stateful_sets.for_each(|set| {
            write_workload(RecordType::StatefulSet, &set.meta, set.replicas, None, at, identity, records);
        });
        self.replica_sets.for_each(|set| {
            if set.meta.owners.is_empty() {
                write_workload(RecordType::ReplicaSet, &set.meta, set.replicas, None, at, identity, records);
            }
        });
    }
}

fn write_workload(
    kind: RecordType,
    meta: &Meta,
    replicas: Replicas,
    unavailable: Option<u32>,
    at: Moment,
    identity: &Identity,
    records: &mut Records,
) {
    let mut record = records.record(kind, at.unix_nano);
    identity.describe_cluster(&mut record);
    record.attribute("Namespace", &meta.namespace);
    // Upstream's word for the workload's name.
    record.attribute("PodName", &meta.name);
    record.int(field::REPLICAS_DESIRED, Some(replicas.desired.into()));
    record.int(field::REPLICAS_READY, Some(replicas.ready.into()));
    record.int(field::REPLICAS_AVAILABLE, Some(replicas.available.into()));
    record.int(field::REPLICAS_UNAVAILABLE, unavailable.map(u64::from));
}
