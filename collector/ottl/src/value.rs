//! Values while statements run, and how they compare.

use std::borrow::Cow;
use std::cmp::Ordering;

use confmap::duration::GoDuration;
use helper::text::{value_text, write_go};
use pdata::{AnyValueView, Value};

use crate::EvalError;
use crate::syntax::{CompareOp, MathOp};

/// A value that is read where it stands as long as possible.
#[derive(Debug, Clone)]
pub(crate) enum Val<'v> {
    View(AnyValueView<'v>),
    Ref(&'v Value),
    Owned(Value),
    /// A point in time, Unix time in nanoseconds; no value that telemetry can hold.
    Time(i64),
    /// A length of time in nanoseconds; no value that telemetry can hold.
    Duration(i64),
}

/// A value without regard to where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'v> {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'v str),
    Bytes(&'v [u8]),
    List,
    Map,
    Time(i64),
    Duration(i64),
}

impl From<Value> for Val<'_> {
    fn from(value: Value) -> Self {
        Self::Owned(value)
    }
}

impl Val<'_> {
    pub(crate) const NIL: Val<'static> = Val::View(AnyValueView::Empty);

    pub(crate) fn shape(&self) -> Shape<'_> {
        match self {
            Self::View(view) => match *view {
                AnyValueView::Empty => Shape::Nil,
                AnyValueView::Bool(value) => Shape::Bool(value),
                AnyValueView::Int(value) => Shape::Int(value),
                AnyValueView::Double(value) => Shape::Double(value),
                AnyValueView::String(text) => Shape::Text(text),
                AnyValueView::Bytes(bytes) => Shape::Bytes(bytes),
                AnyValueView::Array(_) => Shape::List,
                AnyValueView::KeyValues(_) => Shape::Map,
            },
            Self::Ref(value) => shape(value),
            Self::Owned(value) => shape(value),
            Self::Time(nanos) => Shape::Time(*nanos),
            Self::Duration(nanos) => Shape::Duration(*nanos),
        }
    }

    pub(crate) fn is_nil(&self) -> bool {
        matches!(self.shape(), Shape::Nil)
    }

    /// The value as telemetry holds it; nothing of times, which upstream ignores where they cannot stand.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::View(view) => Value::from(view),
            Self::Ref(value) => value.clone(),
            Self::Owned(value) => value,
            Self::Time(_) | Self::Duration(_) => Value::Empty,
        }
    }

    /// Calls `read` with a view of the value.
    pub(crate) fn with_view<R>(&self, read: impl FnOnce(AnyValueView<'_>) -> R) -> R {
        let mut memory = Vec::new();
        match self {
            Self::View(view) => read(*view),
            Self::Ref(value) => read(value.view_in(&mut memory)),
            Self::Owned(value) => read(value.view_in(&mut memory)),
            Self::Time(_) | Self::Duration(_) => read(AnyValueView::Empty),
        }
    }

    /// The text, or what stands for a value of another type: numbers in digits, lists and maps as JSON; nothing for nil.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self.shape() {
            Shape::Nil => None,
            Shape::Text(text) => Some(Cow::Borrowed(text)),
            Shape::Bytes(bytes) => Some(Cow::Owned(hex(bytes))),
            Shape::Time(nanos) => Some(Cow::Owned(time_text(nanos))),
            Shape::Duration(nanos) => Some(Cow::Owned(GoDuration(nanos).to_string())),
            _ => Some(Cow::Owned(self.with_view(value_text))),
        }
    }

    /// As Go's `%v` prints it.
    pub(crate) fn write_go(&self, out: &mut String) {
        if let Self::Time(_) | Self::Duration(_) = self {
            out.push_str(&self.text().unwrap_or_default());
            return;
        }
        self.with_view(|view| write_go(out, view));
    }

    /// The type, as errors call it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.shape() {
            Shape::Nil => "nil",
            Shape::Bool(_) => "bool",
            Shape::Int(_) => "int",
            Shape::Double(_) => "double",
            Shape::Text(_) => "string",
            Shape::Bytes(_) => "bytes",
            Shape::List => "list",
            Shape::Map => "map",
            Shape::Time(_) => "time",
            Shape::Duration(_) => "duration",
        }
    }

    pub(crate) fn mismatch(&self, expected: &'static str) -> EvalError {
        EvalError::Type { expected, got: self.type_name() }
    }
}

fn shape(value: &Value) -> Shape<'_> {
    match value {
        Value::Empty => Shape::Nil,
        Value::Bool(value) => Shape::Bool(*value),
        Value::Int(value) => Shape::Int(*value),
        Value::Double(value) => Shape::Double(*value),
        Value::String(text) => Shape::Text(text),
        Value::Bytes(bytes) => Shape::Bytes(bytes),
        Value::Array(_) => Shape::List,
        Value::KeyValues(_) => Shape::Map,
    }
}

