//! The way through a batch.

use std::sync::Arc;

use bytes::Bytes;

use super::place::{DataKind, Place, copy_without, is_walked};
use super::{Level, Part, Rewrite, Verdict};
use crate::Signal;
use crate::batch::{Chunk, Entry, OwnedEntry};
use crate::common::message_field;
use crate::resource::SMALL_ENTRY;
use crate::split::{count, item_path};
use crate::wire::{FieldValue, Fields, put_bytes};

/// What became of a message.
enum Outcome {
    Same,
    Dropped,
    /// It was changed, and is in the place.
    Edited(Part),
    Changed(Vec<u8>),
}

/// What became of the messages in a message.
enum Children {
    Same,
    /// All are gone.
    Gone,
    /// The message with what is left of them.
    Changed(Vec<u8>),
}

struct Walk<'a, 'r, R> {
    place: Place<'a>,
    rewrite: &'r mut R,
    dropped: usize,
}

/// The chunk as it is afterwards; nothing if it is the same.
pub(super) fn chunk(signal: Signal, chunk: &Chunk, rewrite: &mut impl Rewrite) -> Option<Chunk> {
    let mut walk = Walk { place: Place::new(signal), rewrite, dropped: 0 };
    let mut changed: Option<Vec<OwnedEntry>> = None;
    for (index, entry) in chunk.entries().enumerate() {
        let before =
            || chunk.entries().take(index).enumerate().map(|(index, entry)| chunk.owned_entry(index, entry));
        match walk.entry(entry) {
            Outcome::Same => {
                if let Some(entries) = &mut changed {
                    entries.push(chunk.owned_entry(index, entry));
                }
            }
            Outcome::Dropped => {
                changed.get_or_insert_with(|| before().collect());
            }
            outcome => {
                let mut owned = chunk.owned_entry(index, entry);
                if let Some(resource) = walk.place.edited(Part::Resource) {
                    owned.resource = Some(Bytes::copy_from_slice(resource));
                }
                if let Outcome::Changed(body) = outcome {
                    owned.body = Bytes::from(body);
                }
                changed.get_or_insert_with(|| before().collect()).push(owned);
            }
        }
    }
    let items = chunk.items() - walk.dropped;
    changed.map(|entries| join(entries, items))
}

fn join(entries: Vec<OwnedEntry>, items: usize) -> Chunk {
    let len: usize = entries.iter().map(|entry| entry.as_ref().encoded_len()).sum();
    if len / entries.len().max(1) >= SMALL_ENTRY && entries.len() > 1 {
        let range = 0..entries.len();
        return Chunk::spliced(Arc::from(entries), range, items);
    }
    let mut out = Vec::with_capacity(len);
    entries.iter().for_each(|entry| entry.as_ref().write(&mut out));
    Chunk::encoded(Bytes::from(out), items)
}

