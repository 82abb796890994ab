//! JSON text read forwards, without a tree: for texts of which a few members matter.

use std::borrow::Cow;

/// How many lists and objects may be open at once, as in Go's `encoding/json`.
pub const MAX_DEPTH: usize = 10_000;

/// A place in a JSON text.
///
/// Reading returns `None` when the text is not JSON or not of the expected type. What is JSON is decided as Go's
/// `encoding/json` does: half a surrogate pair in a string is no error.
///
/// ```
/// use helper::json::Reader;
///
/// fn version(text: &str) -> Option<String> {
///     let mut version = None;
///     let mut reader = Reader::new(text);
///     reader.members(|reader, key| {
///         if key != "version" {
///             return reader.skip();
///         }
///         version = Some(reader.string()?.into_owned());
///         Some(())
///     })?;
///     reader.end()?;
///     version
/// }
///
/// assert_eq!(version(r#"{"name": {"version": 1}, "version": "2"}"#).as_deref(), Some("2"));
/// assert_eq!(version(r#"{"version": "2"} and more"#), None);
/// ```
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// The beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The first byte of what comes next; white space is passed over.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads an object: `each` is called behind every key and has to read its value.
    pub fn members(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Option<()>) -> Option<()> {
        self.token(b'{')?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        if self.peek()? != b'}' {
            loop {
                let key = self.string()?;
                self.token(b':')?;
                each(self, key)?;
                if self.peek()? != b',' {
                    break;
                }
                self.at += 1;
            }
        }
        self.depth -= 1;
        self.token(b'}')
    }

    /// Reads a string. Half a surrogate pair becomes U+FFFD.
    pub fn string(&mut self) -> Option<Cow<'a, str>> {
        let (raw, escaped) = self.raw_string()?;
        Some(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }

    /// Reads `null`.
    pub fn null(&mut self) -> Option<()> {
        self.peek()?;
        self.word("null")
    }

    /// Reads a value of any type.
    pub fn skip(&mut self) -> Option<()> {
        // Whether each open container is an object. Not recursive: nesting costs a byte.
        let mut open: Vec<bool> = Vec::new();
        loop {
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    let object = bracket == b'{';
                    self.at += 1;
                    if self.depth + open.len() >= MAX_DEPTH {
                        return None;
                    }
                    if self.peek()? == if object { b'}' } else { b']' } {
                        self.at += 1;
                    } else {
                        open.push(object);
                        self.skip_key(object)?;
                        continue;
                    }
                }
                b'"' => self.raw_string().map(|_| ())?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            }
            // Behind a value: the next one of the innermost container, or its end and that of others.
            loop {
                let Some(&object) = open.last() else { return Some(()) };
                let next = self.peek()?;
                self.at += 1;
                match (next, object) {
                    (b',', _) => {
                        self.skip_key(object)?;
                        break;
                    }
                    (b'}', true) | (b']', false) => open.truncate(open.len() - 1),
                    _ => return None,
                }
            }
        }
    }

    /// Nothing but white space is left.
    pub fn end(mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    fn skip_key(&mut self, object: bool) -> Option<()> {
        if object {
            self.raw_string()?;
            self.token(b':')?;
        }
        Some(())
    }

    fn token(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// What stands between the quotes of a string, and whether there are escapes in it.
    #[inline]
    fn raw_string(&mut self) -> Option<(&'a str, bool)> {
        self.token(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            let end = self.at + length;
            self.at = end + 1;
            match rest.get(length)? {
                b'"' => return Some((self.text.get(start..end)?, escaped)),
                b'\\' => self.escape()?,
                _ => return None,
            }
            escaped = true;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += match rest.first()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
            b'u' if rest.get(1..5)?.iter().all(u8::is_ascii_hexdigit) => 5,
            _ => return None,
        };
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        self.at += usize::from(self.here() == Some(b'-'));
        if self.here()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.here() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.here(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.here(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Some(())
    }

    fn here(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.here().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// The text of a string whose escapes are known to be well formed.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escape.chars();
        let escaped = match chars.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (unescaped, behind) = unescape_unit(chars.as_str());
                chars = behind.chars();
                unescaped
            }
            Some(itself) => itself,
            None => break,
        };
        out.push(escaped);
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

/// The character of the UTF-16 unit at the beginning of `text`, and of the one that completes it; what follows.
fn unescape_unit(text: &str) -> (char, &str) {
    let unit = |text: &str| text.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let first = unit(text);
    let behind = text.get(4..).unwrap_or_default();
    let second = behind.strip_prefix("\\u").and_then(unit);
    let decode = |units: [Option<u16>; 2]| char::decode_utf16(units.into_iter().flatten()).next();
    match decode([first, second]) {
        Some(Ok(c)) if c.len_utf16() == 2 => (c, behind.get(6..).unwrap_or_default()),
        Some(Ok(c)) => (c, behind),
        _ => (char::REPLACEMENT_CHARACTER, behind),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn is_json(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader.skip().is_some() && reader.end().is_some()
    }

    #[test]
    fn what_is_json() {
        let check = |text: &str, expected: bool| {
            assert_eq!(is_json(text), expected, "{text:?}");
            assert_eq!(serde_json::from_str::<IgnoredAny>(text).is_ok(), expected, "{text:?}");
        };
        for text in ["{}", " [ ] ", "0", "-0.5e+3", "1E9", "\"\"", "null", "[1,{\"a\":[{}]},\"\\u00e9\\/\"]"]
        {
            check(text, true);
        }
        for text in ["\"\\ud800\"", "1e999", "{\"a\":1,\"a\":2}\n"] {
            check(text, true);
        }
        for text in ["", " ", "{", "[1,]", "{,}", "{\"a\"}", "{\"a\":}", "01", "1.", "-", "1e", "+1", "nul"] {
            check(text, false);
        }
        for text in
            ["[}", "{]", "\"\\x\"", "\"\\u12g4\"", "\"\n\"", "\"a", "{} {}", "[1 2]", "{1:2}", "\u{a0}1"]
        {
            check(text, false);
        }
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_json(&nested(MAX_DEPTH)));
        assert!(!is_json(&nested(MAX_DEPTH + 1)));
        let mut reader = Reader::new("{\"a\":[]}");
        reader.depth = MAX_DEPTH - 1;
        assert_eq!(reader.members(|reader, _| reader.skip()), None);
    }

    #[test]
    fn strings_are_decoded() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Reader::new(text).string().as_deref(), expected, "{text}");
        };
        check(r#""plain é""#, Some("plain é"));
        check(r#" "a\"\\\/\b\f\n\r\tz" "#, Some("a\"\\/\u{8}\u{c}\n\r\tz"));
        check(r#""\u0041\u00e9\uD83D\uDE80!""#, Some("Aé🚀!"));
        check(r#""\ud83d""#, Some("\u{fffd}"));
        check(r#""\ud83d\u0041""#, Some("\u{fffd}A"));
        check(r#""\ude80\ud83d\ude80""#, Some("\u{fffd}🚀"));
        check(r#""\ud83dx""#, Some("\u{fffd}x"));
        check("1", None);
        check("\"a", None);
    }

    #[test]
    fn members_are_read_in_order() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let mut keys = Vec::new();
            let mut reader = Reader::new(text);
            let read = reader.members(|reader, key| {
                keys.push(key);
                reader.skip()
            });
            let read = read.and_then(|()| reader.end());
            assert_eq!(
                read.map(|()| keys),
                expected.map(|keys| keys.iter().map(|&key| key.into()).collect())
            );
        };
        check("{}", Some(&[]));
        check(r#"{"a":1,"b\n":{"c":2} , "a":[]} "#, Some(&["a", "b\n", "a"]));
        check(r#"{"a":1,}"#, None);
        check("[]", None);
        check("null", None);
    }

    proptest! {
        #[test]
        fn any_text_is_judged_as_by_the_json_parser(text in "[\\[\\]{}\",:0-9a-u\\\\ .eE+-]{0,16}") {
            prop_assert_eq!(is_json(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok());
        }

        #[test]
        fn any_string_reads_back(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let read = Reader::new(&json).string();
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
        }
    }
}
