//! Durations in Go's syntax.
//!
//! [`Duration`] is the type for configuration fields; `#[serde(with = "confmap::duration")]` does the same for a field
//! of type [`std::time::Duration`]; [`GoDuration`] is for the rare field where a negative value means something.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A signed number of nanoseconds with Go's text form: `1h30m0s`, `1.5s`, `-2ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub i64);

/// A duration that cannot be negative. Reads Go's syntax, bare numbers as nanoseconds, and null as zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub std::time::Duration);

/// Why a text is not a duration. The words are those of Go's standard library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a number with a unit, or too large for 64-bit nanoseconds (about 292 years).
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without its unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit other than `ns`, `us`, `µs`, `ms`, `s`, `m`, `h`.
    #[error("time: unknown unit {unit:?} in duration {duration:?}")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// The whole text.
        duration: String,
    },
    /// Below zero where that means nothing.
    #[error("negative duration {0:?} is not allowed")]
    Negative(String),
}

const NANOSECOND: u64 = 1;
const MICROSECOND: u64 = 1000 * NANOSECOND;
const MILLISECOND: u64 = 1000 * MICROSECOND;
const SECOND: u64 = 1000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// Magnitude of the smallest signed value.
const LIMIT: u64 = 1 << 63;

impl Duration {
    /// Zero.
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// A duration of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }
}

impl Deref for Duration {
    type Target = std::time::Duration;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl TryFrom<GoDuration> for Duration {
    type Error = DurationError;

    fn try_from(signed: GoDuration) -> Result<Self, Self::Error> {
        match u64::try_from(signed.0) {
            Ok(nanoseconds) => Ok(Self(std::time::Duration::from_nanos(nanoseconds))),
            Err(_) => Err(DurationError::Negative(signed.to_string())),
        }
    }
}

impl From<Duration> for GoDuration {
    /// Durations over 292 years become the largest that Go knows.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or_default()),
            Some(b'+') => (false, text.get(1..).unwrap_or_default()),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (nanoseconds, after) = group(rest, text)?;
            total = total.checked_add(nanoseconds).filter(|total| *total <= LIMIT).ok_or_else(invalid)?;
            rest = after;
        }
        let signed = if negative { -i128::from(total) } else { i128::from(total) };
        i64::try_from(signed).map(Self).map_err(|_| invalid())
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<GoDuration>()?.try_into().map_err(|_| DurationError::Negative(text.to_owned()))
    }
}

/// One number with its unit, in nanoseconds, and what follows. `whole` is the text for messages.
fn group<'t>(text: &'t str, whole: &str) -> Result<(u64, &'t str), DurationError> {
    let invalid = || DurationError::Invalid(whole.to_owned());
    let (integer, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    if integer.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let integer = match integer {
        "" => 0,
        digits => digits.parse::<u64>().ok().filter(|value| *value <= LIMIT).ok_or_else(invalid)?,
    };
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if name.is_empty() {
        return Err(DurationError::MissingUnit(whole.to_owned()));
    }
    let unit = unit(name)
        .ok_or_else(|| DurationError::UnknownUnit { unit: name.to_owned(), duration: whole.to_owned() })?;
    let nanoseconds = integer.checked_mul(unit).filter(|value| *value <= LIMIT).ok_or_else(invalid)?;
    let total = nanoseconds.checked_add(fraction_of(fraction, unit)).filter(|value| *value <= LIMIT);
    total.map(|total| (total, rest)).ok_or_else(invalid)
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn unit(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => NANOSECOND,
        // Micro sign and Greek mu.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// The decimal digits after the point, as a part of `unit`: Go's arithmetic in floats, which is its rounding too.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Go's"
)]
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let mut value: u64 = 0;
    let mut scale = 1.0_f64;
    for digit in digits.bytes() {
        let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
        // Further digits are below a nanosecond of any unit.
        let Some(next) = next.filter(|next| *next < LIMIT) else { break };
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match total {
            0 => f.write_str("0s"),
            1..MICROSECOND => write!(f, "{total}ns"),
            MICROSECOND..MILLISECOND => write_decimal(f, total, MICROSECOND, "\u{b5}s"),
            MILLISECOND..SECOND => write_decimal(f, total, MILLISECOND, "ms"),
            _ => {
                if total >= HOUR {
                    write!(f, "{}h", total / HOUR)?;
                }
                if total >= MINUTE {
                    write!(f, "{}m", total % HOUR / MINUTE)?;
                }
                write_decimal(f, total % MINUTE, SECOND, "s")
            }
        }
    }
}

