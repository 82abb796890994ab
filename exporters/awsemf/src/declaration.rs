//! Metric declarations: which metrics are extracted, over which dimensions.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use helper::{go_pattern, go_regex};
use regex::{Regex, RegexSet};
use smallvec::SmallVec;

use crate::config::{LabelMatcherConfig, MetricDeclaration};

/// A dimension set with more names is dropped.
const MAX_DIMENSIONS: usize = 10;
/// With more bytes of remembered label values the memory starts anew.
const MAX_KNOWN_BYTES: usize = 4 << 20;

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
    /// The labels that matchers look at.
    joins: Vec<Join>,
}

/// Labels that matchers join alike.
#[derive(Debug, Clone)]
struct Join {
    names: Vec<String>,
    separator: String,
    /// Every expression once, with the declarations that have it.
    expressions: Vec<(Regex, Bits)>,
}

/// What matchers said of labels, so that an expression is searched once for a value, and not for every event.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    /// By place of the join, and joined values: the declarations that accept them.
    known: HashTable<Known>,
    bytes: usize,
    joined: String,
    hasher: RandomState,
}

#[derive(Debug)]
struct Known {
    hash: u64,
    join: usize,
    joined: Box<str>,
    accepted: Bits,
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

    /// Adds all indices of another set.
    fn extend(&mut self, other: &Bits) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(bits, others)| *bits |= others);
    }

    /// Whether an index is in it.
    pub(crate) fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
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
        let mut patterns = Vec::with_capacity(config.metric_name_selectors.len());
        for regex in &config.metric_name_selectors {
            let pattern = go_regex(regex).and_then(|_| go_pattern(regex));
            patterns.push(pattern.map_err(|error| DeclarationError::Selector {
                regex: regex.clone(),
                reason: error.to_string(),
            })?);
        }
        let selectors = RegexSet::new(&patterns).map_err(|error| DeclarationError::Selector {
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
        let regex = go_regex(&config.regex).map_err(|error| DeclarationError::Matcher {
            regex: config.regex.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { names: config.label_names.clone(), separator: config.separator.clone(), regex })
    }
}

/// The last line of a regex error says what is wrong; the lines before it draw the place.
fn brief(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

impl Declarations {
    pub(crate) fn new(list: Vec<Declaration>) -> Self {
        let mut joins: Vec<Join> = Vec::new();
        for (index, declaration) in list.iter().enumerate() {
            for matcher in &declaration.matchers {
                let Matcher { names, separator, regex } = matcher;
                let at = joins.iter().position(|join| join.names == *names && join.separator == *separator);
                let at = at.unwrap_or_else(|| {
                    let (names, separator) = (names.clone(), separator.clone());
                    joins.push(Join { names, separator, expressions: Vec::new() });
                    joins.len() - 1
                });
                let Some(Join { expressions, .. }) = joins.get_mut(at) else { continue };
                match expressions.iter_mut().find(|(known, _)| known.as_str() == regex.as_str()) {
                    Some((_, declarations)) => declarations.insert(index),
                    None => {
                        let mut declarations = Bits::default();
                        declarations.insert(index);
                        expressions.push((regex.clone(), declarations));
                    }
                }
            }
        }
        Self { list, joins }
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
        matches: &mut Matches,
        label: impl Fn(&str) -> Option<&'t str>,
    ) {
        if self.joins.is_empty() && !bits.0.is_empty() {
            // The same for all labels.
            return;
        }
        bits.clear();
        for (index, declaration) in self.list.iter().enumerate() {
            if declaration.matchers.is_empty() {
                bits.insert(index);
            }
        }
        for (at, join) in self.joins.iter().enumerate() {
            bits.extend(matches.accepting(at, join, &label));
        }
    }
}

impl Matches {
    fn accepting<'t>(&mut self, at: usize, join: &Join, label: &impl Fn(&str) -> Option<&'t str>) -> &Bits {
        static NONE: Bits = Bits(SmallVec::new_const());
        let Self { known, bytes, joined, hasher } = self;
        joined.clear();
        for (index, name) in join.names.iter().enumerate() {
            if index > 0 {
                joined.push_str(&join.separator);
            }
            joined.push_str(label(name).unwrap_or_default());
        }
        let mut state = hasher.build_hasher();
        state.write(joined.as_bytes());
        state.write_usize(at);
        let hash = state.finish();
        let is = |other: &Known| other.hash == hash && other.join == at && *other.joined == **joined;
        if known.find(hash, is).is_none() {
            if *bytes > MAX_KNOWN_BYTES {
                known.clear();
                *bytes = 0;
            }
            let mut accepted = Bits::default();
            for (regex, declarations) in &join.expressions {
                if regex.is_match(joined) {
                    accepted.extend(declarations);
                }
            }
            *bytes += size_of::<Known>() + joined.len() + accepted.0.len() * 8;
            let new = Known { hash, join: at, joined: joined.as_str().into(), accepted };
            known.insert_unique(hash, new, |known| known.hash);
        }
        known.find(hash, is).map_or(&NONE, |known| &known.accepted)
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
            r#"invalid regular expression "[" in metric_name_selectors: error parsing regexp: missing closing ]: `[`"#,
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
        check(
            with(&["a"], "("),
            r#"invalid regular expression "(" of a label matcher: error parsing regexp: missing closing ): `(`"#,
        );
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
        let mut matches = Matches::default();
        let mut check = |labels: &[(&str, &'static str)], expected: &[usize]| {
            let mut bits = Bits::default();
            declarations.accepting(&mut bits, &mut matches, |name| {
                labels.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
            });
            assert_eq!(bits.common(&bits).collect::<Vec<_>>(), expected);
        };
        for _ in 0..2 {
            check(&[("a", "A"), ("b", "B")], &[0, 1]);
            check(&[("a", "A")], &[0]);
            check(&[("a", "nothing")], &[0, 1]);
        }
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
