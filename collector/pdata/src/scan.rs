//! The attributes of a resource, read in one pass: those whose values are asked for, and which keys there are.

use smallvec::SmallVec;

use crate::wire::{FieldValue, Fields};
use crate::{AnyValueView, KeyValueView, KeyValues};

/// Names of attributes whose values are asked for.
#[derive(Debug, Clone, Default)]
pub struct Names {
    names: Vec<(Fingerprint, Box<str>)>,
    bits: u64,
}

/// The attributes of a resource as they were when they were read.
#[derive(Debug, Default)]
pub struct Scan<'a> {
    /// Their keys' fingerprints, and the encoded pairs, in order.
    pairs: SmallVec<[(Fingerprint, &'a [u8]); 24]>,
    bits: u64,
    /// Of each name that is asked for, the first pair.
    asked: SmallVec<[Option<&'a [u8]>; 8]>,
}

/// The name of an attribute, ready to be compared with those of resources.
#[derive(Debug, Clone, Copy)]
pub struct TextKey<'a> {
    name: &'a str,
    fingerprint: Fingerprint,
}

/// What keys are compared by first: equal keys have the same, and nearly all others another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u32);

impl Fingerprint {
    /// Made of the length, the first and the last eight bytes, by multiplications with odd constants.
    #[inline]
    pub(crate) const fn of(key: &[u8]) -> Self {
        let (head, tail) = match (key.first_chunk(), key.last_chunk()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => (short(key), 0),
        };
        let mixed = (head ^ key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ tail.wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(29);
        Self(((mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32)
    }

    /// One of 64 bits, so that a set of keys that does not have a key mostly shows it at once.
    #[inline]
    pub(crate) const fn bit(self) -> u64 {
        1 << (self.0 & 63)
    }
}

/// The bytes of a key that has less than eight.
const fn short(mut key: &[u8]) -> u64 {
    let mut all = 0;
    while let [byte, rest @ ..] = key {
        all = all << 8 | *byte as u64;
        key = rest;
    }
    all
}

impl<'a> TextKey<'a> {
    /// The key of this name.
    pub const fn new(name: &'a str) -> Self {
        Self { name, fingerprint: Fingerprint::of(name.as_bytes()) }
    }

    /// The name.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    #[inline]
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl Names {
    /// The place of a name, from now on.
    pub fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.names.iter().position(|(_, known)| **known == *name) {
            return place;
        }
        let fingerprint = Fingerprint::of(name.as_bytes());
        self.bits |= fingerprint.bit();
        self.names.push((fingerprint, name.into()));
        self.names.len() - 1
    }

    /// Reads attributes in one pass, into an empty scan; of a key that occurs more than once the first counts.
    #[inline]
    pub fn read<'a>(&self, attributes: KeyValues<'a>, scan: &mut Scan<'a>) {
        scan.asked.resize(self.names.len(), None);
        let (message, number) = attributes.into_message();
        let mut rest = message;
        // Nearly all: pairs shorter than 128 bytes, and nothing else before them.
        while number == 1
            && let [0x0a, len @ 0..=0x7f, tail @ ..] = rest
            && let Some((pair, after)) = tail.split_at_checked(usize::from(*len))
        {
            self.add(pair, scan);
            rest = after;
        }
        for (other, value) in Fields::new(rest) {
            if let (true, FieldValue::Len(pair)) = (other == number, value) {
                self.add(pair, scan);
            }
        }
    }

    #[inline(always)]
    fn add<'a>(&self, pair: &'a [u8], scan: &mut Scan<'a>) {
        let key = key(pair);
        let fingerprint = Fingerprint::of(key);
        scan.bits |= fingerprint.bit();
        scan.pairs.push((fingerprint, pair));
        if self.bits & fingerprint.bit() != 0 {
            let is =
                |(other, name): &(Fingerprint, Box<str>)| *other == fingerprint && name.as_bytes() == key;
            if let Some(asked) = self.names.iter().position(is).and_then(|place| scan.asked.get_mut(place)) {
                asked.get_or_insert(pair);
            }
        }
    }
}

impl<'a> Scan<'a> {
    /// The value of the attribute whose name has this place.
    #[inline]
    pub fn value(&self, place: usize) -> Option<AnyValueView<'a>> {
        self.asked.get(place)?.map(|pair| KeyValueView::parse(pair).value)
    }

    /// The bits of all keys.
    #[inline]
    pub(crate) fn bits(&self) -> u64 {
        self.bits
    }

    /// The pairs whose keys' bits are among these.
    #[inline]
    pub(crate) fn suspects(&self, bits: u64) -> impl Iterator<Item = (Fingerprint, &'a [u8])> {
        self.pairs.iter().copied().filter(move |(fingerprint, _)| bits & fingerprint.bit() != 0)
    }
}

impl<'a> KeyValues<'a> {
    /// The next pair, encoded.
    #[inline]
    pub(crate) fn next_encoded(self) -> Option<&'a [u8]> {
        let (message, wanted) = self.into_message();
        Fields::new(message).find(|(number, _)| *number == wanted).map(|(_, value)| value.bytes())
    }
}

/// The key of an encoded pair.
#[inline(always)]
pub(crate) fn key(pair: &[u8]) -> &[u8] {
    // Nearly all: the key is the first field, and shorter than 128 bytes.
    if let [0x0a, len @ 0..=0x7f, rest @ ..] = pair
        && let Some(key) = rest.get(..usize::from(*len))
    {
        return key;
    }
    any_key(pair)
}

#[cold]
fn any_key(pair: &[u8]) -> &[u8] {
    Fields::new(pair).find(|(number, _)| *number == 1).map_or(&[], |(_, value)| value.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attributes;

    #[test]
    fn what_is_asked_for_is_found_by_its_whole_name() {
        let mut names = Names::default();
        let long = "k".repeat(200);
        let asked = ["a", "", "k8s.pod.uid", "12345678-x-12345678", &long, "absent"];
        let places: Vec<usize> = asked.iter().map(|name| names.place(name)).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
        assert_eq!(names.place("k8s.pod.uid"), 2);
        let alike = "12345678-y-12345678";
        let all = [(alike, "0"), ("a", "1"), ("", "2"), ("k8s.pod.uid", "3"), (asked[3], "4"), (&long, "5")];
        let attributes = Attributes::new(all);
        assert_eq!(Fingerprint::of(alike.as_bytes()), Fingerprint::of(asked[3].as_bytes()));
        let mut scan = Scan::default();
        names.read(attributes.iter(), &mut scan);
        let value = |place| scan.value(place).and_then(|value| value.as_str());
        let values: Vec<Option<&str>> = (0..7).map(value).collect();
        assert_eq!(values, [Some("1"), Some("2"), Some("3"), Some("4"), Some("5"), None, None]);
    }

    #[test]
    fn keys_are_found_wherever_they_stand() {
        fn check(pair: &[u8], expected: &[u8]) {
            assert_eq!(key(pair), expected, "{pair:?}");
        }
        check(&[], b"");
        check(&[0x0a, 1, b'k'], b"k");
        check(&[0x12, 3, 0x0a, 1, b'v', 0x0a, 1, b'k'], b"k");
        check(&[0x12, 3, 0x0a, 1, b'v'], b"");
        // The text of a longer key has a length of two bytes.
        check(&[&[0x0a, 0x80, 0x01][..], &[b'k'; 128]].concat(), &[b'k'; 128]);
    }
}
