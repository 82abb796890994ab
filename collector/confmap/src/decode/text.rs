//! Text on its own: keys of mappings and the pieces of a comma-separated list.

use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::error::DecodeError;

/// A key, or one piece of `a,b,c`.
pub(crate) struct TextDeserializer<'t> {
    text: &'t str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Piece,
}

impl<'t> TextDeserializer<'t> {
    pub(crate) fn key(text: &'t str) -> Self {
        Self { text, kind: Kind::Key }
    }

    /// A piece becomes plain text only: lists of identifiers and the like must be written as lists.
    pub(crate) fn piece(text: &'t str) -> Self {
        Self { text, kind: Kind::Piece }
    }

    fn refuse_piece(&self) -> Result<(), DecodeError> {
        match self.kind {
            Kind::Key => Ok(()),
            Kind::Piece => Err(DecodeError::new("source data must be an array or slice, got string")),
        }
    }
}

impl<'de> Deserializer<'de> for TextDeserializer<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.refuse_piece()?;
        visitor.visit_str(self.text)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.refuse_piece()?;
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.refuse_piece()?;
        visitor.visit_enum(self.text.into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
