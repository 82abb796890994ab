//! The XML of the EC2 Query API: elements and text. Strict and bounded: no document type, so no entities but the five
//! that XML has by itself.

use std::borrow::Cow;

/// How deep elements may lie.
const MAX_DEPTH: usize = 32;

/// Why a text is not XML as the service writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not XML at byte {at}: {reason}")]
pub struct XmlError {
    /// Where, from 0.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// Calls `ended` at the end of each element with its path from the root on, its own name last, and its own text.
/// Namespaces' prefixes are left out; attributes are read over.
///
/// # Errors
/// The text is not XML of this kind. What came before was passed on.
pub(crate) fn read<'a>(text: &'a str, mut ended: impl FnMut(&[&'a str], &str)) -> Result<(), XmlError> {
    let mut reader = Reader { text, rest: text, path: Vec::new(), texts: Vec::new(), ended: &mut ended };
    reader.prolog()?;
    reader.element()?;
    while !reader.path.is_empty() {
        reader.content()?;
    }
    reader.skip_misc()?;
    if reader.rest.is_empty() { Ok(()) } else { Err(reader.error("something follows the root element")) }
}

struct Reader<'a, 'f, F> {
    text: &'a str,
    rest: &'a str,
    /// The names of the elements that are open.
    path: Vec<&'a str>,
    /// The text of each of them so far.
    texts: Vec<Cow<'a, str>>,
    ended: &'f mut F,
}

impl<'a, F: FnMut(&[&'a str], &str)> Reader<'a, '_, F> {
    fn error(&self, reason: &'static str) -> XmlError {
        XmlError { at: self.text.len() - self.rest.len(), reason }
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Everything up to a token, which is taken as well.
    fn until(&mut self, token: &str, missing: &'static str) -> Result<&'a str, XmlError> {
        let (before, after) = self.rest.split_once(token).ok_or_else(|| self.error(missing))?;
        self.rest = after;
        Ok(before)
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn prolog(&mut self) -> Result<(), XmlError> {
        self.take("\u{feff}");
        self.skip_misc()?;
        if self.rest.starts_with("<!") { Err(self.error("a document type is not allowed")) } else { Ok(()) }
    }

    /// Blanks, comments and instructions.
    fn skip_misc(&mut self) -> Result<(), XmlError> {
        loop {
            self.skip_blanks();
            if self.take("<?") {
                self.until("?>", "an instruction does not end")?;
            } else if self.take("<!--") {
                self.until("-->", "a comment does not end")?;
            } else {
                return Ok(());
            }
        }
    }

    /// What stands in an element: text, another element, or its end.
    fn content(&mut self) -> Result<(), XmlError> {
        if !self.rest.starts_with('<') {
            let text = self.rest.split('<').next().unwrap_or_default();
            if text.len() == self.rest.len() {
                return Err(self.error("the text ends within an element"));
            }
            let plain = self.unescape(text)?;
            self.rest = self.rest.get(text.len()..).unwrap_or_default();
            self.append(plain);
            return Ok(());
        }
        if self.take("<![CDATA[") {
            let text = self.until("]]>", "a CDATA section does not end")?;
            self.append(Cow::Borrowed(text));
            return Ok(());
        }
        if self.take("<!--") {
            return self.until("-->", "a comment does not end").map(drop);
        }
        if self.take("<?") {
            return self.until("?>", "an instruction does not end").map(drop);
        }
        if self.take("</") {
            return self.end();
        }
        self.element()
    }

    fn append(&mut self, more: Cow<'a, str>) {
        if let Some(text) = self.texts.last_mut() {
            if text.is_empty() {
                *text = more;
            } else {
                text.to_mut().push_str(&more);
            }
        }
    }

    /// A start tag, or the tag of an empty element.
    fn element(&mut self) -> Result<(), XmlError> {
        if !self.take("<") {
            return Err(self.error("an element is expected"));
        }
        let name = self.name()?;
        if self.path.len() == MAX_DEPTH {
            return Err(self.error("elements lie too deep"));
        }
        self.path.push(name);
        self.texts.push(Cow::Borrowed(""));
        loop {
            self.skip_blanks();
            if self.take("/>") {
                self.close();
                return Ok(());
            }
            if self.take(">") {
                return Ok(());
            }
            self.attribute()?;
        }
    }

    fn attribute(&mut self) -> Result<(), XmlError> {
        self.name()?;
        self.skip_blanks();
        if !self.take("=") {
            return Err(self.error("an attribute has no value"));
        }
        self.skip_blanks();
        let quote = if self.take("\"") {
            "\""
        } else if self.take("'") {
            "'"
        } else {
            return Err(self.error("an attribute's value has no quotes"));
        };
        let value = self.until(quote, "an attribute's value does not end")?;
        if value.contains('<') {
            return Err(self.error("an attribute's value does not end"));
        }
        Ok(())
    }

    /// The rest of an end tag.
    fn end(&mut self) -> Result<(), XmlError> {
        let name = self.name()?;
        self.skip_blanks();
        if !self.take(">") || self.path.last() != Some(&name) {
            return Err(self.error("an end tag does not fit"));
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        let text = self.texts.pop().unwrap_or_default();
        (self.ended)(&self.path, &text);
        self.path.pop();
    }

    /// A name without its prefix.
    fn name(&mut self) -> Result<&'a str, XmlError> {
        let is_part = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.' | ':');
        let name = self.rest.split(|char| !is_part(char)).next().unwrap_or_default();
        let local = name.rsplit(':').next().unwrap_or_default();
        if !local.starts_with(|first: char| first.is_alphabetic() || first == '_') {
            return Err(self.error("a name is expected"));
        }
        self.rest = self.rest.get(name.len()..).unwrap_or_default();
        Ok(local)
    }

    fn unescape(&self, text: &'a str) -> Result<Cow<'a, str>, XmlError> {
        let Some((before, mut rest)) = text.split_once('&') else { return Ok(Cow::Borrowed(text)) };
        let mut plain = before.to_owned();
        loop {
            let (name, after) = rest.split_once(';').ok_or_else(|| self.error("a reference does not end"))?;
            plain.push(character(name).ok_or_else(|| self.error("an unknown reference"))?);
            let Some((before, next)) = after.split_once('&') else {
                plain.push_str(after);
                return Ok(Cow::Owned(plain));
            };
            plain.push_str(before);
            rest = next;
        }
    }
}

/// The character that a reference stands for.
fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let (digits, radix) = match name.strip_prefix("#x") {
                Some(digits) => (digits, 16),
                None => (name.strip_prefix('#')?, 10),
            };
            let digits = Some(digits).filter(|digits| !digits.starts_with('+'))?;
            char::from_u32(u32::from_str_radix(digits, radix).ok()?).filter(|char| *char != '\0')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(text: &str) -> Result<Vec<String>, XmlError> {
        let mut found = Vec::new();
        read(text, |path, text| found.push(format!("{}={text}", path.join("/"))))?;
        Ok(found)
    }

    #[test]
    fn what_is_read() {
        fn check(text: &str, expected: &[&str]) {
            assert_eq!(leaves(text).unwrap(), expected, "{text}");
        }
        check("<a/>", &["a="]);
        check(
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- c --><a x='1' y = \"&lt;>\">t</a>\n<!-- d -->\n",
            &["a=t"],
        );
        check("<a><b>1</b><b/><c>2</c>\n</a>", &["a/b=1", "a/b=", "a/c=2", "a=\n"]);
        check("<n:a xmlns:n=\"u\"><n:b>x</n:b></n:a>", &["a/b=x", "a="]);
        check("<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x20AC;z</a>", &["a=<&>\"'A€z"]);
        check("<a>1<!-- 2 -->3<?x y?><![CDATA[<4>&]]></a>", &["a=13<4>&"]);
        check("<a >x</a >", &["a=x"]);
    }

    #[test]
    fn what_is_refused() {
        fn check(text: &str, at: usize, reason: &str) {
            let error = leaves(text).unwrap_err();
            assert_eq!((error.at, error.reason), (at, reason), "{text}");
        }
        check("", 0, "an element is expected");
        check("{}", 0, "an element is expected");
        check("<!DOCTYPE html><html/>", 0, "a document type is not allowed");
        check("<a><!ENTITY x 'y'></a>", 4, "a name is expected");
        check("<a>&x;</a>", 3, "an unknown reference");
        check("<a>&#0;</a>", 3, "an unknown reference");
        check("<a>&#xD800;</a>", 3, "an unknown reference");
        check("<a>&#+65;</a>", 3, "an unknown reference");
        check("<a>& b</a>", 3, "a reference does not end");
        check("<a><b></a></b>", 10, "an end tag does not fit");
        check("<a>", 3, "the text ends within an element");
        check("<a>x", 3, "the text ends within an element");
        check("<a", 2, "a name is expected");
        check("<a b>", 4, "an attribute has no value");
        check("<a b=c>", 5, "an attribute's value has no quotes");
        check("<a b='c>", 6, "an attribute's value does not end");
        check("<a/><b/>", 4, "something follows the root element");
        check("<a/>x", 4, "something follows the root element");
        check("<!-- x", 4, "a comment does not end");
        check("<1/>", 1, "a name is expected");
        check(&"<a>".repeat(MAX_DEPTH + 1), 3 * MAX_DEPTH + 2, "elements lie too deep");
    }
}
