//! From tokens to expressions.
//!
//! One grammar for values and conditions, by falling binding: `or`, `and`, `not`, comparison, `+ -`, `* /`, the rest.
//! Whether a value stands where one is needed is the compiler's business.

use pdata::Value;

use crate::ParseError;
use crate::lexer::{Placed, Token, tokens};
use crate::syntax::{Argument, Call, CompareOp, Expr, ExprKind, MathOp, Path, Statement};

/// How deep expressions may nest.
const MAX_DEPTH: usize = 64;

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
}

pub(crate) fn statement(text: &str) -> Result<Statement, ParseError> {
    let mut parser = Parser::new(text)?;
    let at = parser.at();
    let name = match parser.word() {
        Some(name) if name.starts_with(|c: char| c.is_ascii_lowercase()) => name,
        Some(name) => {
            return Err(ParseError::at(
                text,
                at,
                format!("expected an editor, which begins in lower case, but found `{name}`"),
            ));
        }
        None => return Err(parser.expected("an editor such as `set(…)`")),
    };
    if !parser.is_sign("(") {
        return Err(parser.expected("`(` behind the name of the editor"));
    }
    let editor = parser.call(at, name)?;
    let condition = if parser.take_word("where") { Some(parser.or()?) } else { None };
    parser.end("`where` or the end")?;
    Ok(Statement { editor, condition })
}

