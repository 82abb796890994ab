//! Files that lie, vanish or are too many; machines that change while they are looked at; pods that come and go unseen.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use node::{Filesystem, FilesystemUsage};
use serde_json::{Value, json};
use testkit::LogCapture;
use tokio::time::{Instant, sleep};

use super::fault_tests::{Found, MINUTE, field, machine, pod, records, rig};
use super::test_machine::{Reply, Rig, TestMachine, id, options, uid};
use crate::cluster::Cluster;

fn list(numbers: impl Iterator<Item = u64>) -> [Reply; 1] {
    [Reply::Pods(numbers.map(|number| pod(number, 0)).collect())]
}

/// How often the log says that a source broke.
fn told(log: &LogCapture, source: &str) -> usize {
    let lines = log.lines();
    lines
        .iter()
        .filter(|line| line.message.starts_with("cannot read this source") && line.field("source") == source)
        .count()
}

/// The log so far.
fn text(log: &LogCapture) -> String {
    log.lines().iter().map(|line| format!("{line:?}\n")).collect()
}

fn has(found: &Found, kind: &str, pod: &str) -> bool {
    found.contains_key(&(kind.to_owned(), pod.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_read_costs_its_own_fields_and_one_line() {
    let log = LogCapture::begin();
    let machine = machine(1..3);
    let file = machine.path(&format!("sys/fs/cgroup{}/memory.current", machine.pod("burstable", &uid(1))));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..3));
    for _ in 0..3 {
        rig.machine.figures(&rig.machine.pod("burstable", &uid(2)), 2000, 1000);
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_usage"), None);
        assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_working_set"), None);
        assert_eq!(field(&found, "Pod", "pod-1", "pod_number_of_containers"), Some("1"));
        assert_eq!(field(&found, "Container", "pod-1", "container_memory_usage"), Some("921600"));
        assert_eq!(field(&found, "Pod", "pod-2", "pod_memory_usage"), Some("1024000"));
        assert_eq!(rig.health.take_failures(), 1);
        sleep(MINUTE).await;
    }
    assert_eq!(told(&log, "control groups of pods"), 1, "{}", text(&log));
    assert!(text(&log).contains("memory.current"), "the file is named: {}", text(&log));
}

#[tokio::test(start_paused = true)]
async fn a_cut_memory_stat_gives_no_wrong_number() {
    let mut rig = rig(1..2);
    rig.answer(list(1..2));
    let group = rig.machine.pod("burstable", &uid(1));
    let whole =
        "anon 409600\nfile 204800\nfile_mapped 4096\ninactive_file 102400\npgfault 17\npgmajfault 3\n";
    for length in 0..=whole.len() {
        rig.machine.write(&format!("sys/fs/cgroup{group}/memory.stat"), &whole[..length]);
        let found = records(&rig.collect().await);
        let figure = |name: &str| field(&found, "Pod", "pod-1", &format!("pod_memory_{name}"));
        assert_eq!(figure("usage"), Some("1024000"), "{length}");
        for (name, value) in [("rss", "409600"), ("cache", "204800"), ("mapped_file", "4096")] {
            assert!(figure(name).is_none_or(|found| found == value), "{length}: {name}");
        }
        // Without knowing what could be reclaimed nobody knows the working set.
        assert!(figure("working_set").is_none_or(|found| found == "921600"), "{length}");
        if length == whole.len() {
            assert_eq!(figure("working_set"), Some("921600"));
        }
        sleep(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn counters_at_the_end_of_their_range() {
    let mut rig = rig(1..2);
    rig.answer(list(1..2));
    let group = rig.machine.pod("burstable", &uid(1));
    const MOST: u64 = u64::MAX / 1000;
    // Microseconds; as nanoseconds beyond 64 bits from some value on.
    let cases = [
        (MOST - 120_000_000, None),
        (MOST - 60_000_000, Some("1000")),
        (MOST, Some("1000")),
        // No figure rather than a wrong one.
        (MOST + 1, None),
        (u64::MAX, None),
        (5, None),
        (60_000_005, Some("1000")),
    ];
    for (microseconds, expected) in cases {
        let text = format!("usage_usec {microseconds}\nuser_usec 0\nsystem_usec 0\n");
        rig.machine.write(&format!("sys/fs/cgroup{group}/cpu.stat"), &text);
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Pod", "pod-1", "pod_cpu_usage_total"), expected, "{microseconds}");
        sleep(MINUTE).await;
    }

    // Traffic: one counter wraps, the others go on.
    let machine = TestMachine::new(true);
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..1));
    for (bytes, rate) in [
        (u64::MAX - 60, None),
        (u64::MAX, Some("1")),
        (59, None),
        (119, Some("1")),
        (1 << 53, Some("150119987579014.56")),
    ] {
        let text = format!("h\nh\neth0: {bytes} 1 0 0 0 0 0 0 {} 1 0 0 0 0 0 0\n", 7);
        rig.machine.write("proc/1/net/dev", &text);
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Node", "", "node_network_rx_bytes"), rate, "{bytes}");
        sleep(MINUTE).await;
    }
    // Beyond 64 bits a line voids its file.
    rig.machine.write("proc/1/net/dev", "h\nh\neth0: 18446744073709551616 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n");
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Node", "", "node_network_rx_bytes"), None);
    assert!(field(&found, "Node", "", "node_memory_usage").is_some());
}

fn ask(filesystem: &Filesystem) -> Result<FilesystemUsage, node::Error> {
    let is_local = ["xfs", "ext4", "tmpfs"].contains(&&*filesystem.fs_type);
    assert!(is_local, "{} would be waited for if its server is dead", filesystem.fs_type);
    Ok(FilesystemUsage { capacity: 10, usage: 5, ..FilesystemUsage::default() })
}

#[tokio::test]
async fn filesystems_of_a_network_are_never_asked() {
    let machine = TestMachine::new(true);
    let mut mounts = String::from("27 1 259:1 / / rw - xfs /dev/nvme0n1p1 rw\n");
    for (number, (kind, source)) in [
        ("nfs", "server:/export"),
        ("nfs4", "fs-1.efs.eu-west-1.amazonaws.com:/"),
        ("cifs", "//server/share"),
        ("smb3", "//server/share"),
        ("fuse.s3fs", "/dev/fuse"),
        ("fuse", "/dev/fuse"),
        ("fuseblk", "/dev/sdb1"),
        ("ceph", "/dev/ceph"),
        ("lustre", "10.0.0.1@tcp:/fsx"),
        ("9p", "/dev/share"),
        ("glusterfs", "/dev/gluster"),
        ("autofs", "/dev/autofs"),
        ("afs", "/dev/afs"),
    ]
    .into_iter()
    .enumerate()
    {
        let _ = writeln!(mounts, "{number} 27 0:{} / /mnt/{number} rw - {kind} {source} rw", number + 50);
    }
    machine.write("proc/self/mountinfo", &mounts);
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.host.set_sizes(ask);
    rig.answer(list(1..1));
    let found = records(&rig.collect().await);
    assert!(has(&found, "NodeFS", ""));
    assert_eq!(rig.health.take_failures(), 0);
}

#[tokio::test]
async fn ten_thousand_mounts_are_bounded_in_time_and_calls() {
    let machine = TestMachine::new(true);
    let mut mounts = String::from("27 1 259:1 / / rw - xfs /dev/nvme0n1p1 rw\n");
    for number in 0..10_000 {
        let _ = writeln!(
            mounts,
            "{number} 27 0:{number} / /run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/rootfs rw,relatime - overlay overlay rw,lowerdir=/var/lib/containerd/{number}",
            id(number)
        );
    }
    machine.write("proc/self/mountinfo", &mounts);
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..1));
    rig.collect().await;
    let before = rig.host.reader_mut().buffer().system_calls();
    let begin = std::time::Instant::now();
    let found = records(&rig.collect().await);
    let (took, calls) = (begin.elapsed(), rig.host.reader_mut().buffer().system_calls() - before);
    assert!(has(&found, "NodeFS", ""));
    // A file of this tree never says that it has not changed, as the kernel's does: this is the cost after each change.
    assert!(took < Duration::from_secs(5), "{took:?} without optimisation");
    assert!(calls < 200, "{calls}: two megabytes, read in large pieces");
}

