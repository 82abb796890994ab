//! Reads a batch through its views into `opentelemetry-proto` structs: every field of every view.

#![allow(dead_code, reason = "each test uses a part")]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use pdata::logs::LogRecordView;
use pdata::metrics::{
    BucketsView, Data, ExemplarView, ExponentialHistogramDataPointView, HistogramDataPointView, MetricView,
    Number, NumberDataPointView, SummaryDataPointView, Temporality,
};
use pdata::traces::SpanView;
use pdata::{AnyValueView, Batch, KeyValueView, KeyValues, ResourceView, ScopeView, Signal};
use prost::Message;

/// The batch, encoded anew from its views.
pub(crate) fn encoded(batch: &Batch) -> Vec<u8> {
    match batch.signal() {
        Signal::Metrics => metrics(batch).encode_to_vec(),
        Signal::Logs => logs(batch).encode_to_vec(),
        Signal::Traces => traces(batch).encode_to_vec(),
    }
}

pub(crate) fn metrics(batch: &Batch) -> ExportMetricsServiceRequest {
    let resource_metrics = pdata::metrics::resources(batch).map(|entry| ResourceMetrics {
        resource: resource(entry.resource()),
        scope_metrics: entry
            .scopes()
            .map(|in_scope| ScopeMetrics {
                scope: scope(in_scope.scope()),
                metrics: in_scope.metrics().map(metric).collect(),
                schema_url: in_scope.schema_url().into(),
            })
            .collect(),
        schema_url: entry.schema_url().into(),
    });
    ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
}

pub(crate) fn logs(batch: &Batch) -> ExportLogsServiceRequest {
    let resource_logs = pdata::logs::resources(batch).map(|entry| ResourceLogs {
        resource: resource(entry.resource()),
        scope_logs: entry
            .scopes()
            .map(|in_scope| ScopeLogs {
                scope: scope(in_scope.scope()),
                log_records: in_scope.log_records().map(log_record).collect(),
                schema_url: in_scope.schema_url().into(),
            })
            .collect(),
        schema_url: entry.schema_url().into(),
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
}

pub(crate) fn traces(batch: &Batch) -> ExportTraceServiceRequest {
    let resource_spans = pdata::traces::resources(batch).map(|entry| ResourceSpans {
        resource: resource(entry.resource()),
        scope_spans: entry
            .scopes()
            .map(|in_scope| ScopeSpans {
                scope: scope(in_scope.scope()),
                spans: in_scope.spans().map(span).collect(),
                schema_url: in_scope.schema_url().into(),
            })
            .collect(),
        schema_url: entry.schema_url().into(),
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

fn resource(view: ResourceView<'_>) -> Option<Resource> {
    Some(Resource {
        attributes: attributes(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count(),
        entity_refs: Vec::new(),
    })
}

fn scope(view: ScopeView<'_>) -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: view.name.into(),
        version: view.version.into(),
        attributes: attributes(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count,
    })
}

pub(crate) fn attributes(views: KeyValues<'_>) -> Vec<KeyValue> {
    views.map(pair).collect()
}

fn pair(view: KeyValueView<'_>) -> KeyValue {
    KeyValue { key: view.key.into(), value: Some(any_value(view.value)), key_strindex: 0 }
}

pub(crate) fn any_value(view: AnyValueView<'_>) -> AnyValue {
    let value = match view {
        AnyValueView::Empty => None,
        AnyValueView::String(text) => Some(Value::StringValue(text.into())),
        AnyValueView::Bool(value) => Some(Value::BoolValue(value)),
        AnyValueView::Int(value) => Some(Value::IntValue(value)),
        AnyValueView::Double(value) => Some(Value::DoubleValue(value)),
        AnyValueView::Bytes(bytes) => Some(Value::BytesValue(bytes.into())),
        AnyValueView::Array(array) => {
            Some(Value::ArrayValue(ArrayValue { values: array.values().map(any_value).collect() }))
        }
        AnyValueView::KeyValues(pairs) => {
            Some(Value::KvlistValue(KeyValueList { values: pairs.map(pair).collect() }))
        }
    };
    AnyValue { value }
}

fn metric(view: MetricView<'_>) -> Metric {
    let data = match view.data {
        Data::None => None,
        Data::Gauge(points) => {
            Some(metric::Data::Gauge(Gauge { data_points: points.numbers().map(number).collect() }))
        }
        Data::Sum { points, temporality, monotonic } => Some(metric::Data::Sum(Sum {
            data_points: points.numbers().map(number).collect(),
            aggregation_temporality: aggregation_temporality(temporality),
            is_monotonic: monotonic,
        })),
        Data::Histogram { points, temporality } => Some(metric::Data::Histogram(Histogram {
            data_points: points.histograms().map(histogram).collect(),
            aggregation_temporality: aggregation_temporality(temporality),
        })),
        Data::ExponentialHistogram { points, temporality } => {
            Some(metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points: points.exponential_histograms().map(exponential_histogram).collect(),
                aggregation_temporality: aggregation_temporality(temporality),
            }))
        }
        Data::Summary(points) => {
            Some(metric::Data::Summary(Summary { data_points: points.summaries().map(summary).collect() }))
        }
    };
    Metric {
        name: view.name.into(),
        description: view.description.into(),
        unit: view.unit.into(),
        metadata: attributes(view.metadata()),
        data,
    }
}

fn aggregation_temporality(temporality: Temporality) -> i32 {
    match temporality {
        Temporality::Unspecified => 0,
        Temporality::Delta => 1,
        Temporality::Cumulative => 2,
    }
}

fn number(view: NumberDataPointView<'_>) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(view.attributes()),
        start_time_unix_nano: view.start_time_unix_nano,
        time_unix_nano: view.time_unix_nano,
        exemplars: view.exemplars().map(exemplar).collect(),
        flags: view.flags,
        value: view.value.map(|value| match value {
            Number::Int(value) => number_data_point::Value::AsInt(value),
            Number::Double(value) => number_data_point::Value::AsDouble(value),
        }),
    }
}

fn exemplar(view: ExemplarView<'_>) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(view.filtered_attributes()),
        time_unix_nano: view.time_unix_nano,
        span_id: view.span_id.into(),
        trace_id: view.trace_id.into(),
        value: view.value.map(|value| match value {
            Number::Int(value) => exemplar::Value::AsInt(value),
            Number::Double(value) => exemplar::Value::AsDouble(value),
        }),
    }
}

fn histogram(view: HistogramDataPointView<'_>) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(view.attributes()),
        start_time_unix_nano: view.start_time_unix_nano,
        time_unix_nano: view.time_unix_nano,
        count: view.count,
        sum: view.sum,
        bucket_counts: view.bucket_counts().collect(),
        explicit_bounds: view.explicit_bounds().collect(),
        exemplars: view.exemplars().map(exemplar).collect(),
        flags: view.flags,
        min: view.min,
        max: view.max,
    }
}

