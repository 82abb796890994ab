//! Texts that are looked for.

use confmap::Problems;
use regex::Regex;
use serde::Deserialize;

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchType {
    /// They are the same.
    Strict,
    /// A regular expression matches somewhere in the text.
    Regexp,
}

impl MatchType {
    /// The type of a name; reported if there is none.
    pub fn parse(name: &str, problems: &mut Problems) -> Option<Self> {
        match name {
            "strict" => Some(Self::Strict),
            "regexp" => Some(Self::Regexp),
            other => {
                problems.at("match_type", |problems| {
                    problems.report_with_help(
                        format!("unrecognized match_type: '{other}', valid types are: [regexp strict]"),
                        "one of strict, regexp",
                    );
                });
                None
            }
        }
    }
}

/// The block `regexp`: a cache of results, which is accepted and not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegexpCache {
    /// Whether results are kept.
    pub cacheenabled: bool,
    /// How many.
    pub cachemaxnumentries: u64,
}

/// Texts, or regular expressions for them.
#[derive(Debug, Clone)]
pub struct Texts {
    strict: Vec<String>,
    patterns: Vec<Regex>,
}

impl Texts {
    /// Texts in the list at the current path of `problems`; invalid expressions are reported and left out.
    pub fn new(match_type: MatchType, texts: &[String], problems: &mut Problems) -> Self {
        match match_type {
            MatchType::Strict => {
                let mut strict = texts.to_vec();
                strict.sort();
                Self { strict, patterns: Vec::new() }
            }
            MatchType::Regexp => {
                let patterns = texts.iter().enumerate();
                let patterns = patterns
                    .filter_map(|(index, text)| problems.index(index, |problems| regex(text, problems)))
                    .collect();
                Self { strict: Vec::new(), patterns }
            }
        }
    }

    /// Whether one of them is the text or matches it.
    pub fn matches(&self, text: &str) -> bool {
        self.strict.binary_search_by(|known| known.as_str().cmp(text)).is_ok()
            || self.patterns.iter().any(|pattern| pattern.is_match(text))
    }
}

/// A regular expression; reported if it is none.
pub(crate) fn regex(text: &str, problems: &mut Problems) -> Option<Regex> {
    helper::go_regex(text)
        .map_err(|error| problems.report(format!("invalid regular expression: {error}")))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_match_whole_or_by_expression() {
        let check = |match_type, texts: &[&str], text: &str, expected: bool| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let mut problems = Problems::default();
            assert_eq!(
                Texts::new(match_type, &texts, &mut problems).matches(text),
                expected,
                "{texts:?} {text}"
            );
            assert!(problems.is_empty());
        };
        check(MatchType::Strict, &["b", "a"], "a", true);
        check(MatchType::Strict, &["b", "a"], "ab", false);
        check(MatchType::Regexp, &["^x", "b$"], "ab", true);
        check(MatchType::Regexp, &["^x", "b$"], "aba", false);
        check(MatchType::Regexp, &["b"], "aba", true);
    }

    #[test]
    fn faults_are_named() {
        let mut problems = Problems::rooted("include");
        Texts::new(MatchType::Regexp, &["a".to_owned(), "(".to_owned()], &mut problems);
        MatchType::parse("exact", &mut problems);
        let text = problems.to_string();
        assert!(text.contains("include[1]: invalid regular expression: "), "{text}");
        assert!(text.contains("include::match_type: unrecognized match_type: 'exact'"), "{text}");
    }
}
