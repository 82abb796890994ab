//! Places: what a push takes up in the queue, and what it is answered.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use component::ConsumeError;
use tokio::sync::watch;

use super::queue::Queue;

/// Room in the queue, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) queue: Weak<Queue>,
    /// In units of the queue's sizer.
    pub(crate) size: u64,
}

/// The place of a push in the queue, shared by its parts. Dropped by the last, it frees its room and answers.
#[derive(Debug)]
pub(crate) struct Place {
    _room: Room,
    error: Mutex<Option<ConsumeError>>,
    answer: watch::Sender<Option<Outcome>>,
}

/// What became of a push.
pub(crate) type Outcome = Result<(), ConsumeError>;

impl Place {
    /// The place of a push, and where its outcome will be said.
    pub(crate) fn new(room: Room) -> (Arc<Self>, watch::Receiver<Option<Outcome>>) {
        let (answer, outcome) = watch::channel(None);
        (Arc::new(Self { _room: room, error: Mutex::default(), answer }), outcome)
    }

    /// Notes that a part of the push is lost. The first reason is kept.
    pub(crate) fn fail(&self, error: &ConsumeError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.answer.send_replace(Some(error.map_or(Ok(()), Err)));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.upgrade() {
            queue.free(self.size);
        }
    }
}
