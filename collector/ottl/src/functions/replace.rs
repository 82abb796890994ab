//! Editors that replace strings, or parts of them.

use pdata::Value;
use regex::{Captures, Regex};

use super::{Editor, Parameter, Takes, format, maps, optional, parameter};
use crate::compile::{Arguments, Given};
use crate::value::{Shape, Val};
use crate::{Env, EvalError};

const TARGET: Parameter = parameter("target", Takes::Target);
const REGEX: Parameter = parameter("regex_pattern", Takes::Pattern);
const GLOB: Parameter = parameter("pattern", Takes::Glob);
const REPLACEMENT: Parameter = parameter("replacement", Takes::Any);
const FUNCTION: Parameter = optional("function", Takes::Function);
const FORMAT: Parameter = optional("replacement_format", Takes::Any);

/// All of them.
pub(crate) const EDITORS: &[Editor] = &[
    Editor {
        name: "replace_all_matches",
        parameters: &[TARGET, GLOB, REPLACEMENT, FUNCTION, FORMAT],
        run: replace_all_matches,
    },
    Editor {
        name: "replace_all_patterns",
        parameters: &[
            TARGET,
            parameter("mode", Takes::One(&["key", "value"])),
            REGEX,
            REPLACEMENT,
            FUNCTION,
            FORMAT,
        ],
        run: replace_all_patterns,
    },
    Editor {
        name: "replace_match",
        parameters: &[TARGET, GLOB, REPLACEMENT, FUNCTION, FORMAT],
        run: replace_match,
    },
    Editor {
        name: "replace_pattern",
        parameters: &[TARGET, REGEX, REPLACEMENT, FUNCTION, FORMAT],
        run: replace_pattern,
    },
];

/// What comes in the place of a match: the arguments `replacement`, `function` and `replacement_format`.
struct Replacement<'r> {
    arguments: &'r Arguments,
    /// Where the first of the three stands.
    first: usize,
}

impl Replacement<'_> {
    /// The text with all matches of a pattern replaced; nothing if there is none.
    fn of_matches(&self, text: &str, regex: &Regex, env: &Env<'_, '_>) -> Result<Option<String>, EvalError> {
        if !regex.is_match(text) {
            return Ok(None);
        }
        let template = self.arguments.text(self.first, env)?;
        if !self.arguments.is_given(self.first + 1) {
            return Ok(Some(regex.replace_all(text, template).into_owned()));
        }
        let mut failure = None;
        let replaced = regex.replace_all(text, |captures: &Captures<'_>| {
            let mut expanded = String::new();
            captures.expand(&template, &mut expanded);
            self.converted(expanded, env).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                String::new()
            })
        });
        let replaced = replaced.into_owned();
        failure.map_or(Ok(Some(replaced)), Err)
    }

    /// What a whole text is replaced by.
    fn whole(&self, env: &Env<'_, '_>) -> Result<String, EvalError> {
        let text = self.arguments.text(self.first, env)?;
        if self.arguments.is_given(self.first + 1) { self.converted(text, env) } else { Ok(text) }
    }

    /// What the function makes of a text, in its format.
    fn converted(&self, text: String, env: &Env<'_, '_>) -> Result<String, EvalError> {
        let Given::Function(converter) = self.arguments.given(self.first + 1) else { return Ok(text) };
        let call = Arguments::of_text(converter.name, text);
        let value = (converter.run)(&call, env)?;
        let Shape::Text(text) = value.shape() else { return Err(value.mismatch("string")) };
        if !self.arguments.is_given(self.first + 2) {
            return Ok(text.to_owned());
        }
        let pattern = self.arguments.text(self.first + 2, env)?;
        // Upstream's words and test: one `%s` at least, and no other verb.
        let others =
            pattern.split('%').skip(1).any(|rest| rest.chars().next().is_some_and(|verb| verb != 's'));
        if others || !pattern.contains("%s") {
            return Err(self.arguments.error(
                "replacementFormat must be format string containing a single %s and no other format specifiers",
            ));
        }
        Ok(format::format(&pattern, &[Val::Owned(Value::String(text.to_owned()))]))
    }
}

/// Replaces the matches in a string; other targets stay.
fn replace_pattern(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let (target, regex) = (arguments.target(0)?, arguments.regex(1)?);
    let new = {
        let value = target.get(env)?;
        let Shape::Text(text) = value.shape() else { return Ok(()) };
        Replacement { arguments, first: 2 }.of_matches(text, regex, env)?
    };
    new.map_or(Ok(()), |new| target.set(env, Value::String(new)))
}

/// Replaces a string that matches as a whole.
fn replace_match(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let (target, regex) = (arguments.target(0)?, arguments.regex(1)?);
    let matches = match target.get(env)?.shape() {
        Shape::Text(text) => regex.is_match(text),
        _ => false,
    };
    if matches {
        let replacement = Replacement { arguments, first: 2 }.whole(env)?;
        target.set(env, Value::String(replacement))?;
    }
    Ok(())
}

fn replace_all_matches(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let regex = arguments.regex(1)?;
    let replacement = Replacement { arguments, first: 2 }.whole(env)?;
    maps::map_texts(arguments.target(0)?, env, |text| regex.is_match(text).then(|| replacement.clone()))
}

fn replace_all_patterns(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let (regex, target) = (arguments.regex(2)?, arguments.target(0)?);
    let replacement = Replacement { arguments, first: 3 };
    let in_values = arguments.text(1, env)? == "value";
    maps::try_edit(target, env, |pairs, env| {
        let mut changed = false;
        for index in 0..pairs.len() {
            let Some((key, value)) = pairs.get(index) else { continue };
            let text = match (in_values, value) {
                (false, _) => key,
                (true, Value::String(text)) => text,
                (true, _) => continue,
            };
            let Some(new) = replacement.of_matches(text, regex, env)? else { continue };
            changed |= new != *text;
            if in_values {
                if let Some(pair) = pairs.get_mut(index) {
                    pair.1 = Value::String(new);
                }
            } else {
                rename(pairs, index, new);
            }
        }
        pairs.retain(|(key, value)| !(key.is_empty() && *value == Value::Empty));
        Ok(changed)
    })
}

/// Gives an entry another name. If that is taken, its value goes there, and its own place becomes empty.
fn rename(pairs: &mut [(String, Value)], index: usize, new: String) {
    match pairs.iter().position(|(key, _)| *key == new) {
        Some(other) if other != index => {
            let value = pairs.get_mut(index).map(|pair| {
                pair.0.clear();
                std::mem::take(&mut pair.1)
            });
            if let (Some(pair), Some(value)) = (pairs.get_mut(other), value) {
                pair.1 = value;
            }
        }
        _ => {
            if let Some(pair) = pairs.get_mut(index) {
                pair.0 = new;
            }
        }
    }
}
