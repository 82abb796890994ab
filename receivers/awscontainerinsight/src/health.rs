//! Who fails, so that a failure is told when it begins and when it ends, not at every collection.

use std::collections::HashSet;
use std::error::Error;

/// The sources that failed when they were last asked.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failing: HashSet<Box<str>>,
    failures: usize,
}

/// What became of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Broke,
    Recovered,
}

impl Health {
    /// The value, if there is one; logs when that is news.
    pub(crate) fn check<T, E: Error>(&mut self, source: &str, result: Result<T, E>) -> Option<T> {
        match (self.note(source, result.is_err()), &result) {
            (Change::Broke, Err(error)) => {
                tracing::warn!(
                    source,
                    error = component::causes(error),
                    "cannot read this source; its fields are left out"
                );
            }
            (Change::Recovered, _) => tracing::info!(source, "can read this source again"),
            _ => {}
        }
        result.ok()
    }

    /// How many failures there were since the last call.
    pub(crate) fn take_failures(&mut self) -> usize {
        std::mem::take(&mut self.failures)
    }

    fn note(&mut self, source: &str, failed: bool) -> Change {
        self.failures += usize::from(failed);
        match (failed, self.failing.contains(source)) {
            (true, false) => {
                self.failing.insert(source.into());
                Change::Broke
            }
            (false, true) => {
                self.failing.remove(source);
                Change::Recovered
            }
            _ => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once() {
        let mut health = Health::default();
        let changes: Vec<_> =
            [false, true, true, false, false, true].map(|failed| health.note("cpu", failed)).into();
        use Change::{Broke, None, Recovered};
        assert_eq!(changes, [None, Broke, None, Recovered, None, Broke]);
        assert_eq!(health.note("memory", true), Broke);
        assert_eq!(health.take_failures(), 4);
        assert_eq!(health.take_failures(), 0);
    }
}
