//! What has to be watched, and what is asked for one by one.

use k8s::{Projection, Scope};

use crate::fetch::Kind;

/// What has to be watched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) pods: Option<Watch>,
    pub(crate) namespaces: Option<Watch>,
    pub(crate) nodes: Option<Watch>,
    pub(crate) replica_sets: Option<Watch>,
    pub(crate) deployments: Option<Watch>,
    pub(crate) stateful_sets: Option<Watch>,
    pub(crate) daemon_sets: Option<Watch>,
    pub(crate) jobs: Option<Watch>,
    /// What is asked for one by one instead of being watched, as pods and their owners refer to it.
    pub(crate) fetched: Vec<(Kind, Projection)>,
}

/// Which objects of a kind, and what of them.
pub(crate) type Watch = (Scope, Projection);

impl Needs {
    /// The same without watches of workloads.
    pub(crate) fn one_by_one(mut self) -> Self {
        let workloads = [
            (Kind::ReplicaSet, self.replica_sets.take()),
            (Kind::Deployment, self.deployments.take()),
            (Kind::StatefulSet, self.stateful_sets.take()),
            (Kind::DaemonSet, self.daemon_sets.take()),
            (Kind::Job, self.jobs.take()),
        ];
        let fetched = workloads.into_iter().filter_map(|(kind, watch)| Some((kind, watch?.1)));
        self.fetched = fetched.collect();
        self
    }
}
