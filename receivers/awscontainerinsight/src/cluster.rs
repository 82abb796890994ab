//! What records need of the API server: which services pods are behind, and how this node is.

use std::collections::HashMap;

use k8s::row::{ConditionStatus, Node, Pod};
use k8s::{Name, Projection, Scope, Watched, Watches};

use crate::record::{Record, field};
use crate::services::NodeServices;

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

    /// The service of each of `pods`, in their order; of several the first by name. Services of a namespace that has had no
    /// pods are known a moment after its first ones.
    pub(crate) fn services(&self, pods: &[Pod]) -> Vec<Option<Name>> {
        let Some(services) = &self.services else { return Vec::new() };
        services.follow(pods.iter().map(|pod| &pod.meta.namespace));
        let mut found: Vec<Option<Name>> = vec![None; pods.len()];
        let own: HashMap<(&str, &str), usize> = pods
            .iter()
            .enumerate()
            .map(|(index, pod)| ((&*pod.meta.namespace, &*pod.meta.name), index))
            .collect();
        services.for_each(|_, service, pods| {
            for pod in pods {
                let index = own.get(&(&*pod.namespace, &*pod.name)).copied();
                let Some(found) = index.and_then(|index| found.get_mut(index)) else { continue };
                if found.as_ref().is_none_or(|known| service < &**known) {
                    *found = Some(Name::from(service));
                }
            }
        });
        found
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
