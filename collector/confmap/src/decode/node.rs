//! The deserializer of one node.

use std::cell::Cell;

use serde::de::{Deserializer, IntoDeserializer as _, Visitor};

use super::access::{Elements, Entries, Pieces, Variant};
use super::context::{Context, Path};
use super::error::DecodeError;
use super::squash::{Claims, Members, OptionalHalves};
use crate::merge;
use crate::node::{Map, Node, NodeKind};

/// Newtype name by which [`crate::Optional`] makes itself known.
pub(crate) const OPTIONAL: &str = "$confmap::Optional";
/// Newtype name by which [`Node`] makes itself known.
pub(crate) const RAW: &str = "$confmap::Node";
/// Struct name by which [`crate::over`] makes itself known; its fields are lines of YAML.
pub(crate) const OVER: &str = "$confmap::over";
const ENABLED: &str = "enabled";

/// Decodes one node.
#[derive(Clone, Copy)]
pub(crate) struct NodeDeserializer<'a> {
    context: &'a Context,
    node: &'a Node,
    path: &'a Path<'a>,
    slot: Option<Slot<'a>>,
    /// Set for an optional section: where to note `enabled: false`.
    disabled: Option<&'a Cell<bool>>,
}

/// The struct field that a value is for, so that null can leave it alone.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    pub(crate) visitor: &'static str,
    pub(crate) field: &'a str,
}

impl<'a> NodeDeserializer<'a> {
    pub(crate) fn new(context: &'a Context, node: &'a Node, path: &'a Path<'a>) -> Self {
        Self { context, node, path, slot: None, disabled: None }
    }

    pub(crate) fn in_slot(self, slot: Slot<'a>) -> Self {
        Self { slot: Some(slot), ..self }
    }

    /// Null written out for a list, mapping or struct keeps the field's default; null from an unset variable does not.
    fn keep_default_on_null(&self) -> Result<(), DecodeError> {
        match (self.slot, &self.node.kind, &self.node.original) {
            (Some(slot), NodeKind::Null, None) => Err(self.context.keep_on_null(slot.visitor, slot.field)),
            _ => Ok(()),
        }
    }

    fn mismatch(&self, expected: &str) -> DecodeError {
        DecodeError::type_mismatch(expected, self.node.go_type())
    }

