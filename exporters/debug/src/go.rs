//! Numbers, times and names as Go prints them.

use std::fmt::{self, Display};

use pdata::metrics::{Number, Temporality};

/// A float as `%f`: six decimals.
pub(crate) struct Fixed(pub(crate) f64);

/// A float as `%v`: shortest, with an exponent below 1e-4 and from 1e21.
pub(crate) struct Shortest(pub(crate) f64);

/// A Unix time in nanoseconds as Go's `time.Time` in UTC.
pub(crate) struct Time(pub(crate) u64);

/// Bytes as lower-case hexadecimal digits; nothing for an id of zeros only.
pub(crate) struct Id<'a>(pub(crate) &'a [u8]);

impl Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match not_finite(self.0) {
            Some(word) => f.write_str(word),
            None => write!(f, "{:.6}", self.0),
        }
    }
}

impl Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if let Some(word) = not_finite(value) {
            return f.write_str(word);
        }
        if value == 0.0 || (1e-4..1e21).contains(&value.abs()) {
            return write!(f, "{value}");
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        write!(f, "{mantissa}e{sign}{digits:0>2}")
    }
}

fn not_finite(value: f64) -> Option<&'static str> {
    match value {
        value if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As Go does, times beyond the year 2262 wrap around.
        let nanoseconds = self.0 as i64;
        let (seconds, fraction) =
            (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
        let (days, second) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")?;
        if fraction > 0 {
            let digits = format!("{fraction:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str(" +0000 UTC")
    }
}

/// The date of a day since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that the leap
/// day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `%d` or `%f`; nothing if no value is set.
pub(crate) fn number(value: Option<Number>) -> Option<String> {
    value.map(|value| match value {
        Number::Int(value) => value.to_string(),
        Number::Double(value) => Fixed(value).to_string(),
    })
}

pub(crate) fn temporality(temporality: Temporality) -> &'static str {
    match temporality {
        Temporality::Unspecified => "Unspecified",
        Temporality::Delta => "Delta",
        Temporality::Cumulative => "Cumulative",
    }
}

pub(crate) fn span_kind(kind: i32) -> &'static str {
    match kind {
        0 => "Unspecified",
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "",
    }
}

pub(crate) fn status_code(code: i32) -> &'static str {
    match code {
        0 => "Unset",
        1 => "Ok",
        2 => "Error",
        _ => "",
    }
}

pub(crate) fn severity(number: i32) -> &'static str {
    const NAMES: [&str; 25] = [
        "Unspecified",
        "Trace",
        "Trace2",
        "Trace3",
        "Trace4",
        "Debug",
        "Debug2",
        "Debug3",
        "Debug4",
        "Info",
        "Info2",
        "Info3",
        "Info4",
        "Warn",
        "Warn2",
        "Warn3",
        "Warn4",
        "Error",
        "Error2",
        "Error3",
        "Error4",
        "Fatal",
        "Fatal2",
        "Fatal3",
        "Fatal4",
    ];
    usize::try_from(number).ok().and_then(|number| NAMES.get(number).copied()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats() {
        let check = |value: f64, fixed: &str, shortest: &str| {
            assert_eq!(Fixed(value).to_string(), fixed);
            assert_eq!(Shortest(value).to_string(), shortest);
        };
        check(0.0, "0.000000", "0");
        check(5.0, "5.000000", "5");
        check(1.23, "1.230000", "1.23");
        check(-0.606_530_66, "-0.606531", "-0.60653066");
        check(0.0001, "0.000100", "0.0001");
        check(0.00001, "0.000010", "1e-05");
        check(1e20, "100000000000000000000.000000", "100000000000000000000");
        check(1.5e300, &format!("{:.6}", 1.5e300), "1.5e+300");
        check(f64::NAN, "NaN", "NaN");
        check(f64::INFINITY, "+Inf", "+Inf");
        check(f64::NEG_INFINITY, "-Inf", "-Inf");
    }

    #[test]
    fn times() {
        let check = |nanoseconds: u64, expected: &str| assert_eq!(Time(nanoseconds).to_string(), expected);
        check(0, "1970-01-01 00:00:00 +0000 UTC");
        check(1_581_452_772_000_000_321, "2020-02-11 20:26:12.000000321 +0000 UTC");
        check(951_782_400_500_000_000, "2000-02-29 00:00:00.5 +0000 UTC");
        check(4_102_444_799_999_999_999, "2099-12-31 23:59:59.999999999 +0000 UTC");
        check(u64::MAX, "1969-12-31 23:59:59.999999999 +0000 UTC");
    }
}