/// A point in time in RFC 3339, with as many digits of a second as it has.
fn time_text(nanos: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| nanos.to_string(), |time| time.to_string())
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Whether a comparison holds: values of unlike types are unequal and have no order.
pub(crate) fn compare(op: CompareOp, left: &Val<'_>, right: &Val<'_>) -> bool {
    let order = match (left.shape(), right.shape()) {
        (Shape::Nil, Shape::Nil) => return matches!(op, CompareOp::Equal),
        (Shape::Bool(left), Shape::Bool(right)) => Some(left.cmp(&right)),
        (Shape::Int(left), Shape::Int(right)) => Some(left.cmp(&right)),
        (Shape::Int(left), Shape::Double(right)) => (left as f64).partial_cmp(&right),
        (Shape::Double(left), Shape::Int(right)) => left.partial_cmp(&(right as f64)),
        (Shape::Double(left), Shape::Double(right)) => left.partial_cmp(&right),
        (Shape::Text(left), Shape::Text(right)) => Some(left.cmp(right)),
        (Shape::Bytes(left), Shape::Bytes(right)) => Some(left.cmp(right)),
        (Shape::Time(left), Shape::Time(right)) | (Shape::Duration(left), Shape::Duration(right)) => {
            Some(left.cmp(&right))
        }
        (Shape::List, Shape::List) | (Shape::Map, Shape::Map) => {
            let equal = equal(&left.clone().into_value(), &right.clone().into_value());
            return match op {
                CompareOp::Equal => equal,
                CompareOp::NotEqual => !equal,
                _ => false,
            };
        }
        _ => None,
    };
    match op {
        CompareOp::Equal => order == Some(Ordering::Equal),
        CompareOp::NotEqual => order != Some(Ordering::Equal),
        CompareOp::Less => order == Some(Ordering::Less),
        CompareOp::LessOrEqual => order.is_some_and(Ordering::is_le),
        CompareOp::Greater => order == Some(Ordering::Greater),
        CompareOp::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    }
}

/// Whether two values are the same; the order of a map's keys does not count.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::KeyValues(left), Value::KeyValues(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| {
                    right.iter().find(|(other, _)| other == key).is_some_and(|(_, other)| equal(value, other))
                })
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        _ => left == right,
    }
}

/// Whether a value that stands somewhere is the very same: setting it would change nothing.
pub(crate) fn same(old: AnyValueView<'_>, new: &Value) -> bool {
    match (old, new) {
        (AnyValueView::String(old), Value::String(new)) => old == new,
        (AnyValueView::Bool(old), Value::Bool(new)) => old == *new,
        (AnyValueView::Int(old), Value::Int(new)) => old == *new,
        (AnyValueView::Double(old), Value::Double(new)) => old.to_bits() == new.to_bits(),
        (AnyValueView::Empty, Value::Empty) => true,
        _ => false,
    }
}

/// Reckons with two numbers: of integers, an integer. Times and lengths of time are added and subtracted.
pub(crate) fn math(op: MathOp, left: &Val<'_>, right: &Val<'_>) -> Result<Val<'static>, EvalError> {
    let by_zero = || EvalError::Arithmetic("attempted to divide by 0");
    match (left.shape(), op, right.shape()) {
        (Shape::Int(left), op, Shape::Int(right)) => {
            return Ok(Val::Owned(Value::Int(match op {
                MathOp::Add => left.wrapping_add(right),
                MathOp::Subtract => left.wrapping_sub(right),
                MathOp::Multiply => left.wrapping_mul(right),
                MathOp::Divide if right == 0 => return Err(by_zero()),
                MathOp::Divide => left.wrapping_div(right),
            })));
        }
        (Shape::Time(left), MathOp::Subtract, Shape::Time(right)) => {
            return Ok(Val::Duration(left.saturating_sub(right)));
        }
        (Shape::Time(left), MathOp::Add, Shape::Duration(right))
        | (Shape::Duration(left), MathOp::Add, Shape::Time(right)) => {
            return Ok(Val::Time(left.saturating_add(right)));
        }
        (Shape::Time(left), MathOp::Subtract, Shape::Duration(right)) => {
            return Ok(Val::Time(left.saturating_sub(right)));
        }
        (Shape::Duration(left), MathOp::Add, Shape::Duration(right)) => {
            return Ok(Val::Duration(left.saturating_add(right)));
        }
        (Shape::Duration(left), MathOp::Subtract, Shape::Duration(right)) => {
            return Ok(Val::Duration(left.saturating_sub(right)));
        }
        _ => {}
    }
    let number = |value: &Val<'_>| match value.shape() {
        Shape::Int(value) => Ok(value as f64),
        Shape::Double(value) => Ok(value),
        _ => Err(value.mismatch("int or double")),
    };
    let (left, right) = (number(left)?, number(right)?);
    Ok(Val::Owned(Value::Double(match op {
        MathOp::Add => left + right,
        MathOp::Subtract => left - right,
        MathOp::Multiply => left * right,
        MathOp::Divide if right == 0.0 => return Err(by_zero()),
        MathOp::Divide => left / right,
    })))
}
