//! `ec2`: the instance that the collector runs on.

use std::sync::Arc;

use async_trait::async_trait;
use pdata::Value;
use regex::Regex;

use crate::config::Ec2Config;
use crate::detector::{Detector, Findings};
use crate::error::Error;
use crate::sources::Sources;

/// The instance's name in its network.
pub(crate) const HOSTNAME: &str = "/latest/meta-data/hostname";
/// The keys of the instance's tags, where the instance lets them be read here.
const TAGS: &str = "/latest/meta-data/tags/instance";
/// Before the key of a tag in an attribute's name.
const TAG_PREFIX: &str = "ec2.tag.";

/// The detector.
pub(crate) struct Ec2 {
    config: Ec2Config,
    /// Which tags are wanted.
    patterns: Vec<Regex>,
    sources: Arc<dyn Sources>,
}

impl Ec2 {
    pub(crate) fn new(config: Ec2Config, sources: Arc<dyn Sources>) -> Self {
        // All are valid: the configuration was checked.
        let patterns = config.tags.iter().filter_map(|pattern| helper::go_regex(pattern).ok()).collect();
        Self { config, patterns, sources }
    }

    async fn tags(&self, region: &str, instance_id: &str) -> Result<Vec<(String, String)>, Error> {
        let wanted = |key: &str| self.patterns.iter().any(|pattern| pattern.is_match(key));
        if !self.config.tags_from_imds {
            let tags = self.sources.tags(region, instance_id).await?;
            return Ok(tags
                .into_iter()
                .filter(|tag| wanted(&tag.key))
                .map(|tag| (tag.key, tag.value))
                .collect());
        }
        let keys = self.sources.metadata(TAGS).await?.ok_or_else(|| {
            Error::Setting(
                "tags are not in the instance's metadata: allow them there, or do without `tags_from_imds`"
                    .into(),
            )
        })?;
        let mut tags = Vec::new();
        for key in keys.lines().filter(|key| wanted(key)) {
            if let Some(value) = self.sources.metadata(&format!("{TAGS}/{key}")).await? {
                tags.push((key.to_owned(), value));
            }
        }
        Ok(tags)
    }
}