    /// Text as a string field takes it: what was written, if the value came from a reference.
    fn text(&self) -> Result<&'a str, DecodeError> {
        if let Some(original) = &self.node.original {
            return Ok(original);
        }
        match &self.node.kind {
            NodeKind::String(text) => Ok(text),
            NodeKind::Null => Ok(""),
            _ => Err(self.mismatch("string")),
        }
    }

    /// An integer between `min` and `max`; fractions are dropped, as upstream does.
    #[expect(clippy::cast_possible_truncation, reason = "floats saturate far outside every range")]
    fn integer(&self, target: &str, min: i128, max: i128) -> Result<i128, DecodeError> {
        let value = match &self.node.kind {
            NodeKind::Null => 0,
            NodeKind::Int(value) => *value,
            NodeKind::Float(value) if value.is_finite() => value.trunc() as i128,
            NodeKind::Float(value) => {
                return Err(DecodeError::new(format!(
                    "cannot parse value as '{target}': {value} overflows int"
                )));
            }
            _ => return Err(self.mismatch(target)),
        };
        if value < 0 && min == 0 {
            return Err(DecodeError::new(format!(
                "cannot parse value as '{target}': {value} overflows uint"
            )));
        }
        if !(min..=max).contains(&value) {
            return Err(DecodeError::new(format!(
                "cannot parse value as '{target}': {value} overflows {target}"
            )));
        }
        Ok(value)
    }

    #[expect(clippy::cast_precision_loss, reason = "integers are valid floats in configuration")]
    fn float(&self, target: &str) -> Result<f64, DecodeError> {
        match &self.node.kind {
            NodeKind::Null => Ok(0.0),
            NodeKind::Int(value) => Ok(*value as f64),
            NodeKind::Float(value) => Ok(*value),
            _ => Err(self.mismatch(target)),
        }
    }

    /// The mapping, or `None` for null.
    fn mapping(&self) -> Result<Option<&'a Map>, DecodeError> {
        self.keep_default_on_null()?;
        match &self.node.kind {
            NodeKind::Map(map) => Ok(Some(map)),
            NodeKind::Null => Ok(None),
            NodeKind::Seq(_) => Err(DecodeError::new("expected a map or struct, got \"slice\"")),
            // A whole component given as a scalar has words of its own.
            _ if self.path.is_root() => Err(self.mismatch("map[string]interface {}")),
            _ => Err(DecodeError::new(format!("expected a map or struct, got {:?}", self.node.go_kind()))),
        }
    }

    fn squash<'de, V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        if let NodeKind::Seq(items) = &self.node.kind {
            return visitor.visit_seq(Elements::new(self.context, self.path, items));
        }
        let map = self.mapping()?;
        let claims = Claims::default();
        let value = visitor.visit_seq(Members {
            context: self.context,
            path: self.path,
            node: self.node,
            claims: &claims,
            remaining: len,
        })?;
        if let Some(map) = map {
            let optional = !claims.contains(ENABLED) && self.note_disabled(map)?;
            claims.report_others(self.context, self.path, map, optional);
        }
        Ok(value)
    }

    /// Reads `enabled` of an optional section whose own settings have no such key; whether this is one.
    fn note_disabled(&self, map: &Map) -> Result<bool, DecodeError> {
        let Some(disabled) = self.disabled else { return Ok(false) };
        let Some((key, value)) = map.entry(ENABLED) else { return Ok(true) };
        let path = self.path.key(ENABLED);
        match value.kind {
            NodeKind::Bool(enabled) => disabled.set(!enabled),
            _ if self.context.is_skipped(&path) => {}
            _ => {
                let found = if value.is_null() { "<nil>" } else { value.go_type() };
                let error = DecodeError::new(format!(
                    "unexpected type {found} for 'enabled': value expected 'true' or 'false'"
                ));
                return Err(self.context.attribute(&path, value.span.as_ref().or(key.span.as_ref()), error));
            }
        }
        Ok(true)
    }
}

/// `lines` of YAML with the user's node on top.
pub(crate) fn overlay(lines: &'static [&'static str], node: &Node) -> Result<Node, DecodeError> {
    let defaults = Node::from_yaml("defaults", &lines.join("\n"))
        .map_err(|problem| DecodeError::new(format!("malformed defaults: {problem}")))?;
    let NodeKind::Map(mut merged) = strip_places(defaults).kind else {
        return Err(DecodeError::new("malformed defaults: not a mapping"));
    };
    match &node.kind {
        NodeKind::Map(map) => merge::merge_into_defaults(&mut merged, map.clone()),
        NodeKind::Null => {}
        _ => return Ok(node.clone()),
    }
    Ok(Node { kind: NodeKind::Map(merged), span: node.span.clone(), original: None })
}

