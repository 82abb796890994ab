//! Metric directives: which fields of an event are metrics, over which dimensions.

use std::collections::{HashMap, HashSet};

use crate::config::RollupOption;
use crate::declaration::{Bits, Declarations};
use crate::json::{write_int, write_string};
use crate::labels::SCOPE_LABEL;
use crate::metric::Metric;

/// CloudWatch refuses a document with a larger set.
const MAX_DIMENSIONS: usize = 30;
/// Dimension sets of a directive. The default rollup makes one of each label, so that a point with very many labels would
/// otherwise become a text mostly of sets.
const MAX_SETS: usize = 1000;
/// CloudWatch refuses a directive with more metrics.
const MAX_METRICS: usize = 100;

/// The name of a label as a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dimension<'a> {
    pub(crate) name: &'a str,
    /// Whether CloudWatch takes it: name and value are not empty.
    pub(crate) usable: bool,
}

/// A directive without its namespace.
#[derive(Debug, PartialEq)]
pub(crate) struct Directive<'a> {
    pub(crate) sets: Vec<Vec<&'a str>>,
    /// Places among the metrics.
    pub(crate) metrics: Vec<usize>,
}

/// What directives are made from.
pub(crate) struct Directives<'a> {
    pub(crate) rollup: RollupOption,
    pub(crate) declarations: &'a Declarations,
    /// The declarations whose label matchers accept the labels.
    pub(crate) accepted: &'a Bits,
    /// Sorted by name; without the label of the storage resolution.
    pub(crate) dimensions: &'a [Dimension<'a>],
    pub(crate) namespace: &'a str,
    pub(crate) storage_resolution: i64,
}

impl<'a> Directives<'a> {
    /// The directives of `metrics`, and how many dimension sets were left out for being too large or too many.
    pub(crate) fn list(&self, metrics: &[&Metric]) -> (Vec<Directive<'a>>, usize) {
        let mut directives = if self.declarations.is_empty() {
            vec![Directive { sets: self.all_sets(), metrics: (0..metrics.len()).collect() }]
        } else {
            self.declared(metrics)
        };
        let mut oversized = self.dimensions.len().saturating_sub(MAX_SETS) * usize::from(self.has_rollup());
        for directive in &mut directives {
            let before = directive.sets.len();
            directive.sets.retain(|set| set.len() <= MAX_DIMENSIONS);
            oversized += before - directive.sets.len();
            directive.sets.retain(|set| set.iter().all(|name| self.is_usable(name)));
        }
        directives.retain(|directive| !directive.sets.is_empty() && !directive.metrics.is_empty());
        (directives, oversized)
    }

    /// Appends a list of directives as JSON.
    pub(crate) fn write(&self, out: &mut String, directives: &[Directive<'_>], metrics: &[&Metric]) {
        out.push('[');
        for directive in directives {
            for chunk in directive.metrics.chunks(MAX_METRICS) {
                if !out.ends_with('[') {
                    out.push(',');
                }
                self.write_directive(out, &directive.sets, chunk.iter().filter_map(|&at| metrics.get(at)));
            }
        }
        out.push(']');
    }

    /// The sets of data without declarations: one of all labels, then those of the rollup.
    fn all_sets(&self) -> Vec<Vec<&'a str>> {
        let names: Vec<&str> = self.dimensions.iter().map(|dimension| dimension.name).collect();
        let labels = names.iter().filter(|name| **name != SCOPE_LABEL).count();
        let rollup = self.rollup_sets();
        if labels == 0 || labels == 1 && !rollup.is_empty() {
            // The set of all labels is one of the others.
            return if rollup.is_empty() { vec![names] } else { rollup };
        }
        let mut sets = vec![names];
        sets.extend(rollup);
        sets
    }

