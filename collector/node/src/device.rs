//! Names of block devices: which disk a partition is on, what the kernel calls what EC2 attached, and which disks say
//! themselves which EBS volume they are.

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

use crate::HostPaths;
use crate::block::volume_id_of_serial;
use crate::file::read_once;

/// The beginnings of the names of disks that EBS volumes may be, besides [`NVME`]: on Xen instances, and where the kernel
/// has them as SCSI disks.
const XEN_PREFIXES: [&str; 3] = ["xvd", "sd", "hd"];
const NVME: &str = "nvme";
/// How many links are followed from a device's name.
const MAX_LINKS: usize = 8;

/// Something of each disk, found by the name of the disk or of a partition of it, with or without `/dev/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByDisk<T>(BTreeMap<String, T>);

/// What the kernel calls block devices that were attached under another name.
#[derive(Debug)]
pub struct KernelNames {
    /// Where the host's links are.
    root: PathBuf,
    /// The names of all disks and partitions, without `/dev/`.
    known: HashSet<String>,
}

/// The disks that may be EBS volumes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EbsDisks {
    /// Name (`nvme1n1`) and volume (`vol-0123456789abcdef0`) of those whose serial number tells.
    pub volumes: Vec<(String, String)>,
    /// Whether there are others: NVMe disks without a serial number, Xen's disks.
    pub has_unnamed: bool,
}

impl<T> Default for ByDisk<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByDisk<T> {
    /// Notes what is of a device, unless there is something of it already.
    pub fn insert(&mut self, device: &str, value: T) {
        self.0.entry(device_name(device).to_owned()).or_insert(value);
    }

