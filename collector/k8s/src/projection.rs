//! What of an object is kept.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What of each object a watch keeps. The name, namespace, uid and creation time are always kept; of pods also the node,
/// the addresses, the start time and whether the pod shares its node's network.
///
/// Whatever is not kept costs nothing but being skipped, and a change to it wakes nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Projection {
    /// Which labels.
    pub labels: Keys,
    /// Which annotations.
    pub annotations: Keys,
    /// Owner references.
    pub owners: bool,
    /// Containers of pods: names, images, requests, limits, and their ids, states and restarts.
    pub containers: bool,
    /// The status and the figures of the specification: phases and conditions, capacities, replica counts. Without it,
    /// and for all kinds but pods, services and endpoints, only metadata goes over the wire.
    pub status: bool,
}

/// Which keys of a map are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Keys {
    /// No key.
    #[default]
    None,
    /// Every key.
    All,
    /// The keys that match.
    Matching(Matcher),
}

/// A rule that keys match or do not. Matchers of the same name are taken for equal: name them after all that decides.
#[derive(Clone)]
pub struct Matcher {
    name: Arc<str>,
    matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Projection {
    /// Everything there is.
    #[must_use]
    pub fn all() -> Self {
        Self { labels: Keys::All, annotations: Keys::All, owners: true, containers: true, status: true }
    }

    /// What either of the two keeps.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            labels: self.labels.union(&other.labels),
            annotations: self.annotations.union(&other.annotations),
            owners: self.owners || other.owners,
            containers: self.containers || other.containers,
            status: self.status || other.status,
        }
    }
}

impl Keys {
    /// The keys that are one of `names`.
    #[must_use]
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Self::None;
        }
        let name = names.join(",");
        Self::Matching(Matcher::new(name, move |key| {
            names.binary_search_by(|name| name.as_str().cmp(key)).is_ok()
        }))
    }

    /// Whether a key is kept.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Matching(matcher) => (matcher.matches)(key),
        }
    }

    /// The keys of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, keys) | (keys, Self::None) => keys.clone(),
            (Self::Matching(a), Self::Matching(b)) if a == b => self.clone(),
            (Self::Matching(a), Self::Matching(b)) => {
                // The same union has the same name whichever way it was made.
                let (a, b) = if a.name <= b.name { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
                let name = format!("({})|({})", a.name, b.name);
                Self::Matching(Matcher::new(name, move |key| (a.matches)(key) || (b.matches)(key)))
            }
        }
    }
}

impl Matcher {
    /// A rule; its name says all that decides it.
    pub fn new(name: impl Into<Arc<str>>, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { name: name.into(), matches: Arc::new(matches) }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Matcher").field(&self.name).finish()
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Matcher {}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        fn check(keys: &Keys, kept: &[&str]) {
            let found: Vec<&str> =
                ["app", "tier", "x"].into_iter().filter(|key| keys.contains(key)).collect();
            assert_eq!(found, kept, "{keys:?}");
        }
        check(&Keys::None, &[]);
        check(&Keys::All, &["app", "tier", "x"]);
        check(&Keys::named(["x", "app"]), &["app", "x"]);
        check(&Keys::named(["app"]).union(&Keys::named(["tier"])), &["app", "tier"]);
        check(&Keys::named(["app"]).union(&Keys::None), &["app"]);
        check(&Keys::All.union(&Keys::named(["app"])), &["app", "tier", "x"]);
    }

    #[test]
    fn equal_projections_are_equal() {
        let (a, b) = (Keys::named(["a", "b"]), Keys::named(["c"]));
        assert_eq!(Keys::named(["b", "a", "a"]), a);
        assert_eq!(a.union(&b), b.union(&a));
        assert_eq!(a.union(&a), a);
        assert_eq!(Keys::named::<String>([]), Keys::None);
        assert_ne!(a, b);
    }
}
