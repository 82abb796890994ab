//! Sends what the queue hands out, making streams that are missing, and books what became of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use component::{Code, ConsumeError};
use helper::{Origin, RetryConfig, log};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::body;
use super::chunk::Chunk;
use super::client::{Client, LogsError, PutBody, RejectedInfo};
use super::lane::{Content, Part};
use super::pusher::GroupConfig;
use super::queue::{Failed, Queue, Work};
use super::store::Store;
use super::telemetry::Telemetry;

/// How often a stream is made for one request: somebody may delete it in between.
const CREATIONS: usize = 3;
/// Retry limit of events in memory after AccessDenied, and of events on a disk that does not read: IAM changes take minutes
/// to propagate.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How often a lasting failure is logged.
const REMINDER: Duration = Duration::from_secs(60);

/// Sends the parts of a queue.
pub(crate) struct Delivery {
    pub(crate) queue: Arc<Queue>,
    pub(crate) client: Client,
    pub(crate) store: Option<Store>,
    pub(crate) group: GroupConfig,
    pub(crate) retry: RetryConfig,
    pub(crate) telemetry: Telemetry,
    pub(crate) origin: Origin,
    /// The shutdown deadline has passed.
    pub(crate) expired: CancellationToken,
    pub(crate) health: Health,
}

/// Since when requests fail, and when that was last logged.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Option<(Instant, Instant)>>);

impl Delivery {
    /// Sends until the queue is closed and empty, or the shutdown deadline has passed.
    pub(crate) async fn run(self: Arc<Self>) {
        while let Some(work) = self.queue.take().await {
            self.deliver(work).await;
        }
    }

    /// Sends one request and books its outcome.
    async fn deliver(&self, work: Work) {
        let chunks = match self.load(&work.parts).await {
            Ok(chunks) => chunks,
            Err(error) => {
                let error = ConsumeError::retryable(format!("reading queued events: {error}"));
                let patience = Some(PATIENCE);
                let failed = Failed { throttled: false, after: None, patience, patience_on_disk: patience };
                self.retry(work, failed, "storage_error", &error);
                return;
            }
        };
        let (body, items) = body(&work.group, &work.stream, &chunks);
        let bytes = body.pieces.iter().map(bytes::Bytes::len).sum();
        let result = tokio::select! {
            biased;
            () = self.expired.cancelled() => {
                Err(LogsError::Unavailable("the shutdown deadline has passed".into()))
            }
            result = self.attempt(&work, &body) => result,
        };
        match result {
            Ok(rejected) => {
                self.telemetry.request("accepted", bytes);
                self.health.recovered(&self.origin);
                self.accept(work, &items, &rejected);
            }
            Err(LogsError::AlreadyAccepted(_)) => {
                self.telemetry.request("already_accepted", bytes);
                self.accept(work, &items, &RejectedInfo::default());
            }
            Err(error) => {
                self.telemetry.request(outcome(&error), bytes);
                self.fail(work, &error);
            }
        }
    }

