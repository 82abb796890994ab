//! What one configuration knows of a cluster: tables that one task keeps and everybody reads.

use std::sync::Arc;

use component::Host;
use k8s::row::{DaemonSet, Deployment, Job, Namespace, Node, Pod, ReplicaSet, Row, StatefulSet, Uid};
use k8s::{Changes, Subscription, Watched, Watches};
use opentelemetry::metrics::{Gauge, Meter};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::compile::{CLUSTER_NAMESPACE, Compiled, Watch};
use crate::entry::Joins;
use crate::index::{Index, Pods};
use crate::objects::Objects;
use crate::rule::Subject;
use crate::telemetry::{KindMetrics, table_size};

/// The tables.
pub(crate) struct View {
    pub(crate) index: Arc<Index>,
    pub(crate) namespaces: Option<Arc<Objects>>,
    pub(crate) nodes: Option<Arc<Objects>>,
    /// Of Deployments, StatefulSets, DaemonSets and Jobs.
    pub(crate) workloads: [Option<Arc<Objects>>; 4],
    /// Whether pods are watched: if not, resources say all that they could tell.
    pub(crate) knows_pods: bool,
    /// What is not known yet; empty when everything is.
    missing: watch::Receiver<Vec<String>>,
    task: AbortHandle,
    /// The connection lives as long as somebody may want another view of it.
    _watches: Arc<Watches>,
}

/// A watch of one kind, and what follows it.
struct Follow<R> {
    kind: &'static str,
    changes: Subscription<R>,
    metrics: KindMetrics,
    /// Whether the first full list is in the tables.
    told: bool,
}

/// The task that keeps the tables.
struct Keeper {
    compiled: Arc<Compiled>,
    pods: Pods,
    index: Arc<Index>,
    table_size: Gauge<u64>,
    known: Known,
    pod: Option<Follow<Pod>>,
    namespace: Option<Follow<Namespace>>,
    node: Option<Follow<Node>>,
    replica_set: Option<Follow<ReplicaSet>>,
    deployment: Option<Follow<Deployment>>,
    stateful_set: Option<Follow<StatefulSet>>,
    daemon_set: Option<Follow<DaemonSet>>,
    job: Option<Follow<Job>>,
    namespaces: Option<Arc<Objects>>,
    nodes: Option<Arc<Objects>>,
    workloads: [Option<Arc<Objects>>; 4],
    missing: watch::Sender<Vec<String>>,
}

/// The objects that tell more of pods.
struct Known {
    replica_sets: Option<Watched<ReplicaSet>>,
    jobs: Option<Watched<Job>>,
    namespaces: Option<Watched<Namespace>>,
}

impl Joins for Known {
    fn replica_set(&self, uid: &Uid) -> Option<Arc<ReplicaSet>> {
        self.replica_sets.as_ref()?.get_by_uid(uid)
    }

    fn job(&self, uid: &Uid) -> Option<Arc<Job>> {
        self.jobs.as_ref()?.get_by_uid(uid)
    }

    fn cluster(&self) -> Option<Uid> {
        Some(self.namespaces.as_ref()?.get("", CLUSTER_NAMESPACE)?.meta.uid.clone())
    }
}

