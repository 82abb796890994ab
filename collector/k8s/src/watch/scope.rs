//! Which objects of a kind are watched.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::row::Resource;

/// Which objects of a kind are watched: all, or those that one namespace and selectors leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    namespace: Option<String>,
    fields: Option<String>,
    labels: Option<String>,
}

impl Scope {
    /// All objects of the cluster.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only the objects in `namespace`; without effect on kinds that live in none.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()).filter(|namespace| !namespace.is_empty()), ..self }
    }

    /// Only what a field selector leaves: `spec.nodeName=node-1`.
    #[must_use]
    pub fn fields(self, selector: impl Into<String>) -> Self {
        Self { fields: Some(selector.into()).filter(|selector| !selector.is_empty()), ..self }
    }

    /// Only what a label selector leaves: `app=web,!canary`.
    #[must_use]
    pub fn labels(self, selector: impl Into<String>) -> Self {
        Self { labels: Some(selector.into()).filter(|selector| !selector.is_empty()), ..self }
    }

    /// The path of the list, with the selectors, ready for further parameters.
    pub(super) fn path(&self, resource: &Resource) -> String {
        let mut path = if resource.group.is_empty() {
            format!("/api/{}", resource.version)
        } else {
            format!("/apis/{}/{}", resource.group, resource.version)
        };
        if let Some(namespace) = self.namespace.as_deref().filter(|_| resource.namespaced) {
            path.push_str("/namespaces/");
            path.push_str(&encode(namespace));
        }
        path.push('/');
        path.push_str(resource.plural);
        path.push('?');
        for (name, selector) in [("fieldSelector", &self.fields), ("labelSelector", &self.labels)] {
            if let Some(selector) = selector {
                push(&mut path, name, selector);
            }
        }
        path
    }
}

/// Adds a parameter to a path that ends in `?` or in another parameter.
pub(super) fn push(path: &mut String, name: &str, value: &str) {
    if !path.ends_with('?') {
        path.push('&');
    }
    // Writing to a string does not fail.
    let _ = write!(path, "{name}={}", encode(value));
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Namespace, Pod, ReplicaSet, Row};

    #[test]
    fn paths() {
        fn check<R: Row>(scope: Scope, expected: &str) {
            let mut path = scope.path(&R::RESOURCE);
            push(&mut path, "limit", "500");
            assert_eq!(path, expected);
        }
        check::<Pod>(Scope::all(), "/api/v1/pods?limit=500");
        check::<Pod>(Scope::all().namespace(""), "/api/v1/pods?limit=500");
        check::<ReplicaSet>(
            Scope::all().namespace("a b"),
            "/apis/apps/v1/namespaces/a%20b/replicasets?limit=500",
        );
        check::<Namespace>(Scope::all().namespace("ns"), "/api/v1/namespaces?limit=500");
        check::<Pod>(
            Scope::all().fields("spec.nodeName=ip-1").labels("a!=b"),
            "/api/v1/pods?fieldSelector=spec%2EnodeName%3Dip%2D1&labelSelector=a%21%3Db&limit=500",
        );
    }
}
