//! The attributes of a resource, read in one pass: those whose values are asked for, and which keys there are.

use smallvec::SmallVec;

use crate::wire::{FieldValue, Fields};
use crate::{AnyValueView, KeyValueView, KeyValues};

/// Of so many attributes of a resource the keys are noted.
const MOST: usize = 32;

/// Names of attributes whose values are asked for.
#[derive(Debug, Clone, Default)]
pub struct Names {
    names: Vec<(Fingerprint, Box<str>)>,
    /// A bit for each of 256 remainders: that of another key is seldom among them.
    bits: [u64; 4],
}

/// The attributes of a resource as they were when they were read.
#[derive(Debug, Default)]
pub struct Scan<'a> {
    /// Of their keys, as far as there is room.
    fingerprints: [Fingerprint; MOST],
    /// How many there are.
    count: usize,
    bits: u64,
    /// The place of each name that is asked for and there, and its first pair.
    asked: SmallVec<[(usize, &'a [u8]); 4]>,
}

/// The name of an attribute, ready to be compared with those of resources.
#[derive(Debug, Clone, Copy)]
pub struct TextKey<'a> {
    name: &'a str,
    fingerprint: Fingerprint,
}

/// What keys are compared by first: equal keys have the same, and nearly all others another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
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

    /// One of 256 bits.
    #[inline]
    const fn place(self) -> (usize, u64) {
        ((self.0 >> 6 & 3) as usize, self.bit())
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
        let (word, bit) = fingerprint.place();
        if let Some(word) = self.bits.get_mut(word) {
            *word |= bit;
        }
        self.names.push((fingerprint, name.into()));
        self.names.len() - 1
    }

    /// Reads attributes in one pass; of a key that occurs more than once the first counts. What the scan held before is
    /// forgotten.
    #[inline]
    pub fn read<'a>(&self, attributes: KeyValues<'a>, scan: &mut Scan<'a>) {
        (scan.count, scan.bits) = (0, 0);
        scan.asked.clear();
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
        if let Some(place) = scan.fingerprints.get_mut(scan.count) {
            *place = fingerprint;
        }
        scan.count += 1;
        let (word, bit) = fingerprint.place();
        if self.bits.get(word).is_some_and(|word| word & bit != 0) {
            self.note(fingerprint, key, pair, scan);
        }
    }

    /// Notes a pair if its name is asked for.
    fn note<'a>(&self, fingerprint: Fingerprint, key: &[u8], pair: &'a [u8], scan: &mut Scan<'a>) {
        let is = |(other, name): &(Fingerprint, Box<str>)| *other == fingerprint && name.as_bytes() == key;
        if let Some(place) = self.names.iter().position(is)
            && scan.pair(place).is_none()
        {
            scan.asked.push((place, pair));
        }
    }
}

impl<'a> Scan<'a> {
    /// The value of the attribute whose name has this place.
    #[inline]
    pub fn value(&self, place: usize) -> Option<AnyValueView<'a>> {
        self.pair(place).map(|pair| KeyValueView::parse(pair).value)
    }

    #[inline]
    fn pair(&self, place: usize) -> Option<&'a [u8]> {
        self.asked.iter().find(|(other, _)| *other == place).map(|(_, pair)| *pair)
    }

    /// Whether there is a key whose bit is among these, and of which `is` says so; a guess where there are very many.
    #[inline]
    pub(crate) fn may_have(&self, bits: u64, is: impl Fn(Fingerprint) -> bool) -> bool {
        if bits & self.bits == 0 {
            return false;
        }
        let noted = self.fingerprints.get(..self.count);
        noted.is_none_or(|noted| noted.iter().any(|key| bits & key.bit() != 0 && is(*key)))
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
