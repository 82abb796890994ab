//! Functions that give a value.

use pdata::metrics::Data;
use pdata::rewrite::{Field, Part};
use pdata::{AnyValueView, KeyValues, Value};

use super::{Converter, Takes, format, optional, parameter};
use crate::compile::Arguments;
use crate::value::{self, Shape, Val};
use crate::{Env, EvalError};

const TARGET: &[super::Parameter] = &[parameter("target", Takes::Any)];
const VALUE: &[super::Parameter] = &[parameter("value", Takes::Any)];

/// All of them.
pub(crate) const CONVERTERS: &[Converter] = &[
    Converter { name: "Bool", parameters: VALUE, run: to_bool },
    Converter {
        name: "Concat",
        parameters: &[parameter("values", Takes::Any), parameter("delimiter", Takes::Any)],
        run: concat,
    },
    Converter {
        name: "ContainsValue",
        parameters: &[parameter("target", Takes::Any), parameter("item", Takes::Any)],
        run: contains_value,
    },
    Converter {
        name: "ConvertCase",
        parameters: &[parameter("target", Takes::Any), parameter("to_case", Takes::One(&["upper", "lower"]))],
        run: convert_case,
    },
    Converter { name: "Double", parameters: VALUE, run: to_double },
    Converter {
        name: "ExtractPatterns",
        parameters: &[parameter("target", Takes::Any), parameter("pattern", Takes::Pattern)],
        run: extract_patterns,
    },
    Converter {
        name: "Format",
        parameters: &[parameter("formatString", Takes::Any), parameter("formatArguments", Takes::Any)],
        run: format_values,
    },
    Converter {
        name: "HasAttrKeyOnDatapoint",
        parameters: &[parameter("key", Takes::Any)],
        run: has_key_on_datapoint,
    },
    Converter {
        name: "HasAttrOnDatapoint",
        parameters: &[parameter("key", Takes::Any), parameter("value", Takes::Any)],
        run: has_attribute_on_datapoint,
    },
    Converter {
        name: "HasPrefix",
        parameters: &[parameter("target", Takes::Any), parameter("prefix", Takes::Any)],
        run: has_prefix,
    },
    Converter {
        name: "HasSuffix",
        parameters: &[parameter("target", Takes::Any), parameter("suffix", Takes::Any)],
        run: has_suffix,
    },
    Converter { name: "Hex", parameters: VALUE, run: to_hex },
    Converter { name: "Int", parameters: TARGET, run: to_int },
    Converter {
        name: "IsBool",
        parameters: TARGET,
        run: |arguments, env| is(arguments, env, |shape| matches!(shape, Shape::Bool(_))),
    },
    Converter {
        name: "IsDouble",
        parameters: TARGET,
        run: |arguments, env| is(arguments, env, |shape| matches!(shape, Shape::Double(_))),
    },
    Converter {
        name: "IsInt",
        parameters: TARGET,
        run: |arguments, env| is(arguments, env, |shape| matches!(shape, Shape::Int(_))),
    },
    Converter {
        name: "IsList",
        parameters: TARGET,
        run: |arguments, env| is(arguments, env, |shape| matches!(shape, Shape::List)),
    },
    Converter {
        name: "IsMap",
        parameters: TARGET,
        run: |arguments, env| is(arguments, env, |shape| matches!(shape, Shape::Map)),
    },
    Converter {
        name: "IsMatch",
        parameters: &[parameter("target", Takes::Any), parameter("pattern", Takes::Pattern)],
        run: is_match,
    },
    Converter { name: "IsRootSpan", parameters: &[], run: is_root_span },
    Converter {
        name: "IsString",
        parameters: TARGET,
        run: |arguments, env| is(arguments, env, |shape| matches!(shape, Shape::Text(_))),
    },
    Converter { name: "Len", parameters: TARGET, run: len },
    Converter { name: "ParseJSON", parameters: TARGET, run: parse_json },
    Converter {
        name: "Split",
        parameters: &[parameter("target", Takes::Any), parameter("delimiter", Takes::Any)],
        run: split,
    },
    Converter { name: "String", parameters: TARGET, run: to_string },
    Converter {
        name: "Substring",
        parameters: &[
            parameter("target", Takes::Any),
            parameter("start", Takes::Any),
            parameter("length", Takes::Any),
        ],
        run: substring,
    },
    Converter {
        name: "ToLowerCase",
        parameters: TARGET,
        run: |arguments, env| Ok(Value::String(arguments.text(0, env)?.to_lowercase()).into()),
    },
    Converter {
        name: "ToUpperCase",
        parameters: TARGET,
        run: |arguments, env| Ok(Value::String(arguments.text(0, env)?.to_uppercase()).into()),
    },
    Converter {
        name: "Trim",
        parameters: &[parameter("target", Takes::Any), optional("replacement", Takes::Any)],
        run: trim,
    },
];

