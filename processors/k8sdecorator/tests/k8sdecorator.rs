//! The processor as the service runs it.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use confmap::Node;
use testkit::contract::ProcessorContract;

#[tokio::test(start_paused = true)]
async fn contract() {
    ProcessorContract::new(k8sdecoratorprocessor::factory(), "{cluster_name: c1, node_name: n1}")
        .check()
        .await;
}

/// The keys that the CloudWatch agent's translator writes.
#[test]
fn configurations() {
    let check = |yaml: &str, expected: Option<&str>| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let got = k8sdecoratorprocessor::factory().decode(Some(&node), "k8sdecorator").map(drop);
        let got = got.map_err(|problems| problems.to_string());
        match expected {
            None => assert_eq!(got, Ok(()), "{yaml}"),
            Some(expected) => assert!(got.is_err_and(|text| text.contains(expected)), "{yaml}"),
        }
    };
    check(
        "{cluster_name: c, host_ip: 10.0.0.1, node_name: n, order: 1, prefer_full_pod_name: false, tag_service: true,
          disable_metric_extraction: false}",
        None,
    );
    check("cluster: c", Some("has invalid keys: cluster"));
}
