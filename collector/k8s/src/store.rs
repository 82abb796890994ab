//! What a watch knows: rows that many read while one writes.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use hashbrown::{DefaultHashBuilder, HashSet, HashTable, hash_table::Entry};
use tokio::sync::watch;

use crate::Interner;
use crate::changes::{Change, Queue};
use crate::row::{Row, Uid};

/// A power of two: how many parts a store has, each with a lock of its own. A reader waits for a writer only if both
/// are in the same part, and no longer than an insertion takes.
const SHARDS: usize = 16;

/// The rows of one watch. Reading never waits for the network.
#[derive(Debug)]
pub struct Store<R> {
    names: [RwLock<HashTable<Arc<R>>>; SHARDS],
    /// Absent until somebody looks for a uid. Locked before `names`.
    uids: RwLock<Option<HashTable<Arc<R>>>>,
    hasher: DefaultHashBuilder,
    len: AtomicUsize,
    /// While a list is taken in that is not the first: the hashes of the names that it confirmed. A row whose name's 64 bits
    /// are those of another one would stay until the next list.
    confirmed: Mutex<Option<HashSet<u64>>>,
    queues: Mutex<Vec<Weak<Queue<R>>>>,
    synced: watch::Sender<bool>,
    interner: Arc<Interner>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    added: AtomicU64,
    updated: AtomicU64,
    deleted: AtomicU64,
    lists: AtomicU64,
    failures: AtomicU64,
    undecodable: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

/// What a watch did so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchStats {
    /// Objects that appeared.
    pub added: u64,
    /// Changes to objects that were there, those that change nothing that is kept included.
    pub updated: u64,
    /// Objects that disappeared.
    pub deleted: u64,
    /// Full lists taken in.
    pub lists: u64,
    /// Questions that failed.
    pub failures: u64,
    /// Objects that were left out because they could not be decoded.
    pub undecodable: u64,
    /// Why the last question failed; absent while the watch works.
    pub failing: Option<String>,
}

impl<R: Row> Store<R> {
    /// A store of nothing whose rows share their parts with those of `interner`'s other users.
    #[must_use]
    pub fn new(interner: Arc<Interner>) -> Self {
        Self {
            names: Default::default(),
            uids: RwLock::default(),
            hasher: DefaultHashBuilder::default(),
            len: AtomicUsize::new(0),
            confirmed: Mutex::default(),
            queues: Mutex::default(),
            synced: watch::Sender::new(false),
            interner,
            counts: Counts::default(),
        }
    }

