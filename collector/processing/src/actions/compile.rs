//! Checks the actions that users write and makes those that run.

use confmap::Problems;
use pdata::Value;
use regex::Regex;

use super::ActionConfig;
use super::action::{Action, Context, Operation, Origin, Source, Type, text};

/// The actions of the list `key` that are free of problems; the others are reported, as is an empty list.
pub fn actions(key: &str, configs: &[ActionConfig], problems: &mut Problems) -> Vec<Action> {
    if configs.is_empty() {
        problems.report(format!("missing required field \"{key}\""));
    }
    problems.at(key, |problems| {
        let actions = configs.iter().enumerate();
        actions
            .filter_map(|(index, action)| problems.index(index, |problems| compile(action, problems)))
            .collect()
    })
}

fn compile(config: &ActionConfig, problems: &mut Problems) -> Option<Action> {
    let before = problems.len();
    let action = config.action.to_lowercase();
    let has_value_source =
        config.value.is_some() || !config.from_attribute.is_empty() || !config.from_context.is_empty();
    let mut unused = |used: bool, field: &str| {
        if used {
            problems.report(format!("action \"{action}\" does not use the \"{field}\" field"));
        }
    };
    match action.as_str() {
        "insert" | "update" | "upsert" => {
            unused(!config.pattern.is_empty(), "pattern");
            unused(!config.converted_type.is_empty(), "converted_type");
        }
        "delete" | "hash" => {
            unused(!config.from_attribute.is_empty(), "from_attribute");
            unused(!config.converted_type.is_empty(), "converted_type");
            unused(action == "hash" && config.value.is_some(), "value");
        }
        "extract" => unused(has_value_source, "value\", \"from_attribute\" or \"from_context"),
        "convert" => {
            unused(has_value_source, "value\", \"from_attribute\" or \"from_context");
            unused(!config.pattern.is_empty(), "pattern");
        }
        _ => {}
    }
    let operation = match action.as_str() {
        "insert" => source(config, problems).map(Operation::Insert),
        "update" => source(config, problems).map(Operation::Update),
        "upsert" => source(config, problems).map(Operation::Upsert),
        "delete" => {
            let equals = config.value.as_ref().map(|value| text(&value.0));
            pattern(config, problems).map(|pattern| Operation::Delete { pattern, equals })
        }
        "hash" => pattern(config, problems).map(Operation::Hash),
        "extract" => extraction(config, problems),
        "convert" => target(config, problems).map(Operation::Convert),
        _ => {
            problems.report_with_help(
                format!("unsupported action {:?}", config.action),
                "one of insert, update, upsert, delete, hash, extract, convert",
            );
            None
        }
    };
    let by_pattern = matches!(action.as_str(), "delete" | "hash");
    if by_pattern && config.key.is_empty() && config.pattern.is_empty() {
        problems.report("missing required field (at least one of \"key\" and \"pattern\" have to be used)");
    }
    if !by_pattern && config.key.is_empty() {
        problems.report("missing required field \"key\"");
    }
    let key = Some(config.key.clone()).filter(|key| !key.is_empty());
    operation.filter(|_| problems.len() == before).map(|operation| Action { key, operation })
}

/// Where the value of `insert`, `update` and `upsert` comes from.
fn source(config: &ActionConfig, problems: &mut Problems) -> Option<Source> {
    let mut origins = Vec::new();
    if let Some(value) = &config.value {
        origins.push(Origin::Value(value.0.clone()));
    }
    if !config.from_attribute.is_empty() {
        origins.push(Origin::Attribute(config.from_attribute.clone()));
    }
    if !config.from_context.is_empty() {
        origins.push(Origin::Context(context(&config.from_context)));
    }
    let default: Option<Value> = config.default_value.as_ref().map(|value| value.0.clone());
    if origins.len() > 1 {
        problems.report(
            "multiple value sources are set: only one of \"value\", \"from_attribute\" and \"from_context\"",
        );
        return None;
    }
    match (origins.pop(), default) {
        (Some(origin), default) => Some(Source { origin, default }),
        (None, Some(default)) => Some(Source { origin: Origin::Value(default), default: None }),
        (None, None) => {
            problems
                .report("either field \"value\", \"from_attribute\" or \"from_context\" must be specified");
            None
        }
    }
}

fn context(text: &str) -> Context {
    if text == "client.address" {
        Context::ClientAddress
    } else if text.starts_with("auth.") {
        Context::Auth
    } else {
        Context::Metadata(text.strip_prefix("metadata.").unwrap_or(text).to_lowercase())
    }
}

/// The pattern of keys; inside, `None` if there is none.
fn pattern(config: &ActionConfig, problems: &mut Problems) -> Option<Option<Regex>> {
    if config.pattern.is_empty() {
        return Some(None);
    }
    regex(config, problems).map(Some)
}

fn regex(config: &ActionConfig, problems: &mut Problems) -> Option<Regex> {
    match helper::go_regex(&config.pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            problems.at("pattern", |problems| problems.report(format!("invalid pattern: {error}")));
            None
        }
    }
}

fn extraction(config: &ActionConfig, problems: &mut Problems) -> Option<Operation> {
    if config.pattern.is_empty() {
        problems.report("missing required field \"pattern\" for action \"extract\"");
        return None;
    }
    let regex = regex(config, problems)?;
    let names: Vec<Option<&str>> = regex.capture_names().skip(1).collect();
    if names.is_empty() {
        problems.report("field \"pattern\" contains no named matcher groups");
        return None;
    }
    if names.contains(&None) {
        problems.report("field \"pattern\" contains at least one unnamed matcher group");
        return None;
    }
    Some(Operation::Extract(regex))
}

fn target(config: &ActionConfig, problems: &mut Problems) -> Option<Type> {
    match config.converted_type.as_str() {
        "string" => Some(Type::String),
        "int" => Some(Type::Int),
        "double" => Some(Type::Double),
        "" => {
            problems.report("missing required field \"converted_type\" for action \"convert\"");
            None
        }
        other => {
            problems.report_with_help(
                format!("invalid value {other:?} in field \"converted_type\" for action \"convert\""),
                "one of string, int, double",
            );
            None
        }
    }
}
