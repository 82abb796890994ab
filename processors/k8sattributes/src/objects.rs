//! The attributes of all objects that are not pods.

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use k8s::row::{Meta, Row};
use k8s::{Change, Changes, Name, Store};
use pdata::{Attributes, Value};

use crate::compile::Compiled;
use crate::field::Field;
use crate::rule::{Source, Subject};

/// The attributes of the objects of a kind, by name or by uid.
#[derive(Debug)]
pub(crate) struct Objects {
    subject: Subject,
    table: RwLock<HashMap<Name, Arc<Attributes>>>,
}

impl Objects {
    pub(crate) fn new(subject: Subject) -> Self {
        Self { subject, table: RwLock::default() }
    }

    /// The attributes of an object.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Attributes>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Takes in what happened to objects, all of which are in `store`.
    pub(crate) fn take<R: Row>(&self, changes: &Changes<R>, store: &Store<R>, compiled: &Compiled) {
        if changes.resync {
            let mut all: HashMap<Name, Arc<Attributes>> = HashMap::default();
            store.for_each(|row| {
                drop(all.insert(self.key(row.meta()), self.attributes(row.meta(), compiled)))
            });
            *self.table.write().unwrap_or_else(PoisonError::into_inner) = all;
        }
        for change in &changes.list {
            let meta = change.row().meta();
            let key = self.key(meta);
            match change {
                Change::Applied(_) => {
                    let attributes = self.attributes(meta, compiled);
                    let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
                    table.insert(key, attributes);
                }
                // Another object of the same name may be there already.
                Change::Deleted(_) if store.get(&meta.namespace, &meta.name).is_some() && self.is_named() => {
                }
                Change::Deleted(_) => {
                    self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
                }
            }
        }
    }

    /// Whether objects are found by name, not by uid.
    fn is_named(&self) -> bool {
        matches!(self.subject, Subject::Namespace | Subject::Node)
    }

    fn key(&self, meta: &Meta) -> Name {
        if self.is_named() { Arc::clone(&meta.name) } else { meta.uid.to_string().into() }
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
