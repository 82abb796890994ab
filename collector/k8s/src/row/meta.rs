//! What all objects have.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use crate::{Name, Pairs};

/// An object's metadata, as far as it is kept; with [`SharedMeta`]'s fields as if they were its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The name, unique among the objects of its kind in its namespace.
    pub name: Box<str>,
    /// The uid, unique over all time.
    pub uid: Uid,
    /// `creationTimestamp`.
    pub created: Option<Time>,
    /// What other objects have, too.
    pub shared: Arc<SharedMeta>,
}

/// Metadata that many objects have in common, such as all pods of a ReplicaSet.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct SharedMeta {
    /// The namespace; empty for objects that live in none.
    pub namespace: Name,
    /// The labels that are wanted, sorted by key.
    pub labels: Pairs,
    /// The annotations that are wanted, sorted by key.
    pub annotations: Pairs,
    /// The owner references, in their order; empty if they are not wanted.
    pub owners: Arc<[Owner]>,
}

/// An owner reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// `ReplicaSet`, …
    pub kind: Name,
    /// The owner's name, in the namespace of the owned.
    pub name: Name,
    /// The owner's uid.
    pub uid: Uid,
    /// Whether this owner is the managing controller.
    pub controller: bool,
}

/// A uid: 16 bytes where it is a UUID in its usual spelling, as all but a static pod's are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uid(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Uuid([u8; 16]),
    Text(Box<str>),
}

/// A time in seconds since 1970, as exact as Kubernetes writes them, until the year 2106.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(NonZeroU32);

/// Room for the text of a uid that is a UUID.
pub type UidText = [u8; 36];

/// Room for the text of a time; the date stays for the next time of the same day.
#[derive(Debug, Default)]
pub struct TimeText {
    /// The day since 1970 that the text is of.
    day: Option<u32>,
    text: String,
}

/// The value of `key` among sorted pairs.
#[must_use]
pub fn pair<'a>(pairs: &'a [(Name, Name)], key: &str) -> Option<&'a Name> {
    let found = pairs.binary_search_by(|(name, _)| (**name).cmp(key)).ok()?;
    pairs.get(found).map(|(_, value)| value)
}

impl Meta {
    /// The value of a label that is kept.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&Name> {
        pair(&self.labels, key)
    }

    /// The value of an annotation that is kept.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&Name> {
        pair(&self.annotations, key)
    }

    /// The managing controller of a kind.
    #[must_use]
    pub fn controller(&self, kind: &str) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller && &*owner.kind == kind)
    }
}

impl Deref for Meta {
    type Target = SharedMeta;

    fn deref(&self) -> &SharedMeta {
        &self.shared
    }
}

impl Uid {
    /// The uid that `text` spells.
    #[must_use]
    #[inline]
    pub fn new(text: &str) -> Self {
        Self(parse_uuid(text).map_or_else(|| Form::Text(text.into()), Form::Uuid))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Text(text) if text.is_empty())
    }

    /// Its text, which is written into `room` if it is not kept.
    #[inline]
    pub fn text<'a>(&'a self, room: &'a mut UidText) -> &'a str {
        match &self.0 {
            Form::Text(text) => text,
            Form::Uuid(uuid) => {
                *room = [b'-'; 36];
                for (byte, place) in uuid.iter().zip(DIGITS) {
                    if let Some([high, low]) = room.get_mut(place..place + 2) {
                        (*high, *low) = (hex_digit(byte >> 4), hex_digit(byte & 15));
                    }
                }
                std::str::from_utf8(room).unwrap_or_default()
            }
        }
    }
}

/// Where the digits of each byte of a UUID stand.
const DIGITS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// Reads a UUID in the one spelling that [`Uid`] writes: lower case, with hyphens.
#[inline]
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text: &UidText = text.as_bytes().try_into().ok()?;
    let hyphens = [8, 13, 18, 23].into_iter().all(|at| text.get(at) == Some(&b'-'));
    let eight = |at: usize| Some(u64::from_le_bytes(*text.get(at..)?.first_chunk()?));
    let four = |at: usize| Some(u64::from(u32::from_le_bytes(*text.get(at..)?.first_chunk()?)));
    let (a, a_right) = four_bytes(eight(0)?);
    let (b, b_right) = four_bytes(four(9)? | four(14)? << 32);
    let (c, c_right) = four_bytes(four(19)? | four(24)? << 32);
    let (d, d_right) = four_bytes(eight(28)?);
    let uuid = u128::from(a) | u128::from(b) << 32 | u128::from(c) << 64 | u128::from(d) << 96;
    (hyphens & a_right & b_right & c_right & d_right).then_some(uuid.to_le_bytes())
}

/// The bytes that eight lower-case hexadecimal digits spell, and whether they are digits: all at once, a digit in each
/// byte of a word, the first in the lowest.
#[inline(always)]
fn four_bytes(text: u64) -> (u32, bool) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let letters = text >> 6 & ONES;
    let values = (text & (ONES * 0x0f)) + letters * 9;
    // What the values are written as must be the text: letters stand for ten and more, and nothing for 16.
    let written = values + ONES * 0x30 + letters * 0x27;
    let are_ten_or_more = (values + ONES * 6) >> 4 & ONES;
    let right = (written == text) & (are_ten_or_more == letters) & (values & (ONES * 0xf0) == 0);
    let pairs = (values << 4 | values >> 8) & 0x00ff_00ff_00ff_00ff;
    let halves = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    ((halves | halves >> 16) as u32, right)
}

