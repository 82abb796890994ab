//! From text to tokens.

use crate::ParseError;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A word of letters, digits and `_`.
    Word(String),
    Text(String),
    Bytes(Vec<u8>),
    Int(i64),
    Double(f64),
    /// One of the signs in [`SIGNS`].
    Sign(&'static str),
    End,
}

/// A token and where it begins, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) at: usize,
}

/// Longer ones first.
const SIGNS: [&str; 20] =
    ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".", ":", "=", "+", "-", "*", "/"];

impl Token {
    /// As an error calls it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Text(_) => "a string".to_owned(),
            Self::Bytes(_) => "a bytes literal".to_owned(),
            Self::Int(_) | Self::Double(_) => "a number".to_owned(),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

pub(crate) fn tokens(text: &str) -> Result<Vec<Placed>, ParseError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next() else { break };
        let (token, len) = match first {
            '"' => string(text, at)?,
            '0'..='9' => number(text, at)?,
            '.' if trimmed.chars().nth(1).is_some_and(|next| next.is_ascii_digit()) => number(text, at)?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let len = word_len(trimmed);
                (Token::Word(trimmed.get(..len).unwrap_or_default().to_owned()), len)
            }
            _ => match SIGNS.iter().find(|sign| trimmed.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return Err(ParseError::at(text, at, format!("unexpected character {first:?}"))),
            },
        };
        tokens.push(Placed { token, at });
        at += len;
    }
    tokens.push(Placed { token: Token::End, at: text.len() });
    Ok(tokens)
}

fn word_len(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Numbers: `12`, `1.5`, `.5`, `1e9`, and bytes: `0x0aff`.
fn number(text: &str, at: usize) -> Result<(Token, usize), ParseError> {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(digits) = rest.strip_prefix("0x") {
        let digits = digits.get(..word_len(digits)).unwrap_or_default();
        let bytes = hex(digits).ok_or_else(|| {
            ParseError::at(text, at, "expected an even number of hexadecimal digits behind 0x")
        })?;
        return Ok((Token::Bytes(bytes), 2 + digits.len()));
    }
    let mut len = 0;
    let mut last = ' ';
    for c in rest.chars() {
        let sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E');
        if !(c.is_ascii_alphanumeric() || c == '.' || sign) {
            break;
        }
        len += 1;
        last = c;
    }
    let digits = rest.get(..len).unwrap_or_default();
    if let Ok(value) = digits.parse() {
        return Ok((Token::Int(value), len));
    }
    match digits.parse::<f64>() {
        Ok(value) if digits.contains(['.', 'e', 'E']) => Ok((Token::Double(value), len)),
        _ => Err(ParseError::at(text, at, format!("{digits:?} is no 64-bit number"))),
    }
}

pub(crate) fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// A string with Go's escapes.
fn string(text: &str, at: usize) -> Result<(Token, usize), ParseError> {
    let rest = text.get(at + 1..).unwrap_or_default();
    let mut out = String::new();
    let mut chars = rest.char_indices();
    while let Some((offset, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(out), offset + 2)),
            '\\' => {
                let unknown = || ParseError::at(text, at + 1 + offset, "unknown escape sequence in a string");
                let (_, escaped) = chars.next().ok_or_else(unknown)?;
                let mut code = |digits: usize| {
                    let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
                    code.and_then(char::from_u32)
                };
                out.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'a' => '\x07',
                    'b' => '\x08',
                    'f' => '\x0c',
                    'v' => '\x0b',
                    '\\' | '"' | '\'' => escaped,
                    'x' => code(2).ok_or_else(unknown)?,
                    'u' => code(4).ok_or_else(unknown)?,
                    'U' => code(8).ok_or_else(unknown)?,
                    _ => return Err(unknown()),
                });
            }
            '\n' => break,
            c => out.push(c),
        }
    }
    Err(ParseError::at(text, at, "the string is not closed: expected `\"`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_tokens() {
        let check = |text: &str, expected: &[Token]| {
            let tokens: Vec<Token> = tokens(text).unwrap().into_iter().map(|placed| placed.token).collect();
            let (end, tokens) = tokens.split_last().unwrap();
            assert_eq!((tokens, end), (expected, &Token::End), "{text}");
        };
        let word = |word: &str| Token::Word(word.to_owned());
        let text = |text: &str| Token::Text(text.to_owned());
        check("", &[]);
        check("a.b_1 == \"x\"", &[word("a"), Token::Sign("."), word("b_1"), Token::Sign("=="), text("x")]);
        check(
            "1 .5 1.5 1e3",
            &[Token::Int(1), Token::Double(0.5), Token::Double(1.5), Token::Double(1000.0)],
        );
        check("0x0aFF", &[Token::Bytes(vec![10, 255])]);
        check(r#" "a\"b\\\n\u00e4" "#, &[text("a\"b\\\nä")]);
        check("1<=2", &[Token::Int(1), Token::Sign("<="), Token::Int(2)]);
    }

    #[test]
    fn what_is_no_token_is_placed() {
        let check = |text: &str, expected: &str| assert_eq!(tokens(text).unwrap_err().to_string(), expected);
        check("a == 'b'", "invalid syntax at 1:6: unexpected character '\\''");
        check("a ==\n \"b", "invalid syntax at 2:2: the string is not closed: expected `\"`");
        check("\"\\q\"", "invalid syntax at 1:2: unknown escape sequence in a string");
        check("0x123", "invalid syntax at 1:1: expected an even number of hexadecimal digits behind 0x");
        check("99999999999999999999", "invalid syntax at 1:1: \"99999999999999999999\" is no 64-bit number");
    }
}
