//! What can go wrong.

/// A text that is no statement or condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid syntax at {line}:{column}: {message}{}", help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default())]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there, and what was expected.
    pub message: String,
    /// What may have been meant.
    pub help: Option<String>,
}

impl ParseError {
    /// An error at a byte offset of a text.
    pub(crate) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// A statement that does not fit the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A value of another type is needed.
    #[error("expected {expected} but got {got}")]
    Type {
        /// What is needed.
        expected: &'static str,
        /// What there is.
        got: &'static str,
    },
    /// A function cannot do its work with what it was given.
    #[error("{function}: {reason}")]
    Function {
        /// Its name.
        function: &'static str,
        /// Why.
        reason: String,
    },
    /// Numbers that cannot be reckoned with.
    #[error("{0}")]
    Arithmetic(&'static str),
    /// Looking into what is neither map nor list.
    #[error("type {0} does not support indexing")]
    Index(&'static str),
}
