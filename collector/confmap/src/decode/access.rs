//! Entries and elements, each attributed to its place when it fails.

use std::any::type_name;
use std::slice;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::context::{Context, Path};
use super::error::DecodeError;
use super::node::{NodeDeserializer, Slot};
use super::text::TextDeserializer;
use crate::node::{Key, Map, Node};

/// The entries of a mapping: all of them, or those that a struct knows.
pub(crate) struct Entries<'a> {
    context: &'a Context,
    path: &'a Path<'a>,
    entries: slice::Iter<'a, (Key, Node)>,
    fields: Option<&'static [&'static str]>,
    visitor: &'static str,
    current: Option<&'a (Key, Node)>,
}

impl<'a> Entries<'a> {
    pub(crate) fn all(context: &'a Context, path: &'a Path<'a>, map: &'a Map) -> Self {
        Self { context, path, entries: map.iter(), fields: None, visitor: "", current: None }
    }

    /// For the struct that `V` visits.
    pub(crate) fn of_struct<V>(
        context: &'a Context,
        path: &'a Path<'a>,
        entries: slice::Iter<'a, (Key, Node)>,
        fields: &'static [&'static str],
    ) -> Self {
        Self { context, path, entries, fields: Some(fields), visitor: type_name::<V>(), current: None }
    }

    fn is_left_out(&self, key: &Key, value: &Node) -> bool {
        let unknown = self.fields.is_some_and(|fields| !fields.contains(&key.name.as_str()));
        unknown
            || (value.is_null() && self.fields.is_some() && self.context.null_keeps(self.visitor, &key.name))
            || self.context.is_skipped(&self.path.key(&key.name))
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        while let Some(entry) = self.entries.next() {
            let (key, value) = entry;
            if self.is_left_out(key, value) {
                continue;
            }
            self.current = Some(entry);
            return match seed.deserialize(TextDeserializer::key(&key.name)) {
                Ok(name) => Ok(Some(name)),
                Err(error) => {
                    Err(self.context.attribute(&self.path.key(&key.name), key.span.as_ref(), error))
                }
            };
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let Some((key, value)) = self.current.take() else {
            return Err(DecodeError::new("value asked for before its key"));
        };
        let path = self.path.key(&key.name);
        let mut deserializer = NodeDeserializer::new(self.context, value, &path);
        if self.fields.is_some() {
            deserializer = deserializer.in_slot(Slot { visitor: self.visitor, field: &key.name });
        }
        seed.deserialize(deserializer)
            .map_err(|error| self.context.attribute(&path, value.span.as_ref().or(key.span.as_ref()), error))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// The elements of a list.
pub(crate) struct Elements<'a> {
    context: &'a Context,
    path: &'a Path<'a>,
    items: std::iter::Enumerate<slice::Iter<'a, Node>>,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(context: &'a Context, path: &'a Path<'a>, items: &'a [Node]) -> Self {
        Self { context, path, items: items.iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        for (index, item) in self.items.by_ref() {
            let path = self.path.index(index);
            if self.context.is_skipped(&path) {
                continue;
            }
            return seed
                .deserialize(NodeDeserializer::new(self.context, item, &path))
                .map(Some)
                .map_err(|error| self.context.attribute(&path, item.span.as_ref(), error));
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The pieces of `a,b,c`, as they are: no trimming.
pub(crate) struct Pieces<'a>(Option<&'a str>);

impl<'a> Pieces<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(Some(text).filter(|text| !text.is_empty()))
    }
}

impl<'de> SeqAccess<'de> for Pieces<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(text) = self.0 else { return Ok(None) };
        let piece = match text.split_once(',') {
            Some((piece, rest)) => {
                self.0 = Some(rest);
                piece
            }
            None => {
                self.0 = None;
                text
            }
        };
        seed.deserialize(TextDeserializer::piece(piece)).map(Some)
    }
}

/// An enum in the form `{variant: content}`.
pub(crate) struct Variant<'a> {
    context: &'a Context,
    path: Path<'a>,
    key: &'a Key,
    value: &'a Node,
}

impl<'a> Variant<'a> {
    pub(crate) fn new(context: &'a Context, path: &'a Path<'a>, entry: &'a (Key, Node)) -> Self {
        Self { context, path: path.key(&entry.0.name), key: &entry.0, value: &entry.1 }
    }

    fn content(&self) -> NodeDeserializer<'_> {
        NodeDeserializer::new(self.context, self.value, &self.path)
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), DecodeError> {
        let variant = seed.deserialize(TextDeserializer::key(&self.key.name))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.value.is_null() {
            true => Ok(()),
            false => Err(DecodeError::new(format!("value {:?} has no settings", self.key.name))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DecodeError> {
        seed.deserialize(self.content())
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.content().deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.content().deserialize_struct("", fields, visitor)
    }
}
