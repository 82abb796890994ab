//! Chunks: events of one stream that are stored, sent and acknowledged together.

use bytes::Bytes;

use super::body::MAX_SPAN_MS;

/// The version of the encoded form.
const VERSION: u8 = 1;

/// Events of one stream in order of time, separated by commas: a part of the `logEvents` of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) text: Bytes,
    pub(crate) entries: Vec<Entry>,
}

/// An event of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Unix time in milliseconds.
    pub(crate) timestamp: i64,
    /// Where its text ends. It begins where the one before ends, behind the comma.
    pub(crate) end: u32,
    /// What the service counts for it: the message and 26 bytes.
    pub(crate) size: u32,
    /// How many items of the batch it stands for.
    pub(crate) items: u32,
}

/// What is known of a chunk without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// What the service counts for its events.
    pub(crate) size: usize,
    pub(crate) events: usize,
    pub(crate) items: u64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

/// Where a chunk belongs, as it is stored on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) group: String,
    pub(crate) stream: String,
    /// The push that it came with, and the room that this takes in the queue.
    pub(crate) push: u64,
    pub(crate) room: u64,
}

/// What is stored is not a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a chunk of log events")]
pub(crate) struct NotAChunk;

impl Chunk {
    /// Chunks of the events in `text`, which are put in order of time: one, or several if they span more than a request may.
    pub(crate) fn closed(text: String, entries: Vec<Entry>) -> Vec<Self> {
        if entries.is_sorted_by_key(|entry| entry.timestamp) {
            let chunk = Self { text: text.into(), entries };
            return if chunk.spans_too_long() { chunk.in_order() } else { vec![chunk] };
        }
        Self { text: text.into(), entries }.in_order()
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            size: self.entries.iter().map(|entry| entry.size as usize).sum(),
            events: self.entries.len(),
            items: self.entries.iter().map(|entry| u64::from(entry.items)).sum(),
            first_ms: self.first_ms(),
            last_ms: self.last_ms(),
        }
    }

    /// The time of its first event.
    pub(crate) fn first_ms(&self) -> i64 {
        self.entries.first().map_or(0, |entry| entry.timestamp)
    }

    /// The time of its last event.
    pub(crate) fn last_ms(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.timestamp)
    }

    /// The events and their texts.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let end = entry.end as usize;
            let text = self.text.get(start..end).unwrap_or_default();
            start = end + 1;
            (entry, text)
        })
    }

    fn spans_too_long(&self) -> bool {
        self.last_ms().saturating_sub(self.first_ms()) > MAX_SPAN_MS
    }

    /// Its events written anew in order of time, as many chunks as their span asks for.
    fn in_order(&self) -> Vec<Self> {
        let mut events: Vec<(&Entry, &[u8])> = self.events().collect();
        // Stable: events of the same time stay in order.
        events.sort_by_key(|(entry, _)| entry.timestamp);
        let mut chunks = Vec::new();
        let mut rest = events.as_slice();
        while let Some((first, _)) = rest.first() {
            let too_long =
                |(entry, _): &(&Entry, &[u8])| entry.timestamp.saturating_sub(first.timestamp) > MAX_SPAN_MS;
            let (these, others) = rest.split_at(rest.iter().position(too_long).unwrap_or(rest.len()));
            chunks.push(Self::joined(these));
            rest = others;
        }
        chunks
    }

    fn joined(events: &[(&Entry, &[u8])]) -> Self {
        let mut text = Vec::with_capacity(events.iter().map(|(_, text)| text.len() + 1).sum());
        let mut entries = Vec::with_capacity(events.len());
        for (entry, event) in events {
            if !text.is_empty() {
                text.push(b',');
            }
            text.extend_from_slice(event);
            entries.push(Entry { end: u32::try_from(text.len()).unwrap_or(u32::MAX), ..**entry });
        }
        Self { text: text.into(), entries }
    }

    /// What stands before the text on disk.
    pub(crate) fn header(&self, label: &Label) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&label.push.to_le_bytes());
        out.extend_from_slice(&label.room.to_le_bytes());
        for name in [&label.group, &label.stream] {
            put_u32(&mut out, name.len());
            out.extend_from_slice(name.as_bytes());
        }
        put_u32(&mut out, self.entries.len());
        for entry in &self.entries {
            out.extend_from_slice(&entry.timestamp.to_le_bytes());
            out.extend_from_slice(&entry.end.to_le_bytes());
            out.extend_from_slice(&entry.size.to_le_bytes());
            out.extend_from_slice(&entry.items.to_le_bytes());
        }
        out
    }

    /// Reads header and text back.
    pub(crate) fn read(stored: Bytes) -> Result<(Label, Self), NotAChunk> {
        let mut reader = Reader { rest: &stored };
        if reader.array()? != [VERSION] {
            return Err(NotAChunk);
        }
        let push = u64::from_le_bytes(reader.array()?);
        let room = u64::from_le_bytes(reader.array()?);
        let (group, stream) = (reader.text()?, reader.text()?);
        let count = reader.u32()? as usize;
        // 20 bytes each: a count that the bytes cannot hold is refused before memory is asked for.
        if reader.rest.len() / 20 < count {
            return Err(NotAChunk);
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let timestamp = i64::from_le_bytes(reader.array()?);
            entries.push(Entry { timestamp, end: reader.u32()?, size: reader.u32()?, items: reader.u32()? });
        }
        let text = stored.slice_ref(reader.rest);
        let mut ends = entries.iter().map(|entry| entry.end as usize);
        if entries.is_empty() || !ends.clone().is_sorted() || ends.next_back() != Some(text.len()) {
            return Err(NotAChunk);
        }
        Ok((Label { group, stream, push, room }, Self { text, entries }))
    }
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotAChunk> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(NotAChunk)?;
        self.rest = rest;
        Ok(*first)
    }

    fn u32(&mut self) -> Result<u32, NotAChunk> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, NotAChunk> {
        let len = self.u32()? as usize;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(NotAChunk)?;
        self.rest = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| NotAChunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events `<index>@<time>` of these times.
    fn chunks(times: &[i64]) -> Vec<Chunk> {
        let mut text = String::new();
        let mut entries = Vec::new();
        for (index, &timestamp) in times.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&format!("{index}@{timestamp}"));
            entries.push(Entry { timestamp, end: text.len() as u32, size: 27, items: 2 });
        }
        Chunk::closed(text, entries)
    }

    fn texts(chunks: &[Chunk]) -> Vec<String> {
        chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.text).into_owned()).collect()
    }

    #[test]
    fn events_are_put_in_order_of_time() {
        let check = |times: &[i64], expected: &[&str]| {
            let chunks = chunks(times);
            assert_eq!(texts(&chunks), expected);
            for chunk in &chunks {
                let joined: Vec<_> = chunk.events().map(|(_, text)| text).collect();
                assert_eq!(joined.join(&b','), chunk.text);
            }
        };
        check(&[1, 2, 2], &["0@1,1@2,2@2"]);
        check(&[2, 1, 2], &["1@1,0@2,2@2"]);
        check(&[0, MAX_SPAN_MS], &["0@0,1@86400000"]);
        check(&[MAX_SPAN_MS, 0, 1], &["1@0,2@1,0@86400000"]);
        check(&[0, MAX_SPAN_MS + 1], &["0@0", "1@86400001"]);
        check(&[MAX_SPAN_MS + 2, 0, 1], &["1@0,2@1", "0@86400002"]);
    }

    #[test]
    fn what_is_stored_reads_back_and_nothing_else_does() {
        let chunk = chunks(&[5, 6]).remove(0);
        let label = Label { group: "g".into(), stream: "é".into(), push: 7, room: 9 };
        let mut stored = chunk.header(&label);
        stored.extend_from_slice(&chunk.text);
        assert_eq!(Chunk::read(stored.clone().into()), Ok((label, chunk.clone())));
        for len in 0..stored.len() {
            assert_eq!(Chunk::read(stored[..len].to_vec().into()), Err(NotAChunk), "{len} bytes");
        }
        stored[0] = 2;
        assert_eq!(Chunk::read(stored.into()), Err(NotAChunk));
    }

    #[test]
    fn a_summary() {
        let chunk = chunks(&[5, 6]).remove(0);
        let expected = Summary { size: 54, events: 2, items: 4, first_ms: 5, last_ms: 6 };
        assert_eq!(chunk.summary(), expected);
    }
}
