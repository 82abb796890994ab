//! Container Insights on a node of a real cluster: the manifest of `deploy/kubernetes` as it is, but for its interval and the
//! way to the services of AWS.
//!
//! Needed: a cluster of one node with some pods on it, whose processes run on this machine, and root. In the
//! environment: `TESTBED_NODE` (its name), `TESTBED_API` (the URL of the API server, with the node's address),
//! `TESTBED_ENTER` (a prefix that runs a command in the node's namespaces), `KUBECONFIG` (the administrator's, in a folder with
//! `kubelet.pid` and `kube-apiserver.pid`), `INSIGHTS_IMAGE` (a tar of the image `otelcol-insights:0.1.0`, under its
//! fully qualified name, with a static binary), and `kubectl` on the path. Pods are made of the node's own image
//! `localhost/busybox:1`. Without the variables the tests are listed as ignored.
//!
//! With `TESTBED_NODE_2`, a node with another kernel, the tests of a node are about that one, too, and its collector
//! takes over from the first one's. With `INSIGHTS_FULL_NODE` the Deployment `work/web` is scaled until a node has 106 pods.

#![allow(
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test program; a missing member of a JSON value is null"
)]

mod kubernetes;
mod scene;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use kubernetes::{Running, Stopped, apply, get, kubectl, list, running, text};
use scene::{CLUSTER, INTERVAL, NAMESPACE, Record, Scene, now};

/// Pods with a steady load, in a namespace of their own, and one that sees the node's kernel.
const LOAD: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: insights-e2e}
---
apiVersion: v1
kind: Pod
metadata: {name: load-NODE, namespace: insights-e2e}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers:
  - name: spin
    image: localhost/busybox:1
    command: [sh, -c, "while :; do :; done"]
    resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {cpu: 100m, memory: 16Mi}}
  - name: talk
    image: localhost/busybox:1
    command: [sh, -c, "while :; do wget -q -O /dev/null http://$HOST_IP:10250/; sleep 0.2; done"]
    env: [{name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: kernel-NODE, namespace: insights-e2e}
spec:
  nodeName: NODE
  hostPID: true
  terminationGracePeriodSeconds: 0
  containers:
  - name: idle
    image: localhost/busybox:1
    command: [sleep, "1000000"]
    volumeMounts: [{name: groups, mountPath: /sys/fs/cgroup, readOnly: true}]
  volumes: [{name: groups, hostPath: {path: /sys/fs/cgroup}}]
"#;

const LATE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: insights-e2e}
spec:
  nodeName: NODE
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: only
    image: localhost/busybox:1
    command: COMMAND
    resources: {limits: {cpu: 500m, memory: 16Mi}}
"#;

/// What is proven of the collector on a node.
type Test = fn(&Scene, &str) -> Result<()>;

const OF_A_NODE: &[(&str, Test)] = &[
    ("every_running_pod_has_its_records", records),
    ("memory_is_the_kernels", memory),
    ("rates_are_the_kernels", rates),
    ("pods_come_and_go", pods_come_and_go),
    ("an_out_of_memory_kill_is_told", out_of_memory),
    ("what_the_collector_takes", own_cost),
];

