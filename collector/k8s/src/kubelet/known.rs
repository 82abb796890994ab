//! Pods that were decoded already: of what a kubelet lists little changes from one minute to the next.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;

use crate::row::Pod;

/// The pods of a kubelet's last list, by their text.
#[derive(Debug, Default)]
pub struct KnownPods {
    /// Seeded at random, so that nobody can write two pods of the same hash.
    hasher: RandomState,
    pods: Seen,
}

/// By the hash and the length of the text that a pod was decoded from.
pub(super) type Seen = HashMap<(u64, usize), Pod>;

impl KnownPods {
    /// The pod of a text, decoded if it is not known; it is noted as `seen`.
    pub(super) fn find_or<E>(
        &self,
        text: &[u8],
        seen: &mut Seen,
        decode: impl FnOnce() -> Result<Pod, E>,
    ) -> Result<Pod, E> {
        let key = (self.hasher.hash_one(text), text.len());
        let pod = match self.pods.get(&key) {
            Some(pod) => pod.clone(),
            None => decode()?,
        };
        seen.insert(key, pod.clone());
        Ok(pod)
    }

    /// A list is complete: what was not on it is forgotten.
    pub(super) fn replace(&mut self, seen: Seen) {
        self.pods = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row as _;
    use crate::{Interner, Projection};

    #[test]
    fn what_has_not_changed_is_not_decoded_again() {
        let (interner, projection) = (Interner::default(), Projection::default());
        let mut known = KnownPods::default();
        let mut list = |texts: &[&str]| {
            let (mut seen, mut decoded, mut names) = (Seen::default(), 0, Vec::new());
            for text in texts {
                let decode = || {
                    decoded += 1;
                    Pod::from_json(text.as_bytes(), &projection, &interner).map(|decoded| decoded.row)
                };
                names.push(known.find_or(text.as_bytes(), &mut seen, decode).unwrap().meta.name.to_string());
            }
            known.replace(seen);
            (decoded, names.join(" "))
        };
        let [a, b, c] = ["a", "b", "c"].map(|name| format!(r#"{{"metadata": {{"name": "{name}"}}}}"#));
        assert_eq!(list(&[&a, &b]), (2, "a b".to_owned()));
        assert_eq!(list(&[&b, &a]), (0, "b a".to_owned()));
        assert_eq!(list(&[&c, &a]), (1, "c a".to_owned()));
        assert_eq!(list(&[&b]), (1, "b".to_owned()), "forgotten");
        let (mut seen, mut asked) = (Seen::default(), 0);
        let fails = known.find_or(b"{", &mut seen, || {
            asked += 1;
            Err(())
        });
        assert_eq!((fails, asked, seen.len()), (Err(()), 1, 0));
    }
}
