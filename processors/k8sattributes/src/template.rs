//! Names made of what a regular expression captured, as Go's `Regexp.Expand` makes them.

use regex::Captures;

/// A text with references to groups: `$1`, `${1}`, `$name`, `${name}`, `$$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number(usize),
    Name(String),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            push(&mut pieces, before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                push(&mut pieces, "$");
                rest = after;
            } else if let Some((name, after)) = reference(rest) {
                pieces.push(match name.parse() {
                    Ok(number) => Piece::Number(number),
                    Err(_) => Piece::Name(name.to_owned()),
                });
                rest = after;
            } else {
                push(&mut pieces, "$");
            }
        }
        push(&mut pieces, rest);
        Self(pieces)
    }

    /// The text with what `captures` holds; groups that are not there are empty.
    pub(crate) fn expand(&self, captures: &Captures<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Number(number) => {
                    out.push_str(captures.get(*number).map_or("", |group| group.as_str()))
                }
                Piece::Name(name) => out.push_str(captures.name(name).map_or("", |group| group.as_str())),
            }
        }
        out
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(before)) => before.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// The name of the group that `text` begins with, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(braced) = text.strip_prefix('{') {
        let (name, after) = braced.split_once('}')?;
        return (!name.is_empty() && name.chars().all(is_of_name)).then_some((name, after));
    }
    let end = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    #[test]
    fn expansion() {
        fn check(template: &str, expected: &str) {
            let regex = Regex::new(r"^(?:annotation(?P<n>\d+)(x)?)$").unwrap();
            let captures = regex.captures("annotation1").unwrap();
            assert_eq!(Template::parse(template).expand(&captures), expected, "{template}");
        }
        check("$1", "1");
        check("prefix-$0", "prefix-annotation1");
        check("${1}x", "1x");
        check("$1x", "");
        check("$1_x", "");
        check("a.$n.b", "a.1.b");
        check("${n}", "1");
        check("$2$3$name", "");
        check("$$1", "$1");
        check("a$", "a$");
        check("a$-b${", "a$-b${");
        check("plain", "plain");
    }
}
