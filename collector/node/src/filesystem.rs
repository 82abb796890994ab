//! Filesystems: which mounts are reported, under which device, and how full they are.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::DeviceNumber;
use crate::error::Error;
use crate::mountinfo::Mount;

/// Types reported, beside every type that begins with `ext`. No network or FUSE filesystem is among them: asking a dead
/// server for its size blocks.
const ACCEPTED_TYPES: &[&[u8]] = &[
    b"xfs",
    b"squashfs",
    b"f2fs",
    b"jfs",
    b"reiserfs",
    b"hfs",
    b"hfsplus",
    b"ntfs",
    b"vfat",
    b"fat",
    b"msdos",
    b"exfat",
    b"udf",
    b"iso9660",
    b"overlay",
    b"tmpfs",
];

/// Types whose `stat` device is that of a subvolume and thus never the one in the mount table.
const TYPES_WITH_SUBVOLUMES: &[&[u8]] = &[b"btrfs", b"bcachefs"];

/// A mounted filesystem to report. Owned, so that [`Filesystem::usage`] can run on a thread that may block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// The device to report: a block device, `overlay`, `tmpfs`, or a tmpfs mount point below `/dev/`.
    pub device: Arc<str>,
    /// Where the collector reaches it.
    pub mount_point: PathBuf,
    /// The kernel's name of the filesystem type. Upstream reports `vfs` for every filesystem of this list.
    pub fs_type: Box<str>,
    /// The filesystem's device number; major 0 when there is no block device behind it.
    pub number: DeviceNumber,
}

/// How full a filesystem is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// Size in bytes: `f_blocks × f_frsize`.
    pub capacity: u64,
    /// Bytes in use: `(f_blocks − f_bfree) × f_frsize`. Blocks reserved for root count as free.
    pub usage: u64,
    /// Bytes an ordinary user can still write: `f_bavail × f_frsize`.
    pub available: u64,
    /// Inodes: `f_files`; 0 where the filesystem has no fixed number.
    pub inodes: u64,
    /// Free inodes: `f_ffree`.
    pub inodes_free: u64,
}

/// The filesystems to report out of a mount table, in its order, each device once.
///
/// `root` is put in front of every mount point. The rules and the device names are upstream's:
///
/// * the first mount of a device wins, so bind mounts do not repeat it;
/// * an overlay's device gets a suffix and a tmpfs's device is its mount point; of two tmpfs mounted at the same place
///   the later one, which hides the earlier, is reported;
/// * what is mounted at `/` is reported under its own source whatever its type, in place of an earlier mount of it;
/// * of all these only `tmpfs`, `overlay` and devices beginning with `/dev/` remain.
///
/// Beyond upstream, a block device mounted under two names (`/dev/root` and `/dev/nvme0n1p1`) is reported once.
pub fn select<'a>(mounts: impl Iterator<Item = Mount<'a>>, root: &Path) -> Vec<Filesystem> {
    let mut selected: Vec<Filesystem> = Vec::new();
    let mut by_device: HashMap<Arc<str>, usize> = HashMap::new();
    let mut numbers: HashSet<DeviceNumber> = HashSet::new();
    for mount in mounts {
        let Some(device) = reported_device(&mount) else { continue };
        if let Some(&at) = by_device.get(device.as_ref()) {
            let replaces = *mount.mount_point == *b"/" || *mount.fs_type == *b"tmpfs";
            if let Some(place) = selected.get_mut(at).filter(|_| replaces) {
                *place = filesystem(&mount, Arc::clone(&place.device), root);
            }
            continue;
        }
        if mount.number.major != 0 && !numbers.insert(mount.number) {
            continue;
        }
        let device: Arc<str> = device.into();
        by_device.insert(Arc::clone(&device), selected.len());
        selected.push(filesystem(&mount, device, root));
    }
    selected
}

/// The device a mount is reported under, if it is. An overlay's source and suffix never pass the filter.
fn reported_device<'m>(mount: &'m Mount<'_>) -> Option<Cow<'m, str>> {
    let at_root = *mount.mount_point == *b"/";
    let device = match &*mount.fs_type {
        _ if at_root => &mount.source,
        b"overlay" => return None,
        b"tmpfs" => &mount.mount_point,
        fs_type if is_accepted_type(fs_type) => &mount.source,
        _ => return None,
    };
    let device = String::from_utf8_lossy(device);
    is_reported_device(&device).then_some(device)
}

