//! OTLP/gRPC.

use component::Code;
use net::{Call, Method, Status, UnaryReply, Unknown, otlp};
use pdata::{Batch, Signal};

use crate::intake::Intake;

/// The three services, each with one method.
pub(crate) struct Methods {
    intake: Intake,
}

impl Methods {
    pub(crate) fn new(intake: Intake) -> Self {
        Self { intake }
    }
}

impl Method for Methods {
    type Route = Signal;

    fn route(&self, service: &str, method: &str) -> Result<Signal, Unknown> {
        let signal = match service {
            "opentelemetry.proto.collector.metrics.v1.MetricsService" => Signal::Metrics,
            "opentelemetry.proto.collector.logs.v1.LogsService" => Signal::Logs,
            "opentelemetry.proto.collector.trace.v1.TraceService" => Signal::Traces,
            _ => return Err(Unknown::Service),
        };
        if !self.intake.takes(signal) {
            return Err(Unknown::Service);
        }
        if method == "Export" { Ok(signal) } else { Err(Unknown::Method) }
    }

    async fn call(&self, signal: Signal, call: Call) -> UnaryReply {
        let batch = Batch::from_protobuf(signal, call.message).map_err(|error| {
            Status::new(Code::Internal, format!("grpc: error unmarshalling request: {error}"))
        })?;
        let authority = call.authority.as_ref().map(|authority| authority.as_str());
        let client = net::client_info(call.peer, &call.headers, authority, self.intake.include_metadata);
        self.intake.deliver(batch, client).await?;
        Ok(otlp::response(signal))
    }
}