impl View {
    /// Begins to watch what the configuration needs.
    pub(crate) fn start(
        compiled: Arc<Compiled>,
        watches: Arc<Watches>,
        host: &Host,
        meter: &Meter,
    ) -> Arc<Self> {
        let needs = compiled.needs();
        let index = Arc::new(Index::default());
        let (sender, missing) = watch::channel(vec!["all".to_owned()]);
        let table = |subject: Subject| compiled.has_rules(subject).then(|| Arc::new(Objects::new(subject)));
        let keeper = Keeper {
            pods: Pods::new(Arc::clone(&compiled), Arc::clone(&index)),
            index: Arc::clone(&index),
            table_size: table_size(meter),
            pod: follow(&watches, needs.pods.as_ref(), meter, "pod"),
            namespace: follow(&watches, needs.namespaces.as_ref(), meter, "namespace"),
            node: follow(&watches, needs.nodes.as_ref(), meter, "node"),
            replica_set: follow(&watches, needs.replica_sets.as_ref(), meter, "replicaset"),
            deployment: follow(&watches, needs.deployments.as_ref(), meter, "deployment"),
            stateful_set: follow(&watches, needs.stateful_sets.as_ref(), meter, "statefulset"),
            daemon_set: follow(&watches, needs.daemon_sets.as_ref(), meter, "daemonset"),
            job: follow(&watches, needs.jobs.as_ref(), meter, "job"),
            namespaces: table(Subject::Namespace),
            nodes: compiled.uses_nodes().then(|| Arc::new(Objects::new(Subject::Node))),
            workloads: crate::compile::WORKLOADS.map(|(subject, _)| table(subject)),
            known: Known { replica_sets: None, jobs: None, namespaces: None },
            missing: sender,
            compiled,
        };
        let tables = (keeper.namespaces.clone(), keeper.nodes.clone(), keeper.workloads.clone());
        let task = host.spawn("k8s_attributes: tables", keeper.run()).abort_handle();
        let (namespaces, nodes, workloads) = tables;
        Arc::new(Self {
            index,
            namespaces,
            nodes,
            workloads,
            knows_pods: needs.pods.is_some(),
            missing,
            task,
            _watches: watches,
        })
    }

    /// Waits until everything is known.
    pub(crate) async fn complete(&self) {
        // The task ends with the view only.
        let _ = self.missing.clone().wait_for(Vec::is_empty).await;
    }

