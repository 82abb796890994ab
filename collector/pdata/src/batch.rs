//! What flows through a pipeline.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes};
use smallvec::{SmallVec, smallvec};

use crate::validate::{self, InvalidPayload};
use crate::wire::{FieldValue, Fields, varint_len};
use crate::{canonical, json};

/// Chunks are joined up to this many bytes: a network buffer kept alive, a reference count and a row in every list
/// cost more than the copy.
const SMALL_CHUNK: usize = 4096;

/// The three kinds of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Items are data points.
    Metrics,
    /// Items are log records.
    Logs,
    /// Items are spans.
    Traces,
}

impl Signal {
    /// All signals.
    pub const ALL: [Signal; 3] = [Signal::Metrics, Signal::Logs, Signal::Traces];

    /// `metrics`, `logs`, `traces`: as pipelines call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who sent a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The peer of the connection.
    pub address: Option<SocketAddr>,
    /// Request headers, where the receiver keeps them (`include_metadata`): lower-case names, values in order.
    pub metadata: Vec<(String, Vec<String>)>,
}

/// Which branches of a fan-out have taken a batch that is offered again: shared by all clones of the batch.
///
/// A stage that offers a batch repeatedly attaches it, a fan-out notes in it, so that a branch that took the batch is not
/// given it again because its neighbour refused.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<BTreeSet<(u64, usize)>>);

impl Deliveries {
    /// Whether a branch of the fan-out with this number has taken the batch.
    pub fn contains(&self, fan_out: u64, branch: usize) -> bool {
        self.lock().contains(&(fan_out, branch))
    }

    /// Notes that it has.
    pub fn insert(&self, fan_out: u64, branch: usize) {
        self.lock().insert((fan_out, branch));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(u64, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checked, encoded telemetry of one signal. Cloning shares the bytes.
#[derive(Clone)]
pub struct Batch {
    pub(crate) signal: Signal,
    pub(crate) chunks: SmallVec<[Chunk; 1]>,
    pub(crate) items: usize,
    client: Option<Arc<ClientInfo>>,
    pub(crate) deliveries: Option<Arc<Deliveries>>,
}

/// A piece of a batch: an encoded request of its own.
#[derive(Clone)]
pub struct Chunk {
    pub(crate) repr: Repr,
    pub(crate) items: usize,
    encoded_len: usize,
}

#[derive(Clone)]
pub(crate) enum Repr {
    /// The body of a request, canonical.
    Encoded(Bytes),
    /// Entries of a request whose resources were replaced: those of `range`.
    Spliced { entries: Arc<[OwnedEntry]>, range: Range<usize> },
}

#[derive(Debug, Clone)]
pub(crate) struct OwnedEntry {
    /// The encoded `Resource`, without tag and length.
    pub(crate) resource: Option<Bytes>,
    /// The other fields of the entry.
    pub(crate) body: Bytes,
}

/// A `ResourceMetrics`, `ResourceLogs` or `ResourceSpans` in two parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// The encoded `Resource`, without tag and length.
    pub(crate) resource: Option<&'a [u8]>,
    /// The other fields.
    pub(crate) body: &'a [u8],
}

impl Batch {
    /// A batch without items.
    pub fn empty(signal: Signal) -> Self {
        Self { signal, chunks: SmallVec::new(), items: 0, client: None, deliveries: None }
    }

    /// Checks the body of an export request. The bytes are kept, not copied.
    pub fn from_protobuf(signal: Signal, body: Bytes) -> Result<Self, InvalidPayload> {
        let report = validate::check(signal, &body)?;
        if report.canonical {
            return Ok(Self::of_chunk(signal, Chunk::encoded(body, report.items)));
        }
        let body = Bytes::from(canonical::rewrite(signal, &body));
        let report = validate::check(signal, &body)?;
        Ok(Self::of_chunk(signal, Chunk::encoded(body, report.items)))
    }

    /// Checks an OTLP/JSON export request and encodes it.
    pub fn from_json(signal: Signal, body: &[u8]) -> Result<Self, InvalidPayload> {
        Self::from_protobuf(signal, Bytes::from(json::decode(signal, body)?))
    }

    pub(crate) fn of_chunk(signal: Signal, chunk: Chunk) -> Self {
        let items = chunk.items;
        Self { signal, chunks: smallvec![chunk], items, client: None, deliveries: None }
    }

    /// What the items are.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Data points, log records or spans.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// The size of the encoded request in bytes.
    pub fn encoded_len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.encoded_len).sum()
    }

