//! A consumer that keeps what it is given.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use component::{ConsumeError, Consumer, async_trait};
use pdata::Batch;
use tokio::sync::Notify;

/// Keeps every batch that it accepts; refuses by a script of errors first.
#[derive(Default)]
pub struct RecordingSink {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    accepted: Vec<Batch>,
    script: VecDeque<Option<ConsumeError>>,
    always: Option<ConsumeError>,
    calls: usize,
}

impl RecordingSink {
    /// A sink that accepts everything.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A sink that answers its first calls by `script`, `None` standing for acceptance, and accepts afterwards.
    pub fn scripted(script: impl IntoIterator<Item = Option<ConsumeError>>) -> Arc<Self> {
        let sink = Self::default();
        sink.lock().script = script.into_iter().collect();
        Arc::new(sink)
    }

    /// From now on refuses everything with `error`, or accepts again.
    pub fn refuse(&self, error: Option<ConsumeError>) {
        self.lock().always = error;
    }

    /// What was accepted so far.
    pub fn batches(&self) -> Vec<Batch> {
        self.lock().accepted.clone()
    }

    /// How many items were accepted so far.
    pub fn items(&self) -> usize {
        self.lock().accepted.iter().map(Batch::items).sum()
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Waits until `items` items were accepted.
    pub async fn wait_for_items(&self, items: usize) {
        loop {
            let changed = self.changed.notified();
            if self.items() >= items {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Consumer for RecordingSink {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let mut state = self.lock();
        state.calls += 1;
        let answer = state.script.pop_front().unwrap_or_else(|| state.always.clone());
        if answer.is_none() {
            state.accepted.push(batch);
        }
        drop(state);
        // Every waiter looks for itself; one permit is kept for a waiter that comes between its look and its wait.
        self.changed.notify_waiters();
        self.changed.notify_one();
        answer.map_or(Ok(()), Err)
    }
}
