//! The recorded numbers: what is measured, and how.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pdata::Batch;

use crate::collector::{Collector, binary, free_address};
use crate::node::{Node, PODS};
use crate::report::Row;
use crate::{load, payload, series, sinks};

/// How long each load runs.
const LOAD: Duration = Duration::from_secs(10);
/// A run before it, that is not counted: connections, allocator, caches.
const WARM_UP: Duration = Duration::from_secs(2);
/// Nothing left the collector for this time: it holds nothing more.
const SETTLE: Duration = Duration::from_millis(500);
/// Bytes.
const MIB: f64 = 1024.0 * 1024.0;
/// Start-up is measured so many times.
const STARTS: usize = 21;
/// How often a full node is collected, and how many times.
#[derive(Debug, Clone, Copy)]
pub struct Collections {
    count: u64,
    interval: Duration,
}

/// Each is on its own, as the batch processor holds it for 200 ms at most.
pub const COLLECTIONS: Collections = Collections { count: 120, interval: Duration::from_millis(250) };
/// These show whether memory grows; several share a batch.
pub const MANY_COLLECTIONS: Collections = Collections { count: 10_000, interval: Duration::from_millis(40) };

/// How long the idle collector runs before its memory is read.
const IDLE: Duration = Duration::from_secs(20);

/// The recommended declarations of Container Insights on Kubernetes, base profile, pods and nodes.
pub const DECLARATIONS: &str = "
      - dimensions: [[ClusterName, Namespace, PodName], [ClusterName], [ClusterName, Namespace, Service], [ClusterName, Namespace]]
        metric_name_selectors: [pod_cpu_utilization, pod_memory_utilization, pod_network_rx_bytes, pod_network_tx_bytes, pod_cpu_utilization_over_pod_limit, pod_memory_utilization_over_pod_limit]
      - dimensions: [[ClusterName, Namespace, PodName], [ClusterName]]
        metric_name_selectors: [pod_cpu_reserved_capacity, pod_memory_reserved_capacity]
      - dimensions: [[ClusterName, Namespace, PodName]]
        metric_name_selectors: [pod_number_of_container_restarts]
      - dimensions: [[ClusterName, InstanceId, NodeName], [ClusterName]]
        metric_name_selectors: [node_cpu_utilization, node_memory_utilization, node_network_total_bytes, node_cpu_reserved_capacity, node_memory_reserved_capacity, node_number_of_running_pods, node_number_of_running_containers]
      - dimensions: [[ClusterName]]
        metric_name_selectors: [node_cpu_usage_total, node_cpu_limit, node_memory_working_set, node_memory_limit]
      - dimensions: [[ClusterName, InstanceId, NodeName], [ClusterName]]
        metric_name_selectors: [node_filesystem_utilization]
      - dimensions: [[ClusterName, Namespace, Service], [ClusterName]]
        metric_name_selectors: [service_number_of_running_pods]
      - dimensions: [[ClusterName]]
        metric_name_selectors: [cluster_node_count, cluster_failed_node_count]
      - dimensions: [[ClusterName, Namespace], [ClusterName]]
        metric_name_selectors: [namespace_number_of_running_pods]
";

/// How awsemf is asked to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Whoever sends waits.
    Awaited,
    /// Through the exporter's queue, which joins events of several pushes.
    Queued,
}

impl Delivery {
    fn key(self) -> &'static str {
        match self {
            Self::Awaited => "",
            // The load must not be refused when it is faster than the sink.
            Self::Queued => "sending_queue: {block_on_overflow: true}",
        }
    }
}

/// OTLP/gRPC → batch → awsemf → CloudWatch Logs.
pub async fn emf(delivery: Delivery) -> Result<Vec<Row>> {
    let batches: Vec<Batch> = (0..payload::VARIANTS).map(payload::node_of_pods).collect();
    let what = match delivery {
        Delivery::Awaited => "OTLP/gRPC → batch → awsemf → CloudWatch Logs",
        Delivery::Queued => "… the same with `sending_queue`",
    };
    to_cloudwatch(what, DECLARATIONS, delivery, &batches, Some(2.0)).await
}

/// The same with 300,000 series: see [`series`]. Not slower than half of `plain`, in million points a second and core.
pub async fn many_series(plain: Option<f64>) -> Result<Vec<Row>> {
    let batches: Vec<Batch> = (0..series::VARIANTS).map(series::pods).collect();
    let what = "… 50 declarations × 8 sets with label matchers, 300,000 series";
    let target = plain.map(|plain| plain / 2.0);
    to_cloudwatch(what, &series::declarations(), Delivery::Awaited, &batches, target).await
}

/// The keys of the exporter that decide what events look like. `declarations` is a block that is indented by six.
pub fn emf_keys(declarations: &str) -> String {
    format!(
        "    namespace: ContainerInsights
    log_group_name: '/aws/containerinsights/{{ClusterName}}/performance'
    log_stream_name: '{{NodeName}}'
    resource_to_telemetry_conversion: {{enabled: true}}
    dimension_rollup_option: NoDimensionRollup
    parse_json_encoded_attr_values: [Sources, kubernetes]
    metric_declarations: {declarations}
"
    )
}