#[async_trait]
impl Detector for Ec2 {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        let identity = match self.sources.identity().await {
            Ok(Some(identity)) => identity,
            Ok(None) if self.config.fail_on_missing_metadata => {
                return Err(Error::Request {
                    what: "instance metadata",
                    is_permanent: false,
                    source: "no answer: outside EC2, or the hop limit is too low for containers".into(),
                });
            }
            Ok(None) => return Ok(()),
            Err(error) if error.is_permanent() && !self.config.fail_on_missing_metadata => {
                tracing::warn!(detector = "ec2", error = component::causes(&error), "no instance metadata");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let on = &self.config.resource_attributes;
        found.begin();
        found.set(on, "cloud.provider", "aws");
        found.set(on, "cloud.platform", "aws_ec2");
        found.set_text(on, "cloud.region", &identity.region);
        found.set_text(on, "cloud.account.id", &identity.account_id);
        found.set_text(on, "cloud.availability_zone", &identity.availability_zone);
        found.set_text(on, "host.id", &identity.instance_id);
        found.set_text(on, "host.image.id", &identity.image_id);
        found.set_text(on, "host.type", &identity.instance_type);
        match self.sources.metadata(HOSTNAME).await {
            Ok(name) => found.set_text(on, "host.name", &name.unwrap_or_default()),
            Err(error) => found.gap = Some(error),
        }
        if !self.patterns.is_empty() {
            match self.tags(&identity.region, &identity.instance_id).await {
                Ok(tags) => {
                    let tags = tags.into_iter();
                    found.attributes.extend(
                        tags.map(|(key, value)| (format!("{TAG_PREFIX}{key}"), Value::String(value))),
                    );
                }
                Err(error) => found.gap = Some(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws::ec2::Tag;
    use aws::imds::InstanceIdentity;

    use super::*;
    use crate::fake::{Detect as _, Fake, shown};

    pub(super) fn identity() -> InstanceIdentity {
        InstanceIdentity {
            instance_id: "i-1".into(),
            instance_type: "m5.large".into(),
            region: "us-west-2".into(),
            availability_zone: "us-west-2a".into(),
            private_ip: "10.0.0.1".into(),
            account_id: "111122223333".into(),
            image_id: "ami-1".into(),
            architecture: "x86_64".into(),
        }
    }

    fn on_ec2() -> Fake {
        let mut fake = Fake { identity: Some(identity()), ..Fake::default() };
        fake.metadata.insert(HOSTNAME.into(), "ip-10-0-0-1.us-west-2.compute.internal".into());
        fake
    }

    async fn detect(yaml: &str, fake: Fake) -> (Result<Findings, Error>, Vec<String>) {
        let fake = Arc::new(fake);
        let found = Ec2::new(confmap::from_yaml(yaml).unwrap(), fake.clone()).found().await;
        (found, fake.asked())
    }

    #[tokio::test]
    async fn an_instance() {
        let (found, asked) = detect("{}", on_ec2()).await;
        assert_eq!(
            shown(&found.unwrap()),
            [
                "cloud.provider=aws",
                "cloud.platform=aws_ec2",
                "cloud.region=us-west-2",
                "cloud.account.id=111122223333",
                "cloud.availability_zone=us-west-2a",
                "host.id=i-1",
                "host.image.id=ami-1",
                "host.type=m5.large",
                "host.name=ip-10-0-0-1.us-west-2.compute.internal",
            ]
        );
        assert_eq!(asked, ["identity", HOSTNAME], "tags are not asked for unless there are patterns");
    }

    #[tokio::test]
    async fn no_instance() {
        let (found, _) = detect("{}", Fake::default()).await;
        assert!(found.unwrap().attributes.is_empty());
        let (found, _) = detect("fail_on_missing_metadata: true", Fake::default()).await;
        assert!(component::causes(&found.unwrap_err()).contains("hop limit"));
    }

    #[tokio::test]
    async fn tags_of_the_api() {
        let tag = |key: &str| Tag { key: key.into(), value: format!("of {key}") };
        let fake = Fake { tags: Some(vec![tag("Name"), tag("team"), tag("x-team")]), ..on_ec2() };
        let (found, asked) =
            detect("{tags: [team, '^N'], resource_attributes: {host.name: {enabled: false}}}", fake).await;
        let shown = shown(&found.unwrap());
        assert_eq!(shown[8..], ["ec2.tag.Name=of Name", "ec2.tag.team=of team", "ec2.tag.x-team=of x-team"]);
        assert_eq!(asked.last().unwrap(), "DescribeTags us-west-2 i-1");
    }

    #[tokio::test]
    async fn tags_that_are_refused_are_a_gap() {
        let (found, _) = detect("tags: ['.']", Fake { tags: None, ..on_ec2() }).await;
        let found = found.unwrap();
        assert_eq!(found.attributes.len(), 9);
        assert!(found.gap.unwrap().is_permanent());
    }

    #[tokio::test]
    async fn tags_of_instance_metadata() {
        let mut fake = on_ec2();
        fake.metadata.insert(TAGS.into(), "Name\nteam".into());
        fake.metadata.insert(format!("{TAGS}/team"), "t".into());
        let (found, asked) = detect("{tags: [team], tags_from_imds: true}", fake).await;
        assert_eq!(shown(&found.unwrap())[9..], ["ec2.tag.team=t"]);
        assert!(asked.iter().all(|what| !what.contains("Describe") && !what.contains("Name")), "{asked:?}");
        let (found, _) = detect("{tags: [team], tags_from_imds: true}", on_ec2()).await;
        assert!(found.unwrap().gap.unwrap().to_string().contains("tags_from_imds"));
    }
}
