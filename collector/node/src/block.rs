//! Names of block devices, and the EBS volume behind one.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::device::disk_of;
use crate::disk::DeviceNumber;
use crate::error::Error;
use crate::file::read_once;

/// Beginnings of the names of block devices that are no disks: loop devices, RAM disks, optical drives.
const SKIPPED_PREFIXES: &[&[u8]] = &[b"loop", b"ram", b"sr"];

/// The whole disks of `/sys/block`, by number.
///
/// The directory is listed at every [`BlockDevices::refresh`]; a disk's own files are read when it is new.
#[derive(Debug)]
pub struct BlockDevices {
    directory: PathBuf,
    disks: HashMap<OsString, DeviceNumber>,
    paths: HashMap<DeviceNumber, Arc<str>>,
    unknown: HashSet<DeviceNumber>,
}

impl BlockDevices {
    /// The disks of the sysfs mounted at `sys`. Nothing is read yet.
    #[must_use]
    pub fn new(sys: &Path) -> Self {
        Self {
            directory: sys.join("block"),
            disks: HashMap::new(),
            paths: HashMap::new(),
            unknown: HashSet::new(),
        }
    }

    /// Learns of disks attached and forgets disks detached since the last call.
    ///
    /// # Errors
    /// [`Error::Open`] when `/sys/block` cannot be listed; what was known stays.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let failed = |source| Error::Open { path: self.directory.clone(), source };
        let mut disks = HashMap::with_capacity(self.disks.len());
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            if SKIPPED_PREFIXES.iter().any(|prefix| name.as_bytes().starts_with(prefix)) {
                continue;
            }
            if let Some(number) = self.disks.get(&name).copied().or_else(|| read_disk(&entry.path())) {
                disks.insert(name, number);
            }
        }
        if disks != self.disks {
            self.paths = disks.iter().map(|(name, number)| (*number, device_path(name))).collect();
            self.disks = disks;
        }
        Ok(())
    }

    /// The path of a whole disk, such as `/dev/nvme0n1` or `/dev/dm-0`, as of the last refresh. None for partitions,
    /// for devices that are no disks, and for those the kernel hides (the paths of a multipath disk).
    ///
    /// A number not seen before makes all disks' files be read again: a disk detached and attached between two
    /// refreshes keeps its name but not its number.
    pub fn path(&mut self, number: DeviceNumber) -> Option<Arc<str>> {
        if !self.paths.contains_key(&number) && self.unknown.insert(number) {
            let known = std::mem::take(&mut self.disks);
            if self.refresh().is_err() {
                self.disks = known;
            }
        }
        self.paths.get(&number).cloned()
    }
}

/// The device number of a directory of `/sys/block`, unless the kernel hides the disk.
fn read_disk(directory: &Path) -> Option<DeviceNumber> {
    let number = DeviceNumber::parse(read_once(&directory.join("dev")).ok()?.trim_ascii())?;
    let hidden = read_once(&directory.join("hidden")).is_ok_and(|hidden| hidden.trim_ascii() == b"1");
    (!hidden).then_some(number)
}

/// `/dev/<name>`; sysfs writes `!` for a slash in a name.
fn device_path(name: &OsStr) -> Arc<str> {
    format!("/dev/{}", name.to_string_lossy().replace('!', "/")).into()
}

/// The EBS volume behind an NVMe device or partition, such as `vol-0123456789abcdef0` for `/dev/nvme1n1p1`: its serial
/// number is the volume's id without the dash. None for other disks, instance store included.
#[must_use]
pub fn ebs_volume_id(sys: &Path, device: &str) -> Option<String> {
    let name = device.strip_prefix("/dev/").filter(|name| name.starts_with("nvme") && !name.contains('/'))?;
    let block = sys.join("class/block").join(name);
    // `class/block` links to the device's own directory, and a partition's directory lies in that of its disk.
    let disk = if block.join("partition").exists() { block.join("..") } else { block };
    let serial = read_once(&disk.join("device/serial"))
        .or_else(|_| read_once(&sys.join("block").join(disk_of(name).unwrap_or(name)).join("device/serial")));
    volume_id_of_serial(&serial.ok()?)
}

