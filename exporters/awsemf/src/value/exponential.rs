//! Exponential histograms as values with counts.
//!
//! A bucket with index `i` covers `base^i` to `base^(i+1)`, `base = 2^(2^-scale)` (OpenTelemetry metrics data model). Its
//! value is the arithmetic middle. CloudWatch takes at most 100 values of a metric in one event, hence the parts.

use pdata::metrics::{BucketsView, ExponentialHistogramDataPointView};

use super::{Part, Stats, Value, Values};
use crate::text::Span;

/// The most values of a part.
const MAX_VALUES: usize = 100;

/// A bucket on the way from the highest to the lowest.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    upper: f64,
    lower: f64,
    count: u64,
}

/// The part that is being filled.
struct Filling {
    stats: Stats,
    start: usize,
    capacity: usize,
}

impl Values {
    /// Keeps a point in as many parts as it takes, and lists them.
    pub(crate) fn exponential(
        &mut self,
        point: &ExponentialHistogramDataPointView<'_>,
        out: &mut Vec<Value>,
    ) {
        let (min, max) = (point.min.unwrap_or(0.0), point.max.unwrap_or(0.0));
        let sum = point.sum.unwrap_or(0.0);
        let first_part = self.parts.len();
        let counts = std::mem::take(&mut self.counts);
        let buckets = Buckets::new(point, counts);
        let total = buckets.len();
        let mut filling: Option<Filling> = None;
        for (seen, bucket) in buckets.iter().enumerate() {
            let part = filling.get_or_insert_with(|| Filling {
                stats: Stats { max, min, count: 0, sum: if seen == 0 { sum } else { 0.0 } },
                start: self.buckets.len(),
                capacity: MAX_VALUES.min(total - seen),
            });
            if bucket.count == 0 {
                continue;
            }
            let within = |value: f64| clamp(value, point.min, point.max);
            self.buckets.push((within((bucket.lower + bucket.upper) / 2.0), bucket.count as f64));
            part.stats.count = part.stats.count.wrapping_add(bucket.count);
            let filled = self.buckets.len() - part.start;
            if filled == 1 {
                part.stats.max = within(bucket.upper);
            }
            if filled == part.capacity {
                part.stats.min = within(bucket.lower);
                let Filling { stats, start, .. } = *part;
                filling = None;
                self.close(stats, start);
            }
        }
        if let Some(Filling { stats, start, .. }) = filling {
            self.close(stats, start);
        }
        if self.parts.len() == first_part {
            self.close(Stats { max, min, count: point.count, sum }, self.buckets.len());
        }
        if let Some(part) = self.parts.get_mut(first_part) {
            part.stats.max = max;
        }
        if let Some(part) = self.parts.last_mut() {
            part.stats.min = min;
        }
        out.extend((first_part..self.parts.len()).map(|at| Value::Part(at as u32)));
        self.counts = buckets.counts;
    }

    fn close(&mut self, stats: Stats, start: usize) {
        self.parts.push(Part { stats, buckets: Span { start, end: self.buckets.len() } });
    }
}

/// A scale can be so low that a bound is beyond the range of floats, which JSON cannot express.
fn clamp(value: f64, min: Option<f64>, max: Option<f64>) -> f64 {
    if value.is_finite() {
        value
    } else if value > 0.0 {
        max.unwrap_or(f64::MAX)
    } else {
        min.unwrap_or(f64::MIN)
    }
}

/// All buckets of a point, empty ones included.
struct Buckets {
    base: f64,
    positive_offset: i32,
    negative_offset: i32,
    zero_count: u64,
    /// Counts of the positive buckets, then of the negative ones.
    counts: Vec<u64>,
    positive: usize,
}

impl Buckets {
    fn new(point: &ExponentialHistogramDataPointView<'_>, mut counts: Vec<u64>) -> Self {
        let BucketsView { offset: positive_offset, .. } = point.positive;
        counts.clear();
        counts.extend(point.positive.bucket_counts());
        let positive = counts.len();
        counts.extend(point.negative.bucket_counts());
        Self {
            base: 2f64.powf(2f64.powf(-f64::from(point.scale))),
            positive_offset,
            negative_offset: point.negative.offset,
            zero_count: point.zero_count,
            counts,
            positive,
        }
    }