/// Defaults have no place that a user could look at.
fn strip_places(mut node: Node) -> Node {
    node.span = None;
    node.kind = match node.kind {
        NodeKind::Map(map) => NodeKind::Map(Map::from_entries(
            map.into_entries()
                .into_iter()
                .map(|(mut key, value)| {
                    key.span = None;
                    (key, strip_places(value))
                })
                .collect(),
        )),
        NodeKind::Seq(items) => NodeKind::Seq(items.into_iter().map(strip_places).collect()),
        kind => kind,
    };
    node
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ident $go:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let value = self.integer($go, $type::MIN.into(), $type::MAX.into())?;
            let value = $type::try_from(value).map_err(|_| self.mismatch($go))?;
            visitor.$visit(value)
        }
    )*};
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = DecodeError;

    integers! {
        deserialize_i8 visit_i8 i8 "int8";
        deserialize_i16 visit_i16 i16 "int16";
        deserialize_i32 visit_i32 i32 "int32";
        deserialize_i64 visit_i64 i64 "int64";
        deserialize_u8 visit_u8 u8 "uint8";
        deserialize_u16 visit_u16 u16 "uint16";
        deserialize_u32 visit_u32 u32 "uint32";
        deserialize_u64 visit_u64 u64 "uint64";
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_i128(self.integer("int64", i128::MIN, i128::MAX)?)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u128(self.integer("uint64", 0, i128::MAX)?.unsigned_abs())
    }

    #[expect(clippy::cast_possible_truncation, reason = "the target has that precision")]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_f32(self.float("float32")? as f32)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_f64(self.float("float64")?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.kind {
            NodeKind::Null => visitor.visit_bool(false),
            NodeKind::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_bytes(self.text()?.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // A variable whose text only looks like nothing to YAML (`#x`) is still something to a string.
        let has_text = self.node.original.as_ref().is_some_and(|text| !text.is_empty());
        if self.node.is_null() && !has_text { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.kind {
            NodeKind::Null => visitor.visit_unit(),
            NodeKind::Map(map) if map.is_empty() => visitor.visit_unit(),
            _ => Err(self.mismatch("nil")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match name {
            OPTIONAL => {}
            RAW => return self.node.hand_over(|| visitor.visit_unit()),
            _ => return visitor.visit_newtype_struct(self),
        }
        let disabled = Cell::new(false);
        // Null makes the section present, so it has no default of a field to keep.
        let section = NodeDeserializer { slot: None, disabled: Some(&disabled), ..self };
        visitor.visit_seq(OptionalHalves { section: Some(section), disabled: &disabled, done: false })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.keep_default_on_null()?;
        match &self.node.kind {
            NodeKind::Seq(items) => visitor.visit_seq(Elements::new(self.context, self.path, items)),
            NodeKind::Null => visitor.visit_seq(Elements::new(self.context, self.path, &[])),
            NodeKind::String(text) => visitor.visit_seq(Pieces::new(text)),
            _ => Err(DecodeError::new(format!(
                "source data must be an array or slice, got {}",
                self.node.go_kind()
            ))),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.squash(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.squash(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.mapping()? {
            Some(map) => visitor.visit_map(Entries::all(self.context, self.path, map)),
            None => visitor.visit_map(Entries::all(self.context, self.path, &Map::default())),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == OVER {
            let merged = overlay(fields, self.node)?;
            return visitor.visit_newtype_struct(NodeDeserializer { node: &merged, ..self });
        }
        let Some(map) = self.mapping()? else {
            let nothing = Entries::of_struct::<V>(self.context, self.path, [].iter(), fields);
            return visitor.visit_map(nothing);
        };
        let optional = !fields.contains(&ENABLED) && self.note_disabled(map)?;
        for (key, _) in map {
            let enabled = optional && key.name == ENABLED;
            if !enabled && !fields.contains(&key.name.as_str()) {
                self.context.unknown_key(self.path, key, &mut fields.iter().copied());
            }
        }
        visitor.visit_map(Entries::of_struct::<V>(self.context, self.path, map.iter(), fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.node.kind {
            NodeKind::Null if !variants.contains(&"") => {
                self.keep_default_on_null()?;
                Err(self.mismatch("string"))
            }
            NodeKind::Map(map) => match map.iter().as_slice() {
                [entry] => visitor.visit_enum(Variant::new(self.context, self.path, entry)),
                _ => Err(DecodeError::new("expected a map with exactly one key")),
            },
            _ => visitor.visit_enum(self.text()?.into_deserializer()),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.kind {
            NodeKind::Null => visitor.visit_unit(),
            NodeKind::Bool(value) => visitor.visit_bool(*value),
            NodeKind::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_i64(value),
                (_, Ok(value)) => visitor.visit_u64(value),
                _ => visitor.visit_i128(*value),
            },
            NodeKind::Float(value) => visitor.visit_f64(*value),
            NodeKind::String(text) => visitor.visit_str(text),
            NodeKind::Seq(items) => visitor.visit_seq(Elements::new(self.context, self.path, items)),
            NodeKind::Map(map) => visitor.visit_map(Entries::all(self.context, self.path, map)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}
