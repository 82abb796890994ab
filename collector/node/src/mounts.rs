//! The mount table kept current.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::disk::DeviceNumber;
use crate::error::Error;
use crate::file::{Buffer, KeptFile, Shape, is_procfs};
use crate::filesystem::{Filesystem, select};
use crate::mountinfo::parse_mountinfo;
use crate::paths::HostPaths;

/// Whose mounts are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountView {
    /// Those the collector sees, as upstream does: in a container these are the container's own, with the host's below
    /// `/rootfs`, and the container's `/` as device `overlay`.
    Collector,
    /// Those of the machine's process 1, reached below [`HostPaths::root`]: block devices mounted after the collector
    /// started need a `/rootfs` mount with `HostToContainer` propagation to be visible.
    Host,
}

/// The filesystems of a mount table. The kernel tells when the table has changed, so it is read and parsed only then.
#[derive(Debug)]
pub(crate) struct MountTable {
    file: KeptFile,
    root: PathBuf,
    tells_changes: bool,
    filesystems: Arc<[Filesystem]>,
    devices: HashMap<DeviceNumber, Arc<str>>,
}

impl MountTable {
    /// An empty table; nothing is read yet.
    pub(crate) fn new(paths: &HostPaths, view: MountView) -> Self {
        let (name, root) = match view {
            MountView::Collector => ("self/mountinfo", Path::new("/")),
            MountView::Host => ("1/mountinfo", paths.root.as_path()),
        };
        Self {
            file: KeptFile::new(paths.proc.as_path().into(), name, Shape::Sequence),
            root: root.to_path_buf(),
            tells_changes: false,
            filesystems: Arc::default(),
            devices: HashMap::new(),
        }
    }

    /// Reads the table if it may have changed. On failure what was known stays.
    pub(crate) fn refresh(&mut self, buffer: &mut Buffer) -> Result<(), Error> {
        if !self.may_have_changed(buffer) {
            return Ok(());
        }
        let root = &self.root;
        let filesystems = self.file.parse(buffer, |bytes| Ok(select(parse_mountinfo(bytes), root)))?;
        self.tells_changes = self.file.descriptor().is_some_and(is_procfs);
        self.devices = filesystems
            .iter()
            .filter(|filesystem| filesystem.number.major != 0)
            .map(|filesystem| (filesystem.number, Arc::clone(&filesystem.device)))
            .collect();
        self.filesystems = filesystems.into();
        Ok(())
    }

    /// As of the last refresh.
    pub(crate) fn filesystems(&self) -> Arc<[Filesystem]> {
        Arc::clone(&self.filesystems)
    }

    /// The source that a block device is mounted from.
    pub(crate) fn device(&self, number: DeviceNumber) -> Option<Arc<str>> {
        self.devices.get(&number).cloned()
    }

    /// A mountinfo descriptor polls as `POLLERR | POLLPRI` once after each change (`mounts_poll` in
    /// fs/proc_namespace.c). Being open from before the read, it misses none.
    fn may_have_changed(&self, buffer: &mut Buffer) -> bool {
        let Some(descriptor) = self.file.descriptor().filter(|_| self.tells_changes) else { return true };
        let mut polled = [PollFd::new(descriptor, PollFlags::PRI)];
        buffer.count_system_call();
        let answer = rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        answer.is_err()
            || polled.iter().any(|file| file.revents().intersects(PollFlags::ERR | PollFlags::PRI))
    }
}
