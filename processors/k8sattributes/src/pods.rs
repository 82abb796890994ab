//! The one who writes the index: knows which pods have a key, and when a pod or a key that is gone is to be forgotten.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashSet};
use hashbrown::HashTable;
use k8s::row::{Owner, Pod, Uid};
use k8s::{Change, Changes, Name};
use tokio::time::Instant;

use crate::association::BY_UID;
use crate::common::{Joins, Pool, build, is_ignored};
use crate::compile::Compiled;
use crate::entry::{Common, Entry, Keys, Rare};
use crate::index::{Index, Slot, Snapshot};
use crate::key::{Key, Part};

/// The writer of an [`Index`].
pub(crate) struct Pods {
    compiled: Arc<Compiled>,
    index: Arc<Index>,
    /// What is to be published next.
    next: Snapshot,
    changed: bool,
    by_uid: HashTable<Slot>,
    hasher: RandomState,
    free: Vec<Slot>,
    /// Whether ReplicaSets, and whether Jobs, tell more of pods.
    owners: [bool; 2],
    /// The pods of those that do.
    by_owner: HashMap<Uid, Vec<Slot>>,
    /// Of keys that several pods have: these pods.
    contested: HashMap<Key<'static>, Vec<Slot>>,
    commons: Pool,
    /// In order of time: the delay is always the same.
    expiries: VecDeque<(Instant, Slot, Expiry)>,
    change: u32,
}

#[derive(Debug)]
enum Expiry {
    /// The pod of this uid, unless it came back.
    Pod(Uid),
    /// Keys that the pod of this uid does not have any more, unless it has them again.
    Keys(Uid, Vec<Key<'static>>),
}

impl Pods {
    pub(crate) fn new(compiled: Arc<Compiled>, index: Arc<Index>) -> Self {
        Self {
            owners: compiled.owners_tell_more(),
            next: Snapshot::new(Arc::clone(&compiled)),
            changed: false,
            by_uid: HashTable::new(),
            hasher: RandomState::default(),
            free: Vec::new(),
            by_owner: HashMap::default(),
            contested: HashMap::default(),
            commons: Pool::default(),
            expiries: VecDeque::new(),
            change: 0,
            compiled,
            index,
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
            let there: HashSet<Slot> = pods.into_iter().filter_map(|pod| self.apply(pod, joins)).collect();
            let gone: Vec<Uid> = self
                .all()
                .filter(|(slot, entry)| !there.contains(slot) && !entry.is_gone())
                .map(|(_, entry)| entry.pod.meta.uid.clone())
                .collect();
            gone.iter().for_each(|uid| self.delete(uid));
        }
        for change in changes.list {
            match change {
                Change::Applied(pod) => drop(self.apply(pod, joins)),
                Change::Deleted(pod) => self.delete(&pod.meta.uid),
            }
        }
    }

    /// A pod is there, new or changed.
    pub(crate) fn apply(&mut self, pod: Arc<Pod>, joins: &impl Joins) -> Option<Slot> {
        let known = self.slot(&pod.meta.uid);
        if let Some(entry) = known.and_then(|slot| self.next.entry(slot))
            && Arc::ptr_eq(&entry.pod, &pod)
            && !entry.is_gone()
        {
            return known;
        }
        self.work_out(known, pod, joins)
    }

    /// A pod is gone; it is still found for a while.
    pub(crate) fn delete(&mut self, uid: &Uid) {
        let until = Instant::now() + self.compiled.grace;
        let Some(slot) = self.slot(uid) else { return };
        let Some(entry) = self.next.entry(slot).filter(|entry| !entry.is_gone()) else { return };
        let mut rare = entry.rare.clone().unwrap_or_default();
        rare.until = Some(until);
        let keys = entry.keys(&self.compiled);
        self.put_rare(slot, Some(rare));
        for key in &keys {
            self.hand_over(key, slot);
        }
        self.expiries.push_back((until, slot, Expiry::Pod(uid.clone())));
    }

