//! A cluster's pods without a cluster.

use std::collections::HashMap;
use std::sync::Arc;

use confmap::Problems;
use k8s::row::{Job, ReplicaSet, Row, Uid};
use k8s::{Interner, Projection};
use pdata::Value as Attribute;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Config;
use crate::association::{BY_CONNECTION, BY_POD_IP, BY_UID, Key, begin, push};
use crate::compile::Compiled;
use crate::entry::{Entry, Joins};
use crate::index::{Index, Pods};

/// The pods of a test, and what leads from them to others.
pub(crate) struct Cluster {
    pub(crate) pods: Pods,
    pub(crate) index: Arc<Index>,
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
    fn replica_set(&self, uid: &Uid) -> Option<Arc<ReplicaSet>> {
        self.replica_sets.get(uid).cloned()
    }

    fn job(&self, uid: &Uid) -> Option<Arc<Job>> {
        self.jobs.get(uid).cloned()
    }

    fn cluster(&self) -> Option<Uid> {
        self.cluster.clone()
    }
}

impl Cluster {
    pub(crate) fn new(yaml: &str) -> Self {
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let mut problems = Problems::default();
        let compiled = Arc::new(Compiled::of(&config, |_| None, &mut problems));
        assert_eq!(problems.len(), 0, "{problems}");
        let index = Arc::new(Index::default());
        let pods = Pods::new(compiled, Arc::clone(&index));
        Self { pods, index, interner: Interner::default(), joins: Others::default() }
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

    pub(crate) fn get(&self, layout: usize, value: &str) -> Option<Arc<Entry>> {
        self.index.get(&key(layout, &[value]))
    }

    /// The uid of the pod that an address leads to.
    pub(crate) fn by_ip(&self, ip: &str) -> Option<String> {
        let uid = |layout| self.get(layout, ip).map(|entry| entry.uid.to_string());
        assert_eq!(uid(BY_CONNECTION), uid(BY_POD_IP));
        uid(BY_CONNECTION)
    }

    pub(crate) fn attributes(&self, uid: &str) -> String {
        let entry = self.get(BY_UID, uid).unwrap();
        shown(&entry.attributes)
    }
}

pub(crate) fn shown(attributes: &pdata::Attributes) -> String {
    let text = |value: Attribute| match value {
        Attribute::String(text) => text,
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter().map(|pair| format!("{}={}", pair.key, text(pair.value.into())));
    pairs.collect::<Vec<_>>().join(" ")
}

pub(crate) fn key(layout: usize, values: &[&str]) -> Key {
    let mut key = begin(layout);
    values.iter().for_each(|value| push(&mut key, value, matches!(layout, BY_CONNECTION | BY_POD_IP)));
    key
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
