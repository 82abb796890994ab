//! Instance metadata: what an EC2 instance knows about itself.

use std::time::Duration;

use aws_config::imds::Client;
use serde::Deserialize;

/// The longest that connecting takes, and an answer: metadata are one hop away, or not there at all.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The switch that the AWS SDKs share.
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// What the instance identity document says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InstanceIdentity {
    /// `i-0123456789abcdef0`
    pub instance_id: String,
    /// `m5.large`
    pub instance_type: String,
    /// `us-west-2`
    pub region: String,
    /// `us-west-2a`
    pub availability_zone: String,
    /// The primary IPv4 address.
    pub private_ip: String,
}

/// Asks who this instance is. `None` where there are no metadata, after `TIMEOUT` for each of `retries` + 1 attempts at
/// most.
pub async fn identity(retries: u32) -> Option<InstanceIdentity> {
    let document = get(retries, "/latest/dynamic/instance-identity/document").await?;
    match serde_json::from_str(&document) {
        Ok(identity) => Some(identity),
        Err(error) => {
            tracing::warn!(%error, "the instance identity document is malformed");
            None
        }
    }
}

/// The region of this instance.
pub(crate) async fn region(retries: u32) -> Option<String> {
    get(retries, "/latest/meta-data/placement/region").await
}

async fn get(retries: u32, path: &'static str) -> Option<String> {
    if std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return None;
    }
    let client = Client::builder()
        .max_attempts(retries.saturating_add(1))
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .operation_attempt_timeout(TIMEOUT)
        .build();
    match client.get(path).await {
        Ok(text) => Some(text.into()),
        Err(error) => {
            tracing::debug!(error = %aws_smithy_types::error::display::DisplayErrorContext(&error), path, "no instance metadata");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_document() {
        let document = r#"{"accountId":"123","instanceId":"i-1","instanceType":"m5.large","region":"r","availabilityZone":"ra","privateIp":"10.0.0.1","kernelId":null}"#;
        let expected = InstanceIdentity {
            instance_id: "i-1".into(),
            instance_type: "m5.large".into(),
            region: "r".into(),
            availability_zone: "ra".into(),
            private_ip: "10.0.0.1".into(),
        };
        assert_eq!(serde_json::from_str::<InstanceIdentity>(document).unwrap(), expected);
    }
}