pub(crate) fn condition(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text)?;
    let condition = parser.or()?;
    parser.end("`and`, `or`, a comparison or the end")?;
    Ok(condition)
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Result<Self, ParseError> {
        Ok(Self { text, tokens: tokens(text)?, next: 0, depth: 0 })
    }

    fn token(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |placed| &placed.token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |placed| placed.at)
    }

    fn expected(&self, what: &str) -> ParseError {
        ParseError::at(self.text, self.at(), format!("expected {what} but found {}", self.token().describe()))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.token(), Token::Sign(found) if *found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.next += usize::from(found);
        found
    }

    fn need_sign(&mut self, sign: &str) -> Result<(), ParseError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.token(), Token::Word(found) if found == word);
        self.next += usize::from(found);
        found
    }

    fn word(&mut self) -> Option<String> {
        let Token::Word(word) = self.token() else { return None };
        let word = word.clone();
        self.next += 1;
        Some(word)
    }

    fn end(&self, what: &str) -> Result<(), ParseError> {
        if *self.token() == Token::End { Ok(()) } else { Err(self.expected(what)) }
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::at(
                self.text,
                self.at(),
                format!("more than {MAX_DEPTH} levels of nesting"),
            ));
        }
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Result<Expr, ParseError> {
        self.nested(|parser| parser.chain("or", Self::and, ExprKind::Or))
    }

    fn and(&mut self) -> Result<Expr, ParseError> {
        self.chain("and", Self::not, ExprKind::And)
    }

    fn chain(
        &mut self,
        word: &str,
        inner: fn(&mut Self) -> Result<Expr, ParseError>,
        join: fn(Vec<Expr>) -> ExprKind,
    ) -> Result<Expr, ParseError> {
        let at = self.at();
        let first = inner(self)?;
        if !matches!(self.token(), Token::Word(found) if found == word) {
            return Ok(first);
        }
        let mut terms = vec![first];
        while self.take_word(word) {
            terms.push(inner(self)?);
        }
        Ok(Expr { at, kind: join(terms) })
    }

    fn not(&mut self) -> Result<Expr, ParseError> {
        let at = self.at();
        if self.take_word("not") {
            let inner = self.nested(Self::not)?;
            return Ok(Expr { at, kind: ExprKind::Not(Box::new(inner)) });
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, ParseError> {
        let left = self.sum()?;
        let op = match self.token() {
            Token::Sign("==") => CompareOp::Equal,
            Token::Sign("!=") => CompareOp::NotEqual,
            Token::Sign("<") => CompareOp::Less,
            Token::Sign("<=") => CompareOp::LessOrEqual,
            Token::Sign(">") => CompareOp::Greater,
            Token::Sign(">=") => CompareOp::GreaterOrEqual,
            Token::Sign("=") => {
                return Err(self.expected("`==` for a comparison"));
            }
            _ => return Ok(left),
        };
        self.next += 1;
        let right = self.sum()?;
        Ok(Expr { at: left.at, kind: ExprKind::Compare(op, Box::new(left), Box::new(right)) })
    }

    fn sum(&mut self) -> Result<Expr, ParseError> {
        self.math(Self::product, [("+", MathOp::Add), ("-", MathOp::Subtract)])
    }

    fn product(&mut self) -> Result<Expr, ParseError> {
        self.math(Self::primary, [("*", MathOp::Multiply), ("/", MathOp::Divide)])
    }

    fn math(
        &mut self,
        inner: fn(&mut Self) -> Result<Expr, ParseError>,
        ops: [(&str, MathOp); 2],
    ) -> Result<Expr, ParseError> {
        let mut left = inner(self)?;
        let mut terms = 0;
        while let Some((_, op)) = ops.iter().find(|(sign, _)| self.is_sign(sign)) {
            terms += 1;
            if terms > MAX_DEPTH {
                return Err(ParseError::at(
                    self.text,
                    self.at(),
                    format!("more than {MAX_DEPTH} terms in a row"),
                ));
            }
            self.next += 1;
            let right = inner(self)?;
            left = Expr { at: left.at, kind: ExprKind::Math(*op, Box::new(left), Box::new(right)) };
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let at = self.at();
        let token = self.token().clone();
        self.next += 1;
        let kind = match token {
            Token::Text(text) => ExprKind::Literal(Value::String(text)),
            Token::Bytes(bytes) => ExprKind::Literal(Value::Bytes(bytes)),
            Token::Int(value) => ExprKind::Literal(Value::Int(value)),
            Token::Double(value) => ExprKind::Literal(Value::Double(value)),
            Token::Sign("-") => match self.nested(Self::primary)?.kind {
                ExprKind::Literal(Value::Int(value)) => ExprKind::Literal(Value::Int(value.wrapping_neg())),
                ExprKind::Literal(Value::Double(value)) => ExprKind::Literal(Value::Double(-value)),
                kind => ExprKind::Negative(Box::new(Expr { at, kind })),
            },
            Token::Sign("(") => {
                let inner = self.or()?;
                self.need_sign(")")?;
                return Ok(Expr { at, ..inner });
            }
            Token::Sign("[") => ExprKind::List(self.list("]", Self::or)?),
            Token::Sign("{") => ExprKind::Map(self.list("}", Self::pair)?),
            Token::Word(word) => return self.named(at, word),
            _ => {
                self.next -= 1;
                return Err(self.expected("a value: a literal, a path or a function"));
            }
        };
        Ok(Expr { at, kind })
    }

    /// What stands between brackets, up to the closing one.
    fn list<T>(
        &mut self,
        close: &str,
        item: fn(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = Vec::new();
        while !self.take_sign(close) {
            items.push(item(self)?);
            if !self.is_sign(close) && !self.take_sign(",") {
                return Err(self.expected(&format!("`,` or `{close}`")));
            }
        }
        Ok(items)
    }

    fn pair(&mut self) -> Result<(String, Expr), ParseError> {
        let Token::Text(key) = self.token().clone() else {
            return Err(self.expected("a key of a map, which is a string"));
        };
        self.next += 1;
        self.need_sign(":")?;
        Ok((key, self.or()?))
    }

    /// What begins with a word: a truth value, `nil`, a function, a name of a number or a path.
    fn named(&mut self, at: usize, word: String) -> Result<Expr, ParseError> {
        let kind = match word.as_str() {
            "true" => ExprKind::Literal(Value::Bool(true)),
            "false" => ExprKind::Literal(Value::Bool(false)),
            "nil" => ExprKind::Literal(Value::Empty),
            "and" | "or" | "not" | "where" => {
                self.next -= 1;
                return Err(self.expected("a value: a literal, a path or a function"));
            }
            _ if self.is_sign("(") => ExprKind::Call(self.call(at, word)?),
            _ if word.starts_with(|c: char| c.is_ascii_uppercase()) => ExprKind::Enum(word),
            _ => {
                let mut words = vec![word];
                while self.take_sign(".") {
                    words.push(self.word().ok_or_else(|| self.expected("the next word of the path"))?);
                }
                ExprKind::Path(Path { words, keys: self.keys()? })
            }
        };
        Ok(Expr { at, kind })
    }

    fn keys(&mut self) -> Result<Vec<Expr>, ParseError> {
        let mut keys = Vec::new();
        while self.take_sign("[") {
            keys.push(self.nested(Self::sum)?);
            self.need_sign("]")?;
        }
        if self.is_sign(".") {
            return Err(self.expected("nothing or `[` behind a key: paths go on by keys"));
        }
        Ok(keys)
    }

    fn call(&mut self, at: usize, name: String) -> Result<Call, ParseError> {
        self.need_sign("(")?;
        let arguments = self.list(")", Self::argument)?;
        Ok(Call { at, name, arguments, keys: self.keys()? })
    }

    fn argument(&mut self) -> Result<Argument, ParseError> {
        let named = matches!(self.tokens.get(self.next + 1), Some(Placed { token: Token::Sign("="), .. }));
        let name = if named { self.word() } else { None };
        if name.is_some() {
            self.next += 1;
        }
        Ok(Argument { name, value: self.or()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_placed_and_say_what_was_expected() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                statement(text).unwrap_err().to_string(),
                format!("invalid syntax at {expected}"),
                "{text}"
            );
        };
        check("", "1:1: expected an editor such as `set(…)` but found the end");
        check("Set(a, 1)", "1:1: expected an editor, which begins in lower case, but found `Set`");
        check("set a", "1:5: expected `(` behind the name of the editor but found `a`");
        check("set(a 1)", "1:7: expected `,` or `)` but found a number");
        check("set(a, 1", "1:9: expected `,` or `)` but found the end");
        check("set(a, )b", "1:9: expected `where` or the end but found `b`");
        check("set(a, 1) when true", "1:11: expected `where` or the end but found `when`");
        check("set(a, 1) where a = 1", "1:19: expected `==` for a comparison but found `=`");
        check(
            "set(a, 1)\nwhere a ==",
            "2:11: expected a value: a literal, a path or a function but found the end",
        );
        check(
            "set(a[\"b\"].c, 1)",
            "1:11: expected nothing or `[` behind a key: paths go on by keys but found `.`",
        );
        check("set(a, {b: 1})", "1:9: expected a key of a map, which is a string but found `b`");
        check(&format!("set(a, {}1)", "(".repeat(100)), "1:72: more than 64 levels of nesting");
        check(&format!("set(a, 1{})", " - 1".repeat(100)), "1:266: more than 64 terms in a row");
    }

    #[test]
    fn binding() {
        let check = |short: &str, explicit: &str| {
            fn plain(expr: Expr) -> String {
                let text = format!("{expr:?}");
                regex::Regex::new(r"at: \d+, ").unwrap().replace_all(&text, "").into_owned()
            }
            assert_eq!(plain(condition(short).unwrap()), plain(condition(explicit).unwrap()), "{short}");
        };
        check("a == 1 or b == 2 and not c == 3", "(a == 1) or ((b == 2) and (not (c == 3)))");
        check("1 + 2 * 3 - 4 == a", "((1 + (2 * 3)) - 4) == a");
        check("-a * 2 < 3", "((-a) * 2) < 3");
    }
}
