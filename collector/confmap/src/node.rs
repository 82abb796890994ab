//! The untyped tree between YAML and the components' structs.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::decode::RAW;
use crate::location::Location;
use crate::problems::{DELIMITER, Problem};
use crate::yaml;

/// Deepest nesting of a configuration. Everything that walks a tree recursively relies on it.
pub const MAX_DEPTH: usize = 128;

/// A value with the place it was written at.
///
/// As a field of a configuration struct it takes whatever is written there, to be decoded later: for settings whose
/// shape depends on one of their values. Its debug form hides secrets.
#[derive(Clone, Default)]
pub struct Node {
    /// The value.
    pub kind: NodeKind,
    /// Where it was written.
    pub span: Option<Location>,
    /// The text that `kind` was parsed from, when the whole value is one `${…}` reference: strings are decoded
    /// from it, so that `0123` stays `0123` in a string and is 83 in a number.
    pub original: Option<Arc<str>>,
}

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum NodeKind {
    /// `null`, `~` or nothing at all.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any integer in the ranges of `i64` and `u64`.
    Int(i128),
    /// Everything else that looks like a number.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping with text keys.
    Map(Map),
}

/// The key of a mapping, with the place it was written at.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it was written.
    pub span: Option<Location>,
}

/// A mapping, in the order it was written. Its debug form hides secrets.
#[derive(Clone, Default, PartialEq)]
pub struct Map {
    entries: Vec<(Key, Node)>,
}

impl Node {
    /// A value without a place.
    pub fn new(kind: NodeKind) -> Self {
        Self { kind, span: None, original: None }
    }

    /// Parses one YAML document. Keys that contain `::` are split into nested mappings.
    ///
    /// # Errors
    /// The first thing that is wrong with the text, located in the source `name`.
    pub fn from_yaml(name: &str, text: &str) -> Result<Self, Problem> {
        let source: Arc<str> = name.into();
        let mut node = yaml::parse(&source, text).map_err(|error| error.into_problem(&source))?;
        crate::merge::split_keys(&mut node);
        Ok(node)
    }

    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Null)
    }

    /// The text, if the value is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The mapping, if the value is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.kind {
            NodeKind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if the value is one.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.kind {
            NodeKind::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// The Go name of the value's kind, as upstream's messages show it.
    pub fn go_kind(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "nil",
            NodeKind::Bool(_) => "bool",
            NodeKind::Int(value) if *value > i128::from(i64::MAX) => "uint64",
            NodeKind::Int(_) => "int",
            NodeKind::Float(_) => "float64",
            NodeKind::String(_) => "string",
            NodeKind::Seq(_) => "slice",
            NodeKind::Map(_) => "map",
        }
    }

    /// The Go name of the value's type, as upstream's messages show it.
    pub fn go_type(&self) -> &'static str {
        match &self.kind {
            NodeKind::Seq(_) => "[]interface {}",
            NodeKind::Map(_) => "map[string]interface {}",
            _ => self.go_kind(),
        }
    }

    /// Runs `visit`, during which [`Node::deserialize`] finds this node.
    pub(crate) fn hand_over<R>(&self, visit: impl FnOnce() -> R) -> R {
        HANDED_OVER.set(Some(self.clone()));
        let result = visit();
        HANDED_OVER.set(None);
        result
    }

    /// The deepest node on the way along `path` (`a::b[2]::c`), with how it was reached.
    pub(crate) fn nearest(&self, path: &str) -> Option<Location> {
        let mut node = self;
        let mut place = None;
        let mut rest = Some(path).filter(|path| !path.is_empty());
        while let Some(current) = rest {
            let (head, tail) = match current.split_once(DELIMITER) {
                Some((head, tail)) => (head, Some(tail)),
                None => (current, None),
            };
            let Some((found, span)) = step(node, head) else { break };
            node = found;
            place = span.or(place);
            rest = tail;
        }
        place
    }
}

/// Follows one segment (`name`, `name[1]`, `[1][2]`).
fn step<'n>(node: &'n Node, segment: &str) -> Option<(&'n Node, Option<Location>)> {
    if let Some((key, value)) = node.as_map().and_then(|map| map.entry(segment)) {
        return Some((value, key.span.clone().or_else(|| value.span.clone())));
    }
    let (name, indexes) = segment.split_once('[')?;
    let (mut node, mut span) = if name.is_empty() {
        (node, node.span.clone())
    } else {
        let (key, value) = node.as_map()?.entry(name)?;
        (value, key.span.clone())
    };
    for index in indexes.trim_end_matches(']').split("][") {
        let Some(item) = index.parse().ok().and_then(|index: usize| node.as_seq()?.get(index)) else { break };
        node = item;
        span = item.span.clone().or(span);
    }
    Some((node, span))
}

thread_local! {
    /// A node on its way through serde, which has no type for it.
    static HANDED_OVER: Cell<Option<Node>> = const { Cell::new(None) };
}

struct NodeVisitor;

impl Visitor<'_> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of this crate's own deserializer")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        HANDED_OVER.take().ok_or_else(|| E::custom("only confmap::decode can decode into a confmap::Node"))
    }
}

impl<'de> Deserialize<'de> for Node {
    /// Keeps places and original texts; works under [`crate::decode`] only.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW, NodeVisitor)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::print::redacted_json(self).trim_end())
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Node::new(NodeKind::Map(self.clone())), f)
    }
}

impl PartialEq for Node {
    /// Compares values only: neither the place nor the text matters.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl From<&str> for Key {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), span: None }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Map {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order they were written.
    pub fn iter(&self) -> std::slice::Iter<'_, (Key, Node)> {
        self.entries.iter()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key as written and its value.
    pub fn entry(&self, key: &str) -> Option<&(Key, Node)> {
        self.entries.iter().find(|(name, _)| name.name == key)
    }

    /// Sets `key`, replacing an earlier value in its place.
    pub fn insert(&mut self, key: impl Into<Key>, value: Node) {
        let key = key.into();
        match self.entries.iter_mut().find(|(name, _)| name.name == key.name) {
            Some(entry) => *entry = (key, value),
            None => self.entries.push((key, value)),
        }
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let index = self.entries.iter().position(|(name, _)| name.name == key)?;
        Some(self.entries.remove(index).1)
    }

    pub(crate) fn entries_mut(&mut self) -> &mut Vec<(Key, Node)> {
        &mut self.entries
    }

    pub(crate) fn from_entries(entries: Vec<(Key, Node)>) -> Self {
        Self { entries }
    }

    pub(crate) fn into_entries(self) -> Vec<(Key, Node)> {
        self.entries
    }

    /// Position of every key, for work on many keys at once.
    pub(crate) fn positions(&self) -> HashMap<String, usize> {
        self.entries.iter().enumerate().map(|(index, (key, _))| (key.name.clone(), index)).collect()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Key, Node);
    type IntoIter = std::slice::Iter<'a, (Key, Node)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
