//! What is added for a pod or a container: attributes, and the JSON that the attribute `kubernetes` holds.

use k8s::row::{Container, Pod};
use k8s::{Description, Names, Naming};
use pdata::Attributes;

/// What is the same for all pods of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// The attribute `ClusterName`; empty for none.
    pub(crate) cluster: String,
    /// The attribute `NodeName`; empty for none.
    pub(crate) name: String,
    /// The key `prefer_full_pod_name`.
    pub(crate) prefer_full_pod_name: bool,
}

/// What is added for a pod, and for each of its containers in the order in which the pod has them.
pub(crate) struct Added {
    pub(crate) pod: Attributes,
    pub(crate) containers: Vec<Attributes>,
}

impl Node {
    /// What is added to a resource that is of a node, or of nothing that is known.
    pub(crate) fn of_nothing(&self, is_on_node: bool) -> Attributes {
        let name = if is_on_node { self.name.as_str() } else { "" };
        attributes([("ClusterName", self.cluster.as_str()), ("NodeName", name)])
    }

    /// What is added to a resource of a node itself.
    pub(crate) fn of_node(&self) -> Attributes {
        let mut kubernetes = Vec::new();
        if !self.name.is_empty() {
            self.description().write(&mut kubernetes);
        }
        attributes([
            ("ClusterName", self.cluster.as_str()),
            ("NodeName", self.name.as_str()),
            ("kubernetes", &String::from_utf8_lossy(&kubernetes)),
        ])
    }

    /// What is added to resources of a pod and of its containers. `service` is in front of it.
    pub(crate) fn of_pod(&self, pod: &Pod, service: Option<&str>) -> Added {
        let naming = Naming { prefer_full: self.prefer_full_pod_name, ..Naming::default() };
        let Names { pod_name, owners } = naming.of(pod);
        let mut of_pod = Vec::new();
        Description {
            pod: Some(pod),
            pod_name: Some(&pod.meta.name),
            owners: &owners,
            service,
            ..self.description()
        }
        .write(&mut of_pod);
        let added = |kubernetes: &[u8]| {
            attributes([
                ("ClusterName", self.cluster.as_str()),
                ("NodeName", &self.name),
                ("Namespace", &pod.meta.namespace),
                ("PodName", pod_name),
                ("Service", service.unwrap_or_default()),
                ("kubernetes", &String::from_utf8_lossy(kubernetes)),
            ])
        };
        let mut of_container = Vec::new();
        let mut of = |container: &Container| {
            of_container.clear();
            Description::write_container(&mut of_container, container, &of_pod);
            added(&of_container)
        };
        Added { containers: pod.containers.iter().map(&mut of).collect(), pod: added(&of_pod) }
    }

    /// What is said of everything on the node.
    fn description(&self) -> Description<'_> {
        Description {
            host: Some(self.name.as_str()).filter(|name| !name.is_empty()),
            ..Description::default()
        }
    }
}

fn attributes<const N: usize>(pairs: [(&str, &str); N]) -> Attributes {
    Attributes::new(pairs.into_iter().filter(|(_, value)| !value.is_empty()))
}
