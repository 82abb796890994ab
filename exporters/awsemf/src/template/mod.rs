//! Events as templates: everything that events of equal shape have in common is written once.
//!
//! The shape of an event is its label names, its metrics in order of arrival, and what the directives depend on. Pods
//! differ in the values only, so a template is a text with gaps.

mod fields;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use fields::Builder;
use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::declaration::Bits;
use crate::directive::{Dimension, Directive, Directives};
use crate::group::Kind;
use crate::json::{Decoded, push_escaped, write_int, write_text};
use crate::labels::{Label, STORAGE_RESOLUTION, hash_text};
use crate::metric::{Metric, MetricId, Metrics};
use crate::rules::{Rules, Version};
use crate::series::{ExtractedMetrics, ExtractedSet, Extraction};
use crate::text::{Text, same};
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
    /// Metrics that are not extracted, by place: their series would be too many.
    pub(crate) excluded: &'a Bits,
}

/// A text with gaps.
#[derive(Debug)]
pub(crate) struct Template {
    /// As the sink wants it: plain, or escaped once more.
    text: String,
    gaps: Vec<Gap>,
    /// How many bytes of the text stand in the plain text also.
    pub(crate) plain_len: usize,
    /// What is extracted.
    pub(crate) extraction: Extraction,
    /// Values left out because the event has one under that name.
    pub(crate) duplicates: usize,
    /// Dimension sets left out for having too many names.
    pub(crate) oversized_sets: usize,
    key: Key,
    hash: u64,
    /// The template that came after this one the last time.
    next: usize,
}

/// Where the text pauses, and for what.
#[derive(Debug, Clone, Copy)]
struct Gap {
    at: usize,
    content: Content,
}

#[derive(Debug, Clone, Copy)]
enum Content {
    /// The text of a label, by place, between the quotes around the gap.
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
    excluded: Bits,
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
    /// Whether texts are escaped once more.
    escaped: bool,
}

impl Templates {
    pub(crate) fn new(escaped: bool) -> Self {
        Self { escaped, ..Self::default() }
    }

