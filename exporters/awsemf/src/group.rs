//! Groups: the points that share an event.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::labels::{LabelSet, Labels, hash_text};
use crate::metric::MetricId;
use crate::text::{Span, Text};
use crate::value::Value;

/// No next value.
const NONE: u32 = u32::MAX;
/// Values that the groups hold before their events have to be written.
const MAX_ENTRIES: usize = 256 << 10;

/// The types of metrics; points of different types never share an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// Where the events of a point go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) namespace: Text<'static>,
    pub(crate) group: Text<'static>,
    pub(crate) stream: Text<'static>,
}

/// What points of a group have in common, beside their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupKey {
    /// Its place among the targets.
    pub(crate) target: u32,
    /// Unix time in milliseconds.
    pub(crate) timestamp: i64,
    pub(crate) kind: Kind,
    /// The position among the values that one point became.
    pub(crate) part: u32,
}

/// A group: one event.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    pub(crate) labels: Span,
    /// Whether the point that made the group was scraped by a Prometheus receiver.
    pub(crate) prometheus: bool,
    hash: u64,
    first: u32,
    last: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    metric: MetricId,
    next: u32,
    value: Value,
}

/// The groups of a batch in order of first appearance.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    list: Vec<Group>,
    entries: Vec<Entry>,
    index: HashTable<u32>,
    targets: Vec<Target>,
    target_index: HashTable<(u64, u32)>,
    hasher: RandomState,
    latest: u32,
}

impl Groups {
    /// Forgets all groups and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.entries.clear();
        self.index.clear();
        self.targets.clear();
        self.target_index.clear();
    }

    /// Forgets the groups, and the targets after the first `targets`.
    pub(crate) fn cut_back(&mut self, targets: usize) {
        self.list.clear();
        self.entries.clear();
        self.index.clear();
        self.targets.truncate(targets);
        self.target_index.retain(|(_, place)| (*place as usize) < targets);
    }

    /// How many targets there are.
    pub(crate) fn targets(&self) -> usize {
        self.targets.len()
    }

    /// Returns true if the groups hold as many values as they should.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() > MAX_ENTRIES
    }

    /// The groups.
    pub(crate) fn list(&self) -> &[Group] {
        &self.list
    }

    /// The target at a place.
    pub(crate) fn target(&self, target: u32) -> Option<Target> {
        self.targets.get(target as usize).copied()
    }

    /// The place of a target. Its texts were made in `arena` from `start` on, and are forgotten if the target is known.
    pub(crate) fn intern(&mut self, arena: &mut String, start: usize, target: Target) -> u32 {
        let texts = |arena: &str, target: &Target, write: &mut dyn FnMut(&str)| {
            [target.namespace, target.group, target.stream].iter().for_each(|text| write(text.get(arena)));
        };
        let mut hasher = self.hasher.build_hasher();
        texts(arena, &target, &mut |text| hash_text(&mut hasher, text));
        let hash = hasher.finish();
        let targets = &self.targets;
        let found = self.target_index.find(hash, |(known_hash, place)| {
            *known_hash == hash
                && targets.get(*place as usize).is_some_and(|known| {
                    known.namespace.get(arena) == target.namespace.get(arena)
                        && known.group.get(arena) == target.group.get(arena)
                        && known.stream.get(arena) == target.stream.get(arena)
                })
        });
        if let Some((_, place)) = found {
            arena.truncate(start);
            return *place;
        }
        let place = self.targets.len() as u32;
        self.targets.push(target);
        self.target_index.insert_unique(hash, (hash, place), |(hash, _)| *hash);
        place
    }

    /// Adds a value to the group of its key and labels.
    #[inline]
    pub(crate) fn add(
        &mut self,
        labels: &Labels<'_>,
        key: GroupKey,
        set: LabelSet,
        prometheus: bool,
        metric: MetricId,
        value: Value,
    ) {
        // Points of an entity follow each other, and share one label set.
        let same = self
            .list
            .get(self.latest as usize)
            .is_some_and(|group| group.key == key && group.labels == set.span);
        if !same {
            self.latest = self.find(labels, key, set, prometheus);
        }
        let entry = self.entries.len() as u32;
        self.entries.push(Entry { metric, next: NONE, value });
        let Some(group) = self.list.get_mut(self.latest as usize) else { return };
        let last = std::mem::replace(&mut group.last, entry);
        match self.entries.get_mut(last as usize) {
            Some(last) => last.next = entry,
            None => group.first = entry,
        }
    }

    /// Whether the group that the last value joined has these labels.
    pub(crate) fn latest_has(&self, labels: Span) -> bool {
        self.list.get(self.latest as usize).is_some_and(|group| group.labels == labels)
    }

    /// The place of the group of a key and labels, made if there is none.
    fn find(&mut self, labels: &Labels<'_>, key: GroupKey, set: LabelSet, prometheus: bool) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(set.hash);
        hasher.write_i64(key.timestamp);
        hasher.write_u64(u64::from(key.target) << 32 | u64::from(key.part));
        hasher.write_u8(key.kind as u8);
        let hash = hasher.finish();
        let list = &mut self.list;
        let found = self.index.find(hash, |place| {
            list.get(*place as usize).is_some_and(|group| {
                group.hash == hash && group.key == key && labels.equal(group.labels, set.span)
            })
        });
        if let Some(place) = found {
            return *place;
        }
        let place = list.len() as u32;
        list.push(Group { key, labels: set.span, prometheus, hash, first: NONE, last: NONE });
        self.index
            .insert_unique(hash, place, |place| list.get(*place as usize).map_or(0, |group| group.hash));
        place
    }

    /// Lists the metrics of a group and their values, in order of arrival.
    pub(crate) fn values(&self, group: &Group, metrics: &mut Vec<MetricId>, values: &mut Vec<Value>) {
        metrics.clear();
        values.clear();
        let mut at = group.first;
        while let Some(entry) = self.entries.get(at as usize) {
            metrics.push(entry.metric);
            values.push(entry.value);
            at = entry.next;
        }
    }
}

impl Target {
    /// Everything that makes it one.
    pub(crate) fn texts(&self) -> [Text<'static>; 3] {
        [self.namespace, self.group, self.stream]
    }
}

impl Kind {
    /// What `prom_metric_type` says.
    pub(crate) fn prometheus_type(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "counter",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "",
            Self::Summary => "summary",
        }
    }
}
