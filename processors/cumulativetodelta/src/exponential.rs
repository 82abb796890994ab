//! The change of an exponential histogram.
//!
//! Source: the metrics data model of OpenTelemetry, "exponential histogram": a bucket `i` of scale `s` ends at `2^((i+1) * 2^-s)`,
//! halving the resolution joins the buckets `2i` and `2i+1`.

use pdata::metrics::{BucketsView, ExponentialHistogramDataPointView};

use crate::histogram::known_sum;
use crate::tracker::Reason;

/// The last point of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exponential {
    count: u64,
    sum: f64,
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    positive: Buckets,
    negative: Buckets,
}

/// A run of buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Buckets {
    /// The index of the first.
    pub(crate) offset: i32,
    pub(crate) counts: Vec<u64>,
}

/// What has come since the last point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) zero_count: u64,
    pub(crate) positive: Buckets,
    pub(crate) negative: Buckets,
}

impl Exponential {
    pub(crate) fn new(point: &ExponentialHistogramDataPointView<'_>) -> Self {
        Self {
            count: point.count,
            sum: known_sum(point.sum, 0.0),
            scale: point.scale,
            zero_count: point.zero_count,
            zero_threshold: point.zero_threshold,
            positive: Buckets::new(&point.positive),
            negative: Buckets::new(&point.negative),
        }
    }

    /// The whole as a change, for a first point.
    pub(crate) fn whole(point: &ExponentialHistogramDataPointView<'_>) -> Change {
        let Self { count, sum, zero_count, positive, negative, .. } = Self::new(point);
        Change { count, sum, zero_count, positive, negative }
    }

    /// Goes on to the next point, whatever comes of it.
    pub(crate) fn advance(
        &mut self,
        point: &ExponentialHistogramDataPointView<'_>,
    ) -> Result<Change, Reason> {
        let mut next = Self::new(point);
        next.sum = known_sum(point.sum, self.sum);
        let last = std::mem::replace(self, next);
        self.since(last).ok_or(Reason::Reset)
    }

    /// The change since `last`; nothing if anything fell.
    fn since(&self, mut last: Self) -> Option<Change> {
        // The zero bucket only grows, and the resolution only falls, as long as the same process counts.
        if self.zero_threshold < last.zero_threshold || self.scale > last.scale {
            return None;
        }
        if self.zero_threshold > last.zero_threshold {
            let bucket = bucket_of(self.zero_threshold, last.scale);
            let zeros = last.positive.trim(bucket).saturating_add(last.negative.trim(bucket));
            last.zero_count = last.zero_count.saturating_add(zeros);
        }
        let lost = i64::from(last.scale) - i64::from(self.scale);
        if lost > 0 {
            last.positive.coarsen(lost);
            last.negative.coarsen(lost);
        }
        Some(Change {
            count: self.count.checked_sub(last.count)?,
            sum: self.sum - last.sum,
            zero_count: self.zero_count.checked_sub(last.zero_count)?,
            positive: self.positive.since(&last.positive)?,
            negative: self.negative.since(&last.negative)?,
        })
    }

    /// What it takes beside itself, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + 8 * (self.positive.counts.capacity() + self.negative.counts.capacity())
    }
}

/// The last bucket that begins below a threshold above zero.
fn bucket_of(threshold: f64, scale: i32) -> i64 {
    let buckets_per_power_of_two = f64::from(scale).exp2();
    // Beyond the numbers of buckets the conversion saturates, which is what is meant.
    ((threshold.log2() * buckets_per_power_of_two).ceil() - 1.0) as i64
}

impl Buckets {
    fn new(view: &BucketsView<'_>) -> Self {
        Self { offset: view.offset, counts: view.bucket_counts().collect() }
    }

    /// Removes the buckets up to one, and says what they counted.
    fn trim(&mut self, last: i64) -> u64 {
        let count = last.saturating_sub(i64::from(self.offset)).saturating_add(1);
        let count = usize::try_from(count).unwrap_or(0).min(self.counts.len());
        self.offset = self.offset.saturating_add(count as i32);
        self.counts.drain(..count).fold(0, u64::saturating_add)
    }

    /// Joins buckets: `lost` times two become one.
    fn coarsen(&mut self, lost: i64) {
        let shift = lost.clamp(0, 62) as u32;
        let first = i64::from(self.offset) >> shift;
        let mut joined: Vec<u64> = Vec::new();
        for (index, count) in (i64::from(self.offset)..).zip(&self.counts) {
            let place = usize::try_from((index >> shift) - first).unwrap_or(0);
            if place >= joined.len() {
                joined.resize(place + 1, 0);
            }
            if let Some(sum) = joined.get_mut(place) {
                *sum = sum.saturating_add(*count);
            }
        }
        self.offset = i32::try_from(first).unwrap_or(i32::MIN);
        self.counts = joined;
    }

