//! The sending queue in memory.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use component::ConsumeError;
use pdata::Batch;
use tokio::sync::{Notify, oneshot};

use crate::{QueueConfig, Sizer};

/// A first-in first-out queue of bounded size. What has been taken out counts until its ticket is finished.
pub(crate) struct Queue {
    capacity: u64,
    sizer: Sizer,
    block_on_overflow: bool,
    wait_for_result: bool,
    state: Mutex<State>,
    /// Something to take, or closed.
    filled: Notify,
    /// Room, or closed.
    freed: Notify,
    /// Producers that wait for room do so one at a time, in the order in which they came.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    elements: VecDeque<Element>,
    used: u64,
    closed: bool,
}

/// What the queue holds.
pub(crate) struct Element {
    pub(crate) batch: Batch,
    pub(crate) ticket: Ticket,
}

/// The duty to say what became of an element, or of a part of it. The element's room is free when the tickets of all
/// its parts are finished; a ticket that is dropped without an outcome counts as a failure.
pub(crate) struct Ticket {
    place: Arc<Place>,
    finished: bool,
}

/// The room of an element.
struct Place {
    /// Weak, because the queue holds the element that holds this.
    queue: Weak<Queue>,
    size: u64,
    outcome: Mutex<Outcome>,
}

#[derive(Default)]
struct Outcome {
    errors: Vec<ConsumeError>,
    answer: Option<oneshot::Sender<Result<(), ConsumeError>>>,
}

/// How a producer learns what became of its batch.
pub(crate) enum Accepted {
    /// The queue answers for it from now on.
    Queued,
    /// The outcome will come here.
    Pending(oneshot::Receiver<Result<(), ConsumeError>>),
}

impl Queue {
    pub(crate) fn new(config: &QueueConfig) -> Arc<Self> {
        Arc::new(Self {
            capacity: u64::try_from(config.queue_size).unwrap_or_default(),
            sizer: config.sizer,
            block_on_overflow: config.block_on_overflow,
            wait_for_result: config.wait_for_result,
            state: Mutex::default(),
            filled: Notify::new(),
            freed: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// How much it may hold, in units of its sizer.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How much it holds, in units of its sizer.
    pub(crate) fn used(&self) -> u64 {
        self.lock().used
    }

    /// Adds a batch at the end, waiting for room if so configured.
    pub(crate) async fn offer(self: &Arc<Self>, batch: Batch) -> Result<Accepted, ConsumeError> {
        if batch.is_empty() {
            return Ok(Accepted::Queued);
        }
        let size = self.sizer.size(&batch);
        if size > self.capacity {
            return Err(ConsumeError::permanent("element size too large"));
        }
        if self.block_on_overflow {
            self.push_waiting(batch, size).await
        } else {
            self.push(batch, size)?.map_err(|_| ConsumeError::retryable("sending queue is full"))
        }
    }

    async fn push_waiting(self: &Arc<Self>, mut batch: Batch, size: u64) -> Result<Accepted, ConsumeError> {
        let _turn = self.turn.lock().await;
        loop {
            let freed = self.freed.notified();
            batch = match self.push(batch, size)? {
                Ok(accepted) => return Ok(accepted),
                Err(batch) => batch,
            };
            freed.await;
        }
    }

    /// Adds a batch, or hands it back for want of room; an error when the queue is closed.
    fn push(self: &Arc<Self>, batch: Batch, size: u64) -> Result<Result<Accepted, Batch>, ConsumeError> {
        let mut state = self.lock();
        if state.closed {
            return Err(ConsumeError::retryable("sending queue is stopped"));
        }
        if size > self.capacity.saturating_sub(state.used) {
            return Ok(Err(batch));
        }
        state.used += size;
        let (answer, accepted) = if self.wait_for_result {
            let (sender, receiver) = oneshot::channel();
            (Some(sender), Accepted::Pending(receiver))
        } else {
            (None, Accepted::Queued)
        };
        let outcome = Mutex::new(Outcome { errors: Vec::new(), answer });
        let place = Arc::new(Place { queue: Arc::downgrade(self), size, outcome });
        state.elements.push_back(Element { batch, ticket: Ticket { place, finished: false } });
        drop(state);
        self.filled.notify_one();
        Ok(Ok(accepted))
    }

    /// Takes the first element, waiting for one; `None` when the queue is closed and empty.
    pub(crate) async fn take(&self) -> Option<Element> {
        loop {
            let mut filled = pin!(self.filled.notified());
            filled.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(element) = state.elements.pop_front() {
                    let more = !state.elements.is_empty();
                    drop(state);
                    // One notification may stand for several elements: pass it on.
                    if more {
                        self.filled.notify_one();
                    }
                    return Some(element);
                }
                if state.closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Takes the first element if there is one.
    pub(crate) fn try_take(&self) -> Option<Element> {
        self.lock().elements.pop_front()
    }

    /// Refuses everything from now on; what is held can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_waiters();
        self.freed.notify_waiters();
    }

    fn free(&self, size: u64) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(size);
        drop(state);
        self.freed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// A ticket for another part of the same element.
    pub(crate) fn share(&self) -> Ticket {
        Ticket { place: self.place.clone(), finished: false }
    }

    /// Whether a producer waits for the outcome.
    pub(crate) fn is_awaited(&self) -> bool {
        self.place.lock().answer.is_some()
    }

    /// Says what became of this part.
    pub(crate) fn finish(mut self, result: Result<(), &ConsumeError>) {
        self.finished = true;
        if let Err(error) = result {
            self.place.lock().errors.push(error.clone());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.finished {
            self.place.lock().errors.push(ConsumeError::retryable("interrupted due to shutdown"));
        }
    }
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.upgrade() {
            queue.free(self.size);
        }
        let mut outcome = self.lock();
        let errors = std::mem::take(&mut outcome.errors);
        if let Some(answer) = outcome.answer.take() {
            // A producer that has gone away needs no answer.
            let _ = answer.send(ConsumeError::join(errors).map_or(Ok(()), Err));
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
