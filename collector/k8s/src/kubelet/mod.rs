//! The kubelet: what runs on one node, asked of the node itself.

mod known;
pub mod stats;

pub use known::KnownPods;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::client::{Access, ApiStream};
use crate::connection::{Credentials, SERVICE_ACCOUNT};
use crate::row::{Pod, Row as _};
use crate::wire::ListReader;
use crate::{ApiServer, ApiServerConfig, Error, Interner, Projection};

/// The kubelet's port.
const PORT: u16 = 10_250;

/// How often a question is asked before its failure counts, and the wait before the first repetition, which doubles.
const ATTEMPTS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Statistics of a node with thousands of pods take a few megabytes.
const LONGEST_STATS: usize = 64 * 1024 * 1024;

/// How a kubelet is reached.
#[derive(Debug, Clone)]
pub struct KubeletConfig {
    /// An address or name, with or without a port, or a whole URL.
    pub endpoint: String,
    /// The file with the bearer token, which is read anew every minute. Without it nothing is presented.
    pub token_file: Option<PathBuf>,
    /// The file with the certificates that sign kubelets' ones; without it the system's are used.
    pub ca_file: Option<PathBuf>,
    /// Whether the kubelet's certificate is not looked at.
    pub insecure: bool,
    /// How long a question may take, repetitions included.
    pub timeout: Duration,
}

/// A connection to a kubelet.
#[derive(Clone)]
pub struct Kubelet {
    api: ApiServer,
    /// Before each path: empty, or where the API server passes questions on.
    prefix: String,
    timeout: Duration,
}

impl KubeletConfig {
    /// The kubelet at `endpoint`, asked with the pod's service account, for 30 seconds at most.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            token_file: Some(Path::new(SERVICE_ACCOUNT).join("token")),
            ca_file: Some(Path::new(SERVICE_ACCOUNT).join("ca.crt")),
            insecure: false,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Kubelet {
    /// The kubelet that `config` describes.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Client`].
    pub fn new(config: KubeletConfig) -> Result<Self, Error> {
        let url = url(&config.endpoint);
        let url = url.parse().map_err(|error: http::uri::InvalidUri| Error::Setting {
            what: "address of the kubelet",
            reason: format!("{:?}: {error}", config.endpoint),
        })?;
        let mut client = ApiServerConfig::new(url);
        match config.ca_file {
            // It takes no part, so it need not be there.
            _ if config.insecure => client.tls.insecure_skip_verify = true,
            Some(path) => client.trust_file(path),
            None => {}
        }
        client.credentials = config.token_file.map_or(Credentials::None, Credentials::TokenFile);
        Ok(Self { api: ApiServer::new(client)?, prefix: String::new(), timeout: config.timeout })
    }

    /// The kubelet of a node, which the API server is to ask: for those who cannot reach it themselves, or have credentials for
    /// the API server only. A question takes 30 seconds at most.
    #[must_use]
    pub fn through(api: ApiServer, node: &str) -> Self {
        let timeout = Duration::from_secs(30);
        Self { api, prefix: format!("/api/v1/nodes/{node}/proxy"), timeout }
    }

    /// The pods of the node: `/pods`. They are decoded one by one as they arrive.
    ///
    /// # Errors
    /// All of [`Error`] but those of making the client. Roles name what is asked `get` on `nodes/proxy`.
    pub async fn pods(&self, projection: &Projection, interner: &Interner) -> Result<Vec<Pod>, Error> {
        self.pods_since(&mut KnownPods::default(), projection, interner).await
    }

    /// The same for who asks again and again: pods whose text has not changed since they became `known` are not decoded anew.
    /// What is known belongs to one projection and one interner.
    ///
    /// # Errors
    /// As [`Kubelet::pods`].
    pub async fn pods_since(
        &self,
        known: &mut KnownPods,
        projection: &Projection,
        interner: &Interner,
    ) -> Result<Vec<Pod>, Error> {
        let pods = Pods { known: Mutex::new(known), projection, interner };
        self.retry("nodes/proxy", "/pods", &pods).await
    }

    /// What the kubelet measured: `/stats/summary`.
    ///
    /// # Errors
    /// All of [`Error`] but those of making the client. Roles name what is asked `get` on `nodes/stats`.
    pub async fn stats(&self) -> Result<stats::Summary, Error> {
        self.retry("nodes/stats", "/stats/summary", &Stats).await
    }

    async fn retry<R: Reader>(&self, resource: &str, path: &str, reader: &R) -> Result<R::Answer, Error> {
        let access = Access { verb: "get", resource };
        let path = &format!("{}{path}", self.prefix);
        let end = Instant::now() + self.timeout;
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let asked = async {
                reader.read(&mut self.api.open(path, "application/json", access, self.timeout).await?).await
            };
            match timeout_at(end, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if attempt >= ATTEMPTS || !is_passing(&error) => return Err(error),
                Ok(Err(error)) => tracing::debug!(%error, path, "asking the kubelet again"),
                Err(_) => break,
            }
            sleep(wait).await;
            wait *= 2;
        }
        Err(Error::Timeout(self.timeout))
    }
}

