//! Sends batches of events, making what they need and waiting out what passes.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::client::{Client, LogsError, Rejected};
use super::event::EventBatch;
use crate::Session;

/// The first wait, before jitter.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait, before jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often a stream is made for one batch: somebody may delete it in between.
const CREATIONS: usize = 3;

/// What groups that the pusher makes are given.
#[derive(Debug, Clone, Default)]
pub struct GroupConfig {
    /// Days that events are kept; 0 for ever.
    pub retention_days: i64,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
}

/// How a pusher works.
#[derive(Debug, Clone)]
pub struct PusherConfig {
    /// For groups that do not exist.
    pub group: GroupConfig,
    /// How long throttling and failures that pass are waited out, per batch; zero for not at all.
    pub patience: Duration,
    /// What the user agent ends with: `otelcol-insights/1.2.3 (awsemf)`.
    pub user_agent: String,
}

/// Sends batches of events to CloudWatch Logs.
#[derive(Debug)]
pub struct Pusher {
    client: Client,
    config: PusherConfig,
    random: RandomState,
}

impl Pusher {
    /// A pusher over a session.
    pub fn new(session: &Session, config: PusherConfig) -> Self {
        Self { client: Client::new(session, config.user_agent.clone()), config, random: RandomState::new() }
    }

    /// Sends a batch. Events that the service accepted the request without are counted and logged.
    ///
    /// # Errors
    /// What no patience can mend, or what lasted longer.
    pub async fn send(&self, batch: &EventBatch) -> Result<Rejected, LogsError> {
        let give_up = Instant::now() + self.config.patience;
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.attempt(batch).await {
                Ok(rejected) => {
                    log_rejected(batch, rejected);
                    return Ok(rejected);
                }
                Err(error) => error,
            };
            let pause = self.jitter(wait);
            if !error.is_passing() || Instant::now() + pause > give_up {
                return Err(error);
            }
            tracing::debug!(%error, group = batch.group(), stream = batch.stream(), ?pause, "PutLogEvents failed, waiting");
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// One round: the stream is made where it is missing.
    async fn attempt(&self, batch: &EventBatch) -> Result<Rejected, LogsError> {
        let mut creations = 0;
        loop {
            match self.client.put_events(batch).await {
                Err(LogsError::NotFound(_)) if creations < CREATIONS => {
                    creations += 1;
                    self.create(batch.group(), batch.stream()).await?;
                }
                // A group that was just made may take a moment until it is seen everywhere.
                Err(LogsError::NotFound(text)) => return Err(LogsError::Unavailable(text)),
                result => return result,
            }
        }
    }

    /// Makes a stream, and its group if that is missing. Losing a race for either is success.
    async fn create(&self, group: &str, stream: &str) -> Result<(), LogsError> {
        match self.client.create_stream(group, stream).await {
            Err(LogsError::NotFound(_)) => {}
            result => return existing_is_fine(result),
        }
        let created = self.client.create_group(group, self.config.group.tags.as_ref()).await;
        match created {
            Ok(()) => {
                tracing::info!(group, "created the log group");
                self.retain(group).await;
            }
            result => existing_is_fine(result)?,
        }
        existing_is_fine(self.client.create_stream(group, stream).await)
    }

    /// Sets the retention of a group that was just made. Events matter more than how long they are kept: a failure is
    /// logged only.
    async fn retain(&self, group: &str) {
        let Some(days) = i32::try_from(self.config.group.retention_days).ok().filter(|&days| days > 0) else {
            return;
        };
        if let Err(error) = self.client.put_retention(group, days).await {
            tracing::error!(%error, group, days, "setting the retention of the log group failed");
        }
    }

    /// From half of a wait to all of it.
    fn jitter(&self, wait: Duration) -> Duration {
        let random = self.random.hash_one(std::time::Instant::now()) >> 11;
        wait.mul_f64(0.5 + 0.5 * (random as f64 / (1_u64 << 53) as f64))
    }
}

fn existing_is_fine(result: Result<(), LogsError>) -> Result<(), LogsError> {
    match result {
        Err(LogsError::AlreadyExists(_)) => Ok(()),
        result => result,
    }
}

fn log_rejected(batch: &EventBatch, rejected: Rejected) {
    let Rejected { too_old, too_new, expired } = rejected;
    if rejected != Rejected::default() {
        let (group, stream) = (batch.group(), batch.stream());
        tracing::warn!(group, stream, too_old, too_new, expired, "CloudWatch Logs rejected events");
    }
}
