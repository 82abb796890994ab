//! What a statement runs on, and which names it may use there.

use pdata::Signal;
use pdata::rewrite::Level;

/// A level of a signal: what paths without a prefix belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    signal: Signal,
    level: Level,
}

impl Context {
    /// The context of a level; `None` where the signal does not have it.
    pub fn new(signal: Signal, level: Level) -> Option<Self> {
        let there = match level {
            Level::Resource | Level::Scope | Level::Item => true,
            Level::Metric => signal == Signal::Metrics,
            Level::Event => signal == Signal::Traces,
        };
        there.then_some(Self { signal, level })
    }

    /// The context of a name: `resource`, `scope`, `metric`, `datapoint`, `log`, `span`, `spanevent`.
    pub fn named(signal: Signal, name: &str) -> Option<Self> {
        let context = |level| Some(Self { signal, level });
        match (signal, name) {
            (_, "resource") => context(Level::Resource),
            (_, "scope" | "instrumentation_scope") => context(Level::Scope),
            (Signal::Metrics, "metric") => context(Level::Metric),
            (Signal::Metrics, "datapoint") | (Signal::Logs, "log") | (Signal::Traces, "span") => {
                context(Level::Item)
            }
            (Signal::Traces, "spanevent") => context(Level::Event),
            _ => None,
        }
    }

    /// The names of the contexts of a signal, from above.
    pub fn names(signal: Signal) -> &'static [&'static str] {
        match signal {
            Signal::Metrics => &["resource", "scope", "metric", "datapoint"],
            Signal::Logs => &["resource", "scope", "log"],
            Signal::Traces => &["resource", "scope", "span", "spanevent"],
        }
    }

    /// The lowest of the contexts that the paths of some texts begin with; `None` if none begins with one.
    ///
    /// Texts that are not well formed do not count.
    pub fn inferred<'t>(signal: Signal, texts: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        let words = texts.into_iter().filter_map(|text| crate::lexer::tokens(text).ok()).flat_map(prefixes);
        words.filter_map(|word| Self::named(signal, &word)).max_by_key(|context| context.level)
    }

    /// The signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match (self.level, self.signal) {
            (Level::Resource, _) => "resource",
            (Level::Scope, _) => "scope",
            (Level::Metric, _) => "metric",
            (Level::Item, Signal::Metrics) => "datapoint",
            (Level::Item, Signal::Logs) => "log",
            (Level::Item, Signal::Traces) => "span",
            (Level::Event, _) => "spanevent",
        }
    }
}

/// The words before the first dot of each path.
fn prefixes(tokens: Vec<crate::lexer::Placed>) -> Vec<String> {
    use crate::lexer::Token;

    let mut words = Vec::new();
    for (index, placed) in tokens.iter().enumerate() {
        let dotted = |index: usize| {
            matches!(tokens.get(index), Some(crate::lexer::Placed { token: Token::Sign("."), .. }))
        };
        if let Token::Word(word) = &placed.token
            && dotted(index + 1)
            && !index.checked_sub(1).is_some_and(dotted)
        {
            words.push(word.clone());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_prefix_is_the_context() {
        let check = |signal: Signal, texts: &[&str], expected: Option<&str>| {
            let context = Context::inferred(signal, texts.iter().copied());
            assert_eq!(context.map(|context| context.name()), expected, "{texts:?}");
        };
        check(Signal::Metrics, &["set(resource.attributes[\"a\"], 1)"], Some("resource"));
        check(
            Signal::Metrics,
            &["set(resource.attributes[\"a\"], datapoint.attributes[\"log.b\"])"],
            Some("datapoint"),
        );
        check(Signal::Logs, &["resource.attributes[\"a\"] == 1", "log.body == \"x\""], Some("log"));
        check(Signal::Traces, &["span.status.code == 1 and spanevent.name == \"x\""], Some("spanevent"));
        check(Signal::Traces, &["name == \"span.name\""], None);
        check(Signal::Logs, &["body.resource == 1"], None);
    }
}