    /// The row of the object `name` in `namespace`, which is empty for objects that live in none.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<R>> {
        let hash = self.hash(&(namespace, name));
        let shard = self.read(&self.names, hash)?;
        shard.find(hash, |row| is(&**row, namespace, name)).map(Arc::clone)
    }

    /// The row of the object with this uid. The first call makes the table for it, which costs memory.
    #[must_use]
    pub fn get_by_uid(&self, uid: &Uid) -> Option<Arc<R>> {
        let hash = self.hash(uid);
        let find = |table: &HashTable<Arc<R>>| table.find(hash, |row| row.meta().uid == *uid).map(Arc::clone);
        if let Some(table) = read(&self.uids).as_ref() {
            return find(table);
        }
        find(write(&self.uids).get_or_insert_with(|| self.by_uid()))
    }

    fn by_uid(&self) -> HashTable<Arc<R>> {
        let mut table = HashTable::with_capacity(self.len());
        self.for_each(|row| {
            table
                .insert_unique(self.hash(&row.meta().uid), Arc::clone(row), |row| self.hash(&row.meta().uid));
        });
        table
    }

    /// Calls `visit` with every row, in no order. Rows that change meanwhile are seen once, old or new.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<R>)) {
        for shard in &self.names {
            // Visitors may take long: they do not hold the lock.
            let rows: Vec<Arc<R>> = read(shard).iter().map(Arc::clone).collect();
            rows.iter().for_each(&mut visit);
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a full list was taken in at least once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until a full list was taken in.
    pub async fn synced(&self) {
        // The sender is ours: the channel cannot be closed while we wait.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// What the watch did so far.
    #[must_use]
    pub fn stats(&self) -> WatchStats {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WatchStats {
            added: count(&self.counts.added),
            updated: count(&self.counts.updated),
            deleted: count(&self.counts.deleted),
            lists: count(&self.counts.lists),
            failures: count(&self.counts.failures),
            undecodable: count(&self.counts.undecodable),
            failing: lock(&self.counts.last_failure).clone(),
        }
    }

    pub(crate) fn interner(&self) -> &Arc<Interner> {
        &self.interner
    }

    pub(crate) fn attach(&self, queue: &Arc<Queue<R>>) {
        let mut queues = lock(&self.queues);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(queue));
    }

    /// A full list begins: rows that it does not confirm go when it ends.
    pub(crate) fn begin_list(&self) {
        *lock(&self.confirmed) = (!self.is_empty()).then(HashSet::default);
    }

    /// A full list is complete.
    pub(crate) fn end_list(&self) {
        if let Some(confirmed) = lock(&self.confirmed).take() {
            let mut uids = write(&self.uids);
            for shard in &self.names {
                let is_gone = |row: &mut Arc<R>| !confirmed.contains(&self.hash_name(row));
                let gone: Vec<Arc<R>> = write(shard).extract_if(is_gone).collect();
                for row in gone {
                    self.removed(row, uids.as_mut());
                }
            }
        }
        self.interner.sweep();
        self.counts.lists.fetch_add(1, Ordering::Relaxed);
        self.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
    }

    /// An object is there, new or changed.
    pub(crate) fn apply(&self, row: R) {
        let meta = row.meta();
        let hash = self.hash(&(&*meta.namespace, &*meta.name));
        let Some(shard) = shard(&self.names, hash) else { return };
        if let Some(confirmed) = lock(&self.confirmed).as_mut() {
            confirmed.insert(hash);
        }
        let mut uids = write(&self.uids);
        let (row, replaced) = {
            let mut table = write(shard);
            let same = |known: &Arc<R>| is(&**known, &meta.namespace, &meta.name);
            match table.entry(hash, same, |known| self.hash_name(known)) {
                Entry::Occupied(mut entry) => {
                    let known = entry.get_mut();
                    if **known == row {
                        self.counts.updated.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    let row = Arc::new(row);
                    (Arc::clone(&row), Some(std::mem::replace(known, row)))
                }
                Entry::Vacant(entry) => {
                    let row = Arc::new(row);
                    entry.insert(Arc::clone(&row));
                    (row, None)
                }
            }
        };
        match replaced {
            Some(old) if old.meta().uid == row.meta().uid => {
                self.counts.updated.fetch_add(1, Ordering::Relaxed);
                self.interner.row_dropped();
            }
            Some(old) => {
                // Another object of the same name: its predecessor went while nobody looked.
                self.len.fetch_add(1, Ordering::Relaxed);
                self.counts.added.fetch_add(1, Ordering::Relaxed);
                self.removed(old, uids.as_mut());
            }
            None => {
                self.len.fetch_add(1, Ordering::Relaxed);
                self.counts.added.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(uids) = uids.as_mut() {
            self.index(&row, uids);
        }
        drop(uids);
        self.tell(Change::Applied(row));
    }

    /// An object is gone. A younger one of the same name stays.
    pub(crate) fn delete(&self, namespace: &str, name: &str, uid: &Uid) {
        let hash = self.hash(&(namespace, name));
        let Some(shard) = shard(&self.names, hash) else { return };
        let mut uids = write(&self.uids);
        let found = {
            let mut table = write(shard);
            let same = |row: &Arc<R>| is(&**row, namespace, name) && row.meta().uid == *uid;
            table.find_entry(hash, same).ok().map(|entry| entry.remove().0)
        };
        if let Some(row) = found {
            self.removed(row, uids.as_mut());
        }
    }

    pub(crate) fn failed(&self, why: String) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        *lock(&self.counts.last_failure) = Some(why);
    }

    /// Whether the watch failed before.
    pub(crate) fn works(&self) -> bool {
        lock(&self.counts.last_failure).take().is_some()
    }

    /// Counts an object that cannot be decoded; whether it is the first.
    pub(crate) fn undecodable(&self) -> bool {
        self.counts.undecodable.fetch_add(1, Ordering::Relaxed) == 0
    }

    fn removed(&self, row: Arc<R>, uids: Option<&mut HashTable<Arc<R>>>) {
        let hash = self.hash(&row.meta().uid);
        let same = |other: &Arc<R>| other.meta().uid == row.meta().uid;
        if let Some(entry) = uids.and_then(|table| table.find_entry(hash, same).ok()) {
            entry.remove();
        }
        self.len.fetch_sub(1, Ordering::Relaxed);
        self.counts.deleted.fetch_add(1, Ordering::Relaxed);
        self.interner.row_dropped();
        self.tell(Change::Deleted(row));
    }

    fn index(&self, row: &Arc<R>, uids: &mut HashTable<Arc<R>>) {
        let hash = self.hash(&row.meta().uid);
        let same = |other: &Arc<R>| other.meta().uid == row.meta().uid;
        match uids.entry(hash, same, |row| self.hash(&row.meta().uid)) {
            Entry::Occupied(mut entry) => *entry.get_mut() = Arc::clone(row),
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(row));
            }
        }
    }

    fn tell(&self, change: Change<R>) {
        let queues = lock(&self.queues);
        for queue in queues.iter().filter_map(Weak::upgrade) {
            queue.push(change.clone());
        }
    }

    fn read<'s, T>(&self, shards: &'s [RwLock<T>; SHARDS], hash: u64) -> Option<RwLockReadGuard<'s, T>> {
        shard(shards, hash).map(read)
    }

    fn hash_name(&self, row: &R) -> u64 {
        let meta = row.meta();
        self.hash(&(&*meta.namespace, &*meta.name))
    }

    fn hash(&self, value: &impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }
}

impl<R> Drop for Store<R> {
    fn drop(&mut self) {
        // The rows go first: they are the users of what is interned.
        for shard in &mut self.names {
            *shard.get_mut().unwrap_or_else(PoisonError::into_inner) = HashTable::new();
        }
        *self.uids.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        self.interner.sweep();
    }
}

fn is<R: Row>(row: &R, namespace: &str, name: &str) -> bool {
    let meta = row.meta();
    &*meta.name == name && &*meta.namespace == namespace
}

/// The upper bits choose the shard: a table uses the lower ones.
fn shard<T>(shards: &[RwLock<T>; SHARDS], hash: u64) -> Option<&RwLock<T>> {
    shards.get((hash >> 40) as usize % SHARDS)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
