//! Machines made of files.
#![allow(dead_code, unreachable_pub)] // Each test file uses a part.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use node::{Buffer, Cgroups, HostPaths, PodTable, Refresh};
use tempfile::TempDir;

pub const UID: &str = "6b7f5a0e-1c2d-4e3f-8a9b-0c1d2e3f4a5b";
pub const HASH: &str = "7e2b1f0a9c8d4e5f6a7b8c9d0e1f2a3b";
pub const TASK: &str = "0f9de17a6465404e8b1b2356dc13c2f8";

/// A container's identifier.
pub fn id(number: usize) -> String {
    format!("{number:064x}")
}

pub fn slice(parent: &str, uid: &str) -> String {
    format!("{parent}-pod{}.slice", uid.replace('-', "_"))
}

/// A machine with cgroup v2 below a temporary directory.
pub struct Machine(pub TempDir);

impl Machine {
    pub fn bare() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn v2() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("cgroup/cgroup.controllers", "cpu memory\n");
        machine
    }

    pub fn v1() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.directory("cgroup/memory").directory("cgroup/cpu,cpuacct");
        machine
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub fn directory(&self, path: &str) -> &Self {
        fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    pub fn write(&self, path: &str, content: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn remove(&self, path: &str) -> &Self {
        fs::remove_dir_all(self.path(path)).unwrap();
        self
    }

    pub fn paths(&self) -> HostPaths {
        let root = self.path("rootfs");
        HostPaths { proc: self.path("proc"), sys: self.path("sys"), cgroup: self.path("cgroup"), root }
    }

    pub fn pods(&self) -> PodTable {
        PodTable::new(Cgroups::find(&self.paths()).unwrap())
    }

    /// A process in a container's group and a network namespace.
    pub fn process(&self, pid: u32, group: &str, namespace: &str) {
        let file = |name: &str| format!("proc/{pid}/{name}");
        self.write(&file("cgroup"), &format!("0::{group}\n"));
        self.directory(&file("ns")).directory(&file("net"));
        self.write(&format!("namespaces/{namespace}"), "");
        symlink(self.path(&format!("namespaces/{namespace}")), self.path(&file("ns/net"))).unwrap();
        self.write(&file("net/dev"), &net_dev(u64::from(pid)));
    }
}

pub fn net_dev(bytes: u64) -> String {
    format!("h\nh\n  lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\neth0: {bytes} 8 7 6 0 0 0 0 5 4 3 2 0 0 0 0\n")
}

pub fn refresh(table: &mut PodTable, buffer: &mut Buffer) -> bool {
    let Refresh { changed, errors } = table.refresh(buffer);
    assert!(errors.is_empty(), "{errors:?}");
    changed
}
