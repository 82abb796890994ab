//! The pods by what they are found by: read by every resource, written by one task.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::{HashMap, HashSet};
use k8s::Changes;
use k8s::row::{Pod, Uid};
use smallvec::{SmallVec, smallvec};
use tokio::time::Instant;

use crate::association::{BY_CONNECTION, BY_POD_IP, BY_UID, Key, Layout, Slot, begin, push, push_ip};
use crate::compile::{Compiled, MIRROR_ANNOTATION};
use crate::entry::{Entry, Joins, build};

/// A key as it is stored, once for the index and the pod.
type StoredKey = Arc<[u8]>;

/// Pods by their keys.
#[derive(Debug, Default)]
pub(crate) struct Index(RwLock<HashMap<StoredKey, Arc<Entry>>>);

/// The one who writes an [`Index`]: knows every pod's keys, and when a pod or key that is gone is to be forgotten.
#[derive(Debug)]
pub(crate) struct Pods {
    compiled: Arc<Compiled>,
    index: Arc<Index>,
    states: HashMap<Uid, State>,
    /// Whether ReplicaSets, and whether Jobs, tell more of pods.
    owners: [bool; 2],
    /// The pods of those that do.
    by_owner: HashMap<Uid, HashSet<Uid>>,
    /// In order of time: the delay is always the same.
    expiries: VecDeque<(Instant, Expiry)>,
}

#[derive(Debug)]
struct State {
    pod: Arc<Pod>,
    keys: Box<[StoredKey]>,
    /// When it is to be forgotten, once it is gone.
    until: Option<Instant>,
}

#[derive(Debug)]
enum Expiry {
    Pod(Uid),
    /// Keys that a pod does not have any more, unless it has them again.
    Keys(Uid, Vec<StoredKey>),
}

impl Index {
    /// The pod of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.read().get(key).cloned()
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<StoredKey, Arc<Entry>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<StoredKey, Arc<Entry>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pods {
    pub(crate) fn new(compiled: Arc<Compiled>, index: Arc<Index>) -> Self {
        let needs = compiled.needs();
        Self {
            owners: [needs.replica_sets.is_some(), needs.jobs.is_some()],
            compiled,
            index,
            states: HashMap::default(),
            by_owner: HashMap::default(),
            expiries: VecDeque::new(),
        }
    }

    /// Takes in what happened to pods. `all` tells every pod there is, when the changes say to read them anew.
    pub(crate) fn take(
        &mut self,
        changes: Changes<Pod>,
        all: impl FnOnce() -> Vec<Arc<Pod>>,
        joins: &impl Joins,
    ) {
        if changes.resync {
            let pods = all();
            let there: HashSet<Uid> = pods.iter().map(|pod| pod.meta.uid.clone()).collect();
            pods.into_iter().for_each(|pod| self.apply(pod, joins));
            let gone: Vec<Uid> = self.states.keys().filter(|uid| !there.contains(*uid)).cloned().collect();
            gone.iter().for_each(|uid| self.delete(uid));
        }
        for change in changes.list {
            match change {
                k8s::Change::Applied(pod) => self.apply(pod, joins),
                k8s::Change::Deleted(pod) => self.delete(&pod.meta.uid),
            }
        }
    }

    /// A pod is there, new or changed.
    pub(crate) fn apply(&mut self, pod: Arc<Pod>, joins: &impl Joins) {
        let entry = Arc::new(build(&self.compiled, &pod, joins));
        let keys: Box<[StoredKey]> =
            keys(&self.compiled, &pod, &entry).iter().map(|key| Arc::from(key.as_slice())).collect();
        let uid = pod.meta.uid.clone();
        self.link(&pod);
        for key in &keys {
            self.offer(key, &entry);
        }
        let state = State { pod, keys, until: None };
        if let Some(before) = self.states.insert(uid.clone(), state) {
            self.unlink_former(&before.pod, &uid);
            self.retire(uid, before.keys);
        }
    }

    /// A pod is gone; it is still found for a while.
    pub(crate) fn delete(&mut self, uid: &Uid) {
        let until = Instant::now() + self.compiled.grace;
        if let Some(state) = self.states.get_mut(uid).filter(|state| state.until.is_none()) {
            state.until = Some(until);
            self.expiries.push_back((until, Expiry::Pod(uid.clone())));
        }
    }

    /// Works the pods of this owner out anew, of which more is known now.
    pub(crate) fn owner_changed(&mut self, owner: &Uid, joins: &impl Joins) {
        let pods: Vec<Uid> = self.by_owner.get(owner).into_iter().flatten().cloned().collect();
        self.work_out(&pods, joins);
    }

    /// Works all pods out anew.
    pub(crate) fn all_changed(&mut self, joins: &impl Joins) {
        let pods: Vec<Uid> = self.states.keys().cloned().collect();
        self.work_out(&pods, joins);
    }

    /// When the next pod or key is to be forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.front().map(|(when, _)| *when)
    }

