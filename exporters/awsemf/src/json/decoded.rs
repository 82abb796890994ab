//! Fields whose text is JSON: the text is decoded and written again in the event's own notation.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde_json::Value;

use super::{push_escaped, write_float, write_string};

/// How deep text may nest and still be copied as it is.
const MAX_DEPTH: usize = 64;
/// Longer texts are not remembered, in bytes.
const MAX_TEXT: usize = 16 << 10;
/// With more bytes of remembered texts the memory starts anew.
const MAX_BYTES: usize = 2 << 20;

/// Remembers texts and what became of them: an entity has the same text time after time.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    known: HashTable<Known>,
    hasher: RandomState,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    hash: u64,
    /// Where the written text begins in `text`, behind the one it was made of.
    split: usize,
    text: Box<str>,
    /// How many bytes are there for being escaped.
    added: usize,
    escaped: bool,
}

impl Decoded {
    /// Appends the JSON that `text` holds, else `text` as a JSON string; escaped once more if so wanted. Returns how many
    /// bytes of it are not in the plain text.
    pub(crate) fn write<const ESCAPED: bool>(&mut self, out: &mut String, text: &str) -> usize {
        if text.len() > MAX_TEXT {
            return write_field::<ESCAPED>(out, text);
        }
        let hash = self.hasher.hash_one(text.as_bytes());
        let known = self.known.find(hash, |known| {
            known.hash == hash && known.escaped == ESCAPED && known.text.get(..known.split) == Some(text)
        });
        if let Some(known) = known {
            out.push_str(known.text.get(known.split..).unwrap_or_default());
            return known.added;
        }
        let start = out.len();
        let added = write_field::<ESCAPED>(out, text);
        if self.bytes > MAX_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
        let split = text.len();
        let text = [text, out.get(start..).unwrap_or_default()].concat().into_boxed_str();
        self.bytes += text.len() + size_of::<Known>();
        let known = Known { hash, split, text, added, escaped: ESCAPED };
        self.known.insert_unique(hash, known, |known| known.hash);
        added
    }
}

fn write_field<const ESCAPED: bool>(out: &mut String, text: &str) -> usize {
    let write = |out: &mut String| {
        if !write_decoded(out, text) {
            write_string(out, text);
        }
    };
    if !ESCAPED {
        write(out);
        return 0;
    }
    let mut plain = String::new();
    write(&mut plain);
    push_escaped(out, &plain)
}

/// Appends the JSON that `text` holds: keys sorted, numbers as 64-bit floats. `false`, with nothing appended, when the
/// text is not JSON.
pub(super) fn write_decoded(out: &mut String, text: &str) -> bool {
    // What a JSON encoder with sorted keys wrote, as almost always, would come out as it went in.
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    if scanner.value(0).is_some() && scanner.at == text.len() {
        out.push_str(text);
        return true;
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            write_value(out, &value);
            true
        }
        Err(_) => false,
    }
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_float(out, number.as_f64().filter(|n| n.is_finite()).unwrap_or(0.0)),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // The map's own order depends on a feature that any crate in the build may switch on.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, value);
            }
            out.push('}');
        }
    }
}

/// Recognises text that is already in the event's notation. `None` means "not certainly", which is no error.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        let mut last: Option<&[u8]> = None;
        loop {
            let key = self.string()?;
            // Escapes would have to be decoded to be put in order.
            if key.contains(&b'\\') || last.is_some_and(|last| last >= key) {
                return None;
            }
            last = Some(key);
            if self.next()? != b':' {
                return None;
            }
            self.value(depth + 1)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.value(depth + 1)?;
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A string; what stands between its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.next()? != b'"' {
            return None;
        }
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => return self.bytes.get(start..self.at - 1),
                b'\\' => self.escape()?,
                0..=0x1f | b'<' | b'>' | b'&' => return None,
                0xe2 if matches!(self.bytes.get(self.at..self.at + 2), Some([0x80, 0xa8 | 0xa9])) => {
                    return None;
                }
                _ => {}
            }
        }
    }

    /// An escape that the event would have as well.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let code = self.bytes.get(self.at..self.at + 4)?;
                self.at += 4;
                let kept = match code {
                    b"003c" | b"003e" | b"0026" | b"2028" | b"2029" => true,
                    b"0008" | b"0009" | b"000a" | b"000c" | b"000d" => false,
                    [b'0', b'0', b'0' | b'1', b'0'..=b'9' | b'a'..=b'f'] => true,
                    _ => false,
                };
                kept.then_some(())
            }
            _ => None,
        }
    }

    /// An integer that a 64-bit float holds exactly.
    fn number(&mut self) -> Option<()> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = self.bytes.get(start..self.at)?;
        let leads_with_zero = digits.first() == Some(&b'0') && (digits.len() > 1 || negative);
        let continues = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        (!leads_with_zero && !continues && (1..=15).contains(&digits.len())).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_text_is_written_in_the_notation_of_the_event() {
        let check = |text: &str, expected: Option<&str>| {
            let mut out = String::new();
            let written = write_decoded(&mut out, text);
            assert_eq!(written.then_some(out.as_str()), expected, "{text:?}");
        };
        check(r#"["a","b"]"#, Some(r#"["a","b"]"#));
        check(r#"{"k":{"n":[1,2.5,null,true]}}"#, Some(r#"{"k":{"n":[1,2.5,null,true]}}"#));
        check("42", Some("42"));
        check("-0", Some("-0"));
        check("01", None);
        check("null", Some("null"));
        check(r#""text""#, Some(r#""text""#));
        check("not json", None);
        check("", None);
        check("[1] x", None);
        check(" [ ] ", Some("[]"));
        check("1e400", None);
        check("9007199254740993", Some("9007199254740992"));
        check("12345678901234567890", Some("12345678901234567000"));
        check(r#"{"a":1,"a":2}"#, Some(r#"{"a":2}"#));
        check(r#"{"b":1,"a":2}"#, Some(r#"{"a":2,"b":1}"#));
        check(r#"{"h":"<&>","u":"\u00e9\ud83d\ude80"}"#, Some(r#"{"h":"\u003c\u0026\u003e","u":"é🚀"}"#));
        check(r#"{"h":"\u003c\u0026\u0001\t"}"#, Some(r#"{"h":"\u003c\u0026\u0001\t"}"#));
        check(r#"["\u0009\/"]"#, Some(r#"["\t/"]"#));
        check("[1.50,1E2]", Some("[1.5,100]"));
        check(&"[".repeat(200_000), None);
    }

    #[test]
    fn the_short_cut_and_the_long_way_agree() {
        for text in
            [r#"{"a":[1,-5,"x\"y",{"b":null}],"b":{"c":true}}"#, "[]", "{}", "999999999999999", r#""\u001f""#]
        {
            let mut long = String::new();
            write_value(&mut long, &serde_json::from_str(text).unwrap());
            let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
            assert!(scanner.value(0).is_some(), "{text}");
            assert_eq!(long, text);
        }
    }
}
