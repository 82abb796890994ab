//! The `debug` exporter: telemetry for a person's eyes.
//!
//! See the `README.md` for the options and the shapes of the output.

mod config;
mod detailed;
mod detailed_metrics;
mod exporter;
mod go;
mod normal;
mod output;
mod sampler;

use component::{ExporterFactory, Meta, Stability};
use helper::{ExporterConfig, Origin, RetryConfig};

pub use config::{Config, Verbosity};
use exporter::Printer;

/// The factory of the `debug` exporter.
pub fn factory() -> ExporterFactory {
    let meta = Meta {
        kind: "debug",
        aliases: &[],
        deprecated_aliases: &[],
        signals: Stability::Alpha.for_all_signals(),
    };
    ExporterFactory::new::<Config>(meta, |settings, config, signal| {
        let exporter = ExporterConfig {
            queue: config.sending_queue.clone(),
            retry: RetryConfig { enabled: false, ..RetryConfig::default() },
            timeout: None,
        };
        let printer = std::sync::Arc::new(Printer::new(&config, Origin::new(&settings, signal)));
        Ok(helper::exporter(&settings, signal, printer, exporter, Vec::new()))
    })
}
