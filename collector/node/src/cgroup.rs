//! Control groups, version 1 and 2: which is in use, and one group's figures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cpu::{CpuUsage, parse_cpu_stat, parse_cpuacct_stat};
use crate::disk::{DeviceIo, join_blkio, parse_blkio, parse_io_stat};
use crate::error::Error;
use crate::file::{Buffer, KeptFile, Shape};
use crate::memory::{MemoryStats, parse_memory_stat_v1, parse_memory_stat_v2};
use crate::text::single_number;

/// `f_type` of a cgroup v2 filesystem (`CGROUP2_SUPER_MAGIC`).
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// Files counting bytes and operations on cgroup v1, best first: the `bfq` scheduler's, the former `cfq` scheduler's,
/// those of throttling, and the last for kernels before 4.12, which did not add up subgroups.
const BLKIO_FILES: [(&str, &str); 4] = [
    ("blkio.bfq.io_service_bytes_recursive", "blkio.bfq.io_serviced_recursive"),
    ("blkio.io_service_bytes_recursive", "blkio.io_serviced_recursive"),
    ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"),
    ("blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"),
];

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
}

/// One control group. Its files are opened when first read and stay open; drop the value when the group is gone.
#[derive(Debug)]
pub struct Cgroup {
    files: Files,
}

#[derive(Debug)]
enum Files {
    V1(V1),
    V2(V2),
}

#[derive(Debug)]
struct V1 {
    cpu_usage: KeptFile,
    cpu_stat: KeptFile,
    memory_usage: KeptFile,
    memory_max_usage: KeptFile,
    memory_failcnt: KeptFile,
    memory_stat: KeptFile,
    use_hierarchy: KeptFile,
    hierarchical: Option<bool>,
    blkio: Arc<Path>,
    /// The pair of [`BLKIO_FILES`] that last had figures.
    io: Option<(KeptFile, KeptFile)>,
}

#[derive(Debug)]
struct V2 {
    is_root: bool,
    cpu_stat: KeptFile,
    memory_current: KeptFile,
    memory_stat: KeptFile,
    memory_peak: Optional,
    swap_current: Optional,
    io_stat: KeptFile,
}

/// A file only some kernels have: once found missing it is not looked for again.
#[derive(Debug)]
struct Optional {
    file: KeptFile,
    missing: bool,
}

impl Cgroups {
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
        Some(Self { mount: mount.to_path_buf(), version })
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
        let hierarchy = match self.version {
            Version::V1 => self.controller_directory(controller),
            Version::V2 => self.mount.clone(),
        };
        if path.is_empty() { hierarchy } else { hierarchy.join(path) }
    }

    /// The group with this path, such as `/kubepods.slice`; `/` is the root. Whether it exists shows when it is read.
    #[must_use]
    pub fn cgroup(&self, path: &str) -> Cgroup {
        let directory = |controller| Arc::from(self.directory(controller, path));
        let files = match self.version {
            Version::V1 => Files::V1(V1::new(directory("cpuacct"), directory("memory"), directory("blkio"))),
            Version::V2 => Files::V2(V2::new(directory(""), path.trim_matches('/').is_empty())),
        };
        Cgroup { files }
    }

    /// Whether the mount shows a namespace's groups instead of the machine's: its root is then the container's own
    /// group. Only v2 tells, by a file that the true root lacks.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.version == Version::V2 && self.mount.join("cgroup.type").exists()
    }

    /// `cpuacct` is usually mounted together with `cpu`, under either order of names and with or without a link.
    fn controller_directory(&self, controller: &str) -> PathBuf {
        let plain = self.mount.join(controller);
        if controller == "cpuacct" && !plain.is_dir() {
            let joint = ["cpu,cpuacct", "cpuacct,cpu"].map(|name| self.mount.join(name));
            return joint.into_iter().find(|directory| directory.is_dir()).unwrap_or(plain);
        }
        plain
    }
}

