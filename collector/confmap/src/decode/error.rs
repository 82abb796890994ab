//! Serde's errors in upstream's words.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// Why an attempt at decoding stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// Already written down: try again without the culprit.
    Handled,
    /// Not yet attributed to a place.
    Fresh { message: String, help: Option<String> },
}

impl DecodeError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Fresh { message: message.into(), help: None }
    }

    pub(crate) fn is_handled(&self) -> bool {
        *self == Self::Handled
    }

    /// `expected type 'string', got unconvertible type 'int'`.
    pub(crate) fn type_mismatch(expected: &str, found: &str) -> Self {
        Self::new(format!("expected type '{expected}', got unconvertible type '{found}'"))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handled => f.write_str("already reported"),
            Self::Fresh { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    // The value itself is not shown: it may be a secret.
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, got unconvertible type '{}'", go_name(found)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let valid = expected.iter().filter(|name| !name.is_empty()).copied().collect::<Vec<_>>().join(", ");
        Self::Fresh {
            message: format!("unknown value {variant:?} (valid values: {valid})"),
            help: crate::suggest::nearest(variant, expected.iter().copied()),
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Fresh {
            message: format!("has invalid keys: {field}"),
            help: crate::suggest::nearest(field, expected.iter().copied()),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("missing key {field:?}"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("key {field:?} is given twice, under two of its names"))
    }
}

fn go_name(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "bool",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "int",
        Unexpected::Float(_) => "float64",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "string",
        Unexpected::Unit | Unexpected::Option => "nil",
        Unexpected::Seq => "[]interface {}",
        _ => "map[string]interface {}",
    }
}
