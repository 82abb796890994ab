//! Events as they stand inside a `PutLogEvents` request.
//!
//! A push writes its events once, already escaped, into the chunks of their streams. From there to the socket nothing is
//! copied or escaped again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::body::{EVENT_OVERHEAD, MAX_BODY_BYTES, MAX_SPAN_MS};
use super::chunk::{Chunk, Entry};
use super::escape::escape;

/// From this size on a chunk is closed. Requests are filled with whole chunks: the smaller they are, the fuller a request
/// becomes, and the more there is to book.
const CHUNK_BYTES: usize = 32 << 10;
/// What begins an event.
const OPEN: &str = "{\"message\":\"";
/// What stands between message and time.
const MIDDLE: &str = "\",\"timestamp\":";
/// What ends a message that was cut.
const TRUNCATED: &str = "[Truncated...]";
/// Older events are refused by the service.
const MAX_AGE_MS: i64 = 14 * 24 * 60 * 60 * 1000;
/// Events further ahead are refused by the service.
const MAX_AHEAD_MS: i64 = 2 * 60 * 60 * 1000;

/// Text that a push holds before its chunks go to the queue. Requests carry about as much.
const HAND_OVER_BYTES: usize = 1 << 20;
/// Text that a push may become, whatever it holds itself: some multiples of what waits in memory.
const MIN_PUSH_BYTES: usize = 256 << 20;
/// Text that a push may become, as a multiple of its own size: attributes of a resource are repeated in each of its events.
const MAX_EXPANSION: usize = 32;
/// The reason under which events beyond the text of a push are counted.
const PUSH_TOO_LARGE: &str = "push_too_large";

/// Takes the chunks of a push while others are still written; may wait until there is memory for them.
pub type HandOver<'h> = dyn FnMut(Vec<StreamChunks>) + Send + 'h;

/// The events of one push, by log group and stream.
///
/// A push may be small and its events large, as each repeats the attributes of its resource. So chunks are handed over
/// while later ones are written, and a push has a budget of text beyond which events are counted as dropped.
pub struct Events<'h> {
    hand_over: &'h mut HandOver<'h>,
    /// Bytes of text since the last hand-over.
    held: usize,
    /// Bytes of text that the push may still become.
    budget: usize,
    now_ms: i64,
    max_event_bytes: usize,
    streams: Vec<Stream>,
    /// Places among the streams, by group and stream.
    index: BTreeMap<Arc<str>, BTreeMap<Arc<str>, usize>>,
    latest: usize,
    open: Option<Open>,
    counts: Counts,
}

/// What became of the events of a push before anything was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// All events, also those that were left out.
    pub(crate) received: u64,
    /// Messages that were cut.
    pub(crate) truncated: u64,
    /// Events and items left out, by reason.
    pub(crate) dropped: BTreeMap<&'static str, (u64, u64)>,
}

/// The chunks of one stream.
#[derive(Debug)]
pub struct StreamChunks {
    pub(crate) group: Arc<str>,
    pub(crate) stream: Arc<str>,
    pub(crate) chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Stream {
    group: Arc<str>,
    stream: Arc<str>,
    text: String,
    entries: Vec<Entry>,
    closed: Vec<Chunk>,
    /// The longest text of an event so far: a chunk is given room for one more, so that it never moves.
    longest: usize,
}

/// The event that is being written.
#[derive(Debug, Clone, Copy)]
struct Open {
    timestamp: i64,
    items: u32,
    /// Where the text of its stream stood before it.
    start: usize,
}

impl<'h> Events<'h> {
    /// No events of a push of `push_bytes`. `now_ms`, Unix time in milliseconds, stands for the time of events without one.
    pub fn new(
        now_ms: i64,
        max_event_bytes: usize,
        push_bytes: usize,
        hand_over: &'h mut HandOver<'h>,
    ) -> Self {
        Self {
            hand_over,
            held: 0,
            budget: push_bytes.saturating_mul(MAX_EXPANSION).max(MIN_PUSH_BYTES),
            now_ms,
            max_event_bytes,
            streams: Vec::new(),
            index: BTreeMap::new(),
            latest: 0,
            open: None,
            counts: Counts::default(),
        }
    }

