//! Events as templates: everything that events of equal shape have in common is written once.
//!
//! The shape of an event is its label names, its metrics in order of arrival, and what the directives depend on. Pods
//! differ in the values only, so a template is a text with gaps.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::declaration::Bits;
use crate::directive::{Dimension, Directives};
use crate::group::Kind;
use crate::json::{write_decoded, write_int, write_string};
use crate::labels::{Label, STORAGE_RESOLUTION, write_text};
use crate::metric::{Metric, MetricId, Metrics};
use crate::rules::{Rules, Version};
use crate::text::Text;
use crate::value::{Value, Values};

/// The storage resolution of groups that do not say, in seconds.
const DEFAULT_RESOLUTION: i64 = 60;
/// With more templates or more bytes in them the table starts anew.
const MAX_TEMPLATES: usize = 2048;
const MAX_BYTES: usize = 16 << 20;

/// What decides the shape of an event.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) labels: &'a [Label<'a>],
    /// The arena of the labels.
    pub(crate) arena: &'a str,
    /// In order of arrival.
    pub(crate) metrics: &'a [MetricId],
    pub(crate) namespace: &'a str,
    pub(crate) kind: Kind,
    pub(crate) prometheus: bool,
    pub(crate) accepted: &'a Bits,
}

/// A text with gaps.
#[derive(Debug)]
pub(crate) struct Template {
    text: String,
    gaps: Vec<Gap>,
    /// Whether any metric is extracted.
    pub(crate) extracts: bool,
    /// Values left out because the event has one under that name.
    pub(crate) duplicates: usize,
    /// Dimension sets left out for having too many names.
    pub(crate) oversized_sets: usize,
    key: Key,
    hash: u64,
}

/// Where the text pauses, and for what.
#[derive(Debug, Clone, Copy)]
struct Gap {
    at: usize,
    content: Content,
}

#[derive(Debug, Clone, Copy)]
enum Content {
    /// The text of a label, by place.
    Label(usize),
    /// The JSON that the text of a label holds.
    Json(usize),
    /// A value, by place.
    Value(usize),
    /// The time as a number.
    Timestamp,
}

#[derive(Debug, PartialEq)]
struct Key {
    labels: Vec<(String, bool)>,
    metrics: Vec<MetricId>,
    namespace: String,
    kind: Kind,
    prometheus: bool,
    accepted: Bits,
    resolution: i64,
}

/// The templates that are known.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    list: Vec<Template>,
    index: HashTable<usize>,
    bytes: usize,
    hasher: RandomState,
    latest: usize,
}

/// A field of an event on its way into a template.
enum Field {
    Gap(Content),
    Text(String),
    /// `_aws`: directives and time.
    Envelope(String),
    /// Time as text.
    QuotedTimestamp,
}

impl Templates {
    /// Whether the table should start anew.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() > MAX_TEMPLATES || self.bytes > MAX_BYTES
    }

    /// Forgets all templates.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.index.clear();
        self.bytes = 0;
    }

    /// The template of a shape, made if there is none.
    pub(crate) fn find(&mut self, rules: &Rules, metrics: &Metrics, shape: &Shape<'_>) -> Option<&Template> {
        let resolution = shape.resolution();
        let fits = |template: &Template| template.key.fits(shape, resolution);
        // Entities of a kind follow each other.
        if !self.list.get(self.latest).is_some_and(fits) {
            let hash = shape.hash(&self.hasher);
            let list = &self.list;
            let found = self.index.find(hash, |at| list.get(*at).is_some_and(|t| t.hash == hash && fits(t)));
            self.latest = match found {
                Some(at) => *at,
                None => self.insert(Template::build(rules, metrics, shape, resolution, hash)),
            };
        }
        self.list.get(self.latest)
    }

    fn insert(&mut self, template: Template) -> usize {
        let (at, hash) = (self.list.len(), template.hash);
        self.bytes += template.text.len() + template.key.metrics.len() * 4;
        self.list.push(template);
        let list = &self.list;
        self.index.insert_unique(hash, at, |at| list.get(*at).map_or(0, |template| template.hash));
        at
    }
}