    /// Works the pods of this owner out anew, of which more is known now.
    pub(crate) fn owner_changed(&mut self, owner: &Uid, joins: &impl Joins) {
        let slots = self.by_owner.get(owner).cloned().unwrap_or_default();
        self.work_out_anew(slots, joins);
    }

    /// Works all pods out anew.
    pub(crate) fn all_changed(&mut self, joins: &impl Joins) {
        let slots = self.all().map(|(slot, _)| slot).collect();
        self.work_out_anew(slots, joins);
    }

    /// Whether there is something that readers do not see yet.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Shows readers what is known.
    pub(crate) fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.index.publish(&self.next);
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.next.len()
    }

    /// How many pods there are, those that are gone for a short while included.
    pub(crate) fn count(&self) -> usize {
        self.by_uid.len()
    }

    /// Tells the owners of all pods, and in which namespace they are.
    pub(crate) fn owners(&self, mut tell: impl FnMut(&Owner, &Name)) {
        for (_, entry) in self.all() {
            let meta = &entry.pod.meta;
            meta.owners.iter().for_each(|owner| tell(owner, &meta.namespace));
        }
    }

    /// When the next pod or key is to be forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.front().map(|(when, ..)| *when)
    }

    /// Forgets what is to be forgotten by now.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while let Some((when, slot, expiry)) = self.expiries.pop_front_if(|(when, ..)| *when <= now) {
            let entry = self.next.entry(slot);
            match (entry, expiry) {
                // A pod that came back is not gone, whatever was planned.
                (Some(entry), Expiry::Pod(uid))
                    if entry.pod.meta.uid == uid
                        && entry.rare.as_ref().is_some_and(|rare| rare.until == Some(when)) =>
                {
                    self.forget(slot);
                }
                (Some(entry), Expiry::Keys(uid, keys)) if entry.pod.meta.uid == uid => {
                    self.forget_keys(slot, &keys);
                }
                _ => {}
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        let slots = (0..self.next.slots()).filter_map(|slot| Slot::try_from(slot).ok());
        slots.filter_map(|slot| Some((slot, self.next.entry(slot)?)))
    }

    fn slot(&self, uid: &Uid) -> Option<Slot> {
        let is = |slot: &Slot| self.next.entry(*slot).is_some_and(|entry| entry.pod.meta.uid == *uid);
        self.by_uid.find(self.hasher.hash_one(uid), is).copied()
    }

    fn work_out_anew(&mut self, slots: Vec<Slot>, joins: &impl Joins) {
        for slot in slots {
            let Some(entry) = self.next.entry(slot).filter(|entry| !entry.is_gone()) else { continue };
            let pod = Arc::clone(&entry.pod);
            self.work_out(Some(slot), pod, joins);
        }
    }

    fn work_out(&mut self, known: Option<Slot>, pod: Arc<Pod>, joins: &impl Joins) -> Option<Slot> {
        let slot = known.or_else(|| self.free_slot())?;
        let before = self.next.entry(slot).cloned();
        let change = match &before {
            // Nothing happened to the pod itself.
            Some(before) if Arc::ptr_eq(&before.pod, &pod) && !before.is_gone() => before.change,
            _ => {
                self.change = self.change.wrapping_add(1);
                self.change
            }
        };
        let ignored = is_ignored(&self.compiled, &pod);
        let common = if ignored { Common::default() } else { build(&self.compiled, &pod, joins) };
        let common = self.commons.share(common);
        let mut entry = Entry { pod, common, rare: None, change, ignored };
        let keys = entry.keys(&self.compiled);
        let mut lost = Keys::new();
        if let Some(before) = &before {
            lost = before.keys(&self.compiled);
            lost.retain(|key| !keys.contains(key));
            let mut former = before.rare.as_ref().map(|rare| rare.former.clone()).unwrap_or_default();
            former.retain(|key| !keys.contains(key));
            former.extend(lost.iter().cloned());
            entry.rare = (!former.is_empty()).then(|| Box::new(Rare { until: None, former }));
        }
        self.link(slot, before.as_ref().map(|before| &*before.pod), &entry.pod);
        let uid = entry.pod.meta.uid.clone();
        *self.next.entry_mut(slot)? = Some(entry);
        self.changed = true;
        if before.is_none() {
            let Self { by_uid, next, hasher, .. } = self;
            let rehash =
                |slot: &Slot| next.entry(*slot).map_or(0, |entry| hasher.hash_one(&entry.pod.meta.uid));
            by_uid.insert_unique(hasher.hash_one(&uid), slot, rehash);
        } else {
            self.commons.changed();
        }
        for key in &keys {
            self.offer(key, slot);
        }
        if !lost.is_empty() {
            for key in &lost {
                self.hand_over(key, slot);
            }
            let until = Instant::now() + self.compiled.grace;
            self.expiries.push_back((until, slot, Expiry::Keys(uid, lost.into_vec())));
        }
        Some(slot)
    }

    fn free_slot(&mut self) -> Option<Slot> {
        if self.free.is_empty() {
            let first = Slot::try_from(self.next.slots()).ok()?;
            self.next.grow();
            let end = Slot::try_from(self.next.slots()).ok()?;
            self.free.extend((first..end).rev());
        }
        self.free.pop()
    }

    fn put_rare(&mut self, slot: Slot, rare: Option<Box<Rare>>) {
        if let Some(Some(entry)) = self.next.entry_mut(slot) {
            entry.rare = rare;
            self.changed = true;
        }
    }

    /// Lets a key lead to a pod that has it, unless it leads to one that has more right to it.
    fn offer(&mut self, key: &Key<'static>, slot: Slot) {
        let Some(holder) = self.next.find(key) else { return self.next.lead(key, slot) };
        if holder == slot {
            return;
        }
        let rivals = self.contested.entry(key.clone()).or_default();
        for rival in [holder, slot] {
            if !rivals.contains(&rival) {
                rivals.push(rival);
            }
        }
        let (Some(old), Some(new)) = (self.next.entry(holder), self.next.entry(slot)) else { return };
        if !self.is_stronger(key, old, new) {
            self.next.lead(key, slot);
        }
    }

    /// Whether a pod keeps its key although another one has it, too: addresses are given anew.
    fn is_stronger(&self, key: &Key<'_>, old: &Entry, new: &Entry) -> bool {
        let Some(layout) = self.compiled.associations.layouts.get(key.space) else { return false };
        if old.is_gone() || !old.has_now(key, layout) {
            return false;
        }
        // A pod cannot take the uid of another by naming it in an annotation.
        if let (BY_UID, [Part::Uid(uid)]) = (key.space, key.parts.as_slice()) {
            return old.pod.meta.uid == *uid;
        }
        let (Some(before), Some(after)) = (old.pod.started, new.pod.started) else {
            return old.change > new.change;
        };
        // Times are seconds: within one, who has ended gives way, then who was made earlier.
        (before, !old.pod.has_ended(), old.pod.meta.created, old.change)
            > (after, !new.pod.has_ended(), new.pod.meta.created, new.change)
    }

    /// A pod does not have a key any more: another one that has it gets it. Whether there is one.
    fn hand_over(&mut self, key: &Key<'static>, slot: Slot) -> bool {
        let Some(mut rivals) = self.contested.remove(key) else { return false };
        rivals.retain(|rival| *rival != slot && self.has_now(key, *rival));
        if self.next.find(key) == Some(slot) {
            let mut in_order: Vec<(u32, Slot)> =
                rivals.iter().filter_map(|rival| Some((self.next.entry(*rival)?.change, *rival))).collect();
            in_order.sort_unstable();
            let heir = in_order.into_iter().map(|(_, slot)| slot).reduce(|old, new| {
                let stronger = self.next.entry(old).zip(self.next.entry(new));
                if stronger.is_some_and(|(a, b)| self.is_stronger(key, a, b)) { old } else { new }
            });
            if let Some(heir) = heir {
                self.next.lead(key, heir);
                self.changed = true;
            }
        }
        let is_held = !rivals.is_empty();
        if rivals.len() > 1 {
            self.contested.insert(key.clone(), rivals);
        }
        is_held
    }

    fn has_now(&self, key: &Key<'_>, slot: Slot) -> bool {
        let layout = self.compiled.associations.layouts.get(key.space);
        layout.zip(self.next.entry(slot)).is_some_and(|(layout, entry)| entry.has_now(key, layout))
    }

    /// Forgets a pod.
    fn forget(&mut self, slot: Slot) {
        let Some(entry) = self.next.entry(slot).cloned() else { return };
        let mut keys = entry.keys(&self.compiled);
        keys.extend(entry.rare.iter().flat_map(|rare| rare.former.iter().cloned()));
        for key in &keys {
            self.release(key, slot);
        }
        self.unlink(slot, &entry.pod);
        let Self { by_uid, hasher, .. } = self;
        if let Ok(found) = by_uid.find_entry(hasher.hash_one(&entry.pod.meta.uid), |other| *other == slot) {
            found.remove();
        }
        if let Some(place) = self.next.entry_mut(slot) {
            *place = None;
        }
        self.free.push(slot);
        self.commons.changed();
        self.changed = true;
    }

    /// Forgets keys that a pod had.
    fn forget_keys(&mut self, slot: Slot, keys: &[Key<'static>]) {
        let Some(rare) = self.next.entry(slot).and_then(|entry| entry.rare.clone()) else { return };
        let (gone, former): (Vec<_>, Vec<_>) = rare.former.into_iter().partition(|key| keys.contains(key));
        for key in &gone {
            self.release(key, slot);
        }
        let rare = Rare { former, ..*rare };
        let is_needed = rare.until.is_some() || !rare.former.is_empty();
        self.put_rare(slot, is_needed.then(|| Box::new(rare)));
    }

    /// A key leads no longer to a pod.
    fn release(&mut self, key: &Key<'static>, slot: Slot) {
        self.hand_over(key, slot);
        if self.next.find(key) == Some(slot) {
            self.next.remove(key, slot);
            self.changed = true;
        }
    }

    /// Notes whose a pod is; of one that was known only if that changed.
    fn link(&mut self, slot: Slot, before: Option<&Pod>, now: &Pod) {
        if let Some(before) = before {
            if before.meta.owners == now.meta.owners {
                return;
            }
            self.unlink(slot, before);
        }
        let [replica_sets, jobs] = self.owners;
        let tells_more = |kind: &str| (kind == "ReplicaSet" && replica_sets) || (kind == "Job" && jobs);
        for owner in now.meta.owners.iter().filter(|owner| tells_more(&owner.kind)) {
            let pods = self.by_owner.entry(owner.uid.clone()).or_default();
            if !pods.contains(&slot) {
                pods.push(slot);
            }
        }
    }

    fn unlink(&mut self, slot: Slot, pod: &Pod) {
        for owner in pod.meta.owners.iter() {
            if let Some(pods) = self.by_owner.get_mut(&owner.uid) {
                pods.retain(|other| *other != slot);
                if pods.is_empty() {
                    self.by_owner.remove(&owner.uid);
                }
            }
        }
    }
}

#[cfg(test)]
impl Pods {
    /// How many [`Common`]s there are.
    pub(crate) fn commons(&self) -> usize {
        self.commons.len()
    }

    /// Whether nothing is kept of pods.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
            && self.by_owner.is_empty()
            && self.contested.is_empty()
            && self.expiries.is_empty()
    }
}