const OF_THE_CLUSTER: &[(&str, Test)] = &[
    ("the_leader_counts_what_the_api_server_has", of_the_leader),
    ("the_kubelet_stands_still", kubelet_stands_still),
    ("the_api_server_stands_still", api_server_stands_still),
    ("the_leader_is_replaced", leader_is_replaced),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They are about one collector, one after the other.
    arguments.test_threads = Some(1);
    let needed = ["TESTBED_NODE", "TESTBED_API", "TESTBED_ENTER", "KUBECONFIG", "INSIGHTS_IMAGE"];
    let missing = needed.iter().find(|name| std::env::var_os(name).is_none());
    if let Some(name) = missing.filter(|_| !arguments.list) {
        eprintln!("skipped: no cluster to test with, as {name} is not set");
    }
    let trial = |name: String, test: Test, node: &str| {
        let node = node.to_owned();
        let run = move || test(scene()?, &node);
        let told = |error: anyhow::Error| format!("{error:#}\n{}", Scene::log()).into();
        Trial::test(name, move || run().map_err(told)).with_ignored_flag(missing.is_some())
    };
    let nodes = scene::nodes().unwrap_or_else(|_| vec!["node".to_owned()]);
    let mut trials = Vec::new();
    for node in &nodes {
        for (name, test) in OF_A_NODE {
            trials.push(trial(format!("{name}_on_{node}"), *test, node));
        }
    }
    let mut others = OF_THE_CLUSTER.to_vec();
    if nodes.len() > 1 {
        others.push(("another_node_takes_over", another_takes_over));
    }
    if std::env::var_os("INSIGHTS_FULL_NODE").is_some() {
        others.push(("a_full_node", full_node));
    }
    trials.extend(others.iter().map(|(name, test)| trial((*name).to_owned(), *test, &nodes[0])));
    let outcome = libtest_mimic::run(&arguments, trials);
    if missing.is_none() && !arguments.list {
        let removed = Scene::remove();
        let load = kubectl(&["delete", "namespace", "insights-e2e", "--ignore-not-found", "--wait=false"]);
        if let Err(error) = removed.and(load) {
            eprintln!("not removed: {error:#}");
        }
    }
    outcome.exit_code()
}

/// The collector that all tests are about, installed by the first.
fn scene() -> Result<&'static Scene> {
    static SCENE: OnceLock<Result<Scene, String>> = OnceLock::new();
    let install = || {
        for node in scene::nodes()? {
            apply(&LOAD.replace("NODE", &node))?;
        }
        let ready = ["wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s"];
        kubectl(&[&["-n", "insights-e2e"], ready.as_slice()].concat())?;
        Scene::install()
    };
    let scene = SCENE.get_or_init(|| install().map_err(|error: anyhow::Error| format!("{error:#}")));
    scene.as_ref().map_err(|error| anyhow!("{error}"))
}

fn records(scene: &Scene, node: &str) -> Result<()> {
    // Pods that just started have no rates.
    sleep(3 * INTERVAL);
    let before = running(node)?;
    let collection = scene.collection(node)?;
    let after = running(node)?;
    let same = |one: &Running| after.iter().any(|other| other.id == one.id);
    let expected: Vec<&Running> = before.iter().filter(|one| same(one)).collect();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &collection {
        *kinds.entry(text(&record.fields["Type"])).or_default() += 1;
        ensure!(record.group == format!("/aws/containerinsights/{CLUSTER}/performance"), "{record:?}");
        ensure!(record.fields["ClusterName"] == CLUSTER, "{record:?}");
    }
    eprintln!("{node}: {} running containers, records of one collection: {kinds:?}", expected.len());
    for kind in ["Node", "NodeFS", "NodeDiskIO", "NodeNet"] {
        ensure!(kinds.contains_key(kind), "no {kind} in {kinds:?}");
    }
    let of_node = collection.iter().find(|record| record.fields["Type"] == "Node").context("Node")?;
    ensure!(of_node.fields["NodeName"] == *node, "{of_node:?}");
    for name in
        ["node_cpu_utilization", "node_memory_utilization", "node_network_total_bytes", "node_cpu_limit"]
    {
        of_node.number(name)?;
    }
    for Running { namespace, pod, container, host_network, .. } in expected {
        let find = |kind: &str| collection.iter().find(|record| record.is(kind, namespace, pod));
        let of_pod = find("Pod").with_context(|| format!("no Pod record of {namespace}/{pod}"))?;
        of_pod.number("pod_memory_working_set")?;
        of_pod.number("pod_cpu_usage_total")?;
        ensure!(find("PodNet").is_none() == *host_network, "PodNet of {namespace}/{pod}");
        let of_container = collection.iter().find(|record| record.is_container(namespace, pod, container));
        let of_container =
            of_container.with_context(|| format!("no Container record of {namespace}/{pod}/{container}"))?;
        of_container.number("container_memory_working_set")?;
        of_container.number("container_cpu_usage_total")?;
    }
    Ok(())
}