#[tokio::test(start_paused = true)]
async fn cpus_that_come_and_go_keep_utilization_right() {
    let machine = TestMachine::new(true);
    let online = |machine: &TestMachine, cpus: u32| {
        machine.write("sys/devices/system/cpu/online", &format!("0-{}\n", cpus - 1));
        let text: String = (0..cpus).map(|cpu| format!("processor\t: {cpu}\nmodel name\t: x\n\n")).collect();
        machine.write("proc/cpuinfo", &text);
    };
    online(&machine, 2);
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..1));
    let mut used = 0;
    for (cpus, expected) in [(2, None), (2, Some("50")), (4, Some("25")), (4, Some("25")), (1, Some("100"))] {
        online(&rig.machine, cpus);
        let text = format!("usage_usec {used}\nuser_usec 0\nsystem_usec 0\n");
        rig.machine.write("sys/fs/cgroup/cpu.stat", &text);
        used += 60_000_000;
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Node", "", "node_cpu_utilization"), expected, "{cpus}");
        assert_eq!(field(&found, "Node", "", "node_cpu_limit"), Some((cpus * 1000).to_string().as_str()));
        sleep(MINUTE).await;
    }
    // Memory as well.
    let meminfo = fs::read_to_string(rig.machine.path("proc/meminfo")).unwrap();
    rig.machine.write("proc/meminfo", &meminfo.replace("8000000 kB", "4000000 kB"));
    rig.collect().await;
    sleep(MINUTE).await;
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Node", "", "node_memory_limit"), Some("4096000000"));
}

