//! Random requests as `opentelemetry-proto` structs, made from random bytes: fewer bytes, smaller requests, so that
//! failures shrink.

#![allow(dead_code, reason = "each test uses a part")]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use pdata::Signal;
use proptest::prelude::*;
use prost::Message;

/// Random bytes to make requests from.
pub(crate) fn entropy() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1200)
}

/// What the requests look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Anything that can be encoded.
    Anything,
    /// The same, but what is absent is there with its default, and without what has no view.
    Filled,
    /// Filled, and only what the serde implementation of `opentelemetry-proto` can read.
    Plain,
}

/// A request of a signal, encoded.
pub(crate) fn encoded(signal: Signal, flavour: Flavour, entropy: &[u8]) -> Vec<u8> {
    match signal {
        Signal::Metrics => metrics(flavour, entropy).encode_to_vec(),
        Signal::Logs => logs(flavour, entropy).encode_to_vec(),
        Signal::Traces => traces(flavour, entropy).encode_to_vec(),
    }
}

pub(crate) fn metrics(flavour: Flavour, entropy: &[u8]) -> ExportMetricsServiceRequest {
    let mut source = Source { bytes: entropy.iter(), flavour };
    ExportMetricsServiceRequest { resource_metrics: source.list(4, Source::resource_metrics) }
}

pub(crate) fn logs(flavour: Flavour, entropy: &[u8]) -> ExportLogsServiceRequest {
    let mut source = Source { bytes: entropy.iter(), flavour };
    ExportLogsServiceRequest { resource_logs: source.list(4, Source::resource_logs) }
}

pub(crate) fn traces(flavour: Flavour, entropy: &[u8]) -> ExportTraceServiceRequest {
    let mut source = Source { bytes: entropy.iter(), flavour };
    ExportTraceServiceRequest { resource_spans: source.list(4, Source::resource_spans) }
}