impl Cgroup {
    /// CPU time. On v1 `cpuacct.usage` and `cpuacct.stat`, on v2 `cpu.stat`.
    ///
    /// # Errors
    /// As [`KeptFile::parse`], for the file that holds the total.
    pub fn cpu(&mut self, buffer: &mut Buffer) -> Result<CpuUsage, Error> {
        match &mut self.files {
            Files::V1(files) => {
                let total = files.cpu_usage.parse(buffer, |bytes| single_number("cpuacct.usage", bytes))?;
                let parts = files.cpu_stat.parse(buffer, |bytes| Ok(parse_cpuacct_stat(bytes)));
                Ok(CpuUsage { total: Some(total), ..parts.unwrap_or_default() })
            }
            Files::V2(files) => files.cpu_stat.parse(buffer, |bytes| Ok(parse_cpu_stat(bytes))),
        }
    }

    /// Memory. Values whose file is missing or malformed are absent, but on v2 `failcnt` is always 0, and so are
    /// `max_usage` and `swap` where the kernel does not count them, as upstream reports them.
    ///
    /// The v2 root has no `memory.current`: its usage is `anon + file`, its `max_usage` 0, and its `swap` absent, to be
    /// taken from `/proc/meminfo`.
    ///
    /// # Errors
    /// As [`KeptFile::parse`], for the files `usage` comes from: `memory.usage_in_bytes` on v1, `memory.current` on v2,
    /// `memory.stat` at the v2 root. They are missing where the memory controller is not enabled.
    pub fn memory(&mut self, buffer: &mut Buffer) -> Result<MemoryStats, Error> {
        match &mut self.files {
            Files::V1(files) => files.memory(buffer),
            Files::V2(files) if files.is_root => files.root_memory(buffer),
            Files::V2(files) => files.memory(buffer),
        }
    }

    /// Block I/O per device, ordered by device number; devices without any figure are left out.
    ///
    /// On v1 it comes from the first pair of files that has figures, on v2 from `io.stat`.
    ///
    /// # Errors
    /// As [`KeptFile::parse`]. On v1 [`Error::Open`] only if none of the files exists.
    pub fn disk_io(&mut self, buffer: &mut Buffer) -> Result<Vec<DeviceIo>, Error> {
        match &mut self.files {
            Files::V1(files) => files.disk_io(buffer),
            Files::V2(files) => files.io_stat.parse(buffer, |bytes| Ok(parse_io_stat(bytes))),
        }
    }
}

impl V1 {
    fn new(cpuacct: Arc<Path>, memory: Arc<Path>, blkio: Arc<Path>) -> Self {
        let cpu = |name| KeptFile::new(Arc::clone(&cpuacct), name, Shape::Attribute);
        let memory = |name| KeptFile::new(Arc::clone(&memory), name, Shape::Attribute);
        Self {
            cpu_usage: cpu("cpuacct.usage"),
            cpu_stat: cpu("cpuacct.stat"),
            memory_usage: memory("memory.usage_in_bytes"),
            memory_max_usage: memory("memory.max_usage_in_bytes"),
            memory_failcnt: memory("memory.failcnt"),
            memory_stat: memory("memory.stat"),
            use_hierarchy: memory("memory.use_hierarchy"),
            hierarchical: None,
            blkio,
            io: None,
        }
    }

    fn memory(&mut self, buffer: &mut Buffer) -> Result<MemoryStats, Error> {
        let usage = attribute(&mut self.memory_usage, "memory.usage_in_bytes", buffer)?;
        let hierarchical = self.is_hierarchical(buffer);
        let stats = self.memory_stat.parse(buffer, |bytes| Ok(parse_memory_stat_v1(bytes, hierarchical)));
        Ok(MemoryStats {
            usage: Some(usage),
            max_usage: attribute(&mut self.memory_max_usage, "memory.max_usage_in_bytes", buffer).ok(),
            failcnt: attribute(&mut self.memory_failcnt, "memory.failcnt", buffer).ok(),
            ..stats.unwrap_or_default()
        })
    }

    /// Read once: it cannot change in a group that has subgroups, and since kernel 5.11 not at all.
    fn is_hierarchical(&mut self, buffer: &mut Buffer) -> bool {
        *self.hierarchical.get_or_insert_with(|| {
            let value = attribute(&mut self.use_hierarchy, "memory.use_hierarchy", buffer);
            self.use_hierarchy.close();
            value.ok() != Some(0)
        })
    }

