//! `eks`: the cluster and the node that the collector runs in.

use std::sync::Arc;

use async_trait::async_trait;
use aws::ec2::{Instance, Tag};
use k8s::NodeIdentity;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::{EksConfig, KubernetesConfig};
use crate::detector::{Detector, Findings, Switches};
use crate::detectors::ec2::HOSTNAME;
use crate::detectors::k8s_api::node_path;
use crate::error::Error;
use crate::sources::{SERVICE_HOST, Sources};

/// Where the API server says who issues the tokens of service accounts, and which version it is.
const ISSUER: &str = "/.well-known/openid-configuration";
const VERSION: &str = "/version";
/// The attributes that need more than to know that this is EKS.
const OF_THE_INSTANCE: [&str; 8] = [
    "cloud.region",
    "cloud.account.id",
    "cloud.availability_zone",
    "host.id",
    "host.image.id",
    "host.type",
    "host.name",
    "k8s.cluster.name",
];
/// The tags that hold the cluster's name, and the beginning of the keys that do.
const CLUSTER_TAGS: [&str; 2] = ["aws:eks:cluster-name", "eks:cluster-name"];
const CLUSTER_TAG_PREFIX: &str = "kubernetes.io/cluster/";

/// The detector.
pub(crate) struct Eks {
    pub(crate) config: EksConfig,
    pub(crate) sources: Arc<dyn Sources>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct ServerSays {
    issuer: String,
    git_version: String,
}

#[async_trait]
impl Detector for Eks {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        if !self.is_eks().await? {
            return Ok(());
        }
        let on = &self.config.resource_attributes;
        found.begin();
        found.set(on, "cloud.provider", "aws");
        found.set(on, "cloud.platform", "aws_eks");
        // Who wants to know no more waits for no more.
        if OF_THE_INSTANCE.iter().any(|attribute| on.is_on(attribute))
            && let Err(error) = self.instance(found).await
        {
            found.gap = Some(error);
        }
        Ok(())
    }
}

impl Eks {
    /// Whether this is a pod of EKS; the questions in the order of what they cost.
    async fn is_eks(&self) -> Result<bool, Error> {
        let says =
            |name: &str, part: &str| self.sources.variable(name).is_some_and(|value| value.contains(part));
        if self.sources.variable(SERVICE_HOST).is_none_or(|host| host.is_empty()) {
            return Ok(false);
        }
        if says("AWS_WEB_IDENTITY_TOKEN_FILE", "eks.amazonaws.com")
            || says("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "eks-pod-identity")
        {
            return Ok(true);
        }
        // Not every cluster lets everybody read it.
        let issuer = self.ask::<ServerSays>(ISSUER).await.map(|says| says.issuer).unwrap_or_default();
        if issuer.contains("oidc.eks.") {
            return Ok(true);
        }
        Ok(self.ask::<ServerSays>(VERSION).await?.git_version.contains("-eks-"))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let answer = self.sources.api_server(&KubernetesConfig::default(), path).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| Error::Malformed { what: "the API server's answer", source: error.into() })
    }

    /// Adds what is known of the instance: of its metadata, else of the Node object.
    async fn instance(&self, found: &mut Findings) -> Result<(), Error> {
        match self.sources.identity().await {
            Ok(Some(identity)) => {
                let on = &self.config.resource_attributes;
                found.set_text(on, "cloud.region", &identity.region);
                found.set_text(on, "cloud.account.id", &identity.account_id);
                found.set_text(on, "cloud.availability_zone", &identity.availability_zone);
                found.set_text(on, "host.id", &identity.instance_id);
                found.set_text(on, "host.image.id", &identity.image_id);
                found.set_text(on, "host.type", &identity.instance_type);
                if on.is_on("host.name") {
                    found.set_text(
                        on,
                        "host.name",
                        &self.sources.metadata(HOSTNAME).await?.unwrap_or_default(),
                    );
                }
                if on.is_on("k8s.cluster.name") {
                    let instance = self.sources.instance(&identity.region, &identity.instance_id).await?;
                    self.set_cluster(found, instance.as_ref());
                }
                Ok(())
            }
            // Pods need not reach instance metadata.
            Ok(None) | Err(_) => self.node(found).await,
        }
    }

