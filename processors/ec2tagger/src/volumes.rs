//! Which EBS volume is behind a device.

use aws::ec2::Volume;
use node::{ByDisk, KernelNames, device_name};

use crate::config::Wanted;

/// Volumes by the names of devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volumes(ByDisk<String>);

impl Volumes {
    /// Adds those that disks name themselves, each by the disk's name, as far as they are wanted.
    pub(crate) fn add_named(&mut self, volumes: Vec<(String, String)>, wanted: &Wanted) {
        for (disk, volume) in volumes.into_iter().filter(|(disk, _)| wanted.contains(disk)) {
            self.0.insert(&disk, volume);
        }
    }

    /// Adds what EC2 says, by the name of the attachment and by the kernel's. One is wanted if one of its names is.
    pub(crate) fn add_attached(&mut self, volumes: Vec<Volume>, names: &KernelNames, wanted: &Wanted) {
        for Volume { id, device, .. } in volumes {
            let kernels = names.of(&device);
            if [&device, &kernels].into_iter().any(|device| wanted.contains(device_name(device))) {
                self.0.insert(&kernels, id.clone());
                self.0.insert(&device, id);
            }
        }
    }

    /// The volume of a device or of the disk that it is a partition of.
    pub(crate) fn get(&self, device: &str) -> Option<&str> {
        self.0.get(device).map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use node::HostPaths;

    use super::*;

    #[test]
    fn only_what_is_wanted_by_any_of_its_names() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path().join("sys");
        for disk in ["xvda/xvda1", "xvdb", "xvdf", "nvme1n1"] {
            std::fs::create_dir_all(sys.join("block").join(disk)).unwrap();
        }
        let root = root.path().to_owned();
        let names =
            KernelNames::read(&HostPaths { proc: root.join("proc"), cgroup: root.join("c"), sys, root });
        let volume = |id: &str, device: &str| Volume {
            id: id.into(),
            device: device.into(),
            availability_zone: "a".into(),
        };
        let check = |wanted: Wanted, expected: &[(&str, Option<&str>)]| {
            let mut volumes = Volumes::default();
            let named = vec![("nvme1n1".into(), "vol-n".into()), ("nvme2n1".into(), "vol-m".into())];
            volumes.add_named(named, &wanted);
            let attached = vec![
                volume("vol-x", "/dev/nvme1n1"),
                volume("vol-a", "/dev/sda1"),
                volume("vol-b", "xvdb"),
                volume("vol-f", "/dev/sdf"),
            ];
            volumes.add_attached(attached, &names, &wanted);
            for (device, expected) in expected {
                assert_eq!(volumes.get(device), *expected, "{wanted:?} {device}");
            }
            assert_eq!(volumes.is_empty(), wanted == Wanted::None);
        };
        let all = [
            ("/dev/nvme1n1p3", Some("vol-n")),
            ("nvme2n1", Some("vol-m")),
            ("nvme1n10", None),
            ("xvda1", Some("vol-a")),
            ("/dev/xvda", Some("vol-a")),
            ("xvdb1", Some("vol-b")),
            ("xvdf", Some("vol-f")),
            ("sdf", Some("vol-f")),
            ("tmpfs", None),
        ];
        check(Wanted::All, &all);
        check(Wanted::None, &all.map(|(device, _)| (device, None)));
        let named = |name: &str| Wanted::Named(vec![name.into()]);
        check(named("xvda"), &[("xvda1", Some("vol-a")), ("xvdb", None), ("nvme1n1", None)]);
        check(named("sdf"), &[("xvdf", Some("vol-f")), ("sdf", Some("vol-f")), ("xvda1", None)]);
        check(named("nvme2n1"), &[("nvme2n1p1", Some("vol-m")), ("nvme1n1", None)]);
    }
}
