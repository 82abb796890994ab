//! Items put under the resources that their attributes name, and equal resources, scopes and metrics made one.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::place::{DataKind, copy_without, each_field};
use super::{Field, Part};
use crate::batch::{Chunk, Entry};
use crate::common::{message_field, text_field};
use crate::wire::{FieldValue, Fields, put_bytes, put_message};
use crate::{Batch, KeyValueView, KeyValues, ScopeView, Signal};

/// A batch whose items were grouped.
#[derive(Debug)]
pub struct Regrouped {
    /// The groups, in the order of their first items; a group has its items in their order.
    pub batch: Batch,
    /// How many items gave attributes to their resource.
    pub moved: usize,
    /// How many resources there are.
    pub resources: usize,
}

/// The groups that are made of a batch.
struct Groups<'a, 'k> {
    keys: &'k [String],
    /// The number of the field of attributes in an item, by kind of data.
    attributes: [u32; 5],
    resources: Vec<ResourceGroup>,
    scopes: Vec<ScopeGroup<'a>>,
    metrics: Vec<MetricGroup<'a>>,
    /// What makes resources, scopes and metrics equal, as numbers.
    resource_ids: HashMap<Vec<u8>, usize>,
    scope_ids: HashMap<Vec<u8>, usize>,
    metric_ids: HashMap<Vec<u8>, usize>,
    /// The scope of a resource, and the metric of a scope, by those numbers.
    scope_of: HashMap<(usize, usize), usize>,
    metric_of: HashMap<(usize, usize), usize>,
    /// Items without the attributes that have gone to their resource.
    edited: Vec<u8>,
    moved: usize,
    /// The resources, scopes and metrics that had items.
    sources: [usize; 3],
}

struct ResourceGroup {
    resource: Vec<u8>,
    /// The fields beside the resource and the scopes.
    head: Vec<u8>,
    scopes: Vec<usize>,
}

struct ScopeGroup<'a> {
    /// The fields beside the items.
    head: Vec<u8>,
    metrics: Vec<usize>,
    items: Vec<Piece<'a>>,
}

struct MetricGroup<'a> {
    /// The fields beside the data.
    head: Vec<u8>,
    kind: DataKind,
    /// The fields of the data beside the points.
    data_head: Vec<u8>,
    points: Vec<Piece<'a>>,
}

/// An item.
enum Piece<'a> {
    Whole(&'a [u8]),
    Edited(Range<usize>),
}

/// Where items come from.
struct Source<'a> {
    resource: &'a [u8],
    body: &'a [u8],
    /// The group of the items that name these attributes.
    groups: HashMap<Vec<u8>, usize>,
    scope: &'a [u8],
    scope_id: usize,
    /// Who has had items.
    used: [bool; 3],
}

/// The metric that points come from.
#[derive(Clone, Copy)]
struct SourceMetric<'a> {
    message: &'a [u8],
    kind: DataKind,
    data: &'a [u8],
    id: usize,
}

impl Batch {
    /// Moves the attributes `keys` of every item to its resource, over what the resource has, and makes one of all resources
    /// with the same attributes and schema URL, of their equal scopes, and of equal metrics of a scope: the same name,
    /// unit, kind, temporality and monotonicity. Without keys, resources are only made one.
    ///
    /// Items are copied as they are but for those attributes. A batch in which nothing is to be done is the same batch.
    pub fn group_by_attributes(&self, keys: &[String]) -> Regrouped {
        let mut groups = Groups::new(self.signal, keys);
        for entry in self.entries() {
            groups.entry(self.signal, entry);
        }
        let counts = [groups.resources.len(), groups.scopes.len(), groups.metrics.len()];
        let (moved, resources) = (groups.moved, groups.resources.len());
        let mut batch = self.clone();
        if moved > 0 || counts != groups.sources {
            let mut out = Vec::with_capacity(self.encoded_len());
            groups.write(&mut out);
            batch.chunks = smallvec![Chunk::encoded(Bytes::from(out), self.items)];
        }
        Regrouped { batch, moved, resources }
    }
}

impl<'a, 'k> Groups<'a, 'k> {
    fn new(signal: Signal, keys: &'k [String]) -> Self {
        let attributes = Field::of(signal, Part::Item, "attributes").map_or([0; 5], |field| field.numbers);
        Self {
            keys,
            attributes,
            resources: Vec::new(),
            scopes: Vec::new(),
            metrics: Vec::new(),
            resource_ids: HashMap::new(),
            scope_ids: HashMap::new(),
            metric_ids: HashMap::new(),
            scope_of: HashMap::new(),
            metric_of: HashMap::new(),
            edited: Vec::new(),
            moved: 0,
            sources: [0; 3],
        }
    }