#[tokio::test(start_paused = true)]
async fn without_sight_of_processes_network_and_files_are_left_out_and_told_once() {
    let log = LogCapture::begin();
    let machine = machine(1..3);
    for number in [10_001, 10_002] {
        fs::remove_dir_all(machine.path(&format!("proc/{number}"))).unwrap();
    }
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..3));
    for _ in 0..3 {
        let found = records(&rig.collect().await);
        assert!(has(&found, "Pod", "pod-1") && has(&found, "Container", "pod-2"));
        assert!(!found.keys().any(|(kind, _)| kind == "PodNet" || kind == "ContainerFS"));
        assert_eq!(rig.health.take_failures(), 1);
        sleep(MINUTE).await;
    }
    assert_eq!(told(&log, "processes of pods"), 1, "{}", text(&log));
    assert!(text(&log).contains("hostPID: true"), "{}", text(&log));

    // One that is seen is enough: others may just be starting.
    let container = rig.machine.container(&rig.machine.pod("burstable", &uid(1)), 1);
    rig.machine.process(10, &container, 1000, None);
    rig.collect().await;
    assert_eq!(rig.health.take_failures(), 0);
    assert!(text(&log).contains("can read this source again"));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_proc_directory_leaves_what_control_groups_tell() {
    let log = LogCapture::begin();
    let machine = machine(1..2);
    fs::remove_dir_all(machine.path("proc")).unwrap();
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..2));
    for minute in 0..3 {
        rig.machine.write(
            "sys/fs/cgroup/cpu.stat",
            &format!("usage_usec {}\nuser_usec 0\nsystem_usec 0\n", minute * 60_000_000),
        );
        let found = records(&rig.collect().await);
        let node = |name: &str| field(&found, "Node", "", &format!("node_{name}")).map(str::to_owned);
        assert_eq!(node("cpu_usage_total"), (minute > 0).then(|| "1000".to_owned()));
        assert_eq!([node("cpu_limit"), node("cpu_utilization"), node("memory_limit")], [None, None, None]);
        assert!(node("memory_usage").is_some());
        assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_usage"), Some("1024000"));
        assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_utilization"), None, "of an unknown whole");
        sleep(MINUTE).await;
    }
    for source in ["machine", "network", "filesystems", "processes of pods"] {
        assert_eq!(told(&log, source), 1, "{source} in {}", text(&log));
    }
}

