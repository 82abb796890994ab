//! Views of spans.

use crate::common::{KeyValues, envelope, text_field};
use crate::wire::Fields;
use crate::{Batch, Signal};

envelope!(ResourceSpansView, ScopeSpansView, spans, SpanView<'a>, "spans");

/// The spans of a batch, by resource; nothing for a batch of another signal.
pub fn resources(batch: &Batch) -> impl Iterator<Item = ResourceSpansView<'_>> {
    batch.entries().filter(|_| batch.signal() == Signal::Traces).map(ResourceSpansView::new)
}

/// A span.
#[derive(Debug, Clone, Copy)]
pub struct SpanView<'a> {
    /// The trace it belongs to: 16 bytes or none.
    pub trace_id: &'a [u8],
    /// Its id: 8 bytes or none.
    pub span_id: &'a [u8],
    /// The span that caused it: 8 bytes, or none for the root of a trace.
    pub parent_span_id: &'a [u8],
    /// Its name.
    pub name: &'a str,
    /// Its role in a call: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// When it began, Unix time in nanoseconds.
    pub start_time_unix_nano: u64,
    /// When it ended, Unix time in nanoseconds.
    pub end_time_unix_nano: u64,
    /// The lowest eight bits are W3C trace flags.
    pub flags: u32,
    /// How it ended.
    pub status: StatusView<'a>,
    /// How many attributes were dropped before arrival.
    pub dropped_attributes_count: u32,
    /// How many events were dropped before arrival.
    pub dropped_events_count: u32,
    /// How many links were dropped before arrival.
    pub dropped_links_count: u32,
    message: &'a [u8],
}

/// How a span ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusView<'a> {
    /// 0 unset, 1 ok, 2 error.
    pub code: i32,
    /// What went wrong; empty if not said.
    pub message: &'a str,
}

/// Something that happened during a span.
#[derive(Debug, Clone, Copy)]
pub struct EventView<'a> {
    /// When, Unix time in nanoseconds.
    pub time_unix_nano: u64,
    /// Its name.
    pub name: &'a str,
    /// How many attributes were dropped before arrival.
    pub dropped_attributes_count: u32,
    message: &'a [u8],
}

/// Another span that has to do with a span.
#[derive(Debug, Clone, Copy)]
pub struct LinkView<'a> {
    /// The other's trace: 16 bytes or none.
    pub trace_id: &'a [u8],
    /// The other's id: 8 bytes or none.
    pub span_id: &'a [u8],
    /// How many attributes were dropped before arrival.
    pub dropped_attributes_count: u32,
    /// The lowest eight bits are W3C trace flags.
    pub flags: u32,
    message: &'a [u8],
}

impl<'a> SpanView<'a> {
    #[inline]
    fn parse(message: &'a [u8]) -> Self {
        let mut view = Self {
            trace_id: &[],
            span_id: &[],
            parent_span_id: &[],
            name: "",
            kind: 0,
            start_time_unix_nano: 0,
            end_time_unix_nano: 0,
            flags: 0,
            status: StatusView::default(),
            dropped_attributes_count: 0,
            dropped_events_count: 0,
            dropped_links_count: 0,
            message,
        };
        for (number, value) in Fields::new(message) {
            match number {
                1 => view.trace_id = value.bytes(),
                2 => view.span_id = value.bytes(),
                4 => view.parent_span_id = value.bytes(),
                5 => view.name = value.text(),
                6 => view.kind = value.number() as i32,
                7 => view.start_time_unix_nano = value.number(),
                8 => view.end_time_unix_nano = value.number(),
                10 => view.dropped_attributes_count = value.number() as u32,
                12 => view.dropped_events_count = value.number() as u32,
                14 => view.dropped_links_count = value.number() as u32,
                15 => view.status = StatusView::parse(value.bytes()),
                16 => view.flags = value.number() as u32,
                _ => {}
            }
        }
        view
    }

    /// The W3C trace state; empty if not said.
    pub fn trace_state(&self) -> &'a str {
        text_field(self.message, 3)
    }

    /// The attributes, in order.
    #[inline]
    pub fn attributes(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 9)
    }

    /// What happened during the span, in order.
    pub fn events(&self) -> impl Iterator<Item = EventView<'a>> + use<'a> {
        Fields::new(self.message)
            .filter(|(number, _)| *number == 11)
            .map(|(_, value)| EventView::parse(value.bytes()))
    }

    /// The spans that have to do with it, in order.
    pub fn links(&self) -> impl Iterator<Item = LinkView<'a>> + use<'a> {
        Fields::new(self.message)
            .filter(|(number, _)| *number == 13)
            .map(|(_, value)| LinkView::parse(value.bytes()))
    }
}

impl<'a> StatusView<'a> {
    fn parse(message: &'a [u8]) -> Self {
        let mut view = Self::default();
        for (number, value) in Fields::new(message) {
            match number {
                2 => view.message = value.text(),
                3 => view.code = value.number() as i32,
                _ => {}
            }
        }
        view
    }
}

impl<'a> EventView<'a> {
    fn parse(message: &'a [u8]) -> Self {
        let mut view = Self { time_unix_nano: 0, name: "", dropped_attributes_count: 0, message };
        for (number, value) in Fields::new(message) {
            match number {
                1 => view.time_unix_nano = value.number(),
                2 => view.name = value.text(),
                4 => view.dropped_attributes_count = value.number() as u32,
                _ => {}
            }
        }
        view
    }

    /// The attributes, in order.
    pub fn attributes(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 3)
    }
}

impl<'a> LinkView<'a> {
    fn parse(message: &'a [u8]) -> Self {
        let mut view = Self { trace_id: &[], span_id: &[], dropped_attributes_count: 0, flags: 0, message };
        for (number, value) in Fields::new(message) {
            match number {
                1 => view.trace_id = value.bytes(),
                2 => view.span_id = value.bytes(),
                5 => view.dropped_attributes_count = value.number() as u32,
                6 => view.flags = value.number() as u32,
                _ => {}
            }
        }
        view
    }

    /// The W3C trace state; empty if not said.
    pub fn trace_state(&self) -> &'a str {
        text_field(self.message, 3)
    }

    /// The attributes, in order.
    pub fn attributes(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 4)
    }
}
