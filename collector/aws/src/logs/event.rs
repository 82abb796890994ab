//! Events on their way to log streams, within the limits of the service.
//!
//! Source of the limits: Amazon CloudWatch Logs API reference, `PutLogEvents`.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The largest request, counting messages and [`EVENT_OVERHEAD`] each.
const MAX_BATCH_BYTES: usize = 1_048_576;
/// What an event counts besides its message.
const EVENT_OVERHEAD: usize = 26;
/// The most events of a request.
const MAX_BATCH_EVENTS: usize = 10_000;
/// The longest time between the first and the last event of a request.
const MAX_SPAN_MS: i64 = 24 * 60 * 60 * 1000;
/// The longest message.
const MAX_MESSAGE_BYTES: usize = MAX_BATCH_BYTES - EVENT_OVERHEAD;
/// What ends a message that was cut.
const TRUNCATED: &str = "[Truncated...]";
/// Older events are refused by the service.
const MAX_AGE_MS: i64 = 14 * 24 * 60 * 60 * 1000;
/// Events further ahead are refused by the service.
const MAX_AHEAD_MS: i64 = 2 * 60 * 60 * 1000;

/// Events that were not taken as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Older than 14 days: dropped.
    pub too_old: u64,
    /// More than two hours ahead: dropped.
    pub too_new: u64,
    /// Without text: dropped.
    pub empty: u64,
    /// Longer than the service takes: cut.
    pub truncated: u64,
}

/// The events of one push, by log group and stream.
#[derive(Debug, Default)]
pub struct Events {
    streams: Vec<Stream>,
    /// Places among the streams, by group and stream.
    index: BTreeMap<String, BTreeMap<String, usize>>,
    latest: usize,
    refused: Refused,
}

#[derive(Debug)]
struct Stream {
    group: Arc<str>,
    stream: Arc<str>,
    text: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Unix time in milliseconds.
    timestamp: i64,
    start: usize,
    end: usize,
}

/// What one request carries: events of one stream in order of time, within the limits.
#[derive(Debug, Clone)]
pub struct EventBatch {
    group: Arc<str>,
    stream: Arc<str>,
    text: Arc<str>,
    entries: Vec<Entry>,
}

impl Events {
    /// Adds an event. Times are Unix times in milliseconds; 0 stands for now.
    pub fn push(&mut self, group: &str, stream: &str, timestamp_ms: i64, message: &str, now_ms: i64) {
        let timestamp = if timestamp_ms == 0 { now_ms } else { timestamp_ms };
        if message.is_empty() {
            self.refused.empty += 1;
        } else if now_ms.saturating_sub(timestamp) > MAX_AGE_MS {
            self.refused.too_old += 1;
        } else if timestamp.saturating_sub(now_ms) > MAX_AHEAD_MS {
            self.refused.too_new += 1;
        } else {
            let at = self.place(group, stream);
            if let Some(stream) = self.streams.get_mut(at) {
                self.refused.truncated += u64::from(stream.push(timestamp, message));
            }
        }
    }

    /// How many events were not taken as they were.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// The batches, by group and stream in order of first appearance.
    pub fn into_batches(self) -> Vec<EventBatch> {
        self.streams.into_iter().flat_map(Stream::into_batches).collect()
    }

    fn place(&mut self, group: &str, stream: &str) -> usize {
        let known = self.streams.get(self.latest);
        if known.is_some_and(|known| &*known.group == group && &*known.stream == stream) {
            return self.latest;
        }
        let found = self.index.get(group).and_then(|streams| streams.get(stream)).copied();
        self.latest = found.unwrap_or_else(|| {
            let at = self.streams.len();
            self.index.entry(group.to_owned()).or_default().insert(stream.to_owned(), at);
            self.streams.push(Stream {
                group: group.into(),
                stream: stream.into(),
                text: String::new(),
                entries: Vec::new(),
            });
            at
        });
        self.latest
    }
}

impl Stream {
    /// Says whether the message was cut.
    fn push(&mut self, timestamp: i64, message: &str) -> bool {
        let start = self.text.len();
        let cut = message.len() > MAX_MESSAGE_BYTES;
        if cut {
            let end = message.floor_char_boundary(MAX_MESSAGE_BYTES - TRUNCATED.len());
            self.text.push_str(message.get(..end).unwrap_or_default());
            self.text.push_str(TRUNCATED);
        } else {
            self.text.push_str(message);
        }
        self.entries.push(Entry { timestamp, start, end: self.text.len() });
        cut
    }