/// `value / unit` with as many decimals as it has.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", value / unit)?;
    let fraction = value % unit;
    if fraction > 0 {
        let width = unit.ilog10() as usize;
        let digits = format!("{fraction:0width$}");
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&GoDuration::from(*self), f)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = GoDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("type 'time.Duration'")
    }

    fn visit_i64<E: de::Error>(self, nanoseconds: i64) -> Result<GoDuration, E> {
        Ok(GoDuration(nanoseconds))
    }

    fn visit_u64<E: de::Error>(self, nanoseconds: u64) -> Result<GoDuration, E> {
        i64::try_from(nanoseconds)
            .map(GoDuration)
            .map_err(|_| E::custom(format!("cannot parse value as 'int64': {nanoseconds} overflows int64")))
    }

    #[expect(clippy::cast_possible_truncation, reason = "checked against the range; fractions are dropped")]
    fn visit_f64<E: de::Error>(self, nanoseconds: f64) -> Result<GoDuration, E> {
        // 2^63 exactly; every float below it fits.
        if nanoseconds.abs() < 9_223_372_036_854_775_808.0 {
            return Ok(GoDuration(nanoseconds as i64));
        }
        Err(E::custom(format!("cannot parse value as 'int64': {nanoseconds} overflows int64")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_unit<E: de::Error>(self) -> Result<GoDuration, E> {
        Ok(GoDuration(0))
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        GoDuration::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// For `#[serde(with = "confmap::duration")]` on a [`std::time::Duration`].
///
/// # Errors
/// What is wrong with the text, or that the duration is negative.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<std::time::Duration, D::Error> {
    Duration::deserialize(deserializer).map(Into::into)
}

/// For `#[serde(with = "confmap::duration")]` on a [`std::time::Duration`].
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(duration: &std::time::Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Duration(*duration).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_syntax() {
        let invalid = |text: &str| Err(format!("time: invalid duration {text:?}"));
        for (input, expected) in [
            ("0", Ok(0)),
            ("+0", Ok(0)),
            ("-0", Ok(0)),
            ("5s", Ok(5_000_000_000)),
            ("+5s", Ok(5_000_000_000)),
            ("-2s", Ok(-2_000_000_000)),
            ("1h30m", Ok(5_400_000_000_000)),
            ("1.5s", Ok(1_500_000_000)),
            (".5s", Ok(500_000_000)),
            ("5.s", Ok(5_000_000_000)),
            ("1m1m", Ok(120_000_000_000)),
            ("10ns", Ok(10)),
            ("11us", Ok(11_000)),
            ("12\u{b5}s", Ok(12_000)),
            ("12\u{3bc}s", Ok(12_000)),
            ("13ms", Ok(13_000_000)),
            ("0.9ns", Ok(0)),
            ("0.3333333333333333333h", Ok(1_200_000_000_000)),
            ("0.100000000000000000000h", Ok(360_000_000_000)),
            ("9007199254740993ns", Ok(9_007_199_254_740_993)),
            ("9223372036854775807ns", Ok(i64::MAX)),
            ("-9223372036854775808ns", Ok(i64::MIN)),
            ("9223372036854775808ns", invalid("9223372036854775808ns")),
            ("9223372036854775.808us", invalid("9223372036854775.808us")),
            ("3000000h", invalid("3000000h")),
            ("", invalid("")),
            ("-", invalid("-")),
            (".s", invalid(".s")),
            ("s", invalid("s")),
            ("--1s", invalid("--1s")),
            ("5", Err("time: missing unit in duration \"5\"".to_owned())),
            ("1s5", Err("time: missing unit in duration \"1s5\"".to_owned())),
            ("1d", Err("time: unknown unit \"d\" in duration \"1d\"".to_owned())),
            ("5 s", Err("time: unknown unit \" s\" in duration \"5 s\"".to_owned())),
        ] {
            let found = input.parse::<GoDuration>().map(|duration| duration.0);
            assert_eq!(found.map_err(|error| error.to_string()), expected, "{input}");
        }
    }

    #[test]
    fn go_format() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (5 * 3_600_000_000_000 + 6 * 60_000_000_000 + 7_001_000_000, "5h6m7.001s"),
            (3_600_000_000_000, "1h0m0s"),
            (-2_000_000_000, "-2s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(GoDuration(nanoseconds).to_string(), expected);
        }
    }

    #[test]
    fn negative_durations_are_refused_where_they_mean_nothing() {
        let error = "-2s".parse::<Duration>().unwrap_err();
        assert_eq!(error.to_string(), "negative duration \"-2s\" is not allowed");
    }

    proptest! {
        #[test]
        fn text_form_round_trips(nanoseconds: i64) {
            prop_assert_eq!(GoDuration(nanoseconds).to_string().parse(), Ok(GoDuration(nanoseconds)));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}|[-+0-9.nuµmsh ]{0,40}") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
