//! What one configuration knows of a cluster: tables that one task keeps and everybody reads.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use component::Host;
use foldhash::HashSet;
use k8s::row::{DaemonSet, Deployment, Job, Namespace, Node, Owner, Pod, ReplicaSet, Row, StatefulSet, Uid};
use k8s::{Changes, Subscription, Watched, Watches};
use opentelemetry::metrics::{Gauge, Meter};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::Config;
use crate::common::Joins;
use crate::compile::{CLUSTER_NAMESPACE, Compiled};
use crate::fetch::{Answer, Fetched, Kind, Reference};
use crate::gating::Gating;
use crate::index::{Index, Snapshot};
use crate::needs::Watch;
use crate::objects::{self, Objects};
use crate::pods::Pods;
use crate::rule::Subject;
use crate::telemetry::{KindMetrics, table_size};

/// Changes of pods are shown to readers at once, but not more often than this: what is shown is copied in parts.
const BETWEEN_PUBLICATIONS: Duration = Duration::from_millis(50);

/// The tables.
pub(crate) struct View {
    index: Arc<Index>,
    namespaces: Option<Arc<Objects>>,
    nodes: Option<Arc<Objects>>,
    /// Of Deployments, StatefulSets, DaemonSets and Jobs.
    workloads: [Option<Arc<Objects>>; 4],
    knows_pods: bool,
    /// What is not known yet; empty when everything is.
    missing: watch::Receiver<Vec<String>>,
    task: AbortHandle,
    /// The connection lives as long as somebody may want another view of it.
    _watches: Arc<Watches>,
}

/// What the tables hold at one moment.
pub(crate) struct Tables {
    pub(crate) pods: Guard<Arc<Snapshot>>,
    pub(crate) namespaces: Option<Guard<Arc<objects::Tables>>>,
    pub(crate) nodes: Option<Guard<Arc<objects::Tables>>>,
    /// Of Deployments, StatefulSets, DaemonSets and Jobs.
    pub(crate) workloads: [Option<Guard<Arc<objects::Tables>>>; 4],
    /// Whether pods are watched: if not, resources say all that they could tell.
    pub(crate) knows_pods: bool,
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
    /// When changes of pods may be shown next.
    publish_at: Instant,
    table_size: Vec<Gauge<u64>>,
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
    /// Those of one node, if it is one.
    fetched: Option<Fetched>,
}

impl Joins for Known {
    fn deployment(&self, replica_set: &Uid) -> Option<Option<Owner>> {
        self.controller(self.replica_sets.as_ref(), replica_set, "Deployment")
    }

    fn cron_job(&self, job: &Uid) -> Option<Option<Owner>> {
        self.controller(self.jobs.as_ref(), job, "CronJob")
    }

    fn cluster(&self) -> Option<Uid> {
        Some(self.namespaces.as_ref()?.get("", CLUSTER_NAMESPACE)?.meta.uid.clone())
    }
}

impl Known {
    fn controller<R: Row>(
        &self,
        watched: Option<&Watched<R>>,
        uid: &Uid,
        kind: &str,
    ) -> Option<Option<Owner>> {
        match watched {
            Some(watched) => Some(watched.get_by_uid(uid)?.meta().controller(kind).cloned()),
            None => Some(self.fetched.as_ref()?.get(uid)?.controller(kind).cloned()),
        }
    }
}