    async fn node(&self, found: &mut Findings) -> Result<(), Error> {
        let variable = &self.config.node_from_env_var;
        let name = self.sources.variable(variable).unwrap_or_default();
        let path = node_path(&name).ok_or_else(|| {
            let reason = if variable.is_empty() {
                "set `node_from_env_var` to a variable that holds spec.nodeName".to_owned()
            } else {
                format!("{name:?} in the variable {variable} is no node's name: set it to spec.nodeName")
            };
            Error::Setting(format!("node name is empty, and there are no instance metadata: {reason}"))
        })?;
        let object = self.sources.api_server(&KubernetesConfig::default(), &path).await?;
        let node = NodeIdentity::from_json(&object)
            .map_err(|error| Error::Malformed { what: "the Node object", source: error.into() })?;
        let on = &self.config.resource_attributes;
        let zone = node.availability_zone.unwrap_or_default();
        let region = node.region.unwrap_or_else(|| region_of(&zone));
        found.set_text(on, "cloud.region", &region);
        found.set_text(on, "cloud.availability_zone", &zone);
        found.set_text(on, "host.type", &node.instance_type.unwrap_or_default());
        // On Fargate there is none.
        let Some(id) = node.instance_id else { return Ok(()) };
        found.set(on, "host.id", id.as_str());
        if ["host.image.id", "host.name", "k8s.cluster.name"].iter().any(|attribute| on.is_on(attribute)) {
            let instance = self.sources.instance(&region, &id).await?;
            if let Some(instance) = &instance {
                found.set_text(on, "host.image.id", &instance.image_id);
                found.set_text(on, "host.name", &instance.private_dns_name);
            }
            self.set_cluster(found, instance.as_ref());
        }
        Ok(())
    }

    fn set_cluster(&self, found: &mut Findings, instance: Option<&Instance>) {
        let name = instance.and_then(|instance| cluster_name(&instance.tags)).unwrap_or_default();
        found.set_text(&self.config.resource_attributes, "k8s.cluster.name", name);
    }
}

/// What the tags say: those of EKS before those that others set, too.
fn cluster_name(tags: &[Tag]) -> Option<&str> {
    let named = CLUSTER_TAGS.iter().find_map(|key| tags.iter().find(|tag| tag.key == *key));
    let prefixed = || tags.iter().find_map(|tag| tag.key.strip_prefix(CLUSTER_TAG_PREFIX));
    named.map(|tag| tag.value.as_str()).or_else(prefixed)
}

/// The region of a zone, which ends with its first number: `us-west-2a`, `us-west-2-lax-1a`.
fn region_of(zone: &str) -> String {
    let Some(start) = zone.find(|character: char| character.is_ascii_digit()) else { return String::new() };
    let (name, rest) = zone.split_at(start);
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    format!("{name}{number}")
}

#[cfg(test)]
mod tests {
    use aws::imds::InstanceIdentity;

    use super::*;
    use crate::fake::{Detect as _, Fake, shown};

