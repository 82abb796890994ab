//! Many series: 50 declarations of 8 dimension sets each, over pods whose labels all differ.
//!
//! Every metric has its declaration, with a label matcher; four of its dimension sets name the pod. So a pod has 200 series of
//! its own, and [`VARIANTS`] requests have [`SERIES`].

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use pdata::metrics::Number;
use pdata::{Batch, MetricsBuilder};

/// Requests that differ.
pub const VARIANTS: usize = 30;
/// Pods of a request.
pub const PODS: usize = 50;
/// Metrics of a pod.
const METRICS: usize = 50;
/// The distinct series of all requests that are about one pod alone: metrics times dimension sets with its name.
pub const SERIES: usize = VARIANTS * PODS * METRICS * 4;

/// The dimension sets of every other metric.
const FIRST: &str = "[[ClusterName], [ClusterName, Namespace], [ClusterName, Namespace, Service], [ClusterName, NodeName], \
                     [ClusterName, Namespace, PodName], [ClusterName, NodeName, PodName], \
                     [ClusterName, InstanceId, NodeName, PodName], [ClusterName, Namespace, NodeName, PodName]]";
/// The dimension sets of the others.
const SECOND: &str = "[[Namespace], [Service], [NodeName], [InstanceId, NodeName], [PodName], [Namespace, PodName], \
                      [Service, PodName], [Namespace, Service, PodName]]";

/// `metric_declarations` as a YAML block below a key that is indented by four.
pub fn declarations() -> String {
    let mut yaml = String::new();
    let kinds = [
        (FIRST, "{label_names: [ClusterName, Type], separator: ';', regex: '^demo;Pod$'}"),
        (SECOND, "{label_names: [Namespace, PodName], regex: '^(shop|cart);.*[0-9]$'}"),
    ];
    for (metric, (sets, matcher)) in (0..METRICS).zip(kinds.iter().cycle()) {
        // Writing to a String cannot fail.
        let _ = write!(
            yaml,
            "\n      - dimensions: {sets}\n        metric_name_selectors: ['^{}$']\n        label_matchers: [{matcher}]",
            name(metric)
        );
    }
    yaml
}

/// A request of [`PODS`] pods, with the time of now; `variant` decides which.
pub fn pods(variant: usize) -> Batch {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut builder = MetricsBuilder::default();
    let node = format!("ip-10-0-{variant}-20.ec2.internal");
    for pod in 0..PODS {
        let number = variant * PODS + pod;
        let pod_name = format!("web-{}-7c9b6d5f4-{number:05}", number % 40);
        let service = format!("web-{}", number % 40);
        let mut entry = builder.resource();
        for (key, value) in [
            ("ClusterName", "demo"),
            ("InstanceId", "i-0aa11bb22cc33dd44"),
            ("Namespace", if pod % 4 < 2 { "shop" } else { "cart" }),
            ("NodeName", node.as_str()),
            ("PodName", pod_name.as_str()),
            ("Service", service.as_str()),
            ("Type", "Pod"),
        ] {
            entry.attribute(key, value);
        }
        for metric in 0..METRICS {
            entry.gauge(&name(metric), "Count", now, Number::Int((number * 31 + metric) as i64));
        }
    }
    builder.finish()
}

fn name(metric: usize) -> String {
    format!("pod_metric_{metric:02}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_50_declarations_of_8_sets() {
        let yaml = declarations();
        assert_eq!(yaml.matches("- dimensions:").count(), 50);
        for sets in [FIRST, SECOND] {
            assert_eq!(sets.matches('[').count(), 1 + 8);
            assert_eq!(sets.matches("PodName").count(), 4);
        }
        assert_eq!(SERIES, 300_000);
    }

    #[test]
    fn all_pods_differ() {
        let mut names = BTreeSet::new();
        for variant in 0..VARIANTS {
            let batch = pods(variant);
            assert_eq!(batch.items(), PODS * METRICS);
            for resource in pdata::metrics::resources(&batch) {
                let name = resource.resource().attributes().find(|pair| pair.key == "PodName");
                names.insert(name.and_then(|pair| pair.value.as_str().map(str::to_owned)));
            }
        }
        assert_eq!(names.len(), VARIANTS * PODS);
    }
}
