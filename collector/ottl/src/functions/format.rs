//! `Format`: Go's printf verbs.

use crate::value::{Shape, Val};

/// A verb with its flags: `%-05.2f`.
#[derive(Default)]
struct Verb {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// The widest field: a number in a text must not decide over memory.
const MAX_WIDTH: usize = 1000;

/// The text of a format with values in the place of its verbs.
pub(super) fn format(format: &str, values: &[Val<'_>]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| "-0+ #".contains(*c)) {
            verb.left |= flag == '-';
            verb.zero |= flag == '0';
            verb.plus |= flag == '+';
        }
        let mut digits = |width: &mut usize| {
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                let digit = digit.to_digit(10).unwrap_or_default() as usize;
                *width = (*width * 10 + digit).min(MAX_WIDTH);
            }
        };
        digits(&mut verb.width);
        if chars.next_if_eq(&'.').is_some() {
            let mut precision = 0;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                precision = (precision * 10 + digit.to_digit(10).unwrap_or_default() as usize).min(MAX_WIDTH);
            }
            verb.precision = Some(precision);
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(name) => match values.next() {
                Some(value) => verb.write(&mut out, name, value),
                None => {
                    out.push_str("%!");
                    out.push(name);
                    out.push_str("(MISSING)");
                }
            },
        }
    }
    let mut extra = values.peekable();
    if extra.peek().is_some() {
        let all: Vec<String> = extra.map(|value| format!("{}={}", go_type(value), go(value))).collect();
        out.push_str(&format!("%!(EXTRA {})", all.join(", ")));
    }
    out
}

impl Verb {
    fn write(&self, out: &mut String, name: char, value: &Val<'_>) {
        let (text, number) = match (name, value.shape()) {
            ('v', Shape::Int(_) | Shape::Double(_)) => (go(value), true),
            ('v', _) => (go(value), false),
            ('s', Shape::Text(text)) => (self.cut(text), false),
            ('q', Shape::Text(text)) => (format!("{text:?}"), false),
            ('x', Shape::Text(text)) => (crate::value::hex(text.as_bytes()), false),
            ('x', Shape::Bytes(bytes)) => (crate::value::hex(bytes), false),
            ('d', Shape::Int(value)) => (value.to_string(), true),
            ('x', Shape::Int(value)) => (signed(value, |value| format!("{value:x}")), true),
            ('X', Shape::Int(value)) => (signed(value, |value| format!("{value:X}")), true),
            ('o', Shape::Int(value)) => (signed(value, |value| format!("{value:o}")), true),
            ('b', Shape::Int(value)) => (signed(value, |value| format!("{value:b}")), true),
            ('f' | 'F', Shape::Double(value)) => (format!("{value:.*}", self.precision.unwrap_or(6)), true),
            ('e', Shape::Double(value)) => (exponent(value, self.precision.unwrap_or(6)), true),
            ('g', Shape::Double(_)) => (go(value), true),
            ('t', Shape::Bool(value)) => (value.to_string(), false),
            _ => (format!("%!{name}({}={})", go_type(value), go(value)), false),
        };
        let text = if self.plus && number && !text.starts_with('-') { format!("+{text}") } else { text };
        self.pad(out, &text, number);
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    fn pad(&self, out: &mut String, text: &str, number: bool) {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            out.push_str(text);
            out.push_str(&" ".repeat(missing));
        } else if self.zero && number {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            out.push_str(sign);
            out.push_str(&"0".repeat(missing));
            out.push_str(digits);
        } else {
            out.push_str(&" ".repeat(missing));
            out.push_str(text);
        }
    }
}

fn signed(value: i64, digits: impl Fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", digits(value.unsigned_abs()))
}

/// `1.500000e+06`: an exponent of a sign and two digits at least.
fn exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

fn go(value: &Val<'_>) -> String {
    let mut out = String::new();
    value.write_go(&mut out);
    out
}

fn go_type(value: &Val<'_>) -> &'static str {
    match value.shape() {
        Shape::Nil => "<nil>",
        Shape::Bool(_) => "bool",
        Shape::Int(_) => "int64",
        Shape::Double(_) => "float64",
        Shape::Text(_) => "string",
        Shape::Bytes(_) => "[]uint8",
        Shape::List => "[]interface {}",
        Shape::Map => "map[string]interface {}",
        Shape::Time(_) => "time.Time",
        Shape::Duration(_) => "time.Duration",
    }
}

#[cfg(test)]
mod tests {
    use pdata::Value;

    use super::*;

    #[test]
    fn verbs() {
        let check = |text: &str, values: &[Value], expected: &str| {
            let values: Vec<Val<'_>> = values.iter().map(Val::Ref).collect();
            assert_eq!(format(text, &values), expected, "{text}");
        };
        let text = |text: &str| Value::String(text.to_owned());
        check("plain 100%%", &[], "plain 100%");
        check("%s-%d", &[text("a"), Value::Int(7)], "a-7");
        check(
            "%05d|%-4d|%4d|%+d",
            &[Value::Int(-42), Value::Int(1), Value::Int(1), Value::Int(1)],
            "-0042|1   |   1|+1",
        );
        check("%.2f %f", &[Value::Double(1.005), Value::Double(2.0)], "1.00 2.000000");
        check(
            "%x %X %b %q",
            &[Value::Int(255), Value::Int(255), Value::Int(5), text("a\"")],
            "ff FF 101 \"a\\\"\"",
        );
        check("%v %v %v", &[Value::Empty, Value::Bool(true), Value::Double(1e6)], "<nil> true 1e+06");
        check("%e %t %.1s", &[Value::Double(1.5e6), Value::Bool(false), text("xyz")], "1.500000e+06 false x");
        check("%d", &[text("a")], "%!d(string=a)");
        check("%d %d", &[Value::Int(1)], "1 %!d(MISSING)");
        check("a", &[Value::Int(1)], "a%!(EXTRA int64=1)");
        check("%", &[], "%!(NOVERB)");
        check("%999999999999d", &[Value::Int(1)], &format!("{:>1000}", 1));
    }
}
