//! The functions: a table of editors and one of converters.
//!
//! A new function is one line in a table and its body; names, parameters and their order are upstream's.

mod converters;
mod editors;
mod format;
mod hashes;
mod maps;
mod replace;
mod times;

use std::borrow::Cow;

use crate::compile::{Access, Arguments, Given};
use crate::layout::Layout;
use crate::value::{Shape, Val};
use crate::{Env, EvalError};

pub(crate) type RunConverter = for<'v> fn(&'v Arguments, &'v Env<'_, '_>) -> Result<Val<'v>, EvalError>;
pub(crate) type RunEditor = fn(&Arguments, &mut Env<'_, '_>) -> Result<(), EvalError>;

/// All functions that give a value.
pub(crate) fn converters() -> impl Iterator<Item = &'static Converter> + Clone {
    converters::CONVERTERS.iter().chain(hashes::CONVERTERS).chain(times::CONVERTERS)
}

/// All functions that change something.
pub(crate) fn editors() -> impl Iterator<Item = &'static Editor> + Clone {
    editors::EDITORS.iter().chain(replace::EDITORS)
}

/// A function that gives a value.
#[derive(Debug)]
pub(crate) struct Converter {
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) run: RunConverter,
}

/// A function that changes something.
pub(crate) struct Editor {
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) run: RunEditor,
}

/// A parameter of a function.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) optional: bool,
}

/// What an argument must be, as far as that can be known before there are data.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    /// Any value.
    Any,
    /// A path that is changed.
    Target,
    /// A regular expression, written out.
    Pattern,
    /// A pattern with `*`, `?`, `[a-z]` and `{a,b}`, written out.
    Glob,
    /// One of these words.
    One(&'static [&'static str]),
    /// The name of a converter that takes one value.
    Function,
    /// The form of a time in text, written out.
    TimeFormat,
    /// The name of a time zone, written out.
    Location,
    /// The language of names in a time, written out.
    Locale,
}

const fn parameter(name: &'static str, takes: Takes) -> Parameter {
    Parameter { name, takes, optional: false }
}

const fn optional(name: &'static str, takes: Takes) -> Parameter {
    Parameter { name, takes, optional: true }
}

impl Converter {
    /// Whether it can stand as an argument that other functions call with a text.
    pub(crate) fn takes_one_value(&self) -> bool {
        matches!(self.parameters, [Parameter { takes: Takes::Any, .. }])
    }
}

impl Arguments {
    /// The value of an argument; nil for one that is not given.
    fn value<'v>(&'v self, index: usize, env: &'v Env<'_, '_>) -> Result<Val<'v>, EvalError> {
        match self.given(index) {
            Given::Get(get) => get.get(env),
            Given::Target(access) => access.get(env),
            Given::Nothing
            | Given::Regex(_)
            | Given::Function(_)
            | Given::TimeFormat(_)
            | Given::Location(_) => Ok(Val::NIL),
        }
    }

    fn is_given(&self, index: usize) -> bool {
        !matches!(self.given(index), Given::Nothing)
    }

    /// A string.
    fn text(&self, index: usize, env: &Env<'_, '_>) -> Result<String, EvalError> {
        let value = self.value(index, env)?;
        match value.shape() {
            Shape::Text(text) => Ok(text.to_owned()),
            _ => Err(value.mismatch("string")),
        }
    }

    /// An integer.
    fn int(&self, index: usize, env: &Env<'_, '_>) -> Result<i64, EvalError> {
        let value = self.value(index, env)?;
        match value.shape() {
            Shape::Int(value) => Ok(value),
            _ => Err(value.mismatch("int")),
        }
    }

    /// A point in time, Unix time in nanoseconds.
    fn time(&self, index: usize, env: &Env<'_, '_>) -> Result<i64, EvalError> {
        let value = self.value(index, env)?;
        match value.shape() {
            Shape::Time(nanos) => Ok(nanos),
            _ => Err(value.mismatch("time")),
        }
    }

    /// A length of time in nanoseconds.
    fn duration(&self, index: usize, env: &Env<'_, '_>) -> Result<i64, EvalError> {
        let value = self.value(index, env)?;
        match value.shape() {
            Shape::Duration(nanos) => Ok(nanos),
            _ => Err(value.mismatch("duration")),
        }
    }

    /// An integer that is not negative.
    fn count(&self, index: usize, env: &Env<'_, '_>) -> Result<usize, EvalError> {
        let value = self.int(index, env)?;
        usize::try_from(value).map_err(|_| self.error(format!("{value} is negative")))
    }

    /// A list of strings.
    fn texts(&self, index: usize, env: &Env<'_, '_>) -> Result<Vec<String>, EvalError> {
        let value = self.value(index, env)?;
        let pdata::Value::Array(values) = value.clone().into_value() else {
            return Err(value.mismatch("list"));
        };
        let text = |value| match value {
            pdata::Value::String(text) => Ok(text),
            other => Err(Val::Owned(other).mismatch("string")),
        };
        values.into_iter().map(text).collect()
    }

    fn regex(&self, index: usize) -> Result<&regex::Regex, EvalError> {
        match self.given(index) {
            Given::Regex(regex) => Ok(regex),
            _ => Err(self.error("a pattern is missing")),
        }
    }

    fn layout(&self, index: usize) -> Result<&Layout, EvalError> {
        match self.given(index) {
            Given::TimeFormat(layout) => Ok(layout),
            _ => Err(self.error("a format is missing")),
        }
    }

    fn target(&self, index: usize) -> Result<&Access, EvalError> {
        match self.given(index) {
            Given::Target(access) => Ok(access),
            _ => Err(self.error("a path is missing")),
        }
    }
}

/// The regular expression of a glob: `*` any text, `?` one character, `[a-z]`, `{a,b}`.
pub(crate) fn glob(glob: &str) -> String {
    let mut pattern = String::from("(?s)^");
    let (mut braces, mut brackets) = (0, false);
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        let plain: Cow<'_, str> = match c {
            '\\' => Cow::Owned(regex::escape(&chars.next().unwrap_or('\\').to_string())),
            ']' if brackets => {
                brackets = false;
                "]".into()
            }
            '!' if brackets && pattern.ends_with('[') => "^".into(),
            '-' if brackets => "-".into(),
            '*' if !brackets => ".*".into(),
            '?' if !brackets => ".".into(),
            '[' if !brackets => {
                brackets = true;
                "[".into()
            }
            '{' if !brackets => {
                braces += 1;
                "(?:".into()
            }
            '}' if braces > 0 && !brackets => {
                braces -= 1;
                ")".into()
            }
            ',' if braces > 0 && !brackets => "|".into(),
            c => Cow::Owned(regex::escape(&c.to_string())),
        };
        pattern.push_str(&plain);
    }
    pattern.push('$');
    pattern
}
