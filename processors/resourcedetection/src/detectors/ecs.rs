//! `ecs`: the task that the collector runs in.

use std::sync::Arc;

use async_trait::async_trait;
use aws::ecs::{Container, Task};

use crate::config::EcsConfig;
use crate::detector::{Detector, Findings};
use crate::error::Error;
use crate::sources::Sources;

/// Where ECS says that a task's metadata are, the newer version first.
const ENDPOINTS: [&str; 2] = ["ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI"];

/// The detector.
pub(crate) struct Ecs {
    pub(crate) config: EcsConfig,
    pub(crate) sources: Arc<dyn Sources>,
}

/// The parts of a task's ARN.
struct Arn<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    id: &'a str,
}

/// Where the containers of a task log.
#[derive(Default)]
struct Logs {
    groups: Vec<String>,
    group_arns: Vec<String>,
    streams: Vec<String>,
    stream_arns: Vec<String>,
}

#[async_trait]
impl Detector for Ecs {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        let usable = |uri: &String| uri.starts_with("http://") || uri.starts_with("https://");
        let uri = ENDPOINTS.iter().find_map(|name| self.sources.variable(name).filter(usable));
        let Some(uri) = uri else { return Ok(()) };
        let (task, container) = self.sources.task(&uri).await?;
        let arn = Arn::parse(&task.arn).ok_or_else(|| Error::Malformed {
            what: "the task's metadata",
            source: format!("{:?} is not the ARN of a task", task.arn).into(),
        })?;
        self.describe(&task, &container, &arn, found);
        Ok(())
    }
}

impl Ecs {
    fn describe(&self, task: &Task, container: &Container, arn: &Arn<'_>, found: &mut Findings) {
        let on = &self.config.resource_attributes;
        found.begin();
        found.set(on, "cloud.provider", "aws");
        found.set(on, "cloud.platform", "aws_ecs");
        found.set(on, "aws.ecs.task.arn", task.arn.as_str());
        found.set_text(on, "aws.ecs.task.family", &task.family);
        found.set_text(on, "aws.ecs.task.revision", &task.revision);
        found.set_text(on, "aws.ecs.task.id", arn.id);
        found.set_text(on, "cloud.region", arn.region);
        found.set_text(on, "cloud.account.id", arn.account);
        found.set_text(on, "cloud.availability_zone", &task.availability_zone);
        found.set_text(on, "aws.ecs.cluster.arn", &arn.cluster(&task.cluster));
        let launch_type = task.launch_type.to_ascii_lowercase();
        if matches!(launch_type.as_str(), "ec2" | "fargate") {
            found.set(on, "aws.ecs.launchtype", launch_type);
        }
        let logs = Logs::of(task, container, arn);
        found.set_list(on, "aws.log.group.names", logs.groups);
        found.set_list(on, "aws.log.group.arns", logs.group_arns);
        found.set_list(on, "aws.log.stream.names", logs.streams);
        found.set_list(on, "aws.log.stream.arns", logs.stream_arns);
    }
}

impl<'a> Arn<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (Some("arn"), partition, _, region, account, Some(resource)) =
            (parts.next(), parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next())
        else {
            return None;
        };
        let id = resource.rsplit('/').next().unwrap_or_default();
        Some(Self { partition, region, account, id })
    }

    /// The ARN of a cluster of which only the name may be known.
    fn cluster(&self, cluster: &str) -> String {
        if cluster.is_empty() || cluster.contains(':') {
            return cluster.to_owned();
        }
        format!("arn:{}:ecs:{}:{}:cluster/{cluster}", self.partition, self.region, self.account)
    }
}

impl Logs {
    /// Of all containers but the one that asks, and those that are ECS's own.
    fn of(task: &Task, container: &Container, arn: &Arn<'_>) -> Self {
        let mut logs = Self::default();
        for other in task.containers.iter().filter(|other| {
            other.container_type == "NORMAL"
                && other.known_status == "RUNNING"
                && other.log_driver == "awslogs"
                && other.docker_id != container.docker_id
        }) {
            let options = &other.log_options;
            if options.group.is_empty() {
                continue;
            }
            let region = if options.region.is_empty() { arn.region } else { &options.region };
            let group =
                format!("arn:{}:logs:{region}:{}:log-group:{}", arn.partition, arn.account, options.group);
            if !options.stream.is_empty() {
                logs.streams.push(options.stream.clone());
                logs.stream_arns.push(format!("{group}:log-stream:{}", options.stream));
            }
            logs.groups.push(options.group.clone());
            logs.group_arns.push(group);
        }
        logs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Detect as _, Fake, shown};

