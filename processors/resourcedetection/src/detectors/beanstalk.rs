//! `elastic_beanstalk`: the environment that the collector was deployed with.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::config::BeanstalkConfig;
use crate::detector::{Detector, Findings};
use crate::error::Error;
use crate::sources::{Sources, read};

/// What Elastic Beanstalk writes for the X-Ray daemon.
const FILE: &str = "var/elasticbeanstalk/xray/environment.conf";

/// The detector.
pub(crate) struct Beanstalk {
    pub(crate) config: BeanstalkConfig,
    pub(crate) sources: Arc<dyn Sources>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Environment {
    environment_name: String,
    version_label: String,
    /// A number, in all that was seen.
    deployment_id: Json,
}

impl Default for Environment {
    fn default() -> Self {
        Self { environment_name: String::new(), version_label: String::new(), deployment_id: Json::Null }
    }
}

#[async_trait]
impl Detector for Beanstalk {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        let text = match read(&*self.sources, FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Error::File { path: format!("/{FILE}"), source }),
        };
        let environment: Environment = serde_json::from_str(&text).map_err(|error| Error::Malformed {
            what: "Elastic Beanstalk's environment file",
            source: error.into(),
        })?;
        let on = &self.config.resource_attributes;
        found.begin();
        found.set(on, "cloud.provider", "aws");
        found.set(on, "cloud.platform", "aws_elastic_beanstalk");
        let deployment = match environment.deployment_id {
            Json::String(text) => text,
            Json::Null => String::new(),
            other => other.to_string(),
        };
        found.set_text(on, "service.instance.id", &deployment);
        found.set_text(on, "deployment.environment", &environment.environment_name);
        found.set_text(on, "service.version", &environment.version_label);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Detect as _, Fake, shown};

    async fn detect(file: Option<&str>) -> Result<Findings, Error> {
        let fake = file.map_or_else(Fake::default, |text| Fake::default().with_file(FILE, text));
        Beanstalk { config: BeanstalkConfig::default(), sources: Arc::new(fake) }.found().await
    }

    #[tokio::test]
    async fn an_environment() {
        let text =
            r#"{"deployment_id":23,"version_label":"env-version-1234","environment_name":"BETA","x":[]}"#;
        assert_eq!(
            shown(&detect(Some(text)).await.unwrap()),
            [
                "cloud.provider=aws",
                "cloud.platform=aws_elastic_beanstalk",
                "service.instance.id=23",
                "deployment.environment=BETA",
                "service.version=env-version-1234",
            ]
        );
    }

    #[tokio::test]
    async fn no_environment() {
        assert!(detect(None).await.unwrap().attributes.is_empty());
        assert!(!detect(Some("{\"deployment_id\":")).await.unwrap_err().is_permanent());
    }
}