    /// The pieces.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Who sent it, where that is one client.
    pub fn client(&self) -> Option<&Arc<ClientInfo>> {
        self.client.as_ref()
    }

    /// Says who sent it.
    #[must_use]
    pub fn with_client(mut self, client: Option<Arc<ClientInfo>>) -> Self {
        self.client = client;
        self
    }

    /// Makes this batch and its clones one delivery: fan-outs give it to each of their branches once, however often it is
    /// offered. Joining or splitting ends that.
    #[must_use]
    pub fn tracked(mut self) -> Self {
        self.deliveries = Some(Arc::default());
        self
    }

    /// Makes this batch the delivery of `other`, out of which it was made.
    #[must_use]
    pub fn delivered_as(mut self, other: &Batch) -> Self {
        self.deliveries.clone_from(&other.deliveries);
        self
    }

    /// What fan-outs note, where the batch is [tracked](Self::tracked).
    pub fn deliveries(&self) -> Option<&Deliveries> {
        self.deliveries.as_deref()
    }

    /// Appends another batch of the same signal; the client stays if it is the same. The bytes are not copied, but for
    /// those of a few kilobytes: repeated fields of protobuf messages concatenate.
    ///
    /// A batch of another signal is handed back.
    pub fn append(&mut self, other: Batch) -> Result<(), Batch> {
        if other.signal != self.signal {
            return Err(other);
        }
        if self.client != other.client {
            self.client = None;
        }
        self.deliveries = None;
        self.items += other.items;
        other.chunks.into_iter().for_each(|chunk| self.push(chunk));
        Ok(())
    }

    /// Appends a chunk. Neighbours that are small and of like size are joined, as in a binary counter: each byte is
    /// copied a few times at most, and thousands of tiny requests do not become thousands of chunks.
    fn push(&mut self, mut chunk: Chunk) {
        while let Some(last) = self.chunks.last()
            && last.encoded_len / 2 <= chunk.encoded_len
            && last.encoded_len + chunk.encoded_len <= SMALL_CHUNK
        {
            let mut joined = Vec::with_capacity(last.encoded_len + chunk.encoded_len);
            last.write(&mut joined);
            chunk.write(&mut joined);
            chunk = Chunk::encoded(Bytes::from(joined), last.items + chunk.items);
            self.chunks.pop();
        }
        if chunk.encoded_len > 0 {
            self.chunks.push(chunk);
        }
    }

    /// The entries of all chunks, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.chunks.iter().flat_map(Chunk::entries)
    }

    /// The body of an export request with everything in it. Free where the batch arrived as one request.
    pub fn to_protobuf(&self) -> Bytes {
        match self.chunks.as_slice() {
            [Chunk { repr: Repr::Encoded(bytes), .. }] => bytes.clone(),
            _ => {
                let mut out = Vec::with_capacity(self.encoded_len());
                self.write_protobuf(&mut out);
                Bytes::from(out)
            }
        }
    }

    /// Appends the body of an export request.
    pub fn write_protobuf(&self, out: &mut impl BufMut) {
        self.chunks.iter().for_each(|chunk| chunk.write(out));
    }

    /// The same as OTLP/JSON.
    pub fn to_json(&self) -> Vec<u8> {
        json::encode(self.signal, &self.to_protobuf())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({}, {} items, {} bytes)", self.signal, self.items, self.encoded_len())
    }
}

/// Two batches are equal when they are the same request in bytes.
impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.signal == other.signal && self.to_protobuf() == other.to_protobuf()
    }
}

impl Chunk {
    /// `bytes` must be canonical and hold `items` items.
    pub(crate) fn encoded(bytes: Bytes, items: usize) -> Self {
        Self { encoded_len: bytes.len(), items, repr: Repr::Encoded(bytes) }
    }

