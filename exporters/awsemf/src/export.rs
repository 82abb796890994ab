//! The exporter: translates a batch and sends its events.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws::logs::{EventBatch, Events, GroupConfig, LogsError, Pusher, PusherConfig};
use component::{
    BoxError, Code, ConsumeError, Exporter, ExporterFactory, Host, Meta, Settings, Stability, async_trait,
};
use futures_util::StreamExt;
use helper::{ExporterConfig, RetryConfig, SendError, Sender};
use pdata::{Batch, Signal};
use regex::Regex;

use crate::config::{Config, Destination};
use crate::push::{Kept, Push};
use crate::telemetry::Telemetry;
use crate::translate::{Event, Translator};

/// How long throttling and failures that pass are waited out where `retry_on_failure` is off.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Sends batches as events.
struct EmfSender {
    translator: Mutex<Translator>,
    output: Output,
    telemetry: Telemetry,
}

enum Output {
    Stdout,
    CloudWatch(Box<CloudWatch>),
}

struct CloudWatch {
    config: Arc<Config>,
    pusher: PusherConfig,
    /// Made at start.
    started: OnceLock<Pusher>,
    kept: Arc<Kept>,
}

fn create(settings: Settings, config: Arc<Config>, signal: Signal) -> Result<Arc<dyn Exporter>, BoxError> {
    let telemetry = Telemetry::new(&settings);
    let retry = config.emf.retry_on_failure.as_ref().cloned();
    let retries = retry.as_ref().is_some_and(|retry| retry.enabled);
    let output = match config.emf.destination() {
        Destination::Stdout => Output::Stdout,
        Destination::CloudWatch => Output::CloudWatch(Box::new(CloudWatch {
            pusher: PusherConfig {
                group: GroupConfig {
                    retention_days: config.emf.log_retention,
                    tags: config.emf.tags.clone(),
                },
                patience: if retries { Duration::ZERO } else { PATIENCE },
                user_agent: user_agent(&settings, &config),
            },
            config: config.clone(),
            started: OnceLock::new(),
            kept: Kept::new(telemetry.clone()),
        })),
    };
    if config.emf.middleware.is_some() {
        tracing::warn!(exporter = %settings.id, "`middleware` has no effect");
    }
    let translator = Mutex::new(Translator::new(&config.emf)?);
    let exporter_config = ExporterConfig {
        queue: config.emf.sending_queue.clone(),
        retry: retry.unwrap_or_else(|| RetryConfig { enabled: false, ..RetryConfig::default() }),
        timeout: Some(config.emf.timeout.0).filter(|timeout| !timeout.is_zero()),
    };
    let sender = Arc::new(EmfSender { translator, output, telemetry });
    Ok(helper::exporter(&settings, signal, sender, exporter_config, Vec::new()))
}

/// What requests say about us: `otelcol-insights/1.2.3 (awsemf; ContainerInsights)`.
fn user_agent(settings: &Settings, config: &Config) -> String {
    let group = &config.emf.log_group_name;
    let mut words = vec!["awsemf"];
    if config.emf.namespace == "ApplicationSignals" && group.starts_with("/aws/application-signals/") {
        words.push("AppSignals");
    }
    let insights = Regex::new("^/aws/.*containerinsights/.*/(performance|prometheus)$");
    if insights.is_ok_and(|insights| insights.is_match(group)) {
        words.push("ContainerInsights");
    }
    format!("{}/{} ({})", settings.build.command, settings.build.version, words.join("; "))
}

#[async_trait]
impl Sender for EmfSender {
    async fn start(&self, _host: &Host) -> Result<(), BoxError> {
        let Output::CloudWatch(output) = &self.output else { return Ok(()) };
        let session = output.config.session.load().await?;
        tracing::debug!(region = session.region, "sending to CloudWatch Logs");
        // A second start finds the pusher of the first.
        let _ = output.started.set(Pusher::new(&session, output.pusher.clone()));
        Ok(())
    }

