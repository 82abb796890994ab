//! The sending queue.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use component::ConsumeError;
use pdata::Batch;
use tokio::sync::{Notify, oneshot};

use crate::disk::Disk;
use crate::storage::RecordId;
use crate::{QueueConfig, Sizer};

/// How many bytes of the elements on disk are in memory too, so that they need not be read while the queue is short.
const MOST_HELD: u64 = 4 << 20;

/// A first-in first-out queue of bounded size. What has been taken out counts until its ticket is finished.
///
/// With a [`Disk`], elements are written to it before they are accepted and stay there until their tickets are finished.
pub(crate) struct Queue {
    capacity: u64,
    sizer: Sizer,
    block_on_overflow: bool,
    wait_for_result: bool,
    /// Whether nothing is accepted before there is a disk.
    needs_disk: bool,
    disk: OnceLock<Disk>,
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
    elements: VecDeque<Queued>,
    used: u64,
    /// The bytes of elements that are on disk and in memory too.
    held: u64,
    closed: bool,
}

/// An element that waits.
pub(crate) struct Queued {
    /// In units of the sizer.
    pub(crate) size: u64,
    pub(crate) items: usize,
    pub(crate) content: Content,
    pub(crate) answer: Option<Answer>,
}

/// Where an element is. Boxed, because a queue on disk may have very many that are not in memory.
pub(crate) enum Content {
    /// In memory only.
    Memory(Box<Batch>),
    /// On disk; what came last and is small enough also in memory, so that it need not be read.
    Disk(RecordId, Option<Box<Batch>>),
}

type Answer = oneshot::Sender<Result<(), ConsumeError>>;

/// What the queue gives out.
pub(crate) struct Element {
    pub(crate) batch: Batch,
    pub(crate) ticket: Ticket,
}

/// The duty to say what became of an element, or of a part of it. The element's room is free when the tickets of all
/// its parts are finished. A ticket that is dropped without an outcome counts as a failure; if its element is on disk, it
/// stays there and comes again after the next start.
pub(crate) struct Ticket {
    place: Arc<Place>,
    finished: bool,
}

/// The room of an element.
struct Place {
    /// Weak, because a consumer may outlive the queue.
    queue: Weak<Queue>,
    size: u64,
    record: Option<RecordId>,
    outcome: Mutex<Outcome>,
}

#[derive(Default)]
struct Outcome {
    errors: Vec<ConsumeError>,
    /// Whether a part of it has neither been sent nor given up.
    interrupted: bool,
    answer: Option<Answer>,
}

/// How a producer learns what became of its batch.
pub(crate) enum Accepted {
    /// The queue answers for it from now on.
    Queued,
    /// The outcome will come here.
    Pending(oneshot::Receiver<Result<(), ConsumeError>>),
}

/// Room that is taken for an element which is not in the queue yet.
pub(crate) struct Reserved {
    queue: Arc<Queue>,
    size: u64,
}

/// An element that is being read. If the reader is dropped, it goes back to the front.
struct Reading<'a> {
    queue: &'a Queue,
    queued: Option<Queued>,
}

