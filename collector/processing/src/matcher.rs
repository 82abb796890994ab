//! Which items are meant: the blocks `include` and `exclude`.

use confmap::Problems;
use helper::text::value_text;
use pdata::rewrite::{Field, Part, Place};
use pdata::{AnyValueView, KeyValues, Signal, Value};
use regex::Regex;
use serde::Deserialize;

use crate::texts::regex;
use crate::{AnyValue, MatchType, Texts};

/// An attribute that must be there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AttributeConfig {
    /// Its name.
    pub key: String,
    /// Its value; any if not said.
    pub value: Option<AnyValue>,
}

/// An instrumentation scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its version; any if not said.
    pub version: Option<String>,
}

/// A least severity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SeverityNumber {
    /// The least number, 1 to 24.
    pub min: i64,
    /// Whether records without a severity are meant too.
    pub match_undefined: bool,
}

/// What an item must have: one of each list that is not empty, but all of the attributes and of the resource's attributes.
///
/// The names are the keys under which faults are reported.
#[derive(Debug, Clone, Copy, Default)]
pub struct Criteria<'c> {
    /// Values of the resource attribute `service.name`.
    pub services: (&'static str, &'c [String]),
    /// Names of spans or metrics.
    pub names: (&'static str, &'c [String]),
    /// Kinds of spans: `SPAN_KIND_SERVER`.
    pub span_kinds: (&'static str, &'c [String]),
    /// Bodies of log records that are strings.
    pub bodies: (&'static str, &'c [String]),
    /// Severities of log records, as the source calls them.
    pub severity_texts: (&'static str, &'c [String]),
    /// The least severity of a log record.
    pub severity_number: Option<&'c SeverityNumber>,
    /// Attributes of the item.
    pub attributes: (&'static str, &'c [AttributeConfig]),
    /// Attributes of the resource.
    pub resources: (&'static str, &'c [AttributeConfig]),
    /// Scopes.
    pub libraries: (&'static str, &'c [Library]),
}

/// Says which items are meant.
#[derive(Debug)]
pub struct Matcher {
    services: Option<Texts>,
    names: Option<(Field, Texts)>,
    kinds: Option<(Field, Texts)>,
    bodies: Option<(Field, Texts)>,
    severity_texts: Option<(Field, Texts)>,
    severity_number: Option<(Field, SeverityNumber)>,
    attributes: Option<(Field, Vec<Attribute>)>,
    resources: Option<(Field, Vec<Attribute>)>,
    libraries: Option<(Field, Field, Vec<LibraryMatcher>)>,
    resource_attributes: Option<Field>,
}

#[derive(Debug)]
struct Attribute {
    key: String,
    value: Wanted,
}

#[derive(Debug)]
enum Wanted {
    Anything,
    Exactly(Value),
    Pattern(Regex),
}

#[derive(Debug)]
struct LibraryMatcher {
    name: Texts,
    version: Option<Texts>,
}

impl Matcher {
    /// A matcher for the items of a signal; `None` if nothing is asked of them.
    pub fn new(
        signal: Signal,
        match_type: MatchType,
        criteria: &Criteria<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut texts = |(key, texts): (&str, &[String])| {
            (!texts.is_empty()).then(|| problems.at(key, |problems| Texts::new(match_type, texts, problems)))
        };
        let field = |part, name| Field::of(signal, part, name);
        let name_part = if signal == Signal::Metrics { Part::Metric } else { Part::Item };
        let mut matcher = Self {
            services: texts(criteria.services),
            names: field(name_part, "name").zip(texts(criteria.names)),
            kinds: field(Part::Item, "kind").zip(texts(criteria.span_kinds)),
            bodies: field(Part::Item, "body").zip(texts(criteria.bodies)),
            severity_texts: field(Part::Item, "severity_text").zip(texts(criteria.severity_texts)),
            severity_number: field(Part::Item, "severity_number").zip(criteria.severity_number.cloned()),
            attributes: None,
            resources: None,
            libraries: None,
            resource_attributes: field(Part::Resource, "attributes"),
        };
        let mut attributes = |(key, configs): (&str, &[AttributeConfig])| {
            (!configs.is_empty())
                .then(|| problems.at(key, |problems| attributes(match_type, configs, problems)))
        };
        matcher.attributes = field(Part::Item, "attributes").zip(attributes(criteria.attributes));
        matcher.resources = matcher.resource_attributes.zip(attributes(criteria.resources));
        let (key, configs) = criteria.libraries;
        if let (Some(name), Some(version), false) =
            (field(Part::Scope, "name"), field(Part::Scope, "version"), configs.is_empty())
        {
            let libraries = problems.at(key, |problems| libraries(match_type, configs, problems));
            matcher.libraries = Some((name, version, libraries));
        }
        matcher.asks_anything().then_some(matcher)
    }

