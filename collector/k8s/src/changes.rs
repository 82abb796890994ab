//! Telling others what changed in a store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::row::{Row, Uid};

/// A subscriber that falls behind by more changes than this is told to read the store anew.
const LONGEST: usize = 4096;

/// What happened to an object.
#[derive(Debug)]
pub enum Change<R> {
    /// It is there, new or changed.
    Applied(Arc<R>),
    /// It is gone; this is what it was.
    Deleted(Arc<R>),
}

/// What happened since the subscriber looked last.
#[derive(Debug)]
pub struct Changes<R> {
    /// The subscriber is new or fell behind: it reads the whole store and forgets what is not in it; then the list is
    /// applied as ever.
    pub resync: bool,
    /// At most one change per object, the last.
    pub list: Vec<Change<R>>,
}

/// What a subscriber was not told yet: bounded, one change per object.
#[derive(Debug)]
pub(crate) struct Queue<R> {
    waiting: Mutex<Waiting<R>>,
    wake: Notify,
}

#[derive(Debug)]
struct Waiting<R> {
    changes: Changes<R>,
    places: HashMap<Uid, usize>,
}

impl<R: Row> Queue<R> {
    /// A queue whose first message is to read the store.
    pub(crate) fn new() -> Self {
        let changes = Changes { resync: true, list: Vec::new() };
        let wake = Notify::new();
        wake.notify_one();
        Self { waiting: Mutex::new(Waiting { changes, places: HashMap::new() }), wake }
    }

    /// Adds a change. Its row must be in the store, or out of it, already.
    pub(crate) fn push(&self, change: Change<R>) {
        let mut waiting = self.lock();
        if waiting.changes.resync {
            // The subscriber has not read the store yet, and will find the change there.
            return;
        }
        let Waiting { changes, places } = &mut *waiting;
        let uid = change.row().meta().uid.clone();
        let length = changes.list.len();
        if let Some(earlier) = places.get(&uid).and_then(|place| changes.list.get_mut(*place)) {
            *earlier = change;
        } else if length == LONGEST {
            *changes = Changes { resync: true, list: Vec::new() };
            places.clear();
        } else {
            places.insert(uid, length);
            changes.list.push(change);
        }
        self.wake.notify_one();
    }

    /// All that waits; waits for something.
    pub(crate) async fn next(&self) -> Changes<R> {
        loop {
            if let Some(changes) = self.take() {
                return changes;
            }
            self.wake.notified().await;
        }
    }

    pub(crate) fn take(&self) -> Option<Changes<R>> {
        let mut waiting = self.lock();
        if !waiting.changes.resync && waiting.changes.list.is_empty() {
            return None;
        }
        waiting.places.clear();
        Some(std::mem::replace(&mut waiting.changes, Changes { resync: false, list: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Change<R> {
    /// The object's row, as it is or was.
    pub fn row(&self) -> &Arc<R> {
        match self {
            Self::Applied(row) | Self::Deleted(row) => row,
        }
    }
}

impl<R> Clone for Change<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Applied(row) => Self::Applied(Arc::clone(row)),
            Self::Deleted(row) => Self::Deleted(Arc::clone(row)),
        }
    }
}
