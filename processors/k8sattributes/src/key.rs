//! Keys: what resources say of their pods, and pods of themselves, in a form that is compared.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use k8s::row::{ContainerId, Uid};
use smallvec::SmallVec;

/// What a pod is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// The first of the layouts whose keys are alike.
    pub(crate) space: usize,
    /// The values of its slots.
    pub(crate) parts: Parts<'a>,
}

pub(crate) type Parts<'a> = SmallVec<[Part<'a>; 2]>;

/// The value of a slot, in the form in which values are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Ip(IpAddr),
    Uid(Uid),
    Container(ContainerId),
    Text(Cow<'a, str>),
}

/// What of a pod a slot is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Ip,
    Uid,
    Container,
    Namespace,
    Name,
    /// An attribute that is added of the pod.
    Added(&'a str),
}

impl Hash for Key<'_> {
    /// The keys of a space have equally many parts.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts.iter().for_each(|part| part.hash(state));
        state.write_usize(self.space);
    }
}

impl Hash for Part<'_> {
    /// Parts of different kinds with the same bytes are rare: what is in a slot is of its kind.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Ip(IpAddr::V4(ip)) => state.write_u32(ip.to_bits()),
            Self::Ip(IpAddr::V6(ip)) => state.write_u128(ip.to_bits()),
            Self::Uid(uid) => uid.hash(state),
            Self::Container(id) => id.hash(state),
            Self::Text(text) => text.hash(state),
        }
    }
}

impl<'a> Part<'a> {
    /// What a text means in a slot; an address is the same however it is written.
    pub(crate) fn of(kind: Kind<'_>, text: &'a str) -> Self {
        match kind {
            Kind::Ip => address(text).map_or(Self::Text(Cow::Borrowed(text)), Self::Ip),
            Kind::Uid => Self::Uid(Uid::new(text)),
            Kind::Container => Self::Container(ContainerId::new(text)),
            Kind::Namespace | Kind::Name | Kind::Added(_) => Self::Text(Cow::Borrowed(text)),
        }
    }

    fn into_owned(self) -> Part<'static> {
        match self {
            Self::Ip(ip) => Part::Ip(ip),
            Self::Uid(uid) => Part::Uid(uid),
            Self::Container(id) => Part::Container(id),
            Self::Text(text) => Part::Text(Cow::Owned(text.into_owned())),
        }
    }
}

impl Key<'_> {
    /// Whether it is the same as another one.
    pub(crate) fn is(&self, other: &Key<'_>) -> bool {
        self.space == other.space
            && self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(|(a, b)| a == b)
    }

    /// The same key, to be kept.
    pub(crate) fn into_owned(self) -> Key<'static> {
        Key { space: self.space, parts: self.parts.into_iter().map(Part::into_owned).collect() }
    }
}

/// The address that a text spells, in one form however it is written.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_their_meaning() {
        fn check(kind: Kind<'_>, a: &str, b: &str, same: bool) {
            assert_eq!(Part::of(kind, a) == Part::of(kind, b), same, "{kind:?} {a} {b}");
        }
        check(Kind::Ip, "2001:DB8::1", "2001:db8:0:0:0:0:0:1", true);
        check(Kind::Ip, "::ffff:1.2.3.4", "1.2.3.4", true);
        check(Kind::Name, "::ffff:1.2.3.4", "1.2.3.4", false);
        check(Kind::Ip, "1.2.3.4", "1.2.3.5", false);
        check(Kind::Ip, "no address", "no address", true);
        let uid = "0d1c2b3a-4f5e-6d7c-8b9a-0123456789ab";
        check(Kind::Uid, uid, uid, true);
        check(Kind::Uid, uid, "0d1c2b3a-4f5e-6d7c-8b9a-0123456789ac", false);
        check(Kind::Uid, uid, &uid.to_uppercase(), false);
        check(Kind::Container, &"ab".repeat(32), &"ab".repeat(32), true);
        check(Kind::Container, "cid", "cid2", false);
    }
}