    fn len(&self) -> usize {
        self.counts.len() + usize::from(self.zero_count > 0)
    }

    /// From the highest bucket down.
    fn iter(&self) -> impl Iterator<Item = Bucket> + '_ {
        let (positive, negative) = self.counts.split_at_checked(self.positive).unwrap_or_default();
        let bound = |offset: i32, index: usize| power(self.base, i64::from(offset) + index as i64);
        let above = positive.iter().enumerate().rev().map(move |(index, &count)| Bucket {
            upper: bound(self.positive_offset, index + 1),
            lower: bound(self.positive_offset, index),
            count,
        });
        let zero = Bucket { upper: 0.0, lower: 0.0, count: self.zero_count };
        let below = negative.iter().enumerate().map(move |(index, &count)| Bucket {
            upper: -bound(self.negative_offset, index),
            lower: -bound(self.negative_offset, index + 1),
            count,
        });
        above.chain((self.zero_count > 0).then_some(zero)).chain(below)
    }
}

/// `base` to a whole power by squaring, the binary exponent kept apart so that nothing overflows on the way.
///
/// The order of the multiplications is that of Go's `math.Pow`: the last digits are then upstream's too.
fn power(base: f64, exponent: i64) -> f64 {
    /// Beyond this binary exponent the result is zero or infinite whatever follows.
    const OUT_OF_RANGE: i64 = 1 << 12;
    let (mut square, mut square_exponent) = split(base);
    let (mut result, mut result_exponent) = (1.0, 0_i64);
    let mut rest = exponent.unsigned_abs();
    while rest != 0 {
        if square_exponent.abs() > OUT_OF_RANGE {
            result_exponent += square_exponent;
            break;
        }
        if rest & 1 == 1 {
            result *= square;
            result_exponent += square_exponent;
        }
        square *= square;
        square_exponent *= 2;
        if square < 0.5 {
            square *= 2.0;
            square_exponent -= 1;
        }
        rest >>= 1;
    }
    if exponent < 0 {
        result = 1.0 / result;
        result_exponent = -result_exponent;
    }
    scale(result, result_exponent)
}

/// A positive number as a fraction from 0.5 up to 1 and a power of two. The numbers here are at least 1.
fn split(number: f64) -> (f64, i64) {
    const BIAS: u64 = 1022;
    const EXPONENT: u64 = 0x7ff << 52;
    let bits = number.to_bits();
    if !number.is_normal() {
        return (number, 0);
    }
    let exponent = (bits & EXPONENT) >> 52;
    (f64::from_bits(bits & !EXPONENT | BIAS << 52), exponent as i64 - BIAS as i64)
}

/// `number × 2^exponent`.
fn scale(mut number: f64, exponent: i64) -> f64 {
    let mut rest = exponent.clamp(-5000, 5000);
    while rest != 0 {
        let step = rest.clamp(-1000, 1000);
        number *= f64::from_bits(((1023 + step) as u64) << 52);
        rest -= step;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        let check = |base: f64, exponent: i64, expected: f64| {
            let got = power(base, exponent);
            assert!(got == expected || (got / expected - 1.0).abs() < 1e-12, "{base}^{exponent} = {got}");
        };
        check(2.0, 10, 1024.0);
        check(2.0, -3, 0.125);
        check(2.0, 0, 1.0);
        check(2.0, 1023, 2f64.powi(1023));
        check(2.0, 1024, f64::INFINITY);
        check(2.0, -1074, 5e-324);
        check(2.0, i64::from(i32::MAX) * 2, f64::INFINITY);
        check(2.0, i64::from(i32::MIN), 0.0);
        check(f64::INFINITY, 1, f64::INFINITY);
        check(2f64.powf(0.125), 77, 2f64.powf(77.0 / 8.0));
        check(1.5, 20, 1.5f64.powi(20));
    }
}
