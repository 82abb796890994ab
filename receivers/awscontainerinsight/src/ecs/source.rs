//! Asks the ECS agent in each collection.

use std::time::Duration;

use aws::ecs::{Agent, AgentTask, ContainerInstance, EcsError, TaskMetadata};
use component::async_trait;
use node::{Buffer, Cgroups};

use super::Reserved;
use crate::health::Health;

/// For logs: who is asked.
const AGENT: &str = "the ECS agent";
/// For logs: where reservations are read.
const CGROUPS: &str = "the control groups of the ECS tasks";

/// The longest that a collection waits for the metadata of a task.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address<'a> {
    /// At the machine's own address.
    Known(&'a str),
    /// It may still be found out.
    Sought,
    /// It was not found out.
    Unknown,
}

/// An agent.
#[async_trait]
pub(crate) trait Introspection: Send + Sync {
    async fn container_instance(&self) -> Result<ContainerInstance, EcsError>;
    async fn tasks(&self) -> Result<Vec<AgentTask>, EcsError>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error(
        "this machine's address is not known: set the environment variable HOST_IP or the key host_ip, or let containers \
         reach instance metadata (hop limit 2)"
    )]
    NoAddress,
    #[error(transparent)]
    Ecs(#[from] EcsError),
}

#[derive(Debug, thiserror::Error)]
#[error("no task that runs has a control group that can be seen: mount the host's /sys/fs/cgroup")]
struct NoCgroups;

/// The ECS of this machine.
pub(crate) struct EcsSource {
    connect: fn(&str) -> Result<Box<dyn Introspection>, EcsError>,
    /// The agent, and the address that it is at.
    agent: Option<(String, Box<dyn Introspection>)>,
    /// The endpoint of the collector's own task, which knows the cluster too.
    metadata: Option<TaskMetadata>,
    instance: ContainerInstance,
    buffer: Buffer,
}

#[async_trait]
impl Introspection for Agent {
    async fn container_instance(&self) -> Result<ContainerInstance, EcsError> {
        Agent::container_instance(self).await
    }

    async fn tasks(&self) -> Result<Vec<AgentTask>, EcsError> {
        Agent::tasks(self).await
    }
}

impl EcsSource {
    /// The agent of this machine; `metadata` is the endpoint of the collector's task.
    pub(crate) fn new(metadata: Option<TaskMetadata>) -> Self {
        Self::with(|address| Ok(Box::new(Agent::new(address)?)), metadata)
    }

    fn with(
        connect: fn(&str) -> Result<Box<dyn Introspection>, EcsError>,
        metadata: Option<TaskMetadata>,
    ) -> Self {
        Self { connect, agent: None, metadata, instance: ContainerInstance::default(), buffer: Buffer::new() }
    }

    /// Cluster and container instance, as far as they are known.
    pub(crate) fn instance(&self) -> &ContainerInstance {
        &self.instance
    }

    /// The tasks as of now; none if the agent does not say.
    pub(crate) async fn refresh(
        &mut self,
        address: Address<'_>,
        cgroups: Option<&Cgroups>,
        health: &mut Health,
    ) -> Option<Reserved> {
        let tasks = match address {
            Address::Known(address) => Some(self.ask_agent(address).await),
            Address::Sought => None,
            Address::Unknown => Some(Err(AgentError::NoAddress)),
        };
        if self.instance.cluster.is_empty() {
            self.ask_metadata().await;
        }
        let tasks = health.check(AGENT, tasks?)?;
        let reserved = Reserved::read(&tasks, &self.instance.cluster, cgroups, &mut self.buffer);
        health.check(CGROUPS, reserved.resources.map(drop).ok_or(NoCgroups));
        Some(reserved)
    }

    async fn ask_agent(&mut self, address: &str) -> Result<Vec<AgentTask>, AgentError> {
        if self.agent.as_ref().is_none_or(|(known, _)| known != address) {
            self.agent = Some((address.to_owned(), (self.connect)(address)?));
        }
        let Some((_, agent)) = &self.agent else { return Err(AgentError::NoAddress) };
        if self.instance.cluster.is_empty() || self.instance.id.is_empty() {
            let ContainerInstance { cluster, id } = agent.container_instance().await?;
            if !cluster.is_empty() {
                self.instance.cluster = cluster;
            }
            self.instance.id = id;
        }
        Ok(agent.tasks().await?)
    }

    /// Where the agent does not say the cluster, the collector's own task may.
    async fn ask_metadata(&mut self) {
        let Some(metadata) = &self.metadata else { return };
        match tokio::time::timeout(METADATA_TIMEOUT, metadata.task()).await {
            Ok(Ok(task)) => {
                // A name or an ARN.
                self.instance.cluster = task.cluster.rsplit('/').next().unwrap_or_default().to_owned();
            }
            Ok(Err(error)) => tracing::debug!(error = component::causes(&error), "no task metadata"),
            Err(_) => tracing::debug!("no task metadata in time"),
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
