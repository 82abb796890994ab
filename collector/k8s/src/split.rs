//! Cutting what the API server sends into objects as it arrives, so that no more than one object is held as text.
//!
//! JSON is UTF-8. What is not is replaced, so that one broken annotation does not cost an object, or a watch.

use crate::Error;
use memchr::memchr2;

/// The longest object that is taken. The API server stores none above 1.5 MiB (etcd's `--max-request-bytes`), which
/// may grow when it is written as JSON.
pub(crate) const LONGEST_OBJECT: usize = 8 * 1024 * 1024;

/// A buffer that grew beyond this for one object is given back after it.
const LONGEST_KEPT: usize = 256 * 1024;

/// How much of an answer that is not understood is shown.
const SHOWN: usize = 40;

/// Cuts one JSON object with a list `items` into its fields and items.
#[derive(Debug, Default)]
pub(crate) struct ListSplitter {
    state: State,
    /// The value, or the key, that is being read.
    buffer: Vec<u8>,
    key: String,
    /// Open brackets within the value.
    depth: usize,
    in_string: bool,
    escaped: bool,
    in_items: bool,
    /// Bytes so far.
    offset: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    /// After `{` or `,`: a key or the end.
    Key,
    InKey,
    Colon,
    /// Before a value, or in `items` before an item.
    Value,
    InValue,
    /// After a value: a comma or the end.
    AfterValue,
    End,
}

/// A piece of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A field of the list other than its items.
    Field(&'a str, &'a [u8]),
    /// An item.
    Item(&'a [u8]),
}

/// Cuts a watch's answer into lines, each an event.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    buffer: Vec<u8>,
}

impl ListSplitter {
    /// Takes what arrived; gives each piece that is complete to `take`.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(Piece<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.state == State::InValue || self.state == State::InKey {
                bytes = self.value(bytes, &mut take)?;
                continue;
            }
            if !byte.is_ascii_whitespace() && !self.between(byte, bytes)? {
                // The byte begins a value and is read as part of it.
                continue;
            }
            self.offset += 1;
            bytes = rest;
        }
        Ok(())
    }

    /// Whether the list is complete.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.state == State::End { Ok(()) } else { Err(Error::CutOff { offset: self.offset }) }
    }

    /// A byte outside values. Whether it is used up.
    fn between(&mut self, byte: u8, shown: &[u8]) -> Result<bool, Error> {
        self.state = match (self.state, byte) {
            (State::Start, b'{') => State::Key,
            (State::Key, b'}') => State::End,
            (State::Key, b'"') => {
                self.state = State::InKey;
                return Ok(false);
            }
            (State::Colon, b':') => State::Value,
            (State::Value, b'[') if self.key == "items" && !self.in_items => {
                self.in_items = true;
                State::Value
            }
            (State::Value | State::AfterValue, b']') if self.in_items => {
                self.in_items = false;
                // It must be the end of the list for the next bracket not to be taken for another one's.
                self.key.clear();
                State::AfterValue
            }
            (State::Value, _) if byte != b',' => {
                self.state = State::InValue;
                return Ok(false);
            }
            (State::AfterValue, b',') if self.in_items => State::Value,
            (State::AfterValue, b',') => State::Key,
            (State::AfterValue, b'}') if !self.in_items => State::End,
            _ => return Err(unexpected(self.offset, shown)),
        };
        Ok(true)
    }

    /// Reads on in a value or key; gives it away if it ends. Returns the bytes after it.
    fn value<'b>(
        &mut self,
        bytes: &'b [u8],
        take: &mut impl FnMut(Piece<'_>) -> Result<(), Error>,
    ) -> Result<&'b [u8], Error> {
        let (length, ended) = self.scan(bytes);
        let (part, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        self.offset += part.len();
        if self.buffer.len() + part.len() > LONGEST_OBJECT {
            return Err(Error::TooLong { limit: LONGEST_OBJECT });
        }
        if !ended {
            self.buffer.extend_from_slice(part);
            return Ok(rest);
        }
        // A value that came in one piece is not copied.
        let whole: &[u8] = if self.buffer.is_empty() {
            part
        } else {
            self.buffer.extend_from_slice(part);
            &self.buffer
        };
        let text = String::from_utf8_lossy(whole);
        let whole = text.as_bytes();
        if self.state == State::InKey {
            self.key = serde_json::from_slice(whole).map_err(Error::Malformed)?;
            self.state = State::Colon;
        } else {
            self.state = State::AfterValue;
            take(if self.in_items { Piece::Item(whole) } else { Piece::Field(&self.key, whole) })?;
        }
        clear(&mut self.buffer);
        Ok(rest)
    }

    /// How many of the bytes belong to the value, and whether it ends with them.
    fn scan(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut rest = bytes.iter();
        while let Some(&byte) = rest.next() {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                    continue;
                }
                // Most of a list is text, and all that matters in it is where it ends.
                let end = match byte {
                    b'"' | b'\\' => byte,
                    _ => {
                        let text = rest.as_slice();
                        let Some(end) = memchr2(b'"', b'\\', text) else { return (bytes.len(), false) };
                        // One of the two is there.
                        rest.nth(end).copied().unwrap_or(b'"')
                    }
                };
                if end == b'\\' {
                    self.escaped = true;
                    continue;
                }
                self.in_string = false;
                if self.depth == 0 {
                    return (bytes.len() - rest.len(), true);
                }
                continue;
            }
            let at = bytes.len() - rest.len() - 1;
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // The end of what surrounds a number or a word.
                b'}' | b']' | b',' if self.depth == 0 => return (at, true),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ => {}
            }
        }
        (bytes.len(), false)
    }
}

