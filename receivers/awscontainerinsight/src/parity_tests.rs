//! The acceptance list of output parity with upstream: a test per line, in its order.

use std::collections::{BTreeMap, BTreeSet};

use component::Host;
use k8s::{ApiServer, ApiServerConfig, Election, ElectionConfig, Lock, Naming};
use serde_json::json;
use testkit::FakeApiServer;
use tokio::time::{Duration, sleep, timeout};

use crate::cluster::Cluster;
use crate::host::golden_tests::{collected, lines};
use crate::pods::Options;
use crate::pods::fault_tests::{MINUTE, field, pod, records, rig};
use crate::pods::golden_tests::collect_twice;
use crate::pods::test_machine::{Reply, Rig, TestMachine, id, options, uid};

/// A record out of a text of [`lines`].
struct Record {
    kind: String,
    attributes: BTreeMap<String, String>,
    /// By name: `int` or `double`, and the unit.
    metrics: BTreeMap<String, (String, String)>,
}

fn parse(text: &str) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        if let Some(metric) = line.strip_prefix("  ") {
            let (name, rest) = metric.split_once(": ").unwrap();
            let (kind, rest) = rest.split_once(' ').unwrap();
            let unit = rest.split('"').nth(1).unwrap();
            let record = all.last_mut().unwrap();
            let twice = record.metrics.insert(name.to_owned(), (kind.to_owned(), unit.to_owned()));
            assert_eq!(twice, None, "{name} twice in a record");
            continue;
        }
        let (key, value) = line.split_once(" = ").unwrap();
        if key == "Type" {
            let attributes = BTreeMap::new();
            all.push(Record { kind: value.to_owned(), attributes, metrics: BTreeMap::new() });
        }
        let twice = all.last_mut().unwrap().attributes.insert(key.to_owned(), value.to_owned());
        assert_eq!(twice, None, "{key} twice in a record");
    }
    all
}

/// The records of all kinds of machines, of both collections.
async fn everything() -> Vec<Record> {
    let mut text = String::new();
    for (tree, v2) in [("v2", true), ("v1", false)] {
        for enhanced in [false, true] {
            text.push_str(&collected(tree, enhanced));
            // Only the records of pods: the machine's are there already.
            for batch in collect_twice(v2, enhanced).await {
                text.push_str(&lines(&batch));
            }
        }
    }
    parse(&text)
}

const CPU: &str = "d cpu_usage_total|d cpu_usage_user|d cpu_usage_system";
const MEMORY: &str = "i memory_usage|i memory_cache|i memory_rss|i memory_max_usage|i memory_swap|\
    i memory_mapped_file|i memory_working_set";
const FAULTS: &str = "d memory_pgfault|d memory_pgmajfault|d memory_hierarchical_pgfault|\
    d memory_hierarchical_pgmajfault|d memory_failures_total";
const BYTES: &str = "d network_rx_bytes|d network_tx_bytes|d network_total_bytes";
const PACKETS: &str = "d network_rx_packets|d network_tx_packets|d network_rx_dropped|d network_tx_dropped|\
    d network_rx_errors|d network_tx_errors";
const PERCENT: &str = "d cpu_utilization|d memory_utilization";
const RESERVED: &str = "d cpu_reserved_capacity|d memory_reserved_capacity";
const RUNNING: &str = "i memory_failcnt|i number_of_running_containers";