    fn entry(&mut self, signal: Signal, entry: Entry<'a>) {
        let resource = entry.resource.unwrap_or_default();
        let mut source = Source {
            resource,
            body: entry.body,
            groups: HashMap::new(),
            scope: &[],
            scope_id: 0,
            used: [false; 3],
        };
        for scope in messages(entry.body, 2) {
            source.scope = scope;
            source.scope_id = id(&mut self.scope_ids, scope_identity(scope));
            source.used[1] = false;
            for item in messages(scope, 2) {
                if signal == Signal::Metrics {
                    self.metric(&mut source, item);
                } else {
                    self.item(&mut source, None, item);
                }
            }
        }
    }

    fn metric(&mut self, source: &mut Source<'a>, message: &'a [u8]) {
        let data = Fields::new(message)
            .find_map(|(number, value)| Some((DataKind::of_number(number)?, value.bytes())));
        let Some((kind, data)) = data else { return };
        let id = id(&mut self.metric_ids, metric_identity(message, kind, data));
        source.used[2] = false;
        for point in messages(data, 1) {
            self.item(source, Some(SourceMetric { message, kind, data, id }), point);
        }
    }

    fn item(&mut self, source: &mut Source<'a>, metric: Option<SourceMetric<'a>>, item: &'a [u8]) {
        let levels = if metric.is_some() { 3 } else { 2 };
        for (used, count) in source.used.iter_mut().zip(&mut self.sources).take(levels) {
            *count += usize::from(!std::mem::replace(used, true));
        }
        let kind = metric.map_or(0, |metric| metric.kind as usize);
        let number = self.attributes.get(kind).copied().unwrap_or_default();
        let named = self.named(item, number);
        let piece = if named.iter().any(Option::is_some) {
            self.moved += 1;
            let start = self.edited.len();
            each_field(item, |encoded, other, content| match content {
                FieldValue::Len(pair) if other == number && self.is_key(pair) => {}
                _ => self.edited.extend_from_slice(encoded),
            });
            Piece::Edited(start..self.edited.len())
        } else {
            Piece::Whole(item)
        };
        let resource = self.resource(source, &named);
        let scope = self.scope(source, resource);
        match metric {
            Some(metric) => {
                let metric = self.metric_group(metric, scope);
                if let Some(group) = self.metrics.get_mut(metric) {
                    group.points.push(piece);
                }
            }
            None => {
                if let Some(group) = self.scopes.get_mut(scope) {
                    group.items.push(piece);
                }
            }
        }
    }

    /// The attributes of an item that go to the resource, encoded, by place of their key.
    fn named(&self, item: &'a [u8], number: u32) -> SmallVec<[Option<&'a [u8]>; 4]> {
        let mut named: SmallVec<[Option<&[u8]>; 4]> = smallvec![None; self.keys.len()];
        if self.keys.is_empty() {
            return named;
        }
        for pair in KeyValues::new(item, number) {
            let place = self.keys.iter().position(|key| key == pair.key);
            if let Some(place) = place.and_then(|place| named.get_mut(place)) {
                place.get_or_insert(pair.encoded);
            }
        }
        named
    }

    fn is_key(&self, pair: &[u8]) -> bool {
        let key = KeyValueView::parse(pair).key;
        self.keys.iter().any(|wanted| wanted == key)
    }

