//! Blocks that share one mapping.

use std::cell::{Cell, RefCell};

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::access::Entries;
use super::context::{Context, Path};
use super::error::DecodeError;
use super::node::{NodeDeserializer, OPTIONAL, OVER, overlay};
use crate::node::{Map, Node};

/// The keys that the members of a squashed block read.
#[derive(Default)]
pub(crate) struct Claims(RefCell<Vec<&'static str>>);

impl Claims {
    fn add(&self, fields: &'static [&'static str]) {
        self.0.borrow_mut().extend(fields);
    }

    pub(crate) fn report_others(&self, context: &Context, path: &Path<'_>, map: &Map, optional: bool) {
        let claimed = self.0.borrow();
        for (key, _) in map {
            let enabled = optional && key.name == "enabled";
            if !enabled && !claimed.contains(&key.name.as_str()) {
                context.unknown_key(path, key, &mut claimed.iter().copied());
            }
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.borrow().contains(&name)
    }
}

/// Gives every member of a tuple the same mapping.
pub(crate) struct Members<'a> {
    pub(crate) context: &'a Context,
    pub(crate) path: &'a Path<'a>,
    pub(crate) node: &'a Node,
    pub(crate) claims: &'a Claims,
    pub(crate) remaining: usize,
}

impl<'de> SeqAccess<'de> for Members<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(remaining) = self.remaining.checked_sub(1) else { return Ok(None) };
        self.remaining = remaining;
        let member = Member { context: self.context, path: self.path, node: self.node, claims: self.claims };
        seed.deserialize(member).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.remaining)
    }
}

/// One member: a struct with named fields, or again a tuple of such.
struct Member<'a> {
    context: &'a Context,
    path: &'a Path<'a>,
    node: &'a Node,
    claims: &'a Claims,
}

impl Member<'_> {
    fn nested<'de, V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(Members {
            context: self.context,
            path: self.path,
            node: self.node,
            claims: self.claims,
            remaining: len,
        })
    }
}

impl<'de> Deserializer<'de> for Member<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, DecodeError> {
        Err(DecodeError::new("only structs with named fields can share one mapping"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == OVER {
            let merged = overlay(fields, self.node)?;
            return visitor.visit_newtype_struct(Member { node: &merged, ..self });
        }
        self.claims.add(fields);
        let entries = self.node.as_map().map(Map::iter).unwrap_or_default();
        visitor.visit_map(Entries::of_struct::<V>(self.context, self.path, entries, fields))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.nested(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.nested(len, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == OPTIONAL {
            return Err(DecodeError::new("an optional section cannot share the mapping of another"));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option seq map enum
        identifier ignored_any
    }
}

/// The two halves of an optional section: its content, then whether `enabled: false` was given.
pub(crate) struct OptionalHalves<'a> {
    pub(crate) section: Option<NodeDeserializer<'a>>,
    pub(crate) disabled: &'a Cell<bool>,
    pub(crate) done: bool,
}

impl<'de> SeqAccess<'de> for OptionalHalves<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        if let Some(section) = self.section.take() {
            return seed.deserialize(section).map(Some);
        }
        if self.done {
            return Ok(None);
        }
        self.done = true;
        seed.deserialize(serde::de::value::BoolDeserializer::new(self.disabled.get())).map(Some)
    }
}