async fn to_cloudwatch(
    what: &str,
    declarations: &str,
    delivery: Delivery,
    batches: &[Batch],
    target: Option<f64>,
) -> Result<Vec<Row>> {
    let (logs, arrived) = sinks::cloudwatch_logs().await?;
    let otlp = free_address()?;
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{otlp}'}}}}}}}}
processors: {{batch: }}
exporters:
  awsemf:
    region: us-west-2
    endpoint: http://{logs}
    {}
{}service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{metrics: {{receivers: [otlp], processors: [batch], exporters: [awsemf]}}}}
",
        delivery.key(),
        emf_keys(declarations)
    );
    let progress = || arrived.bytes.load(Ordering::Relaxed);
    let load = under_load(&config, otlp, batches, progress).await?;
    let (requests, bytes) = (arrived.requests.load(Ordering::Relaxed) as f64, progress() as f64);
    let mut rows = load.rows(what, target);
    rows.push(Row::new("… size of a PutLogEvents request", bytes / requests.max(1.0) / 1024.0, "KiB"));
    let per_mib = Row::new(
        "… PutLogEvents requests per MiB of events",
        requests / (arrived.event_bytes() / MIB).max(f64::MIN_POSITIVE),
        "",
    );
    rows.push(if delivery == Delivery::Queued { per_mib.at_most(1.05) } else { per_mib });
    Ok(rows)
}

/// OTLP/gRPC → OTLP/gRPC, nothing decoded.
pub async fn forward() -> Result<Vec<Row>> {
    let (otlp, behind) = (free_address()?, free_address()?);
    let endpoint = |address: SocketAddr| format!("{{protocols: {{grpc: {{endpoint: '{address}'}}}}}}");
    let service = |exporter: &str| {
        format!(
            "service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{metrics: {{receivers: [otlp], \
             exporters: [{exporter}]}}}}}}"
        )
    };
    let sink =
        format!("receivers: {{otlp: {}}}\nexporters: {{nop: }}\n{}\n", endpoint(behind), service("nop"));
    let mut sink = Collector::start(Some(&sink))?;
    sink.wait_for(&[behind])?;
    let config = format!(
        "receivers: {{otlp: {}}}\nexporters: {{otlp_grpc: {{endpoint: '{behind}', compression: none, tls: \
         {{insecure: true}}, sending_queue: {{enabled: false}}}}}}\n{}\n",
        endpoint(otlp),
        service("otlp_grpc")
    );
    let batches: Vec<Batch> = (0..payload::VARIANTS).map(payload::node_of_pods).collect();
    Ok(under_load(&config, otlp, &batches, || 0).await?.rows("OTLP/gRPC → OTLP/gRPC", None))
}

/// What a load cost the collector.
struct Load {
    points: f64,
    cpu_seconds: f64,
    wall_seconds: f64,
    peak_mib: f64,
}

impl Load {
    fn rows(&self, what: &str, target: Option<f64>) -> Vec<Row> {
        let per_core = self.points / self.cpu_seconds / 1e6;
        vec![
            target.into_iter().fold(Row::new(what, per_core, "M points/s per core"), Row::at_least),
            Row::new("… CPU per point", self.cpu_seconds / self.points * 1e9, "ns"),
            Row::new("… rate during the run", self.points / self.wall_seconds / 1e6, "M points/s"),
            Row::new("… peak resident memory", self.peak_mib, "MiB"),
        ]
    }
}

/// `progress` tells how much has left the collector.
async fn under_load(
    config: &str,
    otlp: SocketAddr,
    batches: &[Batch],
    progress: impl Fn() -> u64,
) -> Result<Load> {
    let mut collector = Collector::start(Some(config))?;
    collector.wait_for(&[otlp])?;
    load::metrics(otlp, batches, WARM_UP).await?;
    let before = collector.cpu_seconds()?;
    let sent = load::metrics(otlp, batches, LOAD).await?;
    // What the batch processor and the queue still hold belongs to the cost.
    let mut seen = u64::MAX;
    while std::mem::replace(&mut seen, progress()) != seen {
        tokio::time::sleep(SETTLE).await;
    }
    Ok(Load {
        points: sent.points as f64,
        cpu_seconds: collector.cpu_seconds()? - before,
        wall_seconds: sent.elapsed.as_secs_f64(),
        peak_mib: collector.status_kib("VmHWM")? as f64 / 1024.0,
    })
}