    /// Forgets what is to be forgotten by now.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while let Some((when, expiry)) = self.expiries.pop_front_if(|(when, _)| *when <= now) {
            match expiry {
                Expiry::Pod(uid) => {
                    // A pod that came back is not gone, whatever was planned.
                    if self.states.get(&uid).is_some_and(|state| state.until == Some(when))
                        && let Some(state) = self.states.remove(&uid)
                    {
                        self.unlink(&state.pod, &uid);
                        self.remove(&uid, &state.keys);
                    }
                }
                Expiry::Keys(uid, mut keys) => {
                    if let Some(state) = self.states.get(&uid) {
                        keys.retain(|key| !state.keys.contains(key));
                    }
                    self.remove(&uid, &keys);
                }
            }
        }
    }

    fn work_out(&mut self, pods: &[Uid], joins: &impl Joins) {
        for uid in pods {
            let Some(state) = self.states.get(uid).filter(|state| state.until.is_none()) else { continue };
            self.apply(Arc::clone(&state.pod), joins);
        }
    }

    /// Puts a pod under a key, unless it is that of a pod that has more right to it.
    fn offer(&self, key: &StoredKey, entry: &Arc<Entry>) {
        let mut table = self.index.write();
        let kept = table.get(key).is_some_and(|other| self.is_stronger(other, entry));
        if !kept {
            table.insert(Arc::clone(key), Arc::clone(entry));
        }
    }

    /// Whether a pod keeps its key although another one has it, too: addresses are given anew.
    fn is_stronger(&self, old: &Entry, new: &Entry) -> bool {
        let rival = self.states.get(&old.uid).filter(|state| old.uid != new.uid && state.until.is_none());
        let Some(rival) = rival else { return false };
        let (Some(before), Some(after)) = (old.started, new.started) else { return false };
        // Times are seconds: within one, who has ended gives way, then who was made earlier.
        (before, !rival.pod.has_ended(), old.created) > (after, !new.ended, new.created)
    }

    /// Plans that keys which a pod had are forgotten, but those that it still has.
    fn retire(&mut self, uid: Uid, keys: Box<[StoredKey]>) {
        let Some(state) = self.states.get(&uid) else { return };
        let mut keys = keys.into_vec();
        keys.retain(|key| !state.keys.contains(key));
        if !keys.is_empty() {
            let until = Instant::now() + self.compiled.grace;
            self.expiries.push_back((until, Expiry::Keys(uid, keys)));
        }
    }

    fn remove(&self, uid: &Uid, keys: &[StoredKey]) {
        let mut table = self.index.write();
        for key in keys {
            if table.get(key).is_some_and(|entry| entry.uid == *uid) {
                table.remove(key);
            }
        }
    }

    fn link(&mut self, pod: &Pod) {
        let [replica_sets, jobs] = self.owners;
        let tells_more = |kind: &str| (kind == "ReplicaSet" && replica_sets) || (kind == "Job" && jobs);
        for owner in pod.meta.owners.iter().filter(|owner| tells_more(&owner.kind)) {
            self.by_owner.entry(owner.uid.clone()).or_default().insert(pod.meta.uid.clone());
        }
    }

    fn unlink(&mut self, pod: &Pod, uid: &Uid) {
        for owner in pod.meta.owners.iter() {
            if let Some(pods) = self.by_owner.get_mut(&owner.uid) {
                pods.remove(uid);
                if pods.is_empty() {
                    self.by_owner.remove(&owner.uid);
                }
            }
        }
    }

    /// Owners are seldom replaced: only then is anything to be done.
    fn unlink_former(&mut self, before: &Pod, uid: &Uid) {
        let Some(now) = self.states.get(uid).map(|state| Arc::clone(&state.pod)) else { return };
        if before.meta.owners != now.meta.owners {
            self.unlink(before, uid);
            self.link(&now);
        }
    }
}

