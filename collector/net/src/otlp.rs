//! What OTLP exporters have in common: names of services and paths, partial success.

use bytes::Bytes;
use component::BuildInfo;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use pdata::Signal;
use prost::Message;

/// `/service/method` of a signal's `Export` over gRPC.
pub fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

/// The path of a signal over HTTP.
pub fn http_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/v1/metrics",
        Signal::Logs => "/v1/logs",
        Signal::Traces => "/v1/traces",
    }
}

/// The `Export…ServiceResponse` of full success, with the empty `partial_success` that upstream puts there.
pub fn response(signal: Signal) -> Bytes {
    let response = match signal {
        Signal::Metrics => {
            let partial_success = Some(ExportMetricsPartialSuccess::default());
            ExportMetricsServiceResponse { partial_success }.encode_to_vec()
        }
        Signal::Logs => {
            let partial_success = Some(ExportLogsPartialSuccess::default());
            ExportLogsServiceResponse { partial_success }.encode_to_vec()
        }
        Signal::Traces => {
            let partial_success = Some(ExportTracePartialSuccess::default());
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        }
    };
    response.into()
}

/// What a server did not take of a request that it took, the same for every signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialSuccess {
    /// Rejected data points, log records or spans.
    pub rejected: i64,
    /// Why, or advice where nothing was rejected.
    pub message: String,
}

impl PartialSuccess {
    /// Reads an `Export…ServiceResponse`; `None` for full success.
    ///
    /// # Errors
    /// The bytes are not such a response.
    pub fn from_protobuf(response: &[u8], signal: Signal) -> Result<Option<Self>, prost::DecodeError> {
        let partial = match signal {
            Signal::Metrics => ExportMetricsServiceResponse::decode(response)?
                .partial_success
                .map(|partial| (partial.rejected_data_points, partial.error_message)),
            Signal::Logs => ExportLogsServiceResponse::decode(response)?
                .partial_success
                .map(|partial| (partial.rejected_log_records, partial.error_message)),
            Signal::Traces => ExportTraceServiceResponse::decode(response)?
                .partial_success
                .map(|partial| (partial.rejected_spans, partial.error_message)),
        };
        Ok(partial.and_then(|(rejected, message)| Self { rejected, message }.if_partial()))
    }

    /// Reads an `Export…ServiceResponse` in JSON, where numbers may be strings; `None` for full success.
    ///
    /// # Errors
    /// The text is not such a response.
    pub fn from_json(response: &[u8], signal: Signal) -> Result<Option<Self>, String> {
        let response: serde_json::Value =
            serde_json::from_slice(response).map_err(|error| error.to_string())?;
        if !response.is_object() {
            return Err("not an object".into());
        }
        let field = match signal {
            Signal::Metrics => "rejectedDataPoints",
            Signal::Logs => "rejectedLogRecords",
            Signal::Traces => "rejectedSpans",
        };
        let Some(partial) = response.get("partialSuccess") else { return Ok(None) };
        let rejected = match partial.get(field) {
            Some(serde_json::Value::String(digits)) => digits.parse().unwrap_or(0),
            Some(number) => number.as_i64().unwrap_or(0),
            None => 0,
        };
        let message = partial.get("errorMessage").and_then(|message| message.as_str()).unwrap_or_default();
        Ok(Self { rejected, message: message.to_owned() }.if_partial())
    }

    /// Warns. What is rejected here counts as sent and is never sent again.
    pub fn warn(&self, signal: Signal) {
        const TEXT: &str = "Partial success response";
        let (message, rejected) = (self.message.as_str(), self.rejected);
        match signal {
            Signal::Metrics => tracing::warn!(reason = message, dropped_data_points = rejected, "{TEXT}"),
            Signal::Logs => tracing::warn!(reason = message, dropped_log_records = rejected, "{TEXT}"),
            Signal::Traces => tracing::warn!(reason = message, dropped_spans = rejected, "{TEXT}"),
        }
    }

    fn if_partial(self) -> Option<Self> {
        (self.rejected != 0 || !self.message.is_empty()).then_some(self)
    }
}

/// What clients call themselves unless configured otherwise: `description/version (os/arch)` with Go's names.
pub fn user_agent(build: &BuildInfo) -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{} ({}/{arch})", build.description, build.version, std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_success() {
        let partial = PartialSuccess { rejected: 3, message: "too old".into() };
        for signal in Signal::ALL {
            let check = |response: &[u8], expected: Option<&PartialSuccess>| {
                assert_eq!(
                    PartialSuccess::from_protobuf(response, signal),
                    Ok(expected.cloned()),
                    "{signal}"
                );
            };
            check(b"\x0a\x0b\x08\x03\x12\x07too old", Some(&partial));
            check(b"", None);
            check(&response(signal), None);
            assert_eq!(response(signal), b"\x0a\x00"[..]);
            assert!(PartialSuccess::from_protobuf(b"\xff", signal).is_err());
        }
        let check = |json: &str, expected: Result<Option<PartialSuccess>, ()>| {
            let got = PartialSuccess::from_json(json.as_bytes(), Signal::Traces);
            assert_eq!(got.map_err(|_| ()), expected, "{json}");
        };
        check(
            r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#,
            Ok(Some(partial.clone())),
        );
        check(r#"{"partialSuccess":{"rejectedSpans":3,"errorMessage":"too old"}}"#, Ok(Some(partial)));
        check(r#"{"partialSuccess":{}}"#, Ok(None));
        check("{}", Ok(None));
        check("", Err(()));
        check("[]", Err(()));
    }
}
