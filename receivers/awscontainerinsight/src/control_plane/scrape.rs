//! Asks the API server for its metrics from time to time, while this collector leads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use helper::exposition::Reader;
use k8s::ApiServer;
use pdata::PointTimes;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Exposed;
use crate::identity::Identity;
use crate::record::{RecordType, Records, VERSION};

/// Where the metrics are.
const PATH: &str = "/metrics";
const TEXT: &str = "text/plain;version=0.0.4,*/*;q=0.1";

/// How long one scrape may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// API servers of large clusters answer with 20 MB.
const LONGEST_ANSWER: u64 = 128 * 1024 * 1024;

/// What the name of the service begins with that metrics are said to be of: the exporter knows it.
const SERVICE: &str = "containerInsightsKubeAPIServerScraper";

/// Why there are no metrics of the API server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    /// It was not to be had, or not in full.
    #[error("cannot read the API server's {PATH}")]
    Api(#[source] k8s::Error),
    /// It did not end in time.
    #[error("the API server's {PATH} did not come within {PATIENCE:?}")]
    Late,
    /// Nobody has that many.
    #[error("the API server's {PATH} is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
    /// A proxy's page, or a server without metrics.
    #[error("the API server's {PATH} has none of the metrics that are wanted")]
    Nothing,
}

/// The API server, and when to ask it.
#[derive(Clone)]
pub(crate) struct ControlPlane {
    api: ApiServer,
    /// Host and port, as far as they are known.
    endpoint: (String, String),
    every: Duration,
}

/// What the last scrape brought, until a collection takes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latest(Arc<Mutex<Option<Result<Scraped, ScrapeError>>>>);

/// A scrape.
#[derive(Debug)]
pub(crate) struct Scraped {
    exposed: Exposed,
    times: PointTimes,
    endpoint: (String, String),
}

/// Since when the server's counters count, as far as this collector has seen.
#[derive(Debug, Default)]
struct Beginning {
    server: f64,
    unix_nano: u64,
}

impl ControlPlane {
    /// The metrics of `api`, every so often. They are said to come from `endpoint`, a host and a port.
    pub(crate) fn new(api: ApiServer, endpoint: (String, String), every: Duration) -> Self {
        Self { api, endpoint, every }
    }

    /// Scrapes until it is dropped.
    pub(crate) async fn run(&self, latest: &Latest) -> std::convert::Infallible {
        let mut beginning = Beginning::default();
        let mut due = interval(self.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            due.tick().await;
            let scraped = self.scrape(&mut beginning).await;
            latest.put(scraped);
        }
    }

    async fn scrape(&self, beginning: &mut Beginning) -> Result<Scraped, ScrapeError> {
        let began = Instant::now();
        let unix_nano = now();
        let exposed = timeout(PATIENCE, self.read()).await.unwrap_or(Err(ScrapeError::Late))?;
        if exposed.left_out() > 0 {
            let left_out = exposed.left_out();
            tracing::debug!(left_out, "some of the API server's metrics make no sense, or are too many");
        }
        tracing::debug!(points = exposed.len(), took = ?began.elapsed(), "scraped the API server");
        let start_unix_nano = beginning.since(exposed.server_start(), unix_nano);
        Ok(Scraped {
            exposed,
            times: PointTimes { start_unix_nano, unix_nano },
            endpoint: self.endpoint.clone(),
        })
    }

    async fn read(&self) -> Result<Exposed, ScrapeError> {
        let mut body = self.api.open_stream(PATH, TEXT).await.map_err(ScrapeError::Api)?;
        let (mut exposed, mut reader) = (Exposed::default(), Reader::default());
        let mut length = 0;
        while let Some(chunk) = body.chunk().await.map_err(ScrapeError::Api)? {
            length += chunk.len() as u64;
            if length > LONGEST_ANSWER {
                return Err(ScrapeError::TooLong);
            }
            exposed.feed(&mut reader, &chunk);
        }
        exposed.finish(&mut reader);
        if exposed.len() == 0 { Err(ScrapeError::Nothing) } else { Ok(exposed) }
    }
}

impl Beginning {
    /// Upstream counts from its first scrape; so do we, and anew when another server answers, or one that was restarted.
    fn since(&mut self, server: f64, unix_nano: u64) -> u64 {
        if self.unix_nano == 0 || self.server != server {
            *self = Self { server, unix_nano };
        }
        self.unix_nano
    }
}

impl Latest {
    /// What has come since the last call.
    pub(crate) fn take(&self) -> Option<Result<Scraped, ScrapeError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, scraped: Result<Scraped, ScrapeError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(scraped);
    }
}

impl Scraped {
    /// Adds the metrics. As upstream has it the resource says what was scraped, and each point whose records these are.
    pub(crate) fn write(&self, identity: &Identity, records: &mut Records) {
        let (host, port) = (&self.endpoint.0, &self.endpoint.1);
        let kind = RecordType::ControlPlane;
        let shared = [
            ("ClusterName", identity.cluster_name()),
            ("NodeName", identity.node_name()),
            ("Sources", Some(kind.sources())),
            ("Type", Some(kind.as_str())),
            ("Version", Some(VERSION)),
        ];
        let shared: Vec<_> = shared.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let mut resource = records.resource();
        resource.attribute("service.name", &format!("{SERVICE}/{host}"));
        resource.attribute("service.instance.id", &format!("{host}:{port}"));
        resource.attribute("server.address", host);
        resource.attribute("server.port", port);
        resource.attribute("url.scheme", "https");
        self.exposed.write(&shared, self.times, &mut resource);
    }
}

fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
