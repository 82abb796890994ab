//! Which EBS volume is behind a device whose own number does not say it: disks of Xen instances.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use aws::ec2::Volume;
use node::HostPaths;

/// The beginnings of the names that EBS volumes have on Xen instances, and where the kernel has them as SCSI disks.
const XEN_PREFIXES: [&str; 3] = ["xvd", "sd", "hd"];
/// How many links are followed from a device's name.
const MAX_LINKS: usize = 8;

/// The volumes of an instance by the kernel's name of their device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volumes(
    /// Device and `aws://<zone>/<volume>`.
    Vec<(String, String)>,
);

/// Whether the machine has a disk that may be an EBS volume and does not say which one. `sys` is its sysfs.
pub(crate) fn has_unnamed_volumes(sys: &Path) -> bool {
    disks(sys).iter().any(|name| {
        let nvme_without_number = name.starts_with("nvme")
            && std::fs::read(sys.join("block").join(name).join("device/serial")).is_err();
        nvme_without_number || XEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

impl Volumes {
    /// What EC2 answered, with the names that the devices have on this machine.
    pub(crate) fn new(volumes: Vec<Volume>, paths: &HostPaths) -> Self {
        let known = block_devices(&paths.sys);
        let name = |volume: Volume| {
            let Volume { id, device, availability_zone } = volume;
            (kernel_name(&device, &paths.root, &known), format!("aws://{availability_zone}/{id}"))
        };
        Self(volumes.into_iter().map(name).collect())
    }

    /// The volume that a device, or the disk that it is a partition of, is.
    pub(crate) fn of(&self, device: &str) -> Option<&str> {
        let fits = self.0.iter().filter(|(disk, _)| is_on(device, disk));
        fits.max_by_key(|(disk, _)| disk.len()).map(|(_, volume)| volume.as_str())
    }
}

/// Whether a device is a disk or a partition of it: `/dev/xvda1` is on `/dev/xvda`, `/dev/nvme1n1p1` on `/dev/nvme1n1`, and
/// `/dev/nvme1n10` on neither.
fn is_on(device: &str, disk: &str) -> bool {
    let Some(rest) = device.strip_prefix(disk) else { return false };
    let digits =
        if disk.ends_with(|last: char| last.is_ascii_digit()) { rest.strip_prefix('p') } else { Some(rest) };
    let is_partition = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    rest.is_empty() || digits.is_some_and(is_partition)
}

/// The kernel's name for a device of EC2. A link on the host tells; else `sdf` may be `xvdf`, and `sda1` the disk `xvda`.
fn kernel_name(device: &str, root: &Path, known: &HashSet<String>) -> String {
    let device = if device.starts_with("/dev/") { device.to_owned() } else { format!("/dev/{device}") };
    if let Some(target) = follow(&device, root) {
        return target;
    }
    let name = device.trim_start_matches("/dev/");
    let xen = name.strip_prefix("sd").map(|letters| format!("xvd{letters}"));
    let whole = |name: &str| name.trim_end_matches(|last: char| last.is_ascii_digit()).to_owned();
    let candidates = [Some(name.to_owned()), xen.clone(), xen.as_deref().map(whole), Some(whole(name))];
    let found = candidates.into_iter().flatten().find(|name| known.contains(name));
    found.map_or(device, |name| format!("/dev/{name}"))
}

/// Where a link of the host leads. `None` for what is no link, or leads out of `/dev`.
fn follow(device: &str, root: &Path) -> Option<String> {
    let mut path = PathBuf::from(device);
    let mut links = 0;
    while let Ok(target) = std::fs::read_link(root.join(path.strip_prefix("/").ok()?)) {
        path = normal(&path.parent()?.join(target))?;
        links += 1;
        if links > MAX_LINKS {
            return None;
        }
    }
    let target = path.to_str()?;
    (links > 0 && target.starts_with("/dev/")).then(|| target.to_owned())
}

/// A path without `..`.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::CurDir => {}
            Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

fn disks(sys: &Path) -> Vec<String> {
    names(&sys.join("block"))
}

/// Disks and partitions.
fn block_devices(sys: &Path) -> HashSet<String> {
    let disks = disks(sys);
    let partitions = disks.iter().flat_map(|disk| names(&sys.join("block").join(disk)));
    let partitions: Vec<_> = partitions.collect();
    disks.into_iter().chain(partitions).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions() {
        fn check(device: &str, disk: &str, expected: bool) {
            assert_eq!(is_on(device, disk), expected, "{device} {disk}");
        }
        check("/dev/xvda", "/dev/xvda", true);
        check("/dev/xvda1", "/dev/xvda", true);
        check("/dev/xvdab", "/dev/xvda", false);
        check("/dev/xvdab1", "/dev/xvda", false);
        check("/dev/nvme1n1", "/dev/nvme1n1", true);
        check("/dev/nvme1n1p12", "/dev/nvme1n1", true);
        check("/dev/nvme1n10", "/dev/nvme1n1", false);
        check("/dev/nvme1n1p", "/dev/nvme1n1", false);
        check("/dev/xvda1", "/dev/xvda1", true);
        check("/dev/xvda", "/dev/xvda1", false);
        check("tmpfs", "/dev/xvda", false);
    }

    fn machine(disks: &[&str], links: &[(&str, &str)]) -> (tempfile::TempDir, HostPaths) {
        let root = tempfile::tempdir().unwrap();
        let paths = crate::host::golden_tests::paths_below(root.path());
        for disk in disks {
            std::fs::create_dir_all(paths.sys.join("block").join(disk)).unwrap();
        }
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        for (name, target) in links {
            std::os::unix::fs::symlink(target, root.path().join("dev").join(name)).unwrap();
        }
        (root, paths)
    }

    fn volume(id: &str, device: &str) -> Volume {
        Volume { id: id.to_owned(), device: device.to_owned(), availability_zone: "us-east-1b".to_owned() }
    }

    #[test]
    fn devices_have_the_kernels_names() {
        fn check(disks: &[&str], links: &[(&str, &str)], of_ec2: &str, device: &str, expected: bool) {
            let (_root, paths) = machine(disks, links);
            let volumes = Volumes::new(vec![volume("vol-1", of_ec2)], &paths);
            let found = volumes.of(device);
            assert_eq!(found, expected.then_some("aws://us-east-1b/vol-1"), "{of_ec2} {device} {volumes:?}");
        }
        check(&["xvda/xvda1"], &[], "/dev/xvda", "/dev/xvda1", true);
        // The root volume of images that call it by its partition.
        check(&["xvda/xvda1"], &[], "/dev/sda1", "/dev/xvda1", true);
        check(&["xvdb/xvdb1"], &[], "/dev/sda1", "/dev/xvdb1", false);
        check(&["xvda/xvda15"], &[], "/dev/sda1", "/dev/xvda15", true);
        check(&["xvdf"], &[], "/dev/sdf", "/dev/xvdf", true);
        check(&["xvdf"], &[], "sdf", "/dev/xvdf", true);
        check(&["sdf"], &[], "/dev/sdf", "/dev/sdf", true);
        // Links of Amazon Linux.
        check(&["nvme1n1/nvme1n1p1"], &[("xvdf", "nvme1n1")], "/dev/xvdf", "/dev/nvme1n1p1", true);
        check(
            &["nvme1n1"],
            &[("sdf", "/dev/xvdf"), ("xvdf", "../dev/nvme1n1")],
            "/dev/sdf",
            "/dev/nvme1n1",
            true,
        );
        check(&["nvme1n1"], &[("sdf", "../../../etc/x")], "/dev/sdf", "/etc/x", false);
        check(&["xvdf"], &[("sdf", "sdf")], "/dev/sdf", "/dev/xvdf", true);
        check(&[], &[], "/dev/sdf", "/dev/sdf", true);
    }

    #[test]
    fn the_longest_name_wins() {
        let (_root, paths) = machine(&[], &[]);
        let volumes = Volumes::new(vec![volume("vol-2", "/dev/xvda1"), volume("vol-1", "/dev/xvda")], &paths);
        assert_eq!(volumes.of("/dev/xvda1"), Some("aws://us-east-1b/vol-2"));
        assert_eq!(volumes.of("/dev/xvda2"), Some("aws://us-east-1b/vol-1"));
    }

    #[test]
    fn machines_that_need_to_ask() {
        fn check(disks: &[&str], serials: &[(&str, &str)], expected: bool) {
            let (_root, paths) = machine(disks, &[]);
            for (disk, serial) in serials {
                let device = paths.sys.join("block").join(disk).join("device");
                std::fs::create_dir_all(&device).unwrap();
                std::fs::write(device.join("serial"), serial).unwrap();
            }
            assert_eq!(has_unnamed_volumes(&paths.sys), expected, "{disks:?} {serials:?}");
        }
        check(&[], &[], false);
        check(&["loop0", "dm-0", "md0"], &[], false);
        check(&["xvda"], &[], true);
        check(&["sda"], &[], true);
        check(&["nvme0n1"], &[("nvme0n1", "vol0abc\n")], false);
        // Instance store.
        check(&["nvme0n1"], &[("nvme0n1", "AWS1234\n")], false);
        check(&["nvme0n1", "nvme1n1"], &[("nvme0n1", "vol0abc\n")], true);
    }
}
