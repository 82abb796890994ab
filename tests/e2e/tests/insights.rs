//! Container Insights events are the same whether they are made beside the receiver or behind OTLP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test program")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::{Collector, free_address};
use serde_json::{Value, json};
use testkit::FakeApiServer;

/// What both collectors make events with.
const EMF: &str = "{output_destination: stdout, namespace: ContainerInsights,
    log_group_name: '/aws/containerinsights/{ClusterName}/performance', log_stream_name: '{NodeName}',
    resource_to_telemetry_conversion: {enabled: true}, dimension_rollup_option: NoDimensionRollup,
    parse_json_encoded_attr_values: [Sources, kubernetes],
    metric_declarations: [
      {dimensions: [[ClusterName, InstanceId, NodeName], [ClusterName]], metric_name_selectors: ['^node_cpu_utilization$']},
      {dimensions: [[ClusterName, Namespace, PodName], [ClusterName]], metric_name_selectors: ['^pod_']}]}";

const UID: &str = "6b7f5a0e-1c2d-4e3f-8a9b-0c1d2e3f4a5b";

fn id() -> String {
    format!("{:064x}", 7)
}

/// A node with a pod, made of files.
fn lay_out(root: &Path) {
    let write = |path: String, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("proc/cpuinfo".into(), "processor\t: 0\n\nprocessor\t: 1\n\n");
    write("proc/meminfo".into(), "MemTotal: 8000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
    write("proc/self/mountinfo".into(), "");
    write("proc/1/net/dev".into(), "h\nh\neth0: 9 8 7 6 0 0 0 0 5 4 3 2 0 0 0 0\n");
    write("sys/fs/cgroup/cgroup.controllers".into(), "cpu io memory pids\n");
    let pod = format!(
        "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
        UID.replace('-', "_")
    );
    for group in [
        "sys/fs/cgroup".to_owned(),
        format!("sys/fs/cgroup/{pod}"),
        format!("sys/fs/cgroup/{pod}/cri-containerd-{}.scope", id()),
    ] {
        write(format!("{group}/cpu.stat"), "usage_usec 3000\nuser_usec 1000\nsystem_usec 2000\n");
        write(format!("{group}/memory.current"), "1234567\n");
        write(format!("{group}/memory.peak"), "2345678\n");
        write(
            format!("{group}/memory.stat"),
            "anon 1100000\nfile 503238\nfile_mapped 4096\ninactive_file 803\npgfault 100\npgmajfault 1\n",
        );
        write(format!("{group}/cgroup.procs"), "");
    }
}

fn pods() -> Value {
    json!({"kind": "PodList", "items": [{
        "metadata": {"name": "web-7c9b6d5f4-x2k8q", "namespace": "shop", "uid": UID,
                     "labels": {"app": "größe \"1\"", "pod-template-hash": "7c9b6d5f4"},
                     "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7c9b6d5f4", "uid": "u", "controller": true}]},
        "spec": {"containers": [{"name": "app", "resources": {
            "requests": {"cpu": "200m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "app", "containerID": format!("containerd://{}", id()), "restartCount": 3, "state": {"running": {}},
             "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]},
    }]})
}

/// Events until there are those of three collections that are complete.
fn events(collector: &Collector) -> Vec<String> {
    let (mut events, mut times) = (Vec::new(), BTreeSet::new());
    loop {
        let line = collector.next_line().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        times.insert(event["_aws"]["Timestamp"].as_i64().or_else(|| event["Timestamp"].as_i64()));
        if times.len() > 3 {
            return events;
        }
        events.push(line);
    }
}

#[test]
fn events_are_the_same_through_otlp() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kubelet = runtime.block_on(FakeApiServer::start());
    kubelet.answer("/pods", 200, &pods().to_string());
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    let otlp = free_address().unwrap();
    let behind = Collector::with_yaml(&format!(
        "{{receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{otlp}'}}}}}}}}, exporters: {{awsemf: {EMF}}},
          service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{metrics: {{receivers: [otlp], exporters: [awsemf]}}}}}}}}"
    ))
    .unwrap();
    let yaml = format!(
        "yaml:{{receivers: {{awscontainerinsightreceiver: {{container_orchestrator: eks, collection_interval: 500ms, \
          cluster_name: demo, local_mode: true, add_full_pod_name_metric_label: true, enable_control_plane_metrics: true}}}},
          exporters: {{awsemf: {EMF}, otlp: {{endpoint: '{otlp}', tls: {{insecure: true}}}}}},
          service: {{telemetry: {{metrics: {{level: none}}}},
          pipelines: {{metrics: {{receivers: [awscontainerinsightreceiver], exporters: [awsemf, otlp]}}}}}}}}"
    );
    let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let (proc, sys, host, url) = (path("proc"), path("sys"), path(""), kubelet.url());
    let beside = Collector::start_with(
        &["--config", &yaml],
        &[
            ("HOST_PROC", Some(&proc)),
            ("HOST_SYS", Some(&sys)),
            ("HOST_ROOT", Some(&host)),
            ("HOST_NAME", Some("node-1")),
            ("HOST_IP", Some(&url)),
            ("KUBERNETES_SERVICE_HOST", None),
        ],
    )
    .unwrap();

    let mut here = events(&beside);
    let mut there: Vec<String> = (0..here.len()).map(|_| behind.next_line().unwrap()).collect();
    here.sort();
    there.sort();
    assert_eq!(here, there);
    let types: BTreeSet<String> = here
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["Type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(types, ["Container", "Node", "NodeNet", "Pod"].map(str::to_owned).into());
    assert!(
        here.iter().any(|event| event.contains("\"pod_cpu_usage_total\":0")),
        "rates are among them: {here:?}"
    );
}

