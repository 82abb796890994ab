//! What the configurations that AWS ships do with the small processors, in the binary: each as those configurations write it,
//! under the names they use, in front of data that show it. Detection on EC2 and ECS is in `detection`.

#![allow(clippy::unwrap_used, reason = "a test program")]

use e2e::{Collector, free_address, request};
use serde_json::{Value, json};
use testkit::FakeApiServer;

/// Runs a pipeline of processors on requests until its log holds `last`; the log since the start.
fn run(
    signal: &str,
    processors: &str,
    names: &str,
    requests: &[Value],
    environment: &[(&str, &str)],
    last: &str,
) -> String {
    let http = free_address().unwrap();
    let config = format!(
        "yaml:receivers: {{otlp: {{protocols: {{http: {{endpoint: '{http}'}}}}}}}}\n\
         exporters: {{debug: {{verbosity: detailed}}}}\nprocessors:\n{processors}\n\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
         {signal}: {{receivers: [otlp], processors: [{names}], exporters: [debug]}}\n"
    );
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, Some(*value))).collect();
    let collector = Collector::start_with(&["--config", &config], &environment).unwrap();
    collector.wait_for_log("Everything is ready").unwrap();
    let (path, json) = (format!("/v1/{signal}"), [("content-type", "application/json")]);
    for body in requests {
        let answer = request(http, "POST", &path, &json, body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }
    let log = collector.wait_for_log(last).unwrap();
    assert_eq!(collector.stop().unwrap(), Some(0));
    // What was detected is told before.
    log.split_once("Everything is ready").unwrap().1.to_owned()
}

fn check(log: &str, has: &[&str], lacks: &[&str]) {
    for text in has {
        assert!(log.contains(text), "{text} is not in\n{log}");
    }
    for text in lacks {
        assert!(!log.contains(text), "{text} is in\n{log}");
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn metrics(resource: &[(&str, &str)], metrics: &[Value]) -> Value {
    let scopes = json!([{"metrics": metrics}]);
    json!({"resourceMetrics": [{"resource": {"attributes": attributes(resource)}, "scopeMetrics": scopes}]})
}

fn logs(resource: &[(&str, &str)], bodies: &[&str]) -> Value {
    let records: Value = bodies.iter().map(|body| json!({"body": {"stringValue": body}})).collect();
    let scopes = json!([{"logRecords": records}]);
    json!({"resourceLogs": [{"resource": {"attributes": attributes(resource)}, "scopeLogs": scopes}]})
}

fn gauge(name: &str, value: u64, labels: &[(&str, &str)]) -> Value {
    let point = json!({"asInt": value.to_string(), "timeUnixNano": "1", "attributes": attributes(labels)});
    json!({"name": name, "gauge": {"dataPoints": [point]}})
}

/// A cumulative sum that began at second 1.
fn sum(name: &str, value: u64, second: u64, labels: &[(&str, &str)]) -> Value {
    let point = json!({
        "asInt": value.to_string(), "startTimeUnixNano": "1000000000",
        "timeUnixNano": (second * 1_000_000_000).to_string(), "attributes": attributes(labels),
    });
    json!({"name": name, "unit": "By", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point]}})
}

/// The configurations of `config/ecs`, and that of App Runner.
#[test]
fn a_collector_beside_a_task() {
    let processors = r"
  resourcedetection: {detectors: [env, system, ecs, ec2]}
  resourcedetection/apprunner: {detectors: [env], timeout: 2s, override: true}
  filter: {metrics: {include: {match_type: strict, metric_names: [ecs.task.memory.utilized, ecs.task.cpu.utilized]}}}
  metricstransform:
    transforms:
      - {include: ecs.task.memory.utilized, action: update, new_name: MemoryUtilized}
      - {include: ecs.task.cpu.utilized, action: update, new_name: CpuUtilized}
  resource:
    attributes:
      - {key: ClusterName, from_attribute: aws.ecs.cluster.name, action: insert}
      - {key: aws.ecs.cluster.name, action: delete}
      - {key: TaskId, from_attribute: aws.ecs.task.id, action: insert}
      - {key: aws.ecs.task.id, action: delete}";
    let data = [
        gauge("ecs.task.memory.utilized", 7, &[]),
        gauge("ecs.task.cpu.utilized", 8, &[]),
        gauge("ecs.task.memory.utilized.max", 9, &[]),
    ];
    let log = run(
        "metrics",
        processors,
        "resourcedetection, resourcedetection/apprunner, filter, metricstransform, resource",
        &[metrics(&[("aws.ecs.cluster.name", "c1"), ("team", "theirs")], &data)],
        &[("OTEL_RESOURCE_ATTRIBUTES", "team=ours")],
        "Value: 8",
    );
    check(
        &log,
        &[
            "Name: MemoryUtilized",
            "Name: CpuUtilized",
            "ClusterName: Str(c1)",
            "team: Str(ours)",
            "host.name: ",
        ],
        &["aws.ecs.cluster.name: ", "TaskId", "Value: 9", "theirs"],
    );
}

