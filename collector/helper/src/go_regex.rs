//! Go's regular expressions: translates the RE2 syntax of Go's `regexp` package to that of the `regex` crate.
//!
//! The two engines share their semantics (leftmost-first, linear time). Their syntaxes differ: Go's `\d`, `\s`, `\w` and `\b` are
//! ASCII, its brackets do not nest, its `{` may be a literal, and it has `\Q…\E` and octal escapes; it refuses stacked
//! repetitions, `(?x)` and class operators. Errors read as Go's. Not accepted: a group name that begins with a digit.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::CharIndices;

use regex::{Regex, RegexBuilder};

/// The size limit of a compiled expression, in bytes.
const MAX_COMPILED: usize = 10 << 20;
/// The limit of a repetition count, and of the product of nested ones.
const MAX_REPEAT: u32 = 1000;
/// A class that matches no character.
const NOTHING: &str = r"[^\x00-\x{10FFFF}]";
/// POSIX classes, as in `[[:alpha:]]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Error of an expression that Go refuses, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct GoRegexError(String);

/// Compiles an expression in Go's syntax.
///
/// # Errors
/// The expression is not valid in Go's syntax, or too large.
pub fn go_regex(pattern: &str) -> Result<Regex, GoRegexError> {
    let translated = go_pattern(pattern)?;
    RegexBuilder::new(&translated).size_limit(MAX_COMPILED).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => GoRegexError("expression too large".to_owned()),
        // The last line says what is wrong; the lines before it draw the position.
        error => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            GoRegexError(format!("{reason}: `{pattern}`"))
        }
    })
}

/// Translates an expression in Go's syntax to that of the `regex` crate.
///
/// # Errors
/// The expression is not valid in Go's syntax. Names of Unicode classes and duplicate group names are left to the compiler.
pub fn go_pattern(pattern: &str) -> Result<String, GoRegexError> {
    let mut translator = Translator::new(pattern);
    translator.expression()?;
    Ok(translator.out)
}

/// An open group, or the whole expression.
#[derive(Debug, Default)]
struct Frame {
    /// The greatest product of nested repetition counts so far.
    product: u32,
    /// The product of the last element, which a repetition would multiply; `None` if there is none.
    last: Option<u32>,
}

#[derive(Debug)]
struct Translator<'p> {
    pattern: &'p str,
    chars: Peekable<CharIndices<'p>>,
    out: String,
    frames: Vec<Frame>,
    frame: Frame,
}

impl<'p> Translator<'p> {
    fn new(pattern: &'p str) -> Self {
        let out = String::with_capacity(pattern.len());
        Self {
            pattern,
            chars: pattern.char_indices().peekable(),
            out,
            frames: Vec::new(),
            frame: Frame::default(),
        }
    }

    fn expression(&mut self) -> Result<(), GoRegexError> {
        // Start of the repetition that the last step read.
        let mut repeated = None;
        while let Some((at, char)) = self.chars.next() {
            let before = repeated.take();
            match char {
                '(' => self.open(at)?,
                ')' => {
                    let Some(outer) = self.frames.pop() else {
                        return Err(error("unexpected )", self.pattern));
                    };
                    let inner = std::mem::replace(&mut self.frame, outer);
                    self.element(")", inner.product.max(1));
                }
                '|' => {
                    self.frame.last = None;
                    self.out.push('|');
                }
                '*' | '+' | '?' => {
                    self.out.push(char);
                    self.repeat(at, before, None)?;
                    repeated = Some(before.unwrap_or(at));
                }
                '{' => match self.counts(at)? {
                    Some(count) => {
                        self.repeat(at, before, Some(count))?;
                        repeated = Some(before.unwrap_or(at));
                    }
                    None => self.literal('{'),
                },
                '[' => self.class(at)?,
                '\\' => self.escaped(at)?,
                '.' | '^' | '$' => self.element(char.encode_utf8(&mut [0; 4]), 1),
                char => self.literal(char),
            }
        }
        if self.frames.is_empty() { Ok(()) } else { Err(error("missing closing )", self.pattern)) }
    }

    /// The byte offset of what comes next.
    fn offset(&mut self) -> usize {
        self.chars.peek().map_or(self.pattern.len(), |(at, _)| *at)
    }

