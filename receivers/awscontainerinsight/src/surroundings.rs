//! What the environment says about this machine at the start.

use crate::Config;

/// Environment variables that name the cluster, best first.
const CLUSTER_NAME_VARIABLES: &[&str] = &["CLUSTER_NAME", "K8S_CLUSTER_NAME"];

/// Where a service account's namespace is mounted.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What runs the containers of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orchestrator {
    /// Kubernetes, by upstream's name for it.
    Eks,
    /// Amazon ECS.
    Ecs,
    /// Nobody, as far as can be seen.
    None,
}

/// Orchestrator and names, and where each is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub(crate) orchestrator: Orchestrator,
    /// Why it is thought to be this one.
    pub(crate) orchestrator_from: &'static str,
    pub(crate) node_name: Option<String>,
    pub(crate) node_name_from: &'static str,
    pub(crate) cluster_name: Option<String>,
    pub(crate) cluster_name_from: &'static str,
    /// The kubelet's address, with Kubernetes, as far as it can be known.
    pub(crate) kubelet: Option<String>,
    /// The namespace of this pod.
    pub(crate) namespace: Option<String>,
    /// The machine's address, as far as somebody says it.
    pub(crate) address: Option<String>,
}

impl Orchestrator {
    /// As `container_orchestrator` calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Eks => "eks",
            Self::Ecs => "ecs",
            Self::None => "none",
        }
    }
}

impl Surroundings {
    /// Looks at the environment of this process.
    pub(crate) fn discover(config: &Config) -> Self {
        let environment = |name: &str| std::env::var(name).ok();
        let mut found = Self::discover_with(config, environment, k8s::is_in_cluster(), node::hostname());
        let file = || std::fs::read_to_string(NAMESPACE_FILE).ok().map(|name| name.trim().to_owned());
        found.namespace = found.namespace.or_else(|| file().filter(|name| !name.is_empty()));
        found
    }

    fn discover_with(
        config: &Config,
        environment: impl Fn(&str) -> Option<String>,
        in_cluster: bool,
        machine_name: String,
    ) -> Self {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let (orchestrator, orchestrator_from) = orchestrator(config, &variable, in_cluster);
        let (node_name, node_name_from) = node_name(config, &variable, orchestrator, machine_name);
        let (cluster_name, cluster_name_from) = cluster_name(config, &variable);
        let node = node_name.clone().filter(|_| node_name_from != FROM_MACHINE);
        let configured = Some(config.keys.host_ip.clone()).filter(|address| !address.is_empty());
        let address = variable("HOST_IP").or(configured);
        let kubelet = address.clone().or(node).filter(|_| orchestrator == Orchestrator::Eks);
        Self {
            orchestrator,
            orchestrator_from,
            node_name,
            node_name_from,
            cluster_name,
            cluster_name_from,
            kubelet,
            namespace: variable("K8S_NAMESPACE"),
            address,
        }
    }

    /// Whether the cluster's name is left to EC2's tags. With ECS the agent says it.
    pub(crate) fn needs_cluster_name(&self) -> bool {
        self.cluster_name.is_none() && self.orchestrator == Orchestrator::Eks
    }

    /// What is missing although records should have it, and what to do about it. `will_ask` is whether somebody is asked
    /// for the cluster's name later on.
    pub(crate) fn remedies(&self, will_ask: bool) -> Vec<&'static str> {
        let mut remedies = Vec::new();
        if self.cluster_name.is_none() && !will_ask {
            remedies.push(
                "the cluster's name is not known, so records have no ClusterName: set the key cluster_name or the \
                 environment variable CLUSTER_NAME",
            );
        }
        if self.orchestrator == Orchestrator::Eks && self.node_name_from == FROM_MACHINE {
            remedies.push(
                "the node's name is not known, so records have the host name, which in a pod is usually the pod's: set \
                 the environment variable HOST_NAME from spec.nodeName, or the key host_name",
            );
        }
        if self.orchestrator == Orchestrator::Eks && self.kubelet.is_none() {
            remedies.push(
                "the kubelet's address is not known, so there are no records of pods and containers: set the environment \
                 variable HOST_IP from status.hostIP, or the key host_ip",
            );
        }
        remedies
    }
}

const FROM_MACHINE: &str = "the machine's host name";
/// What the kernel calls a machine that was given no name.
const UNNAMED: &str = "(none)";
const NOT_KNOWN: &str = "not known";

fn orchestrator(
    config: &Config,
    variable: &impl Fn(&str) -> Option<String>,
    in_cluster: bool,
) -> (Orchestrator, &'static str) {
    match config.keys.container_orchestrator.as_str() {
        "eks" => return (Orchestrator::Eks, "the key container_orchestrator"),
        "ecs" => return (Orchestrator::Ecs, "the key container_orchestrator"),
        "none" => return (Orchestrator::None, "the key container_orchestrator"),
        _ => {}
    }
    if in_cluster {
        return (Orchestrator::Eks, "KUBERNETES_SERVICE_HOST or a service account's token");
    }
    if !config.keys.kube_config_path.is_empty() {
        return (Orchestrator::Eks, "the key kube_config_path");
    }
    for name in ["ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI"] {
        if variable(name).is_some() {
            return (Orchestrator::Ecs, name);
        }
    }
    if variable("AWS_EXECUTION_ENV").is_some_and(|value| value.starts_with("AWS_ECS")) {
        return (Orchestrator::Ecs, "AWS_EXECUTION_ENV");
    }
    (Orchestrator::None, "no sign of Kubernetes or ECS")
}

