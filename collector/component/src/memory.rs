//! Memory that this process may use.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a kernel file about memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A file of the kernel cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file of the kernel does not say what it should.
    #[error("cannot find {what} in {path}")]
    Missing {
        /// The missing value.
        what: &'static str,
        /// The file.
        path: &'static str,
    },
}

const MEMINFO: &str = "proc/meminfo";

/// Returns the memory that this process may use, in bytes: the least limit of its control groups, or else all memory.
///
/// # Errors
/// A file of the kernel cannot be read or lacks the value.
pub fn total() -> Result<u64, MemoryError> {
    total_below(Path::new("/"))
}

fn total_below(root: &Path) -> Result<u64, MemoryError> {
    let path = root.join(MEMINFO);
    let meminfo = std::fs::read_to_string(&path)
        .map_err(|source| MemoryError::Read { path: path.display().to_string(), source })?;
    let all = mem_total(&meminfo).ok_or(MemoryError::Missing { what: "MemTotal", path: "/proc/meminfo" })?;
    Ok(cgroup_limit(root).filter(|limit| *limit < all).unwrap_or(all))
}

/// `MemTotal` in bytes.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The least memory limit among the cgroup of the process and those above it.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let cgroups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = cgroups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        if controllers.is_empty() {
            let mounts = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];
            mounts.iter().filter_map(|mount| least_limit(&root.join(mount), path, "memory.max")).min()
        } else if controllers.split(',').any(|controller| controller == "memory") {
            least_limit(&root.join("sys/fs/cgroup/memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min()
}

/// The least number in `file` along `path` below `mount`. In a container the path may be one of the host, of which
/// only the mount point itself is visible.
fn least_limit(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let mut directory: PathBuf = mount.to_owned();
    let mut least = limit(&directory.join(file));
    for name in path.split('/').filter(|name| !name.is_empty() && *name != "..") {
        directory.push(name);
        least = least.into_iter().chain(limit(&directory.join(file))).min();
    }
    least
}

/// A limit in bytes; `None` for `max`.
fn limit(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts() {
        let check = |files: &[(&str, &str)], expected: Option<u64>| {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            assert_eq!(total_below(root.path()).ok(), expected, "{files:?}");
        };
        let meminfo = ("proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\n");
        check(&[], None);
        check(&[("proc/meminfo", "MemFree: 1 kB\n")], None);
        check(&[meminfo], Some(1_024_000));
        let v2 = ("proc/self/cgroup", "0::/a/b\n");
        check(&[meminfo, v2, ("sys/fs/cgroup/memory.max", "5000\n")], Some(5000));
        check(&[meminfo, v2, ("sys/fs/cgroup/a/b/memory.max", "max\n")], Some(1_024_000));
        let above = ("sys/fs/cgroup/a/memory.max", "4000\n");
        check(&[meminfo, v2, above, ("sys/fs/cgroup/a/b/memory.max", "6000\n")], Some(4000));
        check(&[meminfo, v2, ("sys/fs/cgroup/a/memory.max", "99999999999\n")], Some(1_024_000));
        let v1 = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/y\n");
        check(&[meminfo, v1, ("sys/fs/cgroup/memory/y/memory.limit_in_bytes", "3000\n")], Some(3000));
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        check(&[meminfo, v1, unlimited], Some(1_024_000));
    }
}
