//! Writes batches as text.

use async_trait::async_trait;
use component::{BoxError, ConsumeError, Host};
use helper::{Origin, SendError, Sender, log};
use pdata::{Batch, Signal, logs, metrics, traces};
use tokio::time::Instant;

use crate::output::Output;
use crate::sampler::Sampler;
use crate::{Config, Verbosity, detailed, normal};

/// Writes each batch to the log or to the outputs.
pub(crate) struct Printer {
    origin: Origin,
    verbosity: Verbosity,
    sampler: Sampler,
    /// Empty for the collector's own log.
    output_paths: Vec<String>,
    output: Output,
}

/// What a batch holds.
enum Counts {
    Metrics { resources: usize, metrics: usize, points: usize },
    Logs { resources: usize, records: usize },
    Traces { resources: usize, spans: usize },
}

impl Printer {
    pub(crate) fn new(config: &Config, origin: Origin) -> Self {
        let paths = if config.use_internal_logger { &[][..] } else { &config.output_paths };
        Self {
            origin,
            verbosity: config.verbosity,
            sampler: Sampler::new(config.sampling_initial, config.sampling_thereafter),
            output_paths: paths.to_vec(),
            output: Output::default(),
        }
    }

    fn print(&self, batch: &Batch) -> std::io::Result<()> {
        let counts = Counts::of(batch);
        if self.sampler.passes(counts.message()) {
            self.print_counts(&counts)?;
        }
        let text = match self.verbosity {
            Verbosity::Basic => return Ok(()),
            Verbosity::Normal => normal::text(batch),
            Verbosity::Detailed => detailed::text(batch),
        };
        if !self.sampler.passes(&text) {
            return Ok(());
        }
        if self.is_log() {
            log!(info, self.origin, "{text}");
            return Ok(());
        }
        self.output.line(&text)
    }

    fn print_counts(&self, counts: &Counts) -> std::io::Result<()> {
        if self.is_log() {
            counts.log(&self.origin);
            return Ok(());
        }
        self.output.line(&counts.line())
    }

    fn is_log(&self) -> bool {
        self.output_paths.is_empty()
    }
}

#[async_trait]
impl Sender for Printer {
    async fn start(&self, _host: &Host) -> Result<(), BoxError> {
        Ok(self.output.open(&self.output_paths)?)
    }

    async fn send(&self, batch: Batch) -> Result<(), SendError> {
        self.print(&batch)
            .map_err(|error| ConsumeError::permanent(format!("cannot write output: {error}")).into())
    }

    async fn shutdown(&self, _deadline: Instant) -> Result<(), BoxError> {
        self.output.close();
        Ok(())
    }
}

impl Counts {
    fn of(batch: &Batch) -> Self {
        let items = batch.items();
        match batch.signal() {
            Signal::Metrics => {
                let scopes = metrics::resources(batch).flat_map(|resource| resource.scopes());
                let metrics = scopes.map(|scope| scope.metrics().count()).sum();
                Self::Metrics { resources: metrics::resources(batch).count(), metrics, points: items }
            }
            Signal::Logs => Self::Logs { resources: logs::resources(batch).count(), records: items },
            Signal::Traces => Self::Traces { resources: traces::resources(batch).count(), spans: items },
        }
    }

    fn message(&self) -> &'static str {
        match self {
            Self::Metrics { .. } => "Metrics",
            Self::Logs { .. } => "Logs",
            Self::Traces { .. } => "Traces",
        }
    }

    fn log(&self, origin: &Origin) {
        match *self {
            Self::Metrics { resources, metrics, points } => {
                log!(
                    info,
                    origin,
                    "resource metrics" = resources,
                    "metrics" = metrics,
                    "data points" = points,
                    "Metrics"
                );
            }
            Self::Logs { resources, records } => {
                log!(info, origin, "resource logs" = resources, "log records" = records, "Logs");
            }
            Self::Traces { resources, spans } => {
                log!(info, origin, "resource spans" = resources, "spans" = spans, "Traces");
            }
        }
    }

    fn line(&self) -> String {
        let message = self.message();
        match *self {
            Self::Metrics { resources, metrics, points } => format!(
                "{message}\t{{\"resource metrics\": {resources}, \"metrics\": {metrics}, \"data points\": {points}}}"
            ),
            Self::Logs { resources, records } => {
                format!("{message}\t{{\"resource logs\": {resources}, \"log records\": {records}}}")
            }
            Self::Traces { resources, spans } => {
                format!("{message}\t{{\"resource spans\": {resources}, \"spans\": {spans}}}")
            }
        }
    }
}