type Converted<'v> = Result<Val<'v>, EvalError>;

fn truth<'v>(holds: bool) -> Converted<'v> {
    Ok(Val::Owned(Value::Bool(holds)))
}

fn is<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>, test: fn(Shape<'_>) -> bool) -> Converted<'v> {
    truth(test(arguments.value(0, env)?.shape()))
}

fn is_match<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let value = arguments.value(0, env)?;
    let regex = arguments.regex(1)?;
    truth(value.text().is_some_and(|text| regex.is_match(&text)))
}

fn is_root_span<'v>(_: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let parent = Field::of(env.place.signal(), Part::Item, "parent_span_id");
    let parent = parent.map(|field| env.place.get(field));
    truth(matches!(parent, Some(AnyValueView::Bytes(id)) if id.iter().all(|byte| *byte == 0)))
}

fn has_prefix<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    truth(arguments.text(0, env)?.starts_with(&arguments.text(1, env)?))
}

fn has_suffix<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    truth(arguments.text(0, env)?.ends_with(&arguments.text(1, env)?))
}

fn contains_value<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let target = arguments.value(0, env)?;
    let item = arguments.value(1, env)?.into_value();
    match target.clone().into_value() {
        Value::Array(values) => truth(values.iter().any(|value| value::equal(value, &item))),
        _ => Err(target.mismatch("list")),
    }
}

/// Joins values as Go prints them.
fn concat<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let delimiter = arguments.text(1, env)?;
    let values = arguments.value(0, env)?;
    let Value::Array(values) = values.clone().into_value() else { return Err(values.mismatch("list")) };
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push_str(&delimiter);
        }
        let value = Val::Ref(value);
        match value.shape() {
            Shape::Bytes(bytes) => out.push_str(&value::hex(bytes)),
            Shape::List | Shape::Map => out.push_str(&value.text().unwrap_or_default()),
            _ => value.write_go(&mut out),
        }
    }
    Ok(Value::String(out).into())
}

fn format_values<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let text = arguments.text(0, env)?;
    let values = arguments.value(1, env)?;
    let Value::Array(values) = values.clone().into_value() else { return Err(values.mismatch("list")) };
    let values: Vec<Val<'_>> = values.iter().map(Val::Ref).collect();
    Ok(Value::String(format::format(&text, &values)).into())
}

fn split<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let (target, delimiter) = (arguments.text(0, env)?, arguments.text(1, env)?);
    let part = |text: &str| Value::String(text.to_owned());
    let parts = if delimiter.is_empty() {
        target.chars().map(|c| Value::String(c.to_string())).collect()
    } else {
        target.split(&delimiter).map(part).collect()
    };
    Ok(Value::Array(parts).into())
}

/// Positions are bytes, as upstream counts them.
fn substring<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let target = arguments.text(0, env)?;
    let (start, length) = (arguments.count(1, env)?, arguments.count(2, env)?);
    if length == 0 {
        return Err(arguments.error("the length must be positive"));
    }
    let part =
        start.checked_add(length).and_then(|end| target.as_bytes().get(start..end)).ok_or_else(|| {
            arguments.error(format!(
                "{length} bytes from {start} are not within the text of {} bytes",
                target.len()
            ))
        })?;
    Ok(Value::String(String::from_utf8_lossy(part).into_owned()).into())
}

fn trim<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let target = arguments.text(0, env)?;
    let set = if arguments.is_given(1) { arguments.text(1, env)? } else { " ".to_owned() };
    Ok(Value::String(target.trim_matches(|c| set.contains(c)).to_owned()).into())
}

fn convert_case<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let target = arguments.text(0, env)?;
    let upper = arguments.text(1, env)? == "upper";
    Ok(Value::String(if upper { target.to_uppercase() } else { target.to_lowercase() }).into())
}

fn len<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let target = arguments.value(0, env)?;
    let len = match (target.shape(), &target) {
        (Shape::Text(text), _) => text.len(),
        (Shape::Bytes(bytes), _) => bytes.len(),
        (_, Val::View(AnyValueView::Array(array))) => array.values().count(),
        (_, Val::View(AnyValueView::KeyValues(pairs))) => pairs.count(),
        (_, Val::Ref(Value::Array(values)) | Val::Owned(Value::Array(values))) => values.len(),
        (_, Val::Ref(Value::KeyValues(pairs)) | Val::Owned(Value::KeyValues(pairs))) => pairs.len(),
        _ => return Err(target.mismatch("string, bytes, list or map")),
    };
    Ok(Value::Int(len as i64).into())
}

