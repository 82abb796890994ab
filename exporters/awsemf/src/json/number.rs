//! Numbers in Go's notations.

/// Significant digits of a float and where the point stands: the value is `0.d₁d₂… × 10^point`.
struct Decimal {
    negative: bool,
    /// ASCII digits without leading or trailing zeros; at most 17 are significant.
    digits: [u8; 24],
    len: usize,
    point: i32,
}

/// Appends an integer.
#[inline]
pub(crate) fn write_int(out: &mut String, value: i64) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends an unsigned integer.
#[inline]
pub(crate) fn write_uint(out: &mut String, value: u64) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends a finite float as Go's JSON encoder does: shortest digits that read back, plain from 1e-6 up to 1e21, else
/// with an exponent of as many digits as it needs (`1e+21`, `1.5e-7`); negative zero is `-0`.
#[inline]
pub(crate) fn write_float(out: &mut String, value: f64) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = value as i64;
    if whole as f64 == value && value.abs() <= EXACT && (whole != 0 || value.is_sign_positive()) {
        return write_int(out, whole);
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value);
    // Only the plain notation has a point and no exponent, and a fraction that is more than `.0`.
    if value.abs() >= 1e-3 && value.abs() < EXACT && !shortest.contains('e') && !shortest.ends_with(".0") {
        return out.push_str(shortest);
    }
    let decimal = Decimal::parse(shortest);
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        decimal.write_plain(out);
    } else {
        decimal.write_exponent(out, 1);
    }
}

/// The same for any float, as the text of a label.
pub(crate) fn write_float_text(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        write_float(out, value);
    }
}

/// Appends a finite float in Go's `%g` with the shortest precision: an exponent of two digits or more below 1e-4 and
/// from 1e6 on.
pub(crate) fn write_float_g(out: &mut String, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let decimal = Decimal::parse(buffer.format_finite(value));
    if value == 0.0 || (-4..6).contains(&(decimal.point - 1)) {
        decimal.write_plain(out);
    } else {
        decimal.write_exponent(out, 2);
    }
}

impl Decimal {
    /// Reads `-123.45`, `1.5e-7`, `1e21`.
    fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut decimal = Self { negative: false, digits: [b'0'; 24], len: 0, point: 0 };
        let (mut integer_digits, mut behind_point) = (0, false);
        for byte in mantissa.bytes() {
            match byte {
                b'-' => decimal.negative = true,
                b'.' => behind_point = true,
                digit => {
                    if decimal.len == 0 && digit == b'0' {
                        // A leading zero moves the point only behind it.
                        integer_digits -= i32::from(behind_point);
                        continue;
                    }
                    integer_digits += i32::from(!behind_point);
                    if let Some(place) = decimal.digits.get_mut(decimal.len) {
                        *place = digit;
                        decimal.len += 1;
                    }
                }
            }
        }
        while decimal.len > 0 && decimal.digit(decimal.len - 1) == b'0' {
            decimal.len -= 1;
        }
        decimal.point = integer_digits + exponent.parse::<i32>().unwrap_or(0);
        if decimal.len == 0 {
            decimal.point = 0;
        }
        decimal
    }

    fn digit(&self, index: usize) -> u8 {
        self.digits.get(index).copied().filter(|_| index < self.len).unwrap_or(b'0')
    }

    fn write_plain(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        if self.point <= 0 {
            out.push('0');
        }
        let whole = usize::try_from(self.point).unwrap_or(0);
        (0..whole).for_each(|index| out.push(char::from(self.digit(index))));
        if self.len > whole {
            out.push('.');
            (self.point..0).for_each(|_| out.push('0'));
            (whole..self.len).for_each(|index| out.push(char::from(self.digit(index))));
        }
    }

    fn write_exponent(&self, out: &mut String, least_digits: usize) {
        if self.negative {
            out.push('-');
        }
        out.push(char::from(self.digit(0)));
        if self.len > 1 {
            out.push('.');
            (1..self.len).for_each(|index| out.push(char::from(self.digit(index))));
        }
        let exponent = self.point - 1;
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        if exponent.unsigned_abs() < 10 && least_digits > 1 {
            out.push('0');
        }
        write_uint(out, u64::from(exponent.unsigned_abs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_the_json_encoder_writes_them() {
        let check = |value: f64, expected: &str| {
            let mut out = String::new();
            write_float(&mut out, value);
            assert_eq!(out, expected);
            assert_eq!(out.parse::<f64>().unwrap().to_bits(), value.to_bits());
        };
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(-17.0, "-17");
        check(0.1, "0.1");
        check(33.3, "33.3");
        check(123_456_789.125, "123456789.125");
        check(9_007_199_254_740_993_i64 as f64, "9007199254740992");
        check(i64::MAX as f64, "9223372036854776000");
        check(i64::MIN as f64, "-9223372036854776000");
        check(1e20, "100000000000000000000");
        check(1.5e20, "150000000000000000000");
        check(1e21, "1e+21");
        check(-1.25e22, "-1.25e+22");
        check(1e-3, "0.001");
        check(1.25e-5, "0.0000125");
        check(1e-6, "0.000001");
        check(9.5e-7, "9.5e-7");
        check(1.5e-7, "1.5e-7");
        check(1e-9, "1e-9");
        check(5e-324, "5e-324");
        check(f64::MAX, "1.7976931348623157e+308");
    }

    #[test]
    fn floats_as_labels() {
        let check = |value: f64, expected: &str| {
            let mut out = String::new();
            write_float_text(&mut out, value);
            assert_eq!(out, expected);
        };
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "Infinity");
        check(f64::NEG_INFINITY, "-Infinity");
        check(3.0, "3");
        check(1e21, "1e+21");
    }

    #[test]
    fn floats_as_quantiles() {
        let check = |value: f64, expected: &str| {
            let mut out = String::new();
            write_float_g(&mut out, value);
            assert_eq!(out, expected);
        };
        check(0.0, "0");
        check(0.99, "0.99");
        check(0.5, "0.5");
        check(1.0, "1");
        check(0.0001, "0.0001");
        check(0.00001, "1e-05");
        check(123_456.0, "123456");
        check(1e6, "1e+06");
        check(1_234_567.0, "1.234567e+06");
        check(1e100, "1e+100");
    }
}
