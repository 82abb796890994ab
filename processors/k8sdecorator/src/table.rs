//! The pods of the node, by what metrics call them.

use std::sync::Arc;

use foldhash::HashMap;
use k8s::row::Pod;
use pdata::Attributes;

use crate::decoration::Node;

/// What is added, by uid, by container id, and by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_uid: HashMap<String, Arc<Decorated>>,
    by_name: HashMap<String, Arc<Decorated>>,
    by_container: HashMap<String, Arc<Attributes>>,
}

/// A pod with what is added for it.
#[derive(Debug)]
struct Decorated {
    pod: Attributes,
    /// By the names of containers.
    containers: Vec<(String, Arc<Attributes>)>,
}

/// What a resource says of whom it is about; empty texts for what it does not say.
#[derive(Debug, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) uid: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) container: &'a str,
    pub(crate) container_id: &'a str,
}

impl Subject<'_> {
    /// Whether it is about a pod at all.
    pub(crate) fn is_pod(&self) -> bool {
        !(self.uid.is_empty()
            && self.container_id.is_empty()
            && (self.pod.is_empty() || self.namespace.is_empty()))
    }
}

impl Table {
    /// Of these pods, each with the service in front of it.
    pub(crate) fn new<'p>(pods: impl IntoIterator<Item = (&'p Pod, Option<&'p str>)>, node: &Node) -> Self {
        let mut table = Self::default();
        for (pod, service) in pods {
            let added = node.of_pod(pod, service);
            let mut containers = Vec::new();
            for (container, attributes) in pod.containers.iter().zip(added.containers) {
                let attributes = Arc::new(attributes);
                if !container.id.is_empty() {
                    table.by_container.insert(container.id.to_string(), Arc::clone(&attributes));
                }
                containers.push((container.name.to_string(), attributes));
            }
            let decorated = Arc::new(Decorated { pod: added.pod, containers });
            table.by_name.insert(key(&pod.meta.namespace, &pod.meta.name), Arc::clone(&decorated));
            table.by_uid.insert(pod.meta.uid.to_string(), decorated);
        }
        table
    }

    /// What is added for whom a resource is about.
    pub(crate) fn get(&self, subject: &Subject<'_>) -> Option<&Attributes> {
        if let Some(found) = self.by_container.get(bare(subject.container_id)) {
            return Some(found);
        }
        let by_name = || self.by_name.get(&key(subject.namespace, subject.pod));
        let decorated = self.by_uid.get(subject.uid).or_else(by_name)?;
        let container = decorated.containers.iter().find(|(name, _)| name == subject.container);
        Some(container.map_or(&decorated.pod, |(_, attributes)| attributes))
    }
}

/// Neither a namespace nor a pod has a slash in its name.
fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// A container's id without the runtime before it.
fn bare(id: &str) -> &str {
    id.rsplit_once("://").map_or(id, |(_, id)| id)
}
