//! The OpenTelemetry Transformation Language on encoded telemetry.
//!
//! ```text
//! text ── lexer ── parser ──► syntax tree ── compile, against a Context ──► Statement, Condition
//!                                                                           │ on a pdata::rewrite::Place
//!                                                                           ▼
//!                                              a truth value; attributes and fields set in place
//! ```
//!
//! Every error of a text has its line and column, what was expected there, and the nearest name that is known. What is compiled
//! cannot fail for its form: paths are resolved to fields, regular expressions are built, arguments are counted.
//!
//! Comparisons read the encoded bytes and do not allocate. A statement writes only what really changes.

mod buckets;
mod compile;
mod context;
mod error;
mod eval;
mod functions;
mod groups;
mod layout;
mod lexer;
mod parser;
mod path;
mod syntax;
mod value;

use pdata::Value;
use pdata::rewrite::Place;
use serde::Deserialize;

pub use context::Context;
pub use error::{EvalError, ParseError};
pub use groups::{Group, Groups};

/// What becomes of errors while statements run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorMode {
    /// Logged; the next statement runs.
    #[default]
    #[serde(alias = "")]
    Ignore,
    /// The next statement runs.
    Silent,
    /// The batch is refused.
    Propagate,
}

/// What statements run on.
#[derive(Debug)]
pub struct Env<'e, 'p> {
    /// What is read and changed.
    pub place: &'e mut Place<'p>,
    /// The path `cache`: what statements hand on to those behind them.
    pub cache: Value,
}

impl<'e, 'p> Env<'e, 'p> {
    /// An empty cache beside a place.
    pub fn new(place: &'e mut Place<'p>) -> Self {
        Self { place, cache: Value::Empty }
    }
}

/// An editor, and when it runs.
#[derive(Debug)]
pub struct Statement {
    editor: compile::EditorCall,
    condition: Option<Condition>,
}

/// A boolean expression.
#[derive(Debug)]
pub struct Condition {
    test: compile::Test,
}

impl Statement {
    /// Parses and checks a statement: `set(attributes["a"], 1) where name == "b"`.
    pub fn parse(text: &str, context: &Context) -> Result<Self, ParseError> {
        let statement = parser::statement(text)?;
        let compiler = compile::Compiler { text, context };
        Ok(Self {
            editor: compiler.editor(&statement.editor)?,
            condition: statement
                .condition
                .map(|condition| compiler.test(&condition).map(|test| Condition { test }))
                .transpose()?,
        })
    }

    /// Whether it may change something above its context: a resource from a log record.
    pub fn writes_above(&self, context: &Context) -> bool {
        self.editor.writes_above(context)
    }

    /// Runs the editor if the condition holds; whether it did.
    pub fn run(&self, env: &mut Env<'_, '_>) -> Result<bool, EvalError> {
        if let Some(condition) = &self.condition
            && !condition.holds(env)?
        {
            return Ok(false);
        }
        self.editor.run(env)?;
        Ok(true)
    }
}

impl Condition {
    /// Parses and checks a condition: `name == "a" and IsMatch(resource.attributes["b"], "^c")`.
    pub fn parse(text: &str, context: &Context) -> Result<Self, ParseError> {
        let expression = parser::condition(text)?;
        Ok(Self { test: compile::Compiler { text, context }.test(&expression)? })
    }

    /// Whether it holds.
    pub fn holds(&self, env: &Env<'_, '_>) -> Result<bool, EvalError> {
        self.test.holds(env)
    }
}
