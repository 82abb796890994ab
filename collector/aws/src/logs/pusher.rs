//! The pusher: takes the events of batches and answers for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use component::{BoxError, Code, ConsumeError, Host, Kind, Settings};
use confmap::Optional;
use helper::{Origin, QueueConfig, RetryConfig, Sizer, log};
use net::Boxed;
use pdata::{Batch, Signal};
use regex::Regex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::deliver::{Delivery, Health};
use super::event::{Events, StreamChunks};
use super::lane::{Content, Part};
use super::place::{Outcome, Place, Room};
use super::queue::{Limits, Queue};
use super::store::Store;
use super::telemetry::Telemetry;
use super::waiting::Waiting;
use crate::SessionConfig;

/// What pushes without a queue may hold, in bytes of OTLP.
const CAPACITY_WITHOUT_QUEUE: u64 = 64 << 20;
/// How long a push without a queue waits for its answer, unless a timeout is configured.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pushes up to this size are written where they arrive, which takes some milliseconds; larger ones hold no worker of the
/// runtime.
const MAX_INLINE_BYTES: usize = 1 << 20;
/// How long the events of a queue wait for others, unless `batch` says otherwise.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

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
    /// The type of the exporter: part of the names of its counters.
    pub component: &'static str,
    /// How AWS is reached.
    pub session: SessionConfig,
    /// For groups that do not exist.
    pub group: GroupConfig,
    /// The queue; none for answering pushes when their events were accepted.
    pub queue: Optional<QueueConfig>,
    /// How failed requests are repeated.
    pub retry: RetryConfig,
    /// How long a push without a queue waits for its answer; `None` for 30 seconds.
    pub timeout: Option<Duration>,
    /// What requests say about us: `otelcol-insights/1.2.3 (awsemf)`.
    pub user_agent: String,
    /// The longest message, in bytes; longer ones are cut, or refused by [`Events::end`].
    pub max_event_bytes: usize,
    /// Writes the events of one push after those of another: for exporters that compare values with those of the push
    /// before.
    pub serial: bool,
}

/// Sends events to CloudWatch Logs.
///
/// Events are written once, in the form of the request, and wait by log stream until they fill one or have waited long
/// enough. What fails in a way that passes is repeated for as long as `retry_on_failure` says, by default as long as it
/// takes; what was accepted is never sent again.
pub struct Pusher {
    config: PusherConfig,
    settings: Settings,
    signal: Signal,
    queue: Arc<Queue>,
    telemetry: Telemetry,
    origin: Origin,
    waiting: Waiting,
    pushes: AtomicU64,
    /// Held while events are written, by exporters that write them in order. Waiting for it holds no thread.
    writing: tokio::sync::Mutex<()>,
    started: OnceLock<Started>,
    /// When the disk last refused events; said once until it takes some.
    disk_fails: Mutex<bool>,
}

