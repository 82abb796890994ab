//! YAML text to [`Node`]: libyaml's grammar as the gate, then our own composer for places, Go's scalars, merge keys,
//! duplicate keys and bounded aliases.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::location::Location;
use crate::node::{Key, MAX_DEPTH, Map, Node, NodeKind};
use crate::problems::{DELIMITER, Problem};
use crate::scalar::{self, ScalarTag};

/// Bound on the composed tree after aliases: one per node, and one more per 32 bytes of text.
const MAX_WEIGHT: usize = 1_000_000;
const YAML_NAMESPACE: &str = "tag:yaml.org,2002:";

/// Why a text is not the YAML we accept.
#[derive(Clone, Debug)]
pub(crate) struct YamlError {
    message: String,
    help: Option<String>,
    /// Line and column counted from 1; zero when the parser does not know.
    line: usize,
    column: usize,
    /// Too large or unsupported rather than malformed.
    reject: bool,
}

/// The first document of `text`; nothing is null. Keys are left as written.
pub(crate) fn parse(source: &Arc<str>, text: &str) -> Result<Node, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    gate(text)?;
    let mut options = granit_parser::Options::default();
    options.block_scalar_eof_without_line_feed = true;
    options.bom_inside_document_as_content = true;
    options.set_emit_comments(false);
    let mut composer = Composer { source, stack: Vec::new(), anchors: HashMap::new(), weight: 0, root: None };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| YamlError::at(*error.marker(), error.info()))?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        composer.event(event, span.start)?;
    }
    Ok(composer.root.unwrap_or_default())
}

/// Refuses what libyaml, the parser whose behaviour users know, refuses. Only the first document counts.
fn gate(text: &str) -> Result<(), YamlError> {
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { return Ok(()) };
    let error = match IgnoredAny::deserialize(document) {
        Ok(IgnoredAny) => return Ok(()),
        Err(error) => error,
    };
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    let mut message = error.to_string();
    if message == "EOF while parsing a value" {
        return Ok(());
    }
    let own_place = format!(" at line {line} column {column}");
    if let Some(start) = message.find(&own_place) {
        message.replace_range(start..start + own_place.len(), "");
    }
    let indented_by_tab = text
        .lines()
        .nth(line.saturating_sub(1))
        .is_some_and(|line| line.chars().take_while(|c| c.is_whitespace() || *c == '-').any(|c| c == '\t'));
    let help = indented_by_tab.then(|| "YAML does not allow tabs for indentation: use spaces".to_owned());
    Err(YamlError { message, help, line, column, reject: false })
}

struct Composer<'s> {
    source: &'s Arc<str>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    weight: usize,
    root: Option<Node>,
}

struct Anchored {
    node: Node,
    weight: usize,
    depth: usize,
}

enum Frame {
    Seq { items: Vec<Node>, anchor: usize, start: Marker },
    Map { map: OpenMap, anchor: usize, start: Marker },
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<(Key, Node)>,
    lines: HashMap<String, usize>,
    pending: Option<Pending>,
    merges: Vec<(Node, Marker)>,
}

enum Pending {
    Merge,
    Key(Key),
}

