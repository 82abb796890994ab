//! The `otlp_http` exporter: OTLP over HTTP.
//!
//! The batch goes out as the bytes that it is; with `encoding: json` it is rewritten once.

mod config;
mod response;
mod sender;

pub use config::{Config, Encoding};

use std::sync::Arc;

use component::{ExporterFactory, Meta, Stability};
use helper::ExporterConfig;

use crate::sender::HttpSender;

/// Makes `otlp_http` exporters.
pub fn factory() -> ExporterFactory {
    let meta = Meta {
        kind: "otlp_http",
        aliases: &[],
        deprecated_aliases: &["otlphttp"],
        signals: Stability::Stable.for_all_signals(),
    };
    ExporterFactory::new::<Config>(meta, |settings, config, signal| {
        let url = config.url(signal)?;
        let exporter = ExporterConfig {
            queue: config.sending_queue.clone(),
            retry: config.retry_on_failure.clone(),
            // The client limits the whole exchange.
            timeout: None,
        };
        let server = config::server_attributes(&url);
        let sender = Arc::new(HttpSender::new(&settings, config, signal, url));
        Ok(helper::exporter(&settings, signal, sender, exporter, server))
    })
}
