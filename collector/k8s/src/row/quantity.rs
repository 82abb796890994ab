//! Kubernetes quantities: `250m`, `64Mi`, `1e3`.

/// A quantity in thousandths, rounded up, as `Quantity.MilliValue` does. `None` if it is none or negative.
pub(super) fn thousandths(text: &str) -> Option<u64> {
    parse(text, 3)
}

/// A quantity in units, rounded up, as `Quantity.Value` does. `None` if it is none or negative.
pub(super) fn units(text: &str) -> Option<u64> {
    parse(text, 0)
}

/// The quantity times ten to the power of `digits`, rounded up.
fn parse(text: &str, digits: i32) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut mantissa: u128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        mantissa = mantissa.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
    }
    let (power, factor) = scale(suffix)?;
    let mantissa = mantissa.checked_mul(factor)?;
    let power = power + digits - i32::try_from(fraction.len()).ok()?;
    let tens = 10u128.checked_pow(power.unsigned_abs())?;
    let value = if power >= 0 { mantissa.checked_mul(tens)? } else { mantissa.div_ceil(tens) };
    u64::try_from(value).ok()
}

/// What a suffix multiplies by: a power of ten and a factor.
fn scale(suffix: &str) -> Option<(i32, u128)> {
    Some(match suffix {
        "" => (0, 1),
        "n" => (-9, 1),
        "u" => (-6, 1),
        "m" => (-3, 1),
        "k" => (3, 1),
        "M" => (6, 1),
        "G" => (9, 1),
        "T" => (12, 1),
        "P" => (15, 1),
        "E" => (18, 1),
        "Ki" => (0, 1 << 10),
        "Mi" => (0, 1 << 20),
        "Gi" => (0, 1 << 30),
        "Ti" => (0, 1 << 40),
        "Pi" => (0, 1 << 50),
        "Ei" => (0, 1 << 60),
        exponent => {
            (exponent.strip_prefix(['e', 'E'])?.parse().ok().filter(|power| (-30..=30).contains(power))?, 1)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        fn check(text: &str, in_thousandths: Option<u64>, in_units: Option<u64>) {
            assert_eq!((thousandths(text), units(text)), (in_thousandths, in_units), "{text}");
        }
        check("250m", Some(250), Some(1));
        check("2", Some(2000), Some(2));
        check("0.1", Some(100), Some(1));
        check("1.5Gi", Some(1_610_612_736_000), Some(1_610_612_736));
        check("100M", Some(100_000_000_000), Some(100_000_000));
        check("1e3", Some(1_000_000), Some(1000));
        check("12E", None, Some(12_000_000_000_000_000_000));
        check("1500000n", Some(2), Some(1));
        check("1u", Some(1), Some(1));
        check(".5", Some(500), Some(1));
        check("0", Some(0), Some(0));
        for text in
            ["", ".", "-1", "m", "1.2.3", "1 Gi", "1x", "1e99", "99999999999999999999999999999999999999999"]
        {
            check(text, None, None);
        }
    }
}