/// What a collector that does not lead asks the API server for concerns its own node, or the namespaces that the node has pods of.
#[test]
fn a_node_asks_for_nothing_of_the_whole_cluster() {
    const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
    const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(FakeApiServer::start());
    server.answer("/api/v1/nodes/node-1/proxy/pods", 200, &pods().to_string());
    server.put("/api/v1/nodes", json!({"metadata": {"name": "node-1"}, "status": {}}));
    server.put(
        SLICES,
        json!({"metadata": {"name": "a", "namespace": "shop", "labels": {"kubernetes.io/service-name": "front"}},
               "endpoints": [{"targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-7c9b6d5f4-x2k8q"}}]}),
    );
    server.put(
        LEASES,
        json!({"metadata": {"name": "otel-container-insight-clusterleader", "namespace": "insights"},
               "spec": {"holderIdentity": "node-2", "leaseDurationSeconds": 3600, "leaseTransitions": 0,
                        "acquireTime": "2999-01-01T00:00:00.000000Z", "renewTime": "2999-01-01T00:00:00.000000Z"}}),
    );
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    let kubeconfig = root.path().join("kubeconfig");
    let text = json!({
        "clusters": [{"name": "c", "cluster": {"server": server.url()}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x",
    });
    fs::write(&kubeconfig, text.to_string()).unwrap();
    let yaml = format!(
        "yaml:{{receivers: {{awscontainerinsightreceiver: {{container_orchestrator: eks, collection_interval: 100ms, \
          cluster_name: demo, local_mode: true, enable_control_plane_metrics: true, kube_config_path: '{}'}}}},
          exporters: {{awsemf: {EMF}}},
          service: {{telemetry: {{metrics: {{level: none}}}},
          pipelines: {{metrics: {{receivers: [awscontainerinsightreceiver], exporters: [awsemf]}}}}}}}}",
        kubeconfig.display()
    );
    let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let (proc, sys, host) = (path("proc"), path("sys"), path(""));
    let collector = Collector::start_with(
        &["--config", &yaml],
        &[
            ("HOST_PROC", Some(&proc)),
            ("HOST_SYS", Some(&sys)),
            ("HOST_ROOT", Some(&host)),
            ("HOST_NAME", Some("node-1")),
            ("K8S_NAMESPACE", Some("insights")),
            ("KUBERNETES_SERVICE_HOST", None),
        ],
    )
    .unwrap();

    // Until everything that is watched has had its effect.
    loop {
        let event: Value = serde_json::from_str(&collector.next_line().unwrap()).unwrap();
        assert_ne!(event["Type"], "Cluster", "it leads");
        if event["Type"] == "Pod" && event["Service"] == "front" {
            break;
        }
    }
    let of_leases = |path: &str| path.starts_with("/apis/coordination.k8s.io/v1/namespaces/insights/leases");
    while !server.requests().iter().any(|request| of_leases(&request.path)) {
        collector.next_line().unwrap();
    }
    for request in server.requests() {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let of_node = path == "/api/v1/nodes/node-1"
            || path == "/api/v1/nodes/node-1/proxy/pods"
            || path == "/api/v1/nodes" && query.contains("fieldSelector=metadata%2Ename%3Dnode%2D1");
        let of_namespace = path == "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
        assert!(of_node || of_namespace || of_leases(path), "{request:?}");
    }
}
