//! Where detectors look: variables, files, name servers, metadata, the APIs of EC2 and Kubernetes.

use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;
use aws::ec2::{Ec2, Ec2Error, Instance, Tag};
use aws::ecs::{Container, EcsError, Task, TaskMetadata};
use aws::imds::{Imds, ImdsError, InstanceIdentity};
use aws::{Session, SessionConfig};
use bytes::Bytes;
use confmap::Secret;
use k8s::{ApiServer, ApiServerConfig};
use net::dns::Resolver;
use tokio::sync::OnceCell;

use crate::Config;
use crate::config::KubernetesConfig;
use crate::detector::Kind;
use crate::error::Error;

/// The longest file that is read, in bytes.
const LONGEST_FILE: u64 = 1 << 20;
/// Set in every pod that Kubernetes links to its API server.
pub(crate) const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Where detectors look. Answers that cannot change are asked for once, whoever wants them.
#[async_trait]
pub(crate) trait Sources: Send + Sync {
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;

    /// The folder in which the files of the machine are.
    fn root(&self) -> &Path;

    /// What the kernel says of itself and the machine.
    fn uname(&self) -> Uname;

    /// The canonical name behind a name and its addresses, of a name server.
    async fn canonical(&self, name: &str) -> Option<(String, Vec<IpAddr>)>;

    /// The name of an address, of a name server.
    async fn name_of(&self, address: IpAddr) -> Option<String>;

    /// Who this instance is; nothing where there are no metadata.
    async fn identity(&self) -> Result<Option<InstanceIdentity>, Error>;

    /// The text at a path of instance metadata; nothing where there is none.
    async fn metadata(&self, path: &str) -> Result<Option<String>, Error>;

    /// The tags of an instance, of the EC2 API.
    async fn tags(&self, region: &str, instance_id: &str) -> Result<Vec<Tag>, Error>;

    /// An instance, of the EC2 API.
    async fn instance(&self, region: &str, instance_id: &str) -> Result<Option<Instance>, Error>;

    /// The task and the container at an endpoint of task metadata.
    async fn task(&self, uri: &str) -> Result<(Task, Container), Error>;

    /// What the API server answers at a path, to the pod's service account or as a kubeconfig says.
    async fn api_server(&self, config: &KubernetesConfig, path: &str) -> Result<Bytes, Error>;
}

/// What the kernel says of itself and the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Uname {
    /// `Linux`
    pub(crate) system: String,
    /// The host's name.
    pub(crate) node: String,
    /// `6.1.112-122.189.amzn2023.x86_64`
    pub(crate) release: String,
    /// `#1 SMP PREEMPT_DYNAMIC …`
    pub(crate) version: String,
    /// `x86_64`
    pub(crate) machine: String,
}

/// This machine.
pub(crate) struct Machine {
    imds: Result<Imds, String>,
    identity: OnceCell<Option<InstanceIdentity>>,
    ec2: OnceCell<Ec2>,
    /// What the tags are asked of EC2 with: upstream's HTTP client is for these alone.
    tags: SessionConfig,
    ec2_for_tags: OnceCell<Ec2>,
    /// As the pod's service account.
    in_cluster: OnceCell<ApiServer>,
    /// As the detector `k8s_api` is configured otherwise.
    elsewhere: OnceCell<ApiServer>,
}

/// The text of a file under the root, as far as it is not too long.
pub(crate) fn read(sources: &dyn Sources, path: &str) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(sources.root().join(path))?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Machine {
    pub(crate) fn new(config: &Config) -> Self {
        let tags = tag_session(config);
        let config = &config.detection;
        // Whoever asks for a pod's metadata outside EC2 should not wait for several attempts to fail.
        let attempts = if config.kinds().contains(&Kind::Ec2) { config.ec2.max_attempts } else { 1 };
        Self {
            imds: Imds::new(attempts.saturating_sub(1)).map_err(|error| error.to_string()),
            identity: OnceCell::new(),
            ec2: OnceCell::new(),
            tags,
            ec2_for_tags: OnceCell::new(),
            in_cluster: OnceCell::new(),
            elsewhere: OnceCell::new(),
        }
    }

    fn imds(&self) -> Result<&Imds, Error> {
        self.imds.as_ref().map_err(|reason| Error::Setting(reason.clone()))
    }
}

/// EC2 in a region, by way of a session.
async fn ec2(config: &SessionConfig, region: &str) -> Result<Ec2, Error> {
    let config = SessionConfig { region: region.to_owned(), ..config.clone() };
    let failed =
        |source| Error::Request { what: "an AWS session", is_permanent: true, source: Box::new(source) };
    let session: Session = config.load().await.map_err(failed)?;
    Ec2::new(&session).map_err(failed)
}

/// The keys of the HTTP client as those of a session, whose timeout is in whole seconds.
fn tag_session(config: &Config) -> SessionConfig {
    let timeout = *config.detection.timeout;
    let seconds = timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0));
    let tls = &config.http.tls;
    SessionConfig {
        proxy_address: Secret::new(config.http.proxy_url.clone()),
        request_timeout_seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        no_verify_ssl: tls.insecure_skip_verify,
        certificate_file_path: tls.common.ca_file.to_string_lossy().into_owned(),
        ..SessionConfig::default()
    }
}