    const TASK: &str = r#"{"Cluster": "c1", "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/c1/158d1c80",
        "Family": "f", "Revision": "7", "LaunchType": "FARGATE", "AvailabilityZone": "us-west-2a", "Containers": [
        {"DockerId": "self", "Type": "NORMAL", "KnownStatus": "RUNNING", "LogDriver": "awslogs",
         "LogOptions": {"awslogs-group": "own", "awslogs-stream": "own"}},
        {"DockerId": "d1", "Type": "NORMAL", "KnownStatus": "RUNNING", "LogDriver": "awslogs",
         "LogOptions": {"awslogs-group": "g1", "awslogs-region": "us-east-1", "awslogs-stream": "s1"}},
        {"DockerId": "d2", "Type": "NORMAL", "KnownStatus": "STOPPED", "LogDriver": "awslogs",
         "LogOptions": {"awslogs-group": "g2", "awslogs-stream": "s2"}},
        {"DockerId": "d3", "Type": "CNI_PAUSE", "KnownStatus": "RUNNING", "LogDriver": "awslogs",
         "LogOptions": {"awslogs-group": "g3", "awslogs-stream": "s3"}},
        {"DockerId": "d4", "Type": "NORMAL", "KnownStatus": "RUNNING", "LogDriver": "awslogs", "LogOptions": {}},
        {"DockerId": "d5", "Type": "NORMAL", "KnownStatus": "RUNNING", "LogDriver": "json-file"}]}"#;

    async fn detect(task: &str) -> Result<Findings, Error> {
        let task = Task::from_json(task.as_bytes()).unwrap();
        let container = Container { docker_id: "self".into(), ..Container::default() };
        let fake = Fake { task: Some((task, container)), ..Fake::default() };
        let fake = fake.with_variable(ENDPOINTS[1], "http://169.254.170.2/v3/x");
        Ecs { config: EcsConfig::default(), sources: Arc::new(fake) }.found().await
    }

    #[tokio::test]
    async fn a_task() {
        assert_eq!(
            shown(&detect(TASK).await.unwrap()),
            [
                "cloud.provider=aws",
                "cloud.platform=aws_ecs",
                "aws.ecs.task.arn=arn:aws:ecs:us-west-2:111122223333:task/c1/158d1c80",
                "aws.ecs.task.family=f",
                "aws.ecs.task.revision=7",
                "aws.ecs.task.id=158d1c80",
                "cloud.region=us-west-2",
                "cloud.account.id=111122223333",
                "cloud.availability_zone=us-west-2a",
                "aws.ecs.cluster.arn=arn:aws:ecs:us-west-2:111122223333:cluster/c1",
                "aws.ecs.launchtype=fargate",
                "aws.log.group.names=[g1]",
                "aws.log.group.arns=[arn:aws:logs:us-east-1:111122223333:log-group:g1]",
                "aws.log.stream.names=[s1]",
                "aws.log.stream.arns=[arn:aws:logs:us-east-1:111122223333:log-group:g1:log-stream:s1]",
            ]
        );
    }

    /// Row E72.
    #[tokio::test]
    async fn a_short_cluster_name_in_other_partitions() {
        for partition in ["aws-cn", "aws-us-gov"] {
            let text = TASK.replace("arn:aws:", &format!("arn:{partition}:"));
            let found = shown(&detect(&text).await.unwrap());
            let cluster =
                format!("aws.ecs.cluster.arn=arn:{partition}:ecs:us-west-2:111122223333:cluster/c1");
            assert!(found.contains(&cluster), "{found:?}");
        }
        let whole = TASK.replace(r#""Cluster": "c1""#, r#""Cluster": "arn:aws:ecs:r:a:cluster/c2""#);
        assert!(
            shown(&detect(&whole).await.unwrap())
                .contains(&"aws.ecs.cluster.arn=arn:aws:ecs:r:a:cluster/c2".into())
        );
    }

    #[tokio::test]
    async fn a_task_whose_arn_is_none() {
        for arn in ["", "arn:aws:ecs:r:a", "task/c1/1"] {
            let error = detect(&format!(r#"{{"TaskARN": "{arn}"}}"#)).await.unwrap_err();
            assert!(component::causes(&error).contains("is not the ARN of a task"), "{error}");
        }
    }

    #[tokio::test]
    async fn another_platform() {
        for fake in [Fake::default(), Fake::default().with_variable(ENDPOINTS[0], "nonsense")] {
            let found = Ecs { config: EcsConfig::default(), sources: Arc::new(fake) }.found().await.unwrap();
            assert!(found.attributes.is_empty());
        }
    }
}