/// A type, the prefix of its metrics, and their names by unit.
type Metrics = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// All metrics of a type: prefix, then unit and names, each with `i` for an integer or `d` for a double.
const METRICS: &[Metrics] = &[
    (
        "Node",
        "node_",
        &[
            ("", CPU),
            ("", "i cpu_limit|i cpu_request"),
            ("Percent", PERCENT),
            ("Percent", RESERVED),
            ("Bytes", MEMORY),
            ("Bytes", "i memory_limit|i memory_request"),
            ("Count/Second", FAULTS),
            ("Bytes/Second", BYTES),
            ("Count/Second", PACKETS),
            ("Count", RUNNING),
            ("Count", "i number_of_running_pods"),
        ],
    ),
    (
        "NodeFS",
        "node_",
        &[
            ("Bytes", "i filesystem_usage|i filesystem_capacity|i filesystem_available"),
            ("Percent", "d filesystem_utilization"),
            ("Count", "i filesystem_inodes|i filesystem_inodes_free"),
        ],
    ),
    (
        "NodeDiskIO",
        "node_",
        &[
            (
                "Bytes/Second",
                "d diskio_io_service_bytes_async|d diskio_io_service_bytes_read|d diskio_io_service_bytes_sync|\
                 d diskio_io_service_bytes_write|d diskio_io_service_bytes_total",
            ),
            (
                "Count/Second",
                "d diskio_io_serviced_async|d diskio_io_serviced_read|d diskio_io_serviced_sync|\
                 d diskio_io_serviced_write|d diskio_io_serviced_total",
            ),
        ],
    ),
    ("NodeNet", "node_interface_", &[("Bytes/Second", BYTES), ("Count/Second", PACKETS)]),
    (
        "Pod",
        "pod_",
        &[
            ("", CPU),
            ("", "i cpu_limit|i cpu_request"),
            ("Percent", PERCENT),
            ("Percent", RESERVED),
            ("Percent", "d cpu_utilization_over_pod_limit|d memory_utilization_over_pod_limit"),
            ("Bytes", MEMORY),
            ("Bytes", "i memory_limit|i memory_request"),
            ("Count/Second", FAULTS),
            ("Bytes/Second", BYTES),
            ("Count/Second", PACKETS),
            ("Count", RUNNING),
            ("Count", "i number_of_containers|i number_of_container_restarts"),
            (
                "Count",
                "i status_pending|i status_running|i status_succeeded|i status_failed|i status_ready|\
                 i status_scheduled|i status_unknown|i container_status_running|i container_status_waiting|\
                 i container_status_terminated|i container_status_waiting_reason_crash_loop_back_off|\
                 i container_status_terminated_reason_oom_killed",
            ),
        ],
    ),
    ("PodNet", "pod_interface_", &[("Bytes/Second", BYTES), ("Count/Second", PACKETS)]),
    (
        "Container",
        "container_",
        &[
            ("", CPU),
            ("", "i cpu_limit|i cpu_request"),
            ("Percent", PERCENT),
            ("Percent", "d cpu_utilization_over_container_limit|d memory_utilization_over_container_limit"),
            ("Bytes", MEMORY),
            ("Bytes", "i memory_limit|i memory_request"),
            ("Count/Second", FAULTS),
            ("Count", "i memory_failcnt"),
        ],
    ),
];

/// Line 1: names, units, kinds, one gauge point each.
#[tokio::test(start_paused = true)]
async fn line_1_names_units_and_kinds() {
    let mut expected: BTreeMap<&str, BTreeMap<String, (String, String)>> = BTreeMap::new();
    for (kind, prefix, units) in METRICS {
        for (unit, names) in *units {
            for name in names.split('|') {
                let (number, name) = name.split_once(' ').unwrap();
                let number = if number == "i" { "int" } else { "double" };
                let of_kind = expected.entry(kind).or_default();
                of_kind.insert(format!("{prefix}{name}"), (number.to_owned(), (*unit).to_owned()));
            }
        }
    }
    // The one without prefix, and therefore without unit.
    let restarts = ("int".to_owned(), String::new());
    expected.get_mut("Container").unwrap().insert("number_of_container_restarts".to_owned(), restarts);

    let mut found: BTreeMap<String, BTreeMap<String, (String, String)>> = BTreeMap::new();
    // That each is a gauge with one point, `lines` sees to.
    for record in everything().await {
        assert!(!record.metrics.is_empty(), "a {} without metrics", record.kind);
        for (name, metric) in record.metrics {
            let before = found.entry(record.kind.clone()).or_default().insert(name.clone(), metric.clone());
            assert!(before.is_none_or(|before| before == metric), "{name}");
        }
    }
    for (kind, metrics) in &expected {
        assert_eq!(found.get(*kind), Some(metrics), "{kind}");
    }
    assert_eq!(found.len(), expected.len());
}

