//! Attributes that many resources get: encoded once, put in by copying.

use std::fmt;
use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use crate::resource::put_pair;
use crate::{AnyValueView, AttributeValue, KeyValueView, KeyValues, ResourceEditor};

/// Attributes of their own, encoded, each key once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    encoded: Box<[u8]>,
    pairs: Box<[Pair]>,
    /// The bits of all keys: most keys that are not here are known to be others without a comparison.
    bits: u64,
}

/// Where a pair stands in the encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pair {
    start: u32,
    end: u32,
    /// The key ends where it has this length.
    key: (u32, u32),
}

/// One bit per pair of a set.
type Mask = SmallVec<[u64; 2]>;

impl Attributes {
    /// The set of these attributes. Of a key that occurs more than once the first counts.
    pub fn new<K: AsRef<str>, V: AttributeValue>(attributes: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut encoded = Vec::new();
        let mut pairs: Vec<Pair> = Vec::new();
        let mut bits = 0;
        for (key, value) in attributes {
            let key = key.as_ref();
            if bits & bit(key) != 0 && pairs.iter().any(|pair| pair.key(&encoded) == key.as_bytes()) {
                continue;
            }
            bits |= bit(key);
            let start = encoded.len();
            put_pair(&mut encoded, 1, key, &value);
            let written = encoded.get(start..).unwrap_or_default();
            // An attribute's key is written first; its place is found by its own length.
            let place = KeyValues::new(written, 1).next().map_or(0, |pair| pair.key.as_ptr() as usize);
            let key_start = start + place.saturating_sub(written.as_ptr() as usize);
            let end = encoded.len();
            let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let key = if key.is_empty() { (0, 0) } else { (place(key_start), place(key_start + key.len())) };
            pairs.push(Pair { start: place(start), end: place(end), key });
        }
        Self { encoded: encoded.into(), pairs: pairs.into(), bits }
    }

    /// The attributes, in order.
    pub fn iter(&self) -> KeyValues<'_> {
        KeyValues::new(&self.encoded, 1)
    }

    /// The value of an attribute.
    pub fn get(&self, key: &str) -> Option<AnyValueView<'_>> {
        self.iter().get(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Which pair has this key.
    fn position(&self, key: &str) -> Option<usize> {
        if self.bits & bit(key) == 0 {
            return None;
        }
        self.pairs.iter().position(|pair| pair.key(&self.encoded) == key.as_bytes())
    }

    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.encoded.get(range).unwrap_or_default()
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|pair| (pair.key, crate::Value::from(pair.value)))).finish()
    }
}

impl Pair {
    fn key(self, encoded: &[u8]) -> &[u8] {
        encoded.get(self.key.0 as usize..self.key.1 as usize).unwrap_or_default()
    }
}

/// Keys differ mostly in their lengths, and in their ends.
fn bit(key: &str) -> u64 {
    let last = key.as_bytes().last().copied().unwrap_or_default();
    1 << ((key.len() ^ usize::from(last)) & 63)
}

impl ResourceEditor<'_> {
    /// Adds those of `attributes` that the resource does not have, and replaces those whose value is an empty text. One
    /// pass over the resource.
    pub fn fill(&mut self, attributes: &Attributes) {
        if attributes.is_empty() {
            return;
        }
        let mut present: Mask = smallvec![0; attributes.len().div_ceil(64)];
        let mut empty: SmallVec<[usize; 4]> = SmallVec::new();
        for KeyValueView { key, value, .. } in self.attributes() {
            let Some(at) = attributes.position(key) else { continue };
            // Only the first pair of a key counts.
            if set(&mut present, at) && is_empty(&value) {
                empty.push(at);
            }
        }
        let missing = |at: usize| present.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 0);
        let mut at = 0;
        while at < attributes.pairs.len() {
            let run = attributes.pairs.iter().enumerate().skip(at).take_while(|(at, _)| missing(*at));
            let ends = run.map(|(_, pair)| pair.end).last();
            if let (Some(end), Some(first)) = (ends, attributes.pairs.get(at)) {
                let bytes = attributes.slice(first.start as usize..end as usize);
                self.begin().extend_from_slice(bytes);
                at = attributes.pairs.partition_point(|pair| pair.end <= end);
            } else {
                at += 1;
            }
        }
        for at in empty {
            let Some(pair) = attributes.pairs.get(at) else { continue };
            let pair = attributes.slice(pair.start as usize..pair.end as usize);
            if let Some(pair) = KeyValues::new(pair, 1).next() {
                self.update(pair.key, pair.value);
            }
        }
    }
}