#[tokio::test]
async fn a_wrong_root_directory_is_told_once() {
    let log = LogCapture::begin();
    let machine = machine(1..5);
    for number in 1..5 {
        let container = machine.container(&machine.pod("burstable", &uid(number)), number);
        machine.process(number as u32, &container, 0, Some("/not/below/this/root"));
    }
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..5));
    let end = Instant::now() + Duration::from_secs(30);
    while told(&log, "files of containers") == 0 {
        assert!(Instant::now() < end, "{}", text(&log));
        rig.collect().await;
        tokio::task::yield_now().await;
    }
    let found = records(&rig.collect().await);
    assert!(has(&found, "Container", "pod-1") && !has(&found, "ContainerFS", "pod-1"));
    assert_eq!(told(&log, "files of containers"), 1);
    assert!(text(&log).contains("HOST_ROOT"), "{}", text(&log));
}

#[tokio::test(start_paused = true)]
async fn logs_of_containers_count_as_their_files() {
    let machine = machine(1..2);
    machine.write("var/upper/file", &"x".repeat(50_000));
    machine.write(&format!("var/log/pods/ns_pod-1_{}/app/0.log", uid(1)), &"x".repeat(200_000));
    let container = machine.container(&machine.pod("burstable", &uid(1)), 1);
    machine.process(10, &container, 0, Some("/var/upper"));
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..2));
    let end = std::time::Instant::now() + Duration::from_secs(30);
    let usage: u64 = loop {
        let found = records(&rig.collect().await);
        if let Some(usage) = field(&found, "ContainerFS", "pod-1", "container_filesystem_usage") {
            break usage.parse().unwrap();
        }
        assert!(std::time::Instant::now() < end, "not measured in time");
        std::thread::yield_now();
    };
    assert!((250_000..300_000).contains(&usage), "{usage}");
}

/// A status as the kubelet reports it.
fn status(restarts: u32, state: Value, last: Value) -> Value {
    json!({"phase": "Running", "containerStatuses": [
        {"name": "app", "restartCount": restarts, "state": state, "lastState": last,
         "containerID": format!("containerd://{}", id(1))}]})
}