    /// The pattern from `at`.
    fn rest(&self, at: usize) -> &'p str {
        self.pattern.get(at..).unwrap_or_default()
    }

    /// The pattern from `at` to what comes next.
    fn since(&mut self, at: usize) -> &'p str {
        let end = self.offset();
        self.pattern.get(at..end).unwrap_or_default()
    }

    fn take(&mut self, char: char) -> bool {
        self.chars.next_if(|(_, next)| *next == char).is_some()
    }

    /// Skips `bytes` of the pattern.
    fn skip_to(&mut self, end: usize) {
        while self.chars.next_if(|(at, _)| *at < end).is_some() {}
    }

    fn element(&mut self, text: &str, product: u32) {
        self.out.push_str(text);
        self.frame.product = self.frame.product.max(product);
        self.frame.last = Some(product);
    }

    fn literal(&mut self, char: char) {
        push_literal(&mut self.out, char);
        self.element("", 1);
    }

    /// Checks a repetition that begins at `at`; its counts are `(text, greatest)`.
    fn repeat(
        &mut self,
        at: usize,
        before: Option<usize>,
        counts: Option<(String, u32)>,
    ) -> Result<(), GoRegexError> {
        let lazy = self.take('?');
        if let Some(before) = before {
            return Err(error("invalid nested repetition operator", self.since(before)));
        }
        let Some(last) = self.frame.last else {
            return Err(error("missing argument to repetition operator", self.since(at)));
        };
        if let Some((text, greatest)) = counts {
            let product = last.saturating_mul(greatest.max(1));
            if greatest >= 2 && product > MAX_REPEAT {
                return Err(error("invalid repeat count", self.since(at)));
            }
            self.element(&text, if greatest == 0 { 1 } else { product });
        }
        if lazy {
            self.out.push('?');
        }
        Ok(())
    }

    /// The counts of `{n}`, `{n,}`, `{n,m}` and the greatest of them; `None` if the brace, which was taken, is a literal.
    fn counts(&mut self, at: usize) -> Result<Option<(String, u32)>, GoRegexError> {
        let rest = self.rest(at + 1);
        let Some(end) = rest.find('}') else { return Ok(None) };
        let Some(inside) = rest.get(..end) else { return Ok(None) };
        let (min, max) = match inside.split_once(',') {
            None => (inside, Some(inside)),
            Some((min, "")) => (min, None),
            Some((min, max)) => (min, Some(max)),
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            (digits && (text == "0" || !text.starts_with('0')))
                .then(|| text.parse::<u32>().unwrap_or(u32::MAX))
        };
        let Some(least) = number(min) else { return Ok(None) };
        let greatest = match max.map(number) {
            None => None,
            Some(None) => return Ok(None),
            Some(greatest) => greatest,
        };
        self.skip_to(at + 1 + end + 1);
        if least > MAX_REPEAT || greatest.is_some_and(|greatest| greatest > MAX_REPEAT || greatest < least) {
            return Err(error("invalid repeat count", self.since(at)));
        }
        Ok(Some((format!("{{{inside}}}"), greatest.unwrap_or(least))))
    }

    /// A parenthesis, which was taken.
    fn open(&mut self, at: usize) -> Result<(), GoRegexError> {
        if !self.take('?') {
            self.push_group("(");
            return Ok(());
        }
        let rest = self.rest(at);
        if let Some(start) = ["(?P<", "(?<"].into_iter().find(|start| rest.starts_with(start)) {
            let Some(end) = rest.find('>') else { return Err(error("invalid named capture", rest)) };
            let name = rest.get(start.len()..end).unwrap_or_default();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(error("invalid named capture", rest.get(..=end).unwrap_or_default()));
            }
            self.skip_to(at + end + 1);
            self.push_group(&format!("(?P<{name}>"));
            return Ok(());
        }
        self.flags(at)
    }

    fn push_group(&mut self, text: &str) {
        self.out.push_str(text);
        self.frames.push(std::mem::take(&mut self.frame));
    }

    /// Flags after `(?`, which was taken.
    fn flags(&mut self, at: usize) -> Result<(), GoRegexError> {
        let (mut on, mut off) = (String::new(), String::new());
        let mut negative = false;
        while let Some((_, char)) = self.chars.next() {
            match char {
                'i' | 'm' | 's' | 'U' => {
                    let flags = if negative { &mut off } else { &mut on };
                    if !flags.contains(char) {
                        flags.push(char);
                    }
                }
                '-' if !negative => negative = true,
                ':' | ')' if !negative || !off.is_empty() => {
                    on.retain(|flag| !off.contains(flag));
                    if negative {
                        on.push('-');
                        on.push_str(&off);
                    }
                    match char {
                        ':' => self.push_group(&format!("(?{on}:")),
                        _ if on.is_empty() => {}
                        _ => self.out.push_str(&format!("(?{on})")),
                    }
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(error("invalid or unsupported Perl syntax", self.since(at)))
    }

    /// A backslash outside of brackets, which was taken.
    fn escaped(&mut self, at: usize) -> Result<(), GoRegexError> {
        match self.chars.peek().map(|(_, char)| *char) {
            Some('A') => self.symbol(r"\A"),
            Some('z') => self.symbol(r"\z"),
            Some('b') => self.symbol(r"(?-u:\b)"),
            Some('B') => self.symbol(r"(?-u:\B)"),
            Some('Q') => {
                self.chars.next();
                let rest = self.rest(at + 2);
                let (quoted, end) = rest
                    .find(r"\E")
                    .map_or((rest, rest.len()), |end| (rest.get(..end).unwrap_or_default(), end + 2));
                quoted.chars().for_each(|char| self.literal(char));
                self.skip_to(at + 2 + end);
            }
            _ => {
                if let Some(class) = self.class_escape(at)? {
                    self.element(&class, 1);
                } else {
                    match self.character(at)? {
                        Some(char) => self.literal(char),
                        None => self.element(NOTHING, 1),
                    }
                }
            }
        }
        Ok(())
    }

    fn symbol(&mut self, text: &str) {
        self.chars.next();
        self.element(text, 1);
    }

    /// The class that `\d`, `\pL` and the like stand for; the backslash was taken.
    fn class_escape(&mut self, at: usize) -> Result<Option<String>, GoRegexError> {
        let class = match self.chars.peek().map(|(_, char)| *char) {
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('s') => r"[\t\n\f\r ]",
            Some('S') => r"[^\t\n\f\r ]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('p' | 'P') => return self.unicode_class(at).map(Some),
            _ => return Ok(None),
        };
        self.chars.next();
        Ok(Some(class.to_owned()))
    }

    /// The class of `\pN`, `\p{Greek}`, `\P{^Lu}`; the backslash was taken.
    fn unicode_class(&mut self, at: usize) -> Result<String, GoRegexError> {
        let mut negative = self.chars.next().is_some_and(|(_, char)| char == 'P');
        let refused = |text: &str| Err(error("invalid character class range", text));
        let name = match self.chars.next() {
            None => return refused(self.rest(at)),
            Some((start, '{')) => {
                let rest = self.rest(start + 1);
                let Some(end) = rest.find('}') else { return refused(self.rest(at)) };
                self.skip_to(start + 1 + end + 1);
                rest.get(..end).unwrap_or_default()
            }
            Some((start, char)) => self.pattern.get(start..start + char.len_utf8()).unwrap_or_default(),
        };
        let name = match name.strip_prefix('^') {
            Some(name) => {
                negative = !negative;
                name
            }
            None => name,
        };
        let not = if negative { "^" } else { "" };
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_- ".contains(&byte));
        Ok(match name {
            "" => return refused(self.since(at)),
            "Any" => format!(r"[{not}\x00-\x{{10FFFF}}]"),
            // Go counts no unassigned characters among them, and texts hold no surrogates.
            "C" => format!(r"[{not}\p{{Cc}}\p{{Cf}}\p{{Co}}]"),
            "Cs" => format!(r"[{not}{NOTHING}]"),
            _ if !plain || ["ascii", "any", "assigned"].contains(&name.to_ascii_lowercase().as_str()) => {
                return refused(self.since(at));
            }
            name => {
                let class = format!(r"[{not}\p{{{name}}}]");
                // A class by itself, so that the error is Go's.
                if is_unknown_class(&class) {
                    return refused(self.since(at));
                }
                class
            }
        })
    }

    /// The character of an escape, whose backslash was taken; `None` for a surrogate, which no text holds.
    fn character(&mut self, at: usize) -> Result<Option<char>, GoRegexError> {
        let Some((_, char)) = self.chars.next() else {
            return Err(error("trailing backslash at end of expression", ""));
        };
        let octal = |char: char| char.to_digit(8);
        let code = match char {
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            'x' => self.hexadecimal(),
            '0'..='7' => {
                let next = self.chars.peek().and_then(|(_, char)| octal(*char));
                (char == '0' || next.is_some()).then(|| {
                    let mut code = octal(char).unwrap_or_default();
                    for _ in 0..2 {
                        let Some((_, digit)) = self.chars.next_if(|(_, char)| octal(*char).is_some()) else {
                            break;
                        };
                        code = code * 8 + octal(digit).unwrap_or_default();
                    }
                    code
                })
            }
            char if char.is_ascii() && !char.is_ascii_alphanumeric() => Some(u32::from(char)),
            _ => None,
        };
        match code {
            Some(code) => Ok(char::from_u32(code)),
            None => Err(error("invalid escape sequence", self.since(at))),
        }
    }

    /// The code of `\x41` or `\x{10FFFF}`, whose `x` was taken.
    fn hexadecimal(&mut self) -> Option<u32> {
        if !self.take('{') {
            let mut digit = || self.chars.next().and_then(|(_, char)| char.to_digit(16));
            let (high, low) = (digit()?, digit()?);
            return Some(high * 16 + low);
        }
        let mut code = None;
        loop {
            match self.chars.next()? {
                (_, '}') => return code,
                (_, char) => {
                    let next = code.unwrap_or(0) * 16 + char.to_digit(16)?;
                    code = Some(next).filter(|code| *code <= u32::from(char::MAX));
                    code?;
                }
            }
        }
    }

    /// A class in brackets, of which the first was taken.
    fn class(&mut self, at: usize) -> Result<(), GoRegexError> {
        let mut class = String::from("[");
        if self.take('^') {
            class.push('^');
        }
        let mut first = true;
        loop {
            let start = self.offset();
            let Some((_, char)) = self.chars.next() else {
                return Err(error("missing closing ]", self.rest(at)));
            };
            match char {
                ']' if !first => break,
                '[' if self.posix(start, &mut class)? => {}
                '\\' => match self.class_escape(start)? {
                    Some(escape) => class.push_str(&escape),
                    None => {
                        let low = self.character(start)?;
                        self.range(at, start, low, &mut class)?;
                    }
                },
                char => self.range(at, start, Some(char), &mut class)?,
            }
            first = false;
        }
        class.push(']');
        self.element(&class, 1);
        Ok(())
    }

    /// A POSIX class, whose first bracket was taken; false if the bracket is a literal.
    fn posix(&mut self, start: usize, class: &mut String) -> Result<bool, GoRegexError> {
        let rest = self.rest(start);
        let Some(end) = rest.strip_prefix("[:").and_then(|rest| rest.find(":]")) else { return Ok(false) };
        let text = rest.get(..end + 4).unwrap_or_default();
        let name = rest.get(2..end + 2).unwrap_or_default();
        if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(error("invalid character class range", text));
        }
        class.push_str(text);
        self.skip_to(start + text.len());
        Ok(true)
    }

    /// A character of a class, or a range that begins with it.
    fn range(
        &mut self,
        at: usize,
        start: usize,
        low: Option<char>,
        class: &mut String,
    ) -> Result<(), GoRegexError> {
        let dash = self.offset();
        let rest = self.rest(dash);
        let mut high = low;
        if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
            self.chars.next();
            let end = self.offset();
            high = match self.chars.next() {
                None => return Err(error("missing closing ]", self.rest(at))),
                Some((_, '\\')) => self.character(end)?,
                Some((_, char)) => Some(char),
            };
            if matches!((low, high), (Some(low), Some(high)) if high < low) {
                return Err(error("invalid character class range", self.since(start)));
            }
        }
        match (low, high) {
            (Some(low), Some(high)) => {
                push_literal(class, low);
                if high != low {
                    class.push('-');
                    push_literal(class, high);
                }
            }
            // Only surrogates, or up to or from one.
            (Some(low), None) => _ = write!(class, r"\x{{{:X}}}-\x{{D7FF}}", u32::from(low).min(0xD7FF)),
            (None, Some(high)) => _ = write!(class, r"\x{{E000}}-\x{{{:X}}}", u32::from(high).max(0xE000)),
            (None, None) => class.push_str(NOTHING),
        }
        Ok(())
    }
}

fn error(reason: &str, text: &str) -> GoRegexError {
    GoRegexError(format!("{reason}: `{text}`"))
}

fn push_literal(out: &mut String, char: char) {
    out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
}

/// Returns true if the crate knows no such class.
fn is_unknown_class(class: &str) -> bool {
    matches!(Regex::new(class), Err(regex::Error::Syntax(_)))
}

#[cfg(test)]
#[path = "go_regex_tests.rs"]
mod tests;
