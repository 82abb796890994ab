//! Writing trees as YAML and JSON.
//!
//! The YAML is ours because it has to read back under Go's scalar rules, where `0_` is a number and `08` a float.

use std::fmt::Write as _;

use serde_json::Value;

use crate::node::{Map, Node, NodeKind};
use crate::scalar;

/// Longest key that a parser has to accept without a `?` before it is 1024.
const MAX_SIMPLE_KEY: usize = 1000;
/// Read as booleans by older parsers, so they are quoted.
const OLD_BOOLEANS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

/// A YAML document in block style.
pub(crate) fn yaml(node: &Node) -> String {
    let mut out = String::new();
    match &node.kind {
        NodeKind::Map(map) if !map.is_empty() => yaml_map(&mut out, map, 0),
        NodeKind::Seq(items) if !items.is_empty() => yaml_seq(&mut out, items, 0),
        _ => {
            yaml_scalar(&mut out, node, 0);
            out.push('\n');
        }
    }
    out
}

fn yaml_map(out: &mut String, map: &Map, depth: usize) {
    for (index, (key, value)) in map.iter().enumerate() {
        // The first key follows whatever opened the mapping, such as `- `.
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            indent(out, depth);
        }
        let name = quoted_if_needed(&key.name);
        if name.chars().count() > MAX_SIMPLE_KEY {
            let _ = writeln!(out, "? {name}");
            indent(out, depth);
        } else {
            out.push_str(&name);
        }
        out.push(':');
        yaml_value(out, value, depth + 1);
    }
}

/// A value after `key:`.
fn yaml_value(out: &mut String, value: &Node, depth: usize) {
    match &value.kind {
        NodeKind::Map(map) if !map.is_empty() => {
            out.push('\n');
            yaml_map(out, map, depth);
        }
        NodeKind::Seq(items) if !items.is_empty() => {
            out.push('\n');
            yaml_seq(out, items, depth);
        }
        _ => {
            out.push(' ');
            yaml_scalar(out, value, depth);
            out.push('\n');
        }
    }
}

fn yaml_seq(out: &mut String, items: &[Node], depth: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            indent(out, depth);
        }
        out.push_str("- ");
        match &item.kind {
            NodeKind::Map(map) if !map.is_empty() => yaml_map(out, map, depth + 1),
            NodeKind::Seq(items) if !items.is_empty() => yaml_seq(out, items, depth + 1),
            _ => {
                yaml_scalar(out, item, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn yaml_scalar(out: &mut String, node: &Node, depth: usize) {
    match &node.kind {
        NodeKind::Null => out.push_str("null"),
        NodeKind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        NodeKind::Int(value) => {
            let _ = write!(out, "{value}");
        }
        NodeKind::Float(value) if value.is_nan() => out.push_str(".nan"),
        NodeKind::Float(value) if value.is_infinite() => {
            out.push_str(if *value < 0.0 { "-.inf" } else { ".inf" });
        }
        NodeKind::Float(value) => {
            let _ = write!(out, "{value:?}");
        }
        NodeKind::String(text) if is_block(text) => yaml_block(out, text, depth),
        NodeKind::String(text) => out.push_str(&quoted_if_needed(text)),
        NodeKind::Seq(_) => out.push_str("[]"),
        NodeKind::Map(_) => out.push_str("{}"),
    }
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// Whether a text of several lines can be written as it is, below a `|`.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !body.ends_with('\n')
        && body.starts_with(|c: char| !c.is_whitespace())
        && body.lines().all(|line| !line.ends_with(' '))
        && body.chars().all(|c| c == '\n' || c == ' ' || is_printed(c))
}

fn yaml_block(out: &mut String, text: &str, depth: usize) {
    let body = text.strip_suffix('\n');
    out.push_str(if body.is_some() { "|" } else { "|-" });
    for line in body.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth.max(1));
            out.push_str(line);
        }
    }
}

/// Visible and never special to YAML's reader.
fn is_printed(c: char) -> bool {
    c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric())
}

/// Text as a plain scalar where that means the same text, else in double quotes.
fn quoted_if_needed(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c == ' ' || is_printed(c) => out.push(c),
            c => {
                // Writing to a string cannot fail.
                let _ = match u32::from(c) {
                    code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

fn is_plain(text: &str) -> bool {
    let starts = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '$');
    let inside = |c: char| {
        starts(c) || matches!(c, '-' | '+' | '=' | '@' | '%' | '~' | ':' | ' ' | '(' | ')' | '^' | ';')
    };
    text.starts_with(starts)
        && text.chars().all(inside)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !OLD_BOOLEANS.contains(&text.to_ascii_lowercase().as_str())
        && matches!(scalar::resolve(text), NodeKind::String(_))
}

/// An indented JSON document. Numbers that JSON does not have are null.
pub(crate) fn json(node: &Node) -> String {
    let mut out = String::new();
    json_value(&mut out, node, 0);
    out.push('\n');
    out
}

fn json_value(out: &mut String, node: &Node, depth: usize) {
    match &node.kind {
        NodeKind::Null => out.push_str("null"),
        NodeKind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        NodeKind::Int(value) => {
            let _ = write!(out, "{value}");
        }
        NodeKind::Float(value) => out.push_str(&Value::from(*value).to_string()),
        NodeKind::String(text) => out.push_str(&json_text(text)),
        NodeKind::Seq(items) => {
            json_list(out, ('[', ']'), depth, items, |out, item| json_value(out, item, depth + 1))
        }
        NodeKind::Map(map) => json_list(out, ('{', '}'), depth, map, |out, (key, value)| {
            let _ = write!(out, "{}: ", json_text(&key.name));
            json_value(out, value, depth + 1);
        }),
    }
}

fn json_list<T>(
    out: &mut String,
    (open, close): (char, char),
    depth: usize,
    items: impl IntoIterator<Item = T>,
    write_item: impl Fn(&mut String, T),
) {
    out.push(open);
    let mut is_empty = true;
    for item in items {
        out.push_str(if is_empty { "\n" } else { ",\n" });
        is_empty = false;
        indent(out, depth + 1);
        write_item(out, item);
    }
    if !is_empty {
        out.push('\n');
        indent(out, depth);
    }
    out.push(close);
}

fn json_text(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let text = "\
receivers:
  otlp:
    protocols:
      grpc: null
      http: {}
    list:
      - a
      - - 1
        - 2.0
      - b: \"yes\"
        c: []
    script: |
      a: b

        # c
    endpoint: localhost:4317
    version: \"0123\"
";
        let node = Node::from_yaml("", text).unwrap();
        assert_eq!(yaml(&node), text);
        let expected = r#"{
  "a": [
    1,
    null,
    {}
  ],
  "b": "x\ny"
}
"#;
        let node = Node::from_yaml("", r#"{a: [1, .nan, {}], b: "x\ny"}"#).unwrap();
        assert_eq!(json(&node), expected);
    }
}
