//! Objects as far as they are used: decoded from their JSON in one pass, without a tree, into small rows.

mod endpoints;
mod meta;
mod node;
mod object;
mod pod;
mod pod_object;
mod quantity;
#[cfg(test)]
mod tests;
mod workload;

pub use endpoints::{EndpointSlice, Endpoints, Namespace, PodRef, Service};
pub use meta::{Meta, Owner, SharedMeta, Time, TimeText, Uid, UidText, pair};
pub use node::{Condition, ConditionStatus, Node, Resources};
pub use pod::{
    Container, ContainerId, ContainerIdText, ContainerIdentity, ContainerKind, ContainerSpec, ContainerState,
    Ips, Phase, Pod, PodConditions, StateDetail,
};
pub use workload::{CronJob, DaemonSet, Deployment, Job, ReplicaSet, Replicas, StatefulSet, Workload, kind};

pub(crate) use object::{BookmarkObject, Text};

use crate::{Interner, Projection};

/// A kind of object of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version within the group.
    pub version: &'static str,
    /// The name in paths and in roles: `replicasets`.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether metadata alone makes a useful row.
    pub metadata_only: bool,
}

/// A kind of row, decoded from one kind of object, whose JSON is borrowed from and never becomes a tree.
pub trait Row: Sized + Send + Sync + PartialEq + 'static {
    /// The kind of object.
    const RESOURCE: Resource;

    /// Decodes an object. Fields that are not used may have any shape.
    ///
    /// # Errors
    /// If `json` is not an object of the API server.
    fn from_json(
        json: &[u8],
        projection: &Projection,
        interner: &Interner,
    ) -> serde_json::Result<Decoded<Self>>;

    /// The object's metadata.
    fn meta(&self) -> &Meta;
}

/// A row, and the version of the object that it was made from.
#[derive(Debug)]
pub struct Decoded<R> {
    /// The row.
    pub row: R,
    /// `metadata.resourceVersion`.
    pub version: String,
}