impl Composer<'_> {
    fn event(&mut self, event: Event<'_>, at: Marker) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_merge = text == "<<"
                    && style == ScalarStyle::Plain
                    && tag.as_deref().is_none_or(|tag| yaml_tag(tag).as_deref() == Some("merge"));
                if is_merge && let Some(pending) = self.pending_key() {
                    *pending = Some(Pending::Merge);
                    return Ok(());
                }
                let kind = scalar_kind(&text, style, tag.as_deref(), at)?;
                self.weigh(1 + text.len() / 32, at)?;
                let node = self.node(kind, at);
                self.remember(anchor, &node);
                self.value(node, at)
            }
            Event::Alias(id) => {
                let Some(anchored) = self.anchors.get(&id) else {
                    return Err(YamlError::at(at, "anchor value contains itself"));
                };
                let (node, weight, depth) = (anchored.node.clone(), anchored.weight, anchored.depth);
                self.weigh(weight, at)?;
                self.check_depth(depth, at)?;
                self.value(node, at)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(Frame::Seq { items: Vec::new(), anchor, start: at }, at)
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(Frame::Map { map: OpenMap::default(), anchor, start: at }, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    /// The slot for a key, when the next node is one.
    fn pending_key(&mut self) -> Option<&mut Option<Pending>> {
        match self.stack.last_mut() {
            Some(Frame::Map { map, .. }) if map.pending.is_none() => Some(&mut map.pending),
            _ => None,
        }
    }

    fn open(&mut self, frame: Frame, at: Marker) -> Result<(), YamlError> {
        if self.pending_key().is_some() {
            return Err(YamlError::at(at, "invalid map key: keys must be plain values"));
        }
        self.weigh(1, at)?;
        self.check_depth(1, at)?;
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
        let (node, anchor, start) = match self.stack.pop() {
            Some(Frame::Seq { items, anchor, start }) => {
                (self.node(NodeKind::Seq(items), start), anchor, start)
            }
            Some(Frame::Map { map, anchor, start }) => {
                (self.node(NodeKind::Map(map.finish()?), start), anchor, start)
            }
            None => return Ok(()),
        };
        self.remember(anchor, &node);
        self.value(node, start)
    }

    /// Puts a finished node where it belongs: a key, a value, an element, or the document itself.
    fn value(&mut self, node: Node, at: Marker) -> Result<(), YamlError> {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::Seq { items, .. }) => items.push(node),
            Some(Frame::Map { map, .. }) => match map.pending.take() {
                None => {
                    map.key(node, at)?;
                    return self.check_depth(0, at);
                }
                Some(Pending::Merge) => map.merges.push((node, at)),
                Some(Pending::Key(key)) => map.entries.push((key, node)),
            },
        }
        Ok(())
    }

    fn node(&self, kind: NodeKind, at: Marker) -> Node {
        Node { kind, span: Some(Location::new(self.source, at.line(), at.col() + 1)), original: None }
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor != 0 {
            let (weight, depth) = measure(node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), weight, depth });
        }
    }

    fn weigh(&mut self, more: usize, at: Marker) -> Result<(), YamlError> {
        self.weight = self.weight.saturating_add(more);
        if self.weight > MAX_WEIGHT {
            return Err(YamlError::rejected(at, "document contains excessive aliasing or is too large"));
        }
        Ok(())
    }

    /// Depth after `more` levels under the open ones; a key `a::b` stands for a level of its own.
    fn check_depth(&self, more: usize, at: Marker) -> Result<(), YamlError> {
        let split: usize = self.stack.iter().map(Frame::split_levels).sum();
        if self.stack.len() + split + more > MAX_DEPTH {
            return Err(YamlError::rejected(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }
}

impl Frame {
    fn split_levels(&self) -> usize {
        match self {
            Self::Map { map: OpenMap { pending: Some(Pending::Key(key)), .. }, .. } => {
                split_levels(&key.name)
            }
            _ => 0,
        }
    }
}

impl OpenMap {
    fn key(&mut self, node: Node, at: Marker) -> Result<(), YamlError> {
        let Node { kind, span, .. } = node;
        let name = match kind {
            NodeKind::String(text) => text,
            NodeKind::Int(value) => value.to_string(),
            NodeKind::Bool(value) => value.to_string(),
            NodeKind::Float(value) => value.to_string(),
            NodeKind::Null => return Err(YamlError::at(at, "invalid map key: null")),
            NodeKind::Seq(_) | NodeKind::Map(_) => {
                return Err(YamlError::at(at, "invalid map key: keys must be plain values"));
            }
        };
        if let Some(line) = self.lines.insert(name.clone(), at.line()) {
            return Err(YamlError::at(at, format!("mapping key {name:?} already defined at line {line}")));
        }
        self.pending = Some(Pending::Key(Key { name, span }));
        Ok(())
    }

    /// Adds what `<<` brings in: explicit keys win, and so do earlier elements of a merge list.
    fn finish(mut self) -> Result<Map, YamlError> {
        for (node, at) in std::mem::take(&mut self.merges) {
            let maps = match node.kind {
                NodeKind::Map(map) => vec![map],
                NodeKind::Seq(items) => items
                    .into_iter()
                    .map(|item| match item.kind {
                        NodeKind::Map(map) => Ok(map),
                        _ => Err(YamlError::bad_merge(at)),
                    })
                    .collect::<Result<_, _>>()?,
                _ => return Err(YamlError::bad_merge(at)),
            };
            for (key, value) in maps.into_iter().flat_map(Map::into_entries) {
                if !self.lines.contains_key(&key.name) {
                    self.lines.insert(key.name.clone(), at.line());
                    self.entries.push((key, value));
                }
            }
        }
        Ok(Map::from_entries(self.entries))
    }
}

impl YamlError {
    fn at(at: Marker, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, line: at.line(), column: at.col() + 1, reject: false }
    }

    fn rejected(at: Marker, message: impl Into<String>) -> Self {
        Self { reject: true, ..Self::at(at, message) }
    }

    fn bad_merge(at: Marker) -> Self {
        Self::at(at, "map merge requires map or sequence of maps as the value")
    }

    /// Whether the text is refused for its size rather than for its grammar, so that it is no string either.
    pub(crate) fn is_rejection(&self) -> bool {
        self.reject
    }

    pub(crate) fn location(&self, source: &Arc<str>) -> Option<Location> {
        (self.line > 0).then(|| Location::new(source, self.line, self.column))
    }

    /// The fault itself first, then the words that upstream's users search for.
    pub(crate) fn into_problem(self, source: &Arc<str>) -> Problem {
        let line = if self.line > 0 { format!("line {}: ", self.line) } else { String::new() };
        let message = format!(
            "{message}: retrieved value (type=string) cannot be used as a Conf: assuming string type since contents \
             are not valid YAML: yaml: {line}{message}",
            message = self.message
        );
        Problem::new("", message).with_location(self.location(source)).with_help(self.help)
    }
}

fn yaml_tag(tag: &Tag) -> Option<std::borrow::Cow<'_, str>> {
    tag.suffix_in_namespace(YAML_NAMESPACE)
}