/// The leader's figures are the API server's.
fn of_the_leader(scene: &Scene, _: &str) -> Result<()> {
    let collection = scene.collection(&leader()?)?;
    let find = |kind: &'static str| collection.iter().filter(move |record| record.fields["Type"] == kind);
    let nodes = list(&get(&["nodes"])?["items"]).len();
    let cluster = find("Cluster").next().context("Cluster")?;
    ensure!(cluster.number("cluster_node_count")? == nodes as f64, "{cluster:?}");
    ensure!(cluster.number("cluster_failed_node_count")? == 0.0, "{cluster:?}");
    let own = find("ClusterNamespace").find(|record| record.fields["Namespace"] == NAMESPACE);
    let own = own.context("ClusterNamespace of the collector's own")?;
    ensure!(own.number("namespace_number_of_running_pods")? == scene.nodes.len() as f64, "{own:?}");
    for service in find("ClusterService") {
        eprintln!(
            "service {}: {}",
            service.fields["Service"], service.fields["service_number_of_running_pods"]
        );
    }
    Ok(())
}

/// The node whose collector holds the lock.
fn leader() -> Result<String> {
    let lease = get(&["-n", NAMESPACE, "lease", "otel-container-insight-clusterleader"])?;
    Ok(text(&lease["spec"]["holderIdentity"]).to_owned())
}

/// How far a value is outside of two others, as a part of the greater.
fn deviation(value: f64, before: f64, after: f64) -> f64 {
    let (least, greatest) = (before.min(after), before.max(after));
    (least - value).max(value - greatest).max(0.0) / greatest.max(1.0)
}

/// A working set as the kubelet measured it, and when: about every ten seconds.
struct WorkingSet {
    bytes: f64,
    time: String,
}

/// The kubelet's working sets, by container.
fn working_sets(node: &str) -> Result<BTreeMap<String, WorkingSet>> {
    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
    let summary: Value = serde_json::from_str(&kubectl(&["get", "--raw", &path])?)?;
    let mut sets = BTreeMap::new();
    for pod in list(&summary["pods"]) {
        for container in list(&pod["containers"]) {
            let name = format!("{}/{}", text(&pod["podRef"]["uid"]), text(&container["name"]));
            let memory = &container["memory"];
            let set = memory["workingSetBytes"].as_f64();
            sets.extend(
                set.map(|bytes| (name, WorkingSet { bytes, time: text(&memory["time"]).to_owned() })),
            );
        }
    }
    Ok(sets)
}

/// The kubelet's working sets; those of `containers` were measured after this call, unless they have ended.
fn measured_working_sets(node: &str, containers: &[String]) -> Result<BTreeMap<String, WorkingSet>> {
    let old = working_sets(node)?;
    for _ in 0..60 {
        let new = working_sets(node)?;
        let time = |sets: &BTreeMap<String, WorkingSet>, name| Some(sets.get(name)?.time.clone());
        if containers
            .iter()
            .all(|name| time(&new, name).is_none_or(|time_now| time(&old, name) != Some(time_now)))
        {
            return Ok(new);
        }
        sleep(Duration::from_secs(1));
    }
    Err(anyhow!("the kubelet of {node} measures nothing any more"))
}

