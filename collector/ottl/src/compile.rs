//! From expressions to what runs: paths are resolved, arguments counted, regular expressions built.

use confmap::nearest;
use jiff::tz::TimeZone;
use pdata::Value;
use regex::Regex;

use crate::functions::{self, Parameter, Takes};
use crate::layout::{self, Layout};
use crate::path::{self, Root, Unknown};
use crate::syntax::{Argument, Call, CompareOp, Expr, ExprKind, MathOp, Path};
use crate::value::Val;
use crate::{Context, Env, EvalError, ParseError};

/// A condition that runs.
#[derive(Debug)]
pub(crate) enum Test {
    Const(bool),
    Compare(CompareOp, Get, Get),
    Truth(Get),
    Not(Box<Test>),
    And(Vec<Test>),
    Or(Vec<Test>),
}

/// A value that is got.
#[derive(Debug)]
pub(crate) enum Get {
    Literal(Value),
    Access(Access),
    Call(Box<ConverterCall>, Vec<Key>),
    Math(MathOp, Box<Get>, Box<Get>),
    List(Vec<Get>),
    Map(Vec<(String, Get)>),
}

/// A path.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) root: Root,
    pub(crate) keys: Vec<Key>,
}

#[derive(Debug)]
pub(crate) enum Key {
    Name(String),
    Index(i64),
    Dynamic(Get),
}

/// The arguments of a call, by parameter.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) function: &'static str,
    given: Vec<Given>,
}

/// One argument.
#[derive(Debug)]
pub(crate) enum Given {
    Nothing,
    Get(Get),
    Target(Access),
    Regex(Regex),
    Function(&'static functions::Converter),
    TimeFormat(Layout),
    Location(TimeZone),
}

#[derive(Debug)]
pub(crate) struct ConverterCall {
    arguments: Arguments,
    run: functions::RunConverter,
}

#[derive(Debug)]
pub(crate) struct EditorCall {
    arguments: Arguments,
    run: functions::RunEditor,
}

impl ConverterCall {
    pub(crate) fn run<'v>(&'v self, env: &'v Env<'_, '_>) -> Result<Val<'v>, EvalError> {
        (self.run)(&self.arguments, env)
    }
}

impl EditorCall {
    pub(crate) fn run(&self, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
        (self.run)(&self.arguments, env)
    }
}

impl EditorCall {
    /// Whether the target belongs to a level above the context; without a target, the metric is changed.
    pub(crate) fn writes_above(&self, context: &Context) -> bool {
        let targets = || {
            self.arguments.given.iter().filter_map(|given| match given {
                Given::Target(access) => Some(access),
                _ => None,
            })
        };
        targets().next().is_none() || targets().any(|access| access.root.is_above(context))
    }
}

impl Arguments {
    /// Those of a call with one text.
    pub(crate) fn of_text(function: &'static str, text: String) -> Self {
        Self { function, given: vec![Given::Get(Get::Literal(Value::String(text)))] }
    }

    pub(crate) fn given(&self, index: usize) -> &Given {
        self.given.get(index).unwrap_or(&Given::Nothing)
    }

    /// A failure of this call.
    pub(crate) fn error(&self, reason: impl Into<String>) -> EvalError {
        EvalError::Function { function: self.function, reason: reason.into() }
    }
}

/// Compiles the expressions of a text.
pub(crate) struct Compiler<'c> {
    pub(crate) text: &'c str,
    pub(crate) context: &'c Context,
}

