//! Reading and setting what expressions name.

use pdata::rewrite::DataKind;
use pdata::{AnyValueView, Value};

use crate::compile::{Access, Get, Key, Test};
use crate::path::{Root, span_kind};
use crate::value::{self, Shape, Val};
use crate::{Env, EvalError, buckets};

/// A key whose value is known.
enum Step {
    Name(String),
    Index(i64),
}

impl Test {
    pub(crate) fn holds(&self, env: &Env<'_, '_>) -> Result<bool, EvalError> {
        match self {
            Self::Const(holds) => Ok(*holds),
            Self::Compare(op, left, right) => Ok(value::compare(*op, &left.get(env)?, &right.get(env)?)),
            Self::Not(inner) => inner.holds(env).map(|holds| !holds),
            Self::And(terms) => {
                for term in terms {
                    if !term.holds(env)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(terms) => {
                for term in terms {
                    if term.holds(env)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Truth(get) => {
                let value = get.get(env)?;
                match value.shape() {
                    Shape::Bool(holds) => Ok(holds),
                    _ => Err(value.mismatch("bool")),
                }
            }
        }
    }
}

impl Get {
    pub(crate) fn get<'v>(&'v self, env: &'v Env<'_, '_>) -> Result<Val<'v>, EvalError> {
        Ok(match self {
            Self::Literal(value) => Val::Ref(value),
            Self::Access(access) => access.get(env)?,
            Self::Call(call, keys) => follow(call.run(env)?, keys, env)?,
            Self::Math(op, left, right) => value::math(*op, &left.get(env)?, &right.get(env)?)?,
            Self::List(items) => {
                let values: Result<Vec<Value>, EvalError> =
                    items.iter().map(|item| Ok(item.get(env)?.into_value())).collect();
                Value::Array(values?).into()
            }
            Self::Map(pairs) => {
                let values: Result<Vec<(String, Value)>, EvalError> =
                    pairs.iter().map(|(key, item)| Ok((key.clone(), item.get(env)?.into_value()))).collect();
                Value::KeyValues(values?).into()
            }
        })
    }
}

impl Access {
    pub(crate) fn get<'v>(&'v self, env: &'v Env<'_, '_>) -> Result<Val<'v>, EvalError> {
        let place = &*env.place;
        let root = match self.root {
            Root::Field(field) | Root::Value(field) => Val::View(place.get(field)),
            Root::HexId(field) => match place.get(field) {
                AnyValueView::Bytes(bytes) => Value::String(value::hex(bytes)).into(),
                _ => Val::NIL,
            },
            Root::Text(field) => {
                let value = Val::View(place.get(field));
                if let Val::View(AnyValueView::String(_)) = value {
                    value
                } else {
                    Value::String(value.text().unwrap_or_default().into_owned()).into()
                }
            }
            Root::SpanKind(field) => match place.get(field) {
                AnyValueView::Int(kind) => Val::View(AnyValueView::String(span_kind(kind))),
                _ => Val::NIL,
            },
            Root::Time(field) => match place.get(field) {
                AnyValueView::Int(nanos) => Val::Time(nanos),
                _ => Val::NIL,
            },
            Root::BucketCounts(_)
            | Root::Bounds(_)
            | Root::Offset(..)
            | Root::ExponentialCounts(..)
            | Root::Quantiles
            | Root::Exemplars => buckets::get(self.root, place).into(),
            Root::MetricType => Value::Int(match place.data_kind() {
                None => 0,
                Some(DataKind::Gauge) => 1,
                Some(DataKind::Sum) => 2,
                Some(DataKind::Histogram) => 3,
                Some(DataKind::ExponentialHistogram) => 4,
                Some(DataKind::Summary) => 5,
            })
            .into(),
            Root::Cache => match &env.cache {
                Value::Empty => Value::KeyValues(Vec::new()).into(),
                cache => Val::Ref(cache),
            },
        };
        follow(root, &self.keys, env)
    }

    /// Sets what the path leads to. A value of a type that cannot stand there is ignored, as upstream does.
    pub(crate) fn set(&self, env: &mut Env<'_, '_>, value: Value) -> Result<(), EvalError> {
        let steps = self.steps(env)?;
        match (self.root, steps.as_slice()) {
            (Root::Field(field) | Root::Value(field), []) => {
                if !value::same(env.place.get(field), &value) {
                    env.place.set(field, &value);
                }
            }
            (Root::Value(field), steps) => {
                let mut whole = Value::from(env.place.get(field));
                set_within(&mut whole, steps, value)?;
                env.place.set(field, &whole);
            }
            (Root::Field(field), [Step::Name(name), rest @ ..]) => {
                let old = env.place.attributes(field).get(name);
                if rest.is_empty() {
                    if !old.is_some_and(|old| value::same(old, &value)) {
                        env.place.set_attribute(field, name, &value);
                    }
                } else {
                    let mut whole = old.map(Value::from).unwrap_or_default();
                    set_within(&mut whole, rest, value)?;
                    env.place.set_attribute(field, name, &whole);
                }
            }
            (Root::Field(_), [Step::Index(_), ..]) => return Err(EvalError::Index("map")),
            (Root::HexId(field), []) => {
                if let Value::String(text) = &value
                    && let Some(bytes) = crate::lexer::hex(text)
                {
                    env.place.set(field, &Value::Bytes(bytes));
                }
            }
            (Root::Text(field), []) => {
                env.place.set(field, &value);
            }
            (Root::Cache, steps) => set_within(&mut env.cache, steps, value)?,
            (root @ (Root::BucketCounts(_) | Root::Bounds(_)), []) => buckets::set(root, env.place, &value),
            (root @ (Root::Offset(..) | Root::ExponentialCounts(..)), []) => {
                buckets::set(root, env.place, &value);
            }
            (
                Root::HexId(_)
                | Root::Text(_)
                | Root::SpanKind(_)
                | Root::Time(_)
                | Root::BucketCounts(_)
                | Root::Bounds(_)
                | Root::Offset(..)
                | Root::ExponentialCounts(..)
                | Root::Quantiles
                | Root::Exemplars
                | Root::MetricType,
                _,
            ) => {}
        }
        Ok(())
    }

    /// Sets a time, Unix time in nanoseconds; nothing happens where none can stand.
    pub(crate) fn set_time(&self, env: &mut Env<'_, '_>, nanos: i64) {
        if let (Root::Time(field), []) = (self.root, self.keys.as_slice())
            && !matches!(env.place.get(field), AnyValueView::Int(old) if old == nanos)
        {
            env.place.set(field, &Value::Int(nanos));
        }
    }

    fn steps(&self, env: &Env<'_, '_>) -> Result<Vec<Step>, EvalError> {
        self.keys.iter().map(|key| key.step(env)).collect()
    }
}

impl Key {
    fn step(&self, env: &Env<'_, '_>) -> Result<Step, EvalError> {
        Ok(match self {
            Self::Name(name) => Step::Name(name.clone()),
            Self::Index(index) => Step::Index(*index),
            Self::Dynamic(get) => {
                let key = get.get(env)?;
                match key.shape() {
                    Shape::Text(name) => Step::Name(name.to_owned()),
                    Shape::Int(index) => Step::Index(index),
                    _ => return Err(key.mismatch("string or int")),
                }
            }
        })
    }
}

/// What the keys pick from a value; nil where there is nothing.
fn follow<'v>(mut value: Val<'v>, keys: &'v [Key], env: &'v Env<'_, '_>) -> Result<Val<'v>, EvalError> {
    for key in keys {
        value = match key {
            Key::Name(name) => pick_name(value, name)?,
            key => match key.step(env)? {
                Step::Name(name) => pick_name(value, &name)?,
                Step::Index(index) => pick_index(value, index)?,
            },
        };
    }
    Ok(value)
}

fn pick_name<'v>(value: Val<'v>, name: &str) -> Result<Val<'v>, EvalError> {
    let found =
        |pairs: &'v [(String, Value)]| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    Ok(match value {
        Val::View(AnyValueView::KeyValues(pairs)) => pairs.get(name).map_or(Val::NIL, Val::View),
        Val::Ref(Value::KeyValues(pairs)) => found(pairs).map_or(Val::NIL, Val::Ref),
        Val::Owned(Value::KeyValues(pairs)) => {
            pairs.into_iter().find(|(key, _)| key == name).map_or(Val::NIL, |(_, value)| Val::Owned(value))
        }
        value if value.is_nil() => Val::NIL,
        value => return Err(EvalError::Index(value.type_name())),
    })
}

