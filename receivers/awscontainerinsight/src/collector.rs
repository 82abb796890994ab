//! One collection: every source is asked, the records go on as one payload.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use component::telemetry::{ReceiverMetrics, ScraperMetrics};
use component::{Consumer, Settings, async_trait};
use helper::scraper::{Scrape, Tick};
use pdata::Signal;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ec2::Facts;
use crate::ecs::{Address, EcsSource, Reserved};
use crate::health::Health;
use crate::host::{Extra, HostSource};
use crate::identity::Identity;
use crate::instance::Instance;
use crate::leader::Lead;
use crate::pods::PodsSource;
use crate::record::Records;

/// When figures are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Unix time in nanoseconds: what records say.
    pub(crate) unix_nano: u64,
    /// A clock that is never set: what rates are calculated with.
    pub(crate) monotonic: Duration,
}

/// Everything that a collection needs, kept from one to the next.
pub(crate) struct Collector {
    /// Locked during a collection.
    pub(crate) collecting: Arc<tokio::sync::Mutex<()>>,
    /// Where the monotonic clock begins.
    pub(crate) origin: Instant,
    pub(crate) instance: watch::Receiver<Instance>,
    /// What EC2 says of it.
    pub(crate) facts: watch::Receiver<Facts>,
    pub(crate) identity: Identity,
    pub(crate) host: HostSource,
    /// With Kubernetes.
    pub(crate) pods: Option<PodsSource>,
    /// With ECS.
    pub(crate) ecs: Option<Ecs>,
    /// With Kubernetes, for who leads.
    pub(crate) lead: Option<Lead>,
    /// False with `collection_role: LEADER`.
    pub(crate) node_records: bool,
    pub(crate) health: Health,
    pub(crate) records: Records,
    pub(crate) output: Output,
}

/// The ECS of this machine, and what is needed to ask it.
pub(crate) struct Ecs {
    pub(crate) source: EcsSource,
    /// The machine's address, where it was configured.
    pub(crate) address: Option<String>,
    /// Cancelled when it was tried to find out which instance this is.
    pub(crate) asked: CancellationToken,
}

/// Where payloads go, and who counts them.
pub(crate) struct Output {
    consumer: Arc<dyn Consumer>,
    receiver: ReceiverMetrics,
    scraper: ScraperMetrics,
}

impl Moment {
    fn now(origin: Instant) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            unix_nano: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            monotonic: origin.elapsed(),
        }
    }
}

#[async_trait]
impl Scrape for Collector {
    async fn scrape(&mut self, tick: Tick) {
        let collecting = Arc::clone(&self.collecting);
        let _collecting = collecting.lock().await;
        if tick.skipped > 0 {
            tracing::warn!(skipped = tick.skipped, "a collection took longer than collection_interval");
        }
        self.identity.set_instance(&self.instance.borrow());
        self.identity.set_facts(&self.facts.borrow());
        let reserved = self.ask_ecs().await;
        if let Some(pods) = &mut self.pods {
            let leading = self.lead.as_ref().and_then(|lead| lead.borrow().clone());
            pods.refresh(leading.as_ref().map(|leading| leading.services()), &mut self.health).await;
        }
        self.collect(Moment::now(self.origin), reserved).await;
        let failures = self.health.take_failures();
        let records = self.records.len();
        let batch = self.records.take();
        tracing::debug!(records, points = batch.items(), failures, "collected");
        self.output.send(batch, failures).await;
    }
}

impl Collector {
    /// What ECS knows of the machine, with ECS.
    async fn ask_ecs(&mut self) -> Option<Reserved> {
        let Self { ecs, instance, host, health, identity, .. } = self;
        let Ecs { source, address, asked } = ecs.as_mut()?;
        // If it was not found out before, it is not by what is read now.
        let asked = asked.is_cancelled();
        let found = address.clone().or_else(|| instance.borrow().private_ip.clone());
        let address = match &found {
            Some(address) => Address::Known(address),
            None if asked => Address::Unknown,
            None => Address::Sought,
        };
        let reserved = source.refresh(address, host.reader().cgroups(), health).await;
        identity.set_container_instance(source.instance());
        reserved
    }

    async fn collect(&mut self, at: Moment, reserved: Option<Reserved>) {
        let Self { identity, host, pods, lead, node_records, health, records, .. } = self;
        if *node_records {
            let extra = match pods {
                Some(pods) => {
                    Extra { totals: pods.totals(host.machine()), cluster: Some(pods.cluster()), reserved }
                }
                None => Extra { reserved, ..Extra::default() },
            };
            host.collect(at, extra, identity, health, records).await;
            if let Some(pods) = pods {
                pods.collect(at, host, identity, health, records);
            }
        }
        if let Some(leading) = lead.as_ref().and_then(|lead| lead.borrow().clone()) {
            leading.write(at, identity, health, records);
        }
    }
}

impl Output {
    /// Sends to `consumer`, counting as the receiver of `settings`.
    pub(crate) fn new(settings: &Settings, consumer: Arc<dyn Consumer>) -> Self {
        Self {
            consumer,
            receiver: ReceiverMetrics::new(settings, ""),
            scraper: ScraperMetrics::new(settings, "host"),
        }
    }

    /// A payload that is refused is lost: the next collection has newer figures.
    async fn send(&self, batch: pdata::Batch, failures: usize) {
        let points = batch.items();
        self.scraper.record(Signal::Metrics, points, failures);
        let answer = self.consumer.consume(batch).await;
        self.receiver.record(Signal::Metrics, points, &answer);
        if let Err(error) = answer {
            let error = component::causes(&error);
            tracing::warn!(points, error, "the pipeline refused this collection's records; they are dropped");
        }
    }
}
