//! Lists of statements or conditions as users write them: texts, or groups of texts with options.

use confmap::{Node, NodeKind, Problems};
use pdata::Signal;
use serde::Deserialize;

use crate::{Context, ErrorMode};

/// A list whose elements are either all texts or all groups.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Groups(Vec<Node>);

/// What runs together.
#[derive(Debug, Clone)]
pub struct Group {
    /// Where it stands in the list.
    pub index: usize,
    /// Whether it is written as a group; else it is one text.
    pub is_group: bool,
    /// What it runs on.
    pub context: Context,
    /// What becomes of its errors, if it says so.
    pub error_mode: Option<ErrorMode>,
    /// When it runs: if one of them holds, or there are none.
    pub conditions: Vec<String>,
    /// What it does; nothing in lists of conditions.
    pub statements: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OfStatements {
    context: String,
    error_mode: Option<ErrorMode>,
    conditions: Vec<String>,
    statements: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OfConditions {
    context: String,
    error_mode: Option<ErrorMode>,
    conditions: Vec<String>,
}

impl From<OfConditions> for OfStatements {
    fn from(group: OfConditions) -> Self {
        let OfConditions { context, error_mode, conditions } = group;
        Self { context, error_mode, conditions, statements: Vec::new() }
    }
}

impl Groups {
    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The groups of a list of statements at the current path of `problems`; a text is a group of its own.
    pub fn statements(&self, signal: Signal, problems: &mut Problems) -> Vec<Group> {
        self.groups(
            signal,
            problems,
            |node, path| confmap::decode::<OfStatements>(Some(node), path),
            |text| OfStatements { statements: vec![text.to_owned()], ..OfStatements::default() },
        )
    }

    /// The groups of a list of conditions.
    pub fn conditions(&self, signal: Signal, problems: &mut Problems) -> Vec<Group> {
        let decode = |node: &Node, path: &str| {
            confmap::decode::<OfConditions>(Some(node), path).map(OfStatements::from)
        };
        self.groups(signal, problems, decode, |text| OfStatements {
            conditions: vec![text.to_owned()],
            ..OfStatements::default()
        })
    }

    fn groups(
        &self,
        signal: Signal,
        problems: &mut Problems,
        decode: impl Fn(&Node, &str) -> Result<OfStatements, Problems>,
        of_text: impl Fn(&str) -> OfStatements,
    ) -> Vec<Group> {
        let mut groups = Vec::new();
        let texts = self.0.iter().filter(|node| node.as_str().is_some()).count();
        if texts > 0 && texts < self.0.len() {
            problems.report(
                "configuring multiple configuration styles is not supported: write either texts or groups",
            );
            return groups;
        }
        for (index, node) in self.0.iter().enumerate() {
            problems.index(index, |problems| {
                let is_group = matches!(node.kind, NodeKind::Map(_));
                let group = match node.as_str() {
                    Some(text) => of_text(text),
                    None => match decode(node, problems.path()) {
                        Ok(group) => group,
                        Err(found) => {
                            return found.into_vec().into_iter().for_each(|found| problems.push(found));
                        }
                    },
                };
                if let Some(context) = context(&group, signal, problems) {
                    let OfStatements { error_mode, conditions, statements, .. } = group;
                    groups.push(Group { index, is_group, context, error_mode, conditions, statements });
                }
            });
        }
        groups
    }
}

/// The context that a group names, or that its paths begin with.
fn context(group: &OfStatements, signal: Signal, problems: &mut Problems) -> Option<Context> {
    let known = || format!("contexts of {signal}: {}", Context::names(signal).join(", "));
    if !group.context.is_empty() {
        let context = Context::named(signal, &group.context);
        if context.is_none() {
            let message = format!("unknown context {:?}", group.context);
            problems.at("context", |problems| problems.report_with_help(message, known()));
        }
        return context;
    }
    let texts = group.statements.iter().chain(&group.conditions).map(String::as_str);
    let context = Context::inferred(signal, texts);
    if context.is_none() {
        let message =
            "unable to infer a valid context: begin every path with one, as in `resource.attributes`";
        problems.report_with_help(message, known());
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Config {
        list: Groups,
    }

    fn read(yaml: &str) -> Result<Vec<String>, String> {
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let mut problems = Problems::default();
        let groups = problems.at("list", |problems| config.list.statements(Signal::Metrics, problems));
        if !problems.is_empty() {
            return Err(problems.to_string());
        }
        let group = |group: &Group| format!("{} {:?}", group.context.name(), group.statements);
        Ok(groups.iter().map(group).collect())
    }

    #[test]
    fn texts_and_groups() {
        let check = |yaml: &str, expected: &[&str]| {
            assert_eq!(read(yaml), Ok(expected.iter().map(|group| (*group).to_owned()).collect()), "{yaml}");
        };
        check("list: []", &[]);
        check(
            "list: ['set(metric.name, resource.schema_url)', 'set(scope.name, \"\")']",
            &["metric [\"set(metric.name, resource.schema_url)\"]", "scope [\"set(scope.name, \\\"\\\")\"]"],
        );
        check("list: [{context: datapoint, statements: [a, b]}]", &["datapoint [\"a\", \"b\"]"]);
        check("list: [{statements: [a], conditions: [metric.name == nil]}]", &["metric [\"a\"]"]);
    }

    #[test]
    fn faults_are_placed() {
        let check = |yaml: &str, expected: &str| {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        };
        check(
            "list: [a, {context: metric}]",
            "list: configuring multiple configuration styles is not supported",
        );
        check("list: [name == 1]", "list[0]: unable to infer a valid context");
        check(
            "list: [{context: log}]",
            "list[0]::context: unknown context \"log\" (contexts of metrics: resource,",
        );
        check("list: [{contxt: log}]", "list[0]: has invalid keys: contxt (did you mean `context`?)");
        check("list: [{error_mode: loud}]", "list[0]::error_mode");
    }
}
