//! What an error says, with all that led to it.

use std::error::Error;

/// What an error says, followed by what each of its causes says, in one line: `cannot read a: no such file`.
///
/// A cause whose words are there already is left out, as of errors that show their cause themselves. Only words that
/// errors mean to be shown are used (`Display`): the `Debug` text of an error may hold what a server answered.
pub fn causes(error: &dyn Error) -> String {
    let mut text = one_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = one_line(error);
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// What an error alone says. Its lines are joined: a log has a record in a line.
fn one_line(error: &dyn Error) -> String {
    let text = error.to_string();
    if !text.contains(['\n', '\r']) {
        return text;
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn errors_with_their_causes() {
        fn check(words: &[&'static str], expected: &str) {
            let chain = words.iter().rev().fold(None, |cause, words| Some(Box::new(Link(words, cause))));
            assert_eq!(causes(&*chain.unwrap()), expected, "{words:?}");
        }
        check(&["alone"], "alone");
        check(&["cannot read a", "no such file"], "cannot read a: no such file");
        check(&["a", "b", "c"], "a: b: c");
        // Those that show their cause, or are shown by what comes before that.
        check(&["cannot read a: no such file", "no such file"], "cannot read a: no such file");
        check(&["outer: inner (why)", "inner", "why", "deep"], "outer: inner (why): deep");
        check(&["a", ""], "a");
        // A chain of attempts lists them in lines.
        check(&["none of:\n  first\n\n  second\r\n", "third"], "none of: first second: third");
        check(&["outer", "one\ntwo"], "outer: one two");
        check(&["one\ntwo", "one\ntwo"], "one two");
    }
}
