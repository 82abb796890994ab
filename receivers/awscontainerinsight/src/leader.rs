//! Records of the cluster as a whole, which only the leader of the cluster's collectors makes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s::row::{
    Condition, ConditionStatus, DaemonSet, Deployment, Meta, Node, Phase, Pod, ReplicaSet, Replicas,
    StatefulSet,
};
use k8s::{Keys, Leadership, Name, Projection, Scope, Watched, Watches};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::collector::Moment;
use crate::control_plane::{ControlPlane, Latest};
use crate::health::Health;
use crate::identity::Identity;
use crate::pods::{Options, write_pending};
use crate::record::{Field, RecordType, Records, field};
use crate::services::Services;

/// Conditions of a node that must not hold; what is not said of them counts as well.
const FAILURES: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"];

/// The labels of a node of SageMaker HyperPod, and what the beginning of the name and of the instance's type are.
const HYPERPOD_HEALTH: &str = "sagemaker.amazonaws.com/node-health-status";
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
const HYPERPOD_NAME: &str = "hyperpod-";
const HYPERPOD_TYPE: &str = "ml.";

/// What [`HYPERPOD_HEALTH`] may say, and the field that is 1 then.
const HEALTH: [(&str, Field); 4] = [
    ("Schedulable", field::HEALTH_SCHEDULABLE),
    ("Unschedulable", field::HEALTH_UNSCHEDULABLE),
    ("UnschedulablePendingReplacement", field::HEALTH_PENDING_REPLACEMENT),
    ("UnschedulablePendingReboot", field::HEALTH_PENDING_REBOOT),
];

/// The cluster's objects, while this collector leads.
pub(crate) type Lead = watch::Receiver<Option<Arc<Leading>>>;

/// What a leader watches.
pub(crate) struct Leading {
    nodes: Watched<Node>,
    pods: Watched<Pod>,
    services: Services,
    /// In the enhanced mode.
    workloads: Option<Workloads>,
    /// In the enhanced mode, the API server's own metrics.
    exposed: Latest,
    options: Options,
}

