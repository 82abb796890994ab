//! Joins the requests of one combination of metadata values and sends them.

use std::sync::Arc;
use std::time::Duration;

use component::{ConsumeError, Consumer};
use confmap::GoDuration;
use helper::{Backoff, Origin, RetryConfig, log};
use pdata::{Batch, ClientInfo, Signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::Config;
use crate::telemetry::{Loss, Telemetry, Trigger};

/// How long a batch is offered to the next stage again and again: the default of `retry_on_failure`. When that was in
/// vain, each batch is offered once, until one is accepted: a dead exporter must not stall its healthy neighbours for ever.
const GIVE_UP: Duration = Duration::from_secs(300);

/// When batches are sent, and how large they are.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) signal: Signal,
    /// `None` for sending every request at once.
    timeout: Option<Duration>,
    size: usize,
    max_size: usize,
}

/// The orders at shutdown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Until when refused batches are offered again.
    retry_until: Instant,
    /// When everything ends.
    deadline: Instant,
}

pub(crate) struct Shard {
    limits: Limits,
    client: Option<Arc<ClientInfo>>,
    input: mpsc::Receiver<Batch>,
    stop: watch::Receiver<Option<Stop>>,
    next: Arc<dyn Consumer>,
    telemetry: Arc<Telemetry>,
    origin: Origin,
    pending: Batch,
    /// The next stage refused a batch for so long that it was given up, and has accepted nothing since.
    gave_up: bool,
    /// The beginning of the timer's intervals.
    timer: Instant,
}

impl Limits {
    pub(crate) fn new(config: &Config, signal: Signal) -> Self {
        let size = config.send_batch_size as usize;
        let max_size = match config.send_batch_max_size {
            0 => usize::MAX,
            max => max as usize,
        };
        let timeout = Some(config.timeout.0).filter(|timeout| !timeout.is_zero() && size > 0);
        Self { signal, timeout, size, max_size }
    }
}

impl Stop {
    /// Retries may take half of the time: the stages behind need some to drain.
    pub(crate) fn by(deadline: Instant) -> Self {
        let now = Instant::now();
        Self { retry_until: now + deadline.saturating_duration_since(now) / 2, deadline }
    }
}

impl Shard {
    pub(crate) fn new(
        limits: Limits,
        client: Option<Arc<ClientInfo>>,
        input: mpsc::Receiver<Batch>,
        stop: watch::Receiver<Option<Stop>>,
        next: Arc<dyn Consumer>,
        telemetry: Arc<Telemetry>,
        origin: Origin,
    ) -> Self {
        let pending = Batch::empty(limits.signal);
        Self {
            limits,
            client,
            input,
            stop,
            next,
            telemetry,
            origin,
            pending,
            gave_up: false,
            timer: Instant::now(),
        }
    }

