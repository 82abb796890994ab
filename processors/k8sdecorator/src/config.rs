//! What users write.

use serde::Deserialize;

/// The variables in which the manifests of the CloudWatch agent put what the configuration does not say.
const HOST_IP: &str = "HOST_IP";
const NODE_NAME: [&str; 2] = ["K8S_NODE_NAME", "HOST_NAME"];

/// The configuration of the processor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The cluster's name.
    pub cluster_name: String,
    /// The address of the node, at which the kubelet is asked; empty for that in the variable `HOST_IP`.
    pub host_ip: String,
    /// The node's name; empty for that in the variable `K8S_NODE_NAME` or `HOST_NAME`.
    pub node_name: String,
    /// Whether `kube-proxy` pods keep their own names.
    pub prefer_full_pod_name: bool,
    /// Whether the service in front of a pod is added.
    pub tag_service: bool,
    /// No effect: the exporter decides it.
    pub disable_metric_extraction: bool,
    /// The place among processors; no effect: the pipeline decides it.
    pub order: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_name: String::new(),
            host_ip: String::new(),
            node_name: String::new(),
            prefer_full_pod_name: false,
            tag_service: true,
            disable_metric_extraction: false,
            order: 0,
        }
    }
}

impl component::Config for Config {}

impl Config {
    pub(crate) fn host_ip(&self) -> String {
        said_or(&self.host_ip, &[HOST_IP])
    }

    pub(crate) fn node_name(&self) -> String {
        said_or(&self.node_name, &NODE_NAME)
    }
}

/// What is said, else the first of the variables that says something.
fn said_or(said: &str, variables: &[&str]) -> String {
    if !said.is_empty() {
        return said.to_owned();
    }
    let values = variables.iter().filter_map(|name| std::env::var(name).ok());
    values.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
}