/// The configurations of `config/eks/prometheus`.
#[test]
fn a_collector_that_scrapes_a_cluster() {
    let processors = r"
  resourcedetection/ec2: {detectors: [env], timeout: 2s, override: false}
  resource: {attributes: [{key: TaskId, value: job, action: insert}, {key: team, value: nobody, action: insert}]}";
    let log = run(
        "metrics",
        processors,
        "resourcedetection/ec2, resource",
        &[metrics(&[("team", "theirs")], &[gauge("m", 7, &[])])],
        &[("OTEL_RESOURCE_ATTRIBUTES", "team=ours,region=here")],
        "Value: 7",
    );
    check(&log, &["team: Str(theirs)", "region: Str(here)", "TaskId: Str(job)"], &["ours", "nobody"]);
}

/// The template for Container Insights on Fargate.
#[test]
fn container_insights_on_fargate() {
    let processors = r"
  metricstransform/label_1:
    transforms:
      - include: .*
        match_type: regexp
        action: update
        operations:
          - {action: update_label, label: kubernetes_io_hostname, new_label: NodeName}
  metricstransform/rename:
    transforms:
      - {include: container_memory_usage, new_name: new_container_memory_usage, action: insert, match_type: regexp,
         experimental_match_labels: {container: \S}}
      - {include: container_memory_usage, new_name: new_pod_memory_usage, action: insert, match_type: regexp,
         experimental_match_labels: {container: ^$, pod: \S}}
      - {include: container_rx_bytes, new_name: new_pod_rx_bytes, action: insert, match_type: regexp}
      - {include: container_limit, new_name: new_container_limit, action: insert, match_type: regexp}
  filter: {metrics: {include: {match_type: regexp, metric_names: ['^new_.*']}}}
  cumulativetodelta: {include: {metrics: [new_pod_rx_bytes], match_type: strict}, initial_value: drop}
  deltatorate: {metrics: [new_pod_rx_bytes]}
  experimental_metricsgeneration/1:
    rules:
      - {name: new_container_utilization, type: calculate, metric1: new_container_memory_usage, metric2: new_container_limit,
         operation: percent}
  metricstransform/rename_2:
    transforms:
      - {include: '^new_container_(.*)$$', new_name: container_$$1, action: update, match_type: regexp}
      - {include: '^new_pod_(.*)$$', new_name: pod_$$1, action: update, match_type: regexp}";
    let (container, pod) =
        ([("container", "c"), ("pod", "p")], [("kubernetes_io_hostname", "h"), ("pod", "p")]);
    let data = |bytes: u64, second: u64| {
        let all = [
            gauge("container_memory_usage", 25, &container),
            gauge("container_memory_usage", 40, &pod),
            gauge("container_limit", 50, &container),
            sum("container_rx_bytes", bytes, second, &pod),
            gauge("machine_memory", 99, &[]),
        ];
        metrics(&[], &all)
    };
    let log = run(
        "metrics",
        processors,
        "metricstransform/label_1, metricstransform/rename, filter, cumulativetodelta, deltatorate, \
         experimental_metricsgeneration/1, metricstransform/rename_2",
        &[data(1000, 2), data(1500, 12)],
        &[],
        "Name: pod_rx_bytes",
    );
    check(
        &log,
        &[
            "Name: container_memory_usage",
            "Name: pod_memory_usage",
            "Name: container_utilization",
            "Value: 50.0",
            "Unit: By/s",
            "NodeName: Str(h)",
        ],
        &[
            "new_",
            "Name: machine_memory",
            "Name: container_rx_bytes",
            "kubernetes_io_hostname",
            "Value: 1500",
        ],
    );
}

