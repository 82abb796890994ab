//! What a plain YAML scalar means, by the rules of Go's yaml.v3: mostly YAML 1.2, with octals from 1.1.

use crate::node::NodeKind;

/// A tag of YAML's own vocabulary that changes how a scalar is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarTag {
    Str,
    Int,
    Float,
    Bool,
    Null,
}

/// The value of an untagged plain scalar.
pub(crate) fn resolve(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "true" | "True" | "TRUE" => return NodeKind::Bool(true),
        "false" | "False" | "FALSE" => return NodeKind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return NodeKind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return NodeKind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return NodeKind::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let number = match text.bytes().next() {
        // Underscores are not removed here: `._5` is text.
        Some(b'.') => float(text),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            let plain = text.replace('_', "");
            integer(&plain).map(NodeKind::Int).or_else(|| float(&plain))
        }
        _ => None,
    };
    number.unwrap_or_else(|| NodeKind::String(text.to_owned()))
}

/// The value of a scalar under an explicit tag, or the name of what it is instead.
pub(crate) fn resolve_tagged(text: &str, tag: ScalarTag) -> Result<NodeKind, &'static str> {
    let found = match tag {
        ScalarTag::Str => return Ok(NodeKind::String(text.to_owned())),
        _ => resolve(text),
    };
    match (tag, found) {
        (ScalarTag::Int, kind @ NodeKind::Int(_))
        | (ScalarTag::Float, kind @ NodeKind::Float(_))
        | (ScalarTag::Bool, kind @ NodeKind::Bool(_))
        | (ScalarTag::Null, kind @ NodeKind::Null) => Ok(kind),
        #[expect(clippy::cast_precision_loss, reason = "the tag asks for a float")]
        (ScalarTag::Float, NodeKind::Int(value)) => Ok(NodeKind::Float(value as f64)),
        (_, NodeKind::Null) => Err("!!null"),
        (_, NodeKind::Bool(_)) => Err("!!bool"),
        (_, NodeKind::Int(_)) => Err("!!int"),
        (_, NodeKind::Float(_)) => Err("!!float"),
        _ => Err("!!str"),
    }
}

/// An integer with an optional sign and prefix: `0x`, `0b`, `0o`, or `0` alone for octal.
fn integer(plain: &str) -> Option<i128> {
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(plain)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// A finite decimal number; one that is too large for a float is text.
fn float(plain: &str) -> Option<NodeKind> {
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) || !exponent_fits {
        return None;
    }
    plain.parse().ok().filter(|value: &f64| value.is_finite()).map(NodeKind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> NodeKind {
        NodeKind::String(text.to_owned())
    }

    #[test]
    fn plain_scalars() {
        for (input, expected) in [
            ("", NodeKind::Null),
            ("~", NodeKind::Null),
            ("null", NodeKind::Null),
            ("Null", NodeKind::Null),
            ("nULL", text("nULL")),
            ("true", NodeKind::Bool(true)),
            ("False", NodeKind::Bool(false)),
            ("tRue", text("tRue")),
            ("yes", text("yes")),
            ("on", text("on")),
            ("t", text("t")),
            ("1", NodeKind::Int(1)),
            ("+1", NodeKind::Int(1)),
            ("-1", NodeKind::Int(-1)),
            ("010", NodeKind::Int(8)),
            ("0123", NodeKind::Int(83)),
            ("-010", NodeKind::Int(-8)),
            ("0o10", NodeKind::Int(8)),
            ("0x10", NodeKind::Int(16)),
            ("0XfF", NodeKind::Int(255)),
            ("0b101", NodeKind::Int(5)),
            ("08", NodeKind::Float(8.0)),
            ("1_000", NodeKind::Int(1000)),
            ("0x_10", NodeKind::Int(16)),
            ("0x", text("0x")),
            ("-", text("-")),
            ("--1", text("--1")),
            ("0x-1", text("0x-1")),
            ("18446744073709551615", NodeKind::Int(u64::MAX.into())),
            ("18446744073709551616", NodeKind::Float(18_446_744_073_709_551_616.0)),
            ("-9223372036854775808", NodeKind::Int(i64::MIN.into())),
            ("-9223372036854775809", NodeKind::Float(-9_223_372_036_854_775_808.0)),
            ("1.5", NodeKind::Float(1.5)),
            ("1.", NodeKind::Float(1.0)),
            (".5", NodeKind::Float(0.5)),
            (".", text(".")),
            ("1e9", NodeKind::Float(1e9)),
            ("1e", text("1e")),
            ("1e400", text("1e400")),
            ("1.5.1", text("1.5.1")),
            (".inf", NodeKind::Float(f64::INFINITY)),
            ("-.INF", NodeKind::Float(f64::NEG_INFINITY)),
            ("inf", text("inf")),
            ("2024-01-02", text("2024-01-02")),
            ("12:30", text("12:30")),
            ("5s", text("5s")),
        ] {
            assert_eq!(resolve(input), expected, "{input}");
        }
    }

    #[test]
    fn tagged_scalars() {
        assert_eq!(resolve_tagged("010", ScalarTag::Str), Ok(text("010")));
        assert_eq!(resolve_tagged("010", ScalarTag::Int), Ok(NodeKind::Int(8)));
        assert_eq!(resolve_tagged("1", ScalarTag::Float), Ok(NodeKind::Float(1.0)));
        assert_eq!(resolve_tagged("x", ScalarTag::Int), Err("!!str"));
        assert_eq!(resolve_tagged("1", ScalarTag::Bool), Err("!!int"));
    }
}