    fn into_batches(mut self) -> Vec<EventBatch> {
        // Stable: events of the same time stay in order.
        self.entries.sort_by_key(|entry| entry.timestamp);
        let text: Arc<str> = self.text.into();
        let mut batches = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for entry in self.entries {
            let size = entry.end - entry.start + EVENT_OVERHEAD;
            let oldest = entries.first().map_or(entry.timestamp, |entry| entry.timestamp);
            let full = entries.len() == MAX_BATCH_EVENTS
                || bytes + size > MAX_BATCH_BYTES
                || entry.timestamp.saturating_sub(oldest) > MAX_SPAN_MS;
            if full {
                batches.push(std::mem::take(&mut entries));
                bytes = 0;
            }
            bytes += size;
            entries.push(entry);
        }
        batches.push(entries);
        let batch = |entries| EventBatch {
            group: self.group.clone(),
            stream: self.stream.clone(),
            text: text.clone(),
            entries,
        };
        batches.into_iter().filter(|entries| !entries.is_empty()).map(batch).collect()
    }
}

impl EventBatch {
    /// The log group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The log stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none; batches of [`Events::into_batches`] have some.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes the messages have.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.end - entry.start).sum()
    }

    /// Times, in milliseconds of Unix time, and messages; in order of time.
    pub fn events(&self) -> impl Iterator<Item = (i64, &str)> {
        self.entries
            .iter()
            .map(|entry| (entry.timestamp, self.text.get(entry.start..entry.end).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    /// A stream, and its events with their times from now.
    type Batch = (String, Vec<(i64, String)>);

    fn batches(events: &[(&str, i64, &str)]) -> (Vec<Batch>, Refused) {
        let mut all = Events::default();
        events
            .iter()
            .for_each(|(stream, timestamp, message)| all.push("g", stream, *timestamp, message, NOW));
        let refused = all.refused();
        let batches = all.into_batches();
        let list =
            |batch: &EventBatch| batch.events().map(|(time, text)| (time - NOW, text.to_owned())).collect();
        (batches.iter().map(|batch| (batch.stream().to_owned(), list(batch))).collect(), refused)
    }

    fn sizes(events: &[(&str, i64, &str)]) -> Vec<usize> {
        batches(events).0.iter().map(|(_, events)| events.len()).collect()
    }

    #[test]
    fn events_are_sorted_within_their_stream() {
        let (got, refused) =
            batches(&[("a", NOW + 5, "1"), ("b", NOW, "2"), ("a", NOW, "3"), ("a", NOW, "4"), ("b", 0, "5")]);
        let expected = vec![
            ("a".to_owned(), vec![(0, "3".to_owned()), (0, "4".to_owned()), (5, "1".to_owned())]),
            ("b".to_owned(), vec![(0, "2".to_owned()), (0, "5".to_owned())]),
        ];
        assert_eq!(got, expected);
        assert_eq!(refused, Refused::default());
    }

    #[test]
    fn batches_keep_the_limits() {
        let many = vec![("a", NOW, "x"); 10_001];
        assert_eq!(sizes(&many), [10_000, 1]);
        let day = 24 * 60 * 60 * 1000;
        assert_eq!(sizes(&[("a", NOW, "x"), ("a", NOW - day, "x")]), [2]);
        assert_eq!(sizes(&[("a", NOW, "x"), ("a", NOW - day - 1, "x")]), [1, 1]);
        let half = "x".repeat(MAX_BATCH_BYTES / 2 - EVENT_OVERHEAD);
        assert_eq!(sizes(&[("a", NOW, &half), ("a", NOW, &half)]), [2]);
        assert_eq!(sizes(&[("a", NOW, &half), ("a", NOW, &half), ("a", NOW, "x")]), [2, 1]);
    }

    #[test]
    fn what_the_service_would_refuse_is_counted() {
        let hour = 60 * 60 * 1000;
        let check = |timestamp: i64, message: &str, expected: Refused| {
            let (got, refused) = batches(&[("a", timestamp, message)]);
            assert_eq!(refused, expected);
            assert_eq!(got.len(), usize::from(expected == Refused::default()));
        };
        check(NOW - 14 * 24 * hour, "x", Refused::default());
        check(NOW - 14 * 24 * hour - 1, "x", Refused { too_old: 1, ..Refused::default() });
        check(NOW + 2 * hour, "x", Refused::default());
        check(NOW + 2 * hour + 1, "x", Refused { too_new: 1, ..Refused::default() });
        check(NOW, "", Refused { empty: 1, ..Refused::default() });
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let longest = "x".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(batches(&[("a", NOW, &longest)]).1, Refused::default());
        let (got, refused) = batches(&[("a", NOW, &"é".repeat(MAX_MESSAGE_BYTES))]);
        assert_eq!(refused.truncated, 1);
        let text = &got[0].1[0].1;
        assert!(text.ends_with("é[Truncated...]"));
        assert!(text.len() <= MAX_MESSAGE_BYTES && text.len() > MAX_MESSAGE_BYTES - 3);
    }
}
