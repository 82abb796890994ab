//! Who knows of the instance: its metadata, the EC2 API, the kernel.

use async_trait::async_trait;
use aws::ec2::{Ec2, Ec2Error, Tag, Volume};
use aws::imds::{Imds, ImdsError, InstanceIdentity};
use aws::{SessionConfig, SessionError};
use node::HostPaths;
use tokio::sync::OnceCell;

use crate::Config;

/// Why something is not known of the instance.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The instance's metadata cannot be read.
    #[error("unable to retrieve instance metadata; this processor must only be used on an EC2 instance")]
    Metadata(#[from] ImdsError),
    /// There is no way to ask EC2.
    #[error("cannot ask EC2")]
    Session(#[from] SessionError),
    /// EC2 does not answer, or refuses to.
    #[error("EC2 does not say it")]
    Ec2(#[from] Ec2Error),
}

/// Who knows of the instance.
#[async_trait]
pub(crate) trait Source: Send + Sync {
    /// Who the instance is.
    async fn identity(&self) -> Result<InstanceIdentity, Error>;

    /// Its tags.
    async fn tags(&self, identity: &InstanceIdentity) -> Result<Vec<Tag>, Error>;

    /// Its volumes.
    async fn volumes(&self, identity: &InstanceIdentity) -> Result<Vec<Volume>, Error>;

    /// Where the kernel shows its devices.
    fn paths(&self) -> &HostPaths;
}

/// The instance that this is.
pub(crate) struct Instance {
    imds: Imds,
    session: SessionConfig,
    ec2: OnceCell<Ec2>,
    paths: HostPaths,
}

impl Error {
    /// Whether EC2 says that it is asked too often.
    pub(crate) fn is_throttling(&self) -> bool {
        matches!(self, Self::Ec2(Ec2Error::Throttled { .. }))
    }
}

impl Instance {
    pub(crate) fn new(config: &Config) -> Result<Self, component::BoxError> {
        let file = Some(config.shared_credential_file.clone()).filter(|file| !file.is_empty());
        let session = SessionConfig {
            role_arn: config.role_arn.clone(),
            profile: config.profile.clone(),
            shared_credentials_file: file.into_iter().collect(),
            imds_retries: config.imds_retries.into(),
            keys: config.keys(),
            ..SessionConfig::default()
        };
        let (imds, paths) = (Imds::new(config.imds_retries)?, HostPaths::discover());
        Ok(Self { imds, session, ec2: OnceCell::new(), paths })
    }

    /// EC2 of the instance's region, whatever the environment says of others.
    async fn ec2(&self, identity: &InstanceIdentity) -> Result<&Ec2, Error> {
        let load = async {
            let config = SessionConfig { region: identity.region.clone(), ..self.session.clone() };
            Ok::<_, Error>(Ec2::new(&config.load().await?)?)
        };
        self.ec2.get_or_try_init(|| load).await
    }
}

#[async_trait]
impl Source for Instance {
    async fn identity(&self) -> Result<InstanceIdentity, Error> {
        Ok(self.imds.identity().await?)
    }

    async fn tags(&self, identity: &InstanceIdentity) -> Result<Vec<Tag>, Error> {
        Ok(self.ec2(identity).await?.tags(&identity.instance_id).await?)
    }

    async fn volumes(&self, identity: &InstanceIdentity) -> Result<Vec<Volume>, Error> {
        Ok(self.ec2(identity).await?.volumes(&identity.instance_id).await?)
    }

    fn paths(&self) -> &HostPaths {
        &self.paths
    }
}