fn pick_index(value: Val<'_>, index: i64) -> Result<Val<'_>, EvalError> {
    let position = usize::try_from(index).map_err(|_| EvalError::Arithmetic("index is negative"))?;
    let picked = match value {
        Val::View(AnyValueView::Array(array)) => array.values().nth(position).map(Val::View),
        Val::Ref(Value::Array(values)) => values.get(position).map(Val::Ref),
        Val::Owned(Value::Array(values)) => values.into_iter().nth(position).map(Val::Owned),
        value if value.is_nil() => return Ok(Val::NIL),
        value => return Err(EvalError::Index(value.type_name())),
    };
    picked.ok_or(EvalError::Arithmetic("index out of bounds"))
}

/// Sets what the keys lead to in a value, making maps where there is nothing.
fn set_within(value: &mut Value, steps: &[Step], new: Value) -> Result<(), EvalError> {
    let Some((first, rest)) = steps.split_first() else {
        *value = new;
        return Ok(());
    };
    match (first, &mut *value) {
        (Step::Name(name), Value::KeyValues(pairs)) => {
            if let Some((_, inner)) = pairs.iter_mut().find(|(key, _)| key == name) {
                return set_within(inner, rest, new);
            }
            let mut inner = Value::Empty;
            set_within(&mut inner, rest, new)?;
            pairs.push((name.clone(), inner));
            Ok(())
        }
        (Step::Name(_), Value::Empty) => {
            *value = Value::KeyValues(Vec::new());
            set_within(value, steps, new)
        }
        (Step::Index(index), Value::Array(values)) => {
            let inner = usize::try_from(*index).ok().and_then(|index| values.get_mut(index));
            set_within(inner.ok_or(EvalError::Arithmetic("index out of bounds"))?, rest, new)
        }
        (_, other) => Err(EvalError::Index(Val::Ref(other).type_name())),
    }
}
