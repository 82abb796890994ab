//! The kubelet: what runs on one node, asked of the node itself.

pub mod stats;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::Access;
use crate::row::{Decoded, Pod, Row};
use crate::split::{ListSplitter, Piece};
use crate::{ApiServer, ApiServerConfig, Error, Interner, Projection};

/// Where the service account's files are mounted.
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

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
    timeout: Duration,
}

impl KubeletConfig {
    /// The kubelet at `endpoint`, asked with the pod's service account, for 30 seconds at most.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            token_file: Some(PathBuf::from(TOKEN_FILE)),
            ca_file: Some(PathBuf::from(CA_FILE)),
            insecure: false,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Kubelet {
    /// The kubelet that `config` describes. Must be called within a Tokio runtime.
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
        client.accept_invalid_certs = config.insecure;
        client.root_cert_file = config.ca_file.filter(|_| !config.insecure);
        if config.insecure || client.root_cert_file.is_some() {
            // They take no part, so they are not loaded; in an image without any that would fail.
            client.root_cert = Some(Vec::new());
        }
        client.auth_info.token_file = config.token_file.map(|path| path.to_string_lossy().into_owned());
        Ok(Self { api: ApiServer::new(client)?, timeout: config.timeout })
    }

    /// The pods of the node: `/pods`. They are decoded one by one as they arrive.
    ///
    /// # Errors
    /// All of [`Error`] but those of making the client. Roles name what is asked `get` on `nodes/proxy`.
    pub async fn pods(&self, projection: &Projection, interner: &Interner) -> Result<Vec<Pod>, Error> {
        self.retry("nodes/proxy", "/pods", &Pods { projection, interner }).await
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
        let end = Instant::now() + self.timeout;
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let asked = async {
                let response = self.api.open(path, "application/json", access, self.timeout).await?;
                reader.read(&mut response.into_body()).await
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

    fn read(&self, body: &mut kube::client::Body)
    -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

struct Pods<'a> {
    projection: &'a Projection,
    interner: &'a Interner,
}

struct Stats;

impl Reader for Pods<'_> {
    type Answer = Vec<Pod>;

    async fn read(&self, body: &mut kube::client::Body) -> Result<Vec<Pod>, Error> {
        let (mut pods, mut splitter) = (Vec::new(), ListSplitter::default());
        while let Some(chunk) = chunk(body).await? {
            splitter.feed(&chunk, |piece| {
                if let Piece::Item(item) = piece {
                    let decoded = Pod::from_json(item, self.projection, self.interner);
                    let Decoded { row, .. } = decoded.map_err(Error::Malformed)?;
                    pods.push(row);
                }
                Ok(())
            })?;
        }
        splitter.finish()?;
        Ok(pods)
    }
}

impl Reader for Stats {
    type Answer = stats::Summary;

    async fn read(&self, body: &mut kube::client::Body) -> Result<stats::Summary, Error> {
        let mut text = Vec::new();
        while let Some(chunk) = chunk(body).await? {
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

async fn chunk(body: &mut kube::client::Body) -> Result<Option<bytes::Bytes>, Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Unreachable(Box::new(error)))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
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