#[async_trait]
impl Sources for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn root(&self) -> &Path {
        Path::new("/")
    }

    fn uname(&self) -> Uname {
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Uname {
            system: text(uname.sysname()),
            node: text(uname.nodename()),
            release: text(uname.release()),
            version: text(uname.version()),
            machine: text(uname.machine()),
        }
    }

    async fn canonical(&self, name: &str) -> Option<(String, Vec<IpAddr>)> {
        resolver(self).canonical(name).await
    }

    async fn name_of(&self, address: IpAddr) -> Option<String> {
        resolver(self).name_of(address).await
    }

    async fn identity(&self) -> Result<Option<InstanceIdentity>, Error> {
        let ask = async { absent_is_nothing(self.imds()?.identity().await) };
        let identity = self.identity.get_or_try_init(|| async {
            // That there are no metadata may change: the network of a pod takes a moment.
            match ask.await {
                Ok(None) => Err(None),
                Ok(identity) => Ok(identity),
                Err(error) => Err(Some(error)),
            }
        });
        match identity.await {
            Ok(identity) => Ok(identity.clone()),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }

    async fn metadata(&self, path: &str) -> Result<Option<String>, Error> {
        absent_is_nothing(self.imds()?.get(path).await)
    }

    async fn tags(&self, region: &str, instance_id: &str) -> Result<Vec<Tag>, Error> {
        let ec2 = self.ec2_for_tags.get_or_try_init(|| ec2(&self.tags, region)).await?;
        ec2.tags(instance_id).await.map_err(|error| refused("the instance's tags", error))
    }

    async fn instance(&self, region: &str, instance_id: &str) -> Result<Option<Instance>, Error> {
        let ec2 = self.ec2.get_or_try_init(async || ec2(&SessionConfig::default(), region).await).await?;
        ec2.instance(instance_id).await.map_err(|error| refused("the instance", error))
    }

    async fn task(&self, uri: &str) -> Result<(Task, Container), Error> {
        let failed = |source: EcsError| Error::Request {
            what: "the task's metadata",
            is_permanent: matches!(source, EcsError::Url(_)),
            source: Box::new(source),
        };
        let metadata = TaskMetadata::new(uri.to_owned()).map_err(failed)?;
        let (task, container) = tokio::join!(metadata.task(), metadata.container());
        Ok((task.map_err(failed)?, container.map_err(failed)?))
    }

    async fn api_server(&self, config: &KubernetesConfig, path: &str) -> Result<Bytes, Error> {
        let cell = if config.auth_type == "serviceAccount" { &self.in_cluster } else { &self.elsewhere };
        let server = cell.get_or_try_init(async || server(config)).await?;
        server.get(path).await.map_err(|source| Error::Request {
            what: "the API server's answer",
            is_permanent: matches!(source, k8s::Error::Denied { .. } | k8s::Error::Setting { .. }),
            source: Box::new(source),
        })
    }
}

/// Read anew each time: the machine's network may have come up in between.
fn resolver(sources: &dyn Sources) -> Resolver {
    Resolver::from_resolv_conf(&read(sources, "etc/resolv.conf").unwrap_or_default())
}

/// Outside EC2 there is nothing to be found.
fn absent_is_nothing<T>(answer: Result<T, ImdsError>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error @ (ImdsError::Disabled | ImdsError::Unreachable(_) | ImdsError::NotFound { .. })) => {
            tracing::debug!(%error, "no instance metadata");
            Ok(None)
        }
        Err(error) => Err(Error::Request {
            what: "instance metadata",
            is_permanent: matches!(error, ImdsError::Denied { .. }),
            source: Box::new(error),
        }),
    }
}

fn refused(what: &'static str, error: Ec2Error) -> Error {
    Error::Request { what, is_permanent: matches!(error, Ec2Error::Denied { .. }), source: Box::new(error) }
}

fn server(config: &KubernetesConfig) -> Result<ApiServer, Error> {
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let settings = match config.auth_type.as_str() {
        "kubeConfig" => {
            let (path, context) = (set(&config.kube_config_path), set(&config.context));
            ApiServerConfig::from_kubeconfig(path.as_deref().map(Path::new), context.as_deref())
        }
        "none" => ApiServerConfig::anonymous(),
        _ => ApiServerConfig::in_cluster(),
    };
    settings.and_then(ApiServer::new).map_err(|source| Error::Request {
        what: "a client of the API server",
        is_permanent: true,
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tags_are_asked_for_with() {
        let check = |yaml: &str, expected: (&str, i64, bool, &str)| {
            let session = tag_session(&confmap::from_yaml(yaml).unwrap());
            let got = (
                session.proxy_address.expose(),
                session.request_timeout_seconds,
                session.no_verify_ssl,
                session.certificate_file_path.as_str(),
            );
            assert_eq!(got, expected, "{yaml}");
        };
        check("{}", ("", 5, false, ""));
        check("{proxy_url: 'http://p:1', timeout: 1500ms}", ("http://p:1", 2, false, ""));
        check("{timeout: 0s, tls: {insecure_skip_verify: true, ca_file: /ca}}", ("", 0, true, "/ca"));
    }
}
