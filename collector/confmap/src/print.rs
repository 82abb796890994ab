//! The resolved configuration as text.

use crate::emit;
use crate::node::{Map, Node, NodeKind};
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

impl Conf {
    /// The resolved tree as YAML, in the order it was written; it reads back as the same tree.
    pub fn to_yaml(&self, redaction: Redaction) -> String {
        match redaction {
            Redaction::Redacted => emit::yaml(&redacted(self.root(), false)),
            Redaction::Unredacted => emit::yaml(self.root()),
        }
    }

    /// The resolved tree as indented JSON, in the order it was written. Numbers that JSON does not have are null.
    pub fn to_json(&self, redaction: Redaction) -> String {
        match redaction {
            Redaction::Redacted => redacted_json(self.root()),
            Redaction::Unredacted => emit::json(self.root()),
        }
    }
}

/// `node` as JSON without secrets.
pub(crate) fn redacted_json(node: &Node) -> String {
    emit::json(&redacted(node, false))
}

/// A copy without secrets; `secret` says that everything below is one.
fn redacted(node: &Node, secret: bool) -> Node {
    Node::new(match &node.kind {
        NodeKind::Map(map) => NodeKind::Map(Map::from_entries(
            map.iter().map(|(key, value)| (key.clone(), redacted_entry(&key.name, value, secret))).collect(),
        )),
        NodeKind::Seq(items) => NodeKind::Seq(items.iter().map(|item| redacted(item, secret)).collect()),
        NodeKind::Null => NodeKind::Null,
        NodeKind::Bool(value) => NodeKind::Bool(*value),
        _ if secret => NodeKind::String(REDACTED.to_owned()),
        NodeKind::String(text) => {
            NodeKind::String(redact::without_userinfo(text).unwrap_or_else(|| text.clone()))
        }
        other => other.clone(),
    })
}

fn redacted_entry(key: &str, value: &Node, secret: bool) -> Node {
    let is_map = matches!(value.kind, NodeKind::Map(_));
    // A header's name in list form is no secret.
    let is_name = secret && key == "name" && !is_map;
    let own = redact::holds_secrets(key) || (!is_map && redact::is_secret(key));
    redacted(value, !is_name && (secret || own))
}