fn to_int<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    Ok(match arguments.value(0, env)?.shape() {
        Shape::Int(value) => Value::Int(value).into(),
        Shape::Double(value) => Value::Int(value as i64).into(),
        Shape::Bool(value) => Value::Int(i64::from(value)).into(),
        Shape::Text(text) => text.parse().map_or(Val::NIL, |value| Value::Int(value).into()),
        _ => Val::NIL,
    })
}

fn to_double<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    Ok(match arguments.value(0, env)?.shape() {
        Shape::Int(value) => Value::Double(value as f64).into(),
        Shape::Double(value) => Value::Double(value).into(),
        Shape::Bool(value) => Value::Double(f64::from(u8::from(value))).into(),
        Shape::Text(text) => text.parse().map_or(Val::NIL, |value| Value::Double(value).into()),
        _ => Val::NIL,
    })
}

fn to_bool<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let value = arguments.value(0, env)?;
    Ok(match value.shape() {
        Shape::Bool(value) => Value::Bool(value).into(),
        Shape::Int(value) => Value::Bool(value != 0).into(),
        Shape::Double(value) => Value::Bool(value != 0.0).into(),
        Shape::Text("true" | "TRUE" | "True" | "t" | "T" | "1") => Value::Bool(true).into(),
        Shape::Text("false" | "FALSE" | "False" | "f" | "F" | "0") => Value::Bool(false).into(),
        Shape::Nil => Val::NIL,
        _ => return Err(value.mismatch("a truth value, a number or its text")),
    })
}

fn to_string<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let value = arguments.value(0, env)?;
    Ok(match value.text() {
        None => Val::NIL,
        Some(text) => Value::String(text.into_owned()).into(),
    })
}

fn to_hex<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let value = arguments.value(0, env)?;
    let text = match value.shape() {
        Shape::Nil => return Ok(Val::NIL),
        Shape::Bytes(bytes) => value::hex(bytes),
        Shape::Text(text) => value::hex(text.as_bytes()),
        Shape::Int(value) => value::hex(&value.to_be_bytes()),
        Shape::Double(value) => value::hex(&value.to_be_bytes()),
        Shape::Bool(value) => value::hex(&[u8::from(value)]),
        _ => return Err(value.mismatch("bytes, string or number")),
    };
    Ok(Value::String(text).into())
}

/// The named groups of the first match; an empty map without one.
fn extract_patterns<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let (text, regex) = (arguments.text(0, env)?, arguments.regex(1)?);
    let captures = regex.captures(&text);
    let groups = captures.iter().flat_map(|captures| {
        regex.capture_names().flatten().map(|name| {
            (
                name.to_owned(),
                Value::String(captures.name(name).map_or("", |group| group.as_str()).to_owned()),
            )
        })
    });
    Ok(Value::KeyValues(groups.collect()).into())
}

fn parse_json<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let text = arguments.text(0, env)?;
    let tree: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| arguments.error(error.to_string()))?;
    match tree {
        serde_json::Value::Object(_) | serde_json::Value::Array(_) => Ok(of_json(tree).into()),
        _ => Err(arguments.error("the text is neither an object nor a list")),
    }
}

/// Numbers become floats, as upstream's parser makes them.
fn of_json(tree: serde_json::Value) -> Value {
    match tree {
        serde_json::Value::Null => Value::Empty,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Double(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(values) => Value::Array(values.into_iter().map(of_json).collect()),
        serde_json::Value::Object(map) => {
            Value::KeyValues(map.into_iter().map(|(key, value)| (key, of_json(value))).collect())
        }
    }
}

fn has_key_on_datapoint<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let key = arguments.text(0, env)?;
    truth(any_datapoint(env, |mut attributes| attributes.any(|pair| pair.key == key)))
}

/// The value is compared with the text of the attribute.
fn has_attribute_on_datapoint<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let (key, expected) = (arguments.text(0, env)?, arguments.text(1, env)?);
    truth(any_datapoint(env, |attributes| {
        attributes.get(&key).is_some_and(|value| Val::View(value).text().unwrap_or_default() == expected)
    }))
}

fn any_datapoint(env: &Env<'_, '_>, mut test: impl FnMut(KeyValues<'_>) -> bool) -> bool {
    match env.place.data() {
        Data::None => false,
        Data::Gauge(points) | Data::Sum { points, .. } => {
            points.numbers().any(|point| test(point.attributes()))
        }
        Data::Histogram { points, .. } => points.histograms().any(|point| test(point.attributes())),
        Data::ExponentialHistogram { points, .. } => {
            points.exponential_histograms().any(|point| test(point.attributes()))
        }
        Data::Summary(points) => points.summaries().any(|point| test(point.attributes())),
    }
}
