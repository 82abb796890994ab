//! The attributes of all objects that are not pods.

use std::hash::BuildHasher;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use foldhash::HashMap;
use foldhash::fast::RandomState;
use k8s::row::{Meta, Row};
use k8s::{Change, Changes, Name, Store};
use pdata::{Attributes, Value};

use crate::compile::Compiled;
use crate::field::Field;
use crate::rule::{Source, Subject};

/// A power of two: among how many tables the objects are spread, so that a change copies little.
const TABLES: usize = 64;

/// The attributes of the objects of a kind, by name or by uid. Readers take no lock.
pub(crate) struct Objects {
    subject: Subject,
    current: ArcSwap<Tables>,
}

type Table = HashMap<Name, Arc<Attributes>>;

/// The objects of a kind at one moment.
#[derive(Clone)]
pub(crate) struct Tables {
    parts: Box<[Arc<Table>]>,
    hasher: RandomState,
}

impl Tables {
    /// The attributes of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Attributes> {
        self.parts.get(self.part(key))?.get(key).map(|attributes| &**attributes)
    }

    fn part(&self, key: &str) -> usize {
        (self.hasher.hash_one(key) >> 32) as usize % TABLES
    }

    fn part_mut(&mut self, key: &str) -> Option<&mut Table> {
        let part = self.part(key);
        self.parts.get_mut(part).map(Arc::make_mut)
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self { parts: vec![Arc::default(); TABLES].into(), hasher: RandomState::default() }
    }
}

impl Objects {
    pub(crate) fn new(subject: Subject) -> Self {
        Self { subject, current: ArcSwap::default() }
    }

    /// The objects of now, for a moment.
    pub(crate) fn read(&self) -> Guard<Arc<Tables>> {
        self.current.load()
    }

    /// Takes in what happened to objects, all of which are in `store`.
    pub(crate) fn take<R: Row>(&self, changes: &Changes<R>, store: &Store<R>, compiled: &Compiled) {
        let mut tables = if changes.resync { Tables::default() } else { Tables::clone(&self.current.load()) };
        let put = |tables: &mut Tables, meta: &Meta| {
            let key = self.key(meta);
            if let Some(part) = tables.part_mut(&key) {
                part.insert(key, self.attributes(meta, compiled));
            }
        };
        if changes.resync {
            store.for_each(|row| put(&mut tables, row.meta()));
        }
        for change in &changes.list {
            let meta = change.row().meta();
            match change {
                Change::Applied(_) => put(&mut tables, meta),
                // Another object of the same name may be there already.
                Change::Deleted(_) if self.is_named() && store.get(&meta.namespace, &meta.name).is_some() => {
                }
                Change::Deleted(_) => {
                    drop(tables.part_mut(&self.key(meta)).map(|part| part.remove(&self.key(meta))))
                }
            }
        }
        self.current.store(Arc::new(tables));
    }

    /// An object is there, new or changed.
    pub(crate) fn put(&self, meta: &Meta, compiled: &Compiled) {
        let (mut tables, key) = (Tables::clone(&self.current.load()), self.key(meta));
        if let Some(part) = tables.part_mut(&key) {
            part.insert(key, self.attributes(meta, compiled));
        }
        self.current.store(Arc::new(tables));
    }

    /// An object is gone.
    pub(crate) fn remove(&self, key: &str) {
        let mut tables = Tables::clone(&self.current.load());
        if let Some(part) = tables.part_mut(key) {
            part.remove(key);
        }
        self.current.store(Arc::new(tables));
    }

    /// Whether objects are found by name, not by uid.
    fn is_named(&self) -> bool {
        matches!(self.subject, Subject::Namespace | Subject::Node)
    }

    fn key(&self, meta: &Meta) -> Name {
        if self.is_named() { (*meta.name).into() } else { meta.uid.to_string().into() }
    }

    fn attributes(&self, meta: &Meta, compiled: &Compiled) -> Arc<Attributes> {
        let mut list: Vec<(String, Value)> = Vec::new();
        for source in [Source::Labels, Source::Annotations] {
            let pairs = if source == Source::Labels { &meta.labels } else { &meta.annotations };
            for rule in compiled.rules(self.subject).filter(|rule| rule.source == source) {
                rule.apply(pairs, |name, value| list.push((name.to_owned(), value.into())));
            }
        }
        // The last of a name counts; sets keep the first.
        list.reverse();
        if self.subject == Subject::Node {
            // Whether or not it was asked for, as upstream.
            list.push((Field::NodeUid.name().to_owned(), meta.uid.to_string().into()));
        }
        Arc::new(Attributes::new(list))
    }
}
