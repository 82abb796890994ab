//! Sections that may be absent, and defaults that belong to where a section is used.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::decode::{OPTIONAL, OVER};

/// A section that is there or not.
///
/// | Written | Result |
/// |---|---|
/// | nothing | whatever the enclosing struct's default says: [`Optional::none`] or [`Optional::some`] |
/// | `section:` (null) or `section: {}` | present, with `T`'s defaults |
/// | `section: {a: 1}` | present, `a` on top of `T`'s defaults |
/// | `section: {enabled: false, …}` | absent, unless `T` has a field `enabled` of its own |
///
/// For a section that null leaves absent (TLS of a server, keepalive) use `Option<Optional<T>>` or, when `enabled` has
/// no meaning there, `Option<T>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Optional<T>(Option<T>);

impl<T> Optional<T> {
    /// An absent section.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A present section.
    pub const fn some(section: T) -> Self {
        Self(Some(section))
    }

    /// Whether the section is there.
    pub const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the section is absent.
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The section, if it is there.
    pub const fn as_ref(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// The section, if it is there, to be changed.
    pub const fn as_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }

    /// The section, if it is there.
    pub fn into_option(self) -> Option<T> {
        self.0
    }
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self::none()
    }
}

impl<T> From<Option<T>> for Optional<T> {
    fn from(section: Option<T>) -> Self {
        Self(section)
    }
}

impl<T> From<Optional<T>> for Option<T> {
    fn from(section: Optional<T>) -> Self {
        section.0
    }
}

impl<T: Serialize> Serialize for Optional<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

struct OptionalVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OptionalVisitor<T> {
    type Value = Optional<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section")
    }

    /// From our own deserializer: the content, then whether it is switched off.
    fn visit_seq<A: SeqAccess<'de>>(self, mut halves: A) -> Result<Self::Value, A::Error> {
        let section = halves.next_element()?;
        let disabled = halves.next_element()?.unwrap_or(false);
        Ok(Optional(section.filter(|_| !disabled)))
    }

    /// From any other deserializer.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, section: D) -> Result<Self::Value, D::Error> {
        T::deserialize(section).map(Optional::some)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Optional<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(OPTIONAL, OptionalVisitor(PhantomData))
    }
}

struct OverVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OverVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, merged: D) -> Result<T, D::Error> {
        T::deserialize(merged)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(map))
    }
}

/// Decodes a section on top of defaults that differ from its type's own: for a block shared by components that
/// prefill it differently.
///
/// `defaults` are lines of YAML. Meant for `deserialize_with`; the enclosing struct's `Default` has to say the same for
/// the section that is absent.
///
/// ```
/// use confmap::Optional;
/// use serde::{Deserialize, Deserializer};
///
/// #[derive(Debug, Default, PartialEq, Deserialize)]
/// #[serde(default)]
/// struct Server {
///     endpoint: String,
///     max_connections: u32,
/// }
///
/// #[derive(Debug, Default, Deserialize)]
/// #[serde(default)]
/// struct Protocols {
///     #[serde(deserialize_with = "grpc")]
///     grpc: Optional<Server>,
/// }
///
/// fn grpc<'de, D: Deserializer<'de>>(section: D) -> Result<Optional<Server>, D::Error> {
///     confmap::over(section, &["endpoint: localhost:4317"])
/// }
///
/// let protocols: Protocols = confmap::from_yaml("grpc: {max_connections: 3}").unwrap();
/// let expected = Server { endpoint: "localhost:4317".into(), max_connections: 3 };
/// assert_eq!(protocols.grpc.into_option(), Some(expected));
/// ```
///
/// # Errors
/// Those of the section.
pub fn over<'de, D, T>(deserializer: D, defaults: &'static [&'static str]) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_struct(OVER, defaults, OverVisitor(PhantomData))
}