impl<'a> Shape<'a> {
    fn dimensions(&self) -> impl Iterator<Item = Dimension<'a>> + use<'a> {
        let arena = self.arena;
        self.labels.iter().map(move |label| Dimension {
            name: label.name,
            // Upstream's dimensions include attributes whose value is not set, which senders do not make by chance.
            usable: !label.name.is_empty()
                && (matches!(label.text, Text::Unset) || !label.text.get(arena).is_empty()),
        })
    }

    /// In seconds; any integer passes.
    fn resolution(&self) -> i64 {
        let label = self.labels.iter().find(|label| label.name == STORAGE_RESOLUTION);
        label.and_then(|label| label.text.get(self.arena).parse().ok()).unwrap_or(DEFAULT_RESOLUTION)
    }

    /// What [`Key::fits`] compares, as far as it is worth the time.
    fn hash(&self, state: &RandomState) -> u64 {
        let mut hasher = state.build_hasher();
        for dimension in self.dimensions() {
            write_text(&mut hasher, dimension.name);
            hasher.write_u8(u8::from(dimension.usable));
        }
        for metric in self.metrics {
            hasher.write_u32(*metric);
        }
        write_text(&mut hasher, self.namespace);
        hasher.write_u8(self.kind as u8);
        hasher.finish()
    }
}

impl Key {
    fn fits(&self, shape: &Shape<'_>, resolution: i64) -> bool {
        self.kind == shape.kind
            && self.prometheus == shape.prometheus
            && self.resolution == resolution
            && self.metrics == shape.metrics
            && self.namespace == shape.namespace
            && self.accepted == *shape.accepted
            && self.labels.len() == shape.labels.len()
            && self
                .labels
                .iter()
                .zip(shape.dimensions())
                .all(|((name, usable), dimension)| *usable == dimension.usable && name == dimension.name)
    }
}

impl Template {
    /// Appends the event.
    pub(crate) fn render(
        &self,
        out: &mut String,
        shape: &Shape<'_>,
        timestamp: i64,
        values: &Values,
        places: &[Value],
    ) {
        let mut from = 0;
        for gap in &self.gaps {
            out.push_str(self.text.get(from..gap.at).unwrap_or_default());
            from = gap.at;
            let label = |at: usize| shape.labels.get(at).map_or("", |label| label.text.get(shape.arena));
            match gap.content {
                Content::Value(at) => {
                    if let Some(value) = places.get(at) {
                        values.write(out, *value);
                    }
                }
                Content::Label(at) => write_string(out, label(at)),
                Content::Json(at) => {
                    if !write_decoded(out, label(at)) {
                        write_string(out, label(at));
                    }
                }
                Content::Timestamp => write_int(out, timestamp),
            }
        }
        out.push_str(self.text.get(from..).unwrap_or_default());
    }