#[tokio::test(start_paused = true)]
async fn containers_that_start_and_end_between_two_collections() {
    let mut rig = Rig::new(machine(1..2), options(true), Cluster::default());
    let with = |status: Value| {
        let mut pod = pod(1, 0);
        pod["status"] = status;
        Reply::Pods(json!([pod]))
    };
    let killed = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
    let failed = json!({"terminated": {"reason": "Error", "exitCode": 1}});
    rig.answer([
        with(status(0, json!({"running": {}}), json!({}))),
        // It was killed, and its successor runs; that one has ended, and the next waits; three more runs nobody saw.
        with(status(1, json!({"running": {}}), killed.clone())),
        with(status(2, json!({"waiting": {"reason": "CrashLoopBackOff"}}), failed.clone())),
        with(status(5, failed.clone(), killed)),
    ]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let found = records(&rig.collect().await);
        let of = |kind: &str, name: &str| field(&found, kind, "pod-1", name).unwrap_or("-").to_owned();
        seen.push([
            of("Pod", "pod_number_of_container_restarts"),
            of("Container", "number_of_container_restarts"),
            of("Container", "container_status"),
            of("Container", "container_status_reason"),
            of("Container", "container_last_termination_reason"),
            of("Pod", "pod_container_status_terminated_reason_oom_killed"),
            of("Pod", "container_status_reason"),
        ]);
        sleep(MINUTE).await;
    }
    assert_eq!(seen[0], ["-", "-", "Running", "-", "-", "-", "-"]);
    assert_eq!(seen[1], ["1", "1", "Running", "-", "OOMKilled", "1", "-"]);
    assert_eq!(seen[2], ["1", "1", "Waiting", "CrashLoopBackOff", "Error", "-", "-"]);
    assert_eq!(seen[3], ["3", "3", "Terminated", "Error", "OOMKilled", "1", "Error"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_ended_is_told_once() {
    let mut rig = Rig::new(TestMachine::new(true), options(true), Cluster::default());
    let ended = |number: u64, phase: &str, reason: &str| {
        let mut pod = pod(number, 0);
        pod["status"] = json!({"phase": phase, "containerStatuses": [
            {"name": "app", "restartCount": 0, "containerID": format!("containerd://{}", id(number)),
             "state": {"terminated": {"reason": reason, "exitCode": 1}}}]});
        pod
    };
    let old = ended(1, "Succeeded", "Completed");
    rig.answer([
        Reply::Pods(json!([old, pod(2, 0)])),
        // One ends, and one was there only between two collections.
        Reply::Pods(json!([old, ended(2, "Failed", "OOMKilled"), ended(3, "Succeeded", "Completed")])),
        Reply::Fails,
        Reply::Pods(json!([old, ended(2, "Failed", "OOMKilled"), ended(3, "Succeeded", "Completed")])),
    ]);
    let expected: [&[&str]; 4] = [&["pod-2"], &["pod-2", "pod-3"], &[], &[]];
    for (minute, expected) in expected.into_iter().enumerate() {
        let found = records(&rig.collect().await);
        let pods: Vec<_> =
            found.keys().filter(|(kind, _)| kind == "Pod").map(|(_, pod)| pod.as_str()).collect();
        assert_eq!(pods, expected, "{minute}");
        if minute == 1 {
            assert_eq!(field(&found, "Pod", "pod-2", "pod_status"), Some("Failed"));
            assert_eq!(field(&found, "Pod", "pod-2", "pod_status_failed"), Some("1"));
            assert_eq!(field(&found, "Pod", "pod-2", "pod_cpu_request"), None);
            assert_eq!(field(&found, "Container", "pod-2", "container_status_reason"), Some("OOMKilled"));
            assert_eq!(field(&found, "Container", "pod-3", "container_status_reason"), Some("Completed"));
        }
        assert_eq!(
            field(&found, "Node", "", "node_number_of_running_pods"),
            Some(if minute == 0 { "1" } else { "0" })
        );
        sleep(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn containers_outside_of_their_pods_groups_add_up() {
    let machine = TestMachine::new(true);
    let own = machine.pod("burstable", &uid(1));
    let stray = format!(
        "/system.slice/containerd.service/kubepods-burstable-pod{}.slice:cri-containerd:{}",
        uid(1).replace('-', "_"),
        id(1)
    );
    machine.figures(&own, 0, 0);
    machine.figures(&stray, 1000, 900);
    machine.process(10, &stray, 1000, None);
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer(list(1..2));
    rig.collect().await;
    rig.machine.figures(&own, 600, 100);
    rig.machine.figures(&stray, 7000, 900);
    rig.machine.process(10, &stray, 61_000, None);
    sleep(MINUTE).await;
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Pod", "pod-1", "pod_cpu_usage_total"), Some("110"));
    assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_usage"), Some("1024000"));
    assert_eq!(field(&found, "Container", "pod-1", "container_cpu_usage_total"), Some("100"));
    assert_eq!(field(&found, "Container", "pod-1", "container_memory_usage"), Some("921600"));
    assert_eq!(field(&found, "Pod", "pod-1", "pod_network_rx_bytes"), Some("1000"));
    assert_eq!(rig.health.take_failures(), 0);
}