    /// The time of the push: Unix time in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The longest message, in bytes.
    pub fn max_event_bytes(&self) -> usize {
        self.max_event_bytes
    }

    /// Returns true if the push has become more text than it may: further events are dropped and counted.
    pub fn is_exhausted(&self) -> bool {
        self.budget == 0
    }

    /// Adds an event of a plain text that stands for `items` items of the batch. Times are Unix times in milliseconds; 0
    /// stands for now. What is too long is cut between characters.
    pub fn push(&mut self, group: &str, stream: &str, timestamp_ms: i64, message: &str, items: u32) {
        if message.is_empty() {
            self.drop_items("empty", u64::from(items));
            return;
        }
        let cut = message.len() > self.max_event_bytes;
        let end = message.floor_char_boundary(self.max_event_bytes.saturating_sub(TRUNCATED.len()));
        let text = if cut { message.get(..end).unwrap_or_default() } else { message };
        let Some(out) = self.begin(group, stream, timestamp_ms, items) else { return };
        escape(out, text);
        if cut {
            out.push_str(TRUNCATED);
            self.counts.truncated += 1;
        }
        self.end(text.len() + if cut { TRUNCATED.len() } else { 0 });
    }

    /// Begins an event whose message is appended to the returned text as it stands between the quotes of a JSON string.
    /// `None` if the service would not take it for its time, or the push has become too much text: it is counted. To be
    /// followed by [`Events::end`].
    #[inline]
    pub fn begin(&mut self, group: &str, stream: &str, timestamp_ms: i64, items: u32) -> Option<&mut String> {
        if self.budget == 0 {
            self.drop_items(PUSH_TOO_LARGE, u64::from(items));
            return None;
        }
        let timestamp = if timestamp_ms == 0 { self.now_ms } else { timestamp_ms };
        if self.now_ms.saturating_sub(timestamp) > MAX_AGE_MS {
            self.drop_items("too_old", u64::from(items));
            return None;
        }
        if timestamp.saturating_sub(self.now_ms) > MAX_AHEAD_MS {
            self.drop_items("too_new", u64::from(items));
            return None;
        }
        let at = self.place(group, stream);
        let stream = self.streams.get_mut(at)?;
        stream.make_room(timestamp);
        self.open = Some(Open { timestamp, items, start: stream.text.len() });
        if !stream.entries.is_empty() {
            stream.text.push(',');
        }
        stream.text.push_str(OPEN);
        Some(&mut stream.text)
    }

    /// Ends the event that was begun; its message has `plain_len` bytes before escaping. `false` if that is too long: the
    /// event is taken back, and not counted.
    #[inline]
    pub fn end(&mut self, plain_len: usize) -> bool {
        let Some(Open { timestamp, items, start }) = self.open.take() else { return false };
        let Some(stream) = self.streams.get_mut(self.latest) else { return false };
        if plain_len > self.max_event_bytes {
            stream.text.truncate(start);
            return false;
        }
        stream.text.push_str(MIDDLE);
        stream.text.push_str(itoa::Buffer::new().format(timestamp));
        stream.text.push('}');
        let size = u32::try_from(plain_len + EVENT_OVERHEAD).unwrap_or(u32::MAX);
        let text = stream.text.len() - start;
        stream.longest = stream.longest.max(text);
        stream.keep_to_one_request(start, size as usize);
        let end = u32::try_from(stream.text.len()).unwrap_or(u32::MAX);
        stream.entries.push(Entry { timestamp, end, size, items });
        self.counts.received += 1;
        self.held += text;
        self.budget = self.budget.saturating_sub(text);
        if self.held >= HAND_OVER_BYTES {
            self.hand_over();
        }
        true
    }

    /// Counts an event that is not sent, and the items that it stood for.
    pub fn drop_items(&mut self, reason: &'static str, items: u64) {
        self.counts.received += 1;
        let (events, dropped) = self.counts.dropped.entry(reason).or_default();
        *events += 1;
        *dropped += items;
    }

