//! Metric declarations: which metrics are extracted, over which dimensions.

use regex::{Regex, RegexSet};
use smallvec::SmallVec;

use crate::config::{LabelMatcherConfig, MetricDeclaration};

/// A dimension set with more names is dropped.
const MAX_DIMENSIONS: usize = 10;

/// A set of declarations, by index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub(crate) struct Bits(SmallVec<[u64; 2]>);

/// Why a declaration cannot be used. The place is relative to the declaration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    /// Nothing would ever be selected.
    #[error("metric_name_selectors must not be empty: the declaration would select nothing")]
    NoSelectors,
    /// A selector is not a regular expression.
    #[error("invalid regular expression {regex:?} in metric_name_selectors: {reason}")]
    Selector {
        /// As configured.
        regex: String,
        /// What the compiler says.
        reason: String,
    },
    /// A matcher looks at nothing.
    #[error("label_names of a label matcher must not be empty")]
    NoLabelNames,
    /// A matcher has no expression.
    #[error("regex of a label matcher must not be empty")]
    NoRegex,
    /// A matcher's expression is not a regular expression.
    #[error("invalid regular expression {regex:?} of a label matcher: {reason}")]
    Matcher {
        /// As configured.
        regex: String,
        /// What the compiler says.
        reason: String,
    },
}

/// A compiled declaration.
#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    /// Sorted sets of names, without repeats.
    pub(crate) dimensions: Vec<Vec<String>>,
    selectors: RegexSet,
    matchers: Vec<Matcher>,
}

#[derive(Debug, Clone)]
struct Matcher {
    names: Vec<String>,
    separator: String,
    regex: Regex,
}

/// All declarations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declarations {
    pub(crate) list: Vec<Declaration>,
    has_matchers: bool,
}

impl Bits {
    /// Adds an index.
    pub(crate) fn insert(&mut self, index: usize) {
        let word = index / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0.iter_mut().skip(word).take(1).for_each(|bits| *bits |= 1 << (index % 64));
    }

    /// The indices that are in both, ascending.
    pub(crate) fn common<'a>(&'a self, other: &'a Bits) -> impl Iterator<Item = usize> + 'a {
        self.0.iter().zip(&other.0).enumerate().flat_map(|(word, (a, b))| {
            let both = a & b;
            (0..64).filter(move |bit| both >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        })
    }
}

impl Declaration {
    /// Compiles a declaration. The second value says how many dimension sets were dropped for having more than ten
    /// names.
    pub(crate) fn compile(config: &MetricDeclaration) -> Result<(Self, usize), DeclarationError> {
        if config.metric_name_selectors.is_empty() {
            return Err(DeclarationError::NoSelectors);
        }
        for regex in &config.metric_name_selectors {
            Regex::new(regex).map_err(|error| DeclarationError::Selector {
                regex: regex.clone(),
                reason: brief(&error),
            })?;
        }
        let selectors =
            RegexSet::new(&config.metric_name_selectors).map_err(|error| DeclarationError::Selector {
                regex: config.metric_name_selectors.join(" | "),
                reason: brief(&error),
            })?;
        let matchers = config.label_matchers.iter().map(Matcher::compile).collect::<Result<_, _>>()?;
        let mut dimensions: Vec<Vec<String>> = Vec::new();
        let mut dropped = 0;
        for names in &config.dimensions {
            let mut names = names.clone();
            names.sort();
            names.dedup();
            if names.len() > MAX_DIMENSIONS {
                dropped += 1;
            } else if !dimensions.contains(&names) {
                dimensions.push(names);
            }
        }
        Ok((Self { dimensions, selectors, matchers }, dropped))
    }

    /// Whether a selector finds something in the name.
    pub(crate) fn selects(&self, metric: &str) -> bool {
        self.selectors.is_match(metric)
    }
}

impl Matcher {
    fn compile(config: &LabelMatcherConfig) -> Result<Self, DeclarationError> {
        if config.label_names.is_empty() {
            return Err(DeclarationError::NoLabelNames);
        }
        if config.regex.is_empty() {
            return Err(DeclarationError::NoRegex);
        }
        let regex = Regex::new(&config.regex).map_err(|error| DeclarationError::Matcher {
            regex: config.regex.clone(),
            reason: brief(&error),
        })?;
        Ok(Self { names: config.label_names.clone(), separator: config.separator.clone(), regex })
    }

    fn accepts<'t>(&self, joined: &mut String, label: impl Fn(&str) -> Option<&'t str>) -> bool {
        joined.clear();
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(label(name).unwrap_or_default());
        }
        self.regex.is_match(joined)
    }
}

