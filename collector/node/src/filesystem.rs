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
    b"xfs", b"squashfs", b"f2fs", b"jfs", b"reiserfs", b"hfs", b"hfsplus", b"ntfs", b"vfat", b"fat", b"msdos", b"exfat",
    b"udf", b"iso9660", b"overlay", b"tmpfs",
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

/// The device a mount is reported under, if it is.
fn reported_device<'m>(mount: &'m Mount<'_>) -> Option<Cow<'m, str>> {
    let device = if *mount.mount_point == *b"/" {
        String::from_utf8_lossy(&mount.source)
    } else if !is_accepted_type(&mount.fs_type) || *mount.fs_type == *b"overlay" {
        // An overlay's source, made unique by a suffix, passes the filter below only if it was mounted under the name
        // of a device.
        return overlay_device(mount);
    } else if *mount.fs_type == *b"tmpfs" {
        String::from_utf8_lossy(&mount.mount_point)
    } else {
        String::from_utf8_lossy(&mount.source)
    };
    is_reported_device(&device).then_some(device)
}

fn overlay_device<'m>(mount: &'m Mount<'_>) -> Option<Cow<'m, str>> {
    let device_like = *mount.fs_type == *b"overlay" && mount.source.starts_with(b"/dev/");
    device_like.then(|| {
        let source = String::from_utf8_lossy(&mount.source);
        Cow::Owned(format!("{source}_{}-{}", mount.number.major, mount.number.minor))
    })
}

fn is_accepted_type(fs_type: &[u8]) -> bool {
    fs_type.starts_with(b"ext") || ACCEPTED_TYPES.contains(&fs_type)
}

/// The filter `^(tmpfs|/dev/.*|overlay)$`.
fn is_reported_device(device: &str) -> bool {
    device == "tmpfs" || device == "overlay" || (device.starts_with("/dev/") && !device.contains('\n'))
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
        let failed =
            |source: rustix::io::Errno| Error::Filesystem { path: self.mount_point.clone(), source: source.into() };
        if !TYPES_WITH_SUBVOLUMES.contains(&self.fs_type.as_bytes()) {
            let device = rustix::fs::stat(&self.mount_point).map_err(failed)?.st_dev;
            let found = DeviceNumber { major: rustix::fs::major(device), minor: rustix::fs::minor(device) };
            if found != self.number {
                return Err(Error::Hidden { device: self.device.to_string(), path: self.mount_point.clone() });
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
