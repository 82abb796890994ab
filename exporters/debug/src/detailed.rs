//! The text of verbosity `detailed`: everything, a line per field.

use std::fmt::{Display, Write};

use helper::text::write_value;
use pdata::logs::LogRecordView;
use pdata::traces::{EventView, LinkView, SpanView};
use pdata::{AnyValueView, Batch, KeyValues, ResourceView, ScopeView, Signal, logs, metrics, traces};

use crate::detailed_metrics::metric_lines;
use crate::go::{self, Id, Time};

/// Lines under construction.
#[derive(Default)]
pub(crate) struct Lines(String);

/// The text of a batch; every line ends with a newline.
pub(crate) fn text(batch: &Batch) -> String {
    let mut lines = Lines::default();
    match batch.signal() {
        Signal::Metrics => metrics_lines(&mut lines, batch),
        Signal::Logs => logs_lines(&mut lines, batch),
        Signal::Traces => traces_lines(&mut lines, batch),
    }
    lines.0
}

impl Lines {
    pub(crate) fn line(&mut self, text: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{text}");
    }

    /// A line of a span: the name padded, as its values are aligned.
    fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("    {name:<15}: {value}"));
    }

    /// The pairs under a heading, each with `indent`; nothing if there are none.
    pub(crate) fn attributes(&mut self, heading: &str, indent: &str, attributes: KeyValues<'_>) {
        for (index, pair) in attributes.enumerate() {
            if index == 0 {
                self.line(format_args!("{heading}:"));
            }
            let _ = write!(self.0, "{indent}     -> {}: ", pair.key);
            self.value(pair.value);
        }
    }

    /// A value with its type, and the end of the line.
    fn value(&mut self, value: AnyValueView<'_>) {
        self.0.push_str(match value {
            AnyValueView::Empty => "Empty(",
            AnyValueView::String(_) => "Str(",
            AnyValueView::Bool(_) => "Bool(",
            AnyValueView::Int(_) => "Int(",
            AnyValueView::Double(_) => "Double(",
            AnyValueView::Array(_) => "Slice(",
            AnyValueView::KeyValues(_) => "Map(",
            AnyValueView::Bytes(_) => "Bytes(",
        });
        write_value(&mut self.0, value);
        self.0.push_str(")\n");
    }

    fn resource(&mut self, resource: ResourceView<'_>, schema_url: &str) {
        self.line(format_args!("Resource SchemaURL: {schema_url}"));
        self.attributes("Resource attributes", "", resource.attributes());
    }

    fn scope(&mut self, scope: &ScopeView<'_>) {
        self.line(format_args!("InstrumentationScope {} {}", scope.name, scope.version));
        self.attributes("InstrumentationScope attributes", "", scope.attributes());
    }
}

fn metrics_lines(lines: &mut Lines, batch: &Batch) {
    for (index, resource) in metrics::resources(batch).enumerate() {
        lines.line(format_args!("ResourceMetrics #{index}"));
        lines.resource(resource.resource(), resource.schema_url());
        for (index, scope) in resource.scopes().enumerate() {
            lines.line(format_args!("ScopeMetrics #{index}"));
            lines.line(format_args!("ScopeMetrics SchemaURL: {}", scope.schema_url()));
            lines.scope(&scope.scope());
            for (index, metric) in scope.metrics().enumerate() {
                metric_lines(lines, index, &metric);
            }
        }
    }
}

fn logs_lines(lines: &mut Lines, batch: &Batch) {
    for (index, resource) in logs::resources(batch).enumerate() {
        lines.line(format_args!("ResourceLog #{index}"));
        lines.resource(resource.resource(), resource.schema_url());
        for (index, scope) in resource.scopes().enumerate() {
            lines.line(format_args!("ScopeLogs #{index}"));
            lines.line(format_args!("ScopeLogs SchemaURL: {}", scope.schema_url()));
            lines.scope(&scope.scope());
            for (index, record) in scope.log_records().enumerate() {
                record_lines(lines, index, &record);
            }
        }
    }
}

