//! Pushes whose caller went away before the answer.
//!
//! Their events stay and go on being sent. A caller that comes again with the same batch gets the answer of the first push
//! instead of a second delivery; also because translating cumulative values is not repeatable.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pdata::Batch;
use tokio::sync::watch;
use tokio::time::Instant;

use super::place::Outcome;

/// How long an answer waits for its caller.
const KEEP: Duration = Duration::from_secs(10 * 60);
/// How many do.
const MAX_PUSHES: usize = 1024;

/// The answers that wait for their callers.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pushes: Mutex<VecDeque<Push>>,
    hashers: (RandomState, RandomState),
}

#[derive(Debug)]
struct Push {
    identity: (u64, u64),
    since: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// A caller that waits. One that goes away first leaves its answer behind.
pub(crate) struct Caller<'a> {
    waiting: &'a Waiting,
    /// `None` once it has its answer.
    batch: Option<Batch>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Waiting {
    /// The answer that waits for the caller of this batch.
    pub(crate) fn find(&self, batch: &Batch) -> Option<watch::Receiver<Option<Outcome>>> {
        if self.lock().is_empty() {
            return None;
        }
        let identity = self.identity(batch);
        let mut pushes = self.lock();
        let at = pushes.iter().position(|push| push.identity == identity)?;
        pushes.remove(at).map(|push| push.outcome)
    }

    /// A caller that waits for an outcome.
    pub(crate) fn caller(&self, batch: Batch, outcome: watch::Receiver<Option<Outcome>>) -> Caller<'_> {
        Caller { waiting: self, batch: Some(batch), outcome }
    }

    fn put(&self, batch: &Batch, outcome: watch::Receiver<Option<Outcome>>) {
        let identity = self.identity(batch);
        let mut pushes = self.lock();
        while pushes.len() >= MAX_PUSHES || pushes.front().is_some_and(|push| push.since.elapsed() > KEEP) {
            pushes.pop_front();
        }
        pushes.push_back(Push { identity, since: Instant::now(), outcome });
    }

    fn identity(&self, batch: &Batch) -> (u64, u64) {
        let bytes = batch.to_protobuf();
        let hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write(&bytes);
            hasher.finish()
        };
        (hash(&self.hashers.0), hash(&self.hashers.1))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Push>> {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller<'_> {
    /// Waits for the outcome.
    pub(crate) async fn wait(&mut self) -> Outcome {
        let outcome = self.outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        self.batch = None;
        outcome.unwrap_or(Ok(()))
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.waiting.put(&batch, self.outcome.clone());
        }
    }
}
