//! Attributes that many resources get: encoded once, put in by copying.

use std::fmt;

use smallvec::SmallVec;

use crate::scan::{Fingerprint, Scan, key};
use crate::value::{put_pair, put_text_pair};
use crate::{AnyValueView, AttributeValue, KeyValueView, KeyValues, ResourceEditor, TextKey};

/// Attributes of their own, encoded, each key once.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    encoded: Box<[u8]>,
    pairs: Box<[Pair]>,
    /// The bits of all keys: most keys that are not here are known to be others without a comparison.
    bits: u64,
}

/// Attributes that a resource is given, before those of the layers after it.
#[derive(Debug, Clone, Copy)]
pub enum Layer<'a> {
    /// All of a set.
    Set(&'a Attributes),
    /// One text.
    Text {
        /// The name.
        key: &'a TextKey<'a>,
        /// The value.
        value: &'a str,
    },
    /// One text where there is no attribute of the name at all, not even an empty one.
    NewText {
        /// The name.
        key: &'a TextKey<'a>,
        /// The value.
        value: &'a str,
    },
}

/// Where a pair stands in the encoding, and what its key is compared by; it ends where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    start: u32,
    fingerprint: Fingerprint,
}

/// Attributes of layers that are not to be added: which layer, and which of its attributes; mostly one or two.
type Known = SmallVec<[(usize, usize); 8]>;

