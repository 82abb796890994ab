//! The `otlp_grpc` exporter: OTLP over gRPC.
//!
//! The batch goes out as the bytes that it is; nothing is decoded.

mod config;
mod sender;

pub use config::Config;

use std::sync::Arc;

use component::{ExporterFactory, Meta, Stability};
use helper::ExporterConfig;

use crate::sender::GrpcSender;

/// Makes `otlp_grpc` exporters.
pub fn factory() -> ExporterFactory {
    let meta = Meta {
        kind: "otlp_grpc",
        aliases: &[],
        deprecated_aliases: &["otlp"],
        signals: Stability::Stable.for_all_signals(),
    };
    ExporterFactory::new::<Config>(meta, |settings, config, signal| {
        let exporter = ExporterConfig {
            queue: config.sending_queue.clone(),
            retry: config.retry_on_failure.clone(),
            timeout: config.timeout.limit(),
        };
        let server = config.server_attributes();
        let sender = Arc::new(GrpcSender::new(&settings, config, signal));
        Ok(helper::exporter(&settings, signal, sender, exporter, server))
    })
}
