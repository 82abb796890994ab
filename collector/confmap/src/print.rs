//! The resolved configuration as text.

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::node::{Node, NodeKind};
use crate::redact;
use crate::resolve::Conf;
use crate::secret::REDACTED;

/// Whether secrets are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redaction {
    /// Values that are secret by the name of their key are replaced by `[REDACTED]`: passwords, tokens, API keys,
    /// everything under `headers`, `*_pem`, and the password in a URL.
    #[default]
    Redacted,
    /// Everything as it is.
    Unredacted,
}

/// Why a configuration cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The YAML writer gave up.
    #[error("cannot write the configuration as YAML")]
    Yaml(#[source] serde_yaml::Error),
    /// The JSON writer gave up.
    #[error("cannot write the configuration as JSON")]
    Json(#[source] serde_json::Error),
}

struct Printed<'n> {
    node: &'n Node,
    redaction: Redaction,
    secret: bool,
}

impl Conf {
    /// The resolved tree as YAML, in the order it was written.
    ///
    /// # Errors
    /// That the YAML writer gave up.
    pub fn to_yaml(&self, redaction: Redaction) -> Result<String, PrintError> {
        serde_yaml::to_string(&Printed::root(self, redaction)).map_err(PrintError::Yaml)
    }

    /// The resolved tree as indented JSON, in the order it was written. Numbers that JSON does not have are null.
    ///
    /// # Errors
    /// That the JSON writer gave up.
    pub fn to_json(&self, redaction: Redaction) -> Result<String, PrintError> {
        serde_json::to_string_pretty(&Printed::root(self, redaction)).map_err(PrintError::Json)
    }
}

impl<'n> Printed<'n> {
    fn root(conf: &'n Conf, redaction: Redaction) -> Self {
        Self { node: conf.root(), redaction, secret: false }
    }

    fn below(&self, node: &'n Node, secret: bool) -> Self {
        Self { node, redaction: self.redaction, secret: self.secret || secret }
    }

    fn is_hidden(&self) -> bool {
        self.secret && self.redaction == Redaction::Redacted
    }
}

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.node.kind {
            NodeKind::Null => serializer.serialize_unit(),
            NodeKind::Map(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map {
                    let is_map = matches!(value.kind, NodeKind::Map(_));
                    let secret =
                        redact::holds_secrets(&key.name) || (!is_map && redact::is_secret(&key.name));
                    // A header's name in list form is no secret.
                    let is_name = self.secret && key.name == "name" && !is_map;
                    let printed = if is_name {
                        Printed { node: value, redaction: self.redaction, secret: false }
                    } else {
                        self.below(value, secret)
                    };
                    out.serialize_entry(&key.name, &printed)?;
                }
                out.end()
            }
            NodeKind::Seq(items) => {
                let mut out = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    out.serialize_element(&self.below(item, false))?;
                }
                out.end()
            }
            NodeKind::Bool(value) => serializer.serialize_bool(*value),
            _ if self.is_hidden() => serializer.serialize_str(REDACTED),
            NodeKind::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => serializer.serialize_i128(*value),
            },
            NodeKind::Float(value) => serializer.serialize_f64(*value),
            NodeKind::String(text) => match redact::without_userinfo(text) {
                Some(hidden) if self.redaction == Redaction::Redacted => serializer.serialize_str(&hidden),
                _ => serializer.serialize_str(text),
            },
        }
    }
}