    /// The scope alone, and the scope with each label.
    fn rollup_sets(&self) -> Vec<Vec<&'a str>> {
        let scope = self.dimensions.iter().find(|dimension| dimension.name == SCOPE_LABEL);
        let scope: Vec<&str> = scope.map(|dimension| dimension.name).into_iter().collect();
        let labels: Vec<&str> = self
            .dimensions
            .iter()
            .map(|dimension| dimension.name)
            .filter(|name| *name != SCOPE_LABEL)
            .take(MAX_SETS)
            .collect();
        let mut sets = Vec::new();
        if labels.is_empty() || !self.has_rollup() {
            return sets;
        }
        if self.rollup == RollupOption::ZeroAndSingle {
            sets.push(scope.clone());
        }
        for label in labels {
            let mut set = scope.clone();
            set.push(label);
            set.sort_unstable();
            sets.push(set);
        }
        sets
    }

    fn has_rollup(&self) -> bool {
        self.rollup != RollupOption::None
    }

    /// One directive for the metrics of each list of declarations, in order of the lists.
    fn declared(&self, metrics: &[&Metric]) -> Vec<Directive<'a>> {
        let mut places: HashMap<Vec<usize>, Vec<usize>> = HashMap::new();
        for (place, metric) in metrics.iter().enumerate() {
            let declarations: Vec<usize> = self.accepted.common(&metric.selecting).collect();
            if !declarations.is_empty() {
                places.entry(declarations).or_default().push(place);
            }
        }
        let mut lists: Vec<_> = places.into_iter().collect();
        lists.sort();
        let rollup = self.rollup_sets();
        lists
            .into_iter()
            .map(|(declarations, metrics)| {
                let declared = declarations
                    .iter()
                    .filter_map(|&at| self.declarations.list.get(at))
                    .flat_map(|declaration| &declaration.dimensions)
                    .filter(|set| set.iter().all(|name| self.has(name)))
                    .map(|set| set.iter().map(String::as_str).collect());
                let mut known: HashSet<Vec<&str>> = HashSet::new();
                let sets = declared.chain(rollup.iter().cloned()).filter(|set| known.insert(set.clone()));
                Directive { sets: sets.collect(), metrics }
            })
            .collect()
    }

    fn find(&self, name: &str) -> Option<&Dimension<'a>> {
        let at = self.dimensions.binary_search_by(|dimension| dimension.name.cmp(name)).ok()?;
        self.dimensions.get(at)
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn is_usable(&self, name: &str) -> bool {
        self.find(name).is_some_and(|dimension| dimension.usable)
    }

    fn write_directive<'m>(
        &self,
        out: &mut String,
        sets: &[Vec<&str>],
        metrics: impl Iterator<Item = &'m &'m Metric>,
    ) {
        out.push_str("{\"Namespace\":");
        write_string(out, self.namespace);
        out.push_str(",\"Dimensions\":[");
        for (index, set) in sets.iter().enumerate() {
            out.push_str(if index > 0 { ",[" } else { "[" });
            for (index, name) in set.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, name);
            }
            out.push(']');
        }
        out.push_str("],\"Metrics\":[");
        for (index, metric) in metrics.enumerate() {
            out.push_str(if index > 0 { ",{\"Name\":" } else { "{\"Name\":" });
            write_string(out, &metric.name);
            out.push_str(",\"Unit\":");
            write_string(out, &metric.unit);
            out.push_str(",\"StorageResolution\":");
            write_int(out, self.storage_resolution);
            out.push('}');
        }
        out.push_str("]}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EmfConfig, MetricDeclaration};
    use crate::declaration::Matches;
    use crate::metric::{Metrics, Suffix};
    use crate::rules::Rules;

    fn directives(
        rollup: RollupOption,
        declarations: &[(&[&[&str]], &str)],
        labels: &[&str],
        metrics: &[&str],
    ) -> (String, usize) {
        let config = EmfConfig {
            metric_declarations: declarations
                .iter()
                .map(|(sets, selector)| MetricDeclaration {
                    dimensions: sets
                        .iter()
                        .map(|set| set.iter().map(|&name| name.to_owned()).collect())
                        .collect(),
                    metric_name_selectors: vec![(*selector).to_owned()],
                    label_matchers: Vec::new(),
                })
                .collect(),
            ..EmfConfig::default()
        };
        let (rules, _) = Rules::compile(&config, String::new()).unwrap();
        let mut table = Metrics::default();
        let ids: Vec<_> = metrics.iter().map(|name| table.id(&rules, 0, name, Suffix::None, "")).collect();
        let metrics: Vec<&Metric> = ids.iter().filter_map(|id| table.get(*id)).collect();
        let mut accepted = Bits::default();
        rules.declarations.accepting(&mut accepted, &mut Matches::default(), |_| None);
        let dimensions: Vec<_> =
            labels.iter().map(|&name| Dimension { name, usable: name != "empty" }).collect();
        let mut out = String::new();
        let directives = Directives {
            rollup,
            declarations: &rules.declarations,
            accepted: &accepted,
            dimensions: &dimensions,
            namespace: "ns",
            storage_resolution: 60,
        };
        let (list, oversized) = directives.list(&metrics);
        if !list.is_empty() {
            directives.write(&mut out, &list, &metrics);
        }
        (out, oversized)
    }

    fn dimensions(text: &str) -> Vec<String> {
        let parsed: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
        parsed.iter().map(|directive| directive["Dimensions"].to_string()).collect()
    }

    #[test]
    fn sets_without_declarations() {
        let check = |rollup: RollupOption, labels: &[&str], expected: &str| {
            assert_eq!(dimensions(&directives(rollup, &[], labels, &["m"]).0).join("|"), expected);
        };
        use RollupOption::{None, Single, ZeroAndSingle};
        check(None, &["a", "b"], r#"[["a","b"]]"#);
        check(None, &[], "[[]]");
        check(Single, &["OTelLib", "a", "b"], r#"[["OTelLib","a","b"],["OTelLib","a"],["OTelLib","b"]]"#);
        check(ZeroAndSingle, &["a", "b"], r#"[["a","b"],[],["a"],["b"]]"#);
        check(ZeroAndSingle, &["a"], r#"[[],["a"]]"#);
        check(Single, &["a"], r#"[["a"]]"#);
        check(ZeroAndSingle, &["OTelLib", "a"], r#"[["OTelLib"],["OTelLib","a"]]"#);
        check(ZeroAndSingle, &["Alpha", "OTelLib"], r#"[["OTelLib"],["Alpha","OTelLib"]]"#);
        check(ZeroAndSingle, &["OTelLib"], r#"[["OTelLib"]]"#);
        check(ZeroAndSingle, &[], "[[]]");
        check(None, &["a", "empty"], "");
        check(ZeroAndSingle, &["a", "empty"], r#"[[],["a"]]"#);
    }

    #[test]
    fn sets_of_declarations() {
        let declarations: [(&[&[&str]], &str); 2] = [(&[&["b", "a"], &[]], "m"), (&[&["a"]], "^m1$")];
        let check = |rollup: RollupOption, labels: &[&str], metrics: &[&str], expected: &str| {
            let (text, _) = directives(rollup, &declarations, labels, metrics);
            assert_eq!(dimensions(&text).join("|"), expected);
        };
        use RollupOption::{None, ZeroAndSingle};
        let labels = ["OTelLib", "a", "b"];
        check(None, &labels, &["m1", "m2"], r#"[["a","b"],[]]|[["a","b"],[],["a"]]"#);
        check(None, &["a"], &["m1", "x"], r#"[[],["a"]]"#);
        check(None, &["a"], &["x"], "");
        check(ZeroAndSingle, &["a", "b"], &["m2"], r#"[["a","b"],[],["a"],["b"]]"#);
        let only_missing: [(&[&[&str]], &str); 1] = [(&[&["c"]], "m")];
        assert_eq!(directives(None, &only_missing, &["a"], &["m"]).0, "");
    }

    #[test]
    fn what_cloudwatch_would_refuse_is_left_out() {
        let labels: Vec<String> = (0..31).map(|i| format!("l{i:02}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert_eq!(directives(RollupOption::None, &[], &labels, &["m"]), (String::new(), 1));
        let names: Vec<String> = (0..101).map(|i| format!("m{i:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (text, _) = directives(RollupOption::None, &[], &["a"], &names);
        assert_eq!(dimensions(&text), [r#"[["a"]]"#, r#"[["a"]]"#]);
    }

    #[test]
    fn sets_beyond_the_number_of_an_event_are_counted() {
        let labels: Vec<String> = (0..MAX_SETS + 7).map(|i| format!("l{i:05}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let (text, left_out) = directives(RollupOption::Single, &[], &labels, &["m"]);
        assert_eq!(text.matches("[\"l").count(), MAX_SETS);
        assert_eq!(left_out, 7 + 1, "the set of all labels is too large");
    }

    #[test]
    fn the_text_of_a_directive() {
        let (text, _) = directives(RollupOption::None, &[], &["<a>"], &["m"]);
        assert_eq!(
            text,
            r#"[{"Namespace":"ns","Dimensions":[["\u003ca\u003e"]],"Metrics":[{"Name":"m","Unit":"","StorageResolution":60}]}]"#
        );
    }
}
