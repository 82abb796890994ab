//! Gives requests to the shard of their metadata.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use component::{BoxError, Component, ConsumeError, Consumer, Host, Settings};
use helper::Origin;
use pdata::{Batch, ClientInfo};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Config;
use crate::shard::{Limits, Shard, Stop};
use crate::telemetry::{Telemetry, observe_cardinality};

/// The processor: a shard per combination of metadata values, one if there are no metadata keys.
pub(crate) struct BatchProcessor {
    origin: Origin,
    limits: Limits,
    /// Lower case, sorted.
    keys: Vec<String>,
    max_shards: usize,
    next: Arc<dyn Consumer>,
    telemetry: Arc<Telemetry>,
    shards: Arc<Shards>,
    /// The shard of a processor without metadata keys.
    single: OnceLock<mpsc::Sender<Batch>>,
    host: OnceLock<Host>,
    stop: watch::Sender<Option<Stop>>,
}

/// The shards that run.
#[derive(Default)]
pub(crate) struct Shards(Mutex<Running>);

#[derive(Default)]
struct Running {
    inputs: HashMap<Values, mpsc::Sender<Batch>>,
    tasks: Vec<JoinHandle<()>>,
    closed: bool,
}

/// The values of the metadata keys.
type Values = Vec<Vec<String>>;

/// A processor cannot be built outside a pipeline.
#[derive(Debug, thiserror::Error)]
#[error("processor \"{0}\" has no pipeline")]
struct NoPipeline(String);

impl BatchProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let id = settings.id.to_string();
        let signal = settings.pipeline.as_ref().ok_or_else(|| NoPipeline(id.clone()))?.signal();
        let shards = Arc::new(Shards::default());
        observe_cardinality(&settings, Arc::downgrade(&shards));
        let unlimited = config.metadata_cardinality_limit == 0;
        Ok(Self {
            origin: Origin::new(&settings, signal),
            limits: Limits::new(config, signal),
            keys: config.keys(),
            max_shards: if unlimited { usize::MAX } else { config.metadata_cardinality_limit as usize },
            next,
            telemetry: Arc::new(Telemetry::new(&settings, signal)),
            shards,
            single: OnceLock::new(),
            host: OnceLock::new(),
            stop: watch::Sender::new(None),
        })
    }

    /// The input of the shard for a batch.
    fn input(&self, batch: &Batch) -> Result<mpsc::Sender<Batch>, ConsumeError> {
        let values = self.values(batch);
        let mut running = self.shards.lock();
        if running.closed {
            return Err(stopped());
        }
        if let Some(input) = running.inputs.get(&values) {
            return Ok(input.clone());
        }
        if running.inputs.len() >= self.max_shards {
            return Err(ConsumeError::permanent("too many batcher metadata-value combinations"));
        }
        let (input, task) = self.spawn(self.client(&values))?;
        running.inputs.insert(values, input.clone());
        running.tasks.push(task);
        Ok(input)
    }

    /// Starts a shard whose batches come from `client`.
    fn spawn(
        &self,
        client: Option<Arc<ClientInfo>>,
    ) -> Result<(mpsc::Sender<Batch>, JoinHandle<()>), ConsumeError> {
        let host = self.host.get().ok_or_else(stopped)?;
        // As many requests wait as upstream's channel holds; then producers wait.
        let capacity = std::thread::available_parallelism().map_or(1, usize::from);
        let (sender, receiver) = mpsc::channel(capacity);
        let shard = Shard::new(
            self.limits.clone(),
            client,
            receiver,
            self.stop.subscribe(),
            self.next.clone(),
            self.telemetry.clone(),
            self.origin.clone(),
        );
        Ok((sender, host.spawn(format!("{}: batcher", self.origin.id), shard.run())))
    }

    fn values(&self, batch: &Batch) -> Values {
        let values = |key: &String| {
            let metadata = batch.client().map_or(&[][..], |client| &client.metadata);
            metadata
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, values)| values.clone())
                .unwrap_or_default()
        };
        self.keys.iter().map(values).collect()
    }

    /// What the requests of a shard have in common of their clients.
    fn client(&self, values: &Values) -> Option<Arc<ClientInfo>> {
        if self.keys.is_empty() {
            return None;
        }
        let metadata = self.keys.iter().cloned().zip(values.iter().cloned());
        let metadata = metadata.filter(|(_, values)| !values.is_empty()).collect();
        Some(Arc::new(ClientInfo { address: None, metadata }))
    }
}

#[async_trait]
impl Component for BatchProcessor {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        self.host.get_or_init(|| host.clone());
        if self.keys.is_empty() {
            let input = self.input(&Batch::empty(self.limits.signal))?;
            self.single.get_or_init(|| input);
        }
        Ok(())
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        let tasks = self.shards.close();
        self.stop.send_replace(Some(Stop::by(deadline)));
        for task in tasks {
            task.await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for BatchProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        self.telemetry.items.incoming(batch.items());
        if batch.is_empty() {
            return Ok(());
        }
        match self.single.get() {
            Some(input) => input.send(batch).await,
            None => self.input(&batch)?.send(batch).await,
        }
        .map_err(|_| stopped())
    }
}

fn stopped() -> ConsumeError {
    ConsumeError::retryable("batch processor is not running")
}

impl Shards {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().inputs.len()
    }

    /// Lets no shard begin any more.
    fn close(&self) -> Vec<JoinHandle<()>> {
        let mut running = self.lock();
        running.closed = true;
        running.inputs.clear();
        std::mem::take(&mut running.tasks)
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
