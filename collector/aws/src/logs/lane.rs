//! A lane: the chunks of one log stream on their way.

use std::collections::VecDeque;
use std::sync::Arc;

use helper::Backoff;
use helper::storage::RecordId;
use tokio::time::Instant;

use super::body::{MAX_BODY_BYTES, MAX_BODY_EVENTS, MAX_SPAN_MS};
use super::chunk::{Chunk, Summary};
use super::place::Place;

/// The chunks of one stream, in order of arrival.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) group: Arc<str>,
    pub(crate) stream: Arc<str>,
    pub(crate) parts: VecDeque<Part>,
    pub(crate) size: usize,
    pub(crate) events: usize,
    pub(crate) in_flight: usize,
    /// Its time among those that are due.
    pub(crate) due: Option<Instant>,
    pub(crate) retry: Option<Retry>,
}

/// When a lane that failed may be tried again.
#[derive(Debug)]
pub(crate) struct Retry {
    pub(crate) backoff: Backoff,
    pub(crate) not_before: Instant,
}

/// A chunk that waits.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) content: Content,
    pub(crate) summary: Summary,
    /// When it is sent at the latest, if nothing fails.
    pub(crate) due: Instant,
    pub(crate) first_failure: Option<Instant>,
    pub(crate) place: Arc<Place>,
}

/// Where the events of a part are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Memory(Chunk),
    Disk(RecordId),
}

impl Lane {
    /// Adds a chunk that has just arrived.
    pub(crate) fn push_back(&mut self, part: Part) {
        self.size += part.summary.size;
        self.events += part.summary.events;
        self.parts.push_back(part);
    }

    /// Puts a chunk back that was not accepted.
    pub(crate) fn push_front(&mut self, part: Part) {
        self.size += part.summary.size;
        self.events += part.summary.events;
        self.parts.push_front(part);
    }

    /// When it may send; `None` while it may not.
    pub(crate) fn next_due(&self, in_flight_limit: usize, closing: bool) -> Option<Instant> {
        let first = self.parts.front()?;
        if self.in_flight >= in_flight_limit.max(1) {
            return None;
        }
        let full = self.size >= MAX_BODY_BYTES || self.events >= MAX_BODY_EVENTS;
        let due = if full || closing {
            // In the order of their age among themselves.
            first.due.min(Instant::now())
        } else {
            self.parts.iter().map(|part| part.due).min()?
        };
        Some(self.retry.as_ref().map_or(due, |retry| due.max(retry.not_before)))
    }

    /// The parts of one request: as many as fit, the first always.
    pub(crate) fn take_body(&mut self) -> Vec<Part> {
        let mut taken: Vec<Part> = Vec::new();
        let (mut size, mut events, mut first, mut last) = (0, 0, i64::MAX, i64::MIN);
        let mut at = 0;
        while let Some(Part { summary, .. }) = self.parts.get(at) {
            let too_large = size + summary.size > MAX_BODY_BYTES || events + summary.events > MAX_BODY_EVENTS;
            if too_large && !taken.is_empty() {
                break;
            }
            let (new_first, new_last) = (first.min(summary.first_ms), last.max(summary.last_ms));
            if new_last.saturating_sub(new_first) > MAX_SPAN_MS && !taken.is_empty() {
                // It waits for a request of its own time.
                at += 1;
                continue;
            }
            (first, last) = (new_first, new_last);
            size += summary.size;
            events += summary.events;
            taken.extend(self.parts.remove(at));
        }
        self.size -= size;
        self.events -= events;
        taken
    }
}

impl Part {
    /// The bytes that it holds in memory.
    pub(crate) fn memory(&self) -> usize {
        match &self.content {
            Content::Memory(chunk) => chunk.text.len(),
            Content::Disk(_) => 0,
        }
    }
}

impl Content {
    /// The chunk, if it is in memory.
    pub(crate) fn into_chunk(self) -> Option<Chunk> {
        match self {
            Self::Memory(chunk) => Some(chunk),
            Self::Disk(_) => None,
        }
    }
}