fn record_lines(lines: &mut Lines, index: usize, record: &LogRecordView<'_>) {
    lines.line(format_args!("LogRecord #{index}"));
    lines.line(format_args!("ObservedTimestamp: {}", Time(record.observed_time_unix_nano)));
    lines.line(format_args!("Timestamp: {}", Time(record.time_unix_nano)));
    lines.line(format_args!("SeverityText: {}", record.severity_text));
    let number = record.severity_number;
    lines.line(format_args!("SeverityNumber: {}({number})", go::severity(number)));
    if !record.event_name.is_empty() {
        lines.line(format_args!("EventName: {}", record.event_name));
    }
    lines.0.push_str("Body: ");
    lines.value(record.body);
    lines.attributes("Attributes", "", record.attributes());
    lines.line(format_args!("Trace ID: {}", Id(record.trace_id)));
    lines.line(format_args!("Span ID: {}", Id(record.span_id)));
    lines.line(format_args!("Flags: {}", record.flags));
}

fn traces_lines(lines: &mut Lines, batch: &Batch) {
    for (index, resource) in traces::resources(batch).enumerate() {
        lines.line(format_args!("ResourceSpans #{index}"));
        lines.resource(resource.resource(), resource.schema_url());
        for (index, scope) in resource.scopes().enumerate() {
            lines.line(format_args!("ScopeSpans #{index}"));
            lines.line(format_args!("ScopeSpans SchemaURL: {}", scope.schema_url()));
            lines.scope(&scope.scope());
            for (index, span) in scope.spans().enumerate() {
                span_lines(lines, index, &span);
            }
        }
    }
}

fn span_lines(lines: &mut Lines, index: usize, span: &SpanView<'_>) {
    lines.line(format_args!("Span #{index}"));
    lines.field("Trace ID", Id(span.trace_id));
    lines.field("Parent ID", Id(span.parent_span_id));
    lines.field("ID", Id(span.span_id));
    lines.field("Name", span.name);
    lines.field("Kind", go::span_kind(span.kind));
    let trace_state = span.trace_state();
    if !trace_state.is_empty() {
        lines.field("TraceState", trace_state);
    }
    lines.field("Start time", Time(span.start_time_unix_nano));
    lines.field("End time", Time(span.end_time_unix_nano));
    lines.field("Status code", go::status_code(span.status.code));
    lines.field("Status message", span.status.message);
    lines.field("DroppedAttributesCount", span.dropped_attributes_count);
    lines.field("DroppedEventsCount", span.dropped_events_count);
    lines.field("DroppedLinksCount", span.dropped_links_count);
    lines.attributes("Attributes", "", span.attributes());
    for (index, event) in span.events().enumerate() {
        if index == 0 {
            lines.line("Events:");
        }
        event_lines(lines, index, &event);
    }
    for (index, link) in span.links().enumerate() {
        if index == 0 {
            lines.line("Links:");
        }
        link_lines(lines, index, &link);
    }
}

fn event_lines(lines: &mut Lines, index: usize, event: &EventView<'_>) {
    lines.line(format_args!("SpanEvent #{index}"));
    lines.line(format_args!("     -> Name: {}", event.name));
    lines.line(format_args!("     -> Timestamp: {}", Time(event.time_unix_nano)));
    lines.line(format_args!("     -> DroppedAttributesCount: {}", event.dropped_attributes_count));
    // Upstream prints two colons here.
    lines.attributes("     -> Attributes:", "     ", event.attributes());
}

fn link_lines(lines: &mut Lines, index: usize, link: &LinkView<'_>) {
    lines.line(format_args!("SpanLink #{index}"));
    lines.line(format_args!("     -> Trace ID: {}", Id(link.trace_id)));
    lines.line(format_args!("     -> ID: {}", Id(link.span_id)));
    lines.line(format_args!("     -> TraceState: {}", link.trace_state()));
    lines.line(format_args!("     -> DroppedAttributesCount: {}", link.dropped_attributes_count));
    lines.attributes("     -> Attributes:", "     ", link.attributes());
}
