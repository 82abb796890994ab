//! The Node object, as far as it says which machine the node is.

use serde::Deserialize;

use crate::Error;

/// Which machine a node is. What the Node object does not say is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The EC2 instance, from `spec.providerID`. Absent on Fargate and outside AWS.
    pub instance_id: Option<String>,
    /// From the label `node.kubernetes.io/instance-type`.
    pub instance_type: Option<String>,
    /// From the label `topology.kubernetes.io/region`.
    pub region: Option<String>,
    /// From `spec.providerID`, else from the label `topology.kubernetes.io/zone`.
    pub availability_zone: Option<String>,
    /// The first `InternalIP` of `status.addresses`.
    pub private_ip: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    labels: Option<Labels>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Labels {
    #[serde(rename = "node.kubernetes.io/instance-type")]
    instance_type: Option<String>,
    #[serde(rename = "beta.kubernetes.io/instance-type")]
    beta_instance_type: Option<String>,
    #[serde(rename = "topology.kubernetes.io/region")]
    region: Option<String>,
    #[serde(rename = "failure-domain.beta.kubernetes.io/region")]
    beta_region: Option<String>,
    #[serde(rename = "topology.kubernetes.io/zone")]
    zone: Option<String>,
    #[serde(rename = "failure-domain.beta.kubernetes.io/zone")]
    beta_zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    addresses: Option<Vec<Address>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

/// What `spec.providerID` says on AWS.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProviderId<'a> {
    availability_zone: Option<&'a str>,
    instance_id: Option<&'a str>,
}

impl NodeIdentity {
    /// Reads a Node object in JSON. Fields that are not used may have any shape.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_json(object: &[u8]) -> Result<Self, Error> {
        let Object { metadata, spec, status } = serde_json::from_slice(object).map_err(Error::Malformed)?;
        let labels = metadata.labels.unwrap_or_default();
        let provider_id = spec.and_then(|spec| spec.provider_id).unwrap_or_default();
        let provider = ProviderId::parse(&provider_id);
        let addresses = status.and_then(|status| status.addresses).unwrap_or_default();
        Ok(Self {
            instance_id: provider.instance_id.map(str::to_owned),
            instance_type: first_said([labels.instance_type, labels.beta_instance_type]),
            region: first_said([labels.region, labels.beta_region]),
            availability_zone: first_said([
                provider.availability_zone.map(str::to_owned),
                labels.zone,
                labels.beta_zone,
            ]),
            private_ip: addresses.into_iter().find(|a| a.kind == "InternalIP").map(|a| a.address),
        })
    }
}

impl<'a> ProviderId<'a> {
    /// Reads `aws:///us-west-2a/i-0123456789abcdef0`. The last part is an instance only if it begins with `i-`; on
    /// Fargate it names the pod's virtual machine.
    fn parse(text: &'a str) -> Self {
        let Some(path) = text.strip_prefix("aws://") else { return Self::default() };
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (availability_zone, last) = (parts.next(), parts.next_back());
        Self { availability_zone, instance_id: last.filter(|id| id.starts_with("i-")) }
    }
}

fn first_said<const N: usize>(candidates: [Option<String>; N]) -> Option<String> {
    candidates.into_iter().flatten().find(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_ids() {
        fn check(text: &str, availability_zone: Option<&str>, instance_id: Option<&str>) {
            assert_eq!(ProviderId::parse(text), ProviderId { availability_zone, instance_id }, "{text}");
        }
        check("aws:///us-west-2a/i-0123456789abcdef0", Some("us-west-2a"), Some("i-0123456789abcdef0"));
        check("aws:///us-west-2a/0f1e2d3c4b/fargate-ip-10-0-1-2.ec2.internal", Some("us-west-2a"), None);
        check("aws:///us-west-2a", Some("us-west-2a"), None);
        check("aws://", None, None);
        check("gce://project/europe-west1-b/i-like-names", None, None);
        check("kind://docker/kind/kind-control-plane", None, None);
        check("", None, None);
    }

    #[test]
    fn node_objects() {
        fn check(object: &str, expected: [Option<&str>; 5]) {
            let identity = NodeIdentity::from_json(object.as_bytes()).unwrap();
            let NodeIdentity { instance_id, instance_type, region, availability_zone, private_ip } = identity;
            let found = [instance_id, instance_type, region, availability_zone, private_ip];
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{object}");
        }
        check("{}", [None; 5]);
        check(r#"{"metadata":{"labels":null},"spec":null,"status":{"addresses":null}}"#, [None; 5]);
        check(
            r#"{"metadata":{"labels":{"node.kubernetes.io/instance-type":"m6i.large","topology.kubernetes.io/region":
                "eu-central-1","topology.kubernetes.io/zone":"eu-central-1b","other":"x"},"annotations":{"a":"b"}},
                "spec":{"podCIDRs":["10.0.0.0/24"],"providerID":"aws:///eu-central-1a/i-0aa"},
                "status":{"addresses":[{"type":"Hostname","address":"h"},{"type":"InternalIP","address":"10.0.1.2"},
                {"type":"InternalIP","address":"fd00::2"}],"images":[{"names":["x"],"sizeBytes":1}]}}"#,
            [Some("i-0aa"), Some("m6i.large"), Some("eu-central-1"), Some("eu-central-1a"), Some("10.0.1.2")],
        );
        // Labels of Kubernetes before 1.17, and empty ones.
        check(
            r#"{"metadata":{"labels":{"node.kubernetes.io/instance-type":"","beta.kubernetes.io/instance-type":
                "m5.large","failure-domain.beta.kubernetes.io/region":"r","failure-domain.beta.kubernetes.io/zone":
                "z"}},"spec":{"providerID":"kind://docker/a/b"}}"#,
            [None, Some("m5.large"), Some("r"), Some("z"), None],
        );
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in ["", "null", "\"node\"", "{\"metadata\":1}", "<html>"] {
            assert!(matches!(NodeIdentity::from_json(text.as_bytes()), Err(Error::Malformed(_))), "{text}");
        }
    }
}