/// Understands the body of an answer. A trait, as the futures of closures cannot be said to be `Send`.
trait Reader: Sync {
    type Answer: Send;

    fn read(&self, body: &mut ApiStream) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

struct Pods<'a> {
    known: Mutex<&'a mut KnownPods>,
    projection: &'a Projection,
    interner: &'a Interner,
}

struct Stats;

impl Reader for Pods<'_> {
    type Answer = Vec<Pod>;

    async fn read(&self, body: &mut ApiStream) -> Result<Vec<Pod>, Error> {
        let (mut pods, mut list, mut seen) = (Vec::new(), ListReader::default(), known::Seen::default());
        while let Some(chunk) = body.chunk().await? {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            list.feed_text(&chunk, |text| {
                let decode =
                    || Pod::from_json(text, self.projection, self.interner).map(|decoded| decoded.row);
                pods.push(known.find_or(text, &mut seen, decode).map_err(Error::Malformed)?);
                Ok(())
            })?;
        }
        list.finish()?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).replace(seen);
        Ok(pods)
    }
}

impl Reader for Stats {
    type Answer = stats::Summary;

    async fn read(&self, body: &mut ApiStream) -> Result<stats::Summary, Error> {
        let mut text = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            if text.len() + chunk.len() > LONGEST_STATS {
                return Err(Error::TooLong { limit: LONGEST_STATS });
            }
            text.extend_from_slice(&chunk);
        }
        match text.first() {
            Some(b'{') => serde_json::from_slice(&text).map_err(Error::Malformed),
            _ => Err(crate::split::unexpected(0, &text)),
        }
    }
}

/// Whether asking again may help at once.
fn is_passing(error: &Error) -> bool {
    matches!(
        error,
        Error::Unreachable(_)
            | Error::CutOff { .. }
            | Error::Busy { .. }
            | Error::Status { status: 500.., .. }
    )
}

/// The URL of an address or name, with or without a port, or of a whole URL.
fn url(endpoint: &str) -> String {
    if endpoint.contains("://") {
        return endpoint.to_owned();
    }
    match endpoint.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V6(address)) => format!("https://[{address}]:{PORT}"),
        Ok(IpAddr::V4(address)) => format!("https://{address}:{PORT}"),
        Err(_) if endpoint.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            format!("https://{endpoint}")
        }
        Err(_) => format!("https://{endpoint}:{PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        fn check(endpoint: &str, expected: &str) {
            assert_eq!(url(endpoint), expected);
        }
        check("10.0.1.2", "https://10.0.1.2:10250");
        check("10.0.1.2:10251", "https://10.0.1.2:10251");
        check("fd00::1", "https://[fd00::1]:10250");
        check("[fd00::1]", "https://[fd00::1]:10250");
        check("[fd00::1]:1", "https://[fd00::1]:1");
        check("ip-10-0-1-2.ec2.internal", "https://ip-10-0-1-2.ec2.internal:10250");
        check("node:1", "https://node:1");
        check("http://127.0.0.1:1234", "http://127.0.0.1:1234");
    }
}
