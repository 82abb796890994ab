//! Which EBS volume is behind a device.

use std::collections::BTreeMap;
use std::path::Path;

use aws::ec2::Volume;

use crate::config::Wanted;

/// The longest serial number of a device that is read, in bytes.
const LONGEST_SERIAL: u64 = 256;

/// Volumes by the names of devices, without `/dev/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volumes(BTreeMap<String, String>);

/// What the kernel says of its disks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Disks {
    /// The disks whose serial number names a volume.
    pub(crate) volumes: Volumes,
    /// Whether there are others that a volume may be behind.
    pub(crate) has_others: bool,
}

impl Disks {
    /// The disks below `sys`. NVMe disks of EBS have the volume's id as their serial number; Xen's have none.
    pub(crate) fn read(sys: &Path) -> Self {
        let mut disks = Self::default();
        let Ok(entries) = std::fs::read_dir(sys.join("block")) else {
            return Self { has_others: true, ..disks };
        };
        for entry in entries.flatten() {
            let device = entry.path().join("device");
            // Loops, memory and what is put together of other disks have no device of their own.
            if !device.exists() {
                continue;
            }
            let Some(serial) = serial(&device.join("serial")) else {
                disks.has_others = true;
                continue;
            };
            if let Some(volume) = node::volume_id_of_serial(serial.as_bytes()) {
                disks.volumes.0.insert(entry.file_name().to_string_lossy().into_owned(), volume);
            }
        }
        disks
    }
}

fn serial(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LONGEST_SERIAL).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl Volumes {
    /// Adds what EC2 says, whose names of devices are those of the attachment.
    pub(crate) fn add(&mut self, volumes: Vec<Volume>) {
        for Volume { id, device, .. } in volumes {
            let name = device.strip_prefix("/dev/").unwrap_or(&device);
            // What EC2 attaches as sdf is called xvdf by the kernel.
            if let Some(letters) = name.strip_prefix("sd") {
                self.0.entry(format!("xvd{letters}")).or_insert_with(|| id.clone());
            }
            self.0.entry(name.to_owned()).or_insert(id);
        }
    }

    /// Keeps the volumes of the devices that are wanted.
    pub(crate) fn keep(&mut self, wanted: &Wanted) {
        self.0.retain(|device, _| wanted.contains(device));
    }

    /// The volume of a device or of the disk that it is a partition of.
    pub(crate) fn get(&self, device: &str) -> Option<&str> {
        let name = device.strip_prefix("/dev/").unwrap_or(device);
        let exact = self.0.get(name);
        exact.or_else(|| self.0.get(disk_of(name)?)).map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The disk of a partition: `nvme0n1` of `nvme0n1p2`, `xvda` of `xvda1`.
fn disk_of(partition: &str) -> Option<&str> {
    let disk = partition.trim_end_matches(|last: char| last.is_ascii_digit());
    if disk.len() == partition.len() {
        return None;
    }
    match disk.strip_suffix('p') {
        Some(numbered) if numbered.ends_with(|last: char| last.is_ascii_digit()) => Some(numbered),
        // `nvme0n1` is a disk itself.
        _ => Some(disk).filter(|disk| !disk.starts_with("nvme")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(id: &str, device: &str) -> Volume {
        Volume { id: id.into(), device: device.into(), availability_zone: "a".into() }
    }

    #[test]
    fn devices() {
        let mut volumes = Volumes(BTreeMap::from([("nvme1n1".into(), "vol-1".into())]));
        volumes.add(vec![
            volume("vol-x", "nvme1n1"),
            volume("vol-2", "/dev/xvda"),
            volume("vol-3", "/dev/sdf"),
        ]);
        let check =
            |device: &str, expected: Option<&str>| assert_eq!(volumes.get(device), expected, "{device}");
        check("nvme1n1", Some("vol-1"));
        check("/dev/nvme1n1p3", Some("vol-1"));
        check("nvme1n10", None);
        check("nvme1n10p1", None);
        check("xvda", Some("vol-2"));
        check("xvda15", Some("vol-2"));
        check("xvdaa", None);
        check("sdf", Some("vol-3"));
        check("xvdf1", Some("vol-3"));
        check("tmpfs", None);
        check("", None);
    }

    #[test]
    fn disks() {
        let sys = tempfile::tempdir().unwrap();
        let disk = |name: &str, serial: Option<&str>| {
            let device = sys.path().join("block").join(name).join("device");
            std::fs::create_dir_all(&device).unwrap();
            if let Some(serial) = serial {
                std::fs::write(device.join("serial"), serial).unwrap();
            }
        };
        assert!(Disks::read(sys.path()).has_others, "nothing is known");
        disk("nvme0n1", Some("vol0abc\n"));
        disk("nvme1n1", Some("AWS123\n"));
        std::fs::create_dir_all(sys.path().join("block/loop0")).unwrap();
        let read = Disks::read(sys.path());
        assert_eq!(read.volumes.0, BTreeMap::from([("nvme0n1".into(), "vol-0abc".into())]));
        assert!(!read.has_others);
        disk("xvda", None);
        assert!(Disks::read(sys.path()).has_others);
    }

    #[test]
    fn only_what_is_wanted_is_kept() {
        let mut volumes = Volumes::default();
        volumes.add(vec![volume("vol-1", "/dev/xvda"), volume("vol-2", "/dev/xvdb")]);
        volumes.keep(&Wanted::Named(vec!["xvdb".into()]));
        assert_eq!((volumes.get("xvda1"), volumes.get("xvdb1")), (None, Some("vol-2")));
    }
}