    /// Whether texts are escaped once more.
    pub(crate) fn are_escaped(&self) -> bool {
        self.escaped
    }

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
        let fits = |at: usize| self.list.get(at).is_some_and(|template| template.key.fits(shape, resolution));
        // Entities of a kind follow each other, and kinds take turns.
        let guess = self.list.get(self.latest).map_or(0, |template| template.next);
        let at = if fits(self.latest) {
            return self.list.get(self.latest);
        } else if fits(guess) {
            guess
        } else {
            self.look_up(rules, metrics, shape, resolution)
        };
        if let Some(template) = self.list.get_mut(self.latest) {
            template.next = at;
        }
        self.latest = at;
        self.list.get(at)
    }

    fn look_up(&mut self, rules: &Rules, metrics: &Metrics, shape: &Shape<'_>, resolution: i64) -> usize {
        let hash = shape.hash(&self.hasher);
        let list = &self.list;
        let is = |at: &usize| {
            list.get(*at)
                .is_some_and(|template| template.hash == hash && template.key.fits(shape, resolution))
        };
        if let Some(at) = self.index.find(hash, is) {
            return *at;
        }
        if self.is_full() {
            self.clear();
        }
        let template = Template::build(rules, metrics, shape, &self.hasher, hash);
        self.insert(if self.escaped { template.into_escaped() } else { template })
    }

    fn insert(&mut self, template: Template) -> usize {
        let (at, hash) = (self.list.len(), template.hash);
        self.bytes += template.bytes();
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

    /// Directives with places instead of names.
    fn extraction(
        &self,
        directives: &[Directive<'_>],
        metrics: &[(usize, &Metric)],
        hasher: &RandomState,
    ) -> Extraction {
        let mut extraction = Extraction::default();
        let mut known: HashMap<&[&str], usize> = HashMap::new();
        for directive in directives {
            let mut extracted = ExtractedMetrics::default();
            for set in &directive.sets {
                let next = known.len();
                let at = *known.entry(set).or_insert(next);
                if at == next {
                    let position =
                        |name: &&str| self.labels.binary_search_by(|label| label.name.cmp(name)).ok();
                    let labels: Vec<usize> = set.iter().filter_map(position).collect();
                    extraction.labels.extend(&labels);
                    extraction.sets.push(ExtractedSet { names: hasher.hash_one(set), labels });
                }
                extracted.sets.push(at);
            }
            let metrics = directive.metrics.iter().filter_map(|at| metrics.get(*at));
            extracted.metrics = metrics.map(|(at, metric)| (*at, hasher.hash_one(&metric.name))).collect();
            extraction.directives.push(extracted);
        }
        extraction.labels.sort_unstable();
        extraction.labels.dedup();
        extraction
    }

    /// What [`Key::fits`] compares, as far as it is worth the time.
    fn hash(&self, state: &RandomState) -> u64 {
        let mut hasher = state.build_hasher();
        for dimension in self.dimensions() {
            hash_text(&mut hasher, dimension.name);
            hasher.write_u8(u8::from(dimension.usable));
        }
        for metric in self.metrics {
            hasher.write_u32(*metric);
        }
        hash_text(&mut hasher, self.namespace);
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
            && self.excluded == *shape.excluded
            && self.labels.len() == shape.labels.len()
            && self
                .labels
                .iter()
                .zip(shape.dimensions())
                .all(|((name, usable), dimension)| *usable == dimension.usable && same(name, dimension.name))
    }
}

impl Template {
    /// Appends the event. Returns the length of its plain text in bytes.
    pub(crate) fn render<const ESCAPED: bool>(
        &self,
        out: &mut String,
        shape: &Shape<'_>,
        timestamp: i64,
        (values, places): (&Values, &[Value]),
        decoded: &mut Decoded,
    ) -> usize {
        let start = out.len();
        // What stands in the text for being escaped.
        let mut added = self.text.len() - self.plain_len;
        let mut from = 0;
        for gap in &self.gaps {
            out.push_str(self.text.get(from..gap.at).unwrap_or_default());
            from = gap.at;
            let label = |at: usize| shape.labels.get(at).map_or("", |label| label.text.get(shape.arena));
            match gap.content {
                Content::Value(at) => {
                    if let Some(value) = places.get(at) {
                        added += values.write::<ESCAPED>(out, *value);
                    }
                }
                Content::Label(at) => added += write_text::<ESCAPED>(out, label(at)),
                Content::Json(at) => added += decoded.write::<ESCAPED>(out, label(at)),
                Content::Timestamp => write_int(out, timestamp),
            }
        }
        out.push_str(self.text.get(from..).unwrap_or_default());
        out.len() - start - added
    }

    /// The same with its text as it stands inside a JSON string.
    fn into_escaped(mut self) -> Self {
        let mut text = String::with_capacity(self.text.len() * 5 / 4);
        let mut from = 0;
        for gap in &mut self.gaps {
            push_escaped(&mut text, self.text.get(from..gap.at).unwrap_or_default());
            from = std::mem::replace(&mut gap.at, text.len());
        }
        push_escaped(&mut text, self.text.get(from..).unwrap_or_default());
        self.text = text;
        self
    }

    fn build(rules: &Rules, metrics: &Metrics, shape: &Shape<'_>, hasher: &RandomState, hash: u64) -> Self {
        // By name; of equal names the first to arrive.
        let mut fields: Vec<(usize, &Metric)> =
            shape.metrics.iter().enumerate().filter_map(|(at, id)| Some((at, metrics.get(*id)?))).collect();
        let all = fields.len();
        fields.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        let mut repeated = None;
        fields.dedup_by(|later, first| {
            let repeats = later.1.name == first.1.name;
            if repeats {
                repeated.get_or_insert(later.1);
            }
            repeats
        });
        if let Some(metric) = repeated {
            let values = all - fields.len();
            tracing::warn!(metric = %metric.name, values, "dropping repeated metrics of a group; the first value stays");
        }
        let resolution = shape.resolution();
        let dimensions: Vec<Dimension<'_>> =
            shape.dimensions().filter(|dimension| dimension.name != STORAGE_RESOLUTION).collect();
        let directives = Directives {
            rollup: rules.rollup,
            declarations: &rules.declarations,
            accepted: shape.accepted,
            dimensions: &dimensions,
            namespace: shape.namespace,
            storage_resolution: resolution,
        };
        let extracted: Vec<(usize, &Metric)> =
            fields.iter().copied().filter(|(at, _)| !shape.excluded.contains(*at)).collect();
        let names: Vec<&Metric> = extracted.iter().map(|(_, metric)| *metric).collect();
        let nothing = rules.no_extraction || rules.version == Version::Other;
        let (list, oversized_sets) = if nothing { (Vec::new(), 0) } else { directives.list(&names) };
        let text = (!list.is_empty()).then(|| {
            let mut text = String::new();
            directives.write(&mut text, &list, &names);
            text
        });
        let mut extraction = shape.extraction(&list, &extracted, hasher);
        extraction.key = hasher.hash_one(&text);
        let mut builder = Builder::default();
        builder.fields(rules, shape, &fields, text);
        Self {
            plain_len: builder.text.len(),
            text: builder.text,
            gaps: builder.gaps,
            extraction,
            duplicates: all - fields.len(),
            oversized_sets,
            key: Key {
                labels: shape.dimensions().map(|d| (d.name.to_owned(), d.usable)).collect(),
                metrics: shape.metrics.to_vec(),
                namespace: shape.namespace.to_owned(),
                kind: shape.kind,
                prometheus: shape.prometheus,
                accepted: shape.accepted.clone(),
                excluded: shape.excluded.clone(),
                resolution,
            },
            hash,
            next: 0,
        }
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let sets = self.extraction.sets.iter().map(|set| set.labels.len() * 8 + 48);
        let directives =
            self.extraction.directives.iter().map(|each| each.sets.len() * 8 + each.metrics.len() * 16 + 48);
        self.text.len()
            + self.gaps.len() * size_of::<Gap>()
            + self.key.metrics.len() * 4
            + self.key.labels.iter().map(|(name, _)| name.len() + 32).sum::<usize>()
            + sets.chain(directives).sum::<usize>()
    }

    /// Whether any metric is extracted.
    pub(crate) fn extracts(&self) -> bool {
        !self.extraction.directives.is_empty()
    }
}
