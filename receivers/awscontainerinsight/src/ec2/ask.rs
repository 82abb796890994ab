//! Who is asked.

use aws::SessionConfig;
use aws::ec2::{Ec2, Tag, Volume};
use component::{BoxError, async_trait};

use crate::instance::Instance;

/// What may be asked about an instance whose id is known.
#[async_trait]
pub(crate) trait Questions: Send + Sync {
    /// All its tags.
    async fn tags(&self, instance: &Instance) -> Result<Vec<Tag>, BoxError>;

    /// Its volumes.
    async fn volumes(&self, instance: &Instance) -> Result<Vec<Volume>, BoxError>;

    /// The instance, if EC2 knows it.
    async fn instance(&self, instance: &Instance) -> Result<Option<aws::ec2::Instance>, BoxError>;
}

/// EC2. Session and connection live only while it is asked, which it seldom is: certificates and credentials take memory.
pub(crate) struct Aws {
    config: SessionConfig,
}

impl Aws {
    /// With the keys of a session. Unless they name a region, the instance's is asked.
    pub(crate) fn new(config: SessionConfig) -> Self {
        if config.no_verify_ssl {
            tracing::warn!(
                "no_verify_ssl is set: the certificate of EC2 is not verified, anyone in between can read and change what \
                 is sent"
            );
        }
        Self { config }
    }

    async fn ec2(&self, instance: &Instance) -> Result<Ec2, aws::SessionError> {
        let mut config = self.config.clone();
        // EC2 knows an instance in its own region only, whatever region the environment names for other services.
        if config.region.is_empty()
            && let Some(region) = instance.region()
        {
            region.clone_into(&mut config.region);
        }
        Ec2::new(&config.load().await?)
    }
}

#[async_trait]
impl Questions for Aws {
    async fn tags(&self, instance: &Instance) -> Result<Vec<Tag>, BoxError> {
        Ok(self.ec2(instance).await?.tags(id(instance)).await?)
    }

    async fn volumes(&self, instance: &Instance) -> Result<Vec<Volume>, BoxError> {
        Ok(self.ec2(instance).await?.volumes(id(instance)).await?)
    }

    async fn instance(&self, instance: &Instance) -> Result<Option<aws::ec2::Instance>, BoxError> {
        Ok(self.ec2(instance).await?.instance(id(instance)).await?)
    }
}

fn id(instance: &Instance) -> &str {
    instance.id.as_deref().unwrap_or_default()
}
