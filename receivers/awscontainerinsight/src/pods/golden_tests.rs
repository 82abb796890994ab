//! Two collections, a minute apart, of machines with pods of every kind: their records must be the expected ones.
//!
//! After a wanted change: `INSTA_UPDATE=always cargo test -p awscontainerinsightreceiver golden`, and read the diff.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pdata::Batch;
use pdata::metrics::resources;
use serde_json::{Value, json};
use tokio::time::advance;

use super::test_machine::{Reply, Rig, TestMachine, id, options, uid};
use crate::cluster::Cluster;
use crate::host::golden_tests::lines;

/// A pod as the kubelet lists it.
fn pod(name: &str, number: u64, spec: Value, status: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": uid(number)},
        "spec": spec,
        "status": status,
    })
}

fn owned(mut pod: Value, kind: &str, owner: &str, labels: Value) -> Value {
    pod["metadata"]["ownerReferences"] =
        json!([{"kind": kind, "name": owner, "uid": "u", "controller": true}]);
    pod["metadata"]["labels"] = labels;
    pod
}

fn resources_of(cpu: &str, memory: &str) -> Value {
    json!({"cpu": cpu, "memory": memory})
}

/// What the kubelet says at the first collection, or at the second.
fn listed(second: bool) -> Value {
    let restarts = i32::from(second);
    let running = |name: &str, number: u64| {
        json!({"name": name, "containerID": format!("containerd://{}", id(number)), "restartCount": 0,
               "ready": true, "state": {"running": {}}})
    };
    let limited = |name: &str, request: Value, limit: Value| json!({"name": name, "resources": {"requests": request, "limits": limit}});
    let conditions = json!([{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]);
    let mut killed = running("app", if second { 14 } else { 13 });
    killed["restartCount"] = json!(3 + restarts);
    killed["lastState"] = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
    json!([
        owned(
            pod(
                "web-7c9b6d5f4-x2k8q",
                1,
                json!({"containers": [limited("app", resources_of("200m", "128Mi"), resources_of("500m", "256Mi"))],
                       "initContainers": [{"name": "mesh", "restartPolicy": "Always"}]}),
                json!({"phase": "Running", "conditions": conditions,
                       "containerStatuses": [running("app", 11)],
                       "initContainerStatuses": [running("mesh", 12)]}),
            ),
            "ReplicaSet",
            "web-7c9b6d5f4",
            json!({"app": "web \"1\"", "pod-template-hash": "7c9b6d5f4"}),
        ),
        owned(
            pod(
                "store-0",
                2,
                json!({"containers": [limited("app", resources_of("100m", "64Mi"), json!({}))]}),
                json!({"phase": "Running", "conditions": conditions, "containerStatuses": [killed]}),
            ),
            "StatefulSet",
            "store",
            json!({"app": "store"}),
        ),
        pod(
            "crash",
            3,
            json!({"containers": [{"name": "app"}]}),
            json!({"phase": "Running", "containerStatuses": [
                {"name": "app", "restartCount": 7 + restarts, "containerID": format!("containerd://{}", id(15)),
                 "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"reason": "Error", "exitCode": 1}}}]}),
        ),
        owned(
            pod(
                "every-minute-29923849-bb6dn",
                4,
                json!({"containers": [limited("job", resources_of("1", "1Gi"), json!({}))]}),
                json!({"phase": "Succeeded", "containerStatuses": [
                    {"name": "job", "restartCount": 0, "containerID": format!("containerd://{}", id(16)),
                     "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]}),
            ),
            "Job",
            "every-minute-29923849",
            json!({"job-name": "every-minute-29923849"}),
        ),
        owned(
            pod(
                "etcd-node-1",
                5,
                json!({"hostNetwork": true, "containers": [{"name": "etcd"}]}),
                json!({"phase": "Running", "containerStatuses": [running("etcd", 17)]}),
            ),
            "Node",
            "node-1",
            json!({}),
        ),
    ])
}

fn lay_out_pods(machine: &TestMachine, second: bool) {
    let more = u64::from(second);
    for (qos, number, cpu) in
        [("", 1, 600), ("burstable", 2, 1200), ("besteffort", 3, 0), ("besteffort", 5, 60)]
    {
        let group = machine.pod(qos, &uid(number));
        machine.figures(&group, 1000 + cpu * more, 64 * 1024 + 400 * more);
        // The sandbox.
        machine.figures(&machine.container(&group, 100 + number), 1, 1);
        let network = 30_000 * more;
        machine.process(100 + number as u32, &machine.container(&group, 100 + number), 1000 + network, None);
    }
    let store = if second { 14 } else { 13 };
    for (qos, pod, number) in [("", 1, 11), ("", 1, 12), ("burstable", 2, store), ("besteffort", 5, 17)] {
        let group = machine.container(&machine.pod(qos, &uid(pod)), number);
        machine.figures(&group, 500 + 300 * more, 16 * 1024);
    }
    if second {
        machine.remove(&machine.container(&machine.pod("burstable", &uid(2)), 13));
    }
}

pub(crate) async fn collect_twice(v2: bool, enhanced: bool) -> [Batch; 2] {
    let mut rig = Rig::new(TestMachine::new(v2), options(enhanced), Cluster::default());
    rig.answer([listed(false), listed(true)].map(Reply::Pods));
    lay_out_pods(&rig.machine, false);
    let first = rig.collect().await;
    lay_out_pods(&rig.machine, true);
    advance(Duration::from_secs(60) - Duration::from_millis(1)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let second = rig.collect().await;
    assert_eq!(rig.health.take_failures(), 0);
    [first, second]
}

#[tokio::test(start_paused = true)]
async fn golden_pods() {
    for (name, v2, enhanced) in [("pods-v2", true, false), ("pods-v1-enhanced", false, true)] {
        let [first, second] = collect_twice(v2, enhanced).await;
        let text = format!("# first\n{}# second\n{}", lines(&first), lines(&second));
        // What the machine itself has is told elsewhere; of its record only what the pods add.
        let kept: Vec<&str> = records(&text).filter(|record| !is_the_machines(record)).collect();
        insta::with_settings!({ snapshot_path => "../../testdata", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, kept.join("\n"));
        });
    }
}

/// The paragraphs of a text of [`lines`].
fn records(text: &str) -> impl Iterator<Item = &str> {
    text.split("\nType = ").skip(1)
}

fn is_the_machines(record: &str) -> bool {
    ["NodeFS", "NodeDiskIO", "NodeNet"].iter().any(|kind| record.starts_with(kind))
}

/// The names of attributes and metrics of each type, with the metrics' units.
fn keys(batch: &Batch) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let mut keys: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for resource in resources(batch) {
        let attributes = resource.resource().attributes();
        let kind = attributes.get("Type").and_then(|kind| kind.as_str()).unwrap().to_owned();
        let found = keys.entry(kind).or_default();
        for attribute in resource.resource().attributes() {
            found.insert((attribute.key.to_owned(), "attribute".to_owned()));
        }
        for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
            found.insert((metric.name.to_owned(), metric.unit.to_owned()));
        }
    }
    keys
}

/// The keys of the reference collector's records of pods and containers, as recorded on a node of a real cluster, with
/// the units that it gives them.
#[tokio::test(start_paused = true)]
async fn keys_and_units_are_upstreams() {
    const SHARED: &str = "AutoScalingGroupName ClusterName InstanceId InstanceType Namespace NodeName PodName Sources \
        Type Version kubernetes";
    const CPU: &str = "cpu_limit cpu_request cpu_usage_system cpu_usage_total cpu_usage_user";
    const BYTES: &str = "memory_cache memory_limit memory_mapped_file memory_max_usage memory_request memory_rss \
        memory_swap memory_usage memory_working_set";
    const FAULTS: &str =
        "memory_hierarchical_pgfault memory_hierarchical_pgmajfault memory_pgfault memory_pgmajfault";
    const POD_PERCENT: &str = "cpu_reserved_capacity cpu_utilization cpu_utilization_over_pod_limit \
        memory_reserved_capacity memory_utilization memory_utilization_over_pod_limit";
    const BYTES_PER_SECOND: &str = "network_rx_bytes network_total_bytes network_tx_bytes";
    const PACKETS: &str = "network_rx_dropped network_rx_errors network_rx_packets network_tx_dropped \
        network_tx_errors network_tx_packets";
    const POD_COUNTS: &str = "memory_failcnt number_of_container_restarts number_of_containers \
        number_of_running_containers";
    fn expected(attributes: &[&str], prefix: &str, metrics: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        let attributes = attributes.iter().flat_map(|names| names.split_whitespace());
        let attributes = attributes.map(|name| (name.to_owned(), "attribute".to_owned()));
        let metrics = metrics.iter().flat_map(|(unit, names)| {
            names.split_whitespace().map(move |name| (format!("{prefix}{name}"), (*unit).to_owned()))
        });
        attributes.chain(metrics).collect()
    }

    let [_, second] = collect_twice(true, false).await;
    let keys = keys(&second);
    let pod = expected(
        &[SHARED, "pod_status"],
        "pod_",
        &[
            ("", CPU),
            ("Percent", POD_PERCENT),
            ("Bytes", BYTES),
            ("Count/Second", FAULTS),
            ("Bytes/Second", BYTES_PER_SECOND),
            ("Count/Second", PACKETS),
            ("Count", POD_COUNTS),
        ],
    );
    assert_eq!(keys["Pod"], pod);
    let interface = [("Bytes/Second", BYTES_PER_SECOND), ("Count/Second", PACKETS)];
    assert_eq!(keys["PodNet"], expected(&[SHARED, "interface"], "pod_interface_", &interface));
    let mut container = expected(
        &[SHARED, "container_status container_status_reason container_last_termination_reason"],
        "container_",
        &[
            ("", CPU),
            ("Percent", "cpu_utilization memory_utilization"),
            ("Bytes", BYTES),
            ("Count/Second", FAULTS),
            ("Count", "memory_failcnt"),
        ],
    );
    container.insert(("number_of_container_restarts".to_owned(), String::new()));
    assert_eq!(keys["Container"], container);
    let of_pods: Vec<_> = keys["Node"]
        .iter()
        .filter(|(name, _)| {
            ["_request", "_reserved_capacity", "_running_pods", "_running_containers"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .map(|(name, unit)| (name.as_str(), unit.as_str()))
        .collect();
    let expected = [
        ("node_cpu_request", ""),
        ("node_cpu_reserved_capacity", "Percent"),
        ("node_memory_request", "Bytes"),
        ("node_memory_reserved_capacity", "Percent"),
        ("node_number_of_running_containers", "Count"),
        ("node_number_of_running_pods", "Count"),
    ];
    assert_eq!(of_pods, expected);
}
