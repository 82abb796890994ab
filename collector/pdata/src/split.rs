//! Cutting a batch in two.

use std::ops::Range;

use smallvec::SmallVec;

use crate::batch::{Chunk, Entry, OwnedEntry, Repr};
use crate::wire::{Fields, close_message, open_message, put_bytes};
use crate::{Batch, Signal};

/// The chunks before and behind a cut.
struct Halves {
    first: SmallVec<[Chunk; 2]>,
    rest: SmallVec<[Chunk; 2]>,
}

/// Where a chunk is cut.
struct Cut<'a> {
    /// Where the last entry ends that goes to the first part as it is.
    before: usize,
    /// Where the first entry begins that goes to the rest as it is.
    behind: usize,
    /// The items before `before`.
    taken: usize,
    /// The entry between them, which has items of both parts.
    entry: Option<Entry<'a>>,
}

impl Batch {
    /// Takes the first `items` items; `self` keeps the rest. Both parts have the resource, the scope and, of a metric,
    /// everything but the points, of what is cut through.
    ///
    /// Whole resources are moved without copying; only the one that is cut through is written anew. If far more is left
    /// of it than was taken, what is left becomes a few entries of the same resource, so that taking one part after the
    /// other stays cheap.
    pub fn split_off_first(&mut self, items: usize) -> Batch {
        let mut first = Batch::empty(self.signal).with_client(self.client().cloned());
        if items >= self.items {
            std::mem::swap(self, &mut first);
            return first;
        }
        let mut left = items;
        let mut whole = 0;
        while let Some(chunk) = self.chunks.get(whole).filter(|chunk| chunk.items <= left && left > 0) {
            left -= chunk.items;
            whole += 1;
        }
        first.chunks.extend(self.chunks.drain(..whole));
        if left > 0
            && let Some(chunk) = self.chunks.first()
        {
            let halves = cut_chunk(self.signal, chunk, left, items);
            first.chunks.extend(halves.first);
            self.chunks.remove(0);
            self.chunks.insert_many(0, halves.rest);
        }
        first.items = items;
        self.items -= items;
        self.deliveries = None;
        first
    }
}

/// The fields that lead from a request to its items, from the outside in.
pub(crate) fn item_path(signal: Signal) -> &'static [&'static [u32]] {
    match signal {
        Signal::Metrics => &[&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]],
        Signal::Logs | Signal::Traces => &[&[1], &[2], &[2]],
    }
}

/// How many items are in a message, or `limit` if there are more. The message is what the first level of `path` is
/// looked up in; behind the last level, it is an item itself.
pub(crate) fn count(path: &[&[u32]], message: &[u8], limit: usize) -> usize {
    let Some((numbers, inner)) = path.split_first() else { return 1 };
    let mut items = 0;
    for (number, value) in Fields::new(message) {
        if items >= limit {
            break;
        }
        if numbers.contains(&number) {
            items += count(inner, value.bytes(), limit - items);
        }
    }
    items
}

/// Cuts a chunk behind its first `items` items: at least one, fewer than it has. `step` is after how many more the
/// next cut is likely.
fn cut_chunk(signal: Signal, chunk: &Chunk, items: usize, step: usize) -> Halves {
    // The first level is the request, whose entries are looked at here.
    let path = item_path(signal).get(1..).unwrap_or_default();
    let (cut, range) = match &chunk.repr {
        Repr::Encoded(bytes) => {
            let mut fields = Fields::new(bytes);
            let entries = std::iter::from_fn(|| {
                let (number, value) = fields.next()?;
                let body = if number == 1 { value.bytes() } else { &[] };
                Some((fields.position(), Entry { resource: None, body }))
            });
            (Cut::find(path, 0, entries, items), 0..bytes.len())
        }
        Repr::Spliced { entries, range } => {
            let part = entries.get(range.clone()).unwrap_or_default();
            let entries = (range.start + 1..).zip(part.iter().map(OwnedEntry::as_ref));
            (Cut::find(path, range.start, entries, items), range.clone())
        }
    };
    let uncut = |range: Range<usize>, items| match &chunk.repr {
        _ if range.is_empty() => None,
        Repr::Encoded(bytes) => Some(Chunk::encoded(bytes.slice(range), items)),
        Repr::Spliced { entries, .. } => Some(Chunk::spliced(entries.clone(), range, items)),
    };
    let (head, tail) = cut.entry.map(|entry| cut_entry(path, entry, items - cut.taken)).unzip();
    let behind = chunk.items - items - tail.as_ref().map_or(0, |tail| tail.items);
    Halves {
        first: uncut(range.start..cut.before, cut.taken).into_iter().chain(head).collect(),
        rest: tail
            .map(|tail| halve(path, tail, step))
            .into_iter()
            .flatten()
            .chain(uncut(cut.behind..range.end, behind))
            .collect(),
    }
}