impl View {
    /// Begins to watch what the configuration needs.
    pub(crate) fn start(
        compiled: Arc<Compiled>,
        config: &Config,
        watches: Arc<Watches>,
        host: &Host,
        meter: &Meter,
    ) -> Arc<Self> {
        let needs = compiled.needs();
        let gating = compiled.gating;
        let fetched = (!needs.fetched.is_empty()).then(|| {
            let (api, interner) = (watches.api().clone(), Arc::clone(watches.interner()));
            let projections = needs.fetched.iter().cloned().collect();
            let rate = (config.kube_api_qps, config.kube_api_burst);
            Fetched::start(api, interner, projections, *config.watch_sync_period, rate, host)
        });
        let index = Arc::new(Index::new(&compiled));
        let (sender, missing) = watch::channel(vec!["all".to_owned()]);
        let table = |subject: Subject| compiled.has_rules(subject).then(|| Arc::new(Objects::new(subject)));
        let keeper = Keeper {
            pods: Pods::new(Arc::clone(&compiled), Arc::clone(&index)),
            publish_at: Instant::now(),
            table_size: table_size(meter, compiled.gating),
            pod: follow(&watches, needs.pods.as_ref(), (meter, gating), "pod"),
            namespace: follow(&watches, needs.namespaces.as_ref(), (meter, gating), "namespace"),
            node: follow(&watches, needs.nodes.as_ref(), (meter, gating), "node"),
            replica_set: follow(&watches, needs.replica_sets.as_ref(), (meter, gating), "replicaset"),
            deployment: follow(&watches, needs.deployments.as_ref(), (meter, gating), "deployment"),
            stateful_set: follow(&watches, needs.stateful_sets.as_ref(), (meter, gating), "statefulset"),
            daemon_set: follow(&watches, needs.daemon_sets.as_ref(), (meter, gating), "daemonset"),
            job: follow(&watches, needs.jobs.as_ref(), (meter, gating), "job"),
            namespaces: table(Subject::Namespace),
            nodes: compiled.uses_nodes().then(|| Arc::new(Objects::new(Subject::Node))),
            workloads: crate::compile::WORKLOADS.map(|(subject, _)| table(subject)),
            known: Known { replica_sets: None, jobs: None, namespaces: None, fetched },
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

    /// What is known at this moment.
    pub(crate) fn read(&self) -> Tables {
        let read = |objects: &Option<Arc<Objects>>| objects.as_ref().map(|objects| objects.read());
        let [deployments, stateful_sets, daemon_sets, jobs] = &self.workloads;
        Tables {
            pods: self.index.read(),
            namespaces: read(&self.namespaces),
            nodes: read(&self.nodes),
            workloads: [read(deployments), read(stateful_sets), read(daemon_sets), read(jobs)],
            knows_pods: self.knows_pods,
        }
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
    (meter, gating): (&Meter, Gating),
    kind: &'static str,
) -> Option<Follow<R>> {
    let (scope, projection) = watch?;
    let changes = watches.watch::<R>(scope, projection).subscribe();
    Some(Follow { kind, changes, metrics: KindMetrics::new(meter, kind, gating), told: false })
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

/// What came of asking for an object; perhaps nothing.
async fn answer(fetched: &mut Option<Fetched>) -> Option<Answer> {
    match fetched {
        Some(fetched) => fetched.next().await,
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
            fetched: self.known.fetched.take(),
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
                answer = answer(&mut self.known.fetched) => self.fetched(answer),
                () = expiry(self.pods.next_expiry()) => {}
                () = tokio::time::sleep_until(self.publish_at), if self.pods.is_changed() => {}
            }
            let now = Instant::now();
            self.pods.sweep(now);
            if self.pods.is_changed() && now >= self.publish_at {
                self.publish(now);
            }
        }
    }

    fn publish(&mut self, now: Instant) {
        self.pods.publish();
        self.publish_at = now + BETWEEN_PUBLICATIONS;
        self.table_size.iter().for_each(|gauge| gauge.record(self.pods.len() as u64, &[]));
    }

    fn pods_changed(&mut self, changes: Changes<Pod>) {
        let Some(follow) = &self.pod else { return };
        let all = || {
            let mut pods = Vec::new();
            follow.changes.watched().for_each(|pod| pods.push(Arc::clone(pod)));
            pods
        };
        self.pods.take(changes, all, &self.known);
        self.want_owners();
    }

    /// Asks for the objects that pods refer to, and forgets those that none does any more.
    fn want_owners(&mut self) {
        let Some(fetched) = &mut self.known.fetched else { return };
        self.pods.owners(|owner, namespace| {
            if let Some(reference) = Reference::of(owner, namespace) {
                fetched.want(reference);
            }
        });
        // Owners' owners are a few more.
        if fetched.len() > 2 * self.pods.count() + 64 {
            let mut wanted: HashSet<Uid> = HashSet::default();
            self.pods.owners(|owner, _| {
                wanted.extend(
                    fetched
                        .get(&owner.uid)
                        .and_then(|set| set.controller("Deployment"))
                        .map(|owner| owner.uid.clone()),
                );
                wanted.insert(owner.uid.clone());
            });
            for uid in fetched.retain(|uid| wanted.contains(uid)) {
                let text = uid.to_string();
                self.workloads.iter().flatten().for_each(|objects| objects.remove(&text));
            }
        }
    }

    fn fetched(&mut self, answer: Option<Answer>) {
        let Some((answer, fetched)) = answer.zip(self.known.fetched.as_mut()) else { return };
        let reference = answer.reference.clone();
        let Some((before, now)) = fetched.take(answer) else { return };
        let table = match reference.kind {
            Kind::ReplicaSet => None,
            Kind::Deployment => Some(0),
            Kind::StatefulSet => Some(1),
            Kind::DaemonSet => Some(2),
            Kind::Job => Some(3),
        };
        if let Some(objects) = table.and_then(|at: usize| self.workloads.get(at)?.as_ref()) {
            match (&before, &now) {
                (_, Some(meta)) => objects.put(meta, &self.compiled),
                (Some(_), None) => objects.remove(&reference.uid.to_string()),
                (None, None) => {}
            }
        }
        if let Some(meta) = &now {
            let deployment = meta.controller("Deployment").filter(|_| reference.kind == Kind::ReplicaSet);
            if let Some(reference) = deployment.and_then(|owner| Reference::of(owner, &meta.namespace)) {
                fetched.want(reference);
            }
            self.pods.owner_changed(&reference.uid, &self.known);
        }
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

    fn tell_missing(&mut self) {
        let missing: Vec<String> = [
            self.namespace.as_ref().and_then(Follow::missing),
            self.node.as_ref().and_then(Follow::missing),
            self.replica_set.as_ref().and_then(Follow::missing),
            self.deployment.as_ref().and_then(Follow::missing),
            self.stateful_set.as_ref().and_then(Follow::missing),
            self.daemon_set.as_ref().and_then(Follow::missing),
            self.job.as_ref().and_then(Follow::missing),
            self.pod.as_ref().and_then(Follow::missing),
            self.known.fetched.as_ref().and_then(|fetched| {
                (fetched.waiting() > 0).then(|| format!("owners of pods ({})", fetched.trouble()))
            }),
        ]
        .into_iter()
        .flatten()
        .collect();
        if *self.missing.borrow() != missing {
            // Who waits for something finds it.
            self.publish(Instant::now());
            self.missing.send_replace(missing);
        }
    }
}
