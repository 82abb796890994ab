//! The text format in which Prometheus endpoints expose metrics, read line by line as it arrives.
//!
//! Version 0.0.4 of the format; what OpenMetrics adds to it (`# EOF`, `# UNIT`, exemplars, times in seconds) is passed over.
//! Memory is bounded by the longest line that is taken, whatever the size of the text.
//!
//! ```
//! use helper::exposition::{Line, Reader};
//!
//! let mut reader = Reader::default();
//! let mut seen = Vec::new();
//! let mut take = |line: Line<'_>| {
//!     if let Line::Sample(sample) = line {
//!         seen.push((sample.name.to_owned(), sample.value));
//!     }
//! };
//! reader.feed(b"# TYPE up gauge\nup{job=\"a\"} 1\nother 2\n", |name| name == b"up", &mut take);
//! reader.finish(|name| name == b"up", &mut take);
//! assert_eq!(seen, [("up".to_owned(), 1.0)]);
//! ```

use std::borrow::Cow;

/// No line of an endpoint in its right mind is longer; those that are, are left out.
const LONGEST_LINE: usize = 64 * 1024;

/// Puts lines together and understands those that are wanted.
#[derive(Debug, Default)]
pub struct Reader {
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    /// The line that is coming is too long: it is passed over.
    skipping: bool,
    malformed: u64,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// What a family of metrics is about.
    Help {
        /// The family.
        name: &'a str,
        /// The text, unescaped.
        text: Cow<'a, str>,
    },
    /// What a family of metrics is.
    Type {
        /// The family.
        name: &'a str,
        /// Its type.
        kind: Kind,
    },
    /// A value.
    Sample(Sample<'a>),
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
    /// Quantiles, sum and count.
    Summary,
    /// Not said, or another.
    Untyped,
}

/// A value and what it is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// The name, that of a histogram's bucket with its end.
    pub name: &'a str,
    /// The labels.
    pub labels: Labels<'a>,
    /// The value.
    pub value: f64,
}

/// The labels of a sample, checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Labels<'a>(&'a str);

impl Reader {
    /// Takes the next part of the text. `take` gets the lines about metrics whose name `wanted` likes; others cost no more
    /// than the search for their end.
    pub fn feed(&mut self, mut chunk: &[u8], wanted: impl Fn(&[u8]) -> bool, mut take: impl FnMut(Line<'_>)) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (line, after) = chunk.split_at(end);
            chunk = after.get(1..).unwrap_or_default();
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.rest.is_empty() {
                self.line(line, &wanted, &mut take);
                continue;
            }
            let mut whole = std::mem::take(&mut self.rest);
            if whole.len() + line.len() <= LONGEST_LINE {
                whole.extend_from_slice(line);
                self.line(&whole, &wanted, &mut take);
            } else {
                self.malformed += 1;
            }
            whole.clear();
            self.rest = whole;
        }
        if self.skipping {
            return;
        }
        if self.rest.len() + chunk.len() > LONGEST_LINE {
            self.rest.clear();
            self.skipping = true;
            self.malformed += 1;
        } else {
            self.rest.extend_from_slice(chunk);
        }
    }

    /// Ends the text. A last line without an end counts.
    pub fn finish(&mut self, wanted: impl Fn(&[u8]) -> bool, mut take: impl FnMut(Line<'_>)) {
        let rest = std::mem::take(&mut self.rest);
        if !std::mem::take(&mut self.skipping) {
            self.line(&rest, &wanted, &mut take);
        }
    }

    /// How many lines that were wanted could not be understood, or were too long.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    fn line(&mut self, line: &[u8], wanted: &impl Fn(&[u8]) -> bool, take: &mut impl FnMut(Line<'_>)) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let is_comment = line.starts_with(b"#");
        let name = if is_comment { subject(line) } else { Some(name(line)) };
        if !name.is_some_and(wanted) {
            return;
        }
        let understood = std::str::from_utf8(line)
            .ok()
            .and_then(|line| if is_comment { comment(line) } else { sample(line).map(Line::Sample) });
        match understood {
            Some(line) => take(line),
            None => self.malformed += 1,
        }
    }
}

/// The name that a sample begins with.
fn name(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t'));
    line.get(..end.unwrap_or(line.len())).unwrap_or_default()
}

/// The name that a comment is about, if it says something.
fn subject(line: &[u8]) -> Option<&[u8]> {
    let words = line.strip_prefix(b"#")?.trim_ascii_start();
    let words = words.strip_prefix(b"TYPE").or_else(|| words.strip_prefix(b"HELP"))?;
    let begins = words.first().is_some_and(u8::is_ascii_whitespace);
    begins.then(|| name(words.trim_ascii_start()))
}

fn comment(line: &str) -> Option<Line<'_>> {
    let words = line.strip_prefix('#')?.trim_ascii_start();
    let (what, rest) = words.split_once([' ', '\t'])?;
    let rest = rest.trim_ascii_start();
    let (name, text) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let text = text.trim_ascii();
    Some(match what {
        "TYPE" => Line::Type { name, kind: Kind::named(text) },
        _ => Line::Help { name, text: unescape(text) },
    })
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.trim_ascii_start().strip_prefix('{') {
        Some(rest) => {
            let length = labels_length(rest)?;
            (Labels(rest.get(..length)?), rest.get(length + 1..)?)
        }
        None => (Labels::default(), rest),
    };
    if name.is_empty() {
        return None;
    }
    let mut words = rest.split_ascii_whitespace();
    let value = number(words.next()?)?;
    // A time may follow, and with OpenMetrics an exemplar.
    match words.next() {
        None | Some("#") => {}
        Some(time) => drop(number(time)?),
    }
    Some(Sample { name, labels, value })
}

