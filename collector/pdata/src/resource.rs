//! Editing resources without touching what they are about.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::batch::{Chunk, Entry, OwnedEntry, put_heads, short_head};
use crate::value::put_pair;
use crate::wire::{FieldValue, Fields};
use crate::{AnyValueView, AttributeValue, Batch, KeyValueView, KeyValues, ResourceView};

/// So many resources are read before the first of them is edited.
const GROUP: usize = 32;

/// The room for the head of an entry: most have two lengths of two bytes.
const HEAD: usize = 6;

/// Chunks whose entries are smaller than this many bytes on average are written anew: slices of them would take more
/// memory and time than the copy.
pub(crate) const SMALL_ENTRY: usize = 1024;

/// The attributes of one resource, to be changed by the function given to [`Batch::edit_resources`].
///
/// Nothing is copied or allocated until the first change.
#[derive(Debug)]
pub struct ResourceEditor<'a> {
    original: &'a [u8],
    /// The resource as it is now, once it was changed, from `start` on; memory that all editors of a batch share.
    edited: &'a mut Vec<u8>,
    start: usize,
    changed: bool,
}

/// An edit of resources that looks something up for each: group by group, so that it waits for memory once for all of a
/// group, and not once for each of its resources.
pub trait ResourceEdit {
    /// What is found out of a resource before it is edited.
    type Found<'r>: Default;

    /// Reads a resource, of which these are the attributes. `found` may be of another resource still.
    fn read<'r>(&mut self, attributes: KeyValues<'r>, found: &mut Self::Found<'r>);