/// The volume id an EBS volume's NVMe serial number stands for: `vol0abc…` is `vol-0abc…`.
#[must_use]
pub fn volume_id_of_serial(serial: &[u8]) -> Option<String> {
    let id = serial.trim_ascii().strip_prefix(b"vol")?;
    let id = id.strip_prefix(b"-").unwrap_or(id);
    if id.is_empty() || !id.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    Some(format!("vol-{}", String::from_utf8_lossy(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn add_disk(sys: &Path, name: &str, number: &str, hidden: &str) {
        let directory = sys.join("block").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("dev"), format!("{number}\n")).unwrap();
        fs::write(directory.join("hidden"), format!("{hidden}\n")).unwrap();
    }

    fn check(devices: &mut BlockDevices, number: &str, expected: Option<&str>) {
        let number = DeviceNumber::parse(number.as_bytes()).unwrap();
        assert_eq!(devices.path(number).as_deref(), expected, "{number}");
    }

    #[test]
    fn disks_come_and_go() {
        let sys = tempfile::tempdir().unwrap();
        let sys = sys.path();
        for (name, number, hidden) in [
            ("nvme0n1", "259:0", "0"),
            ("dm-0", "253:0", "0"),
            ("cciss!c0d0", "104:0", "0"),
            ("nvme0c0n1", "259:9", "1"),
            ("loop0", "7:0", "0"),
            ("ram0", "1:0", "0"),
            ("sr0", "11:0", "0"),
            ("sdx", "?", "0"),
        ] {
            add_disk(sys, name, number, hidden);
        }
        let mut devices = BlockDevices::new(sys);
        devices.refresh().unwrap();
        check(&mut devices, "259:0", Some("/dev/nvme0n1"));
        check(&mut devices, "253:0", Some("/dev/dm-0"));
        check(&mut devices, "104:0", Some("/dev/cciss/c0d0"));
        for number in ["259:9", "7:0", "1:0", "11:0", "259:1"] {
            check(&mut devices, number, None);
        }

        add_disk(sys, "nvme1n1", "259:4", "0");
        fs::remove_dir_all(sys.join("block/dm-0")).unwrap();
        devices.refresh().unwrap();
        check(&mut devices, "259:4", Some("/dev/nvme1n1"));
        check(&mut devices, "253:0", None);

        // Another disk under a known name.
        add_disk(sys, "nvme1n1", "259:7", "0");
        devices.refresh().unwrap();
        check(&mut devices, "259:7", Some("/dev/nvme1n1"));
        check(&mut devices, "259:4", None);

        fs::remove_dir_all(sys.join("block")).unwrap();
        assert!(devices.refresh().unwrap_err().is_absent());
        check(&mut devices, "259:0", Some("/dev/nvme0n1"));
    }

    #[test]
    fn volumes() {
        let sys = tempfile::tempdir().unwrap();
        let sys = sys.path();
        let disk = |name: &str, serial: &str| {
            let directory = sys.join("devices").join(name);
            let partition = directory.join(format!("{name}p1"));
            fs::create_dir_all(directory.join("device")).unwrap();
            fs::create_dir_all(&partition).unwrap();
            fs::create_dir_all(sys.join("class/block")).unwrap();
            fs::write(directory.join("device/serial"), serial).unwrap();
            fs::write(partition.join("partition"), "1\n").unwrap();
            std::os::unix::fs::symlink(&directory, sys.join("class/block").join(name)).unwrap();
            std::os::unix::fs::symlink(&partition, sys.join("class/block").join(format!("{name}p1")))
                .unwrap();
        };
        disk("nvme0n1", "vol0123456789abcdef0\n");
        disk("nvme1n1", "AWS1234567890ABCDEF1 \n");
        fs::create_dir_all(sys.join("block/nvme2n1/device")).unwrap();
        fs::write(sys.join("block/nvme2n1/device/serial"), "vol00000002").unwrap();
        let check = |device: &str, expected: Option<&str>| {
            assert_eq!(ebs_volume_id(sys, device).as_deref(), expected, "{device}");
        };
        check("/dev/nvme0n1", Some("vol-0123456789abcdef0"));
        check("/dev/nvme0n1p1", Some("vol-0123456789abcdef0"));
        check("/dev/nvme1n1", None);
        check("/dev/nvme2n1", Some("vol-00000002"));
        check("/dev/nvme2n1p128", Some("vol-00000002"));
        check("/dev/nvme9n1", None);
        check("/dev/sda1", None);
        check("/dev/nvme0n1/../nvme2n1", None);
        check("overlay", None);
    }

    #[test]
    fn serials() {
        fn check(input: &str, expected: Option<&str>) {
            assert_eq!(volume_id_of_serial(input.as_bytes()).as_deref(), expected, "{input:?}");
        }
        check("vol0123456789abcdef0", Some("vol-0123456789abcdef0"));
        check("vol0abc                \n", Some("vol-0abc"));
        check("vol-0abc\n", Some("vol-0abc"));
        check("vol", None);
        check("volume1", None);
        check("AWS6AAB1234", None);
        check("", None);
    }
}