/// What a pod is found by.
fn keys(compiled: &Compiled, pod: &Pod, entry: &Entry) -> Vec<Key> {
    let layouts = &compiled.associations.layouts;
    let mut keys = Vec::new();
    let always = [BY_UID, BY_CONNECTION, BY_POD_IP].into_iter().filter_map(|at| Some((at, layouts.get(at)?)));
    for (index, layout) in always.chain(compiled.associations.configured()) {
        for key in keys_of_layout(index, layout, pod, entry) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    // The kubelet and its log files know a static pod by another uid than the API server.
    if let Some(mirror) = pod.meta.annotation(MIRROR_ANNOTATION).filter(|uid| !uid.is_empty()) {
        let mut key = begin(BY_UID);
        push(&mut key, mirror, false);
        keys.push(key);
    }
    keys
}

/// A key for each combination of the slots' values; none if a slot has none.
fn keys_of_layout(index: usize, layout: &Layout, pod: &Pod, entry: &Entry) -> SmallVec<[Key; 2]> {
    let mut keys: SmallVec<[Key; 2]> = smallvec![begin(index)];
    for slot in &layout.slots {
        let values = values(slot, pod, entry);
        keys = keys
            .iter()
            .flat_map(|key| {
                values.iter().map(move |value| {
                    let mut key = key.clone();
                    match value {
                        SlotValue::Ip(ip) => push_ip(&mut key, *ip),
                        SlotValue::Text(text) => push(&mut key, text, false),
                    }
                    key
                })
            })
            .collect();
    }
    keys
}

enum SlotValue {
    Ip(IpAddr),
    Text(String),
}

fn values(slot: &Slot, pod: &Pod, entry: &Entry) -> Vec<SlotValue> {
    let text = |text: &str| {
        if text.is_empty() { Vec::new() } else { vec![SlotValue::Text(text.to_owned())] }
    };
    match slot {
        Slot::Connection => ips(pod),
        Slot::Attribute { name, .. } => match name.as_str() {
            "k8s.pod.ip" | "host.name" => ips(pod),
            "k8s.namespace.name" => text(&pod.meta.namespace),
            "k8s.pod.name" => text(&pod.meta.name),
            "k8s.pod.uid" => text(&pod.meta.uid.to_string()),
            "container.id" => {
                let ids = pod.containers.iter().map(|container| &container.id);
                ids.filter(|id| !id.is_empty()).map(|id| SlotValue::Text(id.to_string())).collect()
            }
            name => text(entry.attributes.get(name).and_then(|value| value.as_str()).unwrap_or_default()),
        },
    }
}

/// The addresses that are the pod's alone: not its node's, and not those that it has given back.
fn ips(pod: &Pod) -> Vec<SlotValue> {
    if pod.host_network || pod.has_ended() {
        return Vec::new();
    }
    pod.ips.iter().map(|ip| SlotValue::Ip(ip.to_canonical())).collect()
}