    /// Looks up what the resources of a group are to be given.
    fn look_up(&mut self, group: &mut [Self::Found<'_>]);

    /// Edits a resource.
    fn edit(&mut self, editor: &mut ResourceEditor<'_>, found: &Self::Found<'_>);
}

/// An edit that looks nothing up.
struct Each<E>(E);

/// The entries of a chunk of which some were edited.
enum Edited {
    /// Slices of the old chunk with new resources before them.
    Rope {
        entries: Vec<(Resource, Bytes)>,
        /// The new resources, one after the other.
        resources: Vec<u8>,
    },
    /// A new request.
    Flat(Vec<u8>),
}

enum Resource {
    Kept(Option<Bytes>),
    /// Where it ends in `resources`; it begins where the one before ends.
    New {
        end: usize,
    },
}

impl Batch {
    /// Lets `edit` change the resource of every entry.
    ///
    /// The items are not copied: a new resource is put before the untouched rest. Entries that are not changed keep
    /// their bytes, chunks without changed entries stay as they are.
    #[must_use]
    pub fn edit_resources(self, edit: impl FnMut(&mut ResourceEditor<'_>)) -> Batch {
        self.edit_resources_by(&mut Each(edit))
    }

    /// The same as [`edit_resources`](Self::edit_resources) in groups.
    #[must_use]
    pub fn edit_resources_by(mut self, edit: &mut impl ResourceEdit) -> Batch {
        let mut scratch = Vec::new();
        for chunk in &mut self.chunks {
            if let Some(edited) = edit_chunk(chunk, &mut scratch, edit) {
                *chunk = edited;
            }
        }
        self
    }
}

impl<E: FnMut(&mut ResourceEditor<'_>)> ResourceEdit for Each<E> {
    type Found<'r> = ();

    fn read<'r>(&mut self, _: KeyValues<'r>, (): &mut ()) {}

    fn look_up(&mut self, _: &mut [()]) {}

    fn edit(&mut self, editor: &mut ResourceEditor<'_>, (): &()) {
        (self.0)(editor);
    }
}

fn edit_chunk<E: ResourceEdit>(chunk: &Chunk, scratch: &mut Vec<u8>, edit: &mut E) -> Option<Chunk> {
    let mut edited: Option<Edited> = None;
    let (mut entries, mut index) = (chunk.entries(), 0);
    let mut group: SmallVec<[Entry<'_>; GROUP]> = SmallVec::new();
    let mut found = Vec::new();
    loop {
        group.clear();
        group.extend(entries.by_ref().take(GROUP));
        if group.is_empty() {
            return edited.map(|edited| edited.finish(chunk.items));
        }
        found.resize_with(group.len(), E::Found::default);
        for (entry, found) in group.iter().zip(&mut found) {
            edit.read(KeyValues::new(entry.resource.unwrap_or_default(), 1), found);
        }
        edit.look_up(&mut found);
        for (entry, found) in group.iter().zip(&found) {
            let edit = |editor: &mut ResourceEditor<'_>| edit.edit(editor, found);
            edit_entry(&mut edited, chunk, (index, *entry), scratch, edit);
            index += 1;
        }
    }
}

/// Adds an entry to those that were edited, if any was yet.
#[inline]
fn edit_entry(
    edited: &mut Option<Edited>,
    chunk: &Chunk,
    (index, entry): (usize, Entry<'_>),
    scratch: &mut Vec<u8>,
    edit: impl FnOnce(&mut ResourceEditor<'_>),
) {
    let original = entry.resource.unwrap_or_default();
    if let Some(Edited::Flat(out)) = edited {
        let start = out.len() + HEAD;
        let mut editor = ResourceEditor { original, edited: out, start, changed: false };
        edit(&mut editor);
        if editor.changed {
            complete(out, start, entry.body)
        } else {
            entry.write(out)
        }
        return;
    }
    let mut editor = ResourceEditor { original, edited: scratch, start: 0, changed: false };
    edit(&mut editor);
    let resource = editor.changed.then_some(&**scratch);
    match (edited, resource) {
        (Some(edited), _) => edited.push(chunk, index, entry, resource),
        (none, Some(new)) => {
            let growth = new.len().saturating_sub(original.len());
            none.insert(Edited::begin(chunk, index, entry.encoded_len(), growth))
                .push(chunk, index, entry, resource);
        }
        (None, None) => {}
    }
}

/// Makes an entry of the resource at `start`, which has room for its head before it, and a body.
#[inline]
fn complete(out: &mut Vec<u8>, start: usize, body: &[u8]) {
    let resource = out.len() - start;
    let entry = Entry::message_len_of(Some(resource), body.len());
    out.extend_from_slice(body);
    let room = start - HEAD..start;
    if let (Some(head), Some(room)) = (short_head(entry, resource), out.get_mut(room.clone())) {
        room.copy_from_slice(&head);
    } else {
        let mut head = Vec::new();
        put_heads(&mut head, entry, resource);
        out.splice(room, head);
    }
}

impl Edited {
    /// Begins with the first `unchanged` entries of the chunk as they are. The next one has so many bytes, and grows by
    /// so many: the others will do alike.
    fn begin(chunk: &Chunk, unchanged: usize, len: usize, growth: usize) -> Self {
        let total = chunk.encoded_len();
        let many = total / SMALL_ENTRY;
        let mut edited = if chunk.entries().take(many + 1).count() > many {
            // Lengths may take a byte more each, and texts differ a little.
            let grown = (total / len.max(1) + 1).saturating_mul(growth + growth / 16 + 4);
            Self::Flat(Vec::with_capacity(total + grown.min(total * 2)))
        } else {
            Self::Rope { entries: Vec::with_capacity(chunk.entries().count()), resources: Vec::new() }
        };
        for (index, entry) in chunk.entries().take(unchanged).enumerate() {
            edited.push(chunk, index, entry, None);
        }
        edited
    }

    fn push(&mut self, chunk: &Chunk, index: usize, entry: Entry<'_>, resource: Option<&[u8]>) {
        match self {
            Self::Rope { entries, resources } => {
                let kept = chunk.owned_entry(index, entry);
                let resource = match resource {
                    None => Resource::Kept(kept.resource),
                    Some(resource) => {
                        resources.extend_from_slice(resource);
                        Resource::New { end: resources.len() }
                    }
                };
                entries.push((resource, kept.body));
            }
            Self::Flat(out) => Entry { resource: resource.or(entry.resource), body: entry.body }.write(out),
        }
    }

    fn finish(self, items: usize) -> Chunk {
        match self {
            Self::Flat(out) => Chunk::encoded(Bytes::from(out), items),
            Self::Rope { entries, resources } => {
                let resources = Bytes::from(resources);
                let mut start = 0;
                let entries: Arc<[OwnedEntry]> = entries
                    .into_iter()
                    .map(|(resource, body)| match resource {
                        Resource::Kept(resource) => OwnedEntry { resource, body },
                        Resource::New { end } => {
                            let resource = resources.slice(start..end);
                            start = end;
                            OwnedEntry { resource: Some(resource), body }
                        }
                    })
                    .collect();
                let range = 0..entries.len();
                Chunk::spliced(entries, range, items)
            }
        }
    }
}

impl<'a> ResourceEditor<'a> {
    /// The attributes as they arrived, in order: those of now as long as nothing was changed.
    pub fn arrived(&self) -> KeyValues<'a> {
        KeyValues::new(self.original, 1)
    }
}

impl ResourceEditor<'_> {
    /// The resource as it is now.
    pub fn resource(&self) -> ResourceView<'_> {
        let edited = self.edited.get(self.start..).unwrap_or_default();
        ResourceView { message: if self.changed { edited } else { self.original } }
    }

    /// The attributes as they are now, in order.
    pub fn attributes(&self) -> KeyValues<'_> {
        self.resource().attributes()
    }

    /// The value of an attribute as it is now.
    pub fn get(&self, key: &str) -> Option<AnyValueView<'_>> {
        self.attributes().get(key)
    }