    /// The change since `last`, from the first bucket that changed to the last; nothing if a bucket fell.
    fn since(&self, last: &Self) -> Option<Self> {
        let indexed = |buckets: &Self, index: i64| {
            let place = usize::try_from(index - i64::from(buckets.offset)).ok();
            place.and_then(|place| buckets.counts.get(place)).copied().unwrap_or(0)
        };
        let fell =
            (i64::from(last.offset)..).zip(&last.counts).any(|(index, count)| indexed(self, index) < *count);
        if fell {
            return None;
        }
        let mut change = Self::default();
        for (index, count) in (i64::from(self.offset)..).zip(&self.counts) {
            let more = count.saturating_sub(indexed(last, index));
            if change.counts.is_empty() {
                if more == 0 {
                    continue;
                }
                change.offset = i32::try_from(index).unwrap_or(i32::MAX);
            }
            change.counts.push(more);
        }
        let used = change.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        change.counts.truncate(used);
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(offset: i32, counts: &[u64]) -> Buckets {
        Buckets { offset, counts: counts.to_vec() }
    }

    #[test]
    fn buckets_change() {
        let check = |last: Buckets, now: Buckets, expected: Option<Buckets>| {
            assert_eq!(now.since(&last), expected, "{last:?} {now:?}");
        };
        check(buckets(0, &[]), buckets(3, &[1, 0, 2]), Some(buckets(3, &[1, 0, 2])));
        check(buckets(3, &[1, 0, 2]), buckets(3, &[1, 0, 2]), Some(buckets(0, &[])));
        check(buckets(3, &[1, 0, 2]), buckets(2, &[0, 1, 4, 2, 0]), Some(buckets(4, &[4])));
        check(buckets(3, &[1]), buckets(4, &[5]), None);
        check(buckets(3, &[0, 1]), buckets(4, &[5]), Some(buckets(4, &[4])));
        check(buckets(3, &[1, 2]), buckets(3, &[2, 1]), None);
        check(buckets(i32::MAX, &[1]), buckets(i32::MAX, &[3]), Some(buckets(i32::MAX, &[2])));
        check(buckets(i32::MIN, &[1]), buckets(i32::MAX, &[3]), None);
    }

    #[test]
    fn buckets_become_coarser() {
        let check = |before: Buckets, lost: i64, expected: Buckets| {
            let mut coarse = before.clone();
            coarse.coarsen(lost);
            assert_eq!(coarse, expected, "{before:?} {lost}");
        };
        check(buckets(0, &[1, 2, 3, 4]), 1, buckets(0, &[3, 7]));
        check(buckets(1, &[1, 2, 3, 4]), 1, buckets(0, &[1, 5, 4]));
        check(buckets(-3, &[1, 2, 3, 4]), 1, buckets(-2, &[1, 5, 4]));
        check(buckets(-3, &[1, 2, 3, 4]), 40, buckets(-1, &[6, 4]));
        check(buckets(i32::MAX, &[1, 2]), i64::from(u32::MAX), buckets(0, &[3]));
        check(buckets(5, &[]), 1, buckets(2, &[]));
    }

    #[test]
    fn buckets_go_to_the_zero_bucket() {
        let check = |before: Buckets, last: i64, zeros: u64, left: Buckets| {
            let mut trimmed = before.clone();
            assert_eq!((trimmed.trim(last), trimmed), (zeros, left), "{before:?} {last}");
        };
        check(buckets(2, &[1, 2, 3]), 1, 0, buckets(2, &[1, 2, 3]));
        check(buckets(2, &[1, 2, 3]), 3, 3, buckets(4, &[3]));
        check(buckets(2, &[1, 2, 3]), i64::MAX, 6, buckets(5, &[]));
        check(buckets(2, &[1, 2, 3]), i64::MIN, 0, buckets(2, &[1, 2, 3]));
        // Bucket 2 of scale 0 begins above 4, bucket 1 above 2.
        assert_eq!(bucket_of(4.0, 0), 1);
        assert_eq!(bucket_of(4.5, 0), 2);
        assert_eq!(bucket_of(4.0, 1), 3);
        assert_eq!(bucket_of(0.25, 0), -3);
    }
}
