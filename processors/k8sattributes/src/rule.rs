//! Labels and annotations that become attributes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use confmap::Problems;
use k8s::{Keys, Matcher, Name};
use regex::Regex;

use crate::RuleConfig;
use crate::template::Template;

/// Names that a regular expression gave are remembered for this many keys; what makes keys without end is not.
const REMEMBERED: usize = 4096;

/// What `otel_annotations` means, as a rule.
const OTEL_ANNOTATIONS: (&str, &str) = (r"resource\.opentelemetry\.io/(.+)", "$1");

/// Whose labels and annotations a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Pod,
    Namespace,
    Node,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

/// Which of an object's two maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Labels,
    Annotations,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) subject: Subject,
    pub(crate) source: Source,
    keys: RuleKeys,
}

#[derive(Debug)]
enum RuleKeys {
    One { key: String, name: String },
    Matching { regex: Regex, naming: Naming, names: Mutex<HashMap<Name, Option<Name>>> },
}

#[derive(Debug)]
enum Naming {
    Template(Template),
    /// This, and the key.
    Prefix(String),
}

impl Subject {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "pod" => Self::Pod,
            "namespace" => Self::Namespace,
            "node" => Self::Node,
            "deployment" => Self::Deployment,
            "statefulset" => Self::StatefulSet,
            "daemonset" => Self::DaemonSet,
            "job" => Self::Job,
            _ => return None,
        })
    }

    /// What attributes of its labels or annotations begin with. The older three kinds have the plural.
    fn prefix(self, source: Source) -> String {
        let (kind, plural) = match self {
            Self::Pod => ("pod", "s"),
            Self::Namespace => ("namespace", "s"),
            Self::Node => ("node", "s"),
            Self::Deployment => ("deployment", ""),
            Self::StatefulSet => ("statefulset", ""),
            Self::DaemonSet => ("daemonset", ""),
            Self::Job => ("job", ""),
        };
        let source = if source == Source::Labels { "label" } else { "annotation" };
        format!("k8s.{kind}.{source}{plural}.")
    }
}

impl Rule {
    /// The rule of a configuration; `None` if it has no effect or, reported, a problem.
    pub(crate) fn compile(config: &RuleConfig, source: Source, problems: &mut Problems) -> Option<Self> {
        let subject = Subject::parse(&config.from);
        if subject.is_none() {
            problems.at("from", |problems| {
                problems.report(format!(
                    "{} is not a valid choice for From. Must be one of: pod, deployment, statefulset, daemonset, job, \
                     namespace, node",
                    config.from
                ));
            });
        }
        if !config.key.is_empty() && !config.key_regex.is_empty() {
            problems.report(format!(
                "Out of Key or KeyRegex only one option is expected to be configured at a time, currently Key:{} and \
                 KeyRegex:{}",
                config.key, config.key_regex
            ));
            return None;
        }
        let prefix = subject?.prefix(source);
        let keys = if !config.key.is_empty() {
            let name = if config.tag_name.is_empty() {
                format!("{prefix}{}", config.key)
            } else {
                config.tag_name.clone()
            };
            RuleKeys::One { key: config.key.clone(), name }
        } else if !config.key_regex.is_empty() {
            let regex = problems.at("key_regex", |problems| whole(&config.key_regex, problems))?;
            let templated = regex.captures_len() > 1 && !config.tag_name.is_empty();
            let naming = if templated {
                Naming::Template(Template::parse(&config.tag_name))
            } else {
                Naming::Prefix(prefix)
            };
            RuleKeys::Matching { regex, naming, names: Mutex::default() }
        } else {
            return None;
        };
        Some(Self { subject: subject?, source, keys })
    }

    /// What `otel_annotations` adds.
    pub(crate) fn otel_annotations() -> Option<Self> {
        let (key_regex, tag_name) = OTEL_ANNOTATIONS;
        let config = RuleConfig {
            key_regex: key_regex.to_owned(),
            tag_name: tag_name.to_owned(),
            ..RuleConfig::default()
        };
        Self::compile(&config, Source::Annotations, &mut Problems::default())
    }

    /// Which keys it is about.
    pub(crate) fn keys(&self) -> Keys {
        match &self.keys {
            RuleKeys::One { key, .. } => Keys::named([key.as_str()]),
            RuleKeys::Matching { regex, .. } => {
                let regex = regex.clone();
                Keys::Matching(Matcher::new(format!("/{}/", regex.as_str()), move |key| regex.is_match(key)))
            }
        }
    }

    /// Tells the attributes that `pairs`, which are sorted, have by this rule.
    pub(crate) fn apply(&self, pairs: &[(Name, Name)], mut put: impl FnMut(&str, &str)) {
        match &self.keys {
            RuleKeys::One { key, name } => {
                if let Some(value) = k8s::row::pair(pairs, key) {
                    put(name, value);
                }
            }
            RuleKeys::Matching { regex, naming, names } => {
                let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
                for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
                    if let Some(name) = remembered(&mut names, key, || naming.name(regex, key)) {
                        put(&name, value);
                    }
                }
            }
        }
    }
}