impl Attributes {
    /// The set of these attributes. Of a key that occurs more than once the first counts.
    pub fn new<K: AsRef<str>, V: AttributeValue>(attributes: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut encoded = Vec::new();
        let mut pairs: Vec<Pair> = Vec::new();
        let mut bits = 0;
        for (key, value) in attributes {
            let fingerprint = Fingerprint::of(key.as_ref().as_bytes());
            let same = |pair: &Pair| {
                pair.fingerprint == fingerprint && pair.key(&encoded) == key.as_ref().as_bytes()
            };
            // Nobody has attributes of 4 GiB.
            let Ok(start) = u32::try_from(encoded.len()) else { break };
            if !pairs.iter().any(same) {
                put_pair(&mut encoded, 1, key.as_ref(), &value);
                bits |= fingerprint.bit();
                pairs.push(Pair { start, fingerprint });
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

    /// Reads a byte of each part that a processor's cache holds as one: they are there when they are wanted.
    #[inline]
    pub fn read(&self) -> u8 {
        self.encoded.iter().step_by(64).fold(0, |all, byte| all ^ byte)
    }

    /// Whether the key of a pair has this fingerprint.
    #[inline]
    fn may_have(&self, fingerprint: Fingerprint) -> bool {
        self.bits & fingerprint.bit() != 0 && self.pairs.iter().any(|pair| pair.fingerprint == fingerprint)
    }

    /// Which pair has this key.
    #[inline]
    fn position(&self, fingerprint: Fingerprint, key: &[u8]) -> Option<usize> {
        if self.bits & fingerprint.bit() == 0 {
            return None;
        }
        let is = |pair: &Pair| pair.fingerprint == fingerprint && pair.key(&self.encoded) == key;
        self.pairs.iter().position(is)
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
        let rest = encoded.get(self.start as usize..).unwrap_or_default();
        KeyValues::new(rest, 1).next_encoded().map_or(&[], key)
    }
}

impl<'a> Layer<'a> {
    #[inline]
    fn bits(self) -> u64 {
        match self {
            Self::Set(set) => set.bits,
            Self::Text { key, .. } | Self::NewText { key, .. } => key.fingerprint().bit(),
        }
    }

    /// How many bytes it takes at most; of its texts the tags and lengths are guessed high.
    #[inline]
    fn encoded_len(self) -> usize {
        match self {
            Self::Set(set) => set.encoded.len(),
            Self::Text { key, value } | Self::NewText { key, value } => key.name().len() + value.len() + 20,
        }
    }

    /// Whether one of its keys has this fingerprint.
    #[inline]
    fn may_have(self, fingerprint: Fingerprint) -> bool {
        match self {
            Self::Set(set) => set.may_have(fingerprint),
            Self::Text { key, .. } | Self::NewText { key, .. } => key.fingerprint() == fingerprint,
        }
    }

    /// Which of its attributes has this key.
    #[inline]
    fn position(self, fingerprint: Fingerprint, name: &[u8]) -> Option<usize> {
        match self {
            Self::Set(set) => set.position(fingerprint, name),
            Self::Text { key, .. } | Self::NewText { key, .. } => {
                (key.fingerprint() == fingerprint && key.name().as_bytes() == name).then_some(0)
            }
        }
    }

    fn key(self, at: usize) -> Option<&'a str> {
        match self {
            Self::Set(set) => set.pair(at).map(|pair| pair.key),
            Self::Text { key, .. } | Self::NewText { key, .. } => Some(key.name()),
        }
    }

    /// Its attributes whose bits are among these.
    fn suspects(self, bits: u64) -> impl Iterator<Item = (usize, Fingerprint, &'a [u8])> {
        let (set, text) = match self {
            Self::Set(set) => (Some(set), None),
            Self::Text { key, .. } | Self::NewText { key, .. } => {
                (None, Some((0, key.fingerprint(), key.name().as_bytes())))
            }
        };
        let of_set = set.into_iter().flat_map(move |set| {
            let pairs = set.pairs.iter().enumerate();
            let pairs = pairs.filter(move |(_, pair)| bits & pair.fingerprint.bit() != 0);
            pairs.map(|(at, pair)| (at, pair.fingerprint, pair.key(&set.encoded)))
        });
        of_set.chain(text)
    }
}

impl ResourceEditor<'_> {
    /// Adds those attributes of the layers that the resource does not have, and replaces those whose value is an empty
    /// text: as if the layers were gone through one after the other, but in one pass. Nothing was changed before, and
    /// `arrived` has read the resource. Layers that are `apart` have no key in common, and are not compared with each
    /// other.
    #[inline]
    pub fn fill(&mut self, layers: &[Layer<'_>], arrived: &Scan<'_>, apart: bool) {
        let (mut bits, mut most) = (0, 0);
        for layer in layers {
            bits |= layer.bits();
            most += layer.encoded_len();
        }
        if most == 0 {
            return;
        }
        if !apart || arrived.may_have(bits, |key| layers.iter().any(|layer| layer.may_have(key))) {
            self.fill_in_parts(layers, bits);
            return;
        }
        let out = self.begin();
        out.reserve(most);
        for layer in layers {
            match *layer {
                Layer::Set(set) => out.extend_from_slice(&set.encoded),
                Layer::Text { key, value } | Layer::NewText { key, value } => {
                    put_text_pair(out, key.name(), value)
                }
            }
        }
    }

    /// [`fill`](Self::fill) where some attributes are there already, or are told more than once.
    #[inline(never)]
    fn fill_in_parts(&mut self, layers: &[Layer<'_>], bits: u64) {
        let mut known = Known::new();
        // Those that are there already, and only matter if what is there is empty.
        let mut late = Known::new();
        for view in self.arrived() {
            let fingerprint = Fingerprint::of(view.key.as_bytes());
            if bits & fingerprint.bit() == 0 {
                continue;
            }
            for (number, layer) in layers.iter().enumerate() {
                // Only the first pair of a key counts.
                let Some(at) = layer.position(fingerprint, view.key.as_bytes()) else { continue };
                if !known.contains(&(number, at)) {
                    known.push((number, at));
                    if is_empty(&view.value) {
                        late.push((number, at));
                    }
                }
            }
        }
        let mut earlier = 0;
        for (number, layer) in layers.iter().enumerate() {
            if earlier & layer.bits() != 0 {
                for (at, fingerprint, key) in layer.suspects(earlier) {
                    let mut before = layers.iter().take(number);
                    let is_told = before.any(|layer| layer.position(fingerprint, key).is_some());
                    if is_told && !known.contains(&(number, at)) {
                        known.push((number, at));
                        late.push((number, at));
                    }
                }
            }
            earlier |= layer.bits();
        }
        self.append(layers, known);
        if !late.is_empty() {
            self.replace_empty(layers, late);
        }
    }

    /// Appends all of the layers but what is known.
    fn append(&mut self, layers: &[Layer<'_>], mut known: Known) {
        known.sort_unstable();
        let count = |layer: &Layer<'_>| if let Layer::Set(set) = layer { set.len() } else { 1 };
        if layers.iter().map(count).sum::<usize>() == known.len() {
            return;
        }
        let most = layers.iter().map(|layer| layer.encoded_len()).sum();
        let out = self.begin();
        out.reserve(most);
        let mut known = known.iter().peekable();
        for (number, layer) in layers.iter().enumerate() {
            let mut from = 0;
            while let Some((_, at)) = known.next_if(|(layer, _)| *layer == number) {
                if let Layer::Set(set) = layer {
                    out.extend_from_slice(set.slice(from, *at));
                }
                from = at + 1;
            }
            match *layer {
                Layer::Set(set) => out.extend_from_slice(set.slice(from, set.len())),
                Layer::Text { key, value } | Layer::NewText { key, value } if from == 0 => {
                    put_text_pair(out, key.name(), value);
                }
                Layer::Text { .. } | Layer::NewText { .. } => {}
            }
        }
    }

    /// Replaces values that are there, but empty; of several attributes of one name the first that is not.
    fn replace_empty(&mut self, layers: &[Layer<'_>], mut late: Known) {
        late.sort_unstable();
        for (number, at) in late {
            let Some(layer) = layers.get(number) else { continue };
            let is_empty = layer.key(at).and_then(|key| self.get(key)).is_some_and(|value| is_empty(&value));
            match *layer {
                Layer::Set(set) if is_empty => {
                    let Some(pair) = set.pair(at) else { continue };
                    self.update(pair.key, pair.value);
                }
                Layer::Text { key, value } if is_empty => {
                    self.update(key.name(), value);
                }
                _ => {}
            }
        }
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
    use crate::{Batch, Names, Signal, Value};

    fn filled(resource: &str, attributes: &[&[(&str, &str)]]) -> Vec<String> {
        let json = format!(
            r#"{{"resourceLogs": [{{"resource": {{"attributes": [{resource}]}},
                "scopeLogs": [{{"logRecords": [{{"body": {{"stringValue": "x"}}}}]}}]}}]}}"#
        );
        let sets: Vec<Attributes> =
            attributes.iter().map(|set| Attributes::new(set.iter().copied())).collect();
        let layers: Vec<Layer<'_>> = sets.iter().map(Layer::Set).collect();
        let found = filled_by(&json, &layers);
        // One attribute to a layer is the same, unless it has none or a key twice.
        if attributes.iter().all(|set| set.len() == 1) {
            let keys: Vec<TextKey<'_>> = attributes.iter().map(|set| TextKey::new(set[0].0)).collect();
            let values = attributes.iter().map(|set| set[0].1);
            let texts: Vec<Layer<'_>> =
                keys.iter().zip(values).map(|(key, value)| Layer::Text { key, value }).collect();
            assert_eq!(filled_by(&json, &texts), found);
        }
        found
    }

    /// Whatever is said of them, layers without a common key do the same.
    fn filled_by(json: &str, layers: &[Layer<'_>]) -> Vec<String> {
        let found = filled_as(json, layers, false);
        let mut keys: Vec<&str> = Vec::new();
        for layer in layers {
            match layer {
                Layer::Set(set) => keys.extend(set.iter().map(|pair| pair.key)),
                Layer::Text { key, .. } | Layer::NewText { key, .. } => keys.push(key.name()),
            }
        }
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() == count {
            assert_eq!(filled_as(json, layers, true), found);
        }
        found
    }

    fn filled_as(json: &str, layers: &[Layer<'_>], apart: bool) -> Vec<String> {
        let batch = Batch::from_json(Signal::Logs, json.as_bytes()).unwrap();
        let batch = batch.edit_resources(|editor| {
            let mut present = Scan::default();
            Names::default().read(editor.arrived(), &mut present);
            editor.fill(layers, &present, apart);
        });
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
    fn what_is_only_for_the_absent_replaces_nothing() {
        fn check(resource: &str, layers: &[Layer<'_>], expected: &[&str]) {
            let json = format!(
                r#"{{"resourceLogs": [{{"resource": {{"attributes": [{resource}]}},
                    "scopeLogs": [{{"logRecords": [{{"body": {{"stringValue": "x"}}}}]}}]}}]}}"#
            );
            assert_eq!(filled_by(&json, layers), expected, "{resource} {layers:?}");
        }
        const A: &TextKey<'_> = &TextKey::new("a");
        let new = Layer::NewText { key: A, value: "x" };
        let empty = r#"{"key": "a", "value": {"stringValue": ""}}"#;
        check("", &[new], &["a=x"]);
        check(empty, &[new], &["a="]);
        check("", &[Layer::Text { key: A, value: "" }, new], &["a="]);
        let long = "v".repeat(300);
        check("", &[Layer::Text { key: &TextKey::new("k"), value: &long }], &[&format!("k={long}")]);
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
