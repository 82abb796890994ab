//! What two implementations say differently, and which of it is meant.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A difference on purpose. Patterns may hold `*`; empty lists stand for everything.
#[derive(Debug, Deserialize)]
pub(crate) struct Allowed {
    reason: String,
    /// The other implementation leaves it to chance.
    #[serde(default)]
    by_chance: bool,
    #[serde(default)]
    configurations: Vec<String>,
    #[serde(default)]
    inputs: Vec<String>,
    #[serde(default)]
    attributes: Vec<String>,
}

/// All that was found.
#[derive(Default)]
pub(crate) struct Differences {
    compared: usize,
    found: Vec<Difference>,
}

struct Difference {
    configuration: String,
    input: String,
    attribute: String,
    ours: Value,
    theirs: Value,
}

impl Differences {
    pub(crate) fn add(
        &mut self,
        configuration: &str,
        input: &str,
        attribute: &str,
        ours: &Value,
        theirs: &Value,
    ) {
        self.found.push(Difference {
            configuration: configuration.to_owned(),
            input: input.to_owned(),
            attribute: attribute.to_owned(),
            ours: ours.clone(),
            theirs: theirs.clone(),
        });
    }

    /// Compares a resource's attributes.
    pub(crate) fn compare(
        &mut self,
        configuration: &str,
        input: &str,
        ours: Option<&Map<String, Value>>,
        theirs: Option<&Map<String, Value>>,
    ) {
        let none = Map::new();
        if ours.is_none() || theirs.is_none() {
            let there = |side: Option<_>| Value::Bool(side.is_some());
            self.add(configuration, input, "whole resource", &there(ours), &there(theirs));
        }
        let (ours, theirs) = (ours.unwrap_or(&none), theirs.unwrap_or(&none));
        for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
            self.compared += 1;
            let (one, other) = (ours.get(key), theirs.get(key));
            if one != other {
                let value = |side: Option<&Value>| side.cloned().unwrap_or_default();
                self.add(configuration, input, key, &value(one), &value(other));
            }
        }
    }

    /// # Errors
    /// What is not allowed, and what is allowed but is not there (any more).
    pub(crate) fn judge(self, allowed: &[Allowed], gates: &[&str]) -> Result<()> {
        let mut used = vec![0_usize; allowed.len()];
        let mut defects: BTreeMap<(String, String, String), Vec<&Difference>> = BTreeMap::new();
        for difference in &self.found {
            match allowed.iter().position(|allowed| allowed.is(difference)) {
                Some(index) => used[index] += 1,
                None => {
                    let what = (
                        difference.attribute.clone(),
                        difference.ours.to_string(),
                        difference.theirs.to_string(),
                    );
                    defects.entry(what).or_default().push(difference);
                }
            }
        }
        eprintln!("{} attributes compared, gates {gates:?}", self.compared);
        for (allowed, count) in allowed.iter().zip(&used) {
            eprintln!("{count} on purpose: {}", allowed.reason);
        }
        let mut told = String::new();
        for ((attribute, ours, theirs), all) in &defects {
            told.push_str(&format!("{attribute}: ours {ours:.200}, reference {theirs:.200}\n"));
            for one in all.iter().take(6) {
                told.push_str(&format!("    {} / {}\n", one.configuration, one.input));
            }
            if all.len() > 6 {
                told.push_str(&format!("    and {} more\n", all.len() - 6));
            }
        }
        // With other gates a difference may be gone.
        let gone = |allowed: &Allowed, count: usize| gates.is_empty() && count == 0 && !allowed.by_chance;
        for (allowed, _) in allowed.iter().zip(&used).filter(|(allowed, count)| gone(allowed, **count)) {
            told.push_str(&format!("no difference any more: {}\n", allowed.reason));
        }
        if !told.is_empty() {
            bail!("{told}");
        }
        Ok(())
    }
}

impl Allowed {
    fn is(&self, difference: &Difference) -> bool {
        any(&self.configurations, &difference.configuration)
            && any(&self.inputs, &difference.input)
            && any(&self.attributes, &difference.attribute)
    }
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, text))
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(begin) else { return false };
    let mut cuts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    cuts.any(|at| text.get(at..).is_some_and(|tail| matches(rest, tail)))
}