fn buckets(view: BucketsView<'_>) -> Option<Buckets> {
    Some(Buckets { offset: view.offset, bucket_counts: view.bucket_counts().collect() })
}

fn exponential_histogram(view: ExponentialHistogramDataPointView<'_>) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: attributes(view.attributes()),
        start_time_unix_nano: view.start_time_unix_nano,
        time_unix_nano: view.time_unix_nano,
        count: view.count,
        sum: view.sum,
        scale: view.scale,
        zero_count: view.zero_count,
        positive: buckets(view.positive),
        negative: buckets(view.negative),
        flags: view.flags,
        exemplars: view.exemplars().map(exemplar).collect(),
        min: view.min,
        max: view.max,
        zero_threshold: view.zero_threshold,
    }
}

fn summary(view: SummaryDataPointView<'_>) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: attributes(view.attributes()),
        start_time_unix_nano: view.start_time_unix_nano,
        time_unix_nano: view.time_unix_nano,
        count: view.count,
        sum: view.sum,
        quantile_values: view
            .quantile_values()
            .map(|pair| ValueAtQuantile { quantile: pair.quantile, value: pair.value })
            .collect(),
        flags: view.flags,
    }
}

fn log_record(view: LogRecordView<'_>) -> LogRecord {
    LogRecord {
        time_unix_nano: view.time_unix_nano,
        observed_time_unix_nano: view.observed_time_unix_nano,
        severity_number: view.severity_number,
        severity_text: view.severity_text.into(),
        body: Some(any_value(view.body)),
        attributes: attributes(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count,
        flags: view.flags,
        trace_id: view.trace_id.into(),
        span_id: view.span_id.into(),
        event_name: view.event_name.into(),
    }
}

fn span(view: SpanView<'_>) -> Span {
    Span {
        trace_id: view.trace_id.into(),
        span_id: view.span_id.into(),
        trace_state: view.trace_state().into(),
        parent_span_id: view.parent_span_id.into(),
        flags: view.flags,
        name: view.name.into(),
        kind: view.kind,
        start_time_unix_nano: view.start_time_unix_nano,
        end_time_unix_nano: view.end_time_unix_nano,
        attributes: attributes(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count,
        events: view
            .events()
            .map(|event| Event {
                time_unix_nano: event.time_unix_nano,
                name: event.name.into(),
                attributes: attributes(event.attributes()),
                dropped_attributes_count: event.dropped_attributes_count,
            })
            .collect(),
        dropped_events_count: view.dropped_events_count,
        links: view
            .links()
            .map(|link| Link {
                trace_id: link.trace_id.into(),
                span_id: link.span_id.into(),
                trace_state: link.trace_state().into(),
                attributes: attributes(link.attributes()),
                dropped_attributes_count: link.dropped_attributes_count,
                flags: link.flags,
            })
            .collect(),
        dropped_links_count: view.dropped_links_count,
        status: Some(Status { message: view.status.message.into(), code: view.status.code }),
    }
}
