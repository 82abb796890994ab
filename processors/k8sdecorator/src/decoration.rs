//! What is added for a pod or a container: attributes, and the JSON that the attribute `kubernetes` holds.

use k8s::row::{Container, Pod};
use k8s::{Names, Naming};
use pdata::Attributes;
use serde_json::{Map, Value, json};

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

impl Node {
    /// What is added to a resource that is of a node, or of nothing that is known.
    pub(crate) fn of_nothing(&self, is_on_node: bool) -> Attributes {
        let name = if is_on_node { self.name.as_str() } else { "" };
        attributes([("ClusterName", self.cluster.as_str()), ("NodeName", name)])
    }

    /// What is added to a resource of a node itself.
    pub(crate) fn of_node(&self) -> Attributes {
        let blob = if self.name.is_empty() { String::new() } else { json!({"host": self.name}).to_string() };
        attributes([
            ("ClusterName", self.cluster.as_str()),
            ("NodeName", self.name.as_str()),
            ("kubernetes", &blob),
        ])
    }

    /// What is added to a resource of a pod, or of one of its containers.
    pub(crate) fn of_pod(
        &self,
        pod: &Pod,
        container: Option<&Container>,
        service: Option<&str>,
    ) -> Attributes {
        let naming = Naming { prefer_full: self.prefer_full_pod_name, ..Naming::default() };
        let Names { pod_name, owners } = naming.of(pod);
        let blob = Value::Object(self.blob(pod, &owners, container, service)).to_string();
        attributes([
            ("ClusterName", self.cluster.as_str()),
            ("NodeName", &self.name),
            ("Namespace", &pod.meta.namespace),
            ("PodName", pod_name),
            ("Service", service.unwrap_or_default()),
            ("kubernetes", &blob),
        ])
    }

    /// Its keys are sorted, as upstream has them.
    fn blob(
        &self,
        pod: &Pod,
        owners: &[(&str, &str)],
        container: Option<&Container>,
        service: Option<&str>,
    ) -> Map<String, Value> {
        let mut blob = Map::new();
        let mut set = |key: &str, value: Value| drop(blob.insert(key.to_owned(), value));
        if let Some(container) = container {
            set("container_name", json!(*container.name));
            let id = container.id.to_string();
            match &container.runtime {
                _ if id.is_empty() => {}
                Some(runtime) => set(runtime, json!({"container_id": id})),
                None => set("container_id", json!(id)),
            }
        }
        if !self.name.is_empty() {
            set("host", json!(self.name));
        }
        if !pod.meta.labels.is_empty() {
            let labels = pod.meta.labels.iter().map(|(key, value)| (key.to_string(), json!(**value)));
            set("labels", Value::Object(labels.collect()));
        }
        set("namespace_name", json!(*pod.meta.namespace));
        set("pod_id", json!(pod.meta.uid.to_string()));
        set("pod_name", json!(*pod.meta.name));
        if !owners.is_empty() {
            let owner = |(kind, name): &(&str, &str)| json!({"owner_kind": kind, "owner_name": name});
            set("pod_owners", owners.iter().map(owner).collect());
        }
        if let Some(service) = service {
            set("service_name", json!(service));
        }
        blob
    }
}

fn attributes<const N: usize>(pairs: [(&str, &str); N]) -> Attributes {
    Attributes::new(pairs.into_iter().filter(|(_, value)| !value.is_empty()))
}
