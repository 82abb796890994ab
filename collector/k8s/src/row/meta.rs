//! What all objects have.

use std::fmt;
use std::num::NonZeroI64;
use std::ops::Deref;
use std::sync::Arc;

use crate::{Name, Pairs};

/// An object's metadata, as far as it is kept; with [`SharedMeta`]'s fields as if they were its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The name, unique among the objects of its kind in its namespace.
    pub name: Name,
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
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(Form);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    Uuid([u8; 16]),
    Text(Box<str>),
}

/// A time in seconds since 1970, as exact as Kubernetes writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(NonZeroI64);

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
    pub fn new(text: &str) -> Self {
        Self(parse_uuid(text).map_or_else(|| Form::Text(text.into()), Form::Uuid))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Text(text) if text.is_empty())
    }
}

/// Reads a UUID in the one spelling that [`Uid`] writes: lower case, with hyphens.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let mut bytes = text.bytes();
    for (at, byte) in uuid.iter_mut().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) && bytes.next()? != b'-' {
            return None;
        }
        *byte = hex(bytes.next()?)? << 4 | hex(bytes.next()?)?;
    }
    bytes.next().is_none().then_some(uuid)
}

/// The value of a lower-case hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
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

    /// The time so many seconds after 1970; the first second itself counts as none.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        NonZeroI64::new(seconds).map(Self)
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_spelled_as_they_were() {
        fn check(text: &str, compact: bool) {
            let uid = Uid::new(text);
            assert_eq!((uid.to_string().as_str(), matches!(uid.0, Form::Uuid(_))), (text, compact));
        }
        check("0d1c2b3a-4f5e-6d7c-8b9a-0123456789ab", true);
        check("0D1C2B3A-4f5e-6d7c-8b9a-0123456789ab", false);
        check("0d1c2b3a4f5e6d7c8b9a0123456789ab", false);
        check("0d1c2b3a-4f5e-6d7c-8b9a-0123456789ab0", false);
        check("0d1c2b3a-4f5e-6d7c-8b9a-0123456789a", false);
        check("", false);
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
        assert_eq!(size_of::<Option<Time>>(), 8);
    }
}
