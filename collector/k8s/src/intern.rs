//! Strings and lists that many objects share, stored once.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashSet;

use crate::row::{ContainerIdentity, ContainerSpec, Owner, SharedMeta};

/// A text that is stored once however many rows use it.
pub type Name = Arc<str>;

/// Labels or annotations, sorted by key, stored once however many rows have the same.
pub type Pairs = Arc<[(Name, Name)]>;

/// A pool is not swept before it took in this many values since the last time.
const FEWEST_BETWEEN_SWEEPS: usize = 512;

/// The pools that rows take their shared parts from.
///
/// A value that nobody uses any more leaves its pool at one of the next sweeps, which come so often that less than
/// half of a pool (and a few hundred values) is waste, and so seldom that a sweep costs each value that came
/// or went a constant.
#[derive(Debug, Default)]
pub struct Interner {
    names: Pool<str>,
    pairs: Pool<[(Name, Name)]>,
    owners: Pool<[Owner]>,
    containers: Pool<Box<[ContainerSpec]>>,
    pub(crate) identities: Pool<ContainerIdentity>,
    pub(crate) metas: Pool<SharedMeta>,
}

#[derive(Debug)]
pub(crate) struct Pool<T: ?Sized>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// Values that came, and that may have lost a user, since the last sweep.
    changes: usize,
}

impl Interner {
    /// `text`, shared.
    pub fn name(&self, text: &str) -> Name {
        self.names.intern(text, || Arc::from(text))
    }

    /// `pairs` sorted by key, shared. Of a key that occurs more than once the last pair counts.
    pub fn pairs(&self, mut pairs: Vec<(Name, Name)>) -> Pairs {
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        pairs.reverse();
        pairs.dedup_by(|(a, _), (b, _)| a == b);
        pairs.reverse();
        self.pairs.intern_list(pairs)
    }

    pub(crate) fn owners(&self, owners: Vec<Owner>) -> Arc<[Owner]> {
        self.owners.intern_list(owners)
    }

    pub(crate) fn containers(&self, containers: Vec<ContainerSpec>) -> Arc<Box<[ContainerSpec]>> {
        self.containers.intern_value(containers.into())
    }

    /// How many different texts and lists are stored, those that wait for a sweep included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
            + self.pairs.len()
            + self.owners.len()
            + self.containers.len()
            + self.identities.len()
            + self.metas.len()
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row was dropped: what it used may have no user left.
    pub(crate) fn row_dropped(&self) {
        // Users of others first.
        self.metas.changed();
        self.identities.changed();
        self.containers.changed();
        self.owners.changed();
        self.pairs.changed();
        self.names.changed();
    }

    /// Frees what has no user, at once.
    pub fn sweep(&self) {
        self.metas.lock().sweep();
        self.identities.lock().sweep();
        self.containers.lock().sweep();
        self.owners.lock().sweep();
        self.pairs.lock().sweep();
        self.names.lock().sweep();
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    fn intern(&self, value: &T, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut state = self.lock();
        if let Some(known) = state.values.get(value) {
            return Arc::clone(known);
        }
        state.changed();
        let value = make();
        state.values.insert(Arc::clone(&value));
        value
    }

    fn len(&self) -> usize {
        self.lock().values.len()
    }

    fn changed(&self) {
        self.lock().changed();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Eq + Hash> Pool<T> {
    pub(crate) fn intern_value(&self, value: T) -> Arc<T> {
        let mut state = self.lock();
        if let Some(known) = state.values.get(&value) {
            return Arc::clone(known);
        }
        state.changed();
        let value = Arc::new(value);
        state.values.insert(Arc::clone(&value));
        value
    }
}

impl<T: Eq + Hash> Pool<[T]> {
    fn intern_list(&self, list: Vec<T>) -> Arc<[T]> {
        let mut state = self.lock();
        if let Some(known) = state.values.get(list.as_slice()) {
            return Arc::clone(known);
        }
        state.changed();
        let list: Arc<[T]> = Arc::from(list);
        state.values.insert(Arc::clone(&list));
        list
    }
}

impl<T: ?Sized + Eq + Hash> State<T> {
    fn changed(&mut self) {
        self.changes += 1;
        if self.changes >= FEWEST_BETWEEN_SWEEPS.max(self.values.len() / 2) {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        // Nobody can take another reference to a value whose only owner is the pool: the pool is locked.
        self.values.retain(|value| Arc::strong_count(value) > 1);
        if self.values.len() < self.values.capacity() / 4 {
            self.values.shrink_to_fit();
        }
        self.changes = 0;
    }
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(State { values: HashSet::default(), changes: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_leave_with_their_last_user() {
        let interner = Interner::default();
        let first = interner.name("kube-system");
        assert!(Arc::ptr_eq(&first, &interner.name("kube-system")));
        let pair = |key: &str, value: &str| (interner.name(key), interner.name(value));
        let labels = interner.pairs(vec![pair("b", "2"), pair("a", "1")]);
        assert!(Arc::ptr_eq(&labels, &interner.pairs(vec![pair("a", "1"), pair("b", "2")])));
        assert_eq!(interner.len(), 6);
        drop(labels);
        interner.sweep();
        assert_eq!(interner.len(), 1, "only the namespace has a user");
    }

    #[test]
    fn the_last_pair_of_a_key_counts() {
        let interner = Interner::default();
        let pair = |key: &str, value: &str| (interner.name(key), interner.name(value));
        let pairs = interner.pairs(vec![pair("a", "1"), pair("b", "x"), pair("a", "2")]);
        assert_eq!(*pairs, [pair("a", "2"), pair("b", "x")]);
    }

    #[test]
    fn a_stream_of_names_that_come_and_go_stays_small() {
        let interner = Interner::default();
        let kept: Vec<Name> = (0..100).map(|n| interner.name(&format!("kept-{n}"))).collect();
        for n in 0..100_000 {
            drop(interner.name(&format!("pod-{n}")));
        }
        assert!(interner.len() <= kept.len() + FEWEST_BETWEEN_SWEEPS, "{}", interner.len());
        drop(kept);
        for _ in 0..FEWEST_BETWEEN_SWEEPS {
            interner.row_dropped();
        }
        assert!(interner.is_empty());
    }
}
