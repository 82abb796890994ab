//! Payloads shaped like Container Insights: one resource per pod, 25 gauges, no point attributes.

use std::time::{SystemTime, UNIX_EPOCH};

use pdata::metrics::Number;
use pdata::{Batch, MetricsBuilder};

/// Requests that differ.
pub const VARIANTS: usize = 8;
/// Pods of a request: a full node.
pub const PODS: usize = 110;

/// The pod metrics of the base profile: names with units, integers first.
const METRICS: [(&str, &str); 25] = [
    ("pod_cpu_limit", ""),
    ("pod_cpu_request", ""),
    ("pod_memory_limit", "Bytes"),
    ("pod_memory_request", "Bytes"),
    ("pod_memory_usage", "Bytes"),
    ("pod_memory_cache", "Bytes"),
    ("pod_memory_rss", "Bytes"),
    ("pod_memory_swap", "Bytes"),
    ("pod_memory_working_set", "Bytes"),
    ("pod_number_of_containers", "Count"),
    ("pod_number_of_running_containers", "Count"),
    ("pod_number_of_container_restarts", "Count"),
    ("pod_cpu_usage_total", ""),
    ("pod_cpu_usage_user", ""),
    ("pod_cpu_usage_system", ""),
    ("pod_cpu_utilization", "Percent"),
    ("pod_cpu_reserved_capacity", "Percent"),
    ("pod_cpu_utilization_over_pod_limit", "Percent"),
    ("pod_memory_utilization", "Percent"),
    ("pod_memory_reserved_capacity", "Percent"),
    ("pod_memory_utilization_over_pod_limit", "Percent"),
    ("pod_memory_pgfault", "Count/Second"),
    ("pod_network_rx_bytes", "Bytes/Second"),
    ("pod_network_tx_bytes", "Bytes/Second"),
    ("pod_network_total_bytes", "Bytes/Second"),
];

/// How many of the metrics are integers.
const INTEGERS: usize = 12;

/// A request of [`PODS`] pods, with the time of now. `variant` makes requests differ in names and values.
pub fn node_of_pods(variant: usize) -> Batch {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut builder = MetricsBuilder::default();
    for pod in 0..PODS {
        let name = format!("web-{variant}-{}", pod / 10);
        let full_name = format!("{name}-7c9b6d5f4-{pod:05}");
        let kubernetes = format!(
            "{{\"host\":\"ip-10-0-1-20.ec2.internal\",\"labels\":{{\"app\":\"web\",\"pod-template-hash\":\
             \"7c9b6d5f4\"}},\"namespace_name\":\"shop\",\"pod_id\":\"2f6c1d3e-1111-4222-8333-{pod:012}\",\
             \"pod_name\":\"{full_name}\",\"pod_owners\":[{{\"owner_kind\":\"Deployment\",\"owner_name\":\"{name}\"}}]}}"
        );
        let mut entry = builder.resource();
        for (key, value) in [
            ("AutoScalingGroupName", "eks-ng-a-1c2d"),
            ("ClusterName", "demo"),
            ("InstanceId", "i-0aa11bb22cc33dd44"),
            ("InstanceType", "m6i.large"),
            ("Namespace", "shop"),
            ("NodeName", "ip-10-0-1-20.ec2.internal"),
            ("PodName", name.as_str()),
            ("Sources", r#"["cadvisor","pod","calculated"]"#),
            ("Type", "Pod"),
            ("Version", "0"),
            ("kubernetes", kubernetes.as_str()),
            ("pod_status", "Running"),
        ] {
            entry.attribute(key, value);
        }
        for (index, (name, unit)) in METRICS.iter().enumerate() {
            let seed = variant * 7919 + pod * 31 + index;
            let value = if index < INTEGERS {
                Number::Int((seed * 4096) as i64)
            } else {
                Number::Double(seed as f64 * 0.137)
            };
            entry.gauge(name, unit, now, value);
        }
    }
    builder.finish()
}