    fn disk_io(&mut self, buffer: &mut Buffer) -> Result<Vec<DeviceIo>, Error> {
        if let Some((bytes, ops)) = &mut self.io
            && let Ok(devices) = read_blkio(bytes, ops, buffer)
            && !devices.is_empty()
        {
            return Ok(devices);
        }
        self.io = None;
        let mut answer = None;
        for (bytes, ops) in BLKIO_FILES {
            let [mut bytes, mut ops] =
                [bytes, ops].map(|name| KeptFile::new(Arc::clone(&self.blkio), name, Shape::Attribute));
            match read_blkio(&mut bytes, &mut ops, buffer) {
                Ok(devices) if !devices.is_empty() => {
                    self.io = Some((bytes, ops));
                    return Ok(devices);
                }
                Ok(devices) => answer = Some(Ok(devices)),
                Err(error) => answer = answer.filter(Result::is_ok).or(Some(Err(error))),
            }
        }
        answer.unwrap_or_else(|| Ok(Vec::new()))
    }
}

impl V2 {
    fn new(directory: Arc<Path>, is_root: bool) -> Self {
        let file = |name| KeptFile::new(Arc::clone(&directory), name, Shape::Attribute);
        Self {
            is_root,
            cpu_stat: file("cpu.stat"),
            memory_current: file("memory.current"),
            memory_stat: file("memory.stat"),
            memory_peak: Optional { file: file("memory.peak"), missing: false },
            swap_current: Optional { file: file("memory.swap.current"), missing: false },
            io_stat: file("io.stat"),
        }
    }

    fn memory(&mut self, buffer: &mut Buffer) -> Result<MemoryStats, Error> {
        let usage = match attribute(&mut self.memory_current, "memory.current", buffer) {
            Ok(usage) => usage,
            Err(error) => {
                // The controller may be enabled later, and bring all its files.
                self.memory_peak.missing = false;
                self.swap_current.missing = false;
                return Err(error);
            }
        };
        let stats = self.memory_stat.parse(buffer, |bytes| Ok(parse_memory_stat_v2(bytes)));
        Ok(MemoryStats {
            usage: Some(usage),
            max_usage: self.memory_peak.read("memory.peak", buffer),
            failcnt: Some(0),
            swap: self.swap_current.read("memory.swap.current", buffer),
            ..stats.unwrap_or_default()
        })
    }

    fn root_memory(&mut self, buffer: &mut Buffer) -> Result<MemoryStats, Error> {
        let stats = self.memory_stat.parse(buffer, |bytes| Ok(parse_memory_stat_v2(bytes)))?;
        let usage = stats.rss.zip(stats.cache).and_then(|(anon, file)| anon.checked_add(file));
        Ok(MemoryStats { usage, max_usage: Some(0), failcnt: Some(0), ..stats })
    }
}

impl Optional {
    /// 0 when the kernel has no such file, absent when it has but cannot be read.
    fn read(&mut self, what: &'static str, buffer: &mut Buffer) -> Option<u64> {
        if self.missing {
            return Some(0);
        }
        match attribute(&mut self.file, what, buffer) {
            Ok(value) => Some(value),
            Err(error) if error.is_absent() => {
                self.missing = true;
                Some(0)
            }
            Err(_) => None,
        }
    }
}

fn attribute(file: &mut KeptFile, what: &'static str, buffer: &mut Buffer) -> Result<u64, Error> {
    file.parse(buffer, |bytes| single_number(what, bytes))
}

fn read_blkio(bytes: &mut KeptFile, ops: &mut KeptFile, buffer: &mut Buffer) -> Result<Vec<DeviceIo>, Error> {
    let bytes = bytes.parse(buffer, |bytes| Ok(parse_blkio(bytes)))?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let ops = ops.parse(buffer, |bytes| Ok(parse_blkio(bytes)));
    Ok(join_blkio(bytes, ops.unwrap_or_default()))
}