impl<'a, R: Rewrite> Walk<'a, '_, R> {
    fn visit(&mut self, level: Level) -> Verdict {
        self.rewrite.visit(level, &mut self.place)
    }

    /// Notes what is dropped with a message; `depth` is how far from the request it is.
    fn drop_all(&mut self, depth: usize, message: &[u8]) -> Outcome {
        let path = item_path(self.place.signal).get(depth..).unwrap_or_default();
        self.dropped += count(path, message, usize::MAX);
        Outcome::Dropped
    }

    fn entry(&mut self, entry: Entry<'a>) -> Outcome {
        self.place.enter(Part::ResourceEntry, entry.body);
        self.place.enter(Part::Resource, entry.resource.unwrap_or_default());
        let children = match self.visit(Level::Resource) {
            Verdict::Drop => return self.drop_all(1, entry.body),
            Verdict::Keep => Children::Same,
            Verdict::Descend => self.children(entry.body, 2, Self::scope),
        };
        match (self.head(Part::ResourceEntry, entry.body, children), self.place.edited(Part::Resource)) {
            (Outcome::Same, Some(_)) => Outcome::Edited(Part::Resource),
            (outcome, _) => outcome,
        }
    }

    fn scope(&mut self, message: &'a [u8]) -> Outcome {
        self.place.enter(Part::ScopeEntry, message);
        self.place.enter(Part::Scope, message_field(message, 1));
        let each = if self.place.signal == Signal::Metrics { Self::metric } else { Self::item };
        let children = match self.visit(Level::Scope) {
            Verdict::Drop => return self.drop_all(2, message),
            Verdict::Keep => Children::Same,
            Verdict::Descend => self.children(message, 2, each),
        };
        self.head(Part::ScopeEntry, message, children)
    }

    fn metric(&mut self, message: &'a [u8]) -> Outcome {
        let data = Fields::new(message)
            .find_map(|(number, value)| Some((DataKind::of_number(number)?, value.bytes())));
        let (kind, data) = data.unzip();
        let data: &[u8] = data.unwrap_or_default();
        self.place.kind = kind;
        self.place.kind_changed = false;
        self.place.enter(Part::Metric, message);
        self.place.enter(Part::Data, data);
        let children = match self.visit(Level::Metric) {
            Verdict::Drop => return self.drop_all(3, message),
            Verdict::Keep => Children::Same,
            Verdict::Descend => self.children(data, 1, Self::item),
        };
        let data = self.head(Part::Data, data, children);
        let children = match (data, self.place.kind) {
            (Outcome::Dropped, _) => Children::Gone,
            (Outcome::Changed(data), Some(kind)) => {
                let mut out = Vec::with_capacity(message.len() + 16);
                copy_without(message, &mut out, |number| DataKind::of_number(number).is_some());
                put_bytes(&mut out, kind.number(), &data);
                Children::Changed(out)
            }
            _ => Children::Same,
        };
        self.head(Part::Metric, message, children)
    }

    fn item(&mut self, message: &'a [u8]) -> Outcome {
        self.place.enter(Part::Item, message);
        let traces = self.place.signal == Signal::Traces;
        let children = match self.visit(Level::Item) {
            Verdict::Drop => {
                self.dropped += 1;
                return Outcome::Dropped;
            }
            Verdict::Descend if traces => self.children(message, 11, Self::event),
            Verdict::Descend | Verdict::Keep => Children::Same,
        };
        if !traces {
            return self.place.edited(Part::Item).map_or(Outcome::Same, |_| Outcome::Edited(Part::Item));
        }
        let children = match children {
            Children::Gone => {
                let mut out = Vec::with_capacity(message.len());
                copy_without(message, &mut out, |number| number == 11);
                Children::Changed(out)
            }
            children => children,
        };
        self.head(Part::Item, message, children)
    }

    fn event(&mut self, message: &'a [u8]) -> Outcome {
        self.place.enter(Part::Event, message);
        match self.visit(Level::Event) {
            Verdict::Drop => Outcome::Dropped,
            Verdict::Descend | Verdict::Keep => {
                self.place.edited(Part::Event).map_or(Outcome::Same, |_| Outcome::Edited(Part::Event))
            }
        }
    }

    /// Walks through the messages in field `number` of `source`.
    fn children(
        &mut self,
        source: &'a [u8],
        number: u32,
        each: impl Fn(&mut Self, &'a [u8]) -> Outcome,
    ) -> Children {
        let mut out = None;
        let (mut copied, mut start) = (0, 0);
        let (mut kept, mut dropped) = (0usize, 0usize);
        let mut fields = Fields::new(source);
        while let Some((other, value)) = fields.next() {
            let field = start..fields.position();
            start = field.end;
            let FieldValue::Len(child) = value else { continue };
            if other != number {
                continue;
            }
            let outcome = each(self, child);
            if matches!(outcome, Outcome::Same) {
                kept += 1;
                continue;
            }
            let out = out.get_or_insert_with(|| Vec::with_capacity(source.len() + 64));
            out.extend_from_slice(source.get(copied..field.start).unwrap_or_default());
            copied = field.end;
            match outcome {
                Outcome::Dropped => dropped += 1,
                Outcome::Edited(part) => {
                    kept += 1;
                    put_bytes(out, number, self.place.edited(part).unwrap_or_default());
                }
                Outcome::Changed(child) => {
                    kept += 1;
                    put_bytes(out, number, &child);
                }
                Outcome::Same => {}
            }
        }
        match out {
            None => Children::Same,
            Some(_) if kept == 0 && dropped > 0 => Children::Gone,
            Some(mut out) => {
                out.extend_from_slice(source.get(copied..).unwrap_or_default());
                Children::Changed(out)
            }
        }
    }

    /// Puts a message together: what was changed in it, and what became of the messages in it.
    fn head(&self, part: Part, message: &[u8], children: Children) -> Outcome {
        let place = &self.place;
        let head = place.edited(part);
        let scope = if part == Part::ScopeEntry { place.edited(Part::Scope) } else { None };
        let source = match (children, head.is_some() || scope.is_some()) {
            (Children::Gone, _) => return Outcome::Dropped,
            (Children::Same, false) => return Outcome::Same,
            (Children::Changed(message), false) => return Outcome::Changed(message),
            (Children::Same, true) => None,
            (Children::Changed(message), true) => Some(message),
        };
        let source = source.as_deref().unwrap_or(message);
        let walked = |number: u32| is_walked(part, place.signal, number);
        let mut out = Vec::with_capacity(source.len() + head.map_or(0, <[u8]>::len) + 16);
        if let Some(scope) = scope {
            put_bytes(&mut out, 1, scope);
        }
        match head {
            Some(head) => out.extend_from_slice(head),
            None => copy_without(source, &mut out, walked),
        }
        copy_without(source, &mut out, |number| !walked(number) || (scope.is_some() && number == 1));
        Outcome::Changed(out)
    }
}