/// The pipelines for Java applications.
#[test]
fn java_applications() {
    let processors = r"
  filter: {metrics: {include: {match_type: strict, metric_names: [jvm.memory.used, jvm.gc.count, sessions]}}}
  metricstransform:
    transforms:
      - {include: jvm.memory.used, action: update, operations: [{action: aggregate_labels, aggregation_type: sum, label_set: []},
         {action: add_label, new_label: source, new_value: jmx}]}
      - {include: '^sessions$$', match_type: regexp, action: insert, new_name: sessions.web,
         experimental_match_labels: {context: ^/web}}
  cumulativetodelta: {initial_value: drop, exclude: {match_type: strict, metrics: [jvm.kept]}}
  resource: {attributes: [{key: service.name, value: 'unknown_service:java', action: delete}]}";
    let gauge_of = |points: Value| json!({"name": "jvm.memory.used", "gauge": {"dataPoints": points}});
    let point = |value: &str, pool: &str| json!({"asInt": value, "timeUnixNano": "1", "attributes": attributes(&[("pool", pool)])});
    let data = |count: u64, second: u64| {
        let all = [
            gauge_of(json!([point("30", "a"), point("12", "b")])),
            sum("jvm.gc.count", count, second, &[]),
            gauge("sessions", 3, &[("context", "/web/x")]),
            gauge("other", 999, &[]),
        ];
        metrics(&[("service.name", "unknown_service:java"), ("host", "h")], &all)
    };
    let log = run(
        "metrics",
        processors,
        "filter, metricstransform, cumulativetodelta, resource",
        &[data(100, 2), data(107, 12)],
        &[],
        "Value: 7\n",
    );
    check(
        &log,
        &[
            "Value: 42\n",
            "source: Str(jmx)",
            "Name: sessions.web",
            "AggregationTemporality: Delta",
            "host: Str(h)",
        ],
        &["Value: 999", "pool: ", "service.name", "Value: 107", "Value: 100\n"],
    );
}

/// A cluster with one pod of a Deployment, and the keys that reach it.
struct Cluster {
    runtime: tokio::runtime::Runtime,
    server: FakeApiServer,
    directory: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(FakeApiServer::start());
        let owners = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true}]);
        let objects = [
            (
                "/api/v1/pods",
                json!({
                    "metadata": {
                        "name": "web-7b9f-x", "namespace": "shop", "uid": "uid-web",
                        "labels": {"pod-template-hash": "7b9f", "app": "web", "app.kubernetes.io/name": "by-label"},
                        "annotations": {"resource.opentelemetry.io/service.name": "by-annotation"},
                        "ownerReferences": owners("ReplicaSet", "web-7b9f"),
                    },
                    "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "img:1"}]},
                    "status": {"phase": "Running", "podIP": "127.0.0.1", "startTime": "2026-01-01T00:00:01Z"},
                }),
            ),
            (
                "/api/v1/nodes",
                json!({"metadata": {"name": "node-1", "uid": "uid-node", "labels": {"zone": "z1"}}}),
            ),
            ("/api/v1/namespaces", json!({"metadata": {"name": "shop", "uid": "uid-shop"}})),
            (
                "/apis/apps/v1/replicasets",
                json!({"metadata": {"name": "web-7b9f", "namespace": "shop", "uid": "uid-web-7b9f",
                "ownerReferences": owners("Deployment", "web")}}),
            ),
        ];
        for (collection, object) in objects {
            server.serve(collection);
            server.put(collection, object);
        }
        for collection in ["/apis/apps/v1/deployments", "/apis/batch/v1/jobs"] {
            server.serve(collection);
        }
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{name: c, cluster: {{server: '{}'}}}}]\n\
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
            server.url()
        );
        std::fs::write(directory.path().join("config"), text).unwrap();
        Self { runtime, server, directory }
    }

    fn keys(&self) -> String {
        let path = self.directory.path().join("config");
        format!("auth_type: kubeConfig, kube_config_path: '{}', wait_for_metadata: true", path.display())
    }

    /// The processors of the CloudWatch agent for labels of nodes and of pods, with a filter or without.
    fn cloudwatch(&self, filter: &str) -> String {
        let keys = self.keys();
        format!(
            r"
  k8sattributes/node:
    {{{keys}, {filter} exclude: {{pods: []}}, extract: {{metadata: [k8s.node.name], labels: [{{from: node, key_regex: (.*),
      tag_name: k8s.node.label.$$1}}]}}, pod_association: [{{sources: [{{from: resource_attribute, name: k8s.node.name}}]}}]}}
  k8sattributes/pod:
    {{{keys}, {filter} exclude: {{pods: []}}, extract: {{metadata: [k8s.pod.uid, k8s.node.name, k8s.deployment.name,
      k8s.replicaset.name, k8s.daemonset.name, k8s.statefulset.name, k8s.job.name, k8s.cronjob.name], labels: [{{from: pod,
      key_regex: (.*), tag_name: k8s.pod.label.$$1}}]}}, pod_association: [{{sources: [{{from: resource_attribute,
      name: k8s.pod.name}}, {{from: resource_attribute, name: k8s.namespace.name}}]}}]}}
  resourcedetection: {{detectors: [eks, env, ec2], timeout: 2s, override: false}}"
        )
    }
}

