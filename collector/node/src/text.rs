//! The few shapes kernel text comes in: one number, `key value` lines, blank-separated columns.
//!
//! The kernel ends every line with a newline. A last line without one is a line cut short, whose last number may have
//! lost digits, so line-based parsers leave it out: a value is absent rather than wrong.

use crate::error::ParseError;

/// Bytes of an unexpected value repeated in an error.
const EXCERPT: usize = 32;

/// The newline-terminated lines of `bytes`, without their newlines.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

/// The blank-separated words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// An unsigned decimal number: digits only, no sign, no blanks; none when it exceeds 64 bits.
pub(crate) fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The one number a cgroup attribute file holds, with or without its newline.
pub(crate) fn single_number(what: &'static str, bytes: &[u8]) -> Result<u64, ParseError> {
    let word = bytes.trim_ascii();
    number(word).ok_or_else(|| not_a_number(what, word))
}

/// The error for `word` standing where `what` should.
pub(crate) fn not_a_number(what: &'static str, word: &[u8]) -> ParseError {
    if word.is_empty() {
        return ParseError::Missing { what };
    }
    let excerpt = word.get(..EXCERPT).unwrap_or(word);
    ParseError::NotANumber { what, found: String::from_utf8_lossy(excerpt).into_owned() }
}

/// The `key number` lines of a flat-keyed file; lines of any other shape are left out.
pub(crate) fn flat_keyed(bytes: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    lines(bytes).filter_map(|line| {
        let mut words = words(line);
        let (key, value) = (words.next()?, number(words.next()?)?);
        words.next().is_none().then_some((key, value))
    })
}

/// The parts of `bytes` before and after the first `separator`.
pub(crate) fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        fn check(input: &str, expected: Option<u64>) {
            assert_eq!(number(input.as_bytes()), expected, "{input:?}");
        }
        check("0", Some(0));
        check("00042", Some(42));
        check("18446744073709551615", Some(u64::MAX));
        check("18446744073709551616", None);
        check("99999999999999999999999", None);
        check("", None);
        check("-1", None);
        check("+1", None);
        check("1 ", None);
        check("max", None);
        check("0x10", None);
        check("1.5", None);
    }

    #[test]
    fn single_numbers() {
        fn check(input: &str, expected: Result<u64, &str>) {
            let actual = single_number("cpuacct.usage", input.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(actual, expected.map_err(str::to_owned), "{input:?}");
        }
        check("409287651664\n", Ok(409_287_651_664));
        check("7", Ok(7));
        check("", Err("cpuacct.usage is missing"));
        check("\n", Err("cpuacct.usage is missing"));
        check("max\n", Err("cpuacct.usage is not a number: \"max\""));
        check("1 2\n", Err("cpuacct.usage is not a number: \"1 2\""));
        check(&"9".repeat(500), Err(&format!("cpuacct.usage is not a number: {:?}", "9".repeat(EXCERPT))));
    }

    #[test]
    fn flat_keys() {
        fn check(input: &str, expected: &[(&str, u64)]) {
            let actual: Vec<_> = flat_keyed(input.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
            assert_eq!(actual, expected, "{input:?}");
        }
        check("cache 1\nrss 2\n", &[("cache", 1), ("rss", 2)]);
        // The last line lost its newline, so perhaps digits as well.
        check("cache 1\nrss 2", &[("cache", 1)]);
        check("cache\nrss x\nswap 1 2\n\nfile 3\n", &[("file", 3)]);
        check("", &[]);
    }
}