fn scalar_kind(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Marker) -> Result<NodeKind, YamlError> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => scalar::resolve(text),
            _ => NodeKind::String(text.to_owned()),
        });
    };
    let name = yaml_tag(tag);
    let known = match name.as_deref() {
        Some("int") => ScalarTag::Int,
        Some("float") => ScalarTag::Float,
        Some("bool") => ScalarTag::Bool,
        Some("null") => ScalarTag::Null,
        Some("binary") => return Err(YamlError::rejected(at, "the tag !!binary is not supported")),
        // `!!str`, the non-specific `!` and tags of applications all mean text.
        _ => ScalarTag::Str,
    };
    scalar::resolve_tagged(text, known).map_err(|found| {
        YamlError::at(
            at,
            format!("cannot decode {found} `{text}` as a !!{}", name.as_deref().unwrap_or("str")),
        )
    })
}

/// Levels that splitting `name` at its delimiters adds.
fn split_levels(name: &str) -> usize {
    name.matches(DELIMITER).count()
}

/// Weight and depth of a tree.
fn measure(node: &Node) -> (usize, usize) {
    let children: &mut dyn Iterator<Item = (usize, usize)> = match &node.kind {
        NodeKind::String(text) => return (1 + text.len() / 32, 0),
        NodeKind::Seq(items) => &mut items.iter().map(measure),
        NodeKind::Map(map) => &mut map.iter().map(|(key, value)| {
            let (weight, depth) = measure(value);
            (weight + 1 + key.name.len() / 32, depth + split_levels(&key.name))
        }),
        _ => return (1, 0),
    };
    let (weight, depth) = children.fold((1_usize, 0_usize), |(weight, depth), child| {
        (weight.saturating_add(child.0), depth.max(child.1))
    });
    (weight, depth + 1)
}