    fn build(rules: &Rules, metrics: &Metrics, shape: &Shape<'_>, resolution: i64, hash: u64) -> Self {
        // By name; of equal names the first to arrive.
        let mut fields: Vec<(usize, &Metric)> =
            shape.metrics.iter().enumerate().filter_map(|(at, id)| Some((at, metrics.get(*id)?))).collect();
        let all = fields.len();
        fields.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        fields.dedup_by(|later, first| {
            let repeats = later.1.name == first.1.name;
            if repeats {
                tracing::warn!(metric = %later.1.name, "dropping a repeated metric of a group; the first value stays");
            }
            repeats
        });
        let dimensions: Vec<Dimension<'_>> =
            shape.dimensions().filter(|dimension| dimension.name != STORAGE_RESOLUTION).collect();
        let mut directives = String::new();
        let (mut extracts, mut oversized_sets) = (false, 0);
        if !rules.no_extraction && rules.version != Version::Other {
            let list: Vec<&Metric> = fields.iter().map(|(_, metric)| *metric).collect();
            (extracts, oversized_sets) = Directives {
                rollup: rules.rollup,
                declarations: &rules.declarations,
                accepted: shape.accepted,
                dimensions: &dimensions,
                namespace: shape.namespace,
                storage_resolution: resolution,
            }
            .write(&mut directives, &list);
        }
        let mut builder = Builder::default();
        builder.fields(rules, shape, &fields, extracts.then_some(directives));
        Self {
            text: builder.text,
            gaps: builder.gaps,
            extracts,
            duplicates: all - fields.len(),
            oversized_sets,
            key: Key {
                labels: shape.dimensions().map(|d| (d.name.to_owned(), d.usable)).collect(),
                metrics: shape.metrics.to_vec(),
                namespace: shape.namespace.to_owned(),
                kind: shape.kind,
                prometheus: shape.prometheus,
                accepted: shape.accepted.clone(),
                resolution,
            },
            hash,
        }
    }
}

#[derive(Default)]
struct Builder {
    text: String,
    gaps: Vec<Gap>,
}

impl Builder {
    /// Writes all fields in order of their names. Where names are equal the later kind wins: labels, metrics, the
    /// Prometheus type, the envelope.
    fn fields(
        &mut self,
        rules: &Rules,
        shape: &Shape<'_>,
        metrics: &[(usize, &Metric)],
        directives: Option<String>,
    ) {
        let mut fields: Vec<(&str, Field)> = Vec::new();
        for (at, label) in shape.labels.iter().enumerate() {
            if label.name != STORAGE_RESOLUTION {
                let content = if rules.is_json(label.name) { Content::Json(at) } else { Content::Label(at) };
                fields.push((label.name, Field::Gap(content)));
            }
        }
        fields.extend(
            metrics.iter().map(|(at, metric)| (metric.name.as_str(), Field::Gap(Content::Value(*at)))),
        );
        if shape.prometheus {
            fields.push(("prom_metric_type", Field::Text(shape.kind.prometheus_type().to_owned())));
        }
        match (rules.version, directives) {
            (Version::One, Some(directives)) => {
                fields.push(("Version", Field::Text("1".to_owned())));
                fields.push(("_aws", Field::Envelope(directives)));
            }
            (Version::Zero, directives) => {
                if let Some(directives) = directives {
                    fields.push(("Version", Field::Text("0".to_owned())));
                    fields.push(("CloudWatchMetrics", Field::Envelope(directives)));
                }
                fields.push(("Timestamp", Field::QuotedTimestamp));
            }
            (Version::One | Version::Other, _) => {}
        }
        fields.reverse();
        fields.sort_by(|a, b| a.0.cmp(b.0));
        fields.dedup_by(|earlier, winner| earlier.0 == winner.0);
        self.text.push('{');
        for (name, field) in fields {
            if self.text.len() > 1 || !self.gaps.is_empty() {
                self.text.push(',');
            }
            write_string(&mut self.text, name);
            self.text.push(':');
            self.field(rules.version, field);
        }
        self.text.push('}');
    }

    fn field(&mut self, version: Version, field: Field) {
        match field {
            Field::Gap(content) => self.gap(content),
            Field::Text(text) => write_string(&mut self.text, &text),
            Field::Envelope(directives) if version == Version::One => {
                self.text.push_str("{\"CloudWatchMetrics\":");
                self.text.push_str(&directives);
                self.text.push_str(",\"Timestamp\":");
                self.gap(Content::Timestamp);
                self.text.push('}');
            }
            Field::Envelope(directives) => self.text.push_str(&directives),
            Field::QuotedTimestamp => {
                self.text.push('"');
                self.gap(Content::Timestamp);
                self.text.push('"');
            }
        }
    }

    fn gap(&mut self, content: Content) {
        self.gaps.push(Gap { at: self.text.len(), content });
    }
}
