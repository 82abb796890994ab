//! Rewrites requests that are valid but encoded as no OTLP implementation encodes them.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::wire::{FieldValue, Fields, put_bytes, put_message};
use crate::{InvalidPayload, Signal};

/// Decodes into owned structs and encodes again. Unknown fields are dropped, as upstream drops them.
pub(crate) fn rewrite(signal: Signal, bytes: &[u8]) -> Result<Vec<u8>, InvalidPayload> {
    match signal {
        Signal::Metrics => through::<ExportMetricsServiceRequest>(bytes),
        Signal::Logs => through::<ExportLogsServiceRequest>(bytes),
        Signal::Traces => through::<ExportTraceServiceRequest>(bytes),
    }
}

fn through<M: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, InvalidPayload> {
    M::decode(renumber_scopes(bytes).as_slice())
        .map(|request| request.encode_to_vec())
        .map_err(|error| InvalidPayload::new(String::new(), None, error.to_string()))
}

/// Gives scopes that stand in the field of the former instrumentation library (1000) today's number (2). The messages
/// have the same shape otherwise. Bytes behind anything unreadable stay as they are, for the decoder to refuse.
fn renumber_scopes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut entries = Fields::new(bytes);
    let mut copied = 0;
    while let Some((number, value)) = entries.next() {
        match value {
            FieldValue::Len(entry) if number == 1 => {
                put_message(&mut out, 1, |out| renumber_entry(out, entry))
            }
            _ => out.extend_from_slice(bytes.get(copied..entries.position()).unwrap_or_default()),
        }
        copied = entries.position();
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    out
}

fn renumber_entry(out: &mut Vec<u8>, entry: &[u8]) {
    let mut fields = Fields::new(entry);
    let mut copied = 0;
    while let Some((number, value)) = fields.next() {
        match value {
            FieldValue::Len(scope) if number == 1000 => put_bytes(out, 2, scope),
            _ => out.extend_from_slice(entry.get(copied..fields.position()).unwrap_or_default()),
        }
        copied = fields.position();
    }
    out.extend_from_slice(entry.get(copied..).unwrap_or_default());
}
