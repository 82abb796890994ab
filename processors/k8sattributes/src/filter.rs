//! Selectors of pods.

use confmap::Problems;

use crate::{FilterConfig, SelectorConfig};

/// The fields that an API server selects pods by.
const POD_FIELDS: [&str; 11] = [
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];

/// The longest name in a label's key, and the longest value.
const LONGEST_LABEL: usize = 63;

/// The longest prefix of a label's key.
const LONGEST_PREFIX: usize = 253;

/// Which objects are watched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) node: Option<String>,
    pub(crate) namespace: String,
    /// The field selector of pods.
    pub(crate) fields: String,
    /// The label selector of pods.
    pub(crate) labels: String,
}

impl Filter {
    /// Checks a configuration; `environment` tells variables.
    pub(crate) fn compile(
        config: &FilterConfig,
        environment: impl Fn(&str) -> Option<String>,
        problems: &mut Problems,
    ) -> Self {
        let node = node(config, environment, problems);
        let mut fields = problems.at("fields", |problems| terms(&config.fields, problems, field));
        if let Some(node) = &node {
            fields.push(format!("spec.nodeName={}", escaped(node)));
        }
        let labels = problems.at("labels", |problems| terms(&config.labels, problems, label));
        Self { node, namespace: config.namespace.clone(), fields: fields.join(","), labels: labels.join(",") }
    }

    /// The field selector of the one node.
    pub(crate) fn node_fields(&self) -> String {
        self.node.as_ref().map(|node| format!("metadata.name={}", escaped(node))).unwrap_or_default()
    }
}

fn node(
    config: &FilterConfig,
    environment: impl Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<String> {
    let variable = &config.node_from_env_var;
    if variable.is_empty() {
        return Some(config.node.clone()).filter(|node| !node.is_empty());
    }
    let value = environment(variable).filter(|value| !value.is_empty());
    if value.is_none() {
        problems.at("node_from_env_var", |problems| {
            problems.report_with_help(
                format!(
                    "environment variable {variable:?} is not set or empty: every node would watch all pods of the cluster"
                ),
                "set it from the field spec.nodeName of the pod",
            );
        });
    }
    value
}

fn terms(
    configs: &[SelectorConfig],
    problems: &mut Problems,
    term: impl Fn(&SelectorConfig, &mut Problems) -> Option<String>,
) -> Vec<String> {
    let configs = configs.iter().enumerate();
    configs.filter_map(|(index, config)| problems.index(index, |problems| term(config, problems))).collect()
}

fn field(config: &SelectorConfig, problems: &mut Problems) -> Option<String> {
    let SelectorConfig { key, value, op } = config;
    if !POD_FIELDS.contains(&key.as_str()) {
        problems.at("key", |problems| {
            problems.report_with_help(
                format!("the API server does not select pods by the field {key:?}"),
                format!("one of {}", POD_FIELDS.join(", ")),
            );
        });
    }
    match op.as_str() {
        "" | "equals" => Some(format!("{key}={}", escaped(value))),
        "not-equals" => Some(format!("{key}!={}", escaped(value))),
        _ => unknown_op(op, "field", "equals, not-equals", problems),
    }
}

fn label(config: &SelectorConfig, problems: &mut Problems) -> Option<String> {
    let SelectorConfig { key, value, op } = config;
    if !is_label_key(key) {
        problems.at("key", |problems| problems.report(format!("{key:?} cannot be the key of a label")));
    }
    let term = match op.as_str() {
        "exists" => return Some(key.clone()),
        "does-not-exist" => return Some(format!("!{key}")),
        "" | "equals" => format!("{key}={value}"),
        "not-equals" => format!("{key}!={value}"),
        _ => return unknown_op(op, "label", "equals, not-equals, exists, does-not-exist", problems),
    };
    if !value.is_empty() && !is_label_text(value) {
        problems.at("value", |problems| problems.report(format!("{value:?} cannot be the value of a label")));
    }
    Some(term)
}

fn unknown_op(op: &str, what: &str, valid: &str, problems: &mut Problems) -> Option<String> {
    problems.at("op", |problems| {
        problems.report(format!("'{op}' is not a valid {what} filter operation. Must be one of: {valid}"));
    });
    None
}

/// What separates the terms of a field selector is escaped in values.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=")
}

fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => {
            let part = |part: &str| {
                let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.bytes().all(lower)
            };
            prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(part) && is_label_text(name)
        }
        None => is_label_text(key),
    }
}

fn is_label_text(text: &str) -> bool {
    let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= LONGEST_LABEL
        && end(text.bytes().next())
        && end(text.bytes().last())
        && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        fn check(yaml: &str, fields: &str, labels: &str) {
            let config: FilterConfig = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::default();
            let filter = Filter::compile(&config, |name| Some(format!("value-of-{name}")), &mut problems);
            assert_eq!((filter.fields.as_str(), filter.labels.as_str()), (fields, labels), "{yaml}");
            assert_eq!(problems.len(), 0, "{problems}");
        }
        check("{}", "", "");
        check("node: n1", "spec.nodeName=n1", "");
        check("{node: n1, node_from_env_var: N}", "spec.nodeName=value-of-N", "");
        check(
            "{node: n1, fields: [{key: status.phase, value: Running}, {key: spec.nodeName, value: 'a,b', op: not-equals}]}",
            r"status.phase=Running,spec.nodeName!=a\,b,spec.nodeName=n1",
            "",
        );
        check(
            "labels: [{key: a, value: b}, {key: x.io/c, op: exists, value: '?'}, {key: d, op: does-not-exist}, \
             {key: e, value: f, op: not-equals}, {key: g, op: equals}]",
            "",
            "a=b,x.io/c,!d,e!=f,g=",
        );
    }

    #[test]
    fn what_no_api_server_takes_is_refused() {
        fn check(yaml: &str, expected: &str) {
            let config: FilterConfig = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::rooted("filter");
            Filter::compile(&config, |name| (name == "EMPTY").then(String::new), &mut problems);
            assert!(problems.to_string().contains(expected), "{yaml}: {problems}");
        }
        check("node_from_env_var: NOSUCH", "filter::node_from_env_var: environment variable \"NOSUCH\"");
        check("node_from_env_var: EMPTY", "every node would watch all pods");
        check(
            "fields: [{key: spec.image, value: x}]",
            "filter::fields[0]::key: the API server does not select",
        );
        check(
            "fields: [{key: status.phase, op: exists}]",
            "filter::fields[0]::op: 'exists' is not a valid field",
        );
        check("labels: [{key: a, op: in}]", "filter::labels[0]::op: 'in' is not a valid label");
        check("labels: [{key: '-a', value: b}]", "filter::labels[0]::key");
        check("labels: [{key: 'X.io/a', value: b}]", "filter::labels[0]::key");
        check("labels: [{key: a, value: 'b c'}]", "filter::labels[0]::value");
    }
}
