//! Which EBS volume is behind a device whose own number does not say it: disks of Xen instances.

use std::path::Path;

use aws::ec2::Volume;
use node::{ByDisk, EbsDisks, HostPaths, KernelNames};

/// The volumes of an instance by the kernel's name of their device, each `aws://<zone>/<volume>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volumes(ByDisk<String>);

/// Whether the machine has a disk that may be an EBS volume and does not say which one. `sys` is its sysfs.
pub(crate) fn has_unnamed_volumes(sys: &Path) -> bool {
    EbsDisks::read(sys).is_some_and(|disks| disks.has_unnamed)
}

impl Volumes {
    /// What EC2 answered, with the names that the devices have on this machine.
    pub(crate) fn new(volumes: Vec<Volume>, paths: &HostPaths) -> Self {
        let names = KernelNames::read(paths);
        let mut found = ByDisk::default();
        for Volume { id, device, availability_zone } in volumes {
            found.insert(&names.of(&device), format!("aws://{availability_zone}/{id}"));
        }
        Self(found)
    }

    /// The volume that a device, or the disk that it is a partition of, is.
    pub(crate) fn of(&self, device: &str) -> Option<&str> {
        self.0.get(device).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_found_by_the_names_of_this_machine() {
        let root = tempfile::tempdir().unwrap();
        let paths = crate::host::golden_tests::paths_below(root.path());
        std::fs::create_dir_all(paths.sys.join("block/xvda/xvda1")).unwrap();
        assert!(has_unnamed_volumes(&paths.sys));
        let volume = |id: &str, device: &str| Volume {
            id: id.to_owned(),
            device: device.to_owned(),
            availability_zone: "us-east-1b".to_owned(),
        };
        let volumes = Volumes::new(vec![volume("vol-1", "/dev/sda1"), volume("vol-2", "/dev/xvdf")], &paths);
        let check = |device: &str, expected: Option<&str>| {
            assert_eq!(volumes.of(device), expected, "{device} {volumes:?}");
        };
        check("/dev/xvda", Some("aws://us-east-1b/vol-1"));
        check("/dev/xvda1", Some("aws://us-east-1b/vol-1"));
        check("/dev/xvdf1", Some("aws://us-east-1b/vol-2"));
        check("/dev/xvdg", None);
        assert!(!has_unnamed_volumes(Path::new("/does-not-exist")));
    }
}