    /// Runs until shutdown; then hands on everything that is held.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = wait_until(self.due()) => self.on_timer().await,
                batch = self.input.recv() => match batch {
                    Some(batch) => self.add(batch).await,
                    None => break,
                },
                // Also when the processor is gone without a shutdown.
                () = ordered(&mut stop), if !self.input.is_closed() => self.input.close(),
            }
        }
        while !self.pending.is_empty() {
            self.send_first(Trigger::Timeout).await;
        }
    }

    /// When the timer strikes next. It strikes at fixed intervals, but only matters while something is held.
    fn due(&self) -> Option<Instant> {
        let timeout = self.limits.timeout?;
        (!self.pending.is_empty()).then(|| self.timer + timeout)
    }

    async fn on_timer(&mut self) {
        self.send_first(Trigger::Timeout).await;
        self.timer = Instant::now();
    }

    async fn add(&mut self, batch: Batch) {
        if self.pending.is_empty() {
            self.catch_up();
        }
        if let Err(stranger) = self.pending.append(batch) {
            // A batch of another signal cannot be joined; the next stage may know what to do.
            self.send(stranger, Trigger::Size).await;
        }
        let mut sent = false;
        while !self.pending.is_empty()
            && (self.limits.timeout.is_none() || self.pending.items() >= self.limits.size)
        {
            self.send_first(Trigger::Size).await;
            sent = true;
        }
        if sent {
            self.timer = Instant::now();
        }
    }

    /// Moves the timer over the strikes that found nothing.
    fn catch_up(&mut self) {
        let Some(timeout) = self.limits.timeout else { return };
        let passed = self.timer.elapsed().as_nanos() / timeout.as_nanos().max(1);
        let passed = timeout.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX));
        self.timer = self.timer.checked_add(passed).unwrap_or(self.timer);
    }

    /// Sends the first batch of what is held.
    async fn send_first(&mut self, trigger: Trigger) {
        let batch = if self.pending.items() > self.limits.max_size {
            self.pending.split_off_first(self.limits.max_size)
        } else {
            std::mem::replace(&mut self.pending, Batch::empty(self.limits.signal))
        };
        self.send(batch, trigger).await;
    }

    /// Hands a batch on, waiting while the next stage refuses it for now.
    async fn send(&mut self, batch: Batch, trigger: Trigger) {
        let batch = batch.with_client(self.client.clone()).tracked();
        self.telemetry.sending(batch.items(), trigger);
        let mut backoff = None;
        let give_up = Instant::now() + GIVE_UP;
        loop {
            let Err(error) = self.attempt(batch.clone()).await else {
                self.gave_up = false;
                return;
            };
            if error.is_permanent() {
                return self.drop_batch(&batch, &error, Loss::Permanent);
            }
            if self.gave_up {
                return self.drop_batch(&batch, &error, Loss::RetriesExhausted);
            }
            let backoff = backoff.get_or_insert_with(|| Backoff::new(&retries()));
            let wait = backoff.next_wait().max(error.retry_after().unwrap_or_default());
            let stop = *self.stop.borrow_and_update();
            let (until, loss) = match stop {
                Some(stop) => (stop.retry_until.min(give_up), Loss::Shutdown),
                None => (give_up, Loss::RetriesExhausted),
            };
            if until.saturating_duration_since(Instant::now()) < wait {
                self.gave_up = loss == Loss::RetriesExhausted;
                return self.drop_batch(&batch, &error, loss);
            }
            let interval = GoDuration::from(confmap::Duration(wait));
            log!(info, self.origin, %error, %interval, "Sender failed. Will retry the batch after interval.");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // At shutdown the wait ends and the limits are new.
                Ok(()) = self.stop.changed() => {}
            }
        }
    }

    async fn attempt(&self, batch: Batch) -> Result<(), ConsumeError> {
        let mut stop = self.stop.clone();
        let expired = async {
            let deadline = stop.wait_for(Option::is_some).await.ok().and_then(|stop| *stop);
            wait_until(deadline.map(|stop| stop.deadline)).await;
        };
        tokio::select! {
            biased;
            () = expired => Err(ConsumeError::retryable("the shutdown deadline has passed")),
            result = self.next.consume(batch) => result,
        }
    }

    fn drop_batch(&self, batch: &Batch, error: &ConsumeError, loss: Loss) {
        let (dropped_items, reason) = (batch.items(), loss.as_str());
        log!(warn, self.origin, %error, dropped_items, reason, "Sender failed");
        self.telemetry.dropped(dropped_items, loss);
    }
}

/// Short waits first: the usual refusal is a full queue that drains. Long ones soon, for a backend that is down.
fn retries() -> RetryConfig {
    RetryConfig {
        initial_interval: confmap::Duration::from_millis(100),
        multiplier: 2.0,
        max_interval: confmap::Duration::from_secs(30),
        ..RetryConfig::default()
    }
}

/// Waits for the order to stop.
async fn ordered(stop: &mut watch::Receiver<Option<Stop>>) {
    let _ = stop.wait_for(Option::is_some).await;
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
