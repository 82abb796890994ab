//! Metadata: what an EC2 instance or an ECS task knows about itself.

use std::time::Duration;

use aws_config::imds::Client;
use aws_config::provider_config::ProviderConfig;
use aws_types::os_shim_internal::Env;
use net::HttpClientConfig;
use serde::Deserialize;

use crate::credentials::causes;
use crate::http::Requests;

/// The longest that connecting and an answer take: metadata are one hop away, or not there at all.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The switch that the AWS SDKs share.
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
/// Where ECS says that a task's metadata are.
const TASK_METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

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

/// The part of a task's metadata that tells where it runs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Task {
    #[serde(rename = "TaskARN")]
    task_arn: String,
    availability_zone: String,
}

/// Asks who this instance is. `None` where there are no metadata, after `TIMEOUT` for each of `retries` + 1 attempts at
/// most.
pub async fn identity(retries: u32) -> Option<InstanceIdentity> {
    let requests = Requests::new(HttpClientConfig::default()).ok()?;
    let document = get(&requests, retries, "/latest/dynamic/instance-identity/document").await?;
    match serde_json::from_str(&document) {
        Ok(identity) => Some(identity),
        Err(error) => {
            tracing::warn!(%error, "the instance identity document is malformed");
            None
        }
    }
}

/// The region of this instance.
pub(crate) async fn region(requests: &Requests, retries: u32) -> Option<String> {
    get(requests, retries, "/latest/meta-data/placement/region").await
}

/// The region of this ECS task.
pub(crate) async fn task_region(env: &Env, requests: &Requests) -> Option<String> {
    let base = env.get(TASK_METADATA).ok().filter(|base| !base.is_empty())?;
    let document = requests.get(&format!("{base}/task"), TIMEOUT).await?;
    serde_json::from_slice::<Task>(&document).ok()?.region()
}

async fn get(requests: &Requests, retries: u32, path: &'static str) -> Option<String> {
    if std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return None;
    }
    let client = Client::builder()
        .configure(&ProviderConfig::without_region().with_http_client(requests.shared()))
        .max_attempts(retries.saturating_add(1))
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .operation_attempt_timeout(TIMEOUT)
        .build();
    match client.get(path).await {
        Ok(text) => Some(text.into()),
        Err(error) => {
            tracing::debug!(error = causes(&error), path, "no instance metadata");
            None
        }
    }
}

impl Task {
    /// The ARN's region; else the zone without its letter, which only zones of a region itself have.
    fn region(&self) -> Option<String> {
        let of_arn = self.task_arn.split(':').nth(3);
        let of_zone = self.availability_zone.trim_end_matches(|last: char| last.is_ascii_lowercase());
        of_arn.into_iter().chain([of_zone]).find(|region| !region.is_empty()).map(str::to_owned)
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

    #[test]
    fn where_a_task_runs() {
        let check = |document: &str, expected: Option<&str>| {
            let task: Task = serde_json::from_str(document).unwrap();
            assert_eq!(task.region().as_deref(), expected, "{document}");
        };
        check(
            r#"{"TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/1","AvailabilityZone":"us-east-1d"}"#,
            Some("us-west-2"),
        );
        check(r#"{"AvailabilityZone":"us-west-2d","Cluster":"c"}"#, Some("us-west-2"));
        check(r#"{"TaskARN":"arn","AvailabilityZone":""}"#, None);
        check("{}", None);
    }
}