    fn asks_anything(&self) -> bool {
        self.asks_of_resource_only()
            || self.names.is_some()
            || self.kinds.is_some()
            || self.bodies.is_some()
            || self.severity_texts.is_some()
            || self.severity_number.is_some()
            || self.attributes.is_some()
            || self.libraries.is_some()
    }

    fn asks_of_resource_only(&self) -> bool {
        self.services.is_some() || self.resources.is_some()
    }

    /// Whether the resource and the scope are meant, and the item has all that is asked of it.
    pub fn matches(&self, place: &Place<'_>) -> bool {
        let text = |(field, texts): &(Field, Texts)| matches!(place.get(*field), AnyValueView::String(text) if texts.matches(text));
        self.matches_resource(place)
            && self.names.as_ref().is_none_or(text)
            && self.bodies.as_ref().is_none_or(text)
            && self.severity_texts.as_ref().is_none_or(text)
            && self.kinds.as_ref().is_none_or(|(field, texts)| texts.matches(kind(place.get(*field))))
            && self.severity_number.as_ref().is_none_or(|(field, least)| match place.get(*field) {
                AnyValueView::Int(0) => least.match_undefined,
                AnyValueView::Int(number) => number >= least.min,
                _ => false,
            })
            && self.libraries.as_ref().is_none_or(|(name, version, libraries)| {
                let text = |field: &Field| place.get(*field).as_str().unwrap_or_default();
                let (name, version) = (text(name), text(version));
                libraries.iter().any(|library| {
                    library.name.matches(name)
                        && library.version.as_ref().is_none_or(|wanted| wanted.matches(version))
                })
            })
            && self.attributes.as_ref().is_none_or(|(field, all)| has_all(all, place.attributes(*field)))
    }

    /// Whether the resource is meant.
    pub fn matches_resource(&self, place: &Place<'_>) -> bool {
        let service = || {
            let attributes = place.attributes(self.resource_attributes?);
            attributes.get("service.name").and_then(|value| value.as_str())
        };
        self.services.as_ref().is_none_or(|texts| service().is_some_and(|name| texts.matches(name)))
            && self.resources.as_ref().is_none_or(|(field, all)| has_all(all, place.attributes(*field)))
    }
}

fn has_all(wanted: &[Attribute], attributes: KeyValues<'_>) -> bool {
    wanted.iter().all(|wanted| attributes.get(&wanted.key).is_some_and(|value| wanted.value.is_met_by(value)))
}

fn kind(number: AnyValueView<'_>) -> &'static str {
    match number {
        AnyValueView::Int(1) => "SPAN_KIND_INTERNAL",
        AnyValueView::Int(2) => "SPAN_KIND_SERVER",
        AnyValueView::Int(3) => "SPAN_KIND_CLIENT",
        AnyValueView::Int(4) => "SPAN_KIND_PRODUCER",
        AnyValueView::Int(5) => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_UNSPECIFIED",
    }
}

impl Wanted {
    fn is_met_by(&self, value: AnyValueView<'_>) -> bool {
        match (self, value) {
            (Self::Anything, _) => true,
            (Self::Pattern(pattern), AnyValueView::String(text)) => pattern.is_match(text),
            (Self::Pattern(pattern), value) => pattern.is_match(&value_text(value)),
            (Self::Exactly(Value::String(wanted)), AnyValueView::String(text)) => wanted == text,
            (Self::Exactly(wanted), value) => *wanted == Value::from(value),
        }
    }
}

fn attributes(match_type: MatchType, configs: &[AttributeConfig], problems: &mut Problems) -> Vec<Attribute> {
    let attribute = |(index, config): (usize, &AttributeConfig)| {
        problems.index(index, |problems| {
            if config.key.is_empty() {
                problems.report("can't have empty key in the list of attributes");
            }
            let value = match (match_type, &config.value) {
                (_, None) => Wanted::Anything,
                (MatchType::Strict, Some(AnyValue(value))) => Wanted::Exactly(value.clone()),
                (MatchType::Regexp, Some(AnyValue(Value::String(pattern)))) => {
                    Wanted::Pattern(problems.at("value", |problems| regex(pattern, problems))?)
                }
                (MatchType::Regexp, Some(_)) => {
                    let message = "match_type=regexp for attributes requires the value to be a string";
                    problems.at("value", |problems| problems.report(message));
                    return None;
                }
            };
            Some(Attribute { key: config.key.clone(), value })
        })
    };
    configs.iter().enumerate().filter_map(attribute).collect()
}

fn libraries(match_type: MatchType, configs: &[Library], problems: &mut Problems) -> Vec<LibraryMatcher> {
    let library = |(index, config): (usize, &Library)| {
        problems.index(index, |problems| LibraryMatcher {
            name: Texts::new(match_type, std::slice::from_ref(&config.name), problems),
            version: config
                .version
                .as_ref()
                .map(|version| Texts::new(match_type, std::slice::from_ref(version), problems)),
        })
    };
    configs.iter().enumerate().map(library).collect()
}
