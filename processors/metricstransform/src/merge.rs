//! Histograms are added up.

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};

use crate::aggregate::identity;

pub(crate) type Histogram = HistogramDataPoint;
pub(crate) type Exponential = ExponentialHistogramDataPoint;

/// What makes two histograms one: beside labels and times, the bounds and what is known of them.
pub(crate) fn histogram_key(point: &Histogram, delta: bool) -> Vec<u8> {
    let mut key =
        identity(&point.attributes, point.time_unix_nano, delta.then_some(point.start_time_unix_nano));
    point.explicit_bounds.iter().for_each(|bound| key.extend_from_slice(&bound.to_bits().to_le_bytes()));
    key.extend_from_slice(&(point.bucket_counts.len() as u64).to_le_bytes());
    key.extend_from_slice(&[u8::from(point.min.is_some()), u8::from(point.max.is_some())]);
    key.extend_from_slice(&point.flags.to_le_bytes());
    key
}

/// The same for exponential ones: with their scale.
pub(crate) fn exponential_key(point: &Exponential, delta: bool) -> Vec<u8> {
    let mut key =
        identity(&point.attributes, point.time_unix_nano, delta.then_some(point.start_time_unix_nano));
    key.extend_from_slice(&point.scale.to_le_bytes());
    key.extend_from_slice(&[u8::from(point.min.is_some()), u8::from(point.max.is_some())]);
    key.extend_from_slice(&point.flags.to_le_bytes());
    key
}

fn sum(first: Option<f64>, second: Option<f64>) -> Option<f64> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first + second),
        (first, second) => first.or(second),
    }
}

fn choose(first: Option<f64>, second: Option<f64>, choose: fn(f64, f64) -> f64) -> Option<f64> {
    match (first, second) {
        (Some(first), Some(second)) => Some(choose(first, second)),
        (first, second) => first.or(second),
    }
}

pub(crate) fn add_histograms(mut all: Histogram, more: Histogram) -> Histogram {
    all.start_time_unix_nano = all.start_time_unix_nano.min(more.start_time_unix_nano);
    all.count = all.count.saturating_add(more.count);
    all.sum = sum(all.sum, more.sum);
    all.min = choose(all.min, more.min, f64::min);
    all.max = choose(all.max, more.max, f64::max);
    for (count, more) in all.bucket_counts.iter_mut().zip(more.bucket_counts) {
        *count = count.saturating_add(more);
    }
    all.exemplars.extend(more.exemplars);
    all
}

pub(crate) fn add_exponential(mut all: Exponential, more: Exponential) -> Exponential {
    all.start_time_unix_nano = all.start_time_unix_nano.min(more.start_time_unix_nano);
    all.count = all.count.saturating_add(more.count);
    all.sum = sum(all.sum, more.sum);
    all.min = choose(all.min, more.min, f64::min);
    all.max = choose(all.max, more.max, f64::max);
    all.zero_count = all.zero_count.saturating_add(more.zero_count);
    all.zero_threshold = all.zero_threshold.max(more.zero_threshold);
    let positive = (all.positive.take(), more.positive);
    let negative = (all.negative.take(), more.negative);
    match (add_buckets(positive), add_buckets(negative)) {
        (Ok(positive), Ok(negative)) => {
            all.positive = positive;
            all.negative = negative;
        }
        _ => tracing::warn!("exponential histograms whose buckets lie too far apart keep no buckets"),
    }
    all.exemplars.extend(more.exemplars);
    all
}

/// The widest range of buckets that is added up: offsets come from outside, and must not decide over memory.
const MAX_BUCKETS: i64 = 1 << 16;

struct TooFarApart;

fn add_buckets((all, more): (Option<Buckets>, Option<Buckets>)) -> Result<Option<Buckets>, TooFarApart> {
    let (all, more) = match (all, more) {
        (Some(all), Some(more)) if !all.bucket_counts.is_empty() && !more.bucket_counts.is_empty() => {
            (all, more)
        }
        (Some(all), more) if more.as_ref().is_none_or(|more| more.bucket_counts.is_empty()) => {
            return Ok(Some(all));
        }
        (all, more) => return Ok(more.or(all)),
    };
    let end = |buckets: &Buckets| i64::from(buckets.offset) + buckets.bucket_counts.len() as i64;
    let offset = all.offset.min(more.offset);
    let len = end(&all).max(end(&more)) - i64::from(offset);
    if len > MAX_BUCKETS {
        return Err(TooFarApart);
    }
    let mut counts = vec![0u64; usize::try_from(len).map_err(|_| TooFarApart)?];
    for buckets in [&all, &more] {
        let skipped =
            usize::try_from(i64::from(buckets.offset) - i64::from(offset)).map_err(|_| TooFarApart)?;
        for (count, more) in counts.iter_mut().skip(skipped).zip(&buckets.bucket_counts) {
            *count = count.saturating_add(*more);
        }
    }
    Ok(Some(Buckets { offset, bucket_counts: counts }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_added_by_their_place() {
        let buckets = |offset, counts: &[u64]| Some(Buckets { offset, bucket_counts: counts.to_vec() });
        let check = |all, more, expected| assert_eq!(add_buckets((all, more)).ok(), Some(expected));
        check(buckets(0, &[1, 2]), buckets(1, &[10, 20]), buckets(0, &[1, 12, 20]));
        check(buckets(3, &[1]), buckets(-1, &[5]), buckets(-1, &[5, 0, 0, 0, 1]));
        check(buckets(3, &[1]), None, buckets(3, &[1]));
        check(buckets(0, &[]), buckets(7, &[1]), buckets(7, &[1]));
        check(None, None, None);
        assert!(add_buckets((buckets(i32::MIN, &[1]), buckets(i32::MAX, &[1]))).is_err());
    }
}
