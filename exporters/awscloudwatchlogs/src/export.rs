//! The exporter: converts batches and hands their events to CloudWatch Logs.

use std::sync::Arc;

use aws::logs::{Events, GroupConfig, Pusher, PusherConfig, user_agent};
use component::{
    BoxError, Component, ConsumeError, Consumer, Exporter, ExporterFactory, Host, Meta, Settings, Stability,
    async_trait,
};
use pdata::{Batch, Signal};
use tokio::time::Instant;

use crate::config::Config;
use crate::convert::{Converter, Outcome};

/// The type of the exporter.
const KIND: &str = "awscloudwatchlogs";

/// Makes `awscloudwatchlogs` exporters.
pub fn factory() -> ExporterFactory {
    ExporterFactory::new(
        Meta {
            kind: KIND,
            aliases: &[],
            deprecated_aliases: &[],
            signals: &[(Signal::Logs, Stability::Beta)],
        },
        create,
    )
}

fn create(settings: Settings, config: Arc<Config>, signal: Signal) -> Result<Arc<dyn Exporter>, BoxError> {
    if config.logs.middleware.is_some() {
        tracing::warn!(exporter = %settings.id, "`middleware` has no effect");
    }
    let converter = Converter::new(&config.logs)?;
    let pusher = Pusher::new(&settings, signal, pusher_config(&settings, &config));
    Ok(Arc::new(LogsExporter { converter, pusher }))
}

fn pusher_config(settings: &Settings, config: &Config) -> PusherConfig {
    PusherConfig {
        component: KIND,
        session: config.session.clone(),
        group: GroupConfig { retention_days: config.logs.log_retention, tags: config.logs.tags.clone() },
        queue: config.logs.sending_queue.clone(),
        retry: config.logs.retry_on_failure.clone(),
        timeout: Some(config.logs.timeout.0).filter(|timeout| !timeout.is_zero()),
        user_agent: user_agent(settings, KIND, &[], &config.logs.log_group_name),
        max_event_bytes: config.logs.max_event_bytes(),
        serial: false,
    }
}

/// Sends log records to CloudWatch Logs.
struct LogsExporter {
    converter: Converter,
    pusher: Arc<Pusher>,
}

#[async_trait]
impl Component for LogsExporter {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        self.pusher.start(host).await
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        self.pusher.shutdown(deadline).await
    }
}

#[async_trait]
impl Consumer for LogsExporter {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let make = |batch: &Batch, events: &mut Events<'_>| {
            self.converter.convert(batch, |outcome| match outcome {
                Outcome::Event { group, stream, timestamp_ms, message } => {
                    events.push(group, stream, timestamp_ms, message, 1);
                }
                Outcome::Dropped(reason) => events.drop_items(reason, 1),
            });
        };
        self.pusher.push(batch, &make).await
    }
}
