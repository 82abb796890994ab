//! The OTLP messages as data: one table drives the check, the JSON codec and the counting.
//!
//! Source: opentelemetry-proto 1.9, `opentelemetry/proto/{common,resource,metrics,logs,trace}/v1`. Fields stand in the order of
//! their declaration there, which is the order in which OTLP/JSON is written.

use crate::Signal;
use crate::wire::WireType;

/// What the bytes of a field mean.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    Int32,
    Uint32,
    Uint64,
    Int64,
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    Text,
    Bytes,
    /// Bytes of this length, or none: hexadecimal in JSON.
    Id(usize),
    /// A number with names: the index of the table is the number.
    Enum(&'static [&'static str]),
    Message(&'static Message),
}

impl Kind {
    /// How one value is written.
    #[inline]
    pub(crate) const fn wire_type(self) -> WireType {
        match self {
            Self::Message(_) | Self::Text | Self::Bytes | Self::Id(_) => WireType::Len,
            Self::Fixed64 | Self::Sfixed64 | Self::Double => WireType::Fixed64,
            Self::Fixed32 => WireType::Fixed32,
            Self::Bool
            | Self::Int32
            | Self::Uint32
            | Self::Uint64
            | Self::Int64
            | Self::Sint32
            | Self::Enum(_) => WireType::Varint,
        }
    }
}

/// How often a field may stand, and whether its absence can be told from its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// At most once; the default value is not written.
    Singular,
    /// Like singular, but JSON always writes it: upstream's non-nullable messages.
    Always,
    /// At most once; written when set, even to the default.
    Optional,
    /// At most one of its message's members; written when set.
    Oneof,
    /// Any number of times.
    Repeated,
}

/// One field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// `timeUnixNano`
    pub(crate) json: &'static str,
    /// `time_unix_nano`
    pub(crate) proto: &'static str,
    pub(crate) rule: Rule,
    pub(crate) kind: Kind,
    /// How one value is written: follows from the kind.
    pub(crate) wire: WireType,
}

/// One message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) fields: &'static [Field],
    /// Position + 1 in `fields` by field number; 0 for none.
    index: [u8; NUMBERS],
    /// Counted as an item: a data point, log record or span.
    pub(crate) item: bool,
    /// A `ResourceMetrics`, `ResourceLogs` or `ResourceSpans`.
    pub(crate) entry: bool,
}

/// One more than the highest field number.
const NUMBERS: usize = 17;

/// How many fields a message has at most.
pub(crate) const FIELDS: usize = 16;

impl Message {
    /// The field of a number and its position.
    #[inline]
    pub(crate) fn field(&self, number: u64) -> Option<(usize, &'static Field)> {
        let position = usize::from(*self.index.get(usize::try_from(number).ok()?)?).checked_sub(1)?;
        Some((position, self.fields.get(position)?))
    }

    /// The message that a field holds.
    pub(crate) fn message(&self, number: u32) -> Option<&'static Message> {
        match self.field(u64::from(number))?.1.kind {
            Kind::Message(message) => Some(message),
            _ => None,
        }
    }

    /// The field that replaced the one of a number: scopes were instrumentation libraries once, and their field has
    /// kept its shape.
    #[cold]
    pub(crate) fn former_field(&self, number: u64) -> Option<(usize, &'static Field)> {
        if self.entry && number == 1000 { self.field(2) } else { None }
    }

    /// The field of a JSON or proto name.
    pub(crate) fn field_named(&self, name: &str) -> Option<(usize, &'static Field)> {
        self.fields.iter().enumerate().find(|(_, field)| field.json == name || field.proto == name)
    }
}

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn index(numbers: &[u32]) -> [u8; NUMBERS] {
    let mut index = [0; NUMBERS];
    let mut position = 0;
    while position < numbers.len() {
        index[numbers[position] as usize] = position as u8 + 1;
        position += 1;
    }
    index
}

macro_rules! message {
    ($name:ident $(: $flag:ident)? { $($number:literal $rule:ident $json:literal $proto:literal $kind:expr;)* }) => {
        pub(crate) static $name: Message = Message {
            fields: &[$(
                Field { number: $number, json: $json, proto: $proto, rule: Rule::$rule, kind: $kind, wire: $kind.wire_type() }
            ),*],
            index: index(&[$($number),*]),
            item: message!(@item $($flag)?),
            entry: message!(@entry $($flag)?),
        };
    };
    (@item item) => { true };
    (@item $($other:ident)?) => { false };
    (@entry entry) => { true };
    (@entry $($other:ident)?) => { false };
}