impl Naming {
    /// The name of the attribute of `key`; `None` if it does not match.
    fn name(&self, regex: &Regex, key: &str) -> Option<Name> {
        match self {
            Self::Template(template) => Some(template.expand(&regex.captures(key)?).into()),
            Self::Prefix(prefix) => regex.is_match(key).then(|| format!("{prefix}{key}").into()),
        }
    }
}

fn remembered(
    names: &mut HashMap<Name, Option<Name>>,
    key: &Name,
    name: impl FnOnce() -> Option<Name>,
) -> Option<Name> {
    if let Some(name) = names.get(key) {
        return name.clone();
    }
    if names.len() >= REMEMBERED {
        names.clear();
    }
    let name = name();
    names.insert(Arc::clone(key), name.clone());
    name
}

/// A regular expression that whole texts match.
fn whole(pattern: &str, problems: &mut Problems) -> Option<Regex> {
    // By itself first, so that brackets of the pattern cannot close ours.
    match Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$"))) {
        Ok(regex) => Some(regex),
        Err(error) => {
            problems.report(format!("invalid regular expression: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_labels() {
        fn check(rule: (&str, &str, &str, &str), source: Source, labels: &[(&str, &str)], expected: &str) {
            let (from, key, key_regex, tag_name) = rule;
            let config = RuleConfig {
                from: from.into(),
                key: key.into(),
                key_regex: key_regex.into(),
                tag_name: tag_name.into(),
            };
            let mut problems = Problems::default();
            let compiled = Rule::compile(&config, source, &mut problems);
            assert_eq!(problems.len(), 0, "{problems}");
            let pairs: Vec<(Name, Name)> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            let mut found = Vec::new();
            if let Some(rule) = compiled {
                // Twice: what is remembered is the same.
                rule.apply(&pairs, |_, _| {});
                rule.apply(&pairs, |name, value| found.push(format!("{name}={value}")));
                assert!(pairs.iter().all(|(key, value)| {
                    let names = found.iter().any(|text| text.ends_with(&format!("={value}")));
                    !names || rule.keys().contains(key)
                }));
            }
            assert_eq!(found.join(" "), expected, "{rule:?}");
        }
        use Source::{Annotations, Labels};
        let app = [("app", "web"), ("empty", ""), ("tier", "front")];
        let annotation = [("annotation1", "av1")];
        check(("", "app", "", ""), Labels, &app, "k8s.pod.labels.app=web");
        check(("", "app", "", "name"), Labels, &app, "name=web");
        check(("pod", "empty", "", ""), Labels, &app, "k8s.pod.labels.empty=");
        check(("pod", "", "", "x"), Labels, &app, "");
        check(("pod", "nosuch", "", ""), Labels, &app, "");
        check(("", "", ".*", ""), Labels, &app, "k8s.pod.labels.app=web k8s.pod.labels.tier=front");
        check(("node", "", "(.*)", "k8s.node.label.$1"), Labels, &app[..1], "k8s.node.label.app=web");
        check(("namespace", "app", "", ""), Annotations, &app, "k8s.namespace.annotations.app=web");
        check(("deployment", "app", "", ""), Labels, &app, "k8s.deployment.label.app=web");
        check(("statefulset", "app", "", ""), Annotations, &app, "k8s.statefulset.annotation.app=web");
        check(("daemonset", "app", "", ""), Labels, &app, "k8s.daemonset.label.app=web");
        check(("job", "app", "", ""), Labels, &app, "k8s.job.label.app=web");
        check(("", "", r"annotation(\d+)", "$1"), Annotations, &annotation, "1=av1");
        check(("", "", r"annotation(\d+)", "prefix-$0"), Annotations, &annotation, "prefix-annotation1=av1");
        check(("", "", "an*", "$1"), Annotations, &annotation, "");
        check(("", "", "an.*", "tag"), Annotations, &annotation, "k8s.pod.annotations.annotation1=av1");
        check(("", "", "(a|t).*", "same"), Labels, &app, "same=web same=front");
    }

    #[test]
    fn rules_that_are_none() {
        fn check(config: RuleConfig, expected: &str) {
            let mut problems = Problems::default();
            assert!(Rule::compile(&config, Source::Labels, &mut problems).is_none());
            assert!(problems.to_string().contains(expected), "{problems}");
        }
        let rule = |key: &str, key_regex: &str, from: &str| RuleConfig {
            tag_name: String::new(),
            key: key.into(),
            key_regex: key_regex.into(),
            from: from.into(),
        };
        check(rule("a", "b", ""), "Out of Key or KeyRegex only one option");
        check(rule("a", "", "cronjob"), "from: cronjob is not a valid choice for From");
        check(rule("", "(", ""), "key_regex: invalid regular expression");
        check(rule("", ")(", ""), "key_regex: invalid regular expression");
    }
}