const OF_POD: [&str; 6] = [
    "k8s.pod.uid: Str(uid-web)",
    "k8s.deployment.name: Str(web)",
    "k8s.replicaset.name: Str(web-7b9f)",
    "k8s.pod.label.app: Str(web)",
    "k8s.node.label.zone: Str(z1)",
    "team: Str(ours)",
];

/// The pipelines of the CloudWatch agent on a node.
#[test]
fn cloudwatch_on_a_node() {
    let cluster = Cluster::new();
    let processors = format!(
        "{}\n  filter: {{error_mode: ignore, logs: {{log_record: ['IsMatch(body, \"^DEBUG\")', 'resource.attributes[\"drop\"] == \"yes\"']}}}}",
        cluster.cloudwatch("filter: {node_from_env_var: K8S_NODE_NAME},")
    );
    let resource =
        [("k8s.pod.name", "web-7b9f-x"), ("k8s.namespace.name", "shop"), ("k8s.node.name", "node-1")];
    let log = run(
        "logs",
        &processors,
        "k8sattributes/node, k8sattributes/pod, resourcedetection, filter",
        &[logs(&[("drop", "yes")], &["dropped"]), logs(&resource, &["DEBUG x", "a request"])],
        &[("K8S_NODE_NAME", "node-1"), ("OTEL_RESOURCE_ATTRIBUTES", "team=ours,k8s.node.name=no")],
        "Body: Str(a request)",
    );
    check(&log, &OF_POD, &["Str(DEBUG x)", "Str(dropped)", "Str(no)"]);
    drop(cluster.runtime);
}

/// The pipeline of the CloudWatch agent for a cluster.
#[test]
fn cloudwatch_for_a_cluster() {
    let cluster = Cluster::new();
    let resource =
        [("k8s.pod.name", "web-7b9f-x"), ("k8s.namespace.name", "shop"), ("k8s.node.name", "node-1")];
    let log = run(
        "metrics",
        &cluster.cloudwatch(""),
        "k8sattributes/node, k8sattributes/pod, resourcedetection",
        &[metrics(&resource, &[gauge("kube_pod_status", 1, &[])])],
        &[("OTEL_RESOURCE_ATTRIBUTES", "team=ours")],
        "Value: 1",
    );
    check(&log, &OF_POD, &[]);
    drop(cluster.runtime);
}

/// The pipeline of the CloudWatch agent for OTLP: who sends is looked up by the address, and names its service there.
#[test]
fn cloudwatch_for_otlp() {
    let cluster = Cluster::new();
    let set = |key: &str| {
        format!(
            "      - set(resource.attributes[\"service.name\"], resource.attributes[\"{key}\"]) where \
             resource.attributes[\"service.name\"] == nil\n"
        )
    };
    let keys = [
        "resource.opentelemetry.io/service.name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/name",
        "k8s.deployment.name",
        "k8s.pod.name",
    ];
    let processors = format!(
        "  k8sattributes/opentelemetry:\n    {{{}, extract: {{metadata: [k8s.deployment.name, k8s.pod.name], annotations: [{{from: pod, \
         key: resource.opentelemetry.io/service.name, tag_name: resource.opentelemetry.io/service.name}}], \
         labels: [{{from: pod, key: app.kubernetes.io/name, tag_name: app.kubernetes.io/name}}, {{from: pod, \
         key: app.kubernetes.io/instance, tag_name: app.kubernetes.io/instance}}]}}}}\n  \
         transform:\n    error_mode: ignore\n    log_statements:\n{}      - set(resource.attributes[\"service.name\"], \
         \"unknown_service\") where resource.attributes[\"service.name\"] == nil\n      - \
         delete_matching_keys(resource.attributes, \"^(app|resource)\\\\.(kubernetes|opentelemetry)\\\\.io/\")\n",
        cluster.keys(),
        keys.map(set).concat()
    );
    let log = run(
        "logs",
        &processors,
        "k8sattributes/opentelemetry, transform",
        &[logs(&[("first", "1")], &["of nobody"]), logs(&[("service.name", "mine")], &["of me"])],
        &[],
        "Body: Str(of me)",
    );
    check(
        &log,
        &["service.name: Str(by-annotation)", "service.name: Str(mine)", "k8s.deployment.name: Str(web)"],
        &["kubernetes.io/", "opentelemetry.io/", "by-label", "unknown_service"],
    );
    assert!(cluster.server.watches() == 0, "the collector has ended");
    drop(cluster.runtime);
}
