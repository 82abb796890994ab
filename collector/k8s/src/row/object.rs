//! Pieces of objects, borrowed from their JSON. `null` is everywhere the same as absence, as it is for Go.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::meta::{Owner, SharedMeta, Time, Uid};
use crate::{Interner, Keys, Name, Pairs, Projection};

/// A text; borrowed unless it holds escapes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(Cow<'a, str>);

/// A map in the order of its JSON.
#[derive(Debug)]
pub(crate) struct Map<'a, V>(pub(crate) Vec<(Text<'a>, V)>);

/// What is between the brackets of an object's `metadata`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct MetaObject<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) namespace: Text<'a>,
    #[serde(borrow)]
    pub(crate) uid: Text<'a>,
    #[serde(borrow)]
    pub(crate) resource_version: Text<'a>,
    #[serde(borrow)]
    pub(crate) creation_timestamp: Text<'a>,
    #[serde(borrow)]
    pub(crate) labels: Map<'a, Text<'a>>,
    // Annotations are long and seldom wanted: their values stay undecoded until they are.
    #[serde(borrow)]
    pub(crate) annotations: Map<'a, &'a RawValue>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub(crate) owner_references: Vec<OwnerObject<'a>>,
}

/// An entry of `metadata.ownerReferences`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct OwnerObject<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    controller: bool,
}

/// An object of which only the metadata is read: a bookmark, or what `PartialObjectMetadata` holds.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct BookmarkObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    pub(crate) metadata: MetaObject<'a>,
}

/// Reads `null` as the default.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a, V> Map<'a, V> {
    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.0.iter().find(|(name, _)| name.as_str() == key).map(|(_, value)| value)
    }
}

impl<V> Default for Map<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'a> Map<'a, Text<'a>> {
    /// The pairs whose keys are wanted, shared.
    pub(crate) fn pairs(&self, keys: &Keys, interner: &Interner) -> Pairs {
        let wanted = self.0.iter().filter(|(key, _)| keys.contains(key.as_str()));
        interner.pairs(
            wanted.map(|(key, value)| (interner.name(key.as_str()), interner.name(value.as_str()))).collect(),
        )
    }
}

impl<'a> Map<'a, &'a RawValue> {
    fn pairs(&self, keys: &Keys, interner: &Interner) -> Pairs {
        let decoded =
            self.0.iter().filter(|(key, _)| keys.contains(key.as_str())).filter_map(|(key, value)| {
                let value: Text<'_> = serde_json::from_str(value.get()).ok()?;
                Some((interner.name(key.as_str()), interner.name(value.as_str())))
            });
        interner.pairs(decoded.collect())
    }

    /// The text of one annotation.
    pub(crate) fn text(&self, key: &str) -> Option<Text<'a>> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }
}

impl MetaObject<'_> {
    pub(crate) fn version(&self) -> String {
        self.resource_version.as_str().to_owned()
    }

    pub(crate) fn project(&self, projection: &Projection, interner: &Interner) -> super::Meta {
        let owners = if projection.owners { self.owner_references.as_slice() } else { &[] };
        let shared = SharedMeta {
            namespace: interner.name(self.namespace.as_str()),
            labels: self.labels.pairs(&projection.labels, interner),
            annotations: self.annotations.pairs(&projection.annotations, interner),
            owners: interner.owners(owners.iter().map(|owner| owner.project(interner)).collect()),
        };
        super::Meta {
            name: self.name.as_str().into(),
            uid: Uid::new(self.uid.as_str()),
            created: Time::parse(self.creation_timestamp.as_str()),
            shared: interner.metas.intern_value(shared),
        }
    }
}

impl OwnerObject<'_> {
    fn project(&self, interner: &Interner) -> Owner {
        Owner {
            kind: interner.name(self.kind.as_str()),
            name: interner.name(self.name.as_str()),
            uid: Uid::new(self.uid.as_str()),
            controller: self.controller,
        }
    }
}

/// A text that is not empty, shared.
pub(crate) fn optional(text: &Text<'_>, interner: &Interner) -> Option<Name> {
    (!text.is_empty()).then(|| interner.name(text.as_str()))
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
            // Quantities may be written as numbers.
            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Map<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for MapVisitor<V> {
            type Value = Map<'de, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Map::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Map(pairs))
            }
        }
        deserializer.deserialize_any(MapVisitor(PhantomData))
    }
}