/// The last line of a regex error says what is wrong; the lines before it draw the place.
fn brief(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

impl Declarations {
    pub(crate) fn new(list: Vec<Declaration>) -> Self {
        Self { has_matchers: list.iter().any(|declaration| !declaration.matchers.is_empty()), list }
    }

    /// Whether none were configured: then everything is extracted.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The declarations that select a metric.
    pub(crate) fn selecting(&self, metric: &str) -> Bits {
        let mut bits = Bits::default();
        for (index, declaration) in self.list.iter().enumerate() {
            if declaration.selects(metric) {
                bits.insert(index);
            }
        }
        bits
    }

    /// Sets `bits` to the declarations whose label matchers accept a set of labels: those without matchers, and those of
    /// which any matcher does.
    pub(crate) fn accepting<'t>(
        &self,
        bits: &mut Bits,
        joined: &mut String,
        label: impl Fn(&str) -> Option<&'t str>,
    ) {
        if !self.has_matchers && !bits.0.is_empty() {
            // The same for all labels.
            return;
        }
        bits.0.clear();
        for (index, declaration) in self.list.iter().enumerate() {
            let matchers = &declaration.matchers;
            if matchers.is_empty() || matchers.iter().any(|matcher| matcher.accepts(joined, &label)) {
                bits.insert(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    fn declaration(dimensions: &[&[&str]], selectors: &[&str]) -> MetricDeclaration {
        MetricDeclaration {
            dimensions: dimensions.iter().map(|set| strings(set)).collect(),
            metric_name_selectors: strings(selectors),
            label_matchers: Vec::new(),
        }
    }

    #[test]
    fn dimension_sets_are_sorted_and_unique() {
        let eleven: Vec<String> = (0..11).map(|i| format!("d{i:02}")).collect();
        let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
        let config = declaration(&[&["b", "a", "a"], &["a", "b"], &[], &eleven], &["m"]);
        let (compiled, dropped) = Declaration::compile(&config).unwrap();
        assert_eq!(compiled.dimensions, [strings(&["a", "b"]), vec![]]);
        assert_eq!(dropped, 1);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let check = |config: MetricDeclaration, expected: &str| {
            let error = Declaration::compile(&config).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check(declaration(&[], &[]), "metric_name_selectors must not be empty");
        check(
            declaration(&[], &["["]),
            r#"invalid regular expression "[" in metric_name_selectors: unclosed"#,
        );
        let with = |names: &[&str], regex: &str| MetricDeclaration {
            label_matchers: vec![LabelMatcherConfig {
                label_names: strings(names),
                regex: regex.into(),
                ..Default::default()
            }],
            ..declaration(&[], &["m"])
        };
        check(with(&[], "x"), "label_names of a label matcher");
        check(with(&["a"], ""), "regex of a label matcher must not");
        check(with(&["a"], "("), r#"invalid regular expression "(" of a label matcher: unclosed"#);
    }

    #[test]
    fn matchers_join_values_and_take_missing_ones_as_empty() {
        let matcher = |names: &[&str], regex: &str| LabelMatcherConfig {
            label_names: strings(names),
            regex: regex.into(),
            ..Default::default()
        };
        let mut matched = declaration(&[], &["m"]);
        matched.label_matchers =
            vec![matcher(&["a"], "^nothing$"), matcher(&["a", "missing", "b"], "^A;;B$")];
        let list = [declaration(&[], &["m"]), matched];
        let declarations =
            Declarations::new(list.iter().map(|config| Declaration::compile(config).unwrap().0).collect());
        let check = |labels: &[(&str, &'static str)], expected: &[usize]| {
            let mut bits = Bits::default();
            declarations.accepting(&mut bits, &mut String::new(), |name| {
                labels.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
            });
            assert_eq!(bits.common(&bits).collect::<Vec<_>>(), expected);
        };
        check(&[("a", "A"), ("b", "B")], &[0, 1]);
        check(&[("a", "A")], &[0]);
    }

    #[test]
    fn selectors_search_anywhere() {
        let (compiled, _) = Declaration::compile(&declaration(&[], &["cpu", "^x$"])).unwrap();
        assert!(compiled.selects("my_cpu_total"));
        assert!(!compiled.selects("xx"));
    }

    #[test]
    fn bits_beyond_one_word() {
        let (mut a, mut b) = (Bits::default(), Bits::default());
        [0, 63, 64, 200].iter().for_each(|&i| a.insert(i));
        [63, 200, 300].iter().for_each(|&i| b.insert(i));
        assert_eq!(a.common(&b).collect::<Vec<_>>(), [63, 200]);
    }
}