    /// Hands over the rest, and returns the counts of the push.
    pub(crate) fn finish(mut self) -> Counts {
        self.hand_over();
        self.counts
    }

    /// Hands over the chunks by stream, in order of first appearance.
    fn hand_over(&mut self) {
        self.held = 0;
        self.latest = 0;
        self.index.clear();
        let streams = std::mem::take(&mut self.streams).into_iter().map(|mut stream| {
            stream.close();
            StreamChunks { group: stream.group, stream: stream.stream, chunks: stream.closed }
        });
        let streams: Vec<_> = streams.filter(|stream| !stream.chunks.is_empty()).collect();
        if !streams.is_empty() {
            (self.hand_over)(streams);
        }
    }

    #[inline]
    fn place(&mut self, group: &str, stream: &str) -> usize {
        let known = self.streams.get(self.latest);
        if known.is_some_and(|known| &*known.group == group && &*known.stream == stream) {
            return self.latest;
        }
        let found = self.index.get(group).and_then(|streams| streams.get(stream)).copied();
        self.latest = found.unwrap_or_else(|| {
            let at = self.streams.len();
            let group = self.index.get_key_value(group).map_or_else(|| group.into(), |(key, _)| key.clone());
            let stream: Arc<str> = stream.into();
            self.index.entry(group.clone()).or_default().insert(stream.clone(), at);
            self.streams.push(Stream {
                group,
                stream,
                text: String::new(),
                entries: Vec::new(),
                closed: Vec::new(),
                longest: 0,
            });
            at
        });
        self.latest
    }
}

impl Stream {
    /// Closes the chunk if it is large enough, or an event of this time would make it too long for one request.
    #[inline]
    fn make_room(&mut self, timestamp: i64) {
        let apart = |entry: &Entry| entry.timestamp.abs_diff(timestamp) > MAX_SPAN_MS.unsigned_abs();
        // Times come in order or nearly so: the ends of the chunk stand for all of it, but for the rare case that is
        // looked at in full.
        let far = self.entries.first().is_some_and(apart) || self.entries.last().is_some_and(apart);
        if self.text.len() >= CHUNK_BYTES || far {
            self.close();
            self.text.reserve(CHUNK_BYTES + self.longest);
        }
    }

    /// Closes the chunk before the event that begins at `start`, if both together are too large for one request.
    fn keep_to_one_request(&mut self, start: usize, size: usize) {
        // A text is longer than what the service counts for it.
        if start > 0 && self.text.len() > MAX_BODY_BYTES {
            let before: usize = self.entries.iter().map(|entry| entry.size as usize).sum();
            if before + size > MAX_BODY_BYTES {
                let event = self.text.split_off(start);
                self.close();
                self.text = event;
                // The comma that set it apart.
                self.text.remove(0);
            }
        }
    }

    fn close(&mut self) {
        if !self.entries.is_empty() {
            let (text, entries) = (std::mem::take(&mut self.text), std::mem::take(&mut self.entries));
            self.closed.extend(Chunk::closed(text, entries));
        }
    }
}

#[cfg(test)]
impl Events<'_> {
    /// Returns all chunks and the counts of the events that `make` adds.
    pub(crate) fn collect(
        now_ms: i64,
        max_event_bytes: usize,
        make: impl FnOnce(&mut Events<'_>),
    ) -> (Vec<StreamChunks>, Counts) {
        let mut all: Vec<StreamChunks> = Vec::new();
        let mut hand_over = |streams: Vec<StreamChunks>| {
            for new in streams {
                match all.iter_mut().find(|old| old.group == new.group && old.stream == new.stream) {
                    Some(old) => old.chunks.extend(new.chunks),
                    None => all.push(new),
                }
            }
        };
        let mut events = Events::new(now_ms, max_event_bytes, 0, &mut hand_over);
        make(&mut events);
        let counts = events.finish();
        (all, counts)
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
