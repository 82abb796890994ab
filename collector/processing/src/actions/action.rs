//! What is done to attributes.

use helper::text::value_text;
use pdata::{AnyValueView, ClientInfo, Value};
use regex::Regex;
use sha2::{Digest, Sha256};

use super::Attributes;

/// An action that runs.
#[derive(Debug, Clone)]
pub struct Action {
    pub(super) key: Option<String>,
    pub(super) operation: Operation,
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Insert(Source),
    Update(Source),
    Upsert(Source),
    /// Also removes the attributes whose keys match; only those with the text `equals`, if there is one.
    Delete {
        pattern: Option<Regex>,
        equals: Option<String>,
    },
    /// Also hashes the attributes whose keys match.
    Hash(Option<Regex>),
    /// Every group of the pattern becomes an attribute.
    Extract(Regex),
    Convert(Type),
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) origin: Origin,
    pub(super) default: Option<Value>,
}

#[derive(Debug, Clone)]
pub(super) enum Origin {
    Value(Value),
    Attribute(String),
    Context(Context),
}

/// A part of what is known of the request.
#[derive(Debug, Clone)]
pub(super) enum Context {
    ClientAddress,
    /// The key in lower case.
    Metadata(String),
    /// What an authenticator says: nothing, as no authenticator passes its findings on.
    Auth,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    String,
    Int,
    Double,
}

impl Action {
    /// Does it to the attributes of a request of `client`.
    pub fn apply(&self, editor: &mut impl Attributes, client: Option<&ClientInfo>) {
        let key = self.key.as_deref();
        match (&self.operation, key) {
            (Operation::Insert(source), Some(key)) => {
                if editor.get(key).is_none() {
                    source.with(editor, client, |editor, value| editor.set(key, value));
                }
            }
            (Operation::Update(source), Some(key)) => {
                if editor.get(key).is_some() {
                    source.with(editor, client, |editor, value| editor.set(key, value));
                }
            }
            (Operation::Upsert(source), Some(key)) => {
                source.with(editor, client, |editor, value| editor.set(key, value));
            }
            (Operation::Delete { pattern, equals }, key) => {
                delete(editor, key, pattern.as_ref(), equals.as_deref());
            }
            (Operation::Hash(pattern), key) => {
                key.into_iter().for_each(|key| hash(editor, key));
                let matching = pattern.as_ref().map(|pattern| matching(editor, pattern));
                matching.iter().flatten().for_each(|key| hash(editor, key));
            }
            (Operation::Extract(pattern), Some(key)) => extract(editor, key, pattern),
            (Operation::Convert(target), Some(key)) => convert(editor, key, *target),
            (_, None) => {}
        }
    }
}

impl Source {
    /// Runs `set` with the value, if there is one.
    fn with<A: Attributes>(
        &self,
        editor: &mut A,
        client: Option<&ClientInfo>,
        set: impl FnOnce(&mut A, &Value),
    ) {
        let taken = match &self.origin {
            Origin::Value(value) => return set(editor, value),
            Origin::Attribute(key) => editor.get(key).map(Value::from),
            Origin::Context(context) => context.value(client).map(Value::String),
        };
        if let Some(value) = taken.as_ref().or(self.default.as_ref()) {
            set(editor, value);
        }
    }
}

impl Context {
    /// The value as text; several are joined by semicolons.
    fn value(&self, client: Option<&ClientInfo>) -> Option<String> {
        let client = client?;
        match self {
            Self::ClientAddress => client.address.map(|address| address.ip().to_string()),
            Self::Metadata(key) => {
                let (_, values) = client.metadata.iter().find(|(name, _)| name == key)?;
                (!values.is_empty()).then(|| values.join(";"))
            }
            Self::Auth => None,
        }
    }
}

fn delete(editor: &mut impl Attributes, key: Option<&str>, pattern: Option<&Regex>, equals: Option<&str>) {
    editor.retain(&mut |pair| {
        let named = key == Some(pair.key) || pattern.is_some_and(|pattern| pattern.is_match(pair.key));
        !named || equals.is_some_and(|equals| value_text(pair.value) != equals)
    });
}

fn matching(editor: &impl Attributes, pattern: &Regex) -> Vec<String> {
    editor.pairs().map(|pair| pair.key).filter(|key| pattern.is_match(key)).map(str::to_owned).collect()
}

/// Replaces a value by the SHA-256 of its bytes, in hexadecimal digits; types without bytes become the empty text.
fn hash(editor: &mut impl Attributes, key: &str) {
    let digest = match editor.get(key) {
        None => return,
        Some(AnyValueView::String(text)) => hex(&Sha256::digest(text.as_bytes())),
        Some(AnyValueView::Bool(value)) => hex(&Sha256::digest([u8::from(value)])),
        Some(AnyValueView::Int(value)) => hex(&Sha256::digest(value.to_le_bytes())),
        Some(AnyValueView::Double(value)) => hex(&Sha256::digest(value.to_bits().to_le_bytes())),
        Some(_) => String::new(),
    };
    editor.set(key, &Value::String(digest));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn extract(editor: &mut impl Attributes, key: &str, pattern: &Regex) {
    let Some(text) = editor.get(key).and_then(|value| value.as_str()).map(str::to_owned) else { return };
    let Some(captures) = pattern.captures(&text) else { return };
    for name in pattern.capture_names().flatten() {
        let text = captures.name(name).map_or("", |group| group.as_str());
        editor.set(name, &Value::String(text.to_owned()));
    }
}

fn convert(editor: &mut impl Attributes, key: &str, target: Type) {
    let converted = match (target, editor.get(key)) {
        (_, None)
        | (Type::String, Some(AnyValueView::String(_)))
        | (Type::Int, Some(AnyValueView::Int(_)))
        | (Type::Double, Some(AnyValueView::Double(_))) => return,
        (Type::String, Some(value)) => Some(Value::String(value_text(value))),
        (Type::Int, Some(value)) => to_int(value).map(Value::Int),
        (Type::Double, Some(value)) => to_double(value).map(Value::Double),
    };
    match converted {
        Some(value) => editor.set(key, &value),
        None => tracing::debug!(key, "attribute could not be converted"),
    }
}

fn to_int(value: AnyValueView<'_>) -> Option<i64> {
    match value {
        AnyValueView::Double(value) => Some(value as i64),
        AnyValueView::Bool(value) => Some(i64::from(value)),
        AnyValueView::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn to_double(value: AnyValueView<'_>) -> Option<f64> {
    match value {
        AnyValueView::Int(value) => Some(value as f64),
        AnyValueView::Bool(value) => Some(f64::from(u8::from(value))),
        AnyValueView::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The text of a written value, as that of an attribute.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => value_text(AnyValueView::Double(*value)),
        Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::KeyValues(_) => String::new(),
    }
}