    /// What is of a device, or else of the disk that it is a partition of.
    #[must_use]
    pub fn get(&self, device: &str) -> Option<&T> {
        let name = device_name(device);
        self.0.get(name).or_else(|| self.0.get(disk_of(name)?))
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The name of the disk that a device is a partition of: `nvme0n1` of `nvme0n1p2`, `xvda` of `xvda1`, `/dev/sda` of
/// `/dev/sda1`. Only the form of the name counts: `md` of `md0`. None for names of NVMe disks, and without a number.
#[must_use]
pub fn disk_of(partition: &str) -> Option<&str> {
    let disk = partition.trim_end_matches(|last: char| last.is_ascii_digit());
    if disk.len() == partition.len() {
        return None;
    }
    match disk.strip_suffix('p') {
        Some(numbered) if numbered.ends_with(|last: char| last.is_ascii_digit()) => Some(numbered),
        _ => Some(disk).filter(|disk| !device_name(disk).starts_with(NVME)),
    }
}

impl KernelNames {
    /// The devices as they are now.
    #[must_use]
    pub fn read(paths: &HostPaths) -> Self {
        let block = paths.sys.join("block");
        let disks = names(&block);
        let partitions: Vec<_> = disks.iter().flat_map(|disk| names(&block.join(disk))).collect();
        Self { root: paths.root.clone(), known: disks.into_iter().chain(partitions).collect() }
    }

    /// The kernel's name for a device of EC2: `/dev/xvdf`. A link on the host tells; else `sdf` may be `xvdf`, and `sda1` the
    /// disk `xvda`. What the kernel does not know keeps its name.
    #[must_use]
    pub fn of(&self, device: &str) -> String {
        let name = device_name(device);
        let device = format!("/dev/{name}");
        if let Some(target) = follow(&device, &self.root) {
            return target;
        }
        let xen = name.strip_prefix("sd").map(|letters| format!("xvd{letters}"));
        let whole = |name: &str| name.trim_end_matches(|last: char| last.is_ascii_digit()).to_owned();
        let candidates = [Some(name.to_owned()), xen.clone(), xen.as_deref().map(whole), Some(whole(name))];
        let Some(found) = candidates.into_iter().flatten().find(|name| self.known.contains(name)) else {
            return device;
        };
        // What is attached is a disk, even where it is called after its partition.
        let disk = disk_of(&found).filter(|disk| self.known.contains(*disk)).unwrap_or(&found);
        format!("/dev/{disk}")
    }
}

impl EbsDisks {
    /// The disks of the sysfs at `sys`; none if it has no list of them. NVMe disks of EBS have the volume's id as their serial
    /// number.
    #[must_use]
    pub fn read(sys: &Path) -> Option<Self> {
        let block = sys.join("block");
        std::fs::read_dir(&block).ok()?;
        let mut disks = Self::default();
        for name in names(&block) {
            if !name.starts_with(NVME) {
                disks.has_unnamed |= XEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
                continue;
            }
            let serial = read_once(&block.join(&name).join("device/serial")).unwrap_or_default();
            disks.has_unnamed |= serial.trim_ascii().is_empty();
            disks.volumes.extend(volume_id_of_serial(&serial).map(|volume| (name, volume)));
        }
        Some(disks)
    }
}

/// The name of a device without `/dev/`.
#[must_use]
pub fn device_name(device: &str) -> &str {
    device.strip_prefix("/dev/").unwrap_or(device)
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

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_of_partitions() {
        fn check(input: &str, expected: Option<&str>) {
            assert_eq!(disk_of(input), expected, "{input}");
        }
        check("nvme0n1p1", Some("nvme0n1"));
        check("nvme10n1p128", Some("nvme10n1"));
        check("/dev/nvme0n1p1", Some("/dev/nvme0n1"));
        check("nvme0n1", None);
        check("/dev/nvme0n1", None);
        check("nvme0n1p", None);
        check("nvmep1", None);
        check("xvda1", Some("xvda"));
        check("/dev/sda15", Some("/dev/sda"));
        check("xvdap1", Some("xvdap"));
        check("mmcblk0p2", Some("mmcblk0"));
        check("xvda", None);
        check("tmpfs", None);
        check("", None);
    }

    #[test]
    fn what_is_of_a_disk() {
        let mut disks = ByDisk::default();
        assert!(disks.is_empty());
        for (device, value) in
            [("/dev/xvda", 1), ("nvme1n1", 2), ("xvdf1", 3), ("xvdf", 4), ("nvme1n1", 5), ("/dev/xvda", 6)]
        {
            disks.insert(device, value);
        }
        let check = |device: &str, expected: Option<u8>| {
            assert_eq!(disks.get(device).copied(), expected, "{device}");
        };
        check("/dev/xvda", Some(1));
        check("/dev/xvda1", Some(1));
        check("xvda15", Some(1));
        check("/dev/xvdab", None);
        check("/dev/xvdab1", None);
        check("/dev/nvme1n1", Some(2));
        check("/dev/nvme1n1p12", Some(2));
        check("/dev/nvme1n10", None);
        check("/dev/nvme1n10p1", None);
        check("/dev/nvme1n1p", None);
        // The longest name wins.
        check("/dev/xvdf1", Some(3));
        check("/dev/xvdf2", Some(4));
        check("tmpfs", None);
        check("", None);
    }

    fn machine(disks: &[&str], links: &[(&str, &str)]) -> (tempfile::TempDir, HostPaths) {
        let root = tempfile::tempdir().unwrap();
        let [proc, sys, dev] = ["proc", "sys", "dev"].map(|name| root.path().join(name));
        for disk in disks {
            std::fs::create_dir_all(sys.join("block").join(disk)).unwrap();
        }
        std::fs::create_dir_all(&dev).unwrap();
        for (name, target) in links {
            std::os::unix::fs::symlink(target, dev.join(name)).unwrap();
        }
        let paths = HostPaths { proc, cgroup: sys.join("fs/cgroup"), sys, root: root.path().to_owned() };
        (root, paths)
    }

    #[test]
    fn kernel_names() {
        fn check(disks: &[&str], links: &[(&str, &str)], of_ec2: &str, expected: &str) {
            let (_root, paths) = machine(disks, links);
            assert_eq!(KernelNames::read(&paths).of(of_ec2), expected, "{of_ec2} {disks:?} {links:?}");
        }
        check(&["xvda/xvda1"], &[], "/dev/xvda", "/dev/xvda");
        // The root volume of images that call it by its partition.
        check(&["xvda/xvda1"], &[], "/dev/sda1", "/dev/xvda");
        check(&["xvda/xvda15"], &[], "/dev/sda1", "/dev/xvda");
        check(&["xvdb/xvdb1"], &[], "/dev/sda1", "/dev/sda1");
        check(&["xvda1"], &[], "/dev/sda1", "/dev/xvda1");
        check(&["xvdf"], &[], "/dev/sdf", "/dev/xvdf");
        check(&["xvdf"], &[], "sdf", "/dev/xvdf");
        check(&["sdf"], &[], "/dev/sdf", "/dev/sdf");
        // Links of Amazon Linux.
        check(&["nvme1n1/nvme1n1p1"], &[("xvdf", "nvme1n1")], "/dev/xvdf", "/dev/nvme1n1");
        let links = [("sdf", "/dev/xvdf"), ("xvdf", "../dev/nvme1n1")];
        check(&["nvme1n1"], &links, "/dev/sdf", "/dev/nvme1n1");
        check(&["nvme1n1"], &[("sdf", "../../../etc/x")], "/dev/sdf", "/dev/sdf");
        check(&["xvdf"], &[("sdf", "sdf")], "/dev/sdf", "/dev/xvdf");
        check(&[], &[], "/dev/sdf", "/dev/sdf");
    }

    #[test]
    fn disks_that_say_which_volume_they_are() {
        fn check(disks: &[(&str, &str)], expected: Option<(&[(&str, &str)], bool)>) {
            let (root, paths) = machine(&[], &[]);
            for (disk, serial) in disks {
                let device = root.path().join("sys/block").join(disk).join("device");
                std::fs::create_dir_all(&device).unwrap();
                if !serial.is_empty() {
                    std::fs::write(device.join("serial"), serial).unwrap();
                }
            }
            let mut found = EbsDisks::read(&paths.sys);
            if let Some(found) = &mut found {
                found.volumes.sort();
            }
            let expected = expected.map(|(volumes, has_unnamed)| EbsDisks {
                volumes: volumes.iter().map(|(name, id)| ((*name).into(), (*id).into())).collect(),
                has_unnamed,
            });
            assert_eq!(found, expected, "{disks:?}");
        }
        check(&[], None);
        check(&[("loop0", ""), ("dm-0", ""), ("md0", "")], Some((&[], false)));
        check(&[("xvda", "")], Some((&[], true)));
        check(&[("sda", "S3R1AL")], Some((&[], true)));
        check(&[("nvme0n1", "vol0abc\n")], Some((&[("nvme0n1", "vol-0abc")], false)));
        // Instance store.
        check(&[("nvme0n1", "AWS1234\n")], Some((&[], false)));
        let volume = ("nvme0n1", "vol-0abc");
        check(&[("nvme0n1", "vol0abc\n"), ("nvme1n1", "")], Some((&[volume], true)));
        check(&[("nvme0n1", "vol0abc\n"), ("nvme1n1", " \n")], Some((&[volume], true)));
    }
}
