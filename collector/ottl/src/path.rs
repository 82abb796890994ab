//! What paths mean.

use confmap::nearest;
use pdata::Signal;
use pdata::rewrite::{Field, Level, Part};

use crate::Context;

/// What a path leads to, before its keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Root {
    Field(Field),
    /// A field that holds a value of any type.
    Value(Field),
    /// An id in hexadecimal digits.
    HexId(Field),
    /// The text of a value of any type.
    Text(Field),
    /// The name of a span's kind.
    SpanKind(Field),
    /// A field of Unix time in nanoseconds, as a time.
    Time(Field),
    /// The counts of a histogram's buckets.
    BucketCounts(Field),
    /// The bounds of a histogram's buckets.
    Bounds(Field),
    /// The index of the first exponential bucket; of those below zero if said so.
    Offset(Field, bool),
    /// The counts of the exponential buckets; of those below zero if said so.
    ExponentialCounts(Field, bool),
    /// The quantiles of a summary, read-only.
    Quantiles,
    /// The exemplars of a data point, read-only.
    Exemplars,
    /// The number of the kind of data, read-only.
    MetricType,
    Cache,
}

impl Root {
    /// Whether it belongs to a level above the context.
    pub(crate) fn is_above(&self, context: &Context) -> bool {
        let part = match self {
            Self::Field(field)
            | Self::Value(field)
            | Self::HexId(field)
            | Self::Text(field)
            | Self::SpanKind(field)
            | Self::Time(field)
            | Self::BucketCounts(field)
            | Self::Bounds(field)
            | Self::Offset(field, _)
            | Self::ExponentialCounts(field, _) => field.part(),
            Self::Cache => return false,
            Self::Quantiles | Self::Exemplars => Part::Item,
            Self::MetricType => Part::Metric,
        };
        let level = match part {
            Part::ResourceEntry | Part::Resource => Level::Resource,
            Part::ScopeEntry | Part::Scope => Level::Scope,
            Part::Metric | Part::Data => Level::Metric,
            Part::Item => Level::Item,
            Part::Event => Level::Event,
        };
        level < context.level()
    }
}