/// Line 2: the attributes of each type; `AutoScalingGroupName` even if empty; lists and objects are JSON in a string.
#[tokio::test(start_paused = true)]
async fn line_2_attributes() {
    const ALL: &str =
        "Type Version Sources ClusterName NodeName InstanceId InstanceType AutoScalingGroupName kubernetes";
    const POD: &str = "Namespace PodName";
    let expected: BTreeMap<&str, (String, &str)> = [
        ("Node", ALL.to_owned(), ""),
        ("NodeFS", format!("{ALL} device fstype"), "EBSVolumeId"),
        ("NodeDiskIO", format!("{ALL} device"), "EBSVolumeId"),
        ("NodeNet", format!("{ALL} interface"), ""),
        ("Pod", format!("{ALL} {POD} pod_status"), "FullPodName container_status_reason"),
        ("PodNet", format!("{ALL} {POD} interface"), "FullPodName"),
        (
            "Container",
            format!("{ALL} {POD}"),
            "FullPodName ContainerName container_status container_status_reason container_last_termination_reason",
        ),
    ]
    .map(|(kind, always, sometimes)| (kind, (always, sometimes)))
    .into();
    let sources = BTreeMap::from([
        ("Node", r#"["cadvisor","/proc","pod","calculated"]"#),
        ("NodeFS", r#"["cadvisor","calculated"]"#),
        ("NodeDiskIO", r#"["cadvisor"]"#),
        ("NodeNet", r#"["cadvisor","calculated"]"#),
        ("Pod", r#"["cadvisor","pod","calculated"]"#),
        ("PodNet", r#"["cadvisor","calculated"]"#),
        ("Container", r#"["cadvisor","pod","calculated"]"#),
    ]);
    let mut seen = BTreeSet::new();
    for record in everything().await {
        let (always, sometimes) = &expected[record.kind.as_str()];
        let keys: BTreeSet<&str> = record.attributes.keys().map(String::as_str).collect();
        let always: BTreeSet<&str> = always.split(' ').collect();
        let more: Vec<_> = keys
            .difference(&always)
            .filter(|key| !sometimes.split(' ').any(|known| known == **key))
            .collect();
        assert!(always.is_subset(&keys) && more.is_empty(), "{}: {keys:?}", record.kind);
        assert_eq!(record.attributes["AutoScalingGroupName"], "");
        assert_eq!(record.attributes["Version"], "0");
        assert_eq!(record.attributes["Sources"], sources[record.kind.as_str()]);
        let kubernetes: serde_json::Value = serde_json::from_str(&record.attributes["kubernetes"]).unwrap();
        assert_eq!(kubernetes["host"], record.attributes["NodeName"].as_str());
        assert_eq!(kubernetes.to_string(), record.attributes["kubernetes"], "sorted, without blanks");
        seen.extend(keys.into_iter().map(str::to_owned));
    }
    for key in ["EBSVolumeId", "FullPodName", "ContainerName", "container_last_termination_reason"] {
        assert!(seen.contains(key), "{key}");
    }
}

/// Line 3: no rates in the first cycle, nothing on a reset.
#[tokio::test(start_paused = true)]
async fn line_3_no_rates_at_first_and_on_a_reset() {
    const RATES: [&str; 5] = ["cpu_usage_", "cpu_utilization", "pgfault", "network_", "diskio_"];
    for (tree, v2) in [("v2", true), ("v1", false)] {
        let first = collected(tree, true);
        let first = first.split("# second").next().unwrap().to_owned();
        let [batch, _] = collect_twice(v2, true).await;
        for record in parse(&first).iter().chain(&parse(&lines(&batch))) {
            let rates: Vec<_> =
                record.metrics.keys().filter(|name| RATES.iter().any(|rate| name.contains(rate))).collect();
            assert!(rates.is_empty(), "{}: {rates:?}", record.kind);
        }
    }

    let mut rig = rig(1..2);
    rig.answer([Reply::Pods(json!([pod(1, 0)]))]);
    let group = rig.machine.pod("burstable", &uid(1));
    for (cpu, expected) in [(60_000, None), (66_000, Some("100")), (600, None), (6_600, Some("100"))] {
        rig.machine.figures(&group, cpu, 1000);
        let cpu_stat = format!("usage_usec {}\nuser_usec 1\nsystem_usec 1\n", cpu * 1000);
        rig.machine.write("sys/fs/cgroup/cpu.stat", &cpu_stat);
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Pod", "pod-1", "pod_cpu_usage_total"), expected, "{cpu}");
        assert_eq!(field(&found, "Node", "", "node_cpu_usage_total"), expected, "{cpu}");
        let utilization = field(&found, "Node", "", "node_cpu_utilization");
        assert_eq!(utilization, expected.map(|_| "5"), "{cpu}");
        sleep(MINUTE).await;
    }
}

/// Line 4: requests, limits, capping, utilisation of the node.
#[tokio::test(start_paused = true)]
async fn line_4_requests_and_limits() {
    // The machine has 2 CPUs and 8,192,000,000 bytes.
    fn containers(specs: &[(&str, &str)]) -> serde_json::Value {
        let specs = specs.iter().enumerate().map(|(number, (request, limit))| {
            let figure = |cpu: &str| if cpu.is_empty() { json!({}) } else { json!({"cpu": cpu, "memory": "1000"}) };
            json!({"name": format!("c{number}"), "resources": {"requests": figure(request), "limits": figure(limit)}})
        });
        specs.collect()
    }
    let mut rig = rig(1..5);
    let specs: [&[(&str, &str)]; 4] = [
        // Requests of those that have one; a limit, as all have one.
        &[("100m", "500m"), ("", "500m")],
        // No limit, as one has none.
        &[("100m", "500m"), ("100m", "")],
        // More than the machine has.
        &[("3", "5")],
        &[("", "")],
    ];
    let list = (1..=4).zip(specs).map(|(number, specs)| {
        let mut pod = pod(number, 0);
        pod["spec"]["containers"] = containers(specs);
        // They do not count.
        pod["spec"]["initContainers"] = containers(&[("1", "1")]);
        pod["spec"]["overhead"] = json!({"cpu": "1"});
        pod
    });
    rig.answer([Reply::Pods(list.collect())]);
    rig.collect().await;
    for number in 1..5 {
        rig.machine.figures(&rig.machine.pod("burstable", &uid(number)), 1000 + 6000, 1000);
    }
    sleep(MINUTE).await;
    let found = records(&rig.collect().await);
    let expected = [
        [Some("100"), Some("1000"), Some("5"), Some("10"), Some("5")],
        [Some("200"), None, Some("10"), None, Some("5")],
        [Some("2000"), Some("2000"), Some("100"), Some("5"), Some("5")],
        [None, None, None, None, Some("5")],
    ];
    for (number, expected) in (1..=4).zip(expected) {
        let names = ["request", "limit", "reserved_capacity", "utilization_over_pod_limit", "utilization"];
        let pod = format!("pod-{number}");
        let figures = names.map(|name| field(&found, "Pod", &pod, &format!("pod_cpu_{name}")));
        assert_eq!(figures, expected, "{number}");
    }
    // The sum is not capped.
    assert_eq!(field(&found, "Node", "", "node_cpu_request"), Some("2300"));
    let reserved: f64 = field(&found, "Node", "", "node_cpu_reserved_capacity").unwrap().parse().unwrap();
    assert!((reserved - 115.0).abs() < 1e-9, "{reserved}");
    assert_eq!(field(&found, "Node", "", "node_memory_request"), Some("4000"));
    assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_limit"), Some("2000"));
}

/// Line 5: `PodName`, with upstream's ten digits and shortened Jobs where it is asked for.
#[tokio::test(start_paused = true)]
async fn line_5_pod_names() {
    async fn check(owner: (&str, &str), shorten_jobs: bool, prefer_full: bool, expected: &str) {
        let options = Options { naming: Naming { prefer_full, shorten_jobs }, ..options(false) };
        let mut rig = Rig::new(TestMachine::new(true), options, Cluster::default());
        let mut pod = pod(1, 0);
        pod["metadata"]["ownerReferences"] = json!([{"kind": owner.0, "name": owner.1, "uid": "u"}]);
        rig.machine.figures(&rig.machine.pod("burstable", &uid(1)), 1, 1000);
        rig.answer([Reply::Pods(json!([pod]))]);
        let found = records(&rig.collect().await);
        let names: Vec<_> =
            found.keys().filter(|(kind, _)| kind == "Pod").map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, [expected], "{owner:?} {shorten_jobs} {prefer_full}");
    }
    check(("ReplicaSet", "web-7c9b6d5f4"), false, false, "web").await;
    check(("ReplicaSet", "web-1013"), false, false, "web-1013").await;
    check(("StatefulSet", "store"), false, false, "pod-1").await;
    check(("DaemonSet", "agent"), false, false, "agent").await;
    check(("Custom", "thing"), false, false, "pod-1").await;
    check(("Job", "report-1606789020"), true, false, "report").await;
    check(("Job", "nightly-report-28812345"), true, false, "nightly").await;
    check(("Job", "nightly-report-28812345"), true, true, "nightly-report-28812345").await;
    check(("Job", "nightly-report-28812345"), false, false, "nightly-report").await;
}

/// Line 6: the lock of the leader; one that the Go receiver holds is respected, and taken over when it has run out.
#[tokio::test(start_paused = true)]
async fn line_6_the_leaders_lock() {
    const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
    let defaults = crate::config::Keys::default();
    assert_eq!(defaults.leader_lock_name, "otel-container-insight-clusterleader");
    let name = defaults.leader_lock_name;
    let config = ElectionConfig::new("node-1");
    let times = [config.lease_duration, config.renew_deadline, config.retry_period];
    assert_eq!(times.map(|time| time.as_secs()), [60, 15, 5]);

    let server = FakeApiServer::start().await;
    server.put(
        LEASES,
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
               "metadata": {"name": name, "namespace": "ns"},
               "spec": {"holderIdentity": "node-2", "leaseDurationSeconds": 60, "leaseTransitions": 3,
                        "acquireTime": "2026-11-23T00:00:00.000000Z", "renewTime": "2026-11-23T00:00:00.000000Z"}}),
    );
    let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
    let lock = Lock::Lease { namespace: "ns".to_owned(), name: name.clone() };
    let mut leadership = Election::start(api, &Host::standalone(), lock, config).unwrap();
    let early = timeout(Duration::from_secs(55), leadership.changed()).await;
    assert!(early.is_err(), "somebody else's lease is respected, whatever time it bears");
    assert!(timeout(Duration::from_secs(120), leadership.changed()).await.unwrap());
    let lease = server.object(LEASES, "ns", &name).unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "node-1");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 60);
    assert_eq!(lease["spec"]["leaseTransitions"], 4);
    leadership.stop().await;
}

/// Line 7: what cgroup v1 has and v2 has not, and the other way round.
#[tokio::test(start_paused = true)]
async fn line_7_what_kernels_do_not_count() {
    for (tree, is_v1) in [("v2", false), ("v1", true)] {
        let text = collected(tree, false);
        let disks: Vec<_> = parse(&text).into_iter().filter(|record| record.kind == "NodeDiskIO").collect();
        assert!(!disks.is_empty());
        for disk in disks {
            for name in ["async", "sync", "total"] {
                assert_eq!(
                    disk.metrics.contains_key(&format!("node_diskio_io_serviced_{name}")),
                    is_v1,
                    "{name}"
                );
            }
        }
        let value =
            |name: &str| text.lines().any(|line| line.trim_start().starts_with(&format!("{name}: int 0 ")));
        // They are there, and 0.
        assert_eq!(value("node_memory_failcnt"), !is_v1);
        assert_eq!(value("node_memory_max_usage"), !is_v1);
    }
    // Without the peak of newer kernels, 0.
    let machine = TestMachine::new(true);
    let group = machine.pod("", &uid(1));
    machine.figures(&group, 1, 1000);
    std::fs::remove_file(machine.path(&format!("sys/fs/cgroup{group}/memory.peak"))).unwrap();
    machine.figures(&machine.container(&group, 1), 1, 1000);
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer([Reply::Pods(json!([pod(1, 0)]))]);
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_max_usage"), Some("0"));
    assert_eq!(field(&found, "Container", "pod-1", "container_memory_max_usage"), Some("2048000"));
    assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_failcnt"), Some("0"));
    assert_eq!(id(1).len(), 64);
}
