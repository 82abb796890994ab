//! The elements of a sending queue on disk: how a request becomes a record, and back.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use component::{ConsumeError, StorageArea};
use pdata::Batch;

use crate::Sizer;
use crate::delivery::Delivery;
use crate::log;
use crate::queue::{Content, Queued, Reserved};
use crate::storage::{Journal, JournalConfig, JournalError, RecordId};

/// What stands before the protobuf request in a record: the version of this layout and the number of items, `u64`
/// little-endian, so that a queue can be counted without decoding it.
const HEAD: usize = 9;
const VERSION: u8 = 1;

/// The journal of a queue, and whom it works for.
pub(crate) struct Disk {
    journal: Journal,
    delivery: Arc<Delivery>,
}

/// Why an element cannot be sent.
pub(crate) enum Unreadable {
    /// The queue is being shut down, and the element stays where it is.
    Closed,
    /// The disk fails. Nobody knows whether the next time is better, so that it is the next start.
    ForNow(String),
    /// It is not what was written.
    ForGood(String),
}

impl Disk {
    /// Opens the journal; the elements that an earlier run left, oldest first. Blocks.
    pub(crate) fn open(
        area: &StorageArea,
        sizer: Sizer,
        delivery: Arc<Delivery>,
    ) -> Result<(Self, VecDeque<Queued>), JournalError> {
        let mut elements = VecDeque::new();
        let journal = Journal::open(area, JournalConfig::default(), |record, payload| {
            // A record without a head is dropped aloud when its turn comes.
            let items = split(payload).map_or(0, |(items, _)| items);
            let size = match sizer {
                Sizer::Requests => 1,
                Sizer::Items => items as u64,
                Sizer::Bytes => payload.len().saturating_sub(HEAD) as u64,
            };
            elements.push_back(Queued { size, items, content: Content::Disk(record, None), answer: None });
        })?;
        Ok((Self { journal, delivery }, elements))
    }

    /// Writes a batch and puts it into its room in the queue. Blocks.
    pub(crate) fn store(batch: Batch, reserved: Reserved) -> Result<(), ConsumeError> {
        let queue = reserved.queue().clone();
        let Some(disk) = queue.disk() else {
            return Err(ConsumeError::retryable("sending queue is stopped"));
        };
        let [a, b, c, d, e, f, g, h] = (batch.items() as u64).to_le_bytes();
        let head = [VERSION, a, b, c, d, e, f, g, h];
        match disk.journal.append(&[&head, &batch.to_protobuf()]) {
            Ok(record) => {
                // What is not on disk must not depend on whether the process was restarted.
                reserved.fill(batch.with_client(None), record);
                Ok(())
            }
            Err(JournalError::Closed) => Err(ConsumeError::retryable("sending queue is stopped")),
            Err(error @ JournalError::TooLarge { .. }) => Err(ConsumeError::permanent(error.to_string())),
            Err(error) => {
                let cause = error.with_cause();
                Err(ConsumeError::retryable(format!("sending queue cannot be written to disk: {cause}")))
            }
        }
    }

    /// Reads an element. Blocks.
    pub(crate) fn load(&self, record: RecordId) -> Result<Batch, Unreadable> {
        let error = match self.journal.read(record) {
            Ok(payload) => match self.decode(payload) {
                Ok(batch) => return Ok(batch),
                Err(error) => error,
            },
            Err(JournalError::Closed) => return Err(Unreadable::Closed),
            Err(error @ JournalError::Io { .. }) => return Err(Unreadable::ForNow(error.with_cause())),
            Err(error) => error.to_string(),
        };
        self.forget(record);
        Err(Unreadable::ForGood(error))
    }

    /// Says that an element cannot be sent.
    pub(crate) fn report(&self, unreadable: Unreadable, items: usize) {
        let origin = &self.delivery.origin;
        match unreadable {
            Unreadable::Closed => {}
            Unreadable::ForNow(error) => {
                log!(
                    error,
                    *origin,
                    error,
                    items,
                    "A request cannot be read; it stays on disk until the next start."
                );
            }
            Unreadable::ForGood(error) => {
                self.delivery.metrics.sent(self.delivery.signal, 0, items);
                log!(error, *origin, error, dropped_items = items, "Exporting failed. Dropping data.");
            }
        }
    }

    fn decode(&self, payload: Vec<u8>) -> Result<Batch, String> {
        if split(&payload).is_none() {
            return Err("the stored request is of another version".to_owned());
        }
        let request = Bytes::from(payload).slice(HEAD..);
        Batch::from_protobuf(self.delivery.signal, request)
            .map_err(|error| format!("the stored request is invalid: {error}"))
    }

    /// An element is sent, or given up.
    pub(crate) fn forget(&self, record: RecordId) {
        self.journal.acknowledge(record);
    }

    /// How many bytes are on disk and neither sent nor given up.
    pub(crate) fn bytes(&self) -> u64 {
        self.journal.live_bytes()
    }

    /// Gives the directory back; how many bytes stay there. Blocks.
    pub(crate) fn close(&self) -> u64 {
        let bytes = self.bytes();
        self.journal.close();
        bytes
    }
}

/// The number of items and the request.
fn split(payload: &[u8]) -> Option<(usize, &[u8])> {
    match payload.split_at_checked(HEAD)? {
        ([VERSION, a, b, c, d, e, f, g, h], request) => {
            let items = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            Some((usize::try_from(items).ok()?, request))
        }
        _ => None,
    }
}
