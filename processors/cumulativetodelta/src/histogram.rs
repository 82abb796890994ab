//! The change of a histogram with explicit bounds.

use pdata::metrics::HistogramDataPointView;

use crate::tracker::Reason;

/// The last point of a stream.
#[derive(Debug)]
pub(crate) struct Histogram {
    count: u64,
    sum: f64,
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

/// What has come since the last point; the counts of the buckets stand in the memory given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Change {
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

/// A sum to calculate with: one that is missing or no number is 0 at first, and has not changed later.
pub(crate) fn known_sum(sum: Option<f64>, last: f64) -> f64 {
    match sum {
        Some(sum) if !sum.is_nan() => sum,
        _ => last,
    }
}

impl Histogram {
    pub(crate) fn new(point: &HistogramDataPointView<'_>) -> Self {
        Self {
            count: point.count,
            sum: known_sum(point.sum, 0.0),
            bounds: point.explicit_bounds().collect(),
            counts: point.bucket_counts().collect(),
        }
    }

    /// The whole as a change, for a first point.
    pub(crate) fn whole(point: &HistogramDataPointView<'_>, counts: &mut Vec<u64>) -> Change {
        counts.clear();
        counts.extend(point.bucket_counts());
        Change { count: point.count, sum: known_sum(point.sum, 0.0) }
    }

    /// Goes on to the next point, whatever comes of it. The change of each bucket is left in `changes`.
    pub(crate) fn advance(
        &mut self,
        point: &HistogramDataPointView<'_>,
        changes: &mut Vec<u64>,
    ) -> Result<Change, Reason> {
        let like = self.is_like(point);
        let sum = known_sum(point.sum, self.sum);
        let change = Change { count: point.count.wrapping_sub(self.count), sum: sum - self.sum };
        let mut fell = point.count < self.count;
        changes.clear();
        if like {
            for (last, count) in self.counts.iter_mut().zip(point.bucket_counts()) {
                fell |= count < *last;
                changes.push(count.wrapping_sub(*last));
                *last = count;
            }
        } else {
            self.bounds.clear();
            self.bounds.extend(point.explicit_bounds());
            self.counts.clear();
            self.counts.extend(point.bucket_counts());
        }
        self.count = point.count;
        self.sum = sum;
        match (like, fell) {
            (false, _) => Err(Reason::BucketMismatch),
            (true, true) => Err(Reason::Reset),
            (true, false) => Ok(change),
        }
    }

    /// Whether a point has the same buckets.
    fn is_like(&self, point: &HistogramDataPointView<'_>) -> bool {
        if !point.bucket_counts().map(drop).eq(self.counts.iter().map(|_| ())) {
            tracing::warn!(
                "Points in histogram series have different numbers of buckets; some data will be dropped"
            );
            return false;
        }
        if !point.explicit_bounds().eq(self.bounds.iter().copied()) {
            tracing::warn!(
                "Points in histogram series have different bucket boundaries; some data will be dropped"
            );
            return false;
        }
        true
    }

    /// What it takes beside itself, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + 8 * (self.bounds.capacity() + self.counts.capacity())
    }
}