/// Cuts a chunk of one entry in two, its first half in two again and so on, down to a few times `step` items.
///
/// Who cuts a large entry into many parts, one after the other, would otherwise copy all that is left each time.
fn halve(path: &[&[u32]], mut chunk: Chunk, step: usize) -> SmallVec<[Chunk; 2]> {
    let mut halves = SmallVec::new();
    while chunk.items / 4 > step {
        let cut = chunk.entries().next().map(|entry| cut_entry(path, entry, chunk.items / 2 / step * step));
        let Some((first, rest)) = cut else { break };
        halves.push(rest);
        chunk = first;
    }
    halves.push(chunk);
    halves.reverse();
    halves
}

impl<'a> Cut<'a> {
    /// Looks for the place behind `items` items. The entries come with the position at which they end.
    fn find(
        path: &[&[u32]],
        start: usize,
        entries: impl Iterator<Item = (usize, Entry<'a>)>,
        items: usize,
    ) -> Self {
        let mut cut = Self { before: start, behind: start, taken: 0, entry: None };
        for (end, entry) in entries {
            let left = items - cut.taken;
            if left == 0 {
                break;
            }
            let here = count(path, entry.body, left + 1);
            cut.behind = end;
            if here > left {
                cut.entry = Some(entry);
                break;
            }
            cut.before = end;
            cut.taken += here;
        }
        cut
    }
}

/// Writes an entry as two: one with the first `items` items, one with the others.
fn cut_entry(path: &[&[u32]], entry: Entry<'_>, items: usize) -> (Chunk, Chunk) {
    let total = count(path, entry.body, usize::MAX);
    let mut halves = [Vec::new(), Vec::with_capacity(entry.encoded_len())];
    let starts = halves.each_mut().map(|out| {
        let start = open_message(out, 1);
        entry.resource.iter().for_each(|resource| put_bytes(out, 1, resource));
        start
    });
    let mut left = items;
    cut_message(path, entry.body, &mut left, &mut halves);
    halves.iter_mut().zip(starts).for_each(|(out, start)| close_message(out, start));
    let [first, rest] = halves;
    (Chunk::encoded(first.into(), items), Chunk::encoded(rest.into(), total - items))
}

/// Writes the first `left` items of a message to the first half and the others to the second; everything else goes
/// to both.
fn cut_message(path: &[&[u32]], message: &[u8], left: &mut usize, halves: &mut [Vec<u8>; 2]) {
    let Some((numbers, inner)) = path.split_first() else { return };
    let mut fields = Fields::new(message);
    let mut at = 0;
    while let Some((number, value)) = fields.next() {
        let field = message.get(at..fields.position()).unwrap_or_default();
        at = fields.position();
        let [first, rest] = halves;
        if !numbers.contains(&number) {
            first.extend_from_slice(field);
            rest.extend_from_slice(field);
            continue;
        }
        if *left == 0 {
            rest.extend_from_slice(field);
            continue;
        }
        let here = count(inner, value.bytes(), *left + 1);
        if here <= *left {
            first.extend_from_slice(field);
            *left -= here;
        } else {
            let starts = halves.each_mut().map(|out| open_message(out, number));
            cut_message(inner, value.bytes(), left, halves);
            halves.iter_mut().zip(starts).for_each(|(out, start)| close_message(out, start));
        }
    }
}
