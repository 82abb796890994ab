//! A value as users write it.

use std::fmt;

use pdata::Value;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value of any type, as written.
#[derive(Debug, Clone, PartialEq)]
pub struct AnyValue(pub Value);

struct AnyVisitor;

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = AnyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number, a truth value, a list or a map")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<AnyValue, E> {
        Ok(AnyValue(Value::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<AnyValue, E> {
        Ok(AnyValue(Value::Int(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<AnyValue, E> {
        i64::try_from(value)
            .map(|value| AnyValue(Value::Int(value)))
            .map_err(|_| E::custom(format!("{value} is larger than a 64-bit integer")))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<AnyValue, E> {
        Ok(AnyValue(Value::Double(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<AnyValue, E> {
        Ok(AnyValue(Value::String(value.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<AnyValue, E> {
        Ok(AnyValue(Value::Empty))
    }

    fn visit_none<E: Error>(self) -> Result<AnyValue, E> {
        Ok(AnyValue(Value::Empty))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<AnyValue, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AnyValue, A::Error> {
        let mut values = Vec::new();
        while let Some(AnyValue(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(AnyValue(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyValue, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, AnyValue(value))) = map.next_entry::<String, AnyValue>()? {
            pairs.push((key, value));
        }
        Ok(AnyValue(Value::KeyValues(pairs)))
    }
}