/// What a path turned out not to be.
pub(crate) struct Unknown {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// How a path ends, which proto field that is and how it is seen.
type Known = (&'static str, Part, &'static str);

const RESOURCE: &[Known] = &[
    ("attributes", Part::Resource, "attributes"),
    ("dropped_attributes_count", Part::Resource, "dropped_attributes_count"),
    ("schema_url", Part::ResourceEntry, "schema_url"),
];
const SCOPE: &[Known] = &[
    ("name", Part::Scope, "name"),
    ("version", Part::Scope, "version"),
    ("attributes", Part::Scope, "attributes"),
    ("dropped_attributes_count", Part::Scope, "dropped_attributes_count"),
    ("schema_url", Part::ScopeEntry, "schema_url"),
];
const METRIC: &[Known] = &[
    ("name", Part::Metric, "name"),
    ("description", Part::Metric, "description"),
    ("unit", Part::Metric, "unit"),
    ("type", Part::Metric, ""),
    ("aggregation_temporality", Part::Data, "aggregation_temporality"),
    ("is_monotonic", Part::Data, "is_monotonic"),
    ("metadata", Part::Metric, "metadata"),
];
const DATAPOINT: &[Known] = &[
    ("attributes", Part::Item, "attributes"),
    ("start_time_unix_nano", Part::Item, "start_time_unix_nano"),
    ("time_unix_nano", Part::Item, "time_unix_nano"),
    ("start_time", Part::Item, "start_time_unix_nano"),
    ("time", Part::Item, "time_unix_nano"),
    ("value_double", Part::Item, "as_double"),
    ("value_int", Part::Item, "as_int"),
    ("flags", Part::Item, "flags"),
    ("count", Part::Item, "count"),
    ("sum", Part::Item, "sum"),
    ("scale", Part::Item, "scale"),
    ("zero_count", Part::Item, "zero_count"),
    ("bucket_counts", Part::Item, "bucket_counts"),
    ("explicit_bounds", Part::Item, "explicit_bounds"),
    ("positive.offset", Part::Item, "positive"),
    ("positive.bucket_counts", Part::Item, "positive"),
    ("negative.offset", Part::Item, "negative"),
    ("negative.bucket_counts", Part::Item, "negative"),
    ("quantile_values", Part::Item, ""),
    ("exemplars", Part::Item, ""),
];
const LOG: &[Known] = &[
    ("time_unix_nano", Part::Item, "time_unix_nano"),
    ("observed_time_unix_nano", Part::Item, "observed_time_unix_nano"),
    ("time", Part::Item, "time_unix_nano"),
    ("observed_time", Part::Item, "observed_time_unix_nano"),
    ("severity_number", Part::Item, "severity_number"),
    ("severity_text", Part::Item, "severity_text"),
    ("body", Part::Item, "body"),
    ("body.string", Part::Item, "body"),
    ("attributes", Part::Item, "attributes"),
    ("dropped_attributes_count", Part::Item, "dropped_attributes_count"),
    ("flags", Part::Item, "flags"),
    ("trace_id", Part::Item, "trace_id"),
    ("trace_id.string", Part::Item, "trace_id"),
    ("span_id", Part::Item, "span_id"),
    ("span_id.string", Part::Item, "span_id"),
    ("event_name", Part::Item, "event_name"),
];
const SPAN: &[Known] = &[
    ("trace_id", Part::Item, "trace_id"),
    ("trace_id.string", Part::Item, "trace_id"),
    ("span_id", Part::Item, "span_id"),
    ("span_id.string", Part::Item, "span_id"),
    ("parent_span_id", Part::Item, "parent_span_id"),
    ("parent_span_id.string", Part::Item, "parent_span_id"),
    ("trace_state", Part::Item, "trace_state"),
    ("name", Part::Item, "name"),
    ("kind", Part::Item, "kind"),
    ("kind.string", Part::Item, "kind"),
    ("start_time_unix_nano", Part::Item, "start_time_unix_nano"),
    ("end_time_unix_nano", Part::Item, "end_time_unix_nano"),
    ("start_time", Part::Item, "start_time_unix_nano"),
    ("end_time", Part::Item, "end_time_unix_nano"),
    ("attributes", Part::Item, "attributes"),
    ("dropped_attributes_count", Part::Item, "dropped_attributes_count"),
    ("dropped_events_count", Part::Item, "dropped_events_count"),
    ("dropped_links_count", Part::Item, "dropped_links_count"),
    ("status.code", Part::Item, "status"),
    ("status.message", Part::Item, "status"),
    ("flags", Part::Item, "flags"),
];
const EVENT: &[Known] = &[
    ("time_unix_nano", Part::Event, "time_unix_nano"),
    ("time", Part::Event, "time_unix_nano"),
    ("name", Part::Event, "name"),
    ("attributes", Part::Event, "attributes"),
    ("dropped_attributes_count", Part::Event, "dropped_attributes_count"),
];

/// The fields that paths of a context may end in.
fn known(context: &Context) -> &'static [Known] {
    match (context.level(), context.signal()) {
        (Level::Resource, _) => RESOURCE,
        (Level::Scope, _) => SCOPE,
        (Level::Metric, _) => METRIC,
        (Level::Item, Signal::Metrics) => DATAPOINT,
        (Level::Item, Signal::Logs) => LOG,
        (Level::Item, Signal::Traces) => SPAN,
        (Level::Event, _) => EVENT,
    }
}

/// What the words of a path mean in a context.
pub(crate) fn resolve(words: &[String], context: &Context) -> Result<Root, Unknown> {
    let (prefix, rest) = match words {
        [prefix, rest @ ..] if !rest.is_empty() => (Context::named(context.signal(), prefix), rest),
        _ => (None, words),
    };
    // A path may go up, not down: a metric has many data points.
    if let Some(above) = prefix.filter(|prefix| prefix.level() <= context.level()) {
        return find(rest, &above, context);
    }
    if let Some(below) = prefix {
        let message = format!("a {} has no single {}", context.name(), below.name());
        return Err(Unknown { message, help: None });
    }
    find(words, context, context)
}