fn memory(scene: &Scene, node: &str) -> Result<()> {
    let idle = |one: &Running| one.namespace == "work" && one.pod != "crash";
    let all: Vec<Running> = running(node)?.into_iter().filter(idle).collect();
    let before: Vec<Option<u64>> = all.iter().map(|one| one.memory().ok()).collect();
    let kubelet_before = working_sets(node)?;
    let collection = scene.collection(node)?;
    let names: Vec<String> = all.iter().map(|one| format!("{}/{}", one.uid, one.container)).collect();
    let kubelet_after = measured_working_sets(node, &names)?;
    let (mut worst, mut worst_of_kubelet, mut compared) = (0.0_f64, 0.0_f64, 0);
    for (one, before) in all.iter().zip(before) {
        // One that has ended since has nothing to compare with.
        let (Some(before), Ok(after)) = (before, one.memory()) else { continue };
        let Running { namespace, pod, container, .. } = one;
        let record = collection.iter().find(|record| record.is_container(namespace, pod, container));
        let record = record.with_context(|| format!("no record of {one:?}"))?;
        let usage = record.number("container_memory_usage")?;
        let off = deviation(usage, before as f64, after as f64);
        ensure!(off <= 0.01, "{namespace}/{pod}/{container}: {usage}, the kernel says {before} and {after}");
        (worst, compared) = (worst.max(off), compared + 1);
        let name = format!("{}/{container}", one.uid);
        if let (Some(before), Some(after)) = (kubelet_before.get(&name), kubelet_after.get(&name)) {
            let set = record.number("container_memory_working_set")?;
            let (before, after) = (before.bytes, after.bytes);
            let off = deviation(set, before, after);
            ensure!(
                off <= 0.01,
                "{namespace}/{pod}/{container}: {set}, the kubelet says {before} and {after}"
            );
            worst_of_kubelet = worst_of_kubelet.max(off);
        }
    }
    ensure!(compared >= 3, "only {compared} containers ran all the time");
    eprintln!(
        "{node}: memory of {compared} containers: at most {:.3} % off the kernel's, {:.3} % off the kubelet's",
        worst * 100.0,
        worst_of_kubelet * 100.0
    );
    Ok(())
}

fn rates(scene: &Scene, node: &str) -> Result<()> {
    let pod = format!("load-{node}");
    let all = running(node)?;
    let find = |name: &str| all.iter().find(|one| one.pod == pod && one.container == name).context("load");
    let (spin, talk) = (find("spin")?, find("talk")?);
    let (cpu, received) = (spin.cpu()?, talk.received()?);
    let begin = now();
    sleep(8 * INTERVAL);
    let (cpu_later, received_later) = (spin.cpu()?, talk.received()?);
    let rate = |from: (f64, u64), to: (f64, u64)| (to.1 - from.1) as f64 / (to.0 - from.0);
    // The first rate is about time before, too.
    let records = scene.since(begin + INTERVAL.as_millis() as i64)?;
    let mean = |what: &str, name: &str, is: &dyn Fn(&Record) -> bool, expected: f64| {
        let values: Result<Vec<f64>> =
            records.iter().filter(|record| is(record)).map(|record| record.number(name)).collect();
        let values = values?;
        ensure!(values.len() >= 5, "{} records of {what}", values.len());
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let off = (mean - expected).abs() / expected;
        eprintln!("{node}: {what}: {mean:.2}, the kernel's {expected:.2}, {:.2} % off", off * 100.0);
        ensure!(off <= 0.05, "{what}: {mean}, the kernel's figures say {expected}: {values:?}");
        Ok(())
    };
    let spins = |record: &Record| record.is_container("insights-e2e", &pod, "spin");
    mean("CPU in millicores", "container_cpu_usage_total", &spins, rate(cpu, cpu_later) / 1e6)?;
    let loads = |record: &Record| record.is("Pod", "insights-e2e", &pod);
    mean("bytes received in a second", "pod_network_rx_bytes", &loads, rate(received, received_later))
}

/// Makes a pod in the namespace of the load.
fn make(node: &str, name: &str, command: &str) -> Result<()> {
    apply(&LATE.replace("NODE", node).replace("NAME", name).replace("COMMAND", command))
}