    /// What is not known yet, and why as far as that is known.
    pub(crate) fn missing(&self) -> String {
        self.missing.borrow().join(", ")
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn follow<R: Row>(
    watches: &Watches,
    watch: Option<&Watch>,
    meter: &Meter,
    kind: &'static str,
) -> Option<Follow<R>> {
    let (scope, projection) = watch?;
    let changes = watches.watch::<R>(scope, projection).subscribe();
    Some(Follow { kind, changes, metrics: KindMetrics::new(meter, kind), told: false })
}

impl<R: Row> Follow<R> {
    /// What happened; perhaps nothing, once, when the first list is complete.
    async fn next(&mut self) -> Changes<R> {
        let watched = self.changes.watched().clone();
        let none = || Changes { resync: false, list: Vec::new() };
        // What is taken after the list was complete holds all of it.
        let was_complete = watched.is_synced();
        let (changes, is_complete) = tokio::select! {
            biased;
            changes = self.changes.next() => (changes, was_complete),
            () = watched.synced(), if !self.told => (self.changes.try_next().unwrap_or_else(none), true),
        };
        self.told |= is_complete;
        self.metrics.record(watched.stats());
        changes
    }

    fn missing(&self) -> Option<String> {
        let why = || self.changes.watched().stats().failing.unwrap_or_else(|| "no answer yet".to_owned());
        (!self.told).then(|| format!("{} ({})", self.kind, why()))
    }
}

/// What happened to a kind that may not be watched.
async fn next<R: Row>(follow: &mut Option<Follow<R>>) -> Changes<R> {
    match follow {
        Some(follow) => follow.next().await,
        None => std::future::pending().await,
    }
}

async fn expiry(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Takes changes into a table, if there is one.
fn take<R: Row>(
    table: Option<&Arc<Objects>>,
    changes: &Changes<R>,
    follow: Option<&Follow<R>>,
    compiled: &Compiled,
) {
    if let (Some(table), Some(follow)) = (table, follow) {
        table.take(changes, follow.changes.watched(), compiled);
    }
}

impl Keeper {
    /// Runs until it is aborted.
    async fn run(mut self) {
        let watched = |follow: &Option<Follow<ReplicaSet>>| Some(follow.as_ref()?.changes.watched().clone());
        self.known = Known {
            replica_sets: watched(&self.replica_set),
            jobs: self.job.as_ref().map(|follow| follow.changes.watched().clone()),
            namespaces: self.namespace.as_ref().map(|follow| follow.changes.watched().clone()),
        };
        loop {
            self.tell_missing();
            let [deployments, stateful_sets, daemon_sets, jobs] = &self.workloads;
            let compiled = &*self.compiled;
            tokio::select! {
                changes = next(&mut self.pod) => self.pods_changed(changes),
                changes = next(&mut self.namespace) => self.namespaces_changed(&changes),
                changes = next(&mut self.node) => {
                    take(self.nodes.as_ref(), &changes, self.node.as_ref(), compiled);
                }
                changes = next(&mut self.replica_set) => self.replica_sets_changed(&changes),
                changes = next(&mut self.deployment) => {
                    take(deployments.as_ref(), &changes, self.deployment.as_ref(), compiled);
                }
                changes = next(&mut self.stateful_set) => {
                    take(stateful_sets.as_ref(), &changes, self.stateful_set.as_ref(), compiled);
                }
                changes = next(&mut self.daemon_set) => {
                    take(daemon_sets.as_ref(), &changes, self.daemon_set.as_ref(), compiled);
                }
                changes = next(&mut self.job) => {
                    take(jobs.as_ref(), &changes, self.job.as_ref(), compiled);
                    self.jobs_changed(&changes);
                }
                () = expiry(self.pods.next_expiry()) => {}
            }
            self.pods.sweep(Instant::now());
            self.table_size.record(self.index.len() as u64, &[]);
        }
    }

    fn pods_changed(&mut self, changes: Changes<Pod>) {
        let Some(follow) = &self.pod else { return };
        let all = || {
            let mut pods = Vec::new();
            follow.changes.watched().for_each(|pod| pods.push(Arc::clone(pod)));
            pods
        };
        self.pods.take(changes, all, &self.known);
    }

    fn namespaces_changed(&mut self, changes: &Changes<Namespace>) {
        take(self.namespaces.as_ref(), changes, self.namespace.as_ref(), &self.compiled);
        let cluster = |row: &Namespace| &*row.meta.name == CLUSTER_NAMESPACE;
        let of_cluster = changes.resync || changes.list.iter().any(|change| cluster(change.row()));
        if self.compiled.fields.has(crate::field::Field::ClusterUid) && of_cluster {
            self.pods.all_changed(&self.known);
        }
    }

    fn replica_sets_changed(&mut self, changes: &Changes<ReplicaSet>) {
        self.owners_changed(changes);
    }

    fn jobs_changed(&mut self, changes: &Changes<Job>) {
        self.owners_changed(changes);
    }

    /// What tells more of pods has come: they are worked out anew. What has gone told the same while it was there.
    fn owners_changed<R: Row>(&mut self, changes: &Changes<R>) {
        if changes.resync {
            self.pods.all_changed(&self.known);
        }
        for change in &changes.list {
            if let k8s::Change::Applied(row) = change {
                self.pods.owner_changed(&row.meta().uid, &self.known);
            }
        }
    }

    fn tell_missing(&self) {
        let missing: Vec<String> = [
            self.namespace.as_ref().and_then(Follow::missing),
            self.node.as_ref().and_then(Follow::missing),
            self.replica_set.as_ref().and_then(Follow::missing),
            self.deployment.as_ref().and_then(Follow::missing),
            self.stateful_set.as_ref().and_then(Follow::missing),
            self.daemon_set.as_ref().and_then(Follow::missing),
            self.job.as_ref().and_then(Follow::missing),
            self.pod.as_ref().and_then(Follow::missing),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.missing.send_if_modified(|told| {
            let modified = *told != missing;
            *told = missing;
            modified
        });
    }
}
