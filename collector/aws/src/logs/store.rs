//! Events on disk: the queue's chunks in a journal.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use component::StorageArea;
use helper::storage::{Journal, JournalConfig, JournalError, RecordId};
use tokio::time::Instant;

use super::chunk::{Chunk, Label, Summary};
use super::event::StreamChunks;
use super::lane::{Content, Part};
use super::place::Place;
use super::queue::Queue;

/// Chunks on disk. A chunk is a record, acknowledged when CloudWatch Logs took it or it was given up.
#[derive(Clone)]
pub(crate) struct Store(Arc<Journal>);

impl Store {
    /// Opens the journal and puts what it holds into the queue. Says how many events those are.
    pub(crate) fn open(area: &StorageArea, queue: &Arc<Queue>) -> Result<(Self, u64), JournalError> {
        let mut places: HashMap<u64, Arc<Place>> = HashMap::new();
        let mut found: Vec<(Label, RecordId, Summary)> = Vec::new();
        let mut foreign = Vec::new();
        let journal = Journal::open(area, JournalConfig::default(), |id, record| {
            match Chunk::read(Bytes::copy_from_slice(record)) {
                Ok((label, chunk)) => found.push((label, id, chunk.summary())),
                Err(_) => foreign.push(id),
            }
        })?;
        if !foreign.is_empty() {
            tracing::error!(records = foreign.len(), directory = %area.directory.display(), "dropping records of the queue that hold no log events");
            foreign.into_iter().for_each(|id| journal.acknowledge(id));
        }
        let now = Instant::now();
        let mut events = 0;
        for (label, id, summary) in found {
            let place =
                places.entry(label.push).or_insert_with(|| Place::new(queue.recovered(label.room)).0).clone();
            events += summary.events as u64;
            let part = Part { content: Content::Disk(id), summary, due: now, first_failure: None, place };
            queue.insert(&label.group.into(), &label.stream.into(), [part]);
        }
        Ok((Self(Arc::new(journal)), events))
    }

    /// Stores the chunks of a push. What cannot be stored stays in memory; the error says why.
    pub(crate) fn append(
        &self,
        streams: &[StreamChunks],
        push: u64,
        room: u64,
    ) -> (Vec<Vec<Content>>, Option<JournalError>) {
        let mut failed = None;
        let contents = streams.iter().map(|stream| {
            let label =
                Label { group: stream.group.to_string(), stream: stream.stream.to_string(), push, room };
            let store = |chunk: &Chunk| {
                if failed.is_none() {
                    match self.0.append(&[&chunk.header(&label), &chunk.text]) {
                        Ok(id) => return Content::Disk(id),
                        Err(error) => failed = Some(error),
                    }
                }
                Content::Memory(chunk.clone())
            };
            stream.chunks.iter().map(store).collect()
        });
        (contents.collect(), failed)
    }

    /// Reads a chunk.
    pub(crate) fn read(&self, id: RecordId) -> Result<Chunk, String> {
        let record = self.0.read(id).map_err(|error| error.to_string())?;
        Chunk::read(record.into()).map(|(_, chunk)| chunk).map_err(|error| error.to_string())
    }

    /// Forgets a chunk.
    pub(crate) fn acknowledge(&self, id: RecordId) {
        self.0.acknowledge(id);
    }

    /// Writes out what is to be remembered.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}
