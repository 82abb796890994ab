//! The attributes that all records of this machine share.

use std::path::PathBuf;

use crate::instance::Instance;
use crate::record::Record;
use crate::surroundings::{Orchestrator, Surroundings};

/// Who the machine is.
#[derive(Debug)]
pub(crate) struct Identity {
    orchestrator: Orchestrator,
    cluster_name: Option<String>,
    node_name: Option<String>,
    /// The attribute `kubernetes`: JSON in a string.
    kubernetes: Option<String>,
    instance: Instance,
    sys: PathBuf,
}

impl Identity {
    /// What is known at the start; `sys` is the machine's sysfs.
    pub(crate) fn new(surroundings: &Surroundings, sys: PathBuf) -> Self {
        let Surroundings { orchestrator, cluster_name, node_name, .. } = surroundings;
        let host = node_name.as_ref().filter(|_| *orchestrator == Orchestrator::Eks);
        Self {
            orchestrator: *orchestrator,
            cluster_name: cluster_name.clone(),
            node_name: node_name.clone(),
            kubernetes: host.map(|host| serde_json::json!({ "host": host }).to_string()),
            instance: Instance::default(),
            sys,
        }
    }

    /// From now on records are of this instance.
    pub(crate) fn set_instance(&mut self, instance: &Instance) {
        if self.instance != *instance {
            self.instance.clone_from(instance);
        }
    }

    /// Adds the attributes that every record of the machine has.
    pub(crate) fn describe(&self, record: &mut Record<'_>) {
        self.describe_with(self.kubernetes.as_deref(), record);
    }

    /// [`Identity::describe`] with another text for the attribute `kubernetes`, or none.
    pub(crate) fn describe_with(&self, kubernetes: Option<&str>, record: &mut Record<'_>) {
        let mut known = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                record.attribute(key, value);
            }
        };
        known("ClusterName", &self.cluster_name);
        known("NodeName", &self.node_name);
        known("InstanceId", &self.instance.id);
        known("InstanceType", &self.instance.kind);
        if let Some(kubernetes) = kubernetes {
            record.attribute("kubernetes", kubernetes);
        }
        // Upstream sets it from the instance's tags, to nothing when it does not know them.
        if self.orchestrator != Orchestrator::None {
            record.attribute("AutoScalingGroupName", "");
        }
    }

    /// Adds the attributes that records of the cluster have: `NodeName` is the leader's.
    pub(crate) fn describe_cluster(&self, record: &mut Record<'_>) {
        self.describe_cluster_alone(record);
        if let Some(name) = &self.node_name {
            record.attribute("NodeName", name);
        }
    }

    /// Adds the attribute `ClusterName`.
    pub(crate) fn describe_cluster_alone(&self, record: &mut Record<'_>) {
        if let Some(name) = &self.cluster_name {
            record.attribute("ClusterName", name);
        }
    }

    /// `NodeName`, where it is known.
    pub(crate) fn node_name(&self) -> Option<&str> {
        self.node_name.as_deref()
    }

    /// Adds the attributes of a block device. The EBS volume is asked for every time: a name may pass to another
    /// volume, and the answer costs microseconds.
    pub(crate) fn describe_device(&self, record: &mut Record<'_>, device: &str) {
        record.attribute("device", device);
        if let Some(zone) = &self.instance.availability_zone
            && let Some(volume) = node::ebs_volume_id(&self.sys, device)
        {
            record.attribute("EBSVolumeId", &format!("aws://{zone}/{volume}"));
        }
    }
}
