//! What goes wrong: kubelets that fail, groups that vanish, machines that are full.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s::KubeletConfig;
use pdata::Batch;
use pdata::metrics::{Data, Number, resources};
use serde_json::{Value, json};
use testkit::{FakeApiServer, Fault};
use tokio::time::{Instant, sleep};

use super::KubeletPods;
use super::test_machine::{Answers, Reply, Rig, TestMachine, id, options, uid};
use crate::cluster::{Cluster, Wanted};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) type Found = BTreeMap<(String, String), BTreeMap<String, String>>;

/// Records by type and pod, container or nothing: their attributes and metrics as text.
pub(crate) fn records(batch: &Batch) -> Found {
    let mut records = BTreeMap::new();
    for resource in resources(batch) {
        let mut fields = BTreeMap::new();
        for attribute in resource.resource().attributes() {
            fields.insert(attribute.key.to_owned(), attribute.value.as_str().unwrap().to_owned());
        }
        for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
            let Data::Gauge(points) = metric.data else { panic!("{} is no gauge", metric.name) };
            let value = match points.numbers().next().unwrap().value.unwrap() {
                Number::Int(value) => value.to_string(),
                Number::Double(value) => value.to_string(),
            };
            fields.insert(metric.name.to_owned(), value);
        }
        let kind = fields["Type"].clone();
        let name = fields.get("PodName").cloned().unwrap_or_default();
        records.insert((kind, name), fields);
    }
    records
}

pub(crate) fn field<'a>(records: &'a Found, kind: &str, pod: &str, name: &str) -> Option<&'a str> {
    records.get(&(kind.to_owned(), pod.to_owned()))?.get(name).map(String::as_str)
}

/// A pod with one container, which runs.
pub(crate) fn pod(number: u64, restarts: u32) -> Value {
    json!({
        "metadata": {"name": format!("pod-{number}"), "namespace": "ns", "uid": uid(number)},
        "spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": "100m"}}}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "app", "containerID": format!("containerd://{}", id(number)), "restartCount": restarts,
             "state": {"running": {}}}]},
    })
}

/// A machine that runs some of the pods, each with a process.
pub(crate) fn machine(pods: impl Iterator<Item = u64>) -> TestMachine {
    let machine = TestMachine::new(true);
    for number in pods {
        let group = machine.pod("burstable", &uid(number));
        machine.figures(&group, 1000, 1000);
        let container = machine.container(&group, number);
        machine.figures(&container, 900, 900);
        machine.process(10_000 + number as u32, &container, 1000, None);
    }
    machine
}

pub(crate) fn rig(pods: impl Iterator<Item = u64>) -> Rig {
    Rig::new(machine(pods), options(false), Cluster::default())
}