impl Queue {
    pub(crate) fn new(config: &QueueConfig) -> Arc<Self> {
        Arc::new(Self {
            capacity: u64::try_from(config.queue_size).unwrap_or_default(),
            sizer: config.sizer,
            block_on_overflow: config.block_on_overflow,
            wait_for_result: config.wait_for_result,
            needs_disk: config.storage.is_some(),
            disk: OnceLock::new(),
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

    /// What sizes are counted in.
    pub(crate) fn sizer(&self) -> Sizer {
        self.sizer
    }

    /// How much it holds, in units of its sizer.
    pub(crate) fn used(&self) -> u64 {
        self.lock().used
    }

    /// The disk, once there is one.
    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.disk.get()
    }

    /// Goes on where an earlier run ended: keeps elements on `disk` from now on, beginning with those that are there.
    pub(crate) fn resume(&self, disk: Disk, elements: VecDeque<Queued>) {
        // There is no other: a component is started once.
        if self.disk.set(disk).is_ok() {
            let mut state = self.lock();
            state.used = elements.iter().map(|queued| queued.size).sum();
            state.elements = elements;
            drop(state);
            self.filled.notify_one();
        }
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
        if self.needs_disk {
            return self.offer_to_disk(batch, size).await;
        }
        let (answer, accepted) = if self.wait_for_result {
            let (sender, receiver) = oneshot::channel();
            (Some(sender), Accepted::Pending(receiver))
        } else {
            (None, Accepted::Queued)
        };
        let queued = Queued { size, items: batch.items(), content: Content::Memory(Box::new(batch)), answer };
        self.with_room(size, |state| state.elements.push_back(queued)).await?;
        self.filled.notify_one();
        Ok(accepted)
    }

    async fn offer_to_disk(self: &Arc<Self>, batch: Batch, size: u64) -> Result<Accepted, ConsumeError> {
        if self.disk.get().is_none() {
            return Err(ConsumeError::retryable("sending queue is not started"));
        }
        self.with_room(size, |_| ()).await?;
        // Everything else happens on the other thread, whether this future lives on or not.
        let reserved = Reserved { queue: self.clone(), size };
        let stored = tokio::task::spawn_blocking(move || Disk::store(batch, reserved)).await;
        stored.unwrap_or_else(|_| Err(ConsumeError::retryable("sending queue is stopped")))?;
        Ok(Accepted::Queued)
    }

    /// Takes room of this size, waiting for it if so configured, and lets `enter` fill it.
    async fn with_room<F: FnOnce(&mut State)>(&self, size: u64, enter: F) -> Result<(), ConsumeError> {
        if !self.block_on_overflow {
            let entered = self.try_enter(size, enter)?;
            return entered.map_err(|_| ConsumeError::retryable("sending queue is full"));
        }
        let _turn = self.turn.lock().await;
        let mut enter = enter;
        loop {
            let freed = self.freed.notified();
            enter = match self.try_enter(size, enter)? {
                Ok(()) => return Ok(()),
                Err(enter) => enter,
            };
            freed.await;
        }
    }

    /// Takes room if there is some, or hands `enter` back; an error when the queue is closed.
    fn try_enter<F: FnOnce(&mut State)>(&self, size: u64, enter: F) -> Result<Result<(), F>, ConsumeError> {
        let mut state = self.lock();
        if state.closed {
            return Err(ConsumeError::retryable("sending queue is stopped"));
        }
        if size > self.capacity.saturating_sub(state.used) {
            return Ok(Err(enter));
        }
        state.used += size;
        enter(&mut state);
        Ok(Ok(()))
    }

    /// Takes the first element, waiting for one; `None` when the queue is closed and nothing more is to be sent.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Element> {
        loop {
            let mut filled = pin!(self.filled.notified());
            filled.as_mut().enable();
            let (queued, closed) = self.pop();
            match queued {
                Some(queued) => {
                    if let Some(element) = self.fetch(queued).await {
                        return Some(element);
                    }
                }
                None if closed => return None,
                None => filled.await,
            }
        }
    }

    /// The first element that waits, and whether the queue is closed. What is on disk stays there once it is.
    fn pop(&self) -> (Option<Queued>, bool) {
        let mut state = self.lock();
        if state.closed && self.needs_disk {
            return (None, true);
        }
        let queued = state.elements.pop_front();
        if let Some(Queued { content: Content::Disk(_, Some(batch)), .. }) = &queued {
            state.held = state.held.saturating_sub(batch.encoded_len() as u64);
        }
        let (more, closed) = (!state.elements.is_empty(), state.closed);
        drop(state);
        // One notification may stand for several elements: pass it on.
        if more && queued.is_some() {
            self.filled.notify_one();
        }
        (queued, closed)
    }

    /// Gets the content of an element; `None` if there is none to be had.
    async fn fetch(self: &Arc<Self>, queued: Queued) -> Option<Element> {
        let Queued { size, items, content, answer } = queued;
        let record = match content {
            Content::Memory(batch) => return Some(self.element(size, None, answer, *batch)),
            Content::Disk(record, Some(batch)) => {
                return Some(self.element(size, Some(record), answer, *batch));
            }
            Content::Disk(record, None) => record,
        };
        let queued = Queued { size, items, content: Content::Disk(record, None), answer };
        let mut reading = Reading { queue: self, queued: Some(queued) };
        let queue = self.clone();
        let read = tokio::task::spawn_blocking(move || queue.disk().map(|disk| disk.load(record))).await;
        let answer = reading.queued.take().and_then(|queued| queued.answer);
        match read {
            Ok(Some(Ok(batch))) => return Some(self.element(size, Some(record), answer, batch)),
            Ok(Some(Err(unreadable))) => self.disk()?.report(unreadable, items),
            // The thread pool is gone, and the runtime with it.
            Ok(None) | Err(_) => {}
        }
        self.free(size);
        None
    }

    fn element(
        self: &Arc<Self>,
        size: u64,
        record: Option<RecordId>,
        answer: Option<Answer>,
        batch: Batch,
    ) -> Element {
        let outcome = Mutex::new(Outcome { answer, ..Outcome::default() });
        let place = Arc::new(Place { queue: Arc::downgrade(self), size, record, outcome });
        Element { batch, ticket: Ticket { place, finished: false } }
    }

    /// Takes the first element if there is one, of a queue in memory.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Element> {
        if self.needs_disk {
            return None;
        }
        match self.pop().0? {
            Queued { size, content: Content::Memory(batch), answer, .. } => {
                Some(self.element(size, None, answer, *batch))
            }
            Queued { content: Content::Disk(..), .. } => None,
        }
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
            let mut outcome = self.place.lock();
            outcome.errors.push(ConsumeError::retryable("interrupted due to shutdown"));
            outcome.interrupted = true;
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
        let mut outcome = self.lock();
        if let Some(queue) = self.queue.upgrade() {
            if let (Some(record), Some(disk), false) = (self.record, queue.disk(), outcome.interrupted) {
                disk.forget(record);
            }
            queue.free(self.size);
        }
        let errors = std::mem::take(&mut outcome.errors);
        if let Some(answer) = outcome.answer.take() {
            // A producer that has gone away needs no answer.
            let _ = answer.send(ConsumeError::join(errors).map_or(Ok(()), Err));
        }
    }
}

impl Reserved {
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Puts an element that is on disk now into the room.
    pub(crate) fn fill(mut self, batch: Batch, record: RecordId) {
        let size = std::mem::take(&mut self.size);
        let (items, bytes) = (batch.items(), batch.encoded_len() as u64);
        let mut state = self.queue.lock();
        let held = state.held.saturating_add(bytes) <= MOST_HELD;
        let batch = held.then(|| Box::new(batch));
        if held {
            state.held += bytes;
        }
        let content = Content::Disk(record, batch);
        state.elements.push_back(Queued { size, items, content, answer: None });
        drop(state);
        self.queue.filled.notify_one();
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.size > 0 {
            self.queue.free(self.size);
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(queued) = self.queued.take() {
            self.queue.lock().elements.push_front(queued);
            self.queue.filled.notify_one();
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