struct Started {
    delivery: Arc<Delivery>,
    client: Client,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Pusher {
    /// A pusher; it has to be started.
    pub fn new(settings: &Settings, signal: Signal, config: PusherConfig) -> Arc<Self> {
        let written = config.queue.as_ref();
        let queue = Queue::new(Limits {
            capacity: written
                .map_or(CAPACITY_WITHOUT_QUEUE, |queue| u64::try_from(queue.queue_size).unwrap_or_default()),
            block: written.is_none_or(|queue| queue.block_on_overflow),
            requests: config.session.concurrency(),
            requests_per_stream: written.map_or(config.session.concurrency(), |queue| {
                usize::try_from(queue.num_consumers).unwrap_or(1)
            }),
            retry: config.retry.clone(),
        });
        let telemetry = Telemetry::new(settings, signal, config.component);
        telemetry.observe(settings, config.component, &queue, written.is_some());
        // Unlike those of a process before, whose pushes may still be on disk.
        let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Arc::new(Self {
            origin: Origin::new(settings, signal),
            settings: settings.clone(),
            signal,
            queue,
            telemetry,
            waiting: Waiting::default(),
            pushes: AtomicU64::new(first),
            writing: tokio::sync::Mutex::default(),
            started: OnceLock::new(),
            disk_fails: Mutex::default(),
            config,
        })
    }

    /// Finds region and credentials, opens the queue on disk, begins to send.
    ///
    /// # Errors
    /// No region, a proxy or certificate that cannot be used, a storage that cannot be opened.
    pub fn start<'a>(&'a self, host: &'a Host) -> Boxed<'a, Result<(), BoxError>> {
        Box::pin(self.start_now(host))
    }

    async fn start_now(&self, host: &Host) -> Result<(), BoxError> {
        let name = format!("{}: CloudWatch Logs", self.settings.id);
        let session = self.config.session.load().await?;
        let client = Client::start(&session, host, &name, &self.config.user_agent).await?;
        let delivery = Arc::new(Delivery {
            queue: self.queue.clone(),
            client: client.clone(),
            store: self.open_store(host).await?,
            group: self.config.group.clone(),
            retry: self.config.retry.clone(),
            telemetry: self.telemetry.clone(),
            origin: self.origin.clone(),
            expired: CancellationToken::new(),
            health: Health::default(),
        });
        let tasks = (0..self.config.session.concurrency())
            .map(|_| host.spawn(name.clone(), delivery.clone().run()))
            .collect();
        // A second start finds what the first began.
        let _ = self.started.set(Started { delivery, client, tasks: Mutex::new(tasks) });
        Ok(())
    }

    /// Takes a batch: `make` adds its events. It runs once, and not at all if there is no room. Answers when the events
    /// are accepted, or are in the queue.
    ///
    /// # Errors
    /// Retryable: there is no room, or no answer yet; the same batch may be pushed again and is not sent twice. Permanent:
    /// events were refused for good.
    pub fn push<'a>(
        &'a self,
        batch: Batch,
        make: &'a (dyn Fn(&Batch, &mut Events<'_>) + Sync),
    ) -> Boxed<'a, Result<(), ConsumeError>> {
        Box::pin(self.push_now(batch, make))
    }

    async fn push_now(
        &self,
        batch: Batch,
        make: &(dyn Fn(&Batch, &mut Events<'_>) + Sync),
    ) -> Result<(), ConsumeError> {
        let Some(started) = self.started.get() else {
            return Err(ConsumeError::retryable("the exporter is not started"));
        };
        let queue = self.config.queue.as_ref();
        let patience = queue.is_none().then(|| self.config.timeout.unwrap_or(PATIENCE));
        if let Some(outcome) = self.waiting.find(&batch) {
            return self.wait(batch, outcome, patience).await;
        }
        let room = self.reserve(&batch, patience).await.inspect_err(|error| {
            let rejected_items = batch.items();
            self.telemetry.enqueue_failed(rejected_items);
            log!(error, self.origin, %error, rejected_items, "Exporting failed. Rejecting data.");
        })?;
        let writing = match self.config.serial {
            true => Some(self.writing.lock().await),
            false => None,
        };
        let (is_safe, outcome) = self.write(started.delivery.store.as_ref(), &batch, room, make);
        drop(writing);
        if is_safe && queue.is_some_and(|queue| !queue.wait_for_result) {
            return Ok(());
        }
        self.wait(batch, outcome, patience).await
    }

    /// Sends what is queued, each once more, until the deadline. What is left in memory then is dropped and counted; what
    /// is on disk stays there.
    ///
    /// # Errors
    /// None.
    pub fn shutdown(&self, deadline: Instant) -> Boxed<'_, Result<(), BoxError>> {
        Box::pin(self.shutdown_now(deadline))
    }

    async fn shutdown_now(&self, deadline: Instant) -> Result<(), BoxError> {
        self.queue.close();
        let Some(Started { delivery, client, tasks }) = self.started.get() else { return Ok(()) };
        let mut tasks = std::mem::take(&mut *tasks.lock().unwrap_or_else(PoisonError::into_inner));
        if tokio::time::timeout_at(deadline, join(&mut tasks)).await.is_err() {
            delivery.expired.cancel();
            delivery.drop_rest();
            join(&mut tasks).await;
        }
        client.shutdown().await;
        if let Some(store) = delivery.store.clone() {
            tokio::task::spawn_blocking(move || store.close()).await?;
        }
        Ok(())
    }

    async fn open_store(&self, host: &Host) -> Result<Option<Store>, BoxError> {
        let Some(storage) = self.config.queue.as_ref().and_then(|queue| queue.storage.as_deref()) else {
            return Ok(None);
        };
        let name = format!("{}_events", self.signal.as_str());
        let area = helper::storage::area(host, storage, Kind::Exporter, &self.settings.id, &name)?;
        let queue = self.queue.clone();
        let (store, events) = tokio::task::spawn_blocking(move || Store::open(&area, &queue)).await??;
        self.telemetry.recovered(events);
        if events > 0 {
            log!(info, self.origin, events, "Fetched events from persistent queue.");
        }
        Ok(Some(store))
    }

    async fn reserve(&self, batch: &Batch, patience: Option<Duration>) -> Result<Room, ConsumeError> {
        let sizer = self.config.queue.as_ref().map_or(Sizer::Bytes, |queue| queue.sizer);
        let room = self.queue.reserve(sizer.size(batch));
        match patience {
            None => room.await,
            Some(patience) => tokio::time::timeout(patience, room)
                .await
                .unwrap_or_else(|_| Err(ConsumeError::retryable("too many events wait for CloudWatch Logs"))),
        }
    }

    /// Writes the events of a batch and puts them into the queue piece by piece. Returns true if all of them are on disk or
    /// none has to be, and the outcome. No await lies in between: a caller that goes away stops nothing half-way.
    fn write(
        &self,
        store: Option<&Store>,
        batch: &Batch,
        permit: Room,
        make: &(dyn Fn(&Batch, &mut Events<'_>) + Sync),
    ) -> (bool, watch::Receiver<Option<Outcome>>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let push = self.pushes.fetch_add(1, Ordering::Relaxed);
        let size = permit.size;
        let (ticket, outcome) = Place::new(permit);
        let mut is_safe = true;
        let mut hand_over = |streams: Vec<StreamChunks>| {
            match store {
                Some(store) => {
                    is_safe &= helper::blocking(|| self.store(store, streams, push, size, &ticket))
                }
                None => self.keep(streams, &ticket),
            }
            self.queue.wait_for_memory();
        };
        let push_bytes = batch.encoded_len();
        let mut events = Events::new(now, self.config.max_event_bytes, push_bytes, &mut hand_over);
        if push_bytes > MAX_INLINE_BYTES {
            helper::blocking(|| make(batch, &mut events));
        } else {
            make(batch, &mut events);
        }
        let counts = events.finish();
        self.telemetry.made(&counts);
        if !counts.dropped.is_empty() || counts.truncated > 0 {
            let (dropped, truncated) = (format!("{:?}", counts.dropped), counts.truncated);
            log!(warn, self.origin, dropped, truncated, "Events outside the limits of CloudWatch Logs.");
        }
        (is_safe, outcome)
    }

    /// Puts events into the queue in memory.
    fn keep(&self, streams: Vec<StreamChunks>, ticket: &Arc<Place>) {
        let due = self.due();
        for StreamChunks { group, stream, chunks } in streams {
            let parts = chunks.into_iter().map(|chunk| (chunk.summary(), Content::Memory(chunk)));
            insert(&self.queue, &group, &stream, parts, ticket, due);
        }
    }

    /// Puts events into the queue on disk, and into that in memory where the disk does not take them. Returns true if all
    /// of them are on disk.
    fn store(
        &self,
        store: &Store,
        streams: Vec<StreamChunks>,
        push: u64,
        size: u64,
        ticket: &Arc<Place>,
    ) -> bool {
        let (origin, due) = (&self.origin, self.due());
        let (contents, error) = store.append(&streams, push, size);
        for (StreamChunks { group, stream, chunks }, contents) in streams.into_iter().zip(contents) {
            let parts = chunks.iter().map(super::chunk::Chunk::summary).zip(contents);
            insert(&self.queue, &group, &stream, parts, ticket, due);
        }
        let mut failing = self.disk_fails.lock().unwrap_or_else(PoisonError::into_inner);
        match &error {
            Some(error) if !*failing => {
                log!(error, origin, %error, "The queue's storage takes no events: they stay in memory, and are answered for when CloudWatch Logs has them.");
            }
            None if *failing => log!(info, origin, "The queue's storage takes events again."),
            _ => {}
        }
        *failing = error.is_some();
        error.is_none()
    }

    /// Waits for the outcome of a push. A caller that goes away, or has waited long enough, may come again for it.
    async fn wait(
        &self,
        batch: Batch,
        outcome: watch::Receiver<Option<Outcome>>,
        patience: Option<Duration>,
    ) -> Result<(), ConsumeError> {
        let mut caller = self.waiting.caller(batch, outcome);
        match patience {
            None => caller.wait().await,
            Some(patience) => tokio::time::timeout(patience, caller.wait()).await.unwrap_or_else(|_| {
                Err(ConsumeError::Retryable {
                    reason: format!(
                        "CloudWatch Logs has not accepted the events within {patience:?}; they are kept and sent when \
                         it does"
                    ),
                    code: Some(Code::Unavailable),
                    after: None,
                })
            }),
        }
    }

    /// When what arrives now is sent at the latest.
    fn due(&self) -> Instant {
        let Some(queue) = self.config.queue.as_ref().filter(|queue| !queue.wait_for_result) else {
            return Instant::now();
        };
        Instant::now() + queue.batch.as_ref().map_or(FLUSH_TIMEOUT, |batch| batch.flush_timeout.0)
    }
}

/// What requests of the exporter type `component` say about us: `otelcol-insights/1.2.3 (awsemf; ContainerInsights)`. `group` is
/// the log group's name as configured; `more` are words that the exporter adds.
pub fn user_agent(settings: &Settings, component: &str, more: &[&str], group: &str) -> String {
    let insights = Regex::new("^/aws/.*containerinsights/.*/(performance|prometheus)$");
    let mut words = vec![component];
    words.extend(more);
    if insights.is_ok_and(|insights| insights.is_match(group)) {
        words.push("ContainerInsights");
    }
    format!("{}/{} ({})", settings.build.command, settings.build.version, words.join("; "))
}

fn insert(
    queue: &Queue,
    group: &Arc<str>,
    stream: &Arc<str>,
    parts: impl Iterator<Item = (super::chunk::Summary, Content)>,
    place: &Arc<Place>,
    due: Instant,
) {
    let part = |(summary, content)| Part { content, summary, due, first_failure: None, place: place.clone() };
    queue.insert(group, stream, parts.map(part));
}

/// Waits for the tasks; those that have ended are off the list even if the wait is given up.
async fn join(tasks: &mut Vec<JoinHandle<()>>) {
    while let Some(task) = tasks.last_mut() {
        if let Err(error) = task.await {
            tracing::error!(%error, "sending to CloudWatch Logs failed");
        }
        tasks.pop();
    }
}