fn pods_come_and_go(scene: &Scene, node: &str) -> Result<()> {
    let has_records = |since: i64| {
        let records = scene.since(since)?;
        let is = |kind: &str| records.iter().any(|record| record.is(kind, "insights-e2e", "late"));
        anyhow::Ok(is("Pod") && is("PodNet") && is("Container"))
    };
    let begin = now();
    make(node, "late", r#"[sleep, "1000000"]"#)?;
    let came = scene.until("records of a new pod", 40, || has_records(begin))?;
    kubectl(&["-n", "insights-e2e", "delete", "pod", "late"])?;
    let deleted = now();
    sleep(4 * INTERVAL);
    let records = scene.since(deleted)?;
    let last = records
        .iter()
        .filter(|record| record.is("Pod", "insights-e2e", "late"))
        .map(|record| record.at)
        .max();
    let stayed = last.map_or(0, |at| at - deleted);
    ensure!(stayed <= 2 * INTERVAL.as_millis() as i64, "records {stayed} ms after the end");
    eprintln!(
        "{node}: a new pod: all its records after {:.1} s; last record {stayed} ms after its end",
        came.as_secs_f64()
    );
    Ok(())
}

fn out_of_memory(scene: &Scene, node: &str) -> Result<()> {
    let begin = now();
    make(node, "eater", r#"[sh, -c, "tail /dev/zero"]"#)?;
    let told = scene.until("a record of the kill", 60, || {
        Ok(scene.since(begin)?.iter().any(|record| {
            record.is_container("insights-e2e", "eater", "only")
                && record.fields["container_status"] == "Terminated"
                && record.fields["container_status_reason"] == "OOMKilled"
        }))
    })?;
    eprintln!("{node}: a kill for want of memory: told {:.1} s after the pod was made", told.as_secs_f64());
    kubectl(&["-n", "insights-e2e", "delete", "pod", "eater"]).map(drop)
}

/// While the kubelet does not answer the node's and the pods' records go on, and then what has changed is seen.
fn kubelet_stands_still(scene: &Scene, node: &str) -> Result<()> {
    let load = format!("load-{node}");
    let stopped = Stopped::new("kubelet")?;
    let begin = now();
    scene.until("records without the kubelet", 60, || {
        let records = scene.since(begin)?;
        let count = |kind: &str| records.iter().filter(|record| record.fields["Type"] == kind).count();
        let of_load = records.iter().filter(|record| record.is("Pod", "insights-e2e", &load)).count();
        Ok(count("Node") >= 3 && of_load >= 3)
    })?;
    drop(stopped);
    let begin = now();
    make(node, "after-kubelet", r#"[sleep, "1000000"]"#)?;
    let seen = scene.until("a pod made after the kubelet is back", 90, || {
        Ok(scene.since(begin)?.iter().any(|record| record.is("Container", "insights-e2e", "after-kubelet")))
    })?;
    eprintln!("the kubelet is back: a new pod seen after {:.1} s", seen.as_secs_f64());
    Ok(())
}

/// While the API server does not answer the node's own records go on, and then the leader's do.
fn api_server_stands_still(scene: &Scene, node: &str) -> Result<()> {
    let stopped = Stopped::new("kube-apiserver")?;
    let begin = now();
    scene.until("records without the API server", 60, || {
        let records = scene.since(begin)?;
        let of_node = records.iter().filter(|one| one.fields["Type"] == "Node" && one.stream == node);
        Ok(of_node.count() >= 5)
    })?;
    drop(stopped);
    let back = now();
    let took = scene.until("records of the leader", 90, || {
        Ok(scene.since(back)?.iter().any(|record| record.fields["Type"] == "Cluster"))
    })?;
    eprintln!("the API server is back: records of the leader after {:.1} s", took.as_secs_f64());
    Ok(())
}

fn leader_is_replaced(scene: &Scene, _: &str) -> Result<()> {
    for (how, arguments) in [("ended", &[][..]), ("killed", &["--grace-period=0", "--force"])] {
        let node = leader()?;
        let old = scene.collector(&node)?;
        let delete: Vec<&str> =
            ["-n", NAMESPACE, "delete", "pod", &old].into_iter().chain(arguments.iter().copied()).collect();
        kubectl(&delete)?;
        let gone = now();
        let mut new = String::new();
        scene.until("another collector", 60, || {
            new = scene.collector(&node).unwrap_or_default();
            Ok(!new.is_empty() && new != old)
        })?;
        let took = scene.until("records of a new leader", 120, || {
            Ok(scene.since(gone)?.iter().any(|record| record.fields["Type"] == "Cluster"))
        })?;
        let lease = get(&["-n", NAMESPACE, "lease", "otel-container-insight-clusterleader"])?;
        eprintln!(
            "the leader on {node} {how}: the next one's records after {:.1} s, {} transitions, held by {}",
            took.as_secs_f64(),
            lease["spec"]["leaseTransitions"],
            text(&lease["spec"]["holderIdentity"])
        );
    }
    Ok(())
}

/// A leader that hangs loses the lock to the other node's collector, and does not lead on when it goes on.
fn another_takes_over(scene: &Scene, node: &str) -> Result<()> {
    // The collector that hangs has to be a process of this machine.
    if leader()? != node {
        let other = leader()?;
        kubectl(&["-n", NAMESPACE, "delete", "pod", &scene.collector(&other)?])?;
        scene.until("leadership of the first node", 120, || Ok(leader()? == node))?;
    }
    let leads = |node: &str, since: i64| {
        let records = scene.since(since)?;
        anyhow::Ok(records.iter().any(|one| one.fields["Type"] == "Cluster" && one.stream == node))
    };
    let begin = now();
    scene.until("records of the first leader", 30, || leads(node, begin))?;
    let stopped = Stopped::collector(&scene.collector(node)?)?;
    let begin = now();
    let took = scene.until("another leader", 120, || Ok(leader()? != node))?;
    let next = leader()?;
    scene.until("records of the next leader", 60, || leads(&next, begin))?;
    drop(stopped);
    // What hung may finish the collection that it was in.
    sleep(3 * INTERVAL);
    let back = now();
    scene.until("collections of both", 60, || {
        Ok(scene.latest("Node", node)?.is_some_and(|one| one.at > back) && leads(&next, back)?)
    })?;
    ensure!(!leads(node, back)?, "{node} goes on to lead");
    eprintln!("the leader hangs: {next} leads {:.1} s later, {node} does not lead on", took.as_secs_f64());
    Ok(())
}

/// CPU time, memory and descriptors of the collector with 106 pods beside it.
fn full_node(scene: &Scene, node: &str) -> Result<()> {
    const COLLECTIONS: u32 = 24;
    let scaled = |replicas: &str| kubectl(&["-n", "work", "scale", "deployment/web", replicas]);
    let others = || scene.nodes.iter().filter(|other| *other != node);
    for other in others() {
        kubectl(&["cordon", other])?;
    }
    scaled("--replicas=95")?;
    let ready = kubectl(&["-n", "work", "rollout", "status", "deployment/web", "--timeout=240s"]);
    let measured = ready.and_then(|_| {
        sleep(4 * INTERVAL);
        let pod = scene.collector(node)?;
        let all = running(node)?;
        let own = all.iter().find(|one| one.pod == pod).context("the collector's container")?;
        let begin = own.cpu()?;
        sleep(COLLECTIONS * INTERVAL);
        let end = own.cpu()?;
        let collection = scene.collection(node)?;
        let count = |kind: &str| collection.iter().filter(|one| one.fields["Type"] == kind).count();
        eprintln!(
            "{node} with {} pods, {} containers: {:.2} ms of CPU a collection; {}",
            count("Pod"),
            count("Container"),
            (end.1 - begin.1) as f64 / 1e6 / ((end.0 - begin.0) / INTERVAL.as_secs_f64()),
            own.resident()?
        );
        ensure!(count("Pod") >= 100, "{} pods", count("Pod"));
        Ok(())
    });
    scaled("--replicas=2")?;
    for other in others() {
        kubectl(&["uncordon", other])?;
    }
    measured
}

/// What its own records say.
fn own_cost(scene: &Scene, node: &str) -> Result<()> {
    let pod = scene.collector(node)?;
    let begin = now();
    let mut found = None;
    scene.until("records of the collector itself", 30, || {
        let own = |record: &Record| record.is_container(NAMESPACE, &pod, "otelcol-insights");
        found = scene.since(begin)?.into_iter().rfind(own);
        Ok(found.as_ref().is_some_and(|record| record.fields["container_cpu_usage_total"].is_number()))
    })?;
    let record = found.context("no record")?;
    let memory = record.number("container_memory_working_set")?;
    eprintln!(
        "{node}: the collector: {:.2} millicores, {:.1} MiB of memory, collecting every {INTERVAL:?}",
        record.number("container_cpu_usage_total")?,
        memory / f64::from(1 << 20)
    );
    ensure!(memory < 64.0 * f64::from(1 << 20), "{memory} bytes");
    let status = get(&["-n", NAMESPACE, "pod", &pod])?;
    ensure!(status["status"]["containerStatuses"][0]["restartCount"] == 0, "{}", status["status"]);
    Ok(())
}
