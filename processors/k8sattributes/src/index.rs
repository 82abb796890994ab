//! The pods by what they are found by, as one writer published them last: readers take no lock and wait for nobody.
//!
//! A snapshot is made of small parts, and the next one shares all of them but those that were changed: what a change
//! costs depends little on how many pods there are.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::compile::Compiled;
use crate::entry::Entry;
use crate::key::Key;

/// A power of two: among how many tables the keys are spread.
const TABLES: usize = 256;

/// How many pods stand on one page.
const PAGE: usize = 32;

/// The number of a pod, as long as it is known.
pub(crate) type Slot = u32;

/// What was published last.
pub(crate) struct Index(ArcSwap<Snapshot>);

/// Pods by their keys. Each key leads to one pod, whose row tells whether it is its key.
#[derive(Clone)]
pub(crate) struct Snapshot {
    compiled: Arc<Compiled>,
    tables: Box<[Arc<HashTable<Place>>]>,
    pages: Vec<Arc<Page>>,
    hasher: RandomState,
    /// How many keys there are as upstream counts them, which stores an address once for each way to tell it.
    len: usize,
}

/// Where a key leads.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u32,
    slot: Slot,
}

/// Where a key seems to lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) hash: u64,
    pub(crate) slot: Option<Slot>,
}

type Page = [Option<Entry>; PAGE];

impl Index {
    pub(crate) fn new(compiled: &Arc<Compiled>) -> Self {
        Self(ArcSwap::from_pointee(Snapshot::new(Arc::clone(compiled))))
    }

    /// The state of now, for a moment.
    pub(crate) fn read(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// From now on this is what is known.
    pub(crate) fn publish(&self, snapshot: &Snapshot) {
        self.0.store(Arc::new(snapshot.clone()));
    }
}

impl Snapshot {
    pub(crate) fn new(compiled: Arc<Compiled>) -> Self {
        // Tables without keys take no memory of their own.
        let empty = Arc::new(HashTable::new());
        Self {
            compiled,
            tables: vec![empty; TABLES].into(),
            pages: Vec::new(),
            hasher: RandomState::default(),
            len: 0,
        }
    }

    /// The number of the pod of a key.
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<Slot> {
        self.find_by(key, self.hasher.hash_one(key))
    }

    fn find_by(&self, key: &Key<'_>, hash: u64) -> Option<Slot> {
        let layout = self.compiled.associations.layouts.get(key.space)?;
        let is = |place: &Place| {
            place.hash == hash as u32 && self.entry(place.slot).is_some_and(|entry| entry.has(key, layout))
        };
        self.tables.get(table(hash))?.find(spread(hash as u32), is).map(|place| place.slot)
    }

    /// Which pod may be that of a key: without a look at any pod.
    #[inline]
    pub(crate) fn candidate(&self, key: &Key<'_>) -> Candidate {
        let hash = self.hasher.hash_one(key);
        let table = self.tables.get(table(hash));
        let place =
            table.and_then(|table| table.find(spread(hash as u32), |place| place.hash == hash as u32));
        Candidate { hash, slot: place.map(|place| place.slot) }
    }

    /// The pod of a key, of which this is the candidate.
    #[inline]
    pub(crate) fn confirmed(&self, candidate: Candidate, key: &Key<'_>) -> Option<&Entry> {
        let layout = self.compiled.associations.layouts.get(key.space)?;
        let entry = self.entry(candidate.slot?)?;
        if entry.has(key, layout) {
            return Some(entry);
        }
        // Another key with the same hash came first.
        self.entry(self.find_by(key, candidate.hash)?)
    }

    /// The pod with this number.
    pub(crate) fn entry(&self, slot: Slot) -> Option<&Entry> {
        let slot = slot as usize;
        self.pages.get(slot / PAGE)?.get(slot % PAGE)?.as_ref()
    }

    /// How many keys there are, each as often as there are layouts that have it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many numbers there are room for.
    pub(crate) fn slots(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Room for another page of pods.
    pub(crate) fn grow(&mut self) {
        self.pages.push(Arc::new([const { None }; PAGE]));
    }

    /// The place of a pod, to be changed.
    pub(crate) fn entry_mut(&mut self, slot: Slot) -> Option<&mut Option<Entry>> {
        let slot = slot as usize;
        Arc::make_mut(self.pages.get_mut(slot / PAGE)?).get_mut(slot % PAGE)
    }

    /// Lets a key lead to a pod, and no longer to another. The pods must have the key.
    pub(crate) fn lead(&mut self, key: &Key<'_>, slot: Slot) {
        let before = self.find(key);
        let hash = self.hasher.hash_one(key);
        let new = Place { hash: hash as u32, slot };
        let Some(table) = self.tables.get_mut(table(hash)).map(Arc::make_mut) else { return };
        let is = |place: &Place| place.hash == new.hash && Some(place.slot) == before;
        match table.find_mut(spread(new.hash), is) {
            Some(place) => *place = new,
            None => {
                table.insert_unique(spread(new.hash), new, |place| spread(place.hash));
                self.len += self.compiled.associations.alike(key.space);
            }
        }
    }

    /// Forgets a key that leads to a pod.
    pub(crate) fn remove(&mut self, key: &Key<'_>, slot: Slot) {
        let hash = self.hasher.hash_one(key);
        let Some(table) = self.tables.get_mut(table(hash)).map(Arc::make_mut) else { return };
        let is = |place: &Place| place.hash == hash as u32 && place.slot == slot;
        let Ok(found) = table.find_entry(spread(hash as u32), is) else { return };
        found.remove();
        if table.len() < table.capacity() / 4 {
            table.shrink_to_fit(|place| spread(place.hash));
        }
        self.len -= self.compiled.associations.alike(key.space).min(self.len);
    }
}

/// The upper half chooses the table; the lower is what tables keep.
fn table(hash: u64) -> usize {
    (hash >> 32) as usize % TABLES
}

/// A hash of 64 bits of what tables keep of it: theirs looks at the uppermost and at the lowest bits.
fn spread(fragment: u32) -> u64 {
    u64::from(fragment).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("len", &self.len).finish_non_exhaustive()
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}