/// The value of a lower-case hexadecimal digit; 255 if it is none.
#[inline]
pub(super) fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 255,
    }
}

impl Hash for Uid {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Form::Uuid(uuid) => state.write_u128(u128::from_ne_bytes(*uuid)),
            Form::Text(text) => text.hash(state),
        }
    }
}

/// The digit of a value below 16.
#[inline]
pub(super) fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' - 10 + value }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Uuid(uuid) => uuid.iter().enumerate().try_for_each(|(at, byte)| {
                let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                write!(f, "{hyphen}{byte:02x}")
            }),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Time {
    /// Reads RFC 3339; `None` if it is no time, as Go's zero time is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        Self::from_seconds(time.as_second())
    }

    /// The time so many seconds after 1970; the first second itself counts as none, as do times that do not fit.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        u32::try_from(seconds).ok().and_then(NonZeroU32::new).map(Self)
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        i64::from(self.0.get())
    }

    /// RFC 3339 in UTC, written into `room`: `2026-11-23T18:00:00Z`.
    #[inline]
    pub fn text(self, room: &mut TimeText) -> &str {
        let (day, seconds) = (self.0.get() / 86_400, self.0.get() % 86_400);
        if room.day != Some(day) {
            room.day = Some(day);
            room.text.clear();
            put_date(day, &mut room.text);
        }
        room.text.truncate("2026-11-23".len());
        for (sign, value) in [("T", seconds / 3600), (":", seconds / 60 % 60), (":", seconds % 60)] {
            room.text.push_str(sign);
            room.text.push_str(two_digits(value));
        }
        room.text.push('Z');
        &room.text
    }
}

/// Howard Hinnant's civil_from_days, for days since 1970 only: years begin in March, eras have 400 years.
fn put_date(day: u32, out: &mut String) {
    let days = day + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u32::from(month <= 2);
    for part in [two_digits(year / 100), two_digits(year % 100), "-", two_digits(month), "-", two_digits(day)]
    {
        out.push_str(part);
    }
}

/// A number below 100.
#[inline]
fn two_digits(value: u32) -> &'static str {
    const ALL: &str = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
                       5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    let at = 2 * value as usize;
    ALL.get(at..at + 2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_spelled_as_they_were() {
        fn check(text: &str, compact: bool) {
            let uid = Uid::new(text);
            assert_eq!((uid.to_string().as_str(), matches!(uid.0, Form::Uuid(_))), (text, compact));
            assert_eq!(uid.text(&mut [0; 36]), text);
        }
        check("0d1c2b3a-4f5e-6d7c-8b9a-0123456789ab", true);
        check("0D1C2B3A-4f5e-6d7c-8b9a-0123456789ab", false);
        check("0d1c2b3a4f5e6d7c8b9a0123456789ab", false);
        check("0d1c2b3a-4f5e-6d7c-8b9a-0123456789ab0", false);
        check("0d1c2b3a-4f5e-6d7c-8b9a-0123456789a", false);
        check("", false);
        // Every byte in the place of every digit: no other spelling is taken for a UUID.
        for at in 0..36 {
            for byte in 0..=127u8 {
                let mut text = *b"0d1c2b3a-4f5e-6d7c-8b9a-0123456789ab";
                text[at] = byte;
                let is_hyphen = matches!(at, 8 | 13 | 18 | 23);
                let right = if is_hyphen { byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') };
                check(std::str::from_utf8(&text).unwrap(), right);
            }
        }
        assert!(Uid::new("").is_empty());
        assert_eq!(size_of::<Uid>(), 24);
    }

    #[test]
    fn times() {
        fn check(text: &str, seconds: Option<i64>) {
            assert_eq!(Time::parse(text).map(Time::seconds), seconds, "{text}");
        }
        check("2026-11-23T18:00:00Z", Some(1_795_456_800));
        check("2026-11-23T18:00:00.123456Z", Some(1_795_456_800));
        check("", None);
        check("yesterday", None);
        check("2300-01-01T00:00:00Z", None);
        check("1969-01-01T00:00:00Z", None);
        assert_eq!(size_of::<Option<Time>>(), 4);
    }

    #[test]
    fn times_are_written_as_they_were() {
        let mut room = TimeText::default();
        for text in [
            "1970-01-01T00:00:01Z",
            "1999-12-31T23:59:59Z",
            "2000-02-29T12:34:56Z",
            "2024-02-29T00:00:00Z",
            "2024-03-01T00:00:00Z",
            "2026-11-23T18:00:00Z",
            "2100-03-01T00:00:00Z",
            "2106-02-07T06:28:15Z",
            "2106-02-07T06:28:14Z",
        ] {
            assert_eq!(Time::parse(text).unwrap().text(&mut room), text);
        }
        // Every day, and with it every month and leap year.
        for day in 1..49_710 {
            let time = Time::from_seconds(day * 86_400 + day).unwrap();
            let expected = jiff::Timestamp::from_second(time.seconds()).unwrap().to_string();
            assert_eq!(time.text(&mut room), expected);
        }
    }
}
