//! A cluster's pods without a cluster.

use std::collections::HashMap;
use std::sync::Arc;

use confmap::Problems;
use k8s::row::{Job, Owner, ReplicaSet, Row, Uid};
use k8s::{Interner, Projection};
use pdata::Layer;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Config;
use crate::association::{BY_CONNECTION, BY_UID};
use crate::common::Joins;
use crate::compile::Compiled;
use crate::entry::{Entry, Layers, Room};
use crate::field::Fields;
use crate::gating::Gating;
use crate::index::Index;
use crate::key::{Key, Part};
use crate::pods::Pods;

/// The pods of a test, and what leads from them to others.
pub(crate) struct Cluster {
    pub(crate) pods: Pods,
    pub(crate) index: Arc<Index>,
    pub(crate) compiled: Arc<Compiled>,
    interner: Interner,
    pub(crate) joins: Others,
}

#[derive(Default)]
pub(crate) struct Others {
    pub(crate) replica_sets: HashMap<Uid, Arc<ReplicaSet>>,
    pub(crate) jobs: HashMap<Uid, Arc<Job>>,
    pub(crate) cluster: Option<Uid>,
}

impl Joins for Others {
    fn deployment(&self, replica_set: &Uid) -> Option<Option<Owner>> {
        Some(self.replica_sets.get(replica_set)?.meta.controller("Deployment").cloned())
    }

    fn cron_job(&self, job: &Uid) -> Option<Option<Owner>> {
        Some(self.jobs.get(job)?.meta.controller("CronJob").cloned())
    }

    fn cluster(&self) -> Option<Uid> {
        self.cluster.clone()
    }
}

impl Cluster {
    pub(crate) fn new(yaml: &str) -> Self {
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let mut problems = Problems::default();
        let compiled = Arc::new(Compiled::of(&config, |_| None, Gating::default(), &mut problems));
        assert_eq!(problems.len(), 0, "{problems}");
        let index = Arc::new(Index::new(&compiled));
        let pods = Pods::new(Arc::clone(&compiled), Arc::clone(&index));
        Self { pods, index, compiled, interner: Interner::default(), joins: Others::default() }
    }

    pub(crate) fn row<R: Row>(&self, object: &Value) -> Arc<R> {
        let json = object.to_string();
        Arc::new(R::from_json(json.as_bytes(), &Projection::all(), &self.interner).unwrap().row)
    }

    pub(crate) fn apply(&mut self, pod: &Value) {
        let pod = self.row(pod);
        self.pods.apply(pod, &self.joins);
    }

    pub(crate) fn delete(&mut self, uid: &str) {
        self.pods.delete(&Uid::new(uid));
    }

    pub(crate) fn sweep(&mut self) {
        self.pods.sweep(Instant::now());
    }

    /// How many keys readers see.
    pub(crate) fn len(&mut self) -> usize {
        self.pods.publish();
        self.index.read().len()
    }

    /// The pod that readers find by these values.
    pub(crate) fn find(&mut self, layout: usize, values: &[&str]) -> Option<Entry> {
        self.pods.publish();
        let (snapshot, key) = (self.index.read(), key(&self.compiled, layout, values));
        snapshot.confirmed(snapshot.candidate(&key), &key).cloned()
    }

    pub(crate) fn get(&mut self, uid: &str) -> Option<Entry> {
        self.find(BY_UID, &[uid])
    }

    /// The uid of the pod that an address leads to.
    pub(crate) fn by_ip(&mut self, ip: &str) -> Option<String> {
        self.find(BY_CONNECTION, &[ip]).map(|entry| entry.pod.meta.uid.to_string())
    }

    pub(crate) fn attributes(&mut self, uid: &str) -> String {
        let entry = self.get(uid).unwrap();
        let (mut room, mut layers) = (Room::default(), Layers::new());
        entry.push(&mut room.own, Fields::default(), &mut layers);
        shown(&layers)
    }

    /// What is added of a container.
    pub(crate) fn container(&mut self, uid: &str, name: &str) -> String {
        let entry = self.get(uid).unwrap();
        let Some(chosen) = entry.container_named(name) else { return "none".to_owned() };
        let (mut instance, mut layers) = (String::new(), Layers::new());
        chosen.push(&self.compiled, &mut instance, &mut layers);
        let tag = chosen.common.tag.as_ref().map(|tag| format!(" [{tag}]")).unwrap_or_default();
        shown(&layers) + &tag
    }
}

/// In the order of names.
pub(crate) fn shown(layers: &[Layer<'_>]) -> String {
    let mut pairs: Vec<String> = Vec::new();
    for layer in layers {
        match layer {
            Layer::Set(set) => {
                pairs.extend(set.iter().map(|pair| format!("{}={}", pair.key, pair.value.as_str().unwrap())))
            }
            Layer::Text { key, value } | Layer::NewText { key, value } => {
                pairs.push(format!("{}={value}", key.name()))
            }
        }
    }
    pairs.sort();
    pairs.join(" ")
}

pub(crate) fn key<'a>(compiled: &Compiled, layout: usize, values: &[&'a str]) -> Key<'a> {
    let layout = &compiled.associations.layouts[layout];
    let parts = layout.slots.iter().zip(values).map(|(slot, value)| Part::of(slot.kind(), value)).collect();
    Key { space: layout.space, parts }
}

/// A pod whose uid is its name unless `extra` says otherwise; `extra` is merged into it.
pub(crate) fn pod(name: &str, extra: &Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running"},
    });
    merge(&mut pod, extra);
    pod
}

fn merge(to: &mut Value, from: &Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (key, value) in from {
                merge(to.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (to, from) => *to = from.clone(),
    }
}

pub(crate) fn at(ip: &str, started: &str) -> Value {
    json!({"status": {"podIP": ip, "startTime": started}})
}

pub(crate) const T: &str = "2026-01-01T00:00:10Z";
pub(crate) const EARLIER: &str = "2026-01-01T00:00:00Z";
