//! Functions that change something.

use pdata::Value;
use pdata::rewrite::DataKind;

use super::{Editor, Parameter, Takes, maps, optional, parameter};
use crate::compile::Arguments;
use crate::value::{Shape, Val};
use crate::{Env, EvalError};

const TARGET: Parameter = parameter("target", Takes::Target);

/// All of them.
pub(crate) const EDITORS: &[Editor] = &[
    Editor {
        name: "append",
        parameters: &[TARGET, optional("value", Takes::Any), optional("values", Takes::Any)],
        run: append,
    },
    Editor {
        name: "convert_gauge_to_sum",
        parameters: &[
            parameter("aggregation_temporality", Takes::One(&["delta", "cumulative"])),
            parameter("is_monotonic", Takes::Any),
        ],
        run: gauge_to_sum,
    },
    Editor { name: "convert_sum_to_gauge", parameters: &[], run: sum_to_gauge },
    Editor { name: "delete_key", parameters: &[TARGET, parameter("key", Takes::Any)], run: delete_key },
    Editor { name: "delete_keys", parameters: &[TARGET, parameter("keys", Takes::Any)], run: delete_keys },
    Editor {
        name: "delete_matching_keys",
        parameters: &[TARGET, parameter("pattern", Takes::Pattern)],
        run: delete_matching_keys,
    },
    Editor { name: "keep_keys", parameters: &[TARGET, parameter("keys", Takes::Any)], run: keep_keys },
    Editor {
        name: "keep_matching_keys",
        parameters: &[TARGET, parameter("pattern", Takes::Pattern)],
        run: keep_matching_keys,
    },
    Editor {
        name: "limit",
        parameters: &[TARGET, parameter("limit", Takes::Any), optional("priority_keys", Takes::Any)],
        run: limit,
    },
    Editor {
        name: "merge_maps",
        parameters: &[
            TARGET,
            parameter("source", Takes::Any),
            parameter("strategy", Takes::One(&["insert", "update", "upsert"])),
        ],
        run: merge_maps,
    },
    Editor { name: "set", parameters: &[TARGET, parameter("value", Takes::Any)], run: set },
    Editor { name: "truncate_all", parameters: &[TARGET, parameter("limit", Takes::Any)], run: truncate_all },
];

/// nil changes nothing.
fn set(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let value = arguments.value(1, env)?;
    let time = match value.shape() {
        Shape::Time(nanos) => Some(nanos),
        _ => None,
    };
    let value = value.into_value();
    let target = arguments.target(0)?;
    match time {
        Some(nanos) => target.set_time(env, nanos),
        None if value == Value::Empty => {}
        None => target.set(env, value)?,
    }
    Ok(())
}

fn delete_key(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let doomed = arguments.text(1, env)?;
    maps::retain(arguments, env, |key| key != doomed)
}

fn delete_keys(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let doomed = arguments.texts(1, env)?;
    maps::retain(arguments, env, |key| !doomed.iter().any(|doomed| doomed == key))
}

fn delete_matching_keys(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let regex = arguments.regex(1)?;
    maps::retain(arguments, env, |key| !regex.is_match(key))
}

fn keep_keys(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let kept = arguments.texts(1, env)?;
    maps::retain(arguments, env, |key| kept.iter().any(|kept| kept == key))
}

fn keep_matching_keys(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let regex = arguments.regex(1)?;
    maps::retain(arguments, env, |key| regex.is_match(key))
}

/// Keeps the priority keys first, then the others in order, up to the limit.
fn limit(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let limit = arguments.count(1, env)?;
    let priority = if arguments.is_given(2) { arguments.texts(2, env)? } else { Vec::new() };
    if priority.len() > limit {
        return Err(
            arguments.error(format!("{} priority keys do not fit the limit of {limit}", priority.len()))
        );
    }
    maps::edit(arguments.target(0)?, env, |pairs| {
        if pairs.len() <= limit {
            return false;
        }
        let is_priority = |key: &str| priority.iter().any(|priority| priority == key);
        let reserved = pairs.iter().filter(|(key, _)| is_priority(key)).count();
        let mut others = limit.saturating_sub(reserved);
        pairs.retain(|(key, _)| {
            let other = !is_priority(key);
            let kept = !other || others > 0;
            others -= usize::from(other && kept);
            kept
        });
        true
    })
}

/// Cuts strings to the limit in bytes, before the character that goes beyond it.
fn truncate_all(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let limit = arguments.count(1, env)?;
    maps::map_texts(arguments.target(0)?, env, |text| {
        let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.get(..end).filter(|_| text.len() > limit).map(str::to_owned)
    })
}

fn merge_maps(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let source = maps::entries(&arguments.value(1, env)?)?;
    let strategy = arguments.text(2, env)?;
    maps::edit(arguments.target(0)?, env, |pairs| {
        let mut changed = false;
        for (key, value) in source {
            let old = pairs.iter_mut().find(|(other, _)| *other == key);
            match (old, strategy.as_str()) {
                (Some((_, old)), "update" | "upsert") => {
                    changed |= *old != value;
                    *old = value;
                }
                (None, "insert" | "upsert") => {
                    changed = true;
                    pairs.push((key, value));
                }
                _ => {}
            }
        }
        changed
    })
}

/// Makes a list of the target, if it is none, and appends to it.
fn append(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    let target = arguments.target(0)?;
    let mut list = match target.get(env)?.into_value() {
        Value::Array(values) => values,
        Value::Empty => Vec::new(),
        other @ Value::KeyValues(_) => return Err(Val::Ref(&other).mismatch("a list or a scalar")),
        scalar => vec![scalar],
    };
    if arguments.is_given(1) {
        list.push(arguments.value(1, env)?.into_value());
    }
    if arguments.is_given(2) {
        match arguments.value(2, env)?.into_value() {
            Value::Array(values) => list.extend(values),
            other => return Err(Val::Ref(&other).mismatch("list")),
        }
    }
    target.set(env, Value::Array(list))
}

fn sum_to_gauge(_: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    env.place.set_data_kind(DataKind::Gauge);
    Ok(())
}

fn gauge_to_sum(arguments: &Arguments, env: &mut Env<'_, '_>) -> Result<(), EvalError> {
    if env.place.data_kind() != Some(DataKind::Gauge) {
        return Ok(());
    }
    let temporality = if arguments.text(0, env)? == "delta" { 1 } else { 2 };
    let monotonic = arguments.value(1, env)?.into_value();
    env.place.set_data_kind(DataKind::Sum);
    let signal = env.place.signal();
    let field = |name| pdata::rewrite::Field::of(signal, pdata::rewrite::Part::Data, name);
    if let (Some(temporality_field), Some(monotonic_field)) =
        (field("aggregation_temporality"), field("is_monotonic"))
    {
        env.place.set(temporality_field, &Value::Int(temporality));
        env.place.set(monotonic_field, &monotonic);
    }
    Ok(())
}