/// The built-in configuration: memory when idle, time until the ports are open.
pub fn default_configuration() -> Result<Vec<Row>> {
    let ports = [4317, 4318].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(Collector::start(None)?.wait_for(&ports)?.as_secs_f64() * 1e3);
    }
    starts.sort_by(f64::total_cmp);
    let median = starts.get(STARTS / 2).copied().unwrap_or(f64::NAN);

    let mut collector = Collector::start(None)?;
    collector.wait_for(&ports)?;
    let before = collector.cpu_seconds()?;
    std::thread::sleep(IDLE);
    let cpu = (collector.cpu_seconds()? - before) / IDLE.as_secs_f64() * 1e3;
    let resident = collector.status_kib("VmRSS")? as f64 / 1024.0;
    let private = collector.status_kib("RssAnon")? as f64 / 1024.0;
    Ok(vec![
        Row::new("start to ports open, median of 21", median, "ms").at_most(50.0),
        Row::new("idle resident memory, built-in configuration", resident, "MiB").at_most(15.0),
        Row::new("… of it not backed by the binary's file", private, "MiB"),
        Row::new("idle CPU, built-in configuration (5 s interval)", cpu, "ms per second"),
    ])
}

/// A node of 110 pods, 330 control groups of containers: what a collection costs up to an exporter, and from the kernel's files to
/// the requests to CloudWatch Logs. Memory is read after a fifth of the collections and after all of them.
pub async fn full_node(collections: Collections) -> Result<Vec<Row>> {
    let node = Node::new()?;
    let (logs, arrived) = sinks::cloudwatch_logs().await?;
    let awsemf =
        format!("awsemf: {{container_insights_profile: base, region: us-west-2, endpoint: 'http://{logs}'}}");
    let alone = collect(&node, COLLECTIONS, "nop: ").await?;
    let before = arrived.bytes.load(Ordering::Relaxed);
    let whole = collect(&node, collections, &awsemf).await?;
    let sent = (arrived.bytes.load(Ordering::Relaxed) - before) as f64 / collections.count as f64 / 1024.0;
    let what = format!("a node of {PODS} pods, 330 containers: CPU of a collection");
    let early = format!("… resident memory after {} collections", collections.count / 5);
    Ok(vec![
        Row::new(&what, alone.cpu_ms, "ms").at_most(13.0),
        Row::new("… and of its way to CloudWatch Logs through awsemf", whole.cpu_ms, "ms").at_most(13.0),
        Row::new("… calls that read files, in a collection", whole.reads, "").at_most(1500.0),
        Row::new("… requests of a collection, with their events", sent, "KiB"),
        Row::new(&early, whole.early_mib, "MiB").at_most(24.0),
        Row::new(&format!("… after {}", collections.count), whole.late_mib, "MiB").at_most(24.0),
        Row::new("… at most", whole.peak_mib, "MiB"),
        Row::new("… of it not backed by the binary's file", whole.private_mib, "MiB"),
    ])
}

/// What collections cost.
struct Collected {
    cpu_ms: f64,
    reads: f64,
    early_mib: f64,
    late_mib: f64,
    peak_mib: f64,
    private_mib: f64,
}

async fn collect(node: &Node, collections: Collections, exporter: &str) -> Result<Collected> {
    let Collections { count, interval } = collections;
    let (kubelet, asked) = sinks::kubelet(node.list()).await?;
    let (name, _) = exporter.split_once(':').context("a name of an exporter")?;
    let config = format!(
        "
receivers:
  awscontainerinsightreceiver:
    collection_interval: {}ms
    container_orchestrator: eks
    cluster_name: bench
    host_ip: http://{kubelet}
processors: {{batch: }}
exporters:
  {exporter}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [awscontainerinsightreceiver], processors: [batch], exporters: [{name}]}}
",
        interval.as_millis()
    );
    let collector =
        Collector::start_with(Some(&config), &[("HOST_NAME", "bench"), ("K8S_NODE_NAME", "bench")])?;
    let done = || asked.load(Ordering::Relaxed);
    let until = async |number: u64| {
        let limit = interval * u32::try_from(number).unwrap_or(u32::MAX) * 3 + IDLE;
        let reached = async {
            while done() < number {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(limit, reached).await.context("the collector does not keep pace")
    };
    let mib = |field: &str| anyhow::Ok(collector.status_kib(field)? as f64 / 1024.0);
    // Descriptors are opened, and where containers' files are is found out, in the first ones.
    until(count / 5).await?;
    let early_mib = mib("VmRSS")?;
    let before = (done(), collector.scheduled_seconds()?, collector.reads()?);
    until(count).await?;
    let measured = (done() - before.0) as f64;
    Ok(Collected {
        cpu_ms: (collector.scheduled_seconds()? - before.1) * 1e3 / measured,
        reads: (collector.reads()? - before.2) as f64 / measured,
        early_mib,
        late_mib: mib("VmRSS")?,
        peak_mib: mib("VmHWM")?,
        private_mib: mib("RssAnon")?,
    })
}

/// The stripped release binary.
pub fn size() -> Result<Vec<Row>> {
    let bytes = std::fs::metadata(binary()?)?.len() as f64;
    Ok(vec![Row::new("release binary, stripped", bytes / 1e6, "MB").at_most(16.0)])
}
