//! Where the host's files are seen from where the collector runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where a container's manifest mounts the host's `/`.
const ROOTFS: &str = "/rootfs";

/// The directories everything else is read below. Fields are public so that tests and unusual deployments can point
/// them anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPaths {
    /// The host's procfs. Its process 1 must be the host's.
    pub proc: PathBuf,
    /// The host's sysfs.
    pub sys: PathBuf,
    /// The cgroup mount: the v2 hierarchy itself, or the directory holding one v1 hierarchy per controller.
    pub cgroup: PathBuf,
    /// The host's root directory; a mount point of the host is found at `root` followed by it.
    pub root: PathBuf,
}

impl HostPaths {
    /// Looks where the host's files are.
    ///
    /// Each of `HOST_PROC`, `HOST_SYS`, `HOST_ROOT` wins when set and not empty. Otherwise `/rootfs` is the host's
    /// root when it has a `proc` directory: then `/rootfs/proc` is its procfs and `/rootfs/sys` its sysfs, the latter
    /// only if cgroups are mounted below it (a mount of `/` that does not include submounts has an empty `sys`).
    /// Outside a container these are `/proc`, `/sys` and `/`.
    #[must_use]
    pub fn discover() -> Self {
        Self::discover_with(Path::new(ROOTFS), |name| std::env::var_os(name))
    }

    /// [`HostPaths::discover`] with the place of `/rootfs` and the environment given.
    #[must_use]
    pub fn discover_with(rootfs: &Path, environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let from_environment = |name| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let contained = rootfs.join("proc").is_dir();
        let proc = from_environment("HOST_PROC")
            .unwrap_or_else(|| if contained { rootfs.join("proc") } else { PathBuf::from("/proc") });
        let sys = from_environment("HOST_SYS").unwrap_or_else(|| {
            let host = rootfs.join("sys");
            if has_entries(&host.join("fs/cgroup")) { host } else { PathBuf::from("/sys") }
        });
        let root = from_environment("HOST_ROOT")
            .unwrap_or_else(|| if contained { rootfs.to_path_buf() } else { PathBuf::from("/") });
        Self { proc, cgroup: sys.join("fs/cgroup"), sys, root }
    }
}

fn has_entries(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery() {
        fn check(directories: &[&str], environment: &[(&str, &str)], expected: [&str; 4]) {
            let temporary = tempfile::tempdir().unwrap();
            let rootfs = temporary.path();
            for directory in directories {
                std::fs::create_dir_all(rootfs.join(directory)).unwrap();
            }
            let paths = HostPaths::discover_with(rootfs, |name| {
                environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            });
            let [proc, sys, cgroup, root] =
                expected.map(|path| PathBuf::from(path.replace("ROOTFS", rootfs.to_str().unwrap())));
            assert_eq!(paths, HostPaths { proc, sys, cgroup, root });
        }
        let plain = ["/proc", "/sys", "/sys/fs/cgroup", "/"];
        check(&[], &[], plain);
        check(&["etc"], &[("HOST_PROC", "")], plain);
        check(&["proc"], &[], ["ROOTFS/proc", "/sys", "/sys/fs/cgroup", "ROOTFS"]);
        check(&["proc", "sys/fs/cgroup"], &[], ["ROOTFS/proc", "/sys", "/sys/fs/cgroup", "ROOTFS"]);
        check(
            &["proc", "sys/fs/cgroup/memory"],
            &[],
            ["ROOTFS/proc", "ROOTFS/sys", "ROOTFS/sys/fs/cgroup", "ROOTFS"],
        );
        check(
            &["proc", "sys/fs/cgroup/memory"],
            &[("HOST_PROC", "/host/proc"), ("HOST_SYS", "/host/sys"), ("HOST_ROOT", "/host")],
            ["/host/proc", "/host/sys", "/host/sys/fs/cgroup", "/host"],
        );
    }
}