impl LineSplitter {
    /// Takes what arrived; gives each line that is complete to `take`.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at_checked(end + 1).unwrap_or((bytes, &[]));
            if self.buffer.is_empty() {
                take(String::from_utf8_lossy(line).as_bytes())?;
            } else {
                self.extend(line)?;
                take(String::from_utf8_lossy(&self.buffer).as_bytes())?;
                clear(&mut self.buffer);
            }
            bytes = rest;
        }
        self.extend(bytes)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.buffer.len() + bytes.len() > LONGEST_OBJECT {
            return Err(Error::TooLong { limit: LONGEST_OBJECT });
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
}

fn clear(buffer: &mut Vec<u8>) {
    if buffer.capacity() > LONGEST_KEPT {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}

/// An answer that is not JSON of the API server's.
pub(crate) fn unexpected(offset: usize, shown: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(shown.get(..SHOWN).unwrap_or(shown)).into_owned();
    Error::NotJson { offset, shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, chunk: usize) -> Result<(Vec<String>, Vec<String>), Error> {
        let (mut fields, mut items) = (Vec::new(), Vec::new());
        let mut splitter = ListSplitter::default();
        for chunk in text.as_bytes().chunks(chunk) {
            splitter.feed(chunk, |piece| {
                match piece {
                    Piece::Field(key, value) => {
                        fields.push(format!("{key}={}", String::from_utf8_lossy(value)))
                    }
                    Piece::Item(item) => items.push(String::from_utf8_lossy(item).into_owned()),
                }
                Ok(())
            })?;
        }
        splitter.finish()?;
        Ok((fields, items))
    }

    #[test]
    fn lists() {
        fn check(text: &str, fields: &[&str], items: &[&str]) {
            for chunk in [1, 2, 3, 7, 1000] {
                let (found_fields, found_items) = split(text, chunk).unwrap();
                assert_eq!(
                    (found_fields, found_items),
                    (
                        fields.iter().map(|&s| s.to_owned()).collect(),
                        items.iter().map(|&s| s.to_owned()).collect(),
                    ),
                    "{text} by {chunk}"
                );
            }
        }
        check("{}", &[], &[]);
        check(" { \"items\" : [ ] } \n", &[], &[]);
        check(r#"{"items":null}"#, &["items=null"], &[]);
        check(
            r#"{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"a]}\"b"},"items":[{"a":"}]"},{"b":[1,{}]}],"n":12}"#,
            &[r#"kind="PodList""#, r#"metadata={"resourceVersion":"7","continue":"a]}\"b"}"#, "n=12"],
            &[r#"{"a":"}]"}"#, r#"{"b":[1,{}]}"#],
        );
        check(
            r#"{"a":[1,2],"b":true,"items":[1,"x\\",null]}"#,
            &["a=[1,2]", "b=true"],
            &["1", r#""x\\""#, "null"],
        );
    }

    #[test]
    fn what_is_no_list_is_an_error_with_its_place() {
        fn check(text: &str, message: &str) {
            assert_eq!(split(text, 1000).unwrap_err().to_string(), message, "{text}");
        }
        check("<html><body>no</body></html>", "not JSON at byte 0: \"<html><body>no</body></html>\"");
        check("", "the answer ends after 0 bytes");
        check("{\"items\":[{}", "the answer ends after 12 bytes");
        check("{\"items\":[{}}", "not JSON at byte 12: \"}\"");
        check("{\"items\":[{}]]", "not JSON at byte 13: \"]\"");
        check("{\"a\" 1}", "not JSON at byte 5: \"1}\"");
        check("{\"items\":[]}{", "not JSON at byte 12: \"{\"");
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut items = Vec::new();
        let mut splitter = ListSplitter::default();
        let broken = b"{\"items\":[{\"a\":\"\xff\"},{\"b\":1}]}";
        splitter
            .feed(broken, |piece| {
                if let Piece::Item(item) = piece {
                    items.push(String::from_utf8(item.to_vec()).unwrap());
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(items, ["{\"a\":\"\u{fffd}\"}", "{\"b\":1}"]);
        for chunk in [1, 100] {
            let (mut lines, mut splitter) = (Vec::new(), LineSplitter::default());
            for chunk in b"{\"a\":\"\xc3\"}\n{\"b\":\"\xc3\xa9\"}\n".chunks(chunk) {
                splitter
                    .feed(chunk, |line| {
                        lines.push(String::from_utf8(line.to_vec()).unwrap());
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(lines, ["{\"a\":\"\u{fffd}\"}\n", "{\"b\":\"é\"}\n"]);
        }
    }

    #[test]
    fn an_object_without_end_is_refused() {
        let mut splitter = ListSplitter::default();
        let mut feed = |bytes: &[u8]| splitter.feed(bytes, |_| Ok(()));
        feed(b"{\"items\":[\"").unwrap();
        let megabyte = vec![b'a'; 1024 * 1024];
        let refused = (0..20).find_map(|_| feed(&megabyte).err()).unwrap();
        assert!(matches!(refused, Error::TooLong { .. }), "{refused}");

        let mut lines = LineSplitter::default();
        let refused = (0..20).find_map(|_| lines.feed(&megabyte, |_| Ok(())).err()).unwrap();
        assert!(matches!(refused, Error::TooLong { .. }), "{refused}");
    }

    #[test]
    fn lines() {
        for chunk in [1, 2, 5, 100] {
            let (mut lines, mut splitter) = (Vec::new(), LineSplitter::default());
            for chunk in b"{\"a\":1}\n{}\n\n{\"cut".chunks(chunk) {
                splitter
                    .feed(chunk, |line| {
                        lines.push(String::from_utf8_lossy(line).into_owned());
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(lines, ["{\"a\":1}\n", "{}\n", "\n"], "by {chunk}");
        }
    }
}
