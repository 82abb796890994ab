//! Pushes: the event batches of one batch of metrics, until all are delivered.
//!
//! Translating is not repeatable: the second time, every cumulative value would have changed by nothing. So a batch is
//! translated once. What could not be delivered is kept, and goes out when the same batch comes again, without what was
//! delivered before.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws::logs::EventBatch;
use foldhash::quality::RandomState;
use pdata::Batch;

use crate::telemetry::Telemetry;

/// The most bytes of messages that are kept for retries.
const MAX_KEPT_BYTES: usize = 64 << 20;
/// The most pushes that are kept for retries.
const MAX_KEPT_PUSHES: usize = 1024;

/// Which batch a push came from: a hash of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

/// Undelivered parts of pushes that failed, oldest first.
pub(crate) struct Kept {
    pushes: Mutex<VecDeque<(Identity, Vec<EventBatch>)>>,
    hashers: (RandomState, RandomState),
    telemetry: Telemetry,
}

/// A push under way. What is left of it when it is dropped, also by a timeout, is kept.
pub(crate) struct Push {
    kept: Arc<Kept>,
    batch: Batch,
    waiting: Mutex<Vec<Option<EventBatch>>>,
}

impl Kept {
    pub(crate) fn new(telemetry: Telemetry) -> Arc<Self> {
        Arc::new(Self { pushes: Mutex::default(), hashers: Default::default(), telemetry })
    }

    /// What is left of the push of this batch, if it failed before.
    pub(crate) fn take(&self, batch: &Batch) -> Option<Vec<EventBatch>> {
        if self.lock().is_empty() {
            return None;
        }
        let identity = self.identity(batch);
        let mut pushes = self.lock();
        let at = pushes.iter().position(|(known, _)| *known == identity)?;
        pushes.remove(at).map(|(_, batches)| batches)
    }

    fn put(&self, batch: &Batch, batches: Vec<EventBatch>) {
        let identity = self.identity(batch);
        let mut pushes = self.lock();
        pushes.push_back((identity, batches));
        let bytes = |batches: &[EventBatch]| batches.iter().map(EventBatch::bytes).sum::<usize>();
        let mut total: usize = pushes.iter().map(|(_, batches)| bytes(batches)).sum();
        while pushes.len() > MAX_KEPT_PUSHES || total > MAX_KEPT_BYTES && pushes.len() > 1 {
            let Some((_, oldest)) = pushes.pop_front() else { break };
            total = total.saturating_sub(bytes(&oldest));
            let events = oldest.iter().map(EventBatch::len).sum::<usize>();
            tracing::warn!(events, "giving up events of a failed push that was not retried");
            self.telemetry.abandoned(events as u64);
        }
    }

    fn identity(&self, batch: &Batch) -> Identity {
        let bytes = batch.to_protobuf();
        let hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write(&bytes);
            hasher.write_usize(bytes.len());
            hasher.finish()
        };
        Identity(hash(&self.hashers.0), hash(&self.hashers.1))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Identity, Vec<EventBatch>)>> {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Push {
    pub(crate) fn new(kept: Arc<Kept>, batch: Batch, batches: Vec<EventBatch>) -> Self {
        Self { kept, batch, waiting: Mutex::new(batches.into_iter().map(Some).collect()) }
    }

    /// The batches to send, with their places.
    pub(crate) fn batches(&self) -> Vec<(usize, EventBatch)> {
        self.lock().iter().enumerate().filter_map(|(at, batch)| Some((at, batch.clone()?))).collect()
    }

    /// The batch at a place needs nothing more: it was delivered, or never will be.
    pub(crate) fn settle(&self, at: usize) {
        if let Some(place) = self.lock().get_mut(at) {
            *place = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<EventBatch>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        let left: Vec<EventBatch> = self.lock().iter_mut().filter_map(Option::take).collect();
        if !left.is_empty() {
            self.kept.put(&self.batch, left);
        }
    }
}
