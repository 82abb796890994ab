//! What users write.

use confmap::Problems;
use pdata::Signal;
use processing::{
    ActionConfig, AttributeConfig, Criteria, Library, MatchType, Matcher, RegexpCache, SeverityNumber,
};
use serde::Deserialize;

/// The configuration of the processor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What is done to the attributes of every item, in order.
    pub actions: Vec<ActionConfig>,
    /// Only these items are changed.
    pub include: Option<MatchProperties>,
    /// These items are not changed.
    pub exclude: Option<MatchProperties>,
}

/// Which items are meant: one of each list, but all of the attributes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MatchProperties {
    /// `strict` or `regexp`.
    pub match_type: String,
    /// Accepted; results of expressions need no cache.
    pub regexp: RegexpCache,
    /// Values of the resource attribute `service.name`; spans.
    pub services: Vec<String>,
    /// Names; spans.
    pub span_names: Vec<String>,
    /// Kinds, as `SPAN_KIND_SERVER`; spans.
    pub span_kinds: Vec<String>,
    /// Bodies that are strings; log records.
    pub log_bodies: Vec<String>,
    /// Severities, as the source calls them; log records.
    pub log_severity_texts: Vec<String>,
    /// The least severity; log records.
    pub log_severity_number: Option<SeverityNumber>,
    /// Names; metrics.
    pub metric_names: Vec<String>,
    /// Attributes of the item; spans and log records.
    pub attributes: Vec<AttributeConfig>,
    /// Attributes of the resource.
    pub resources: Vec<AttributeConfig>,
    /// Instrumentation scopes; spans and log records.
    pub libraries: Vec<Library>,
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        processing::actions("actions", &self.actions, problems);
        for (key, properties) in [("include", &self.include), ("exclude", &self.exclude)] {
            // Which keys fit is known with the signal; that patterns are patterns is known now.
            if let Some(properties) = properties {
                let signal = properties.signal();
                problems.at(key, |problems| properties.matcher(signal, problems));
            }
        }
    }
}

impl MatchProperties {
    /// The signal whose keys are used.
    fn signal(&self) -> Signal {
        let logs = !self.log_bodies.is_empty()
            || !self.log_severity_texts.is_empty()
            || self.log_severity_number.is_some();
        match (logs, self.metric_names.is_empty()) {
            (true, _) => Signal::Logs,
            (false, true) => Signal::Traces,
            (false, false) => Signal::Metrics,
        }
    }

    /// The matcher for items of a signal; keys that say nothing about them are reported.
    pub(crate) fn matcher(&self, signal: Signal, problems: &mut Problems) -> Option<Matcher> {
        let match_type = MatchType::parse(&self.match_type, problems)?;
        let used: [(&str, bool, &[Signal]); 9] = [
            ("services", !self.services.is_empty(), &[Signal::Traces]),
            ("span_names", !self.span_names.is_empty(), &[Signal::Traces]),
            ("span_kinds", !self.span_kinds.is_empty(), &[Signal::Traces]),
            ("log_bodies", !self.log_bodies.is_empty(), &[Signal::Logs]),
            ("log_severity_texts", !self.log_severity_texts.is_empty(), &[Signal::Logs]),
            ("log_severity_number", self.log_severity_number.is_some(), &[Signal::Logs]),
            ("metric_names", !self.metric_names.is_empty(), &[Signal::Metrics]),
            ("attributes", !self.attributes.is_empty(), &[Signal::Traces, Signal::Logs]),
            ("libraries", !self.libraries.is_empty(), &[Signal::Traces, Signal::Logs]),
        ];
        for (key, _, _) in used.iter().filter(|(_, used, signals)| *used && !signals.contains(&signal)) {
            problems.report(format!("{key} should not be specified for {signal}"));
        }
        let (names_key, names) = match signal {
            Signal::Metrics => ("metric_names", &self.metric_names),
            Signal::Logs | Signal::Traces => ("span_names", &self.span_names),
        };
        let criteria = Criteria {
            services: ("services", &self.services),
            names: (names_key, names),
            span_kinds: ("span_kinds", &self.span_kinds),
            bodies: ("log_bodies", &self.log_bodies),
            severity_texts: ("log_severity_texts", &self.log_severity_texts),
            severity_number: self.log_severity_number.as_ref(),
            attributes: ("attributes", &self.attributes),
            resources: ("resources", &self.resources),
            libraries: ("libraries", &self.libraries),
        };
        let matcher = Matcher::new(signal, match_type, &criteria, problems);
        if matcher.is_none() {
            problems.report("nothing is asked of the items: list names, attributes, resources or the like");
        }
        matcher
    }
}