/// Turns bytes into values; zeros at their end.
struct Source<'a> {
    bytes: std::slice::Iter<'a, u8>,
    flavour: Flavour,
}

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    fn bool(&mut self) -> bool {
        !self.byte().is_multiple_of(3)
    }

    fn u64(&mut self) -> u64 {
        let choice = self.byte();
        match choice % 4 {
            0 => 0,
            1 => u64::from(choice),
            2 => u64::MAX - u64::from(choice),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    fn f64(&mut self) -> f64 {
        let value = match self.byte() % 8 {
            0 => 0.0,
            1 => -0.0,
            2 => f64::NAN,
            3 => f64::NEG_INFINITY,
            4 => f64::from(self.byte()),
            _ => f64::from_bits(self.u64()),
        };
        if self.flavour == Flavour::Plain && !value.is_finite() { 0.25 } else { value }
    }

    fn text(&mut self) -> String {
        let choice = self.byte();
        match choice % 8 {
            0 => String::new(),
            1 => "\"\\/\u{0}\u{1f}\n\r\t".to_owned(),
            2 => "ünïcode 中 😀 \u{2028}\u{fffd}".to_owned(),
            3 => "x".repeat(usize::from(choice)),
            _ => format!("text{choice}"),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.list(40, Self::byte)
    }

    fn id(&mut self, len: usize) -> Vec<u8> {
        match self.byte() % 3 {
            0 => Vec::new(),
            choice => (0..len).map(|_| self.byte() | choice).collect(),
        }
    }

    fn list<T>(&mut self, max: u8, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let len = self.byte() % (max + 1);
        (0..len).map(|_| element(self)).collect()
    }

    fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| value(self))
    }

    /// A message whose absence cannot be seen.
    fn message<T: Default>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.option(value) {
            None if self.flavour != Flavour::Anything => Some(T::default()),
            value => value,
        }
    }

    fn any_value(&mut self, depth: usize) -> AnyValue {
        let value = match self.byte() % if depth == 0 { 7 } else { 9 } {
            0 => None,
            1 | 2 => Some(Value::StringValue(self.text())),
            3 => Some(Value::BoolValue(self.bool())),
            4 => Some(Value::IntValue(self.u64() as i64)),
            5 => Some(Value::DoubleValue(self.f64())),
            6 => Some(Value::BytesValue(self.bytes())),
            7 => Some(Value::ArrayValue(ArrayValue { values: self.members(|s| s.any_value(depth - 1)) })),
            _ => Some(Value::KvlistValue(KeyValueList { values: self.members(|s| s.pair(depth - 1)) })),
        };
        AnyValue { value }
    }

    fn members<T>(&mut self, mut member: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut members = self.list(3, &mut member);
        if self.flavour == Flavour::Plain && members.is_empty() {
            members.push(member(self));
        }
        members
    }

    fn pair(&mut self, depth: usize) -> KeyValue {
        let mut key = self.text();
        if self.flavour == Flavour::Plain {
            key.push('k');
        }
        KeyValue { key, value: self.message(|s| s.any_value(depth)), key_strindex: 0 }
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        self.list(4, |s| s.pair(2))
    }

    fn resource(&mut self) -> Resource {
        let mut resource = Resource {
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
            entity_refs: self.list(1, |s| EntityRef {
                schema_url: s.text(),
                r#type: s.text(),
                id_keys: s.list(2, Self::text),
                description_keys: s.list(2, Self::text),
            }),
        };
        if self.flavour != Flavour::Anything {
            resource.entity_refs.clear();
        }
        resource
    }

    fn scope(&mut self) -> InstrumentationScope {
        InstrumentationScope {
            name: self.text(),
            version: self.text(),
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
        }
    }

    fn resource_metrics(&mut self) -> ResourceMetrics {
        ResourceMetrics {
            resource: self.message(Self::resource),
            scope_metrics: self.list(3, |s| ScopeMetrics {
                scope: s.message(Self::scope),
                metrics: s.list(4, Self::metric),
                schema_url: s.text(),
            }),
            schema_url: self.text(),
        }
    }

    fn metric(&mut self) -> Metric {
        Metric {
            name: self.text(),
            description: self.text(),
            unit: self.text(),
            metadata: self.attributes(),
            data: self.data(),
        }
    }

    fn data(&mut self) -> Option<Data> {
        let aggregation_temporality = i32::from(self.byte() % 3);
        Some(match self.byte() % 6 {
            0 => return None,
            1 => Data::Gauge(Gauge { data_points: self.list(5, Self::number) }),
            2 => Data::Sum(Sum {
                data_points: self.list(5, Self::number),
                aggregation_temporality,
                is_monotonic: self.bool(),
            }),
            3 => Data::Histogram(Histogram {
                data_points: self.list(4, Self::histogram),
                aggregation_temporality,
            }),
            4 => Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.list(3, Self::exponential_histogram),
                aggregation_temporality,
            }),
            _ => Data::Summary(Summary { data_points: self.list(3, Self::summary) }),
        })
    }

    fn number(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            exemplars: self.list(2, Self::exemplar),
            flags: self.u32(),
            value: self.option(|s| match s.byte() % 2 {
                0 => number_data_point::Value::AsInt(s.u64() as i64),
                _ => number_data_point::Value::AsDouble(s.f64()),
            }),
        }
    }

    fn exemplar(&mut self) -> Exemplar {
        Exemplar {
            filtered_attributes: self.attributes(),
            time_unix_nano: self.u64(),
            span_id: self.id(8),
            trace_id: self.id(16),
            value: self.option(|s| match s.byte() % 2 {
                0 => exemplar::Value::AsInt(s.u64() as i64),
                _ => exemplar::Value::AsDouble(s.f64()),
            }),
        }
    }

    fn histogram(&mut self) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.option(Self::f64),
            bucket_counts: self.list(20, Self::u64),
            explicit_bounds: self.list(5, Self::f64),
            exemplars: self.list(2, Self::exemplar),
            flags: self.u32(),
            min: self.option(Self::f64),
            max: self.option(Self::f64),
        }
    }

    fn buckets(&mut self) -> Buckets {
        Buckets { offset: self.u32() as i32, bucket_counts: self.list(20, Self::u64) }
    }

    fn exponential_histogram(&mut self) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.option(Self::f64),
            scale: self.u32() as i32,
            zero_count: self.u64(),
            positive: self.message(Self::buckets),
            negative: self.message(Self::buckets),
            flags: self.u32(),
            exemplars: self.list(2, Self::exemplar),
            min: self.option(Self::f64),
            max: self.option(Self::f64),
            zero_threshold: self.f64(),
        }
    }

    fn summary(&mut self) -> SummaryDataPoint {
        SummaryDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.f64(),
            quantile_values: self.list(3, |s| ValueAtQuantile { quantile: s.f64(), value: s.f64() }),
            flags: self.u32(),
        }
    }

    fn resource_logs(&mut self) -> ResourceLogs {
        ResourceLogs {
            resource: self.message(Self::resource),
            scope_logs: self.list(3, |s| ScopeLogs {
                scope: s.message(Self::scope),
                log_records: s.list(6, Self::log_record),
                schema_url: s.text(),
            }),
            schema_url: self.text(),
        }
    }

    fn log_record(&mut self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.u64(),
            observed_time_unix_nano: self.u64(),
            severity_number: i32::from(self.byte() % 25),
            severity_text: self.text(),
            body: self.message(|s| s.any_value(3)),
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
            flags: self.u32(),
            trace_id: self.id(16),
            span_id: self.id(8),
            event_name: self.text(),
        }
    }

    fn resource_spans(&mut self) -> ResourceSpans {
        ResourceSpans {
            resource: self.message(Self::resource),
            scope_spans: self.list(3, |s| ScopeSpans {
                scope: s.message(Self::scope),
                spans: s.list(6, Self::span),
                schema_url: s.text(),
            }),
            schema_url: self.text(),
        }
    }

    fn span(&mut self) -> Span {
        Span {
            trace_id: self.id(16),
            span_id: self.id(8),
            trace_state: self.text(),
            parent_span_id: self.id(8),
            flags: self.u32(),
            name: self.text(),
            kind: i32::from(self.byte() % 6),
            start_time_unix_nano: self.u64(),
            end_time_unix_nano: self.u64(),
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
            events: self.list(2, |s| Event {
                time_unix_nano: s.u64(),
                name: s.text(),
                attributes: s.attributes(),
                dropped_attributes_count: s.u32(),
            }),
            dropped_events_count: self.u32(),
            links: self.list(2, |s| Link {
                trace_id: s.id(16),
                span_id: s.id(8),
                trace_state: s.text(),
                attributes: s.attributes(),
                dropped_attributes_count: s.u32(),
                flags: s.u32(),
            }),
            dropped_links_count: self.u32(),
            status: self.message(|s| Status { message: s.text(), code: i32::from(s.byte() % 3) }),
        }
    }
}
