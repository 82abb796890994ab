//! Randomness and thresholds: an item is kept if its randomness is not below the threshold.
//!
//! Source: OTEP 235 and the OpenTelemetry specification of probability sampling: 56 bits, written as up to 14 hexadecimal digits, of a
//! threshold without the zeros at its end. The hash and its 14 bits are those of upstream's `probabilistic_sampler`.

/// How many thresholds there are: 2⁵⁶.
const VALUES: u64 = 1 << 56;
/// How many hexadecimal digits 56 bits have.
pub(crate) const DIGITS: usize = 14;
/// The smallest share but nothing.
pub(crate) const MIN_PROBABILITY: f64 = 1.0 / VALUES as f64;

/// Below which randomness items are dropped: 0 for none, 2⁵⁶ for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Threshold(u64);

/// 56 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Randomness(u64);

/// Why a threshold, a randomness or a trace state says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("t-value exceeds 14 hex digits")]
    ThresholdSize,
    #[error("t-value is empty")]
    ThresholdEmpty,
    #[error("r-value must have 14 hex digits")]
    RandomnessSize,
    #[error("parsing {0:?}: invalid syntax")]
    NoNumber(String),
    #[error("invalid tracestate size")]
    TraceStateSize,
    #[error("invalid syntax")]
    TraceStateSyntax,
}

fn hexadecimal(text: &str) -> Result<u64, ValueError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = if digits { u64::from_str_radix(text, 16).ok() } else { None };
    number.ok_or_else(|| ValueError::NoNumber(text.to_owned()))
}

impl Threshold {
    /// Keeps everything.
    pub(crate) const ALWAYS: Self = Self(0);
    /// Keeps nothing.
    pub(crate) const NEVER: Self = Self(VALUES);

    /// The threshold of a T-value: the digits that were left out are zeros.
    pub(crate) fn parse(text: &str) -> Result<Self, ValueError> {
        if text.len() > DIGITS {
            return Err(ValueError::ThresholdSize);
        }
        if text.is_empty() {
            return Err(ValueError::ThresholdEmpty);
        }
        Ok(Self(hexadecimal(text)? << (4 * (DIGITS - text.len()))))
    }

    /// The T-value; empty if nothing is kept.
    pub(crate) fn text(self) -> String {
        match self {
            Self::ALWAYS => "0".to_owned(),
            Self::NEVER => String::new(),
            Self(threshold) => format!("{threshold:014x}").trim_end_matches('0').to_owned(),
        }
    }

    /// The threshold that keeps a share, from 2⁻⁵⁶ to 1, to so many significant digits: zeros and `f`s at the beginning do not
    /// count. Nothing for other shares.
    pub(crate) fn of(probability: f64, precision: usize) -> Option<Self> {
        if !(MIN_PROBABILITY..=1.0).contains(&probability) {
            return None;
        }
        if probability == 1.0 {
            return Some(Self::ALWAYS);
        }
        let leading = leading_digits(probability).max(leading_digits(1.0 - probability));
        let dropped = DIGITS.saturating_sub(precision + leading);
        let mut threshold = VALUES - (probability * VALUES as f64).round() as u64;
        if dropped > 0 {
            let shift = 4 * dropped;
            threshold = ((threshold + (1 << (shift - 1))) >> shift) << shift;
        }
        Some(Self(threshold))
    }

    /// The threshold that keeps so many of 2¹⁴ hashes.
    pub(crate) fn of_buckets(kept: u64) -> Self {
        Self(BUCKETS.saturating_sub(kept) << 42)
    }

    /// The share that it keeps.
    pub(crate) fn probability(self) -> f64 {
        (VALUES - self.0) as f64 / VALUES as f64
    }

    /// Whether an item is kept.
    pub(crate) fn keeps(self, randomness: Randomness) -> bool {
        randomness.0 >= self.0
    }
}

/// How many hexadecimal digits behind the point are zero, of a number between 0 and 1.
fn leading_digits(number: f64) -> usize {
    // The exponent of a number of the form 0.1… in binary.
    let exponent = ((number.to_bits() >> 52) & 0x7ff) as i64 - 1022;
    usize::try_from(-exponent / 4).unwrap_or(0)
}

/// How many hashes there are.
const BUCKETS: u64 = 1 << 14;

impl Randomness {
    /// Is kept by every threshold but [`Threshold::NEVER`].
    pub(crate) const ALL: Self = Self(VALUES - 1);

    /// The randomness of a trace id: its last 56 bits.
    pub(crate) fn of_trace(id: &[u8]) -> Self {
        let last = id.iter().rev().take(8).rev();
        Self(last.fold(0, |number: u64, byte| number << 8 | u64::from(*byte)) & (VALUES - 1))
    }

    /// The randomness of an R-value.
    pub(crate) fn parse(text: &str) -> Result<Self, ValueError> {
        if text.len() != DIGITS {
            return Err(ValueError::RandomnessSize);
        }
        Ok(Self(hexadecimal(text)?))
    }

