//! The attributes that all records of this machine share.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use aws::ecs::ContainerInstance;

use crate::ec2::{Facts, Persistent, Volumes};
use crate::instance::Instance;
use crate::record::Record;
use crate::surroundings::{Orchestrator, Surroundings};

/// Who the machine is.
#[derive(Debug)]
pub(crate) struct Identity {
    orchestrator: Orchestrator,
    /// As the user or the environment says it.
    configured_name: Option<String>,
    cluster_name: Option<String>,
    node_name: Option<String>,
    auto_scaling_group: String,
    /// With ECS.
    container_instance: Option<String>,
    volumes: Arc<Volumes>,
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
            configured_name: cluster_name.clone(),
            cluster_name: cluster_name.clone(),
            auto_scaling_group: String::new(),
            container_instance: None,
            volumes: Arc::default(),
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

    /// From now on records say this of the instance. A cluster's name that was configured stays.
    pub(crate) fn set_facts(&mut self, facts: &Facts) {
        if self.configured_name.is_none() && facts.cluster_name.is_some() {
            self.cluster_name.clone_from(&facts.cluster_name);
        }
        facts.auto_scaling_group.as_deref().unwrap_or_default().clone_into(&mut self.auto_scaling_group);
        self.volumes = Arc::clone(&facts.volumes);
    }

