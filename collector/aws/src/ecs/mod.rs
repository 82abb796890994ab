//! What ECS tells its tasks: the metadata endpoint of a task (version 4, or 3), and the agent of a container instance.

mod document;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use net::HttpFailure;

pub use self::document::{AgentTask, Container, ContainerInstance, LogOptions, Task};
use crate::http::Requests;

/// The variable with the metadata endpoint of this task, version 4.
pub(crate) const METADATA_V4: &str = "ECS_CONTAINER_METADATA_URI_V4";
/// The same, version 3.
const METADATA_V3: &str = "ECS_CONTAINER_METADATA_URI";
/// The port of the agent.
const AGENT_PORT: u16 = 51678;
/// The longest that an answer of the agent takes.
const AGENT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that an answer of the metadata endpoint takes, which may have to ask ECS itself.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read: less than 5 MiB.
const MAX_ANSWER: usize = (5 << 20) - 1;

/// Why ECS did not say it.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// Not where anything could be asked.
    #[error("{0:?} is no URL of ECS")]
    Url(String),
    /// There is no answer, or one of 5 MiB or more.
    #[error("ECS does not answer")]
    Unreachable(#[source] HttpFailure),
    /// There is no answer in time.
    #[error("{url} does not answer within {timeout:?}")]
    Slow {
        /// Who.
        url: String,
        /// How long was waited for it.
        timeout: Duration,
    },
    /// An answer that is none.
    #[error("{url} answers with status {status}")]
    Status {
        /// Who.
        url: String,
        /// Not 200.
        status: u16,
    },
    /// An answer that is not understood.
    #[error("the answer of {url} is malformed")]
    Malformed {
        /// Who.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Http(#[from] net::Error),
}

/// The metadata endpoint of this task.
#[derive(Debug, Clone)]
pub struct TaskMetadata {
    requests: Requests,
    url: String,
}

/// The introspection endpoint of the agent of a container instance.
#[derive(Debug, Clone)]
pub struct Agent {
    requests: Requests,
    url: String,
}

/// The metadata endpoint of this task; none outside ECS.
pub fn metadata_uri() -> Option<String> {
    [METADATA_V4, METADATA_V3].iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()))
}

impl TaskMetadata {
    /// The endpoint at a URL, as of [`metadata_uri`].
    ///
    /// # Errors
    /// It is no URL.
    pub fn new(uri: String) -> Result<Self, EcsError> {
        let url = uri.trim_end_matches('/').to_owned();
        let _: Uri = parse(&url)?;
        Ok(Self { requests: Requests::local()?, url })
    }

    /// This task.
    ///
    /// # Errors
    /// See [`EcsError`].
    pub async fn task(&self) -> Result<Task, EcsError> {
        let url = format!("{}/task", self.url);
        let body = get(&self.requests, &url, METADATA_TIMEOUT).await?;
        Task::from_json(&body).map_err(|source| EcsError::Malformed { url, source })
    }

    /// The container of this process.
    ///
    /// # Errors
    /// See [`EcsError`].
    pub async fn container(&self) -> Result<Container, EcsError> {
        let body = get(&self.requests, &self.url, METADATA_TIMEOUT).await?;
        let malformed = |source| EcsError::Malformed { url: self.url.clone(), source };
        Container::from_json(&body).map_err(malformed)
    }
}

impl Agent {
    /// The agent of the instance with this private address, at port 51678 unless the address brings another.
    ///
    /// # Errors
    /// It is no address.
    pub fn new(private_ip: &str) -> Result<Self, EcsError> {
        let host = match private_ip.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V6(_)) => format!("[{private_ip}]"),
            _ => private_ip.to_owned(),
        };
        let url = parse(&format!("http://{host}"))?;
        let url = match url.port_u16() {
            Some(_) => format!("http://{host}"),
            None => format!("http://{host}:{AGENT_PORT}"),
        };
        Ok(Self { requests: Requests::local()?, url })
    }

    /// Which container instance of which cluster this is.
    ///
    /// # Errors
    /// See [`EcsError`].
    pub async fn container_instance(&self) -> Result<ContainerInstance, EcsError> {
        let url = format!("{}/v1/metadata", self.url);
        let body = get(&self.requests, &url, AGENT_TIMEOUT).await?;
        ContainerInstance::from_json(&body).map_err(|source| EcsError::Malformed { url, source })
    }

    /// The tasks that the agent knows, ended ones too.
    ///
    /// # Errors
    /// See [`EcsError`].
    pub async fn tasks(&self) -> Result<Vec<AgentTask>, EcsError> {
        let url = format!("{}/v1/tasks", self.url);
        let body = get(&self.requests, &url, AGENT_TIMEOUT).await?;
        AgentTask::list_from_json(&body).map_err(|source| EcsError::Malformed { url, source })
    }
}

/// The region of this ECS task, if it is one.
pub(crate) async fn task_region(uri: Option<String>) -> Option<String> {
    let metadata = TaskMetadata::new(uri.filter(|uri| !uri.is_empty())?).ok()?;
    let task = metadata.task().await;
    task.inspect_err(|error| {
        tracing::debug!(error = component::causes(error), "no region in the task's metadata");
    })
    .ok()?
    .region()
}

fn parse(url: &str) -> Result<Uri, EcsError> {
    let failed = || EcsError::Url(url.to_owned());
    let parsed: Uri = url.parse().map_err(|_| failed())?;
    let usable = parsed.scheme_str() == Some("http") && parsed.host().is_some_and(|host| !host.is_empty());
    if usable && parsed.path_and_query().is_none_or(|path| path.query().is_none()) {
        Ok(parsed)
    } else {
        Err(failed())
    }
}

async fn get(requests: &Requests, url: &str, timeout: Duration) -> Result<Bytes, EcsError> {
    let answer = tokio::time::timeout(timeout, requests.get(parse(url)?, MAX_ANSWER)).await;
    let answer = answer.map_err(|_| EcsError::Slow { url: url.to_owned(), timeout })?;
    let answer = answer.map_err(EcsError::Unreachable)?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        status => Err(EcsError::Status { url: url.to_owned(), status: status.as_u16() }),
    }
}
