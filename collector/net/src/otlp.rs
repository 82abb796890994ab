//! What OTLP exporters have in common: names of services and paths, partial success.

use component::BuildInfo;
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

/// What a server did not take of a request that it took: the same message for every signal.
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// Rejected data points, log records or spans.
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    /// Why, or advice where nothing was rejected.
    #[prost(string, tag = "2")]
    pub message: String,
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

impl PartialSuccess {
    /// Reads an `Export…ServiceResponse`; `None` for full success.
    ///
    /// # Errors
    /// The bytes are not such a response.
    pub fn from_protobuf(response: &[u8]) -> Result<Option<Self>, String> {
        let response = ExportResponse::decode(response).map_err(|error| error.to_string())?;
        Ok(response.partial_success.and_then(Self::if_partial))
    }

    /// Reads an `Export…ServiceResponse` in JSON; `None` for full success.
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
        let response = ExportResponse { partial_success: Some(partial.clone()) }.encode_to_vec();
        assert_eq!(PartialSuccess::from_protobuf(&response), Ok(Some(partial.clone())));
        assert_eq!(PartialSuccess::from_protobuf(b""), Ok(None));
        assert_eq!(PartialSuccess::from_protobuf(&[0x0a, 0x00]), Ok(None));
        assert!(PartialSuccess::from_protobuf(b"\xff").is_err());
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