    /// From now on records are of this container instance of ECS.
    pub(crate) fn set_container_instance(&mut self, instance: &ContainerInstance) {
        let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        if self.configured_name.is_none() {
            self.cluster_name = said(&instance.cluster);
        }
        self.container_instance = said(&instance.id);
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
        known("ContainerInstanceId", &self.container_instance);
        known("InstanceId", &self.instance.id);
        known("InstanceType", &self.instance.kind);
        if let Some(kubernetes) = kubernetes {
            record.attribute("kubernetes", kubernetes);
        }
        // Upstream sets it from the instance's tags, to nothing when it does not know them.
        if self.orchestrator != Orchestrator::None {
            record.attribute("AutoScalingGroupName", &self.auto_scaling_group);
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

    /// `ClusterName`, where it is known.
    pub(crate) fn cluster_name(&self) -> Option<&str> {
        self.cluster_name.as_deref()
    }

    /// `NodeName`, where it is known.
    pub(crate) fn node_name(&self) -> Option<&str> {
        self.node_name.as_deref()
    }

    /// Adds the attributes of a block device. The EBS volume is asked for every time: a name may pass to another
    /// volume, and the answer costs microseconds.
    pub(crate) fn describe_device(&self, record: &mut Record<'_>, device: &str) {
        self.describe_volume(record, device, None);
    }

    /// [`Identity::describe_device`] of a device that may be a volume of Kubernetes.
    pub(crate) fn describe_volume(
        &self,
        record: &mut Record<'_>,
        device: &str,
        persistent: Option<&Persistent>,
    ) {
        record.attribute("device", device);
        let volume = self.volume(device);
        if let Some(volume) = &volume {
            record.attribute("EBSVolumeId", volume);
        }
        let persistent = persistent.and_then(|persistent| match persistent {
            Persistent::Named(volume) => Some(volume.as_str()),
            Persistent::Csi => volume.as_deref(),
        });
        if let Some(volume) = persistent {
            record.attribute("ebs_volume_id", volume);
        }
    }

    /// The volume that a device says that it is, or that EC2 says.
    fn volume(&self, device: &str) -> Option<Cow<'_, str>> {
        if let Some(zone) = &self.instance.availability_zone
            && let Some(volume) = node::ebs_volume_id(&self.sys, device)
        {
            return Some(format!("aws://{zone}/{volume}").into());
        }
        self.volumes.of(device).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws::ec2::Volume;
    use pdata::metrics::resources;

    use super::*;
    use crate::host::golden_tests::paths_below;
    use crate::record::{RecordType, Records, field};

    fn identity(orchestrator: Orchestrator, cluster_name: Option<&str>, sys: PathBuf) -> Identity {
        let surroundings = Surroundings {
            orchestrator,
            orchestrator_from: "",
            node_name: None,
            node_name_from: "",
            cluster_name: cluster_name.map(str::to_owned),
            cluster_name_from: "",
            kubelet: None,
            namespace: None,
            address: None,
        };
        Identity::new(&surroundings, sys)
    }

    /// A record's attributes but for those of its type, written by `describe`.
    fn attributes(describe: impl FnOnce(&mut Record<'_>)) -> BTreeMap<String, String> {
        let mut records = Records::default();
        let mut record = records.record(RecordType::Instance, 1);
        describe(&mut record);
        record.int(field::CPU_LIMIT, Some(1));
        drop(record);
        let batch = records.take();
        let resource = resources(&batch).next().unwrap();
        let text =
            |pair: pdata::KeyValueView<'_>| (pair.key.to_owned(), pair.value.as_str().unwrap().to_owned());
        let all = resource.resource().attributes().map(text);
        all.filter(|(key, _)| !matches!(key.as_str(), "Type" | "Version" | "Sources")).collect()
    }

    fn expect(identity: &Identity, expected: &[(&str, &str)]) {
        let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(attributes(|record| identity.describe(record)), expected);
    }

    fn facts(cluster_name: Option<&str>, group: Option<&str>) -> Facts {
        Facts {
            cluster_name: cluster_name.map(str::to_owned),
            auto_scaling_group: group.map(str::to_owned),
            ..Facts::default()
        }
    }

    #[test]
    fn tags_name_what_nobody_else_does() {
        let mut eks = identity(Orchestrator::Eks, None, PathBuf::new());
        expect(&eks, &[("AutoScalingGroupName", "")]);
        eks.set_facts(&facts(Some("tagged"), Some("group")));
        expect(&eks, &[("AutoScalingGroupName", "group"), ("ClusterName", "tagged")]);
        let mut configured = identity(Orchestrator::Eks, Some("mine"), PathBuf::new());
        configured.set_facts(&facts(Some("tagged"), None));
        expect(&configured, &[("AutoScalingGroupName", ""), ("ClusterName", "mine")]);
        expect(&identity(Orchestrator::None, None, PathBuf::new()), &[]);
    }

    #[test]
    fn ecs_names_cluster_and_container_instance() {
        let mut ecs = identity(Orchestrator::Ecs, None, PathBuf::new());
        ecs.set_container_instance(&ContainerInstance { cluster: "shop".into(), id: String::new() });
        expect(&ecs, &[("AutoScalingGroupName", ""), ("ClusterName", "shop")]);
        let mut configured = identity(Orchestrator::Ecs, Some("mine"), PathBuf::new());
        configured.set_container_instance(&ContainerInstance { cluster: "shop".into(), id: "1f73".into() });
        let expected =
            [("AutoScalingGroupName", ""), ("ClusterName", "mine"), ("ContainerInstanceId", "1f73")];
        expect(&configured, &expected);
    }

    #[test]
    fn a_disk_knows_best_which_volume_it_is() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths_below(root.path());
        let device = paths.sys.join("block/nvme0n1/device");
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(device.join("serial"), "vol0abc\n").unwrap();
        let mut identity = identity(Orchestrator::Eks, None, paths.sys.clone());
        identity.set_instance(&Instance { availability_zone: Some("z".into()), ..Instance::default() });
        let volume = |id: &str, device: &str| Volume {
            id: id.into(),
            device: device.into(),
            availability_zone: "z".into(),
        };
        let volumes = vec![volume("vol-1", "/dev/nvme0n1"), volume("vol-2", "/dev/xvdf")];
        let volumes = Arc::new(Volumes::new(volumes, &paths));
        identity.set_facts(&Facts { volumes, ..Facts::default() });
        let check = |device: &str, expected: Option<&str>| {
            let found = attributes(|record| identity.describe_device(record, device));
            assert_eq!(found["device"], device);
            assert_eq!(found.get("EBSVolumeId").map(String::as_str), expected, "{device}");
        };
        check("/dev/nvme0n1p1", Some("aws://z/vol-0abc"));
        check("/dev/xvdf1", Some("aws://z/vol-2"));
        check("/dev/xvdg", None);
        check("tmpfs", None);

        let persistent = |device: &str, persistent: &Persistent| {
            let found = attributes(|record| identity.describe_volume(record, device, Some(persistent)));
            found.get("ebs_volume_id").cloned()
        };
        assert_eq!(persistent("/dev/nvme0n1", &Persistent::Csi).as_deref(), Some("aws://z/vol-0abc"));
        assert_eq!(persistent("/dev/xvdg", &Persistent::Csi), None, "a volume of something else");
        let named = Persistent::Named("aws://z/vol-3".to_owned());
        assert_eq!(persistent("/dev/xvdg", &named).as_deref(), Some("aws://z/vol-3"));
    }
}
