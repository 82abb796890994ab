//! What ECS answers. Members are found whatever the case of their names, as Go finds them; null is nothing.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Structures whose members are looked for without regard to case.
macro_rules! documents {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty = $key:literal),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$doc])* $vis $field: $kind,)+
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;

                impl<'de> Visitor<'de> for Members {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut found = $name::default();
                        while let Some(key) = map.next_key::<String>()? {
                            $(if key.eq_ignore_ascii_case($key) {
                                if let Some(value) = map.next_value::<Option<$kind>>()? {
                                    found.$field = value;
                                }
                                continue;
                            })+
                            map.next_value::<IgnoredAny>()?;
                        }
                        Ok(found)
                    }
                }

                deserializer.deserialize_map(Members)
            }
        }
    )+};
}

documents! {
    /// A task, as its metadata endpoint describes it. What it does not say is empty.
    pub struct Task {
        /// The cluster's name or ARN.
        cluster: String = "Cluster",
        /// `arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c`
        arn: String = "TaskARN",
        /// The family of its definition.
        family: String = "Family",
        /// The revision of its definition.
        revision: String = "Revision",
        /// `RUNNING`
        known_status: String = "KnownStatus",
        /// `EC2` or `FARGATE`; only version 4 says it.
        launch_type: String = "LaunchType",
        /// `us-west-2a`
        availability_zone: String = "AvailabilityZone",
        /// All its containers.
        containers: Vec<Container> = "Containers",
    }

    /// A container of a task. What the endpoint does not say is empty.
    pub struct Container {
        /// The runtime's id.
        docker_id: String = "DockerId",
        /// The name in the task's definition.
        name: String = "Name",
        /// The runtime's name.
        docker_name: String = "DockerName",
        /// `arn:aws:ecs:us-west-2:111122223333:container/05966557-f16c-49cb-9352-24b3a0dcd0e1`
        arn: String = "ContainerARN",
        /// The image as the task's definition names it.
        image: String = "Image",
        /// `NORMAL`; others are of ECS itself.
        container_type: String = "Type",
        /// `RUNNING`
        known_status: String = "KnownStatus",
        /// `awslogs`; only version 4 says it.
        log_driver: String = "LogDriver",
        /// Of the driver `awslogs`.
        log_options: LogOptions = "LogOptions",
    }

    /// Where a container's logs go.
    pub struct LogOptions {
        /// The log group.
        group: String = "awslogs-group",
        /// Its region.
        region: String = "awslogs-region",
        /// The log stream.
        stream: String = "awslogs-stream",
    }

    /// The agent's own document.
    struct Metadata {
        /// The cluster's name.
        cluster: String = "Cluster",
        /// Its instance; empty until it is registered.
        container_instance_arn: String = "ContainerInstanceArn",
    }

    /// The agent's list.
    struct Tasks {
        /// All it knows.
        tasks: Vec<ListedTask> = "Tasks",
    }

    /// A task of the agent's list.
    struct ListedTask {
        /// Its ARN.
        arn: String = "Arn",
        /// `RUNNING`
        known_status: String = "KnownStatus",
        /// All its containers.
        containers: Vec<ListedContainer> = "Containers",
    }

    /// A container of the agent's list.
    struct ListedContainer {
        /// The runtime's id.
        docker_id: String = "DockerId",
    }
}

/// A machine of a cluster. What the agent does not know yet is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerInstance {
    /// The cluster's name.
    pub cluster: String,
    /// The last part of its ARN.
    pub id: String,
}

/// A task that the agent knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentTask {
    /// `arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c`
    pub arn: String,
    /// `RUNNING`
    pub known_status: String,
    /// The runtime's ids of its containers.
    pub docker_ids: Vec<String>,
}

impl Task {
    /// Reads the answer of a metadata endpoint.
    ///
    /// # Errors
    /// It is not JSON of this shape.
    pub fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// The ARN's region; else the zone without its letter, which only zones of a region itself have.
    pub(crate) fn region(&self) -> Option<String> {
        let of_arn = self.arn.split(':').nth(3);
        let of_zone = self.availability_zone.trim_end_matches(|last: char| last.is_ascii_lowercase());
        of_arn.into_iter().chain([of_zone]).find(|region| !region.is_empty()).map(str::to_owned)
    }
}

impl Container {
    /// Reads the answer of a metadata endpoint.
    ///
    /// # Errors
    /// It is not JSON of this shape.
    pub fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

impl ContainerInstance {
    /// Reads the answer of the agent.
    ///
    /// # Errors
    /// It is not JSON of this shape.
    pub fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let Metadata { cluster, container_instance_arn } = serde_json::from_slice(body)?;
        Ok(Self { cluster, id: resource_id(&container_instance_arn).unwrap_or_default().to_owned() })
    }
}

impl AgentTask {
    /// Reads the answer of the agent.
    ///
    /// # Errors
    /// It is not JSON of this shape.
    pub fn list_from_json(body: &[u8]) -> Result<Vec<Self>, serde_json::Error> {
        let Tasks { tasks } = serde_json::from_slice(body)?;
        let task = |task: ListedTask| {
            let docker_ids = task.containers.into_iter().map(|container| container.docker_id);
            Self {
                arn: task.arn,
                known_status: task.known_status,
                docker_ids: docker_ids.filter(|id| !id.is_empty()).collect(),
            }
        };
        Ok(tasks.into_iter().map(task).collect())
    }

    /// The last part of its ARN: what its control groups are called.
    pub fn id(&self) -> Option<&str> {
        resource_id(&self.arn)
    }
}

/// The last part of an ARN's resource, which names a cluster or does not: `task/default/158d…`, `task/158d…`.
fn resource_id(arn: &str) -> Option<&str> {
    let resource = arn.splitn(6, ':').nth(5)?;
    let (kind, id) = resource.rsplit_once('/')?;
    Some(id).filter(|id| !id.is_empty() && !kind.is_empty())
}
