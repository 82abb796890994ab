//! What records need of the API server: which services pods are behind, and how this node is.

use std::sync::Arc;

use k8s::row::{ConditionStatus, Node, Pod};
use k8s::{Name, NodeServices, Projection, Scope, Services, Watched, Watches};

use crate::record::{Record, field};

/// Objects that are watched, where they are wanted and there is an API server.
#[derive(Default)]
pub(crate) struct Cluster {
    services: Option<NodeServices>,
    node: Option<Watched<Node>>,
}

/// What is wanted of the API server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Which services pods are behind.
    pub(crate) services: bool,
    /// The state of the node with this name.
    pub(crate) node: Option<String>,
}

impl Cluster {
    /// Begins to watch what is wanted.
    pub(crate) fn watch(watches: &Watches, wanted: &Wanted) -> Self {
        let services = wanted.services.then(|| NodeServices::new(watches));
        let node = wanted.node.as_ref().map(|name| {
            let scope = Scope::all().fields(format!("metadata.name={name}"));
            watches.watch(&scope, &Projection { status: true, ..Projection::default() })
        });
        Self { services, node }
    }

    /// Waits until everything that is watched was listed once.
    #[cfg(test)]
    pub(crate) async fn synced(&self) {
        if let Some(services) = &self.services {
            services.synced().await;
        }
        if let Some(node) = &self.node {
            node.synced().await;
        }
    }

    /// Finds out how services are known, as long as that is not clear.
    pub(crate) async fn settle(&self) {
        if let Some(services) = &self.services {
            services.settle().await;
        }
    }

    /// From now on the services of these pods are watched. `cluster` are all of the cluster, where this collector leads.
    pub(crate) fn follow(&self, pods: &[Pod], cluster: Option<&Arc<Services>>) {
        if let Some(services) = &self.services {
            services.follow(pods, cluster);
        }
    }

    /// The service of each of `pods`, in their order; of several the first by name. Services of a namespace that has had no
    /// pods are known a moment after its first ones.
    pub(crate) fn services(&self, pods: &[Pod]) -> Vec<Option<Name>> {
        self.services.as_ref().map(|services| services.of(pods)).unwrap_or_default()
    }

    /// Adds the fields about this node's state that upstream has in its enhanced mode.
    pub(crate) fn describe_node(&self, name: Option<&str>, record: &mut Record<'_>) {
        let Some(node) = self.node.as_ref().and_then(|nodes| nodes.get("", name?)) else { return };
        record.int(field::STATUS_CAPACITY_PODS, node.capacity.pods);
        record.int(field::STATUS_ALLOCATABLE_PODS, node.allocatable.pods);
        let conditions = [
            (field::CONDITION_READY, "Ready"),
            (field::CONDITION_DISK_PRESSURE, "DiskPressure"),
            (field::CONDITION_MEMORY_PRESSURE, "MemoryPressure"),
            (field::CONDITION_PID_PRESSURE, "PIDPressure"),
            (field::CONDITION_NETWORK_UNAVAILABLE, "NetworkUnavailable"),
        ];
        for (field, kind) in conditions {
            let found = node.conditions.iter().find(|condition| &*condition.kind == kind);
            record.int(field, found.map(|condition| u64::from(condition.status == ConditionStatus::True)));
        }
        let unknown = node.conditions.iter().any(|condition| condition.status == ConditionStatus::Unknown);
        record.int(field::CONDITION_UNKNOWN, Some(u64::from(unknown)));
    }
}
