//! What flows through a pipeline.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use smallvec::{SmallVec, smallvec};

use crate::validate::{self, InvalidPayload};
use crate::wire::{FieldValue, Fields, put_tag, put_varint, varint_len};
use crate::{canonical, json};

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

/// Checked, encoded telemetry of one signal. Cloning shares the bytes.
#[derive(Clone)]
pub struct Batch {
    signal: Signal,
    chunks: SmallVec<[Chunk; 1]>,
    items: usize,
    client: Option<Arc<ClientInfo>>,
}

/// A piece of a batch: an encoded request of its own.
#[derive(Clone)]
pub struct Chunk {
    repr: Repr,
    items: usize,
    encoded_len: usize,
}

#[derive(Clone)]
enum Repr {
    /// The body of a request, canonical.
    Encoded(Bytes),
    /// The entries of a request whose resources were replaced.
    Spliced(Arc<[OwnedEntry]>),
}

#[derive(Debug, Clone)]
pub(crate) struct OwnedEntry {
    /// The encoded `Resource`, without tag and length; empty for none.
    pub(crate) resource: Bytes,
    /// The other fields of the entry.
    pub(crate) body: Bytes,
}

/// A `ResourceMetrics`, `ResourceLogs` or `ResourceSpans` in two parts.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The encoded `Resource`; empty for none.
    pub(crate) resource: &'a [u8],
    /// The other fields.
    pub(crate) body: &'a [u8],
}

impl Batch {
    /// A batch without items.
    pub fn empty(signal: Signal) -> Self {
        Self { signal, chunks: SmallVec::new(), items: 0, client: None }
    }

    /// Checks the body of an export request. The bytes are kept, not copied.
    pub fn from_protobuf(signal: Signal, body: Bytes) -> Result<Self, InvalidPayload> {
        let report = validate::check(signal, &body)?;
        if report.canonical {
            return Ok(Self::of_chunk(signal, Chunk::encoded(body, report.items)));
        }
        let body = Bytes::from(canonical::rewrite(signal, &body)?);
        let report = validate::check(signal, &body)?;
        Ok(Self::of_chunk(signal, Chunk::encoded(body, report.items)))
    }

    /// Checks an OTLP/JSON export request and encodes it.
    pub fn from_json(signal: Signal, body: &[u8]) -> Result<Self, InvalidPayload> {
        Self::from_protobuf(signal, Bytes::from(json::decode(signal, body)?))
    }

    pub(crate) fn of_chunk(signal: Signal, chunk: Chunk) -> Self {
        let items = chunk.items;
        Self { signal, chunks: smallvec![chunk], items, client: None }
    }

    pub(crate) fn of_chunks(signal: Signal, chunks: SmallVec<[Chunk; 1]>) -> Self {
        let items = chunks.iter().map(|chunk| chunk.items).sum();
        Self { signal, chunks, items, client: None }
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

    /// Appends another batch of the same signal; the client stays if it is the same. The bytes are not copied: repeated
    /// fields of protobuf messages concatenate.
    ///
    /// A batch of another signal is handed back.
    pub fn append(&mut self, other: Batch) -> Result<(), Batch> {
        if other.signal != self.signal {
            return Err(other);
        }
        if self.client != other.client {
            self.client = None;
        }
        self.items += other.items;
        self.chunks.extend(other.chunks);
        Ok(())
    }

    /// The entries of all chunks, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.chunks.iter().flat_map(Chunk::entries)
    }

    /// The body of an export request with everything in it. Free where the batch arrived as one request.
    pub fn to_protobuf(&self) -> Bytes {
        match self.chunks.as_slice() {
            [Chunk { repr: Repr::Encoded(bytes), .. }] => bytes.clone(),
            chunks => {
                let mut out = Vec::with_capacity(self.encoded_len());
                chunks.iter().for_each(|chunk| chunk.write(&mut out));
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

    pub(crate) fn spliced(entries: Vec<OwnedEntry>, items: usize) -> Self {
        let encoded_len = entries.iter().map(|entry| entry.as_ref().encoded_len()).sum();
        Self { encoded_len, items, repr: Repr::Spliced(entries.into()) }
    }

    /// Data points, log records or spans.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let (encoded, spliced) = match &self.repr {
            Repr::Encoded(bytes) => (&**bytes, &[][..]),
            Repr::Spliced(entries) => (&[][..], &**entries),
        };
        encoded_entries(encoded).chain(spliced.iter().map(OwnedEntry::as_ref))
    }

    /// The entries as slices that keep the chunk's bytes alive.
    pub(crate) fn owned_entries(&self) -> impl Iterator<Item = OwnedEntry> {
        let (encoded, spliced) = match &self.repr {
            Repr::Encoded(bytes) => (bytes.clone(), &[][..]),
            Repr::Spliced(entries) => (Bytes::new(), &**entries),
        };
        let owned: Vec<OwnedEntry> = encoded_entries(&encoded)
            .map(|entry| OwnedEntry {
                resource: encoded.slice_ref(entry.resource),
                body: encoded.slice_ref(entry.body),
            })
            .collect();
        owned.into_iter().chain(spliced.iter().cloned())
    }

    fn write(&self, out: &mut impl BufMut) {
        match &self.repr {
            Repr::Encoded(bytes) => out.put_slice(bytes),
            Repr::Spliced(entries) => entries.iter().for_each(|entry| entry.as_ref().write(out)),
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
        Entry { resource: &self.resource, body: &self.body }
    }
}

impl<'a> Entry<'a> {
    /// Takes the leading resource off an encoded entry.
    fn of(entry: &'a [u8]) -> Self {
        let mut fields = Fields::new(entry);
        match fields.next() {
            Some((1, FieldValue::Len(resource))) => {
                Self { resource, body: entry.get(fields.position()..).unwrap_or_default() }
            }
            _ => Self { resource: &[], body: entry },
        }
    }

    fn message_len(&self) -> usize {
        1 + varint_len(self.resource.len() as u64) + self.resource.len() + self.body.len()
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let len = self.message_len();
        1 + varint_len(len as u64) + len
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) {
        let mut head = Vec::with_capacity(24);
        put_tag(&mut head, 1, crate::wire::WireType::Len);
        put_varint(&mut head, self.message_len() as u64);
        put_tag(&mut head, 1, crate::wire::WireType::Len);
        put_varint(&mut head, self.resource.len() as u64);
        out.put_slice(&head);
        out.put_slice(self.resource);
        out.put_slice(self.body);
    }
}
