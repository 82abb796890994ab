//! Attributes that many resources get: encoded once, put in by copying.

use std::fmt;

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

/// Where a pair stands in the encoding; it ends where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pair {
    start: u32,
    /// The key begins so much after the pair, and has this length.
    key: (u8, u16),
}

/// A bit for each attribute of several sets.
struct Mask {
    words: SmallVec<[u64; 8]>,
    /// Where each set's words begin.
    starts: SmallVec<[usize; 8]>,
}

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
            let start = encoded.len();
            put_pair(&mut encoded, 1, key, &value);
            let place = encoded.get(start..).and_then(|written| place(written, key));
            if let (Ok(start), Some(key_place)) = (u32::try_from(start), place) {
                bits |= bit(key);
                pairs.push(Pair { start, key: key_place });
            } else {
                // Beyond 4 GiB, or a key beyond 64 KiB: nobody's attribute.
                encoded.truncate(start);
            }
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

    /// The encoded pairs from the one at `from` to the one before `to`.
    fn slice(&self, from: usize, to: usize) -> &[u8] {
        let start = |at: usize| self.pairs.get(at).map_or(self.encoded.len(), |pair| pair.start as usize);
        self.encoded.get(start(from)..start(to)).unwrap_or_default()
    }

    /// The pair at a place.
    fn pair(&self, at: usize) -> Option<KeyValueView<'_>> {
        KeyValues::new(self.slice(at, at + 1), 1).next()
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|pair| (pair.key, crate::Value::from(pair.value)))).finish()
    }
}

impl Pair {
    fn key(self, encoded: &[u8]) -> &[u8] {
        let start = self.start as usize + usize::from(self.key.0);
        encoded.get(start..start + usize::from(self.key.1)).unwrap_or_default()
    }
}

/// Where the key is in an encoded pair, and its length.
fn place(pair: &[u8], key: &str) -> Option<(u8, u16)> {
    if key.is_empty() {
        return Some((0, 0));
    }
    let view = KeyValues::new(pair, 1).next()?;
    let at = (view.key.as_ptr() as usize).checked_sub(pair.as_ptr() as usize)?;
    Some((u8::try_from(at).ok()?, u16::try_from(key.len()).ok()?))
}

/// Keys differ mostly in their lengths, and in their ends.
fn bit(key: &str) -> u64 {
    let last = key.as_bytes().last().copied().unwrap_or_default();
    1 << ((key.len() ^ usize::from(last)) & 63)
}

impl ResourceEditor<'_> {
    /// Adds those attributes of the sets that the resource does not have, and replaces those whose value is an empty text:
    /// as if the sets were gone through one after the other, but in one pass over the resource.
    pub fn fill(&mut self, sets: &[&Attributes]) {
        let mut present = Mask::new(sets);
        // Those that are there already, and only matter if what is there is empty.
        let mut late: SmallVec<[(usize, usize); 8]> = SmallVec::new();
        let bits = sets.iter().fold(0, |bits, set| bits | set.bits);
        for pair in self.attributes().filter(|pair| bits & bit(pair.key) != 0) {
            for (number, set) in sets.iter().enumerate() {
                // Only the first pair of a key counts.
                if let Some(at) = set.position(pair.key)
                    && present.set(number, at)
                    && is_empty(&pair.value)
                {
                    late.push((number, at));
                }
            }
        }
        let mut earlier = 0;
        for (number, set) in sets.iter().enumerate() {
            if earlier & set.bits != 0 {
                for (at, pair) in set.iter().enumerate() {
                    let before = sets.iter().take(number).any(|set| set.position(pair.key).is_some());
                    if before && present.set(number, at) {
                        late.push((number, at));
                    }
                }
            }
            earlier |= set.bits;
            self.append_missing(set, |at| !present.get(number, at));
        }
        late.sort_unstable();
        for (number, at) in late {
            let Some(pair) = sets.get(number).and_then(|set| set.pair(at)) else { continue };
            if self.get(pair.key).is_some_and(|value| is_empty(&value)) {
                self.update(pair.key, pair.value);
            }
        }
    }

    /// Appends those of a set that are missing, neighbours at once.
    fn append_missing(&mut self, set: &Attributes, missing: impl Fn(usize) -> bool) {
        let mut at = 0;
        while at < set.len() {
            let run = (at..set.len()).take_while(|at| missing(*at)).count();
            if run > 0 {
                self.begin().extend_from_slice(set.slice(at, at + run));
            }
            at += run + 1;
        }
    }
}

impl Mask {
    fn new(sets: &[&Attributes]) -> Self {
        let mut words = 0;
        let mut starts = SmallVec::with_capacity(sets.len());
        for set in sets {
            starts.push(words);
            words += set.len().div_ceil(64);
        }
        Self { words: smallvec![0; words], starts }
    }

    fn get(&self, set: usize, at: usize) -> bool {
        let word = self.starts.get(set).and_then(|start| self.words.get(start + at / 64));
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Sets a bit; whether it was not set before.
    fn set(&mut self, set: usize, at: usize) -> bool {
        let word = self.starts.get(set).and_then(|start| self.words.get_mut(start + at / 64));
        let Some(word) = word else { return false };
        let before = *word;
        *word |= 1 << (at % 64);
        before != *word
    }
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

    fn filled(resource: &str, attributes: &[&[(&str, &str)]]) -> Vec<String> {
        let json = format!(
            r#"{{"resourceLogs": [{{"resource": {{"attributes": [{resource}]}},
                "scopeLogs": [{{"logRecords": [{{"body": {{"stringValue": "x"}}}}]}}]}}]}}"#
        );
        let sets: Vec<Attributes> =
            attributes.iter().map(|set| Attributes::new(set.iter().copied())).collect();
        let sets: Vec<&Attributes> = sets.iter().collect();
        let batch = Batch::from_json(Signal::Logs, json.as_bytes()).unwrap();
        let batch = batch.edit_resources(|editor| editor.fill(&sets));
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
            assert_eq!(filled(resource, &[attributes]), expected, "{resource} {attributes:?}");
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
    fn of_several_sets_the_first_wins() {
        fn check(resource: &str, sets: &[&[(&str, &str)]], expected: &[&str]) {
            assert_eq!(filled(resource, sets), expected, "{resource} {sets:?}");
        }
        let a = r#"{"key": "a", "value": {"stringValue": "1"}}"#;
        let empty = r#"{"key": "a", "value": {"stringValue": ""}}"#;
        check("", &[&[("a", "x"), ("b", "y")], &[("c", "z"), ("a", "w")]], &["a=x", "b=y", "c=z"]);
        check(a, &[&[("b", "y")], &[], &[("b", "z"), ("a", "w"), ("d", "v")]], &["a=1", "b=y", "d=v"]);
        check(empty, &[&[("a", "")], &[("a", "x")], &[("a", "y")]], &["a=x"]);
        check("", &[&[("a", ""), ("b", "1")], &[("b", "2"), ("a", "x")]], &["a=x", "b=1"]);
        check(empty, &[], &["a="]);
    }

    #[test]
    fn a_set_may_be_large() {
        let keys: Vec<String> = (0..300).map(|n| format!("k8s.pod.labels.key-{n}")).collect();
        let set: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        let resource = r#"{"key": "k8s.pod.labels.key-70", "value": {"stringValue": "old"}}"#;
        let after = filled(resource, &[&set]);
        assert_eq!((after.len(), after[0].as_str()), (300, "k8s.pod.labels.key-70=old"));
        assert!(after.contains(&"k8s.pod.labels.key-299=v".to_owned()));
    }
}
