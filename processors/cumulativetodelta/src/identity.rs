//! Which stream a point belongs to: a hash of everything that makes it one.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use pdata::{AnyValueView, KeyValues};

/// 128 bits, so that two streams never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) u64, pub(crate) u64);

/// Makes identities, by two hashes with secrets of their own: nobody can make streams that meet.
#[derive(Debug, Default)]
pub(crate) struct Identifier(RandomState, RandomState);

/// Two hashers that are given the same.
pub(crate) struct Twin<'i> {
    identifier: &'i Identifier,
    hashers: (<RandomState as BuildHasher>::Hasher, <RandomState as BuildHasher>::Hasher),
}

impl Identifier {
    /// An identity to which nothing was added.
    pub(crate) fn begin(&self) -> Twin<'_> {
        Twin { identifier: self, hashers: (self.0.build_hasher(), self.1.build_hasher()) }
    }

    /// The identity of attributes, whatever their order.
    pub(crate) fn attributes(&self, attributes: KeyValues<'_>) -> Identity {
        attributes.fold(Identity(0, 0), |sum, pair| {
            let Identity(first, second) = self.begin().text(pair.key).value(pair.value).end();
            Identity(sum.0.wrapping_add(first), sum.1.wrapping_add(second))
        })
    }
}

impl Twin<'_> {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.hashers.0.write(bytes);
        self.hashers.1.write(bytes);
        self.number(bytes.len() as u64)
    }

    /// Adds a text.
    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    pub(crate) fn number(mut self, number: u64) -> Self {
        self.hashers.0.write_u64(number);
        self.hashers.1.write_u64(number);
        self
    }

    /// Adds what was identified before.
    pub(crate) fn identity(self, identity: Identity) -> Self {
        self.number(identity.0).number(identity.1)
    }

    fn value(self, value: AnyValueView<'_>) -> Self {
        match value {
            AnyValueView::Empty => self.number(0),
            AnyValueView::String(text) => self.number(1).text(text),
            AnyValueView::Bool(value) => self.number(2).number(u64::from(value)),
            AnyValueView::Int(value) => self.number(3).number(value as u64),
            AnyValueView::Double(value) => self.number(4).number(value.to_bits()),
            AnyValueView::Bytes(bytes) => self.number(5).bytes(bytes),
            // Payloads nest to a depth that was checked on arrival.
            AnyValueView::Array(values) => {
                let (twin, count) = values
                    .values()
                    .fold((self.number(6), 0), |(twin, count), value| (twin.value(value), count + 1));
                twin.number(count)
            }
            AnyValueView::KeyValues(pairs) => {
                let identity = self.identifier.attributes(pairs);
                self.number(7).identity(identity)
            }
        }
    }

    /// The identity of all that was added.
    pub(crate) fn end(self) -> Identity {
        Identity(self.hashers.0.finish(), self.hashers.1.finish())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

    use super::*;
    use pdata::{Attributes, Value};

    #[test]
    fn the_order_of_attributes_does_not_matter_and_all_else_does() {
        let identifier = Identifier::default();
        let of = |pairs: &[(&str, Value)]| {
            let attributes = Attributes::new(pairs.iter().map(|(key, value)| (*key, value)));
            identifier.attributes(attributes.iter())
        };
        let check = |first: &[(&str, Value)], second: &[(&str, Value)], same: bool| {
            assert_eq!(of(first) == of(second), same, "{first:?} {second:?}");
        };
        let text = |text: &str| Value::from(text);
        let list = |values: &[Value]| Value::Array(values.to_vec());
        check(&[("a", text("1")), ("b", text("2"))], &[("b", text("2")), ("a", text("1"))], true);
        check(&[("a", text("1"))], &[("a", text("2"))], false);
        check(&[("a", text("1"))], &[("a", Value::Int(1))], false);
        check(&[("a", text("1"))], &[("a1", text(""))], false);
        check(&[("a", text("1")), ("b", text("2"))], &[("a", text("2")), ("b", text("1"))], false);
        check(&[("a", list(&[text("1"), text("2")]))], &[("a", list(&[text("2"), text("1")]))], false);
        check(&[("a", list(&[list(&[text("1")])]))], &[("a", list(&[text("1")]))], false);
        check(&[("a", Value::Double(1.0))], &[("a", Value::Int(1))], false);
        check(&[], &[("", text(""))], false);
    }
}
