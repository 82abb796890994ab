//! Telemetry, retry, timeout and the attempt itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use component::telemetry::ExporterMetrics;
use component::{BoxError, Code, ConsumeError, Host};
use confmap::GoDuration;
use pdata::{Batch, Signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Backoff, Origin, RetryConfig, log};

/// What an exporter does itself: one attempt to send one batch.
#[async_trait]
pub trait Sender: Send + Sync + 'static {
    /// Connects, resolves, opens; before the first batch.
    async fn start(&self, _host: &Host) -> Result<(), BoxError> {
        Ok(())
    }

    /// Makes one attempt. The future is dropped when the attempt takes longer than the configured timeout.
    async fn send(&self, batch: Batch) -> Result<(), SendError>;

    /// Ends what `start` began; after the last batch. Also called when it was never started.
    async fn shutdown(&self, _deadline: Instant) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Why an attempt failed, and for what.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct SendError {
    /// What failed.
    #[source]
    pub error: ConsumeError,
    /// The part that was not delivered; `None` for all of it. Only this part is retried and counted as failed.
    pub remaining: Option<Batch>,
}

/// Sends batches one after another or at the same time, each with its retries.
pub(crate) struct Delivery {
    pub(crate) sender: Arc<dyn Sender>,
    pub(crate) origin: Origin,
    pub(crate) retry: RetryConfig,
    pub(crate) timeout: Option<Duration>,
    pub(crate) metrics: ExporterMetrics,
    pub(crate) signal: Signal,
    /// Whether what a shutdown interrupts is kept and comes again.
    pub(crate) keeps: bool,
    /// How many batches are in here, waits between attempts included.
    pub(crate) in_flight: Arc<AtomicU64>,
    /// No waits any more: every batch gets the attempt that runs, or one.
    pub(crate) stopped: CancellationToken,
    /// No attempts any more.
    pub(crate) expired: CancellationToken,
}

/// What was not delivered in the end.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ConsumeError,
    /// How many items.
    pub(crate) items: usize,
    /// Whether they come again after the next start, so that nothing is lost.
    pub(crate) kept: bool,
}

/// One batch in flight.
struct InFlight<'a>(&'a AtomicU64);

impl From<ConsumeError> for SendError {
    fn from(error: ConsumeError) -> Self {
        Self { error, remaining: None }
    }
}

impl Delivery {
    /// Sends a batch until it is delivered or given up, and counts the outcome.
    pub(crate) async fn deliver(&self, batch: Batch) -> Result<(), Failure> {
        let items = batch.items();
        let _in_flight = InFlight::enter(&self.in_flight);
        let result = self.send_with_retry(batch).await;
        let (unsent, kept) = match &result {
            Ok(()) => (0, false),
            Err(failure) => (failure.items, failure.kept),
        };
        self.metrics.sent(self.signal, items.saturating_sub(unsent), if kept { 0 } else { unsent });
        result
    }

    async fn send_with_retry(&self, mut batch: Batch) -> Result<(), Failure> {
        let mut retries = None;
        loop {
            let SendError { error, remaining } = match self.attempt(batch.clone()).await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            batch = remaining.unwrap_or(batch);
            if batch.is_empty() {
                return Ok(());
            }
            let items = batch.items();
            if self.keeps && self.expired.is_cancelled() && !error.is_permanent() {
                return Err(Failure { error: interrupted(error), items, kept: true });
            }
            if !self.retry.enabled {
                return Err(Failure { error, items, kept: false });
            }
            let retries = retries.get_or_insert_with(|| Retries::new(&self.retry));
            if let Err((error, interrupted)) = self.wait(retries, error).await {
                return Err(Failure { error, items, kept: self.keeps && interrupted });
            }
        }
    }

    async fn attempt(&self, batch: Batch) -> Result<(), SendError> {
        let send = async {
            match self.timeout.filter(|timeout| !timeout.is_zero()) {
                None => self.sender.send(batch).await,
                Some(timeout) => match tokio::time::timeout(timeout, self.sender.send(batch)).await {
                    Ok(result) => result,
                    Err(_) => Err(timed_out(timeout).into()),
                },
            }
        };
        tokio::select! {
            biased;
            () = self.expired.cancelled() => Err(ConsumeError::retryable("the shutdown deadline has passed").into()),
            result = send => result,
        }
    }

    /// Waits until the next attempt is due; an error means that there is none, and says whether a shutdown is the reason.
    async fn wait(&self, retries: &mut Retries, error: ConsumeError) -> Result<(), (ConsumeError, bool)> {
        if error.is_permanent() {
            return Err((wrap("not retryable error", error), false));
        }
        let Some(wait) = retries.next_wait(&error) else {
            return Err((wrap("no more retries left", error), false));
        };
        if self.stopped.is_cancelled() {
            return Err((interrupted(error), true));
        }
        let interval = GoDuration::from(confmap::Duration(wait));
        log!(info, self.origin, %error, %interval, "Exporting failed. Will retry the request after interval.");
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => Err((interrupted(error), true)),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

/// The waits of one batch, up to the time when it is given up.
struct Retries {
    backoff: Backoff,
    give_up: Option<Instant>,
}

impl Retries {
    fn new(config: &RetryConfig) -> Self {
        let limit = Some(config.max_elapsed_time.0).filter(|limit| !limit.is_zero());
        Self {
            backoff: Backoff::new(config),
            give_up: limit.and_then(|limit| Instant::now().checked_add(limit)),
        }
    }

    /// The next wait, at least what the refusing side asked for; `None` if it would pass the time to give up.
    fn next_wait(&mut self, error: &ConsumeError) -> Option<Duration> {
        let wait = self.backoff.next_wait().max(error.retry_after().unwrap_or_default());
        let next = Instant::now().checked_add(wait);
        let too_late = self.give_up.is_some_and(|give_up| next.is_none_or(|next| next > give_up));
        (!too_late).then_some(wait)
    }
}

impl<'a> InFlight<'a> {
    fn enter(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn timed_out(timeout: Duration) -> ConsumeError {
    ConsumeError::Retryable {
        reason: format!(
            "context deadline exceeded: no answer within {}",
            GoDuration::from(confmap::Duration(timeout))
        ),
        code: Some(Code::DeadlineExceeded),
        after: None,
    }
}

fn interrupted(error: ConsumeError) -> ConsumeError {
    wrap("interrupted due to shutdown", error)
}

/// The same error with words before its reason.
fn wrap(what: &str, error: ConsumeError) -> ConsumeError {
    match error {
        ConsumeError::Permanent { reason, code } => {
            ConsumeError::Permanent { reason: format!("{what}: {reason}"), code }
        }
        ConsumeError::Retryable { reason, code, after } => {
            ConsumeError::Retryable { reason: format!("{what}: {reason}"), code, after }
        }
    }
}