/// Go's notation of floats: also `+Inf`, `-Inf`, `NaN`.
fn number(word: &str) -> Option<f64> {
    word.parse().ok()
}

/// Where labels end with a closing brace; none if they are not labels.
fn labels_length(text: &str) -> Option<usize> {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        if rest.starts_with('}') {
            return Some(text.len() - rest.len());
        }
        let (_, _, after) = label(rest)?;
        rest = after.trim_ascii_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// Name, escaped value, and what follows.
fn label(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_ascii();
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':'));
    let quoted = rest.trim_ascii_start().strip_prefix('"').filter(|_| is_name && !name.is_empty())?;
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((name, quoted.get(..at)?, quoted.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// Undoes `\\`, `\n` and `\"`; a backslash before anything else stays.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match rest.next() {
            Some('n') => plain.push('\n'),
            Some(escaped @ ('\\' | '"')) => plain.push(escaped),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    Cow::Owned(plain)
}

impl Kind {
    fn named(name: &str) -> Self {
        match name {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            _ => Self::Untyped,
        }
    }
}

impl<'a> Labels<'a> {
    /// Names and values, in the order of the text.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, value, after) = label(rest.trim_ascii_start().trim_start_matches(','))?;
            rest = after;
            Some((name, unescape(value)))
        })
    }

    /// The value of the label with this name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Cow<'a, str>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `text` says, in lines, fed in parts of `step` bytes; and how many lines were malformed.
    fn read(text: &str, step: usize) -> (Vec<String>, u64) {
        let mut reader = Reader::default();
        let mut seen = Vec::new();
        let mut take = |line: Line<'_>| {
            seen.push(match line {
                Line::Help { name, text } => format!("{name} is {text:?}"),
                Line::Type { name, kind } => format!("{name} is a {kind:?}"),
                Line::Sample(Sample { name, labels, value }) => {
                    let labels: Vec<_> =
                        labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                    format!("{name}[{}] {value}", labels.join(" "))
                }
            });
        };
        let wanted = |name: &[u8]| !name.starts_with(b"un");
        for part in text.as_bytes().chunks(step) {
            reader.feed(part, wanted, &mut take);
        }
        reader.finish(wanted, &mut take);
        (seen, reader.malformed())
    }

    #[test]
    fn lines() {
        fn check(text: &str, expected: &[&str], malformed: u64) {
            for step in [1, 3, 1000] {
                assert_eq!(
                    read(text, step),
                    (expected.iter().map(|&line| line.into()).collect(), malformed),
                    "{text}"
                );
            }
        }
        check(
            "# HELP a What \\\\ it\\nis.\n# TYPE a counter\na 1\na{} 2 1395066363000\n  a { } 3\n\n# EOF\n",
            &[r#"a is "What \\ it\nis.""#, "a is a Counter", "a[] 1", "a[] 2", "a[] 3"],
            0,
        );
        check(
            "a_bucket{verb=\"GET\",le=\"+Inf\",} 7 # {trace_id=\"1\"} 0.5\na{ x = \"1\" , y=\"}\\\"\\\\\\q\" }\t+Inf\n",
            &[r#"a_bucket[verb="GET" le="+Inf"] 7"#, r#"a[x="1" y="}\"\\\\q"] inf"#],
            0,
        );
        check(
            "# TYPE a histogram\n#TYPE b gauge\n# TYPE c x\n# a comment\n#\n# TYPE\n",
            &["a is a Histogram", "b is a Gauge", "c is a Untyped"],
            0,
        );
        // The last line needs no end; a carriage return is blank.
        check("a 1\r\nb NaN", &["a[] 1", "b[] NaN"], 0);
        // Nobody wants it, so nobody looks.
        check("unwanted{ 1\nunwanted\n", &[], 0);
        for bad in [
            "a",
            "a{",
            "a{b} 1",
            "a{b=1} 1",
            "a{b=\"} 1",
            "a{b=\"1\" c=\"2\"} 1",
            "a x",
            "a 1 x",
            "{b=\"1\"} 1",
            "a{=\"1\"} 1",
        ] {
            check(&format!("{bad}\n"), &[], 1);
        }
        check("größe 1\n", &["größe[] 1"], 0);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut reader = Reader::default();
        let mut lines = 0;
        for _ in 0..100 {
            reader.feed(&[b'x'; 10_000], |_| true, |_| lines += 1);
            assert!(reader.rest.capacity() <= 4 * LONGEST_LINE);
        }
        reader.feed(b"\na 1\n", |_| true, |_| lines += 1);
        assert_eq!((lines, reader.malformed()), (1, 1));
        // One that comes in one piece, and one that has its end at last.
        let mut long = vec![b'y'; LONGEST_LINE];
        reader.feed(&long, |_| true, |_| lines += 1);
        long.push(b'\n');
        reader.feed(&long, |_| true, |_| lines += 1);
        reader.feed(b"b 2\n", |_| true, |_| lines += 1);
        assert_eq!((lines, reader.malformed()), (2, 2));
    }

    #[test]
    fn bytes_that_are_no_text() {
        let mut reader = Reader::default();
        let mut lines = 0;
        reader.feed(b"a{b=\"\xff\"} 1\n\xff 1\na 1\n", |_| true, |_| lines += 1);
        assert_eq!((lines, reader.malformed()), (1, 2));
    }
}
