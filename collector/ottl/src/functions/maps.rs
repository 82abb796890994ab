//! Maps that editors change as a whole.

use pdata::{KeyValueView, Value};

use crate::compile::{Access, Arguments};
use crate::path::Root;
use crate::value::Val;
use crate::{Env, EvalError};

/// Removes the entries for which `keep` says no.
pub(super) fn retain(
    arguments: &Arguments,
    env: &mut Env<'_, '_>,
    mut keep: impl FnMut(&str) -> bool,
) -> Result<(), EvalError> {
    let access = arguments.target(0)?;
    if let (Root::Field(field), []) = (access.root, access.keys.as_slice()) {
        env.place.retain_attributes(field, |pair: &KeyValueView<'_>| keep(pair.key));
        return Ok(());
    }
    edit(access, env, |pairs| {
        let before = pairs.len();
        pairs.retain(|(key, _)| keep(key));
        pairs.len() != before
    })
}

/// Lets `edit` change the entries; it says whether it did. A target that is no map is an error.
pub(super) fn edit(
    access: &Access,
    env: &mut Env<'_, '_>,
    edit: impl FnOnce(&mut Vec<(String, Value)>) -> bool,
) -> Result<(), EvalError> {
    try_edit(access, env, |pairs, _| Ok(edit(pairs)))
}

/// The same for what may fail, or needs what the statement runs on; nothing changes if it fails.
pub(super) fn try_edit(
    access: &Access,
    env: &mut Env<'_, '_>,
    edit: impl FnOnce(&mut Vec<(String, Value)>, &Env<'_, '_>) -> Result<bool, EvalError>,
) -> Result<(), EvalError> {
    let value = access.get(env)?;
    let mut pairs = match value.clone().into_value() {
        Value::KeyValues(pairs) => pairs,
        _ => return Err(value.mismatch("map")),
    };
    if edit(&mut pairs, env)? {
        access.set(env, Value::KeyValues(pairs))?;
    }
    Ok(())
}

/// Lets `change` give the new text of every string in a map.
pub(super) fn map_texts(
    access: &Access,
    env: &mut Env<'_, '_>,
    mut change: impl FnMut(&str) -> Option<String>,
) -> Result<(), EvalError> {
    edit(access, env, |pairs| {
        let mut changed = false;
        for (_, value) in pairs {
            if let Value::String(text) = value
                && let Some(new) = change(text)
                && new != *text
            {
                *text = new;
                changed = true;
            }
        }
        changed
    })
}

/// The entries of a map argument.
pub(super) fn entries(value: &Val<'_>) -> Result<Vec<(String, Value)>, EvalError> {
    match value.clone().into_value() {
        Value::KeyValues(pairs) => Ok(pairs),
        _ => Err(value.mismatch("map")),
    }
}