fn find(words: &[String], of: &Context, context: &Context) -> Result<Root, Unknown> {
    let path = words.join(".");
    if path == "cache" {
        return Ok(Root::Cache);
    }
    let known = known(of);
    let Some((name, part, proto)) = known.iter().find(|(name, _, _)| *name == path) else {
        let names = known.iter().map(|(name, _, _)| *name);
        let help = nearest(&path, names.clone())
            .or_else(|| Some(format!("paths of a {}: {}", of.name(), names.collect::<Vec<_>>().join(", "))));
        return Err(Unknown { message: format!("unknown path `{path}` of a {}", of.name()), help });
    };
    let field = match name.strip_prefix("status.") {
        Some(inner) => Field::within(context.signal(), *part, proto, inner),
        None => Field::of(context.signal(), *part, proto),
    };
    let Some(field) = field else {
        return Ok(match *name {
            "quantile_values" => Root::Quantiles,
            "exemplars" => Root::Exemplars,
            _ => Root::MetricType,
        });
    };
    Ok(match *name {
        "body" => Root::Value(field),
        "body.string" => Root::Text(field),
        "kind.string" => Root::SpanKind(field),
        "time" | "start_time" | "end_time" | "observed_time" => Root::Time(field),
        "bucket_counts" => Root::BucketCounts(field),
        "explicit_bounds" => Root::Bounds(field),
        "positive.offset" | "negative.offset" => Root::Offset(field, name.starts_with('n')),
        "positive.bucket_counts" | "negative.bucket_counts" => {
            Root::ExponentialCounts(field, name.starts_with('n'))
        }
        name if name.ends_with("id.string") => Root::HexId(field),
        _ => Root::Field(field),
    })
}

/// The number of a name in capitals, as `SEVERITY_NUMBER_WARN`.
pub(crate) fn number_of(name: &str) -> Result<i64, Unknown> {
    const NAMES: &[(&str, &[&str])] = &[
        ("METRIC_DATA_TYPE_", &["NONE", "GAUGE", "SUM", "HISTOGRAM", "EXPONENTIAL_HISTOGRAM", "SUMMARY"]),
        ("AGGREGATION_TEMPORALITY_", &["UNSPECIFIED", "DELTA", "CUMULATIVE"]),
        ("FLAG_", &["NONE", "NO_RECORDED_VALUE"]),
        ("STATUS_CODE_", &["UNSET", "OK", "ERROR"]),
        ("SPAN_KIND_", &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]),
        (
            "SEVERITY_NUMBER_",
            &[
                "UNSPECIFIED",
                "TRACE",
                "TRACE2",
                "TRACE3",
                "TRACE4",
                "DEBUG",
                "DEBUG2",
                "DEBUG3",
                "DEBUG4",
                "INFO",
                "INFO2",
                "INFO3",
                "INFO4",
                "WARN",
                "WARN2",
                "WARN3",
                "WARN4",
                "ERROR",
                "ERROR2",
                "ERROR3",
                "ERROR4",
                "FATAL",
                "FATAL2",
                "FATAL3",
                "FATAL4",
            ],
        ),
    ];
    let mut all = NAMES.iter().flat_map(|(prefix, names)| {
        names.iter().enumerate().map(move |(number, name)| (format!("{prefix}{name}"), number as i64))
    });
    if let Some((_, number)) = all.clone().find(|(known, _)| known == name) {
        return Ok(number);
    }
    let names: Vec<String> = all.by_ref().map(|(known, _)| known).collect();
    Err(Unknown {
        message: format!("unknown name of a number `{name}`"),
        help: nearest(name, names.iter().map(String::as_str)),
    })
}

/// The name of a span's kind.
pub(crate) fn span_kind(number: i64) -> &'static str {
    match number {
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "Unspecified",
    }
}