    /// The group of the resource with these attributes.
    fn resource(&mut self, source: &mut Source<'a>, named: &[Option<&'a [u8]>]) -> usize {
        let mut key = Vec::new();
        for pair in named {
            put_text(&mut key, pair.unwrap_or_default());
        }
        if let Some(group) = source.groups.get(&key) {
            return *group;
        }
        let resource = with_attributes(source.resource, named);
        let known = self.resource_ids.len();
        let group = id(&mut self.resource_ids, resource_identity(&resource, source.body));
        if group == known {
            let mut head = Vec::new();
            copy_without(source.body, &mut head, |number| number == 2);
            self.resources.push(ResourceGroup { resource, head, scopes: Vec::new() });
        }
        source.groups.insert(key, group);
        group
    }

    fn scope(&mut self, source: &Source<'a>, resource: usize) -> usize {
        let new = self.scopes.len();
        let scope = *self.scope_of.entry((resource, source.scope_id)).or_insert(new);
        if scope == new {
            let mut head = Vec::new();
            copy_without(source.scope, &mut head, |number| number == 2);
            self.scopes.push(ScopeGroup { head, metrics: Vec::new(), items: Vec::new() });
            if let Some(group) = self.resources.get_mut(resource) {
                group.scopes.push(scope);
            }
        }
        scope
    }

    fn metric_group(&mut self, source: SourceMetric<'a>, scope: usize) -> usize {
        let new = self.metrics.len();
        let metric = *self.metric_of.entry((scope, source.id)).or_insert(new);
        if metric == new {
            let (mut head, mut data_head) = (Vec::new(), Vec::new());
            copy_without(source.message, &mut head, |number| DataKind::of_number(number).is_some());
            copy_without(source.data, &mut data_head, |number| number == 1);
            self.metrics.push(MetricGroup { head, kind: source.kind, data_head, points: Vec::new() });
            if let Some(group) = self.scopes.get_mut(scope) {
                group.metrics.push(metric);
            }
        }
        metric
    }

    /// Appends the body of a request.
    fn write(&self, out: &mut Vec<u8>) {
        for group in &self.resources {
            put_message(out, 1, |out| {
                put_bytes(out, 1, &group.resource);
                for scope in group.scopes.iter().filter_map(|scope| self.scopes.get(*scope)) {
                    put_message(out, 2, |out| self.write_scope(scope, out));
                }
                out.extend_from_slice(&group.head);
            });
        }
    }

    fn write_scope(&self, scope: &ScopeGroup<'a>, out: &mut Vec<u8>) {
        out.extend_from_slice(&scope.head);
        scope.items.iter().for_each(|item| put_bytes(out, 2, self.bytes(item)));
        for metric in scope.metrics.iter().filter_map(|metric| self.metrics.get(*metric)) {
            put_message(out, 2, |out| {
                out.extend_from_slice(&metric.head);
                put_message(out, metric.kind.number(), |out| {
                    metric.points.iter().for_each(|point| put_bytes(out, 1, self.bytes(point)));
                    out.extend_from_slice(&metric.data_head);
                });
            });
        }
    }

    fn bytes<'s>(&'s self, piece: &Piece<'s>) -> &'s [u8] {
        match piece {
            Piece::Whole(item) => item,
            Piece::Edited(range) => self.edited.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// The messages in a field.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter(move |(other, _)| *other == number).map(|(_, value)| value.bytes())
}

/// The number of an identity; the next one if it is new.
fn id<K: Hash + Eq>(ids: &mut HashMap<K, usize>, identity: K) -> usize {
    let next = ids.len();
    *ids.entry(identity).or_insert(next)
}

/// Appends a text so that it cannot run into the next.
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&text.len().to_le_bytes());
    out.extend_from_slice(text);
}

/// Appends attributes so that their order does not matter.
fn put_attributes(out: &mut Vec<u8>, attributes: KeyValues<'_>) {
    let mut pairs: SmallVec<[&[u8]; 32]> = attributes.map(|pair| pair.encoded).collect();
    pairs.sort_unstable();
    out.extend_from_slice(&pairs.len().to_le_bytes());
    pairs.iter().for_each(|pair| put_text(out, pair));
}

fn resource_identity(resource: &[u8], body: &[u8]) -> Vec<u8> {
    let mut identity = Vec::with_capacity(resource.len() + 64);
    put_text(&mut identity, text_field(body, 3).as_bytes());
    put_attributes(&mut identity, KeyValues::new(resource, 1));
    identity
}

fn scope_identity(message: &[u8]) -> Vec<u8> {
    let scope = ScopeView::parse(message_field(message, 1));
    let mut identity = Vec::with_capacity(64);
    for text in [scope.name, scope.version, text_field(message, 3)] {
        put_text(&mut identity, text.as_bytes());
    }
    put_attributes(&mut identity, scope.attributes());
    identity
}

fn metric_identity(message: &[u8], kind: DataKind, data: &[u8]) -> Vec<u8> {
    let mut identity = Vec::with_capacity(64);
    put_text(&mut identity, text_field(message, 1).as_bytes());
    put_text(&mut identity, text_field(message, 3).as_bytes());
    identity.push(kind as u8);
    let number = |wanted: u32| Fields::new(data).find(|(number, _)| *number == wanted);
    for field in [2, 3] {
        identity.push(number(field).map_or(0, |(_, value)| value.number() as u8));
    }
    identity
}

/// A resource with attributes set.
fn with_attributes(resource: &[u8], named: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(resource.len() + 64);
    let mut left: SmallVec<[Option<&[u8]>; 4]> = SmallVec::from_slice(named);
    each_field(resource, |encoded, number, content| {
        let key = match content {
            FieldValue::Len(pair) if number == 1 => Some(KeyValueView::parse(pair).key),
            _ => None,
        };
        let is_key =
            |pair: &Option<&[u8]>| pair.is_some_and(|pair| Some(KeyValueView::parse(pair).key) == key);
        match named.iter().position(is_key) {
            Some(place) => {
                if let Some(pair) = left.get_mut(place).and_then(Option::take) {
                    put_bytes(&mut out, 1, pair);
                }
            }
            None => out.extend_from_slice(encoded),
        }
    });
    left.iter().flatten().for_each(|pair| put_bytes(&mut out, 1, pair));
    out
}
