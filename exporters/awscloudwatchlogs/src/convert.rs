//! Batches of log records as events.

use pdata::logs::LogRecordView;
use pdata::{Batch, KeyValues};

use crate::config::LogsConfig;
use crate::emf;
use crate::names::{Names, Place, UnknownPlaceholder};
use crate::record::{context, resource_member, write_record};

/// Why a record is dropped: it holds a number that JSON cannot express.
pub(crate) const NOT_FINITE: &str = "not_finite";
/// Why a record is dropped: with `emf_only` it has to name a log group.
pub(crate) const NOT_EMF: &str = "not_emf";

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// An event.
    Event {
        group: &'a str,
        stream: &'a str,
        /// Unix time in milliseconds; 0 if the record does not say.
        timestamp_ms: i64,
        message: &'a str,
    },
    /// No event, for this reason.
    Dropped(&'static str),
}

/// How records become events.
#[derive(Debug, Clone)]
pub(crate) struct Converter {
    names: Names,
    raw: bool,
    emf_only: bool,
}

/// Memory that is used again for every record.
#[derive(Default)]
struct Scratch {
    /// The place of the resource or, where that leaves it open, of the record.
    place: Place,
    message: String,
}

impl Converter {
    /// # Errors
    /// A name with a placeholder that is unknown.
    pub(crate) fn new(config: &LogsConfig) -> Result<Self, UnknownPlaceholder> {
        let names = Names::parse(&config.log_group_name, &config.log_stream_name)?;
        Ok(Self { names, raw: config.raw_log, emf_only: config.emf_only })
    }

    /// Converts every record, in order.
    pub(crate) fn convert(&self, batch: &Batch, mut each: impl FnMut(Outcome<'_>)) {
        let mut scratch = Scratch::default();
        for entry in pdata::logs::resources(batch) {
            let resource = entry.resource().attributes();
            let complete = self.names.of_resource(&mut scratch.place, resource);
            let open = (!complete).then_some(resource);
            let resource_member = if self.raw { None } else { resource_member(resource) };
            for scope in entry.scopes() {
                if self.raw {
                    scope.log_records().for_each(|record| self.raw(&mut scratch, &record, open, &mut each));
                    continue;
                }
                let context = context(scope.scope(), resource_member.as_deref());
                for record in scope.log_records() {
                    self.structured(&mut scratch, &record, open, context.as_deref(), &mut each);
                }
            }
        }
    }

    /// `open` is the resource if it leaves the place open.
    fn structured(
        &self,
        scratch: &mut Scratch,
        record: &LogRecordView<'_>,
        open: Option<KeyValues<'_>>,
        context: Option<&str>,
        each: &mut impl FnMut(Outcome<'_>),
    ) {
        let written = context.is_some_and(|context| write_record(&mut scratch.message, record, context));
        if !written {
            return each(Outcome::Dropped(NOT_FINITE));
        }
        self.locate(&mut scratch.place, record, open);
        each(event(record, &scratch.place.group, &scratch.place.stream, &scratch.message));
    }

    fn raw(
        &self,
        scratch: &mut Scratch,
        record: &LogRecordView<'_>,
        open: Option<KeyValues<'_>>,
        each: &mut impl FnMut(Outcome<'_>),
    ) {
        let message = match record.body.as_str() {
            Some(text) => text,
            None => {
                scratch.message.clear();
                helper::text::write_value(&mut scratch.message, record.body);
                &scratch.message
            }
        };
        let destination = emf::destination(message);
        if destination.is_none() && self.emf_only {
            return each(Outcome::Dropped(NOT_EMF));
        }
        let named = destination.unwrap_or_default();
        if named.group.is_empty() || named.stream.is_empty() {
            self.locate(&mut scratch.place, record, open);
        }
        let group = or(&named.group, &scratch.place.group);
        let stream = or(&named.stream, &scratch.place.stream);
        each(event(record, group, stream, message));
    }

    /// Finds the place of a record where its resource leaves that open.
    fn locate(&self, place: &mut Place, record: &LogRecordView<'_>, open: Option<KeyValues<'_>>) {
        if let Some(resource) = open {
            self.names.of_record(place, resource, record.attributes());
        }
    }
}

/// The name that the body gives, or else the configured one.
fn or<'a>(named: &'a str, configured: &'a str) -> &'a str {
    if named.is_empty() { configured } else { named }
}

fn event<'a>(record: &LogRecordView<'_>, group: &'a str, stream: &'a str, message: &'a str) -> Outcome<'a> {
    // Any number of nanoseconds fits as milliseconds.
    let timestamp_ms = i64::try_from(record.time_unix_nano / 1_000_000).unwrap_or(i64::MAX);
    Outcome::Event { group, stream, timestamp_ms, message }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