/// Whether the bit was not set before.
fn set(mask: &mut Mask, at: usize) -> bool {
    let Some(word) = mask.get_mut(at / 64) else { return false };
    let before = *word;
    *word |= 1 << (at % 64);
    before != *word
}

/// Whether a value is an empty text, as a missing value and empty bytes are, too.
fn is_empty(value: &AnyValueView<'_>) -> bool {
    match value {
        AnyValueView::Empty => true,
        AnyValueView::String(text) => text.is_empty(),
        AnyValueView::Bytes(bytes) => bytes.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Signal, Value};

    fn filled(resource: &str, attributes: &[(&str, &str)]) -> Vec<String> {
        let json = format!(
            r#"{{"resourceLogs": [{{"resource": {{"attributes": [{resource}]}},
                "scopeLogs": [{{"logRecords": [{{"body": {{"stringValue": "x"}}}}]}}]}}]}}"#
        );
        let set = Attributes::new(attributes.iter().copied());
        let batch = Batch::from_json(Signal::Logs, json.as_bytes()).unwrap();
        let batch = batch.edit_resources(|editor| editor.fill(&set));
        assert_eq!(Batch::from_protobuf(Signal::Logs, batch.to_protobuf()).unwrap(), batch);
        let resource = crate::logs::resources(&batch).next().unwrap();
        let text = |value: AnyValueView<'_>| match Value::from(value) {
            Value::String(text) => text,
            other => format!("{other:?}"),
        };
        let pairs = resource.resource().attributes();
        pairs.map(|pair| format!("{}={}", pair.key, text(pair.value))).collect()
    }

    #[test]
    fn what_is_missing_or_empty_is_filled() {
        fn check(resource: &str, attributes: &[(&str, &str)], expected: &[&str]) {
            assert_eq!(filled(resource, attributes), expected, "{resource} {attributes:?}");
        }
        let a = r#"{"key": "a", "value": {"stringValue": "1"}}"#;
        let empty = r#"{"key": "a", "value": {"stringValue": ""}}"#;
        let number = r#"{"key": "a", "value": {"intValue": "0"}}"#;
        check("", &[], &[]);
        check("", &[("a", "x"), ("b", "y"), ("a", "z")], &["a=x", "b=y"]);
        check(a, &[("a", "x")], &["a=1"]);
        check(a, &[("b", "x"), ("a", "y"), ("c", "z")], &["a=1", "b=x", "c=z"]);
        check(a, &[("b", ""), ("", "y")], &["a=1", "b=", "=y"]);
        check(empty, &[("a", "x")], &["a=x"]);
        check(&format!("{empty},{a}"), &[("c", "y"), ("a", "x")], &["a=x", "c=y"]);
        check(number, &[("a", "x")], &["a=Int(0)"]);
    }

    #[test]
    fn a_set_may_be_large() {
        let keys: Vec<String> = (0..300).map(|n| format!("k8s.pod.labels.key-{n}")).collect();
        let set: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        let resource = r#"{"key": "k8s.pod.labels.key-70", "value": {"stringValue": "old"}}"#;
        let after = filled(resource, &set);
        assert_eq!((after.len(), after[0].as_str()), (300, "k8s.pod.labels.key-70=old"));
        assert!(after.contains(&"k8s.pod.labels.key-299=v".to_owned()));
    }
}
