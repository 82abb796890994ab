//! The exporter: translates batches and hands their events to CloudWatch Logs, standard output or a file.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws::logs::{Events, GroupConfig, Pusher, PusherConfig, user_agent};
use component::{
    BoxError, Component, ConsumeError, Consumer, Exporter, ExporterFactory, Host, Meta, Settings, Stability,
    async_trait,
};
use helper::{ExporterConfig, RetryConfig, SendError, Sender};
use pdata::{Batch, Signal};
use tokio::time::Instant;

use crate::config::{Config, Destination};
use crate::lines::{Lines, Output};
use crate::telemetry::Telemetry;
use crate::translate::{EventSink, Translator};

/// Makes `awsemf` exporters.
pub fn factory() -> ExporterFactory {
    ExporterFactory::new(
        Meta {
            kind: "awsemf",
            aliases: &[],
            deprecated_aliases: &[],
            signals: &[(Signal::Metrics, Stability::Beta)],
        },
        create,
    )
}

fn create(settings: Settings, config: Arc<Config>, signal: Signal) -> Result<Arc<dyn Exporter>, BoxError> {
    if config.emf.middleware.is_some() {
        tracing::warn!(exporter = %settings.id, "`middleware` has no effect");
    }
    let escaped = config.emf.destination() == Destination::CloudWatch;
    let translation = Translation {
        translator: Mutex::new(Translator::new(&config.emf, escaped)?),
        telemetry: Telemetry::new(&settings),
    };
    let output = match config.emf.destination() {
        Destination::CloudWatch => {
            let pusher = Pusher::new(&settings, signal, pusher_config(&settings, &config));
            return Ok(Arc::new(CloudWatch { translation, pusher }));
        }
        Destination::Stdout => Output::Stdout,
        Destination::File => Output::file(config.emf.output_file.as_ref()),
    };
    let retry = config.emf.retry_on_failure.as_ref().cloned();
    let exporter_config = ExporterConfig {
        queue: config.emf.sending_queue.clone(),
        retry: retry.unwrap_or_else(|| RetryConfig { enabled: false, ..RetryConfig::default() }),
        timeout: None,
    };
    let sender = Arc::new(LineSender { translation, output, writing: tokio::sync::Mutex::default() });
    Ok(helper::exporter(&settings, signal, sender, exporter_config, Vec::new()))
}

fn pusher_config(settings: &Settings, config: &Config) -> PusherConfig {
    PusherConfig {
        component: "awsemf",
        session: config.session.clone(),
        group: GroupConfig { retention_days: config.emf.log_retention, tags: config.emf.tags.clone() },
        queue: config.emf.sending_queue.clone(),
        retry: config.emf.retry_on_failure.as_ref().cloned().unwrap_or_else(default_retry),
        timeout: Some(config.emf.timeout.0).filter(|timeout| !timeout.is_zero()),
        user_agent: user_agent(settings, "awsemf", application_signals(config), &config.emf.log_group_name),
        max_event_bytes: config.emf.max_event_bytes,
        // Cumulative values are compared with those of the push before.
        serial: true,
    }
}

/// Retries where `retry_on_failure` is not written: soon at first, and for as long as the events wait.
fn default_retry() -> RetryConfig {
    RetryConfig {
        initial_interval: confmap::Duration::from_millis(200),
        multiplier: 2.0,
        max_elapsed_time: confmap::Duration::ZERO,
        ..RetryConfig::default()
    }
}

/// The word that upstream adds to the user agent of Application Signals.
fn application_signals(config: &Config) -> &'static [&'static str] {
    let is = config.emf.namespace == "ApplicationSignals"
        && config.emf.log_group_name.starts_with("/aws/application-signals/");
    if is { &["AppSignals"] } else { &[] }
}

/// Batches become events, one after another: cumulative values are compared with those of the batch before.
struct Translation {
    translator: Mutex<Translator>,
    telemetry: Telemetry,
}

impl Translation {
    fn run(&self, batch: &Batch, now_ms: i64, sink: &mut impl EventSink) {
        let mut translator = self.translator.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = translator.translate(batch, now_ms, sink);
        self.telemetry.translated(&dropped, &translator);
    }
}

/// Events go to CloudWatch Logs.
struct CloudWatch {
    translation: Translation,
    pusher: Arc<Pusher>,
}

#[async_trait]
impl Component for CloudWatch {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        self.pusher.start(host).await
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        self.pusher.shutdown(deadline).await
    }
}

#[async_trait]
impl Consumer for CloudWatch {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let make = |batch: &Batch, events: &mut Events<'_>| {
            self.translation.run(batch, events.now_ms(), &mut Escaped(events));
        };
        self.pusher.push(batch, &make).await
    }
}

/// Events written as they stand in a request.
struct Escaped<'e, 'h>(&'e mut Events<'h>);

impl EventSink for Escaped<'_, '_> {
    const ESCAPED: bool = true;

    fn max_event_bytes(&self) -> Option<usize> {
        Some(self.0.max_event_bytes())
    }

    fn is_exhausted(&self) -> bool {
        self.0.is_exhausted()
    }

    fn begin(&mut self, group: &str, stream: &str, timestamp_ms: i64, items: u32) -> Option<&mut String> {
        self.0.begin(group, stream, timestamp_ms, items)
    }

    fn end(&mut self, plain_len: usize) -> bool {
        self.0.end(plain_len)
    }
}

/// Events are lines of text.
struct LineSender {
    translation: Translation,
    output: Output,
    /// Held while a batch is written, which may take as long as the reader of the lines takes.
    writing: tokio::sync::Mutex<()>,
}

/// Batches up to this size are translated where they arrive, which takes some milliseconds; larger ones hold no worker of the
/// runtime.
const MAX_INLINE_BYTES: usize = 1 << 20;

#[async_trait]
impl Sender for LineSender {
    async fn start(&self, _host: &Host) -> Result<(), BoxError> {
        self.output.open()
    }

    async fn send(&self, batch: Batch) -> Result<(), SendError> {
        let _writing = self.writing.lock().await;
        let mut lines = Lines::new(&self.output, batch.encoded_len());
        let mut translate = || self.translation.run(&batch, now_ms(), &mut lines);
        if batch.encoded_len() > MAX_INLINE_BYTES {
            helper::blocking(translate)
        } else {
            translate()
        }
        let result = lines.flush();
        self.translation.telemetry.written(lines.written);
        self.translation.telemetry.failed(lines.failed);
        result.map_err(SendError::from)
    }
}

/// Unix time in milliseconds.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