fn node_name(
    config: &Config,
    variable: &impl Fn(&str) -> Option<String>,
    orchestrator: Orchestrator,
    machine_name: String,
) -> (Option<String>, &'static str) {
    if let Some(name) = variable("HOST_NAME") {
        return (Some(name), "HOST_NAME");
    }
    if !config.keys.host_name.is_empty() {
        return (Some(config.keys.host_name.clone()), "the key host_name");
    }
    if let Some(name) = variable("K8S_NODE_NAME") {
        return (Some(name), "K8S_NODE_NAME");
    }
    // An ECS record is about its container instance; upstream gives it no node name of its own making.
    if orchestrator == Orchestrator::Ecs || matches!(machine_name.as_str(), "" | UNNAMED) {
        return (None, NOT_KNOWN);
    }
    (Some(machine_name), FROM_MACHINE)
}

fn cluster_name(
    config: &Config,
    variable: &impl Fn(&str) -> Option<String>,
) -> (Option<String>, &'static str) {
    if !config.keys.cluster_name.is_empty() {
        return (Some(config.keys.cluster_name.clone()), "the key cluster_name");
    }
    let found = CLUSTER_NAME_VARIABLES.iter().find_map(|name| Some((variable(name)?, *name)));
    found.map_or((None, NOT_KNOWN), |(name, from)| (Some(name), from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discover(yaml: &str, variables: &[(&str, &str)], in_cluster: bool) -> Surroundings {
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let environment =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Surroundings::discover_with(&config, environment, in_cluster, "machine".to_owned())
    }

    #[test]
    fn orchestrators() {
        fn check(yaml: &str, variables: &[(&str, &str)], in_cluster: bool, expected: Orchestrator) {
            let found = discover(yaml, variables, in_cluster);
            assert_eq!(found.orchestrator, expected, "{yaml} {variables:?} {in_cluster}");
        }
        let ecs = ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x");
        check("{}", &[], false, Orchestrator::None);
        check("{}", &[], true, Orchestrator::Eks);
        check("{}", &[ecs], false, Orchestrator::Ecs);
        check("{}", &[("ECS_CONTAINER_METADATA_URI", "http://169.254.170.2/v3/x")], false, Orchestrator::Ecs);
        check("{}", &[ecs], true, Orchestrator::Eks);
        check("{}", &[("AWS_EXECUTION_ENV", "AWS_ECS_EC2")], false, Orchestrator::Ecs);
        check("{}", &[("AWS_EXECUTION_ENV", "AWS_Lambda_nodejs20.x")], false, Orchestrator::None);
        check("{}", &[("ECS_CONTAINER_METADATA_URI_V4", "")], false, Orchestrator::None);
        check("container_orchestrator: eks", &[], false, Orchestrator::Eks);
        check("kube_config_path: /k", &[], false, Orchestrator::Eks);
        check("container_orchestrator: ecs", &[], true, Orchestrator::Ecs);
        check("container_orchestrator: none", &[], true, Orchestrator::None);
    }

    #[test]
    fn names() {
        fn check(yaml: &str, variables: &[(&str, &str)], node: Option<&str>, cluster: Option<&str>) {
            let found = discover(yaml, variables, false);
            let names = (found.node_name.as_deref(), found.cluster_name.as_deref());
            assert_eq!(names, (node, cluster), "{yaml} {variables:?}");
        }
        check("{}", &[], Some("machine"), None);
        check("{}", &[("HOST_NAME", ""), ("CLUSTER_NAME", "")], Some("machine"), None);
        check("{host_name: h, cluster_name: c}", &[], Some("h"), Some("c"));
        check(
            "{host_name: h, cluster_name: c}",
            &[("HOST_NAME", "n"), ("CLUSTER_NAME", "e")],
            Some("n"),
            Some("c"),
        );
        check("{}", &[("K8S_NODE_NAME", "k"), ("K8S_CLUSTER_NAME", "l")], Some("k"), Some("l"));
        check("{}", &[("CLUSTER_NAME", "e"), ("K8S_CLUSTER_NAME", "l")], Some("machine"), Some("e"));
        check("container_orchestrator: ecs", &[], None, None);
        check("container_orchestrator: ecs", &[("HOST_NAME", "n")], Some("n"), None);
    }

    #[test]
    fn remedies() {
        fn check(yaml: &str, in_cluster: bool, expected: &[&str]) {
            let remedies = discover(yaml, &[], in_cluster).remedies(false);
            let begins: Vec<_> = remedies.iter().map(|text| text.split(" is not").next().unwrap()).collect();
            assert_eq!(begins, expected, "{yaml} {in_cluster}");
        }
        check("cluster_name: c", false, &[]);
        check("{}", false, &["the cluster's name"]);
        check("{}", true, &["the cluster's name", "the node's name", "the kubelet's address"]);
        check("{cluster_name: c, host_name: h}", true, &[]);
        check("{cluster_name: c, host_ip: 10.0.0.1}", true, &["the node's name"]);
        assert_eq!(discover("{}", &[], false).remedies(true), [""; 0]);
    }

    #[test]
    fn kubelets() {
        fn check(yaml: &str, variables: &[(&str, &str)], in_cluster: bool, expected: Option<&str>) {
            let found = discover(yaml, variables, in_cluster).kubelet;
            assert_eq!(found.as_deref(), expected, "{yaml} {variables:?}");
        }
        let address = ("HOST_IP", "10.0.0.1");
        check("{}", &[address, ("HOST_NAME", "n")], true, Some("10.0.0.1"));
        check("host_ip: 10.0.0.2", &[], true, Some("10.0.0.2"));
        check("host_ip: 10.0.0.2", &[address], true, Some("10.0.0.1"));
        check("{}", &[("HOST_NAME", "n")], true, Some("n"));
        check("{}", &[], true, None);
        check("{}", &[address], false, None);
    }
}
