//! Feature gates: behaviour that a user chooses for the whole collector.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The feature gates that are on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates(Arc<BTreeSet<String>>);

impl Gates {
    /// These, and no others.
    pub fn new<S: Into<String>>(ids: impl IntoIterator<Item = S>) -> Self {
        Self(Arc::new(ids.into_iter().map(Into::into).collect()))
    }

    /// Whether a gate is on.
    pub fn is_enabled(&self, id: &str) -> bool {
        self.0.contains(id)
    }
}