    /// Tries once; a stream that is missing is made.
    async fn attempt(&self, work: &Work, body: &PutBody) -> Result<RejectedInfo, LogsError> {
        let mut creations = 0;
        loop {
            match self.client.put_events(body).await {
                Err(LogsError::NotFound(_)) if creations < CREATIONS => {
                    creations += 1;
                    self.create(&work.group, &work.stream).await?;
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
        match self.client.create_group(group, self.group.tags.as_ref()).await {
            Ok(()) => {
                log!(info, self.origin, group, "Created the log group.");
                self.retain(group).await;
            }
            result => existing_is_fine(result)?,
        }
        existing_is_fine(self.client.create_stream(group, stream).await)
    }

    /// Sets the retention of a group that was just made. Events matter more than how long they are kept: a failure is
    /// logged only.
    async fn retain(&self, group: &str) {
        let Some(days) = i32::try_from(self.group.retention_days).ok().filter(|&days| days > 0) else {
            return;
        };
        if let Err(error) = self.client.put_retention(group, days).await {
            log!(error, self.origin, %error, group, days, "Setting the retention of the log group failed.");
        }
    }

    /// The chunks of a request; those on disk are read.
    async fn load(&self, parts: &[Part]) -> Result<Vec<Chunk>, String> {
        let contents: Vec<Content> = parts.iter().map(|part| part.content.clone()).collect();
        let Some(store) =
            self.store.clone().filter(|_| contents.iter().any(|content| matches!(content, Content::Disk(_))))
        else {
            return Ok(contents.into_iter().filter_map(Content::into_chunk).collect());
        };
        let read = move || {
            let load = |content| match content {
                Content::Memory(chunk) => Ok(chunk),
                Content::Disk(id) => store.read(id),
            };
            contents.into_iter().map(load).collect()
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
    }

    /// Books events that the service took, and those of them that it did not keep.
    fn accept(&self, work: Work, items: &[u32], rejected: &RejectedInfo) {
        let Rejections { by_reason, sent } = Rejections::of(items, rejected);
        self.telemetry.sent(sent.0, sent.1);
        for (reason, (events, items)) in &by_reason {
            self.telemetry.dropped(reason, *events, *items);
        }
        if !by_reason.is_empty() {
            let count = |reason: &str| by_reason.get(reason).map_or(0, |(events, _)| *events);
            let (too_old, too_new) = (count("rejected_too_old"), count("rejected_too_new"));
            let expired = count("rejected_expired");
            let (group, stream) = (&*work.group, &*work.stream);
            log!(
                warn,
                self.origin,
                group,
                stream,
                too_old,
                too_new,
                expired,
                "CloudWatch Logs rejected events."
            );
        }
        self.acknowledge(&self.queue.settle(work, true));
    }

    fn fail(&self, work: Work, error: &LogsError) {
        let told = told(error, &work);
        if !error.is_passing() && !matches!(error, LogsError::Denied(_)) {
            self.drop_parts(self.queue.settle(work, false), "permanent_error", &told);
            return;
        }
        let (throttled, after) = match error {
            LogsError::Throttled { after, .. } => (true, *after),
            _ => (false, None),
        };
        let limit = Some(self.retry.max_elapsed_time.0).filter(|limit| !limit.is_zero());
        let (patience, reason) = match error {
            LogsError::Denied(_) => {
                (Some(limit.map_or(PATIENCE, |limit| limit.min(PATIENCE))), "access_denied")
            }
            _ => (limit, "not_retried"),
        };
        // Rights may come back after hours: what is on disk can wait for them.
        self.retry(work, Failed { throttled, after, patience, patience_on_disk: limit }, reason, &told);
    }

    /// Puts a request back; what has failed for too long is dropped for `reason`.
    fn retry(&self, work: Work, failed: Failed, reason: &'static str, error: &ConsumeError) {
        let (given_up, wait) = self.queue.retry(work, failed);
        if let Some(wait) = wait {
            self.health.failing(&self.origin, error, wait);
        }
        if !given_up.is_empty() {
            // The same may be true of a later process, or not: what is on disk waits for it.
            let (on_disk, lost) = given_up
                .into_iter()
                .partition(|part| self.queue.is_closed() && matches!(part.content, Content::Disk(_)));
            self.drop_parts(lost, if self.queue.is_closed() { "shutdown" } else { reason }, error);
            drop::<Vec<Part>>(on_disk);
        }
    }

    /// Books events that nobody will send any more.
    fn drop_parts(&self, parts: Vec<Part>, reason: &'static str, error: &ConsumeError) {
        let events = parts.iter().map(|part| part.summary.events as u64).sum();
        let items = parts.iter().map(|part| part.summary.items).sum();
        self.telemetry.dropped(reason, events, items);
        if events > 0 {
            log!(error, self.origin, %error, dropped_events = events, dropped_items = items, reason, "Exporting failed. Dropping data.");
        }
        // What is given up is not to come again: parts of its push may have been accepted.
        let told = match error {
            ConsumeError::Retryable { reason: text, code, .. } if reason != "shutdown" => {
                ConsumeError::Permanent { reason: format!("no more retries left: {text}"), code: *code }
            }
            error => error.clone(),
        };
        parts.iter().for_each(|part| part.place.fail(&told));
        self.acknowledge(&parts);
    }

    /// Gives up what is left at the end of the shutdown.
    pub(crate) fn drop_rest(&self) {
        let mut lost = self.queue.clear();
        lost.retain(|part| matches!(part.content, Content::Memory(_)));
        self.drop_parts(lost, "shutdown", &ConsumeError::retryable("interrupted due to shutdown"));
    }

    fn acknowledge(&self, parts: &[Part]) {
        let Some(store) = &self.store else { return };
        for part in parts {
            if let Content::Disk(id) = part.content {
                store.acknowledge(id);
            }
        }
    }
}

/// Which events of an accepted request the service did not keep.
#[derive(Debug, PartialEq, Eq)]
struct Rejections {
    /// Events and items.
    by_reason: BTreeMap<&'static str, (u64, u64)>,
    /// Events and items.
    sent: (u64, u64),
}

impl Rejections {
    /// `items` has the items of each event, in order of the request.
    fn of(items: &[u32], rejected: &RejectedInfo) -> Self {
        let before = |end: Option<u64>, index: usize| end.is_some_and(|end| (index as u64) < end);
        let mut result = Self { by_reason: BTreeMap::new(), sent: (0, 0) };
        for (index, &items) in items.iter().enumerate() {
            let (events, sum) = if before(rejected.too_old_end, index) {
                result.by_reason.entry("rejected_too_old").or_default()
            } else if before(rejected.expired_end, index) {
                result.by_reason.entry("rejected_expired").or_default()
            } else if rejected.too_new_start.is_some_and(|start| index as u64 >= start) {
                result.by_reason.entry("rejected_too_new").or_default()
            } else {
                &mut result.sent
            };
            *events += 1;
            *sum += u64::from(items);
        }
        result
    }
}

impl Health {
    /// A request failed and will be repeated: said at once, then once a minute.
    fn failing(&self, origin: &Origin, error: &ConsumeError, wait: Duration) {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, said) = state.get_or_insert((now, now));
        if *since == now || now.duration_since(*said) >= REMINDER {
            *said = now;
            let failing_for = now.duration_since(*since);
            log!(warn, origin, %error, ?wait, ?failing_for, "Exporting failed. Will retry the request after interval.");
        } else {
            log!(debug, origin, %error, ?wait, "Exporting failed. Will retry the request after interval.");
        }
    }

    fn recovered(&self, origin: &Origin) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((since, _)) = state {
            log!(info, origin, failed_for = ?since.elapsed(), "CloudWatch Logs accepts events again.");
        }
    }
}

/// What a failed request is counted as.
fn outcome(error: &LogsError) -> &'static str {
    match error {
        LogsError::Throttled { .. } => "throttled",
        LogsError::Unavailable(_) => "unavailable",
        LogsError::Unauthorized(_) => "unauthorized",
        LogsError::Denied(_) => "denied",
        LogsError::NotFound(_) | LogsError::AlreadyExists(_) => "not_found",
        LogsError::AlreadyAccepted(_) => "already_accepted",
        LogsError::Permanent { .. } => "refused",
    }
}

/// What the caller of a push is told.
fn told(error: &LogsError, work: &Work) -> ConsumeError {
    let reason =
        format!("PutLogEvents to log group {:?}, log stream {:?}: {error}", &*work.group, &*work.stream);
    match error {
        LogsError::Throttled { after, .. } => {
            ConsumeError::Retryable { reason, code: Some(Code::ResourceExhausted), after: *after }
        }
        error if error.is_passing() => ConsumeError::retryable(reason),
        _ => ConsumeError::permanent(reason),
    }
}

fn existing_is_fine(result: Result<(), LogsError>) -> Result<(), LogsError> {
    match result {
        Err(LogsError::AlreadyExists(_)) => Ok(()),
        result => result,
    }
}
