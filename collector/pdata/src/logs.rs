//! Views of log records.

use crate::common::{AnyValueView, KeyValues, envelope};
use crate::wire::Fields;
use crate::{Batch, Signal};

envelope!(ResourceLogsView, ScopeLogsView, log_records, LogRecordView<'a>, "log records");

/// The log records of a batch, by resource; nothing for a batch of another signal.
pub fn resources(batch: &Batch) -> impl Iterator<Item = ResourceLogsView<'_>> {
    batch.entries().filter(|_| batch.signal() == Signal::Logs).map(ResourceLogsView::new)
}

/// A log record.
#[derive(Debug, Clone, Copy)]
pub struct LogRecordView<'a> {
    /// When it happened, Unix time in nanoseconds; 0 for not said.
    pub time_unix_nano: u64,
    /// When it was seen by the collecting side, Unix time in nanoseconds; 0 for not said.
    pub observed_time_unix_nano: u64,
    /// The severity: 1 to 24 from `TRACE` to `FATAL4`; 0 for not said.
    pub severity_number: i32,
    /// The severity as the source calls it; empty if not said.
    pub severity_text: &'a str,
    /// The message.
    pub body: AnyValueView<'a>,
    /// How many attributes were dropped before arrival.
    pub dropped_attributes_count: u32,
    /// The lowest eight bits are W3C trace flags.
    pub flags: u32,
    /// The trace it belongs to: 16 bytes or none.
    pub trace_id: &'a [u8],
    /// The span it belongs to: 8 bytes or none.
    pub span_id: &'a [u8],
    /// What kind of event it is; empty if it is not an event.
    pub event_name: &'a str,
    message: &'a [u8],
}

impl<'a> LogRecordView<'a> {
    #[inline]
    fn parse(message: &'a [u8]) -> Self {
        let mut view = Self {
            time_unix_nano: 0,
            observed_time_unix_nano: 0,
            severity_number: 0,
            severity_text: "",
            body: AnyValueView::Empty,
            dropped_attributes_count: 0,
            flags: 0,
            trace_id: &[],
            span_id: &[],
            event_name: "",
            message,
        };
        for (number, value) in Fields::new(message) {
            match number {
                1 => view.time_unix_nano = value.number(),
                2 => view.severity_number = value.number() as i32,
                3 => view.severity_text = value.text(),
                5 => view.body = AnyValueView::parse(value.bytes()),
                7 => view.dropped_attributes_count = value.number() as u32,
                8 => view.flags = value.number() as u32,
                9 => view.trace_id = value.bytes(),
                10 => view.span_id = value.bytes(),
                11 => view.observed_time_unix_nano = value.number(),
                12 => view.event_name = value.text(),
                _ => {}
            }
        }
        view
    }

    /// The attributes, in order.
    #[inline]
    pub fn attributes(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 6)
    }
}