fn is_accepted_type(fs_type: &[u8]) -> bool {
    fs_type.starts_with(b"ext") || ACCEPTED_TYPES.contains(&fs_type)
}

/// The filter `^(tmpfs|/dev/.*|overlay)$`.
fn is_reported_device(device: &str) -> bool {
    device == "tmpfs" || device == "overlay" || device.starts_with("/dev/")
}

fn filesystem(mount: &Mount<'_>, device: Arc<str>, root: &Path) -> Filesystem {
    let below = mount.mount_point.strip_prefix(b"/").unwrap_or(&mount.mount_point);
    let below = OsStr::from_bytes(below);
    Filesystem {
        device,
        mount_point: if below.is_empty() { root.to_path_buf() } else { root.join(below) },
        fs_type: String::from_utf8_lossy(&mount.fs_type).into_owned().into_boxed_str(),
        number: mount.number,
    }
}

impl Filesystem {
    /// Asks the kernel how full the filesystem is. May block for as long as the device does not answer: call it where
    /// that is allowed.
    ///
    /// # Errors
    /// [`Error::Filesystem`], or [`Error::Hidden`] when another filesystem is found at the mount point.
    pub fn usage(&self) -> Result<FilesystemUsage, Error> {
        let failed = |source: rustix::io::Errno| Error::Filesystem {
            path: self.mount_point.clone(),
            source: source.into(),
        };
        if !TYPES_WITH_SUBVOLUMES.contains(&self.fs_type.as_bytes()) {
            let device = rustix::fs::stat(&self.mount_point).map_err(failed)?.st_dev;
            let found = DeviceNumber { major: rustix::fs::major(device), minor: rustix::fs::minor(device) };
            if found != self.number {
                return Err(Error::Hidden {
                    device: self.device.to_string(),
                    path: self.mount_point.clone(),
                });
            }
        }
        let stat = rustix::fs::statvfs(&self.mount_point).map_err(failed)?;
        Ok(FilesystemUsage {
            capacity: stat.f_blocks.saturating_mul(stat.f_frsize),
            usage: stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize),
            available: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: stat.f_files,
            inodes_free: stat.f_ffree,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::parse_mountinfo;

    fn check(mountinfo: &str, root: &str, expected: &[(&str, &str, &str)]) {
        let selected = select(parse_mountinfo(mountinfo.as_bytes()), Path::new(root));
        let actual: Vec<_> = selected
            .iter()
            .map(|filesystem| {
                (&*filesystem.device, filesystem.mount_point.to_str().unwrap(), &*filesystem.fs_type)
            })
            .collect();
        assert_eq!(actual, expected, "{mountinfo}");
    }

    #[test]
    fn a_node() {
        let mountinfo = "22 27 0:21 / /proc rw - proc proc rw\n\
            24 27 0:6 / /dev rw - devtmpfs devtmpfs rw\n\
            25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw\n\
            27 1 259:1 / / rw - xfs /dev/nvme0n1p1 rw\n\
            28 27 0:24 / /run rw - tmpfs tmpfs rw\n\
            29 27 259:3 / /data\\040disk rw - ext4 /dev/nvme1n1 rw\n\
            30 27 259:3 /volume /var/lib/kubelet/pods/1/volumes/pv rw - ext4 /dev/nvme1n1 rw\n\
            31 27 0:40 / /var/lib/containerd/x rw - overlay overlay rw\n\
            32 27 0:41 / /mnt/efs rw - nfs4 fs-1.efs.eu-west-1.amazonaws.com:/ rw\n\
            33 27 0:42 / /mnt/fuse rw - fuse.s3fs /dev/fuse rw\n\
            34 27 0:43 / /mnt/btrfs rw - btrfs /dev/nvme2n1 rw\n\
            35 27 259:1 / /boot rw - xfs /dev/root rw\n\
            36 27 0:44 / /mnt/empty rw - tmpfs  rw\n";
        let expected = |prefix: &str| {
            [
                ("/dev/shm", format!("{prefix}/dev/shm"), "tmpfs"),
                ("/dev/nvme0n1p1", if prefix.is_empty() { "/".into() } else { prefix.to_owned() }, "xfs"),
                ("/dev/nvme1n1", format!("{prefix}/data disk"), "ext4"),
            ]
        };
        for prefix in ["", "/rootfs"] {
            let expected = expected(prefix);
            let expected = expected.each_ref().map(|(device, at, fs_type)| (*device, at.as_str(), *fs_type));
            check(mountinfo, if prefix.is_empty() { "/" } else { prefix }, &expected);
        }
    }

    #[test]
    fn a_container() {
        check(
            "900 800 0:90 / / rw - overlay overlay rw,lowerdir=/a\n\
             901 900 0:91 / /dev rw - tmpfs tmpfs rw\n\
             902 901 0:92 / /dev/shm rw - tmpfs shm rw\n\
             903 900 259:1 /etc/hosts /etc/hosts rw - xfs /dev/nvme0n1p1 rw\n\
             904 900 259:1 / /rootfs ro - xfs /dev/nvme0n1p1 rw\n\
             905 904 0:95 / /rootfs/var/lib/x ro - overlay overlay rw\n",
            "/",
            &[
                ("overlay", "/", "overlay"),
                ("/dev/shm", "/dev/shm", "tmpfs"),
                ("/dev/nvme0n1p1", "/etc/hosts", "xfs"),
            ],
        );
    }

    #[test]
    fn which_of_two_mounts() {
        // The later tmpfs hides the earlier one.
        check(
            "1 0 0:23 / /dev/shm rw - tmpfs a rw\n2 1 0:28 / /dev/shm rw - tmpfs b rw\n",
            "/",
            &[("/dev/shm", "/dev/shm", "tmpfs")],
        );
        // The mount at `/` wins over an earlier bind mount, and may be of any type.
        check(
            "1 0 0:30 /x /x rw - btrfs /dev/sda1 rw\n2 0 259:1 / /y rw - ext4 /dev/sdb1 rw\n\
             3 0 259:1 / / rw - ext4 /dev/sdb1 rw\n",
            "/",
            &[("/dev/sdb1", "/", "ext4")],
        );
        check("1 0 0:30 / / rw - btrfs /dev/sda1 rw\n", "/", &[("/dev/sda1", "/", "btrfs")]);
        check("1 0 0:30 / / rw - tmpfs tmpfs rw\n", "/", &[("tmpfs", "/", "tmpfs")]);
        check("1 0 0:30 / / rw - nfs4 server:/export rw\n", "/", &[]);
    }

    #[test]
    fn ten_thousand_mounts() {
        let mut mountinfo = String::from("27 1 259:1 / / rw - xfs /dev/nvme0n1p1 rw\n");
        for index in 0..10_000 {
            use std::fmt::Write;
            let (pod, disk) = (index % 5000, index % 100);
            writeln!(
                mountinfo,
                "{index} 27 259:{} /p{pod} /pods/{pod} rw - ext4 /dev/nvme{disk}n1 rw",
                disk + 2
            )
            .unwrap();
            writeln!(mountinfo, "{index} 27 0:{index} / /o/{index} rw - overlay overlay rw").unwrap();
        }
        let selected = select(parse_mountinfo(mountinfo.as_bytes()), Path::new("/"));
        assert_eq!(selected.len(), 101);
    }

    #[test]
    fn a_hidden_filesystem_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let device = rustix::fs::stat(directory.path()).unwrap().st_dev;
        let mut filesystem = Filesystem {
            device: "/dev/nvme0n1".into(),
            mount_point: directory.path().to_path_buf(),
            fs_type: "ext4".into(),
            number: DeviceNumber { major: rustix::fs::major(device), minor: rustix::fs::minor(device) },
        };
        assert!(filesystem.usage().unwrap().capacity > 0);
        filesystem.number.minor += 1;
        let error = filesystem.usage().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("/dev/nvme0n1 is not visible at {}", directory.path().display())
        );
        filesystem.mount_point.push("gone");
        assert!(matches!(filesystem.usage(), Err(Error::Filesystem { .. })));
    }
}