struct Workloads {
    /// Those without a node.
    pending: Watched<Pod>,
    deployments: Watched<Deployment>,
    daemon_sets: Watched<DaemonSet>,
    stateful_sets: Watched<StatefulSet>,
    replica_sets: Watched<ReplicaSet>,
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
        let owned = Projection { owners: true, ..status.clone() };
        let labelled = Projection { labels: Keys::named([HYPERPOD_HEALTH, INSTANCE_TYPE]), ..status.clone() };
        Self {
            nodes: watches.watch(&Scope::all(), &if options.enhanced { labelled } else { status.clone() }),
            // The others are not counted, and need not be sent.
            pods: watches.watch(&Scope::all().fields("status.phase=Running"), &status),
            services: Services::watch(watches, Scope::all()),
            workloads: options.enhanced.then(|| Workloads {
                pending: watches.watch(
                    &Scope::all().fields("spec.nodeName=,status.phase=Pending"),
                    &Projection { labels: Keys::All, ..owned.clone() },
                ),
                deployments: watches.watch(&Scope::all(), &status),
                daemon_sets: watches.watch(&Scope::all(), &status),
                stateful_sets: watches.watch(&Scope::all(), &status),
                replica_sets: watches.watch(&Scope::all(), &owned),
            }),
            exposed: Latest::default(),
            options,
        }
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
        for ((namespace, service), pods) in self.services() {
            let mut record = records.record(RecordType::ClusterService, at.unix_nano);
            identity.describe_cluster(&mut record);
            record.attribute("Namespace", &namespace);
            record.attribute("Service", &service);
            let names = serde_json::json!({ "namespace_name": &*namespace, "service_name": &*service });
            record.attribute("kubernetes", &names.to_string());
            record.int(field::NUMBER_OF_RUNNING_PODS, Some(pods));
        }
        if let Some(workloads) = &self.workloads {
            workloads.pending.for_each(|pod| write_pending(pod, self.options, at, identity, records));
            workloads.write(at, identity, records);
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
    fn services(&self) -> BTreeMap<(Name, Name), u64> {
        let mut services: BTreeMap<_, HashSet<(Name, Name)>> = BTreeMap::new();
        self.services.for_each(|namespace, service, pods| {
            let pods = pods.iter().map(|pod| (Name::clone(&pod.namespace), Name::clone(&pod.name)));
            let service = (Name::from(namespace), Name::from(service));
            services.entry(service).or_default().extend(pods);
        });
        let counts = services.into_iter().map(|(service, pods)| (service, pods.len() as u64));
        counts.filter(|(_, pods)| *pods > 0).collect()
    }
}

impl Workloads {
    fn write(&self, at: Moment, identity: &Identity, records: &mut Records) {
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

/// Adds the record of a node of SageMaker HyperPod.
fn write_hyperpod(node: &Node, at: Moment, identity: &Identity, records: &mut Records) {
    let is_hyperpod = node.meta.label(INSTANCE_TYPE).is_some_and(|kind| kind.starts_with(HYPERPOD_TYPE));
    let Some(health) = node.meta.label(HYPERPOD_HEALTH).filter(|_| is_hyperpod) else { return };
    let mut record = records.record(RecordType::HyperPodNode, at.unix_nano);
    identity.describe_cluster_alone(&mut record);
    record.attribute("NodeName", &node.meta.name);
    let instance = node.meta.name.strip_prefix(HYPERPOD_NAME).unwrap_or(&node.meta.name);
    record.attribute("InstanceId", instance);
    for (status, field) in HEALTH {
        record.int(field, Some(u64::from(&**health == status)));
    }
}

/// Whether a node has one of the conditions that are failures. As upstream has it, being ready is not looked at.
fn has_failed(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| FAILURES.contains(&&*condition.kind) && condition.status != ConditionStatus::False)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use component::Host;
    use k8s::{ApiServer, ApiServerConfig, Election, ElectionConfig, Lock};
    use pdata::metrics::{Data, resources};
    use serde_json::{Value, json};
    use testkit::FakeApiServer;
    use tokio::time::timeout;

    use super::*;
    use crate::pods::test_machine::{identity, options};

    const SOON: Duration = Duration::from_secs(20);

    fn in_namespace(namespace: &str, name: &str, rest: Value) -> Value {
        let mut object = json!({"metadata": {"name": name, "namespace": namespace}});
        for (key, value) in rest.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    }

    fn fill(server: &FakeApiServer) {
        let node = |name: &str, condition: &str, status: &str| {
            json!({"metadata": {"name": name}, "status": {"conditions": [
                {"type": "Ready", "status": "False"}, {"type": condition, "status": status}]}})
        };
        for (name, condition, status) in [
            ("a", "DiskPressure", "False"),
            ("b", "PIDPressure", "True"),
            ("c", "NetworkUnavailable", "Unknown"),
        ] {
            server.put("/api/v1/nodes", node(name, condition, status));
        }
        let mut hyperpod = node("hyperpod-i-0a1b", "DiskPressure", "False");
        hyperpod["metadata"]["labels"] = json!({HYPERPOD_HEALTH: "UnschedulablePendingReboot", INSTANCE_TYPE: "ml.g5.xlarge", "other": "x"});
        server.put("/api/v1/nodes", hyperpod);
        for (namespace, name, phase) in
            [("shop", "web-1", "Running"), ("shop", "web-2", "Running"), ("jobs", "done", "Succeeded")]
        {
            server.put("/api/v1/pods", in_namespace(namespace, name, json!({"status": {"phase": phase}})));
        }
        let mut waits = in_namespace(
            "jobs",
            "big-29924373-x",
            json!({"spec": {"nodeName": ""}, "status": {"phase": "Pending"}}),
        );
        waits["metadata"]["uid"] = json!("u");
        waits["metadata"]["ownerReferences"] = json!([{"kind": "Job", "name": "big-29924373", "uid": "u"}]);
        server.put("/api/v1/pods", waits);
        let started = json!({"spec": {"nodeName": "b"}, "status": {"phase": "Pending"}});
        server.put("/api/v1/pods", in_namespace("jobs", "pulls", started));
        let endpoint = |pod: &str, ready: bool| {
            json!({"conditions": {"ready": ready},
                   "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod}})
        };
        // Two slices of one service share a pod.
        for (slice, endpoints) in [
            ("web-v4", vec![endpoint("web-1", true), endpoint("web-2", true)]),
            ("web-v6", vec![endpoint("web-1", true)]),
            ("empty", vec![endpoint("web-1", false)]),
        ] {
            let service = slice.split('-').next().unwrap();
            let mut object = in_namespace("shop", slice, json!({"endpoints": endpoints}));
            object["metadata"]["labels"] = json!({"kubernetes.io/service-name": service});
            server.put("/apis/discovery.k8s.io/v1/endpointslices", object);
        }
        let status = json!({"readyReplicas": 2, "availableReplicas": 1, "unavailableReplicas": 2});
        let set = json!({"spec": {"replicas": 3}, "status": status});
        for plural in ["deployments", "statefulsets", "replicasets"] {
            server.put(&format!("/apis/apps/v1/{plural}"), in_namespace("shop", plural, set.clone()));
        }
        let mut owned = in_namespace("shop", "owned", set);
        owned["metadata"]["ownerReferences"] = json!([{"kind": "Deployment", "name": "d", "uid": "u"}]);
        server.put("/apis/apps/v1/replicasets", owned);
        let status = json!({"desiredNumberScheduled": 4, "currentNumberScheduled": 3, "numberReady": 1,
                            "numberAvailable": 2, "numberUnavailable": 1});
        let set = in_namespace("shop", "daemonsets", json!({"status": status}));
        server.put("/apis/apps/v1/daemonsets", set);
    }

    /// Each record in a line: its own attributes, then its metrics with their units.
    fn lines(leading: &Leading) -> BTreeSet<String> {
        let mut records = Records::default();
        let (at, mut health) = (Moment { unix_nano: 1, monotonic: Duration::ZERO }, Health::default());
        leading.write(at, &identity(), &mut health, &mut records);
        let batch = records.take();
        let shared = ["Version", "Sources", "ClusterName", "NodeName"];
        resources(&batch)
            .map(|resource| {
                let mut line = Vec::new();
                for attribute in resource.resource().attributes() {
                    let value = attribute.value.as_str().unwrap();
                    match attribute.key {
                        "Sources" => assert_eq!(value, r#"["apiserver"]"#),
                        "NodeName" if value.starts_with("hyperpod-") => line.push(value.to_owned()),
                        "NodeName" => assert_eq!(value, "node-1"),
                        "ClusterName" => assert_eq!(value, "demo"),
                        _ => {}
                    }
                    if !shared.contains(&attribute.key) {
                        line.push(value.to_owned());
                    }
                }
                for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
                    let Data::Gauge(points) = metric.data else { panic!("{} is no gauge", metric.name) };
                    let value = points.numbers().next().unwrap().value.unwrap();
                    assert_eq!(metric.unit, "Count");
                    line.push(format!("{}={value:?}", metric.name));
                }
                line.join(" ")
            })
            .collect()
    }

    #[tokio::test]
    async fn the_leader_tells_of_the_cluster() {
        let server = FakeApiServer::start().await;
        fill(&server);
        server.serve("/apis/coordination.k8s.io/v1/leases");
        let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
        let host = Host::standalone();
        let watches = Watches::new(api.clone(), &host);
        let lock = Lock::Lease { namespace: "ns".to_owned(), name: "leader".to_owned() };
        let leadership = Election::start(api, &host, lock, ElectionConfig::new("node-1")).unwrap();
        let (sender, mut lead) = watch::channel(None);
        let stop = CancellationToken::new();
        let standing =
            host.spawn("stand", stand(leadership, watches, options(true), None, sender, stop.clone()));
        timeout(SOON, lead.wait_for(Option::is_some)).await.unwrap().unwrap();
        let leading = lead.borrow_and_update().clone().unwrap();
        let workloads = leading.workloads.as_ref().unwrap();
        leading.nodes.synced().await;
        leading.pods.synced().await;
        leading.services.synced().await;
        workloads.pending.synced().await;
        workloads.deployments.synced().await;
        workloads.daemon_sets.synced().await;
        workloads.stateful_sets.synced().await;
        workloads.replica_sets.synced().await;
        let expected = [
            "Cluster cluster_node_count=Int(4) cluster_failed_node_count=Int(2) \
             cluster_number_of_running_pods=Int(2)",
            r#"ClusterNamespace shop {"namespace_name":"shop"} namespace_number_of_running_pods=Int(2)"#,
            r#"ClusterService shop web {"namespace_name":"shop","service_name":"web"} service_number_of_running_pods=Int(2)"#,
            "Pod jobs big big-29924373-x Pending pending \
             {\"host\":\"node-1\",\"namespace_name\":\"jobs\",\"pod_id\":\"u\",\"pod_name\":\"big-29924373-x\",\
             \"pod_owners\":[{\"owner_kind\":\"CronJob\",\"owner_name\":\"big\"}]} pod_status_pending=Int(1) \
             pod_status_running=Int(0) pod_status_succeeded=Int(0) pod_status_failed=Int(0) pod_status_ready=Int(0) \
             pod_status_scheduled=Int(0) pod_status_unknown=Int(0)",
            "HyperPodNode hyperpod-i-0a1b i-0a1b hyperpod_node_health_status_schedulable=Int(0) \
             hyperpod_node_health_status_unschedulable=Int(0) \
             hyperpod_node_health_status_unschedulable_pending_replacement=Int(0) \
             hyperpod_node_health_status_unschedulable_pending_reboot=Int(1)",
            "ClusterDeployment shop deployments replicas_desired=Int(3) replicas_ready=Int(2) \
             status_replicas_available=Int(1) status_replicas_unavailable=Int(2)",
            "ClusterDaemonSet shop daemonsets replicas_desired=Int(4) replicas_ready=Int(3) \
             status_replicas_available=Int(2) status_replicas_unavailable=Int(1)",
            "ClusterStatefulSet shop statefulsets replicas_desired=Int(3) replicas_ready=Int(2) \
             status_replicas_available=Int(1)",
            "ClusterReplicaSet shop replicasets replicas_desired=Int(3) replicas_ready=Int(2) \
             status_replicas_available=Int(1)",
        ];
        assert_eq!(lines(&leading), expected.map(str::to_owned).into());

        stop.cancel();
        timeout(SOON, standing).await.unwrap().unwrap();
        assert!(lead.borrow().is_none());
        let lease = server.object("/apis/coordination.k8s.io/v1/leases", "ns", "leader").unwrap();
        assert_ne!(lease["spec"]["holderIdentity"], "node-1", "another may lead at once: {lease}");
    }
}