/// The request message of a signal.
pub(crate) fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Metrics => &METRICS_REQUEST,
        Signal::Logs => &LOGS_REQUEST,
        Signal::Traces => &TRACES_REQUEST,
    }
}

const AGGREGATION_TEMPORALITY: Kind = Kind::Enum(&[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
]);

const SEVERITY_NUMBER: Kind = Kind::Enum(&[
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
]);

const SPAN_KIND: Kind = Kind::Enum(&[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
]);

const STATUS_CODE: Kind = Kind::Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]);

const TRACE_ID: Kind = Kind::Id(16);
const SPAN_ID: Kind = Kind::Id(8);

// Common.

message!(ANY_VALUE {
    1 Oneof "stringValue" "string_value" Kind::Text;
    2 Oneof "boolValue" "bool_value" Kind::Bool;
    3 Oneof "intValue" "int_value" Kind::Int64;
    4 Oneof "doubleValue" "double_value" Kind::Double;
    5 Oneof "arrayValue" "array_value" Kind::Message(&ARRAY_VALUE);
    6 Oneof "kvlistValue" "kvlist_value" Kind::Message(&KEY_VALUE_LIST);
    7 Oneof "bytesValue" "bytes_value" Kind::Bytes;
    8 Oneof "stringValueStrindex" "string_value_strindex" Kind::Int32;
});
message!(ARRAY_VALUE { 1 Repeated "values" "values" Kind::Message(&ANY_VALUE); });
message!(KEY_VALUE_LIST { 1 Repeated "values" "values" Kind::Message(&KEY_VALUE); });
message!(KEY_VALUE {
    1 Singular "key" "key" Kind::Text;
    2 Always "value" "value" Kind::Message(&ANY_VALUE);
    3 Singular "keyStrindex" "key_strindex" Kind::Int32;
});
message!(SCOPE {
    1 Singular "name" "name" Kind::Text;
    2 Singular "version" "version" Kind::Text;
    3 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    4 Singular "droppedAttributesCount" "dropped_attributes_count" Kind::Uint32;
});
message!(ENTITY_REF {
    1 Singular "schemaUrl" "schema_url" Kind::Text;
    2 Singular "type" "type" Kind::Text;
    3 Repeated "idKeys" "id_keys" Kind::Text;
    4 Repeated "descriptionKeys" "description_keys" Kind::Text;
});
message!(RESOURCE {
    1 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    2 Singular "droppedAttributesCount" "dropped_attributes_count" Kind::Uint32;
    3 Repeated "entityRefs" "entity_refs" Kind::Message(&ENTITY_REF);
});

// Metrics.

