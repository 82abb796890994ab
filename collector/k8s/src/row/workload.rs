//! What makes pods: ReplicaSets, Deployments, DaemonSets, StatefulSets, Jobs and CronJobs.

use std::marker::PhantomData;

use serde::Deserialize;

use super::object::{MetaObject, nullable};
use super::{Decoded, Meta, Resource, Row};
use crate::{Interner, Projection};

/// A ReplicaSet.
pub type ReplicaSet = Workload<kind::ReplicaSet>;
/// A Deployment.
pub type Deployment = Workload<kind::Deployment>;
/// A DaemonSet.
pub type DaemonSet = Workload<kind::DaemonSet>;
/// A StatefulSet.
pub type StatefulSet = Workload<kind::StatefulSet>;
/// A Job.
pub type Job = Workload<kind::Job>;
/// A CronJob.
pub type CronJob = Workload<kind::CronJob>;

/// Something that makes pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload<K> {
    /// Its metadata.
    pub meta: Meta,
    /// How many pods; kept with the status.
    pub replicas: Replicas,
    kind: PhantomData<K>,
}

/// How many pods a workload wants and has. What the object does not say is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replicas {
    /// `spec.replicas`; of DaemonSets `status.desiredNumberScheduled`; of Jobs `spec.completions`.
    pub desired: u32,
    /// `status.readyReplicas`; of DaemonSets `status.numberReady`; of Jobs `status.ready`.
    pub ready: u32,
    /// `status.availableReplicas`; of DaemonSets `status.numberAvailable`.
    pub available: u32,
    /// `status.unavailableReplicas`; of DaemonSets `status.numberUnavailable`.
    pub unavailable: u32,
    /// Of DaemonSets `status.currentNumberScheduled`, of others `status.replicas`; of Jobs `status.active`.
    pub current: u32,
}

/// The kinds of workloads.
pub mod kind {
    use super::Resource;

    /// What tells one kind of workload from another.
    pub trait Kind: std::fmt::Debug + Clone + PartialEq + Send + Sync + 'static {
        /// The kind of object.
        const RESOURCE: Resource;
    }

    macro_rules! kinds {
        ($($(#[$doc:meta])* $name:ident = $group:literal $plural:literal;)*) => {$(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $name;

            impl Kind for $name {
                const RESOURCE: Resource = Resource {
                    group: $group, version: "v1", plural: $plural, namespaced: true, metadata_only: true,
                };
            }
        )*};
    }

    kinds! {
        /// `apps/v1` `replicasets`
        ReplicaSet = "apps" "replicasets";
        /// `apps/v1` `deployments`
        Deployment = "apps" "deployments";
        /// `apps/v1` `daemonsets`
        DaemonSet = "apps" "daemonsets";
        /// `apps/v1` `statefulsets`
        StatefulSet = "apps" "statefulsets";
        /// `batch/v1` `jobs`
        Job = "batch" "jobs";
        /// `batch/v1` `cronjobs`
        CronJob = "batch" "cronjobs";
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WorkloadObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    metadata: MetaObject<'a>,
    #[serde(deserialize_with = "nullable")]
    spec: SpecObject,
    #[serde(deserialize_with = "nullable")]
    status: StatusObject,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecObject {
    replicas: Option<u32>,
    completions: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusObject {
    replicas: Option<u32>,
    ready_replicas: Option<u32>,
    available_replicas: Option<u32>,
    unavailable_replicas: Option<u32>,
    desired_number_scheduled: Option<u32>,
    current_number_scheduled: Option<u32>,
    number_ready: Option<u32>,
    number_available: Option<u32>,
    number_unavailable: Option<u32>,
    ready: Option<u32>,
    // Of Jobs a number, of CronJobs a list of references.
    #[serde(deserialize_with = "number_or_list")]
    active: u32,
}

impl<K: kind::Kind> Row for Workload<K> {
    const RESOURCE: Resource = K::RESOURCE;

    fn from_json(
        json: &[u8],
        projection: &Projection,
        interner: &Interner,
    ) -> serde_json::Result<Decoded<Self>> {
        let object: WorkloadObject<'_> = serde_json::from_slice(json)?;
        let (version, meta) = (object.metadata.version(), object.metadata.project(projection, interner));
        let replicas =
            if projection.status { Replicas::of(&object.spec, &object.status) } else { Replicas::default() };
        Ok(Decoded { row: Self { meta, replicas, kind: PhantomData }, version })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

impl Replicas {
    /// No kind has two of the fields that mean the same.
    fn of(spec: &SpecObject, status: &StatusObject) -> Self {
        let desired = status.desired_number_scheduled.or(spec.replicas).or(spec.completions);
        let current = status.current_number_scheduled.or(status.replicas);
        Self {
            desired: desired.unwrap_or_default(),
            ready: status.number_ready.or(status.ready_replicas).or(status.ready).unwrap_or_default(),
            available: status.number_available.or(status.available_replicas).unwrap_or_default(),
            unavailable: status.number_unavailable.or(status.unavailable_replicas).unwrap_or_default(),
            current: current.unwrap_or(status.active),
        }
    }
}

fn number_or_list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Active {
        Number(u32),
        List(Vec<serde::de::IgnoredAny>),
        Nothing(()),
    }
    Ok(match Active::deserialize(deserializer)? {
        Active::Number(number) => number,
        Active::List(list) => u32::try_from(list.len()).unwrap_or(u32::MAX),
        Active::Nothing(()) => 0,
    })
}