    async fn send(&self, batch: Batch) -> Result<(), SendError> {
        match &self.output {
            Output::Stdout => self.print(&batch).await,
            Output::CloudWatch(output) => self.push(output, batch).await,
        }
        .map_err(SendError::from)
    }
}

impl EmfSender {
    /// Writes every event as a line.
    async fn print(&self, batch: &Batch) -> Result<(), ConsumeError> {
        let mut lines = String::new();
        let mut events = 0;
        self.run(batch, now_ms(), |event| {
            lines.push_str(event.message);
            lines.push('\n');
            events += 1;
        });
        if lines.is_empty() {
            return Ok(());
        }
        // A reader may take its time.
        let written = tokio::task::spawn_blocking(move || {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush())
        });
        match written.await {
            Ok(Ok(())) => {
                self.telemetry.accepted(events, Default::default());
                Ok(())
            }
            Ok(Err(error)) => {
                self.telemetry.failed(events);
                Err(ConsumeError::permanent(format!("writing events to standard output failed: {error}")))
            }
            Err(error) => {
                self.telemetry.failed(events);
                Err(ConsumeError::permanent(format!("writing events to standard output failed: {error}")))
            }
        }
    }

    /// Sends the events of a batch, or what is left of them from an attempt before.
    async fn push(&self, output: &CloudWatch, batch: Batch) -> Result<(), ConsumeError> {
        let Some(pusher) = output.started.get() else {
            return Err(ConsumeError::retryable("the exporter is not started"));
        };
        let batches = output.kept.take(&batch).unwrap_or_else(|| self.translate(&batch));
        if batches.is_empty() {
            return Ok(());
        }
        let push = Push::new(output.kept.clone(), batch, batches);
        let failures: Vec<ConsumeError> = futures_util::stream::iter(push.batches())
            .map(|(at, events)| self.send_events(pusher, &push, at, events))
            .buffer_unordered(output.config.session.concurrency())
            .filter_map(std::future::ready)
            .collect()
            .await;
        ConsumeError::join(failures).map_or(Ok(()), Err)
    }

    async fn send_events(
        &self,
        pusher: &Pusher,
        push: &Push,
        at: usize,
        events: EventBatch,
    ) -> Option<ConsumeError> {
        let error = match pusher.send(&events).await {
            Ok(rejected) => {
                self.telemetry.accepted(events.len() as u64, rejected);
                push.settle(at);
                return None;
            }
            Err(error) => error,
        };
        let reason = format!(
            "PutLogEvents to log group {:?}, log stream {:?}: {error}",
            events.group(),
            events.stream()
        );
        Some(match error {
            LogsError::Throttled(_) => {
                ConsumeError::Retryable { reason, code: Some(Code::ResourceExhausted), after: None }
            }
            LogsError::Unavailable(_) => ConsumeError::retryable(reason),
            LogsError::NotFound(_) | LogsError::AlreadyExists(_) | LogsError::Permanent(_) => {
                self.telemetry.failed(events.len() as u64);
                push.settle(at);
                ConsumeError::permanent(reason)
            }
        })
    }

    fn translate(&self, batch: &Batch) -> Vec<EventBatch> {
        let now = now_ms();
        let mut events = Events::default();
        self.run(batch, now, |event| {
            events.push(event.group, event.stream, event.timestamp_ms, event.message, now);
        });
        let refused = events.refused();
        self.telemetry.refused(&refused);
        let aws::logs::Refused { too_old, too_new, truncated, .. } = refused;
        if too_old + too_new + truncated > 0 {
            tracing::warn!(too_old, too_new, truncated, "events outside the limits of CloudWatch Logs");
        }
        events.into_batches()
    }

    fn run(&self, batch: &Batch, now: i64, sink: impl FnMut(Event<'_>)) {
        let mut translator = self.translator.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = translator.translate(batch, now, sink);
        self.telemetry.translated(&dropped, translator.series());
    }
}

/// Unix time in milliseconds.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