message!(METRICS_REQUEST { 1 Repeated "resourceMetrics" "resource_metrics" Kind::Message(&RESOURCE_METRICS); });
message!(RESOURCE_METRICS: entry {
    1 Always "resource" "resource" Kind::Message(&RESOURCE);
    2 Repeated "scopeMetrics" "scope_metrics" Kind::Message(&SCOPE_METRICS);
    3 Singular "schemaUrl" "schema_url" Kind::Text;
});
message!(SCOPE_METRICS {
    1 Always "scope" "scope" Kind::Message(&SCOPE);
    2 Repeated "metrics" "metrics" Kind::Message(&METRIC);
    3 Singular "schemaUrl" "schema_url" Kind::Text;
});
message!(METRIC {
    1 Singular "name" "name" Kind::Text;
    2 Singular "description" "description" Kind::Text;
    3 Singular "unit" "unit" Kind::Text;
    5 Oneof "gauge" "gauge" Kind::Message(&GAUGE);
    7 Oneof "sum" "sum" Kind::Message(&SUM);
    9 Oneof "histogram" "histogram" Kind::Message(&HISTOGRAM);
    10 Oneof "exponentialHistogram" "exponential_histogram" Kind::Message(&EXPONENTIAL_HISTOGRAM);
    11 Oneof "summary" "summary" Kind::Message(&SUMMARY);
    12 Repeated "metadata" "metadata" Kind::Message(&KEY_VALUE);
});
message!(GAUGE { 1 Repeated "dataPoints" "data_points" Kind::Message(&NUMBER_DATA_POINT); });
message!(SUM {
    1 Repeated "dataPoints" "data_points" Kind::Message(&NUMBER_DATA_POINT);
    2 Singular "aggregationTemporality" "aggregation_temporality" AGGREGATION_TEMPORALITY;
    3 Singular "isMonotonic" "is_monotonic" Kind::Bool;
});
message!(HISTOGRAM {
    1 Repeated "dataPoints" "data_points" Kind::Message(&HISTOGRAM_DATA_POINT);
    2 Singular "aggregationTemporality" "aggregation_temporality" AGGREGATION_TEMPORALITY;
});
message!(EXPONENTIAL_HISTOGRAM {
    1 Repeated "dataPoints" "data_points" Kind::Message(&EXPONENTIAL_HISTOGRAM_DATA_POINT);
    2 Singular "aggregationTemporality" "aggregation_temporality" AGGREGATION_TEMPORALITY;
});
message!(SUMMARY { 1 Repeated "dataPoints" "data_points" Kind::Message(&SUMMARY_DATA_POINT); });
message!(NUMBER_DATA_POINT: item {
    7 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    2 Singular "startTimeUnixNano" "start_time_unix_nano" Kind::Fixed64;
    3 Singular "timeUnixNano" "time_unix_nano" Kind::Fixed64;
    4 Oneof "asDouble" "as_double" Kind::Double;
    6 Oneof "asInt" "as_int" Kind::Sfixed64;
    5 Repeated "exemplars" "exemplars" Kind::Message(&EXEMPLAR);
    8 Singular "flags" "flags" Kind::Uint32;
});
message!(HISTOGRAM_DATA_POINT: item {
    9 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    2 Singular "startTimeUnixNano" "start_time_unix_nano" Kind::Fixed64;
    3 Singular "timeUnixNano" "time_unix_nano" Kind::Fixed64;
    4 Singular "count" "count" Kind::Fixed64;
    5 Optional "sum" "sum" Kind::Double;
    6 Repeated "bucketCounts" "bucket_counts" Kind::Fixed64;
    7 Repeated "explicitBounds" "explicit_bounds" Kind::Double;
    8 Repeated "exemplars" "exemplars" Kind::Message(&EXEMPLAR);
    10 Singular "flags" "flags" Kind::Uint32;
    11 Optional "min" "min" Kind::Double;
    12 Optional "max" "max" Kind::Double;
});
message!(EXPONENTIAL_HISTOGRAM_DATA_POINT: item {
    1 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    2 Singular "startTimeUnixNano" "start_time_unix_nano" Kind::Fixed64;
    3 Singular "timeUnixNano" "time_unix_nano" Kind::Fixed64;
    4 Singular "count" "count" Kind::Fixed64;
    5 Optional "sum" "sum" Kind::Double;
    6 Singular "scale" "scale" Kind::Sint32;
    7 Singular "zeroCount" "zero_count" Kind::Fixed64;
    8 Always "positive" "positive" Kind::Message(&BUCKETS);
    9 Always "negative" "negative" Kind::Message(&BUCKETS);
    10 Singular "flags" "flags" Kind::Uint32;
    11 Repeated "exemplars" "exemplars" Kind::Message(&EXEMPLAR);
    12 Optional "min" "min" Kind::Double;
    13 Optional "max" "max" Kind::Double;
    14 Singular "zeroThreshold" "zero_threshold" Kind::Double;
});
message!(BUCKETS {
    1 Singular "offset" "offset" Kind::Sint32;
    2 Repeated "bucketCounts" "bucket_counts" Kind::Uint64;
});
message!(SUMMARY_DATA_POINT: item {
    7 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    2 Singular "startTimeUnixNano" "start_time_unix_nano" Kind::Fixed64;
    3 Singular "timeUnixNano" "time_unix_nano" Kind::Fixed64;
    4 Singular "count" "count" Kind::Fixed64;
    5 Singular "sum" "sum" Kind::Double;
    6 Repeated "quantileValues" "quantile_values" Kind::Message(&VALUE_AT_QUANTILE);
    8 Singular "flags" "flags" Kind::Uint32;
});
message!(VALUE_AT_QUANTILE {
    1 Singular "quantile" "quantile" Kind::Double;
    2 Singular "value" "value" Kind::Double;
});
message!(EXEMPLAR {
    7 Repeated "filteredAttributes" "filtered_attributes" Kind::Message(&KEY_VALUE);
    2 Singular "timeUnixNano" "time_unix_nano" Kind::Fixed64;
    3 Oneof "asDouble" "as_double" Kind::Double;
    6 Oneof "asInt" "as_int" Kind::Sfixed64;
    4 Singular "spanId" "span_id" SPAN_ID;
    5 Singular "traceId" "trace_id" TRACE_ID;
});

