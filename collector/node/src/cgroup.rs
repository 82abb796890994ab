//! Control group hierarchies, version 1 and 2: which is in use, and where the machine's own are visible.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::group::{Cgroup, Directories};
use crate::paths::HostPaths;
use crate::roots::KNOWN_ROOTS;

/// `f_type` of a cgroup v2 filesystem (`CGROUP2_SUPER_MAGIC`).
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// The version of the control group interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy per controller. Also the hybrid layout, where v2 is mounted beside them for systemd's own use.
    V1,
    /// One hierarchy for all.
    V2,
}

/// The machine's control group hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    mount: PathBuf,
    version: Version,
    /// On v1, where `cpu` and `cpuacct` are, which may be mounted together.
    cpu: PathBuf,
    cpuacct: PathBuf,
    /// On v1, the controller in whose hierarchy groups are looked for.
    walked: &'static str,
}

impl Cgroups {
    /// Looks for the machine's control groups below `paths`: at [`HostPaths::cgroup`], then at `sys/fs/cgroup` and
    /// `cgroup` below [`HostPaths::root`].
    ///
    /// A container often has its own cgroup namespace, with a mount that shows its own group as the root; the first
    /// place that shows the machine's root wins, else the first that shows pods (inside a node that is itself a
    /// container), else the first there is.
    #[must_use]
    pub fn find(paths: &HostPaths) -> Option<Self> {
        let places = [paths.cgroup.clone(), paths.root.join("sys/fs/cgroup"), paths.root.join("cgroup")];
        let found: Vec<Self> = places.iter().filter_map(|place| Self::detect(place)).collect();
        let rank = |cgroups: &&Self| match () {
            () if !cgroups.is_namespaced() => 0,
            () if cgroups.has_containers() => 1,
            () => 2,
        };
        found.iter().min_by_key(rank).cloned()
    }

    /// Looks at what is mounted at `mount`, normally `/sys/fs/cgroup`. None when there are no control groups.
    #[must_use]
    pub fn detect(mount: &Path) -> Option<Self> {
        let is_v2 = rustix::fs::statfs(mount)
            .is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(CGROUP2_MAGIC))
            || mount.join("cgroup.controllers").exists();
        let version = if is_v2 {
            Version::V2
        } else if ["memory", "cpuacct", "cpu,cpuacct", "blkio"].iter().any(|name| mount.join(name).is_dir()) {
            Version::V1
        } else {
            return None;
        };
        let joint = |controller| match version {
            Version::V1 => joint_directory(mount, controller),
            Version::V2 => mount.to_path_buf(),
        };
        let walked = if mount.join("memory").is_dir() { "memory" } else { "cpuacct" };
        Some(Self {
            mount: mount.to_path_buf(),
            version,
            cpu: joint("cpu"),
            cpuacct: joint("cpuacct"),
            walked,
        })
    }

    /// The version in use.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the control groups are mounted.
    #[must_use]
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The directory of a group: below the mount on v2, below the controller's directory on v1.
    #[must_use]
    pub fn directory(&self, controller: &str, path: &str) -> PathBuf {
        let path = path.trim_matches('/');
        let hierarchy = match (self.version, controller) {
            (Version::V2, _) => self.mount.clone(),
            (Version::V1, "cpu") => self.cpu.clone(),
            (Version::V1, "cpuacct") => self.cpuacct.clone(),
            (Version::V1, _) => self.mount.join(controller),
        };
        if path.is_empty() { hierarchy } else { hierarchy.join(path) }
    }

    /// The group with this path, such as `/kubepods.slice`; `/` is the root. Whether it exists shows when it is read.
    #[must_use]
    pub fn cgroup(&self, path: &str) -> Cgroup {
        let directory = |controller| Arc::from(self.directory(controller, path));
        Cgroup::new(match self.version {
            Version::V1 => Directories::V1 {
                cpu: directory("cpu"),
                cpuacct: directory("cpuacct"),
                memory: directory("memory"),
                blkio: directory("blkio"),
                pids: directory("pids"),
            },
            Version::V2 => {
                Directories::V2 { directory: directory(""), is_root: path.trim_matches('/').is_empty() }
            }
        })
    }

    /// Whether the mount shows a namespace's groups instead of the machine's: its root is then the container's own
    /// group. On v2 the true root lacks `cgroup.type`, on v1 it alone has `release_agent`.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        match self.version {
            Version::V2 => self.mount.join("cgroup.type").exists(),
            Version::V1 => {
                let root = self.walked();
                root.join("notify_on_release").exists() && !root.join("release_agent").exists()
            }
        }
    }

    /// The hierarchy in which groups are looked for: on v1, where every controller has its own, that of `memory`, or
    /// of `cpuacct` on a kernel without.
    pub(crate) fn walked(&self) -> PathBuf {
        self.walked_directory("/")
    }

    /// A group's directory in that hierarchy.
    pub(crate) fn walked_directory(&self, path: &str) -> PathBuf {
        self.directory(self.walked, path)
    }

    fn has_containers(&self) -> bool {
        let root = self.walked();
        KNOWN_ROOTS.iter().any(|path| root.join(path).is_dir())
    }
}

/// `cpu` and `cpuacct` are usually mounted together, under either order of names and with or without a link.
fn joint_directory(mount: &Path, controller: &str) -> PathBuf {
    let plain = mount.join(controller);
    if plain.is_dir() {
        return plain;
    }
    let joint = ["cpu,cpuacct", "cpuacct,cpu"].map(|name| mount.join(name));
    joint.into_iter().find(|directory| directory.is_dir()).unwrap_or(plain)
}