impl Compiler<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, at, message)
    }

    fn unknown(&self, at: usize, unknown: Unknown) -> ParseError {
        self.error(at, unknown.message).with_help(unknown.help)
    }

    pub(crate) fn test(&self, expr: &Expr) -> Result<Test, ParseError> {
        let all = |terms: &[Expr]| {
            terms.iter().map(|term| self.test(term)).collect::<Result<Vec<Test>, ParseError>>()
        };
        Ok(match &expr.kind {
            ExprKind::Literal(Value::Bool(holds)) => Test::Const(*holds),
            ExprKind::Compare(op, left, right) => Test::Compare(*op, self.get(left)?, self.get(right)?),
            ExprKind::Not(inner) => Test::Not(Box::new(self.test(inner)?)),
            ExprKind::And(terms) => Test::And(all(terms)?),
            ExprKind::Or(terms) => Test::Or(all(terms)?),
            ExprKind::Call(_) => Test::Truth(self.get(expr)?),
            _ => {
                let message =
                    "expected a condition: a comparison, a function that gives a truth value, true or false";
                return Err(self.error(expr.at, message));
            }
        })
    }

    pub(crate) fn get(&self, expr: &Expr) -> Result<Get, ParseError> {
        Ok(match &expr.kind {
            ExprKind::Literal(value) => Get::Literal(value.clone()),
            ExprKind::Enum(name) => Get::Literal(Value::Int(
                path::number_of(name).map_err(|unknown| self.unknown(expr.at, unknown))?,
            )),
            ExprKind::List(items) => {
                Get::List(items.iter().map(|item| self.get(item)).collect::<Result<_, _>>()?)
            }
            ExprKind::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| Ok((key.clone(), self.get(value)?)));
                Get::Map(pairs.collect::<Result<_, ParseError>>()?)
            }
            ExprKind::Path(path) => Get::Access(self.access(expr.at, path)?),
            ExprKind::Call(call) => Get::Call(Box::new(self.converter(call)?), self.keys(&call.keys)?),
            ExprKind::Negative(inner) => {
                Get::Math(MathOp::Subtract, Box::new(Get::Literal(Value::Int(0))), Box::new(self.get(inner)?))
            }
            ExprKind::Math(op, left, right) => {
                Get::Math(*op, Box::new(self.get(left)?), Box::new(self.get(right)?))
            }
            ExprKind::Compare(..) | ExprKind::Not(_) | ExprKind::And(_) | ExprKind::Or(_) => {
                return Err(self.error(expr.at, "expected a value but found a condition"));
            }
        })
    }

    fn access(&self, at: usize, path: &Path) -> Result<Access, ParseError> {
        let root = path::resolve(&path.words, self.context).map_err(|unknown| self.unknown(at, unknown))?;
        Ok(Access { root, keys: self.keys(&path.keys)? })
    }

    fn keys(&self, keys: &[Expr]) -> Result<Vec<Key>, ParseError> {
        let key = |key: &Expr| {
            Ok(match self.get(key)? {
                Get::Literal(Value::String(name)) => Key::Name(name),
                Get::Literal(Value::Int(index)) => Key::Index(index),
                Get::Literal(_) => return Err(self.error(key.at, "expected a string or an integer as key")),
                get => Key::Dynamic(get),
            })
        };
        keys.iter().map(key).collect()
    }

    fn converter(&self, call: &Call) -> Result<ConverterCall, ParseError> {
        let known = functions::converters().find(|converter| converter.name == call.name);
        let Some(converter) = known else {
            let names = functions::converters().map(|converter| converter.name);
            return Err(self.unknown_function(call.at, &call.name, "converter", names));
        };
        let arguments = self.arguments(call, converter.name, converter.parameters)?;
        Ok(ConverterCall { arguments, run: converter.run })
    }

    pub(crate) fn editor(&self, call: &Call) -> Result<EditorCall, ParseError> {
        let Some(editor) = functions::editors().find(|editor| editor.name == call.name) else {
            let names = functions::editors().map(|editor| editor.name);
            return Err(self.unknown_function(call.at, &call.name, "editor", names));
        };
        let arguments = self.arguments(call, editor.name, editor.parameters)?;
        Ok(EditorCall { arguments, run: editor.run })
    }

    fn unknown_function(
        &self,
        at: usize,
        name: &str,
        what: &str,
        names: impl Iterator<Item = &'static str> + Clone,
    ) -> ParseError {
        let help = nearest(name, names.clone())
            .or_else(|| Some(format!("known: {}", names.collect::<Vec<_>>().join(", "))));
        self.error(at, format!("unknown {what} `{name}`")).with_help(help)
    }

    fn arguments(
        &self,
        call: &Call,
        function: &'static str,
        parameters: &'static [Parameter],
    ) -> Result<Arguments, ParseError> {
        let mut given: Vec<Option<Given>> = parameters.iter().map(|_| None).collect();
        for (position, argument) in call.arguments.iter().enumerate() {
            let index = self.position(function, parameters, position, argument)?;
            let (Some(parameter), Some(slot)) = (parameters.get(index), given.get_mut(index)) else {
                continue;
            };
            if slot.is_some() {
                let message = format!("argument `{}` of {function} is given twice", parameter.name);
                return Err(self.error(argument.value.at, message));
            }
            *slot = Some(self.argument(function, parameter, &argument.value)?);
        }
        let missing =
            parameters.iter().zip(&given).find(|(parameter, given)| given.is_none() && !parameter.optional);
        if let Some((parameter, _)) = missing {
            return Err(self.error(call.at, format!("{function} needs the argument `{}`", parameter.name)));
        }
        let given = given.into_iter().map(|given| given.unwrap_or(Given::Nothing)).collect();
        Ok(Arguments { function, given })
    }

    fn position(
        &self,
        function: &str,
        parameters: &[Parameter],
        position: usize,
        argument: &Argument,
    ) -> Result<usize, ParseError> {
        let at = argument.value.at;
        let Some(name) = &argument.name else {
            if position < parameters.len() {
                return Ok(position);
            }
            let message = format!("{function} takes {} arguments at most", parameters.len());
            return Err(self.error(at, message));
        };
        // As upstream, which accepts `regex_pattern` and `regexPattern` for the same argument.
        let is_same = |parameter: &Parameter| camel_case(parameter.name).eq(camel_case(name));
        parameters.iter().position(is_same).ok_or_else(|| {
            let names = parameters.iter().map(|parameter| parameter.name);
            self.error(at, format!("{function} has no argument `{name}`")).with_help(nearest(name, names))
        })
    }

    fn argument(&self, function: &str, parameter: &Parameter, value: &Expr) -> Result<Given, ParseError> {
        let expected = |what: &str| {
            self.error(value.at, format!("expected {what} as argument `{}` of {function}", parameter.name))
        };
        match parameter.takes {
            Takes::Any => self.get(value).map(Given::Get),
            Takes::Target => match &value.kind {
                ExprKind::Path(path) => {
                    let access = self.access(value.at, path)?;
                    if matches!(access.root, Root::MetricType | Root::SpanKind(_)) {
                        return Err(expected("a path that can be set"));
                    }
                    Ok(Given::Target(access))
                }
                _ => Err(expected("a path")),
            },
            Takes::Pattern | Takes::Glob => {
                let ExprKind::Literal(Value::String(pattern)) = &value.kind else {
                    return Err(expected("a string literal"));
                };
                let glob = matches!(parameter.takes, Takes::Glob).then(|| functions::glob(pattern));
                helper::go_regex(glob.as_deref().unwrap_or(pattern)).map(Given::Regex).map_err(|error| {
                    self.error(
                        value.at,
                        format!("the pattern of {function} is not a regular expression: {error}"),
                    )
                })
            }
            Takes::One(words) => match &value.kind {
                ExprKind::Literal(Value::String(word)) if words.contains(&word.as_str()) => {
                    self.get(value).map(Given::Get)
                }
                _ => Err(expected(&format!("one of {}", words.join(", ")))),
            },
            Takes::Function => {
                let what = "the name of a converter that takes one value, such as SHA256,";
                let ExprKind::Enum(name) = &value.kind else { return Err(expected(what)) };
                let fitting = functions::converters().filter(|converter| converter.takes_one_value());
                match fitting.clone().find(|converter| converter.name == name) {
                    Some(converter) => Ok(Given::Function(converter)),
                    None if functions::converters().any(|converter| converter.name == name) => {
                        Err(expected(what))
                    }
                    None => {
                        let names = fitting.map(|converter| converter.name);
                        Err(self.unknown_function(value.at, name, "converter", names))
                    }
                }
            }
            Takes::TimeFormat | Takes::Location | Takes::Locale => {
                let ExprKind::Literal(Value::String(text)) = &value.kind else {
                    return Err(expected("a string literal"));
                };
                let given = match parameter.takes {
                    Takes::TimeFormat => Layout::parse(text).map(Given::TimeFormat),
                    Takes::Location => layout::time_zone(text).map(Given::Location),
                    _ => layout::check_locale(text).map(|()| Given::Nothing),
                };
                given.map_err(|reason| self.error(value.at, reason))
            }
        }
    }
}

/// The characters of `regexPattern` and of `regex_pattern`, which are the same.
fn camel_case(name: &str) -> impl Iterator<Item = char> {
    let mut capital = true;
    name.chars().filter_map(move |c| {
        let was_capital = std::mem::replace(&mut capital, c == '_');
        (c != '_').then(|| if was_capital { c.to_ascii_uppercase() } else { c })
    })
}
