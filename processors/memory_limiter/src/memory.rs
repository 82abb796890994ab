//! How much memory there is, and how much the process has.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why memory cannot be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoryError {
    /// A file of the kernel cannot be read.
    #[error("cannot read {path}")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    /// A file of the kernel does not say what it should.
    #[error("cannot find {what} in {path}")]
    Missing { what: &'static str, path: &'static str },
}

const STATM: &str = "/proc/self/statm";
const MEMINFO: &str = "proc/meminfo";

/// The resident memory of this process, from a file that is kept open.
#[derive(Debug)]
pub(crate) struct Resident {
    statm: File,
    page_size: u64,
}

impl Resident {
    pub(crate) fn open() -> Result<Self, MemoryError> {
        let statm =
            File::open(STATM).map_err(|source| MemoryError::Read { path: STATM.to_owned(), source })?;
        Ok(Self { statm, page_size: rustix::param::page_size() as u64 })
    }

    /// In bytes.
    pub(crate) fn read(&self) -> Result<u64, MemoryError> {
        let mut buffer = [0; 128];
        let length = self
            .statm
            .read_at(&mut buffer, 0)
            .map_err(|source| MemoryError::Read { path: STATM.to_owned(), source })?;
        let pages = buffer.get(..length).and_then(resident_pages);
        let pages = pages.ok_or(MemoryError::Missing { what: "the resident pages", path: STATM })?;
        Ok(pages.saturating_mul(self.page_size))
    }
}

/// The second number of `statm` (`man 5 proc_pid_statm`).
fn resident_pages(statm: &[u8]) -> Option<u64> {
    std::str::from_utf8(statm).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The memory that the process may use, in bytes: the least limit of its cgroups, or else all memory. `root` is `/`.
pub(crate) fn total(root: &Path) -> Result<u64, MemoryError> {
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
    fn the_second_number_is_resident() {
        assert_eq!(resident_pages(b"100 42 7 1 0 9 0\n"), Some(42));
        assert_eq!(resident_pages(b"100"), None);
        assert_eq!(resident_pages(b"100 x"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let bytes = Resident::open().unwrap().read().unwrap();
        assert!((1 << 16..1 << 40).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_least_limit_counts() {
        let check = |files: &[(&str, &str)], expected: Option<u64>| {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            assert_eq!(total(root.path()).ok(), expected, "{files:?}");
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