    /// The R-value.
    pub(crate) fn text(self) -> String {
        format!("{:014x}", self.0)
    }

    /// The randomness of anything: 14 bits of its hash decide, turned round, as a hash below the share is one above the
    /// threshold; the rest of the hash fills the other bits.
    pub(crate) fn of_bytes(bytes: &[u8], seed: u32) -> Self {
        let hash = u64::from(hash(bytes, seed));
        let bucket = hash & (BUCKETS - 1);
        let unused = hash >> 18;
        let mixed = unused ^ (unused << 10);
        Self((BUCKETS - 1 - bucket) << 42 | mixed << 14 | bucket)
    }
}

/// FNV-1a of 32 bits, of the seed in little-endian order and the bytes.
fn hash(bytes: &[u8], seed: u32) -> u32 {
    let seed = seed.to_le_bytes();
    let all = seed.iter().chain(bytes);
    all.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

    use super::*;

    #[test]
    fn hashes_are_upstreams() {
        let check = |bytes: &[u8], seed: u32, expected: u32| {
            assert_eq!(hash(bytes, seed) & 0x3fff, expected, "{bytes:?} {seed}");
        };
        check(&[], 0, 0x3515);
        check(&[0; 16], 0, 0x2455);
    }

    #[test]
    fn shares_become_thresholds() {
        let check = |probability: f64, precision: usize, expected: &str| {
            let text = Threshold::of(probability, precision).map(Threshold::text);
            assert_eq!(text.as_deref(), Some(expected), "{probability} {precision}");
        };
        check(1.0, 4, "0");
        check(0.5, 4, "8");
        check(0.25, 4, "c");
        check(0.01, 4, "fd70a");
        check(0.01, 3, "fd71");
        check(0.01, 14, "fd70a3d70a3d71");
        check(0.4, 3, "99a");
        check(0.4, 6, "99999a");
        check(0.4 * 0.5, 6, "cccccd");
        check(0.10125, 6, "e6147b");
        check(f64::from(((1.0 - 8e-7f64) * 100.0) as f32) / 100.0, 10, "00000cccccccd");
        check(1.0 / f64::from(1 << 14), 4, "fffc");
        check(1.0 / f64::from(1 << 28), 4, "fffffff");
        check(MIN_PROBABILITY, 4, "ffffffffffffff");
        for probability in [0.0, -1.0, 1.1, f64::NAN, MIN_PROBABILITY / 2.0] {
            assert_eq!(Threshold::of(probability, 4), None, "{probability}");
        }
    }

    #[test]
    fn thresholds_of_hashes() {
        let check = |percent: f32, expected: &str| {
            let kept = (percent * 163.84) as u64;
            assert_eq!(Threshold::of_buckets(kept).text(), expected, "{percent}");
        };
        check(100.0, "0");
        check(75.0, "4");
        check(50.0, "8");
        check(25.0, "c");
        check(10.0, "e668");
        check(100.0 / 3.0, "aaac");
        assert_eq!(Threshold::of_buckets(0), Threshold::NEVER);
    }

    #[test]
    fn texts() {
        let threshold = |text: &str| Threshold::parse(text).map(Threshold::text);
        assert_eq!(threshold("80000000000000").as_deref(), Ok("8"));
        assert_eq!(threshold("0").as_deref(), Ok("0"));
        assert_eq!(threshold("08").as_deref(), Ok("08"));
        assert_eq!(threshold("FD70").as_deref(), Ok("fd7"));
        assert_eq!(threshold(""), Err(ValueError::ThresholdEmpty));
        assert_eq!(threshold("abababababababab"), Err(ValueError::ThresholdSize));
        assert_eq!(threshold("-1"), Err(ValueError::NoNumber("-1".to_owned())));
        assert_eq!(threshold("+1"), Err(ValueError::NoNumber("+1".to_owned())));
        assert_eq!(Randomness::parse("00aabbccddeeff").unwrap().text(), "00aabbccddeeff");
        assert_eq!(Randomness::parse("aa"), Err(ValueError::RandomnessSize));
        assert!(Randomness::parse("0123456789abcg").is_err());
        let trace = [0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x80, 0, 0, 0, 0, 0, 0];
        assert_eq!(Randomness::of_trace(&trace).text(), "80000000000000");
        assert_eq!(Threshold::NEVER.text(), "");
    }

    #[test]
    fn a_hash_decides_as_its_bucket_would() {
        for seed in 0..1000 {
            let bucket = u64::from(hash(b"trace", seed)) & (BUCKETS - 1);
            let randomness = Randomness::of_bytes(b"trace", seed);
            for kept in [1, bucket, bucket + 1, BUCKETS] {
                assert_eq!(Threshold::of_buckets(kept).keeps(randomness), bucket < kept, "{seed} {kept}");
            }
            assert!(!Threshold::NEVER.keeps(randomness));
        }
    }
}