    pub(crate) fn spliced(entries: Arc<[OwnedEntry]>, range: Range<usize>, items: usize) -> Self {
        let part = entries.get(range.clone()).unwrap_or_default();
        let encoded_len = part.iter().map(|entry| entry.as_ref().encoded_len()).sum();
        Self { encoded_len, items, repr: Repr::Spliced { entries, range } }
    }

    /// Data points, log records or spans.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The size of the encoded request in bytes.
    pub fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    /// The entries, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let (encoded, spliced) = match &self.repr {
            Repr::Encoded(bytes) => (&**bytes, &[][..]),
            Repr::Spliced { entries, range } => (&[][..], entries.get(range.clone()).unwrap_or_default()),
        };
        encoded_entries(encoded).chain(spliced.iter().map(OwnedEntry::as_ref))
    }

    /// The entry at `index`, which is `entry`, as slices that keep its bytes alive.
    pub(crate) fn owned_entry(&self, index: usize, entry: Entry<'_>) -> OwnedEntry {
        match &self.repr {
            Repr::Encoded(bytes) => OwnedEntry {
                resource: entry.resource.map(|resource| bytes.slice_ref(resource)),
                body: bytes.slice_ref(entry.body),
            },
            Repr::Spliced { entries, range } => match entries.get(range.start + index) {
                Some(entry) => entry.clone(),
                None => OwnedEntry { resource: None, body: Bytes::new() },
            },
        }
    }

    fn write(&self, out: &mut impl BufMut) {
        match &self.repr {
            Repr::Encoded(bytes) => out.put_slice(bytes),
            Repr::Spliced { .. } => self.entries().for_each(|entry| entry.write(out)),
        }
    }
}

fn encoded_entries(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    Fields::new(bytes).filter_map(|(number, value)| match value {
        FieldValue::Len(entry) if number == 1 => Some(Entry::of(entry)),
        _ => None,
    })
}

impl OwnedEntry {
    pub(crate) fn as_ref(&self) -> Entry<'_> {
        Entry { resource: self.resource.as_deref(), body: &self.body }
    }
}

impl<'a> Entry<'a> {
    /// Takes the leading resource off an encoded entry.
    fn of(entry: &'a [u8]) -> Self {
        let mut fields = Fields::new(entry);
        match fields.next() {
            Some((1, FieldValue::Len(resource))) => {
                let body = entry.get(fields.position()..).unwrap_or_default();
                Self { resource: Some(resource), body }
            }
            _ => Self { resource: None, body: entry },
        }
    }

    fn message_len(&self) -> usize {
        Self::message_len_of(self.resource.map(<[u8]>::len), self.body.len())
    }

    /// The length of an entry whose parts have these lengths, without its own tag and length.
    #[inline]
    pub(crate) fn message_len_of(resource: Option<usize>, body: usize) -> usize {
        resource.map_or(0, |resource| 1 + varint_len(resource as u64) + resource) + body
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let len = self.message_len();
        1 + varint_len(len as u64) + len
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) {
        match self.resource {
            None => put_head(out, self.body.len()),
            Some(resource) => match short_head(self.message_len(), resource.len()) {
                Some(head) => out.put_slice(&head),
                None => put_heads(out, self.message_len(), resource.len()),
            },
        }
        out.put_slice(self.resource.unwrap_or_default());
        out.put_slice(self.body);
    }
}

/// What stands before the resource of an entry where both lengths take two bytes, as most do.
#[inline]
pub(crate) fn short_head(entry: usize, resource: usize) -> Option<[u8; 6]> {
    let is_short = |len| matches!(len, 0x80..=0x3fff);
    let [low, high] = [entry as u8 | 0x80, (entry >> 7) as u8];
    (is_short(entry) && is_short(resource)).then_some([
        0x0a,
        low,
        high,
        0x0a,
        resource as u8 | 0x80,
        (resource >> 7) as u8,
    ])
}

/// Writes what stands before the resource of an entry.
pub(crate) fn put_heads(out: &mut impl BufMut, entry: usize, resource: usize) {
    put_head(out, entry);
    put_head(out, resource);
}

/// Writes the tag of a message in field 1, and its length.
fn put_head(out: &mut impl BufMut, len: usize) {
    out.put_u8(0x0a);
    let mut rest = len as u64;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}