#[tokio::test(start_paused = true)]
async fn without_the_kubelet_the_machine_goes_on() {
    let mut rig = rig(1..2);
    rig.answer([Reply::Fails]);
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Node", "", "node_cpu_limit"), Some("2000"));
    assert_eq!(field(&found, "Node", "", "node_number_of_running_pods"), None);
    assert!(!found.contains_key(&("Pod".to_owned(), "pod-1".to_owned())));
    assert_eq!(rig.health.take_failures(), 1);

    rig.answer([Reply::Pods(json!([pod(1, 0)])), Reply::Fails]);
    sleep(MINUTE).await;
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Node", "", "node_number_of_running_pods"), Some("1"));
    assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_usage"), Some("1024000"));
    assert_eq!(rig.health.take_failures(), 0);

    // The list is used for two minutes more; of restarts it knows nothing new.
    for (minute, is_used) in [(2, true), (3, true), (4, false)] {
        sleep(MINUTE).await;
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_usage").is_some(), is_used, "{minute}");
        assert_eq!(field(&found, "Pod", "pod-1", "pod_number_of_container_restarts"), None);
        let requests = field(&found, "Node", "", "node_cpu_request");
        assert_eq!(requests, is_used.then_some("100"), "{minute}");
        assert_eq!(rig.health.take_failures(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_kubelet_is_waited_for_once() {
    let mut rig = rig(1..2);
    let list = json!([pod(1, 0)]);
    rig.answer([
        Reply::Slow(Duration::from_secs(90), list.clone()),
        Reply::Slow(Duration::from_secs(8), list),
    ]);
    let begin = Instant::now();
    let found = records(&rig.collect().await);
    assert!(found.contains_key(&("Node".to_owned(), String::new())));
    assert_eq!(begin.elapsed().as_secs(), 5);
    sleep(MINUTE - begin.elapsed()).await;
    rig.collect().await;
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert_eq!(rig.health.take_failures(), 2);

    // The late answer is used, and the next question too late again.
    for minute in [2, 3] {
        sleep(MINUTE * minute - begin.elapsed()).await;
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Node", "", "node_number_of_running_pods"), Some("1"));
        assert_eq!(rig.health.take_failures(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn restarts_count_from_the_first_list_on() {
    let mut rig = rig(1..4);
    let lists = [
        json!([pod(1, 5), pod(2, 9)]),
        // One was restarted twice, one replaced under its name, one is new and was restarted already.
        json!([pod(1, 7), pod(2, 1), pod(3, 4)]),
        json!([pod(1, 7), pod(2, 1), pod(3, 4)]),
    ];
    rig.answer(lists.map(Reply::Pods));
    let mut found = Vec::new();
    for _ in 0..3 {
        found.push(records(&rig.collect().await));
        sleep(MINUTE).await;
    }
    for (number, expected) in [(1, ["2", "0"]), (2, ["0", "0"]), (3, ["4", "0"])] {
        let pod = format!("pod-{number}");
        for (kind, name) in
            [("Pod", "pod_number_of_container_restarts"), ("Container", "number_of_container_restarts")]
        {
            assert_eq!(field(&found[0], kind, &pod, name), None);
            let restarts = [1, 2].map(|index| field(&found[index], kind, &pod, name).unwrap());
            assert_eq!(restarts, expected, "{kind} {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn groups_come_and_go() {
    let mut rig = rig(1..3);
    rig.answer([Reply::Pods(json!([pod(1, 0), pod(2, 0)]))]);
    rig.collect().await;
    let group = rig.machine.pod("burstable", &uid(1));
    // The whole group; and of another pod's container some files, as when it is about to go.
    rig.machine.remove(&group);
    let container = rig.machine.container(&rig.machine.pod("burstable", &uid(2)), 2);
    for file in ["cpu.stat", "memory.current"] {
        std::fs::remove_file(rig.machine.path(&format!("sys/fs/cgroup{container}/{file}"))).unwrap();
    }
    sleep(MINUTE).await;
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_usage"), None);
    assert_eq!(field(&found, "Pod", "pod-1", "pod_number_of_containers"), Some("1"));
    assert_eq!(field(&found, "Pod", "pod-2", "pod_cpu_usage_total"), Some("0"));
    assert_eq!(field(&found, "Container", "pod-2", "container_status"), Some("Running"));
    assert_eq!(rig.health.take_failures(), 0);

    // It comes back with counters that begin anew, and so without rates at first.
    rig.machine.figures(&group, 10, 10);
    for expected in [None, Some("0")] {
        sleep(MINUTE).await;
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Pod", "pod-1", "pod_cpu_usage_total"), expected);
    }
    // A counter that falls is silent once.
    for (cpu, expected) in [(5, None), (65, Some("1"))] {
        rig.machine.figures(&group, cpu, 10);
        sleep(MINUTE).await;
        let found = records(&rig.collect().await);
        assert_eq!(field(&found, "Pod", "pod-1", "pod_cpu_usage_total"), expected);
    }
    assert_eq!(rig.health.take_failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_does_not_touch_rates() {
    let mut rig = rig(1..2);
    rig.answer([Reply::Pods(json!([pod(1, 0)]))]);
    let group = rig.machine.pod("burstable", &uid(1));
    let hour = 3600 * 1_000_000_000;
    for (minute, set) in [0, -hour, 24 * hour, 0].into_iter().enumerate() {
        rig.clock_set = set;
        rig.machine.figures(&group, 1000 + minute as u64 * 600, 1000);
        let batch = rig.collect().await;
        let found = records(&batch);
        let expected = (minute > 0).then_some("10");
        assert_eq!(field(&found, "Pod", "pod-1", "pod_cpu_usage_total"), expected, "{minute}");
        sleep(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_listed_have_no_records() {
    let mut rig = rig(1..3);
    rig.answer([Reply::Pods(json!([pod(2, 0)]))]);
    let found = records(&rig.collect().await);
    assert!(!found.keys().any(|(_, pod)| pod == "pod-1"), "{:?}", found.keys());
    assert!(found.contains_key(&("Container".to_owned(), "pod-2".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn static_pods_are_found_by_their_hash() {
    const HASH: &str = "7e2b1f0a9c8d4e5f6a7b8c9d0e1f2a3b";
    let mut rig = rig(1..1);
    rig.machine.figures(&rig.machine.pod("", HASH), 1000, 1000);
    let mut mirrored = pod(1, 0);
    mirrored["metadata"]["annotations"] = json!({"kubernetes.io/config.hash": HASH});
    rig.answer([Reply::Pods(json!([mirrored]))]);
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Pod", "pod-1", "pod_memory_usage"), Some("1024000"));
}

#[tokio::test]
async fn faults_of_a_real_connection() {
    let server = FakeApiServer::start().await;
    let config = KubeletConfig { token_file: None, ca_file: None, ..KubeletConfig::new(server.url()) };
    let kubelet = Box::new(KubeletPods::new(move || k8s::Kubelet::new(config.clone())));
    let mut rig =
        Rig::with_source(machine(1..2), options(false), Cluster::default(), kubelet, Answers::default());
    let list =
        |count: u64| json!({"kind": "PodList", "items": (1..=count).map(|n| pod(n, 0)).collect::<Vec<_>>()});
    for fault in [Fault::Status(401), Fault::Status(403), Fault::Status(500), Fault::Html] {
        server.fail("/pods", fault);
        let found = records(&rig.collect().await);
        assert!(field(&found, "Node", "", "node_memory_limit").is_some());
        assert_eq!(rig.health.take_failures(), 1, "{fault:?}");
        assert!(!found.keys().any(|(kind, _)| kind == "Pod"), "{fault:?}");
    }
    server.heal();
    server.answer("/pods", 200, &list(5000).to_string());
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Node", "", "node_number_of_running_pods"), Some("5000"));
    assert_eq!(found.keys().filter(|(kind, _)| kind == "Pod").count(), 5000);
    assert_eq!(rig.health.take_failures(), 0);
}

#[tokio::test]
async fn services_and_the_node_come_from_the_api_server() {
    let server = FakeApiServer::start().await;
    const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
    let slice = |name: &str, service: &str, pod: &str| {
        json!({"metadata": {"name": name, "namespace": "ns", "labels": {"kubernetes.io/service-name": service}},
               "endpoints": [{"conditions": {"ready": true},
                              "targetRef": {"kind": "Pod", "namespace": "ns", "name": pod}}]})
    };
    for (name, service, pod) in [("a", "web", "pod-1"), ("b", "admin", "pod-1"), ("c", "other", "pod-9")] {
        server.put(SLICES, slice(name, service, pod));
    }
    server.put(
        "/api/v1/nodes",
        json!({"metadata": {"name": "node-1"}, "status": {
            "capacity": {"pods": "110"}, "allocatable": {"pods": "100"},
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"},
                           {"type": "MemoryPressure", "status": "Unknown"}]}}),
    );
    let api = k8s::ApiServer::new(k8s::ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
    let watches = k8s::Watches::new(api, &component::Host::standalone());
    let wanted = Wanted { services: true, node: Some("node-1".to_owned()) };
    let cluster = Cluster::watch(&watches, &wanted);
    cluster.synced().await;
    let mut rig = Rig::new(machine(1..3), options(true), cluster);
    let reply = || Reply::Pods(json!([pod(1, 0), pod(2, 0)]));
    rig.answer([reply(), reply()]);
    // The first collection finds out which namespaces matter.
    rig.collect().await;
    rig.pods.cluster().synced().await;
    let found = records(&rig.collect().await);
    assert_eq!(field(&found, "Pod", "pod-1", "Service"), Some("admin"));
    assert_eq!(field(&found, "Container", "pod-1", "Service"), Some("admin"));
    let kubernetes = field(&found, "Pod", "pod-1", "kubernetes").unwrap();
    assert!(kubernetes.ends_with(r#""service_name":"admin"}"#), "{kubernetes}");
    assert_eq!(field(&found, "Pod", "pod-2", "Service"), None);
    let node = |name: &str| field(&found, "Node", "", &format!("node_status_{name}"));
    assert_eq!((node("capacity_pods"), node("allocatable_pods")), (Some("110"), Some("100")));
    assert_eq!((node("condition_ready"), node("condition_disk_pressure")), (Some("1"), Some("0")));
    assert_eq!((node("condition_memory_pressure"), node("condition_unknown")), (Some("0"), Some("1")));
    assert_eq!(node("condition_pid_pressure"), None);
}

#[tokio::test]
async fn a_leader_knows_the_services_of_its_own_pods_already() {
    let server = FakeApiServer::start().await;
    let pod_1 = json!({"targetRef": {"kind": "Pod", "namespace": "ns", "name": "pod-1"}});
    let slice = json!({"metadata": {"name": "web", "namespace": "ns"}, "endpoints": [pod_1]});
    server.put("/apis/discovery.k8s.io/v1/endpointslices", slice);
    let api = k8s::ApiServer::new(k8s::ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
    let watches = k8s::Watches::new(api, &component::Host::standalone());
    let all = Arc::new(k8s::Services::watch(&watches, k8s::Scope::all()));
    all.synced().await;
    let cluster = Cluster::watch(&watches, &Wanted { services: true, node: None });
    let mut rig = Rig::new(machine(1..2), options(false), cluster);
    rig.answer([Reply::Pods(json!([pod(1, 0)]))]);
    rig.pods.refresh(Some(&all), &mut rig.health).await;
    let found = records(&rig.collect_pods());
    assert_eq!(field(&found, "Pod", "pod-1", "Service"), Some("web"));
    assert!(!server.requests().iter().any(|request| request.path.contains("/namespaces/")));
}

#[tokio::test]
async fn files_of_containers_are_measured() {
    let machine = machine(1..2);
    machine.write("var/upper/file", &"x".repeat(50_000));
    let container = machine.container(&machine.pod("burstable", &uid(1)), 1);
    machine.process(10, &container, 0, Some("/var/upper"));
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    rig.answer([Reply::Pods(json!([pod(1, 0)]))]);
    let end = Instant::now() + Duration::from_secs(30);
    let found = loop {
        let found = records(&rig.collect().await);
        if found.contains_key(&("ContainerFS".to_owned(), "pod-1".to_owned())) {
            break found;
        }
        assert!(Instant::now() < end, "not measured in time");
        tokio::task::yield_now().await;
    };
    let number = |name: &str| -> f64 {
        let name = format!("container_filesystem_{name}");
        field(&found, "ContainerFS", "pod-1", &name).unwrap().parse().unwrap()
    };
    assert!((50_000.0..100_000.0).contains(&number("usage")), "{found:?}");
    assert!(number("available") > 0.0 && number("available") <= number("capacity"));
    assert_eq!(number("utilization"), number("usage") / number("capacity") * 100.0);
    assert_eq!(field(&found, "ContainerFS", "pod-1", "fstype"), Some("vfs"));
}

/// 110 pods of a sandbox and two containers each: what one collection costs once everything is known.
#[tokio::test(start_paused = true)]
async fn system_calls_of_a_full_node() {
    const PODS: u64 = 110;
    let machine = TestMachine::new(true);
    let mut list = Vec::new();
    for number in 1..=PODS {
        let group = machine.pod("burstable", &uid(number));
        machine.figures(&group, 1000, 1000);
        let [sandbox, first, second] = [1, 2, 3].map(|part| number * 10 + part);
        for part in [sandbox, first, second] {
            machine.figures(&machine.container(&group, part), 10, 10);
        }
        for part in [sandbox, first, second] {
            machine.process(part as u32, &machine.container(&group, part), 1000, None);
        }
        let mut pod = pod(number, 0);
        let status = |name: &str, number: u64| json!({"name": name, "containerID": format!("containerd://{}", id(number)), "state": {"running": {}}});
        pod["spec"]["containers"] = json!([{"name": "a"}, {"name": "b"}]);
        pod["status"]["containerStatuses"] = json!([status("a", first), status("b", second)]);
        list.push(pod);
    }
    let mut rig = Rig::new(machine, options(false), Cluster::default());
    // As with a limit of descriptors that suffices.
    *rig.host.reader_mut().buffer() = node::Buffer::with_kept_limit(4096);
    rig.answer([Reply::Pods(Value::Array(list))]);
    // Where containers' files are is looked for little by little.
    for _ in 0..5 {
        rig.collect().await;
        sleep(MINUTE).await;
    }
    let before = rig.host.reader_mut().buffer().system_calls();
    let batch = rig.collect_pods();
    let calls = rig.host.reader_mut().buffer().system_calls() - before;
    let found = records(&batch);
    assert_eq!(found.keys().filter(|(kind, _)| kind == "Pod").count(), PODS as usize);
    // Of each of the 330 groups CPU and three files of memory, as no pod has swap; 1 for each pod's network; 1 for the table.
    assert_eq!(calls, 330 * 4 + PODS + 1);
}