    /// Adds an attribute unless there is one of this name; whether it was added.
    pub fn insert(&mut self, key: &str, value: impl AttributeValue) -> bool {
        let new = self.get(key).is_none();
        if new {
            put_pair(self.begin(), 1, key, &value);
        }
        new
    }

    /// Replaces the value of an attribute if there is one of this name; whether there was.
    pub fn update(&mut self, key: &str, value: impl AttributeValue) -> bool {
        let mut at = 0;
        let found = std::iter::from_fn(|| next_pair(self.resource().message, &mut at))
            .find_map(|(start, pair)| pair.filter(|pair| pair.key == key).map(|_| start));
        let Some(start) = found else { return false };
        let (start, end) = (self.start + start, self.start + at);
        let edited = self.begin();
        let old_len = edited.len();
        put_pair(edited, 1, key, &value);
        let new_len = edited.len() - old_len;
        if let Some(tail) = edited.get_mut(start..) {
            tail.rotate_right(new_len);
        }
        edited.drain(start + new_len..end + new_len);
        // Pairs of the same name further on would still show the old value to those who let the last one win.
        let mut first = true;
        self.drop_where(|pair| pair.key == key && !std::mem::take(&mut first));
        true
    }

    /// Sets an attribute, whether or not there is one of this name.
    pub fn upsert(&mut self, key: &str, value: impl AttributeValue) {
        if !self.update(key, &value) {
            put_pair(self.begin(), 1, key, &value);
        }
    }

    /// Removes an attribute; whether there was one of this name.
    pub fn remove(&mut self, key: &str) -> bool {
        self.drop_where(|pair| pair.key == key)
    }

    /// Removes the attributes for which `keep` says no; it is asked once for each, in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&KeyValueView<'_>) -> bool) {
        self.drop_where(|pair| !keep(pair));
    }

    /// The resource as it is now, from `start` on, to be changed.
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        if !self.changed {
            self.edited.resize(self.start, 0);
            self.edited.extend_from_slice(self.original);
            self.changed = true;
        }
        self.edited
    }

    /// Removes pairs in one pass; whether there were any.
    fn drop_where(&mut self, mut drop: impl FnMut(&KeyValueView<'_>) -> bool) -> bool {
        let mut at = 0;
        let found = std::iter::from_fn(|| next_pair(self.resource().message, &mut at))
            .find_map(|(start, pair)| pair.filter(&mut drop).map(|_| start));
        let Some(mut kept) = found else { return false };
        let start = self.start;
        let edited = self.begin();
        let message = edited.get_mut(start..).unwrap_or_default();
        while let Some((start, pair)) = next_pair(message, &mut at) {
            if pair.is_some_and(|pair| drop(&pair)) {
                continue;
            }
            message.copy_within(start..at, kept);
            kept += at - start;
        }
        edited.truncate(start + kept);
        true
    }
}

/// The field at `*at` of a resource: where it starts, and the attribute if it is one. Moves `*at` to its end.
fn next_pair<'m>(message: &'m [u8], at: &mut usize) -> Option<(usize, Option<KeyValueView<'m>>)> {
    let start = *at;
    let mut fields = Fields::starting_at(message, start);
    let (number, value) = fields.next()?;
    *at = fields.position();
    let pair = match value {
        FieldValue::Len(pair) if number == 1 => Some(KeyValueView::parse(pair)),
        _ => None,
    };
    Some((start, pair))
}
