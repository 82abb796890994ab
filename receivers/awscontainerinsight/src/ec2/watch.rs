//! Asks in the background, and sends what it learns.

use std::sync::Arc;
use std::time::Duration;

use aws::ec2::Tag;
use component::causes;
use node::HostPaths;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::jitter::jitter;
use super::{Questions, Volumes, has_unnamed_volumes};
use crate::instance::{Instance, LONGEST_PAUSE};

/// Tags whose value is the cluster's name, best first.
const CLUSTER_NAME_TAGS: [&str; 2] = ["aws:eks:cluster-name", "eks:cluster-name"];
/// A tag whose key ends with the name of a cluster that owns the instance.
const CLUSTER_TAG_PREFIX: &str = "kubernetes.io/cluster/";
/// The tag with the name of the instance's Auto Scaling group.
const GROUP_TAG: &str = "aws:autoscaling:groupName";
/// How many collections there are for each question about volumes.
const VOLUMES_EVERY: u32 = 5;

/// What is known by now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// As the tags say it.
    pub(crate) cluster_name: Option<String>,
    pub(crate) auto_scaling_group: Option<String>,
    pub(crate) volumes: Arc<Volumes>,
}

/// What is asked for, and who is told.
pub(crate) struct Watching {
    pub(crate) questions: Arc<dyn Questions>,
    pub(crate) instance: watch::Receiver<Instance>,
    /// Cancelled when it was tried to find out which instance this is.
    pub(crate) asked: CancellationToken,
    /// Whether nobody else knows the cluster's name.
    pub(crate) needs_cluster_name: bool,
    /// From one collection to the next.
    pub(crate) interval: Duration,
    pub(crate) paths: HostPaths,
    /// The name of the machine.
    pub(crate) host: String,
    pub(crate) facts: watch::Sender<Facts>,
}

impl Watching {
    /// Asks as long as there is something to learn.
    pub(crate) async fn run(mut self) {
        let Some(instance) = self.instance().await else { return };
        tokio::time::sleep(jitter(&self.host)).await;
        tokio::join!(self.learn_tags(&instance), self.learn_volumes(&instance));
    }

    /// This instance, when its id is known.
    async fn instance(&mut self) -> Option<Instance> {
        self.asked.cancelled().await;
        if self.instance.borrow().id.is_none() && self.needs_cluster_name {
            tracing::warn!("the cluster's name is not known, {WITHOUT_NAME}");
        }
        self.instance.wait_for(|instance| instance.id.is_some()).await.ok().map(|instance| instance.clone())
    }

    /// Asks for tags at growing pauses until they say what records need. What is known is kept when they cannot be read.
    async fn learn_tags(&self, instance: &Instance) {
        let (mut pause, mut failing, mut told) = (self.interval, false, false);
        loop {
            match self.questions.tags(instance).await {
                Ok(tags) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the tags of this instance can be read again");
                    }
                    self.learn(&tags);
                }
                Err(error) if !failing => {
                    failing = true;
                    let error = causes(&*error);
                    if self.lacks_name() {
                        told = true;
                        tracing::warn!(
                            error,
                            "the tags of this instance cannot be read: no AutoScalingGroupName, {WITHOUT_NAME}"
                        );
                    } else {
                        tracing::warn!(
                            error,
                            "the tags of this instance cannot be read: no AutoScalingGroupName"
                        );
                    }
                }
                Err(_) => {}
            }
            if !failing && !told && self.lacks_name() {
                told = true;
                tracing::warn!("no tag of this instance names the cluster, {WITHOUT_NAME}");
            }
            if !self.lacks_name() && self.facts.borrow().auto_scaling_group.is_some() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE.max(pause));
        }
    }

    fn lacks_name(&self) -> bool {
        self.needs_cluster_name && self.facts.borrow().cluster_name.is_none()
    }

    fn learn(&self, tags: &[Tag]) {
        let (name, group) = (cluster_name(tags), value(tags, GROUP_TAG));
        let news = self.facts.send_if_modified(|facts| {
            let before = facts.clone();
            facts.cluster_name = name.or(facts.cluster_name.take());
            facts.auto_scaling_group = group.or(facts.auto_scaling_group.take());
            *facts != before
        });
        if news {
            let facts = self.facts.borrow();
            tracing::info!(
                cluster_name = facts.cluster_name.as_deref().unwrap_or_default(),
                auto_scaling_group = facts.auto_scaling_group.as_deref().unwrap_or_default(),
                "tags of this instance"
            );
        }
    }

    /// Asks for volumes while there are disks that do not say which volume they are.
    async fn learn_volumes(&self, instance: &Instance) {
        let mut failing = false;
        loop {
            if has_unnamed_volumes(&self.paths.sys) {
                match self.questions.volumes(instance).await {
                    Ok(volumes) => {
                        if std::mem::take(&mut failing) {
                            tracing::info!("the volumes of this instance can be read again");
                        }
                        let volumes = Volumes::new(volumes, &self.paths);
                        self.facts.send_if_modified(|facts| {
                            let news = *facts.volumes != volumes;
                            facts.volumes = Arc::new(volumes);
                            news
                        });
                    }
                    Err(error) if !failing => {
                        failing = true;
                        tracing::warn!(
                            error = causes(&*error),
                            "the volumes of this instance cannot be read: no EBSVolumeId of disks that do not name their \
                             volume themselves"
                        );
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(self.interval * VOLUMES_EVERY).await;
        }
    }
}

/// What follows from it, and what to do about it.
const WITHOUT_NAME: &str =
    "so records have no ClusterName: set the key cluster_name or the environment variable CLUSTER_NAME";

fn value(tags: &[Tag], key: &str) -> Option<String> {
    let tag = tags.iter().find(|tag| tag.key == key && !tag.value.is_empty())?;
    Some(tag.value.clone())
}

/// The cluster that an instance belongs to. Of several that own it, upstream takes the last.
fn cluster_name(tags: &[Tag]) -> Option<String> {
    let owner = || {
        let owners = tags.iter().filter(|tag| tag.value == "owned");
        let mut names = owners.filter_map(|tag| tag.key.strip_prefix(CLUSTER_TAG_PREFIX));
        names.rfind(|name| !name.is_empty()).map(str::to_owned)
    };
    CLUSTER_NAME_TAGS.iter().find_map(|key| value(tags, key)).or_else(owner)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