    const ALL: &str = "{node_from_env_var: NODE, resource_attributes: {cloud.region: {enabled: true},
        cloud.account.id: {enabled: true}, cloud.availability_zone: {enabled: true}, host.id: {enabled: true},
        host.image.id: {enabled: true}, host.type: {enabled: true}, host.name: {enabled: true},
        k8s.cluster.name: {enabled: true}}}";

    fn pod() -> Fake {
        let fake = Fake::default().with_variable(SERVICE_HOST, "10.100.0.1");
        fake.with_variable(
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
        )
    }

    fn node(provider_id: &str, labels: &str) -> Fake {
        let object =
            format!(r#"{{"metadata":{{"labels":{{{labels}}}}},"spec":{{"providerID":"{provider_id}"}}}}"#);
        pod().with_variable("NODE", "n1").with_object("/api/v1/nodes/n1", 200, &object)
    }

    fn instance(tags: &[(&str, &str)]) -> Instance {
        let tags =
            tags.iter().map(|(key, value)| Tag { key: (*key).into(), value: (*value).into() }).collect();
        Instance {
            id: "i-1".into(),
            image_id: "ami-1".into(),
            private_dns_name: "ip-1.internal".into(),
            tags,
            ..Instance::default()
        }
    }

    async fn detect(yaml: &str, fake: Fake) -> (Findings, Vec<String>) {
        let fake = Arc::new(fake);
        let found =
            Eks { config: confmap::from_yaml(yaml).unwrap(), sources: fake.clone() }.found().await.unwrap();
        (found, fake.asked())
    }

    #[tokio::test]
    async fn which_pods_are_of_eks() {
        let check = async |fake: Fake, expected: bool| {
            let (found, asked) = detect("{}", fake).await;
            assert_eq!(!found.attributes.is_empty(), expected, "{asked:?}");
            asked
        };
        let plain = || Fake::default().with_variable(SERVICE_HOST, "h");
        assert!(check(pod(), true).await.is_empty());
        let identity =
            plain().with_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/x/eks-pod-identity-token");
        assert!(check(identity, true).await.is_empty());
        let issuer = |text: &str| plain().with_object(ISSUER, 200, &format!(r#"{{"issuer":"{text}"}}"#));
        let version =
            |fake: Fake, text: &str| fake.with_object(VERSION, 200, &format!(r#"{{"gitVersion":"{text}"}}"#));
        assert_eq!(check(issuer("https://oidc.eks.us-west-2.amazonaws.com/id/X"), true).await, [ISSUER]);
        assert_eq!(check(version(plain(), "v1.30.4-eks-a737599"), true).await, [ISSUER, VERSION]);
        check(version(issuer("https://kubernetes.default.svc"), "v1.30.4"), false).await;
        let error =
            Eks { config: EksConfig::default(), sources: Arc::new(plain()) }.found().await.unwrap_err();
        assert!(!error.is_permanent());
    }

    /// Row E68.
    #[tokio::test]
    async fn a_host_without_kubernetes() {
        let (found, asked) = detect(ALL, Fake::default()).await;
        assert!(found.attributes.is_empty() && asked.is_empty());
    }

    #[tokio::test]
    async fn an_instance_with_metadata() {
        let identity =
            InstanceIdentity { instance_id: "i-1".into(), region: "r".into(), ..InstanceIdentity::default() };
        let fake = Fake {
            identity: Some(identity),
            instance: Some(Some(instance(&[("kubernetes.io/cluster/c1", "owned")]))),
            ..pod()
        };
        let (found, asked) = detect(ALL, fake).await;
        assert_eq!(
            shown(&found),
            [
                "cloud.provider=aws",
                "cloud.platform=aws_eks",
                "cloud.region=r",
                "host.id=i-1",
                "k8s.cluster.name=c1"
            ]
        );
        assert_eq!(asked, ["identity", HOSTNAME, "DescribeInstances r i-1"]);
        let (found, asked) =
            detect("{}", Fake { identity: Some(InstanceIdentity::default()), ..pod() }).await;
        assert_eq!(shown(&found), ["cloud.provider=aws", "cloud.platform=aws_eks"]);
        assert!(asked.is_empty(), "nothing more is wanted");
    }

    #[tokio::test]
    async fn a_node_without_metadata() {
        let fake = Fake {
            instance: Some(Some(instance(&[("eks:cluster-name", "c1")]))),
            ..node("aws:///us-west-2a/i-1", r#""node.kubernetes.io/instance-type":"m5.large""#)
        };
        let (found, asked) = detect(ALL, fake).await;
        assert_eq!(
            shown(&found)[2..],
            [
                "cloud.region=us-west-2",
                "cloud.availability_zone=us-west-2a",
                "host.type=m5.large",
                "host.id=i-1",
                "host.image.id=ami-1",
                "host.name=ip-1.internal",
                "k8s.cluster.name=c1",
            ]
        );
        assert_eq!(asked, ["identity", "/api/v1/nodes/n1", "DescribeInstances us-west-2 i-1"]);
    }

    /// Row E69.
    #[tokio::test]
    async fn metadata_blocked_and_no_node_variable() {
        for yaml in [ALL.replace("node_from_env_var: NODE, ", ""), ALL.to_owned()] {
            let (found, _) = detect(&yaml, pod()).await;
            assert_eq!(shown(&found), ["cloud.provider=aws", "cloud.platform=aws_eks"]);
            let gap = found.gap.unwrap();
            assert!(gap.is_permanent() && gap.to_string().contains("node name is empty"), "{gap}");
        }
    }

    /// Row E70.
    #[tokio::test]
    async fn a_fargate_node() {
        let (found, asked) =
            detect(ALL, node("aws:///us-west-2a/0f1e2d3c4b/fargate-ip-10-0-1-2.internal", "")).await;
        assert_eq!(shown(&found)[2..], ["cloud.region=us-west-2", "cloud.availability_zone=us-west-2a"]);
        assert!(found.gap.is_none());
        assert!(!asked.iter().any(|what| what.contains("Describe")), "{asked:?}");
    }

    /// Row E71.
    #[tokio::test]
    async fn a_local_zone() {
        let labels = r#""topology.kubernetes.io/region":"us-west-2""#;
        for labels in [labels, ""] {
            let (found, _) = detect(ALL, node("aws:///us-west-2-lax-1a/i-1", labels)).await;
            assert_eq!(
                shown(&found)[2..4],
                ["cloud.region=us-west-2", "cloud.availability_zone=us-west-2-lax-1a"]
            );
        }
        let check = |zone: &str, expected: &str| assert_eq!(region_of(zone), expected, "{zone}");
        check("us-gov-west-1b", "us-gov-west-1");
        check("us-east-1-wl1-bos-wlz-1", "us-east-1");
        check("", "");
        check("nowhere", "");
    }

    /// Row E73.
    #[test]
    fn two_tags_name_a_cluster() {
        let check = |tags: &[(&str, &str)], expected: Option<&str>| {
            assert_eq!(cluster_name(&instance(tags).tags), expected, "{tags:?}");
        };
        check(&[("kubernetes.io/cluster/a", "owned"), ("kubernetes.io/cluster/b", "owned")], Some("a"));
        check(&[("kubernetes.io/cluster/a", "shared"), ("aws:eks:cluster-name", "b")], Some("b"));
        check(&[("eks:cluster-name", "a"), ("aws:eks:cluster-name", "b")], Some("b"));
        check(&[("Name", "x")], None);
    }

    /// Row E75.
    #[tokio::test]
    async fn a_throttled_api_leaves_the_rest() {
        let (found, _) = detect(ALL, Fake { instance: None, ..node("aws:///us-west-2a/i-1", "") }).await;
        assert_eq!(
            shown(&found)[2..],
            ["cloud.region=us-west-2", "cloud.availability_zone=us-west-2a", "host.id=i-1"]
        );
        assert!(!found.gap.unwrap().is_permanent(), "it is asked again");
    }
}
