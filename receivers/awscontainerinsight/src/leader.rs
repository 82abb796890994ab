//! Records of the cluster as a whole, which only the leader of the cluster's collectors makes.

mod nodes;
mod workloads;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s::row::{Node, Phase, Pod};
use k8s::{Keys, Leadership, Name, Projection, Scope, Services, Watched, Watches};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::collector::Moment;
use crate::control_plane::{ControlPlane, Latest};
use crate::health::Health;
use crate::identity::Identity;
use crate::pods::Options;
use crate::record::{RecordType, Records, field};
use nodes::{HYPERPOD_HEALTH, INSTANCE_TYPE, has_failed, write_hyperpod};
use workloads::Workloads;

/// The cluster's objects, while this collector leads.
pub(crate) type Lead = watch::Receiver<Option<Arc<Leading>>>;

/// What a leader watches.
pub(crate) struct Leading {
    nodes: Watched<Node>,
    pods: Watched<Pod>,
    services: Arc<Services>,
    /// In the enhanced mode.
    workloads: Option<Workloads>,
    /// In the enhanced mode, the API server's own metrics.
    exposed: Latest,
    options: Options,
}

/// How often it is looked whether the API server has what is watched, until that is known.
const SETTLE: Duration = Duration::from_secs(30);

/// Watches the cluster as long as this collector leads, until `stop`; then another may lead at once. With a `control_plane`
/// it is scraped for as long.
pub(crate) async fn stand(
    mut leadership: Leadership,
    watches: Watches,
    options: Options,
    control_plane: Option<ControlPlane>,
    lead: watch::Sender<Option<Arc<Leading>>>,
    stop: CancellationToken,
) {
    let mut leading: Option<Arc<Leading>> = None;
    loop {
        let changed = tokio::select! {
            changed = stop.run_until_cancelled(leadership.changed()) => changed,
            // What it does ends with the leadership.
            () = keep_up(leading.as_deref(), control_plane.as_ref()) => None,
        };
        let Some(leads) = changed else { break };
        leading = leads.then(|| Arc::new(Leading::watch(&watches, options)));
        lead.send_replace(leading.clone());
    }
    drop(leading);
    lead.send_replace(None);
    leadership.stop().await;
}

/// What a leader does from time to time; never ends.
async fn keep_up(leading: Option<&Leading>, control_plane: Option<&ControlPlane>) {
    let Some(leading) = leading else { return std::future::pending().await };
    let settle = async {
        loop {
            sleep(SETTLE).await;
            leading.services.settle().await;
        }
    };
    match control_plane {
        Some(control_plane) => tokio::join!(settle, control_plane.run(&leading.exposed)).0,
        None => settle.await,
    }
}

impl Leading {
    /// Begins to watch.
    fn watch(watches: &Watches, options: Options) -> Self {
        let status = Projection { status: true, ..Projection::default() };
        let labelled = Projection { labels: Keys::named([HYPERPOD_HEALTH, INSTANCE_TYPE]), ..status.clone() };
        Self {
            nodes: watches.watch(&Scope::all(), &if options.enhanced { labelled } else { status.clone() }),
            // The others are not counted, and need not be sent.
            pods: watches.watch(&Scope::all().fields("status.phase=Running"), &status),
            services: Arc::new(Services::watch(watches, Scope::all())),
            workloads: options.enhanced.then(|| Workloads::watch(watches)),
            exposed: Latest::default(),
            options,
        }
    }

    /// The services of the whole cluster.
    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Adds the records of what was listed by now.
    pub(crate) fn write(&self, at: Moment, identity: &Identity, health: &mut Health, records: &mut Records) {
        let namespaces = self.running_pods();
        self.write_cluster(&namespaces, at, identity, records);
        for (namespace, pods) in &namespaces {
            let mut record = records.record(RecordType::ClusterNamespace, at.unix_nano);
            identity.describe_cluster(&mut record);
            record.attribute("Namespace", namespace);
            record
                .attribute("kubernetes", &serde_json::json!({ "namespace_name": &**namespace }).to_string());
            record.int(field::NUMBER_OF_RUNNING_PODS, Some(*pods));
        }
        for ((namespace, service), pods) in self.pods_behind_services() {
            let mut record = records.record(RecordType::ClusterService, at.unix_nano);
            identity.describe_cluster(&mut record);
            record.attribute("Namespace", &namespace);
            record.attribute("Service", &service);
            let names = serde_json::json!({ "namespace_name": &*namespace, "service_name": &*service });
            record.attribute("kubernetes", &names.to_string());
            record.int(field::NUMBER_OF_RUNNING_PODS, Some(pods));
        }
        if let Some(workloads) = &self.workloads {
            workloads.write(self.options, at, identity, records);
            self.nodes.for_each(|node| write_hyperpod(node, at, identity, records));
        }
        if let Some(exposed) = self.exposed.take()
            && let Some(exposed) = health.check("the API server's metrics", exposed)
        {
            exposed.write(identity, records);
        }
    }

    fn write_cluster(
        &self,
        namespaces: &BTreeMap<Name, u64>,
        at: Moment,
        identity: &Identity,
        records: &mut Records,
    ) {
        if !self.nodes.is_synced() {
            return;
        }
        let (mut nodes, mut failed) = (0, 0);
        self.nodes.for_each(|node| {
            nodes += 1;
            failed += u64::from(has_failed(&node.conditions));
        });
        let mut record = records.record(RecordType::Cluster, at.unix_nano);
        identity.describe_cluster(&mut record);
        record.int(field::NODE_COUNT, Some(nodes));
        record.int(field::FAILED_NODE_COUNT, Some(failed));
        if self.workloads.is_some() && self.pods.is_synced() {
            record.int(field::NUMBER_OF_RUNNING_PODS, Some(namespaces.values().sum()));
        }
    }

    /// Running pods by namespace.
    fn running_pods(&self) -> BTreeMap<Name, u64> {
        let mut namespaces = BTreeMap::new();
        self.pods.for_each(|pod| {
            if pod.phase == Phase::Running {
                *namespaces.entry(Name::clone(&pod.meta.namespace)).or_default() += 1;
            }
        });
        namespaces
    }

    /// The number of ready pods behind each service, by namespace and name. A service may have several slices, and a pod
    /// may be in several of them: one for each family of addresses.
    fn pods_behind_services(&self) -> BTreeMap<(Name, Name), u64> {
        let mut services: BTreeMap<_, HashSet<(Name, Name)>> = BTreeMap::new();
        self.services.for_each(|namespace, service, pods| {
            let pods = pods.iter().map(|pod| (Name::clone(&pod.namespace), Name::clone(&pod.name)));
            let service = (Name::clone(namespace), Name::clone(service));
            services.entry(service).or_default().extend(pods);
        });
        let counts = services.into_iter().map(|(service, pods)| (service, pods.len() as u64));
        counts.filter(|(_, pods)| *pods > 0).collect()
    }
}

#[cfg(test)]
mod tests;
