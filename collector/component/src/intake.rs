//! Memory of requests on their way to the pipelines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::memory;

/// Bounds of the default limit in bytes.
const MIN_LIMIT: usize = 32 << 20;
const MAX_LIMIT: usize = 256 << 20;
/// Requests in progress at the same time.
const MAX_REQUESTS: usize = 4096;

/// The budget of bytes that all servers of the process hold for requests that no queue has taken yet.
///
/// The memory limiter and the queues count what has passed the receivers. Before that, bodies that arrive slowly, and what
/// they decompress to, are counted here.
#[derive(Debug, Clone)]
pub struct IntakeBudget(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: usize,
    bytes: AtomicUsize,
    requests: AtomicUsize,
    refused: AtomicU64,
}

/// The share of one request in the budget; given back when dropped.
#[derive(Debug)]
pub struct IntakePermit {
    counts: Arc<Counts>,
    held: AtomicUsize,
}

impl Default for IntakeBudget {
    /// A quarter of the memory that the process may use, at least 32 and at most 256 MiB.
    fn default() -> Self {
        let quarter =
            memory::total().map_or(MAX_LIMIT, |total| usize::try_from(total / 4).unwrap_or(MAX_LIMIT));
        Self::new(quarter.clamp(MIN_LIMIT, MAX_LIMIT))
    }
}

impl IntakeBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Counts {
            limit,
            bytes: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// Begins a request; `None` if too many are in progress.
    pub fn begin(&self) -> Option<IntakePermit> {
        let counts = self.0.clone();
        let permit = IntakePermit { counts, held: AtomicUsize::new(0) };
        let before = self.0.requests.fetch_add(1, Ordering::Relaxed);
        if before < MAX_REQUESTS {
            return Some(permit);
        }
        self.count_refused();
        None
    }

    /// Returns true if more than half of the requests that may be in progress are: a client should not have many of them.
    pub fn is_crowded(&self) -> bool {
        self.0.requests.load(Ordering::Relaxed) > MAX_REQUESTS / 2
    }

    /// Counts a request that is refused for want of memory or of a place among those in progress.
    pub fn count_refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of requests that were refused.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

impl IntakePermit {
    /// Adds bytes to the share. Returns false, and adds none, if the budget is exhausted.
    pub fn grow(&self, bytes: usize) -> bool {
        let before = self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.counts.limit {
            self.counts.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.held.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// Bytes of this request.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns true if the budget is more than half used: requests that make no progress should end.
    pub fn is_short(&self) -> bool {
        self.counts.bytes.load(Ordering::Relaxed) > self.counts.limit / 2
            || self.counts.requests.load(Ordering::Relaxed) > MAX_REQUESTS / 2
    }
}

impl Drop for IntakePermit {
    fn drop(&mut self) {
        self.counts.bytes.fetch_sub(*self.held.get_mut(), Ordering::Relaxed);
        self.counts.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_back_with_the_request() {
        let budget = IntakeBudget::new(100);
        let (one, other) = (budget.begin().unwrap(), budget.begin().unwrap());
        assert!(one.grow(40) && !one.is_short());
        assert!(other.grow(60) && other.is_short());
        assert!(!one.grow(1));
        assert_eq!((budget.bytes(), one.held(), budget.refused()), (100, 40, 1));
        drop(other);
        assert!(one.grow(60));
        drop(one);
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn requests_are_bounded_in_number() {
        let budget = IntakeBudget::new(1);
        let mut permits: Vec<_> = (0..MAX_REQUESTS).map(|_| budget.begin().unwrap()).collect();
        assert!(budget.begin().is_none());
        permits.pop();
        assert!(budget.begin().is_some());
    }
}
