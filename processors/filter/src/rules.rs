//! What is dropped, by level.

use component::ConsumeError;
use confmap::Problems;
use ottl::{Condition, Context, Env, ErrorMode, Groups};
use pdata::Signal;
use pdata::rewrite::{Level, Place, Rewrite, Verdict};

use crate::Config;
use crate::legacy::Legacy;

/// Everything that the processor asks of one signal.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    conditions: Vec<Rule>,
    legacy: Legacy,
    /// The lowest level that is asked.
    deepest: Option<Level>,
    /// Where the blocks ask for items: metrics are dropped by their names.
    legacy_level: Option<Level>,
}

/// A condition that drops what it holds for.
#[derive(Debug)]
struct Rule {
    level: Level,
    text: String,
    condition: Condition,
    error_mode: ErrorMode,
}

/// The key of a list of conditions, their context, and the list.
type List<'c> = (&'static str, &'static str, &'c [String]);

/// One walk through a batch.
pub(crate) struct Run<'r> {
    rules: &'r Rules,
    /// Why the batch is refused.
    pub(crate) error: Option<ConsumeError>,
}

impl Rules {
    /// The rules that are free of problems; the others are reported.
    pub(crate) fn new(config: &Config, signal: Signal, problems: &mut Problems) -> Self {
        let mut rules = Self { legacy: Legacy::new(config, signal, problems), ..Self::default() };
        let mode = config.error_mode;
        let (metrics, logs, traces) = (&config.metrics, &config.logs, &config.traces);
        let (section, lists, groups): (&str, Vec<List<'_>>, &Groups) = match signal {
            Signal::Metrics => (
                "metric",
                vec![
                    ("resource", "resource", &metrics.resource),
                    ("metric", "metric", &metrics.metric),
                    ("datapoint", "datapoint", &metrics.datapoint),
                ],
                &config.metric_conditions,
            ),
            Signal::Logs => (
                "log",
                vec![("resource", "resource", &logs.resource), ("log_record", "log", &logs.log_record)],
                &config.log_conditions,
            ),
            Signal::Traces => (
                "trace",
                vec![
                    ("resource", "resource", &traces.resource),
                    ("span", "span", &traces.span),
                    ("spanevent", "spanevent", &traces.spanevent),
                ],
                &config.trace_conditions,
            ),
        };
        let listed = lists.iter().any(|(_, _, list)| !list.is_empty());
        let what = if signal == Signal::Traces { "spans" } else { signal.as_str() };
        if listed && !rules.legacy.is_empty() {
            problems.report(format!(
                "cannot use ottl conditions and include/exclude for {what} at the same time"
            ));
        }
        if !groups.is_empty() && (listed || !rules.legacy.is_empty()) {
            problems.report(format!("cannot use {section}_conditions and {signal} at the same time"));
        }
        problems.at(signal.as_str(), |problems| {
            for (key, context, list) in lists {
                if let Some(context) = Context::named(signal, context) {
                    problems.at(key, |problems| rules.add(context, mode, list, problems));
                }
            }
        });
        problems.at(format!("{section}_conditions"), |problems| {
            for group in groups.conditions(signal, problems) {
                problems.index(group.index, |problems| {
                    let mode = group.error_mode.unwrap_or(mode);
                    if group.is_group {
                        problems.at("conditions", |problems| {
                            rules.add(group.context, mode, &group.conditions, problems);
                        });
                    } else if let [condition] = group.conditions.as_slice() {
                        rules.add_one(group.context, mode, condition, problems);
                    }
                });
            }
        });
        rules.legacy_level = rules
            .legacy
            .deepest()
            .map(|level| if signal == Signal::Metrics { level.min(Level::Metric) } else { level });
        let levels = rules.conditions.iter().map(|rule| rule.level).chain(rules.legacy_level);
        rules.deepest = levels.max();
        rules
    }

    fn add(&mut self, context: Context, mode: ErrorMode, texts: &[String], problems: &mut Problems) {
        for (index, text) in texts.iter().enumerate() {
            problems.index(index, |problems| self.add_one(context, mode, text, problems));
        }
    }

    fn add_one(&mut self, context: Context, error_mode: ErrorMode, text: &str, problems: &mut Problems) {
        match Condition::parse(text, &context) {
            Ok(condition) => {
                self.conditions.push(Rule {
                    level: context.level(),
                    text: text.to_owned(),
                    condition,
                    error_mode,
                });
            }
            Err(error) => problems.report(format!("{text:?}: {error}")),
        }
    }

    /// A walk by these rules.
    pub(crate) fn run(&self) -> Run<'_> {
        Run { rules: self, error: None }
    }

    /// Whether nothing is ever dropped.
    pub(crate) fn is_empty(&self) -> bool {
        self.deepest.is_none()
    }
}

impl Rewrite for Run<'_> {
    fn visit(&mut self, level: Level, place: &mut Place<'_>) -> Verdict {
        if self.error.is_some() {
            return Verdict::Keep;
        }
        let rules = self.rules;
        let legacy = level == Level::Resource || rules.legacy_level == Some(level);
        if legacy && rules.legacy.drops(level, place) {
            return Verdict::Drop;
        }
        let env = Env::new(place);
        for rule in rules.conditions.iter().filter(|rule| rule.level == level) {
            match rule.condition.holds(&env) {
                Ok(true) => return Verdict::Drop,
                Ok(false) => {}
                Err(error) => match rule.error_mode {
                    ErrorMode::Silent => {}
                    ErrorMode::Ignore => {
                        tracing::warn!(condition = rule.text, %error, "failed to eval condition");
                    }
                    ErrorMode::Propagate => {
                        let reason = format!("failed to eval condition: {}, {error}", rule.text);
                        self.error = Some(ConsumeError::permanent(reason));
                        return Verdict::Keep;
                    }
                },
            }
        }
        if rules.deepest.is_some_and(|deepest| level < deepest) { Verdict::Descend } else { Verdict::Keep }
    }
}
