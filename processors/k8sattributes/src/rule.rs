//! Labels and annotations that become attributes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use confmap::Problems;
use k8s::{Keys, Matcher, Name};
use regex::Regex;

use crate::RuleConfig;
use crate::gating::Gating;
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
    One { key: String, names: Vec<String> },
    Matching { regex: Regex, naming: Naming, names: Mutex<HashMap<Name, Names>> },
}

/// The attributes that a key makes: none if it does not match, two while names are changed.
type Names = Arc<[Name]>;

#[derive(Debug)]
enum Naming {
    Template(Template),
    /// Each of these, and the key.
    Prefixes(Vec<String>),
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

    /// What attributes of its labels or annotations begin with. The older three kinds had the plural before the stable
    /// conventions.
    fn prefixes(self, source: Source, gating: Gating) -> Vec<String> {
        let (kind, had_plural) = match self {
            Self::Pod => ("pod", true),
            Self::Namespace => ("namespace", true),
            Self::Node => ("node", true),
            Self::Deployment => ("deployment", false),
            Self::StatefulSet => ("statefulset", false),
            Self::DaemonSet => ("daemonset", false),
            Self::Job => ("job", false),
        };
        let source = if source == Source::Labels { "label" } else { "annotation" };
        let mut prefixes = Vec::new();
        if had_plural && gating.v0 {
            prefixes.push(format!("k8s.{kind}.{source}s."));
        }
        if !had_plural || gating.v1 {
            prefixes.push(format!("k8s.{kind}.{source}."));
        }
        prefixes
    }
}

impl Rule {
    /// The rule of a configuration; `None` if it has no effect or, reported, a problem.
    pub(crate) fn compile(
        config: &RuleConfig,
        source: Source,
        gating: Gating,
        problems: &mut Problems,
    ) -> Option<Self> {
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
        let prefixes = subject?.prefixes(source, gating);
        let keys = if !config.key.is_empty() {
            let names = if config.tag_name.is_empty() {
                prefixes.iter().map(|prefix| format!("{prefix}{}", config.key)).collect()
            } else {
                vec![config.tag_name.clone()]
            };
            RuleKeys::One { key: config.key.clone(), names }
        } else if !config.key_regex.is_empty() {
            let regex = problems.at("key_regex", |problems| whole(&config.key_regex, problems))?;
            let templated = regex.captures_len() > 1 && !config.tag_name.is_empty();
            let naming = if templated {
                Naming::Template(Template::parse(&config.tag_name))
            } else {
                Naming::Prefixes(prefixes)
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
        Self::compile(&config, Source::Annotations, Gating::default(), &mut Problems::default())
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
            RuleKeys::One { key, names } => {
                if let Some(value) = k8s::row::pair(pairs, key) {
                    names.iter().for_each(|name| put(name, value));
                }
            }
            RuleKeys::Matching { regex, naming, names } => {
                let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
                for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
                    let names = remembered(&mut names, key, || naming.names(regex, key));
                    names.iter().for_each(|name| put(name, value));
                }
            }
        }
    }
}

impl Naming {
    /// The names of the attributes of `key`; none if it does not match.
    fn names(&self, regex: &Regex, key: &str) -> Names {
        match self {
            Self::Template(template) => {
                regex.captures(key).map(|captures| template.expand(&captures).into()).into_iter().collect()
            }
            Self::Prefixes(prefixes) if regex.is_match(key) => {
                prefixes.iter().map(|prefix| format!("{prefix}{key}").into()).collect()
            }
            Self::Prefixes(_) => Names::default(),
        }
    }
}

fn remembered(known: &mut HashMap<Name, Names>, key: &Name, names: impl FnOnce() -> Names) -> Names {
    if let Some(names) = known.get(key) {
        return Arc::clone(names);
    }
    if known.len() >= REMEMBERED {
        known.clear();
    }
    let names = names();
    known.insert(Arc::clone(key), Arc::clone(&names));
    names
}

/// A regular expression that whole texts match.
fn whole(pattern: &str, problems: &mut Problems) -> Option<Regex> {
    // By itself first, so that brackets of the pattern cannot close ours.
    match helper::go_regex(pattern).and_then(|_| helper::go_regex(&format!("^(?:{pattern})$"))) {
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
            let compiled = Rule::compile(&config, source, Gating::default(), &mut problems);
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
    fn names_that_feature_gates_choose() {
        fn check(v0: bool, v1: bool, from: &str, expected: &str) {
            let gating = Gating { v0, v1, ..Gating::default() };
            let pairs: [(Name, Name); 1] = [("app".into(), "web".into())];
            for (key, key_regex) in [("app", ""), ("", "a.*")] {
                let config = RuleConfig {
                    from: from.into(),
                    key: key.into(),
                    key_regex: key_regex.into(),
                    ..RuleConfig::default()
                };
                let rule = Rule::compile(&config, Source::Labels, gating, &mut Problems::default()).unwrap();
                let mut found = Vec::new();
                rule.apply(&pairs, |name, _| found.push(name.to_owned()));
                assert_eq!(found.join(" "), expected, "{v0} {v1} {from}");
            }
        }
        check(true, false, "pod", "k8s.pod.labels.app");
        check(true, true, "pod", "k8s.pod.labels.app k8s.pod.label.app");
        check(false, true, "pod", "k8s.pod.label.app");
        check(true, true, "node", "k8s.node.labels.app k8s.node.label.app");
        check(false, true, "namespace", "k8s.namespace.label.app");
        check(true, false, "job", "k8s.job.label.app");
        check(false, true, "deployment", "k8s.deployment.label.app");
    }

    #[test]
    fn rules_that_are_none() {
        fn check(config: RuleConfig, expected: &str) {
            let mut problems = Problems::default();
            assert!(Rule::compile(&config, Source::Labels, Gating::default(), &mut problems).is_none());
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