// Logs.

message!(LOGS_REQUEST { 1 Repeated "resourceLogs" "resource_logs" Kind::Message(&RESOURCE_LOGS); });
message!(RESOURCE_LOGS: entry {
    1 Always "resource" "resource" Kind::Message(&RESOURCE);
    2 Repeated "scopeLogs" "scope_logs" Kind::Message(&SCOPE_LOGS);
    3 Singular "schemaUrl" "schema_url" Kind::Text;
});
message!(SCOPE_LOGS {
    1 Always "scope" "scope" Kind::Message(&SCOPE);
    2 Repeated "logRecords" "log_records" Kind::Message(&LOG_RECORD);
    3 Singular "schemaUrl" "schema_url" Kind::Text;
});
message!(LOG_RECORD: item {
    1 Singular "timeUnixNano" "time_unix_nano" Kind::Fixed64;
    11 Singular "observedTimeUnixNano" "observed_time_unix_nano" Kind::Fixed64;
    2 Singular "severityNumber" "severity_number" SEVERITY_NUMBER;
    3 Singular "severityText" "severity_text" Kind::Text;
    5 Always "body" "body" Kind::Message(&ANY_VALUE);
    6 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    7 Singular "droppedAttributesCount" "dropped_attributes_count" Kind::Uint32;
    8 Singular "flags" "flags" Kind::Fixed32;
    9 Singular "traceId" "trace_id" TRACE_ID;
    10 Singular "spanId" "span_id" SPAN_ID;
    12 Singular "eventName" "event_name" Kind::Text;
});

// Traces.

message!(TRACES_REQUEST { 1 Repeated "resourceSpans" "resource_spans" Kind::Message(&RESOURCE_SPANS); });
message!(RESOURCE_SPANS: entry {
    1 Always "resource" "resource" Kind::Message(&RESOURCE);
    2 Repeated "scopeSpans" "scope_spans" Kind::Message(&SCOPE_SPANS);
    3 Singular "schemaUrl" "schema_url" Kind::Text;
});
message!(SCOPE_SPANS {
    1 Always "scope" "scope" Kind::Message(&SCOPE);
    2 Repeated "spans" "spans" Kind::Message(&SPAN);
    3 Singular "schemaUrl" "schema_url" Kind::Text;
});
message!(SPAN: item {
    1 Singular "traceId" "trace_id" TRACE_ID;
    2 Singular "spanId" "span_id" SPAN_ID;
    3 Singular "traceState" "trace_state" Kind::Text;
    4 Singular "parentSpanId" "parent_span_id" SPAN_ID;
    16 Singular "flags" "flags" Kind::Fixed32;
    5 Singular "name" "name" Kind::Text;
    6 Singular "kind" "kind" SPAN_KIND;
    7 Singular "startTimeUnixNano" "start_time_unix_nano" Kind::Fixed64;
    8 Singular "endTimeUnixNano" "end_time_unix_nano" Kind::Fixed64;
    9 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    10 Singular "droppedAttributesCount" "dropped_attributes_count" Kind::Uint32;
    11 Repeated "events" "events" Kind::Message(&SPAN_EVENT);
    12 Singular "droppedEventsCount" "dropped_events_count" Kind::Uint32;
    13 Repeated "links" "links" Kind::Message(&SPAN_LINK);
    14 Singular "droppedLinksCount" "dropped_links_count" Kind::Uint32;
    15 Always "status" "status" Kind::Message(&STATUS);
});
message!(SPAN_EVENT {
    1 Singular "timeUnixNano" "time_unix_nano" Kind::Fixed64;
    2 Singular "name" "name" Kind::Text;
    3 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    4 Singular "droppedAttributesCount" "dropped_attributes_count" Kind::Uint32;
});
message!(SPAN_LINK {
    1 Singular "traceId" "trace_id" TRACE_ID;
    2 Singular "spanId" "span_id" SPAN_ID;
    3 Singular "traceState" "trace_state" Kind::Text;
    4 Repeated "attributes" "attributes" Kind::Message(&KEY_VALUE);
    5 Singular "droppedAttributesCount" "dropped_attributes_count" Kind::Uint32;
    6 Singular "flags" "flags" Kind::Fixed32;
});
message!(STATUS {
    2 Singular "message" "message" Kind::Text;
    3 Singular "code" "code" STATUS_CODE;
});
