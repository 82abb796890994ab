//! One control group's figures.

use std::path::Path;
use std::sync::Arc;

use crate::cpu::{CpuUsage, parse_cpu_stat, parse_cpuacct_stat};
use crate::disk::{DeviceIo, join_blkio, parse_blkio, parse_io_stat};
use crate::error::Error;
use crate::events::{MemoryEvents, Throttling, parse_memory_events, parse_oom_control, parse_throttling};
use crate::file::{Buffer, KeptFile, Shape};
use crate::limits::{Limits, read_limits_v1, read_limits_v2};
use crate::memory::{MemoryStats, parse_memory_stat_v1, parse_memory_stat_v2};
use crate::process::parse_procs;
use crate::text::single_number;

/// Files counting bytes and operations on cgroup v1, best first: the `bfq` scheduler's, the former `cfq` scheduler's,
/// those of throttling, and the last for kernels before 4.12, which did not add up subgroups.
const BLKIO_FILES: [(&str, &str); 4] = [
    ("blkio.bfq.io_service_bytes_recursive", "blkio.bfq.io_serviced_recursive"),
    ("blkio.io_service_bytes_recursive", "blkio.io_serviced_recursive"),
    ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"),
    ("blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"),
];

/// One control group. A file is opened when first read and stays open, as far as the [`Buffer`]'s bound allows; what is
/// never asked for is never opened. Drop the value when the group is gone: until then the descriptors keep the kernel's
/// record of the dead group, though not its memory.
#[derive(Debug)]
pub struct Cgroup {
    files: Files,
}

/// Whether a group's swap is worth a system call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Swap {
    /// The group may have something in swap space.
    #[default]
    Present,
    /// The machine, or a group above, has nothing in it; so the group's swap is 0.
    Absent,
}

/// Where a group's files are.
#[derive(Debug)]
pub(crate) enum Directories {
    /// One directory per controller.
    V1 { cpu: Arc<Path>, cpuacct: Arc<Path>, memory: Arc<Path>, blkio: Arc<Path>, pids: Arc<Path> },
    /// One for all. The root has fewer files.
    V2 { directory: Arc<Path>, is_root: bool },
}

#[derive(Debug)]
enum Files {
    V1(Box<V1>),
    V2(Box<V2>),
}

#[derive(Debug)]
struct V1 {
    cpu_usage: KeptFile,
    cpu_acct_stat: KeptFile,
    cpu_stat: KeptFile,
    memory_usage: KeptFile,
    memory_max_usage: KeptFile,
    memory_failcnt: KeptFile,
    memory_stat: KeptFile,
    oom_control: KeptFile,
    pids_current: KeptFile,
    hierarchical: Option<bool>,
    /// What was read when the group's processes last ran.
    rest: Option<AtRest>,
    cpu: Arc<Path>,
    memory: Arc<Path>,
    blkio: Arc<Path>,
    pids: Arc<Path>,
    /// The pair of [`BLKIO_FILES`] that last had figures.
    io: Option<(KeptFile, KeptFile)>,
}

/// Figures of a v1 group that only its own processes change: as long as they use no CPU time these files need not be read
/// again.
#[derive(Debug, Clone, Copy)]
struct AtRest {
    /// `cpuacct.usage`, in nanoseconds: as long as it stays, nobody ran.
    ran: u64,
    cpu: CpuUsage,
    /// `max_usage` and `failcnt`: what a process is charged for it asks for itself.
    peaks: Option<(u64, u64)>,
    /// `usage` when they were read. If there is more since, somebody else has charged the group.
    usage: u64,
    /// How many readings ago that was.
    age: u32,
    /// The group was found at rest since memory was last asked for.
    looked: bool,
}

/// The kernel may charge a group that sleeps, as when it joins its pages to huge ones: so peaks are never older than this many
/// readings.
const OLDEST_PEAKS: u32 = 10;

#[derive(Debug)]
struct V2 {
    is_root: bool,
    directory: Arc<Path>,
    cpu_stat: KeptFile,
    memory_current: KeptFile,
    memory_stat: KeptFile,
    memory_events: KeptFile,
    memory_peak: Optional,
    swap_current: Optional,
    io_stat: KeptFile,
    pids_current: KeptFile,
}

/// A file only some kernels have: once found missing it is not looked for again.
#[derive(Debug)]
struct Optional {
    file: KeptFile,
    missing: bool,
}

impl Cgroup {
    pub(crate) fn new(directories: Directories) -> Self {
        let files = match directories {
            Directories::V1 { cpu, cpuacct, memory, blkio, pids } => {
                Files::V1(Box::new(V1::new(cpu, &cpuacct, memory, blkio, pids)))
            }
            Directories::V2 { directory, is_root } => Files::V2(Box::new(V2::new(directory, is_root))),
        };
        Self { files }
    }

    /// CPU time. On v1 `cpuacct.usage` and `cpuacct.stat`, on v2 `cpu.stat`. Of this group and all below it, those that
    /// have ended included.
    ///
    /// # Errors
    /// As [`KeptFile::parse`], for the file that holds the total.
    pub fn cpu(&mut self, buffer: &mut Buffer) -> Result<CpuUsage, Error> {
        match &mut self.files {
            Files::V1(files) => files.cpu(buffer),
            Files::V2(files) => files.cpu_stat.parse(buffer, |bytes| Ok(parse_cpu_stat(bytes))),
        }
    }

    /// CPU time and how often it was withheld. On v2 from the same read of `cpu.stat`, on v1 with a third read, of the
    /// `cpu` controller's `cpu.stat`. Counters of throttling are absent where the group has no CPU controller.
    ///
    /// # Errors
    /// As [`Cgroup::cpu`].
    pub fn cpu_and_throttling(&mut self, buffer: &mut Buffer) -> Result<(CpuUsage, Throttling), Error> {
        match &mut self.files {
            Files::V1(files) => {
                let usage = files.cpu(buffer)?;
                let throttling = files.cpu_stat.parse(buffer, |bytes| Ok(parse_throttling(bytes)));
                Ok((usage, throttling.unwrap_or_default()))
            }
            Files::V2(files) => {
                files.cpu_stat.parse(buffer, |bytes| Ok((parse_cpu_stat(bytes), parse_throttling(bytes))))
            }
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
        self.memory_with(Swap::Present, buffer)
    }

    /// [`Cgroup::memory`], without reading `memory.swap.current` where it is known to be 0.
    ///
    /// # Errors
    /// As [`Cgroup::memory`].
    pub fn memory_with(&mut self, swap: Swap, buffer: &mut Buffer) -> Result<MemoryStats, Error> {
        match &mut self.files {
            Files::V1(files) => files.memory(buffer),
            Files::V2(files) if files.is_root => files.root_memory(buffer),
            Files::V2(files) => files.memory(swap, buffer),
        }
    }

    /// What groups below this one have in swap space, as far as reading `memory.swap.current` tells. Not on v1, where it
    /// comes with the other figures.
    pub(crate) fn swap(&mut self, buffer: &mut Buffer) -> Swap {
        match &mut self.files {
            Files::V2(files) if !files.is_root => {
                match files.swap_current.read("memory.swap.current", buffer) {
                    Some(0) => Swap::Absent,
                    _ => Swap::Present,
                }
            }
            Files::V1(_) | Files::V2(_) => Swap::Present,
        }
    }

    /// What limits did to the group: on v2 `memory.events`, which counts for the groups below as well, those that have
    /// ended included; on v1 `oom_kill` of `memory.oom_control` alone (kernel 4.13), which counts for the group's own
    /// processes only and is thus 0 for a pod.
    ///
    /// # Errors
    /// As [`KeptFile::parse`]; the v2 root has no such file.
    pub fn memory_events(&mut self, buffer: &mut Buffer) -> Result<MemoryEvents, Error> {
        match &mut self.files {
            Files::V1(files) => files.oom_control.parse(buffer, |bytes| Ok(parse_oom_control(bytes))),
            Files::V2(files) => files.memory_events.parse(buffer, |bytes| Ok(parse_memory_events(bytes))),
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

    /// Tasks, that is threads, in the group and below it: `pids.current`.
    ///
    /// # Errors
    /// As [`KeptFile::parse`]; the roots have no such file.
    pub fn pids(&mut self, buffer: &mut Buffer) -> Result<u64, Error> {
        let file = match &mut self.files {
            Files::V1(files) => &mut files.pids_current,
            Files::V2(files) => &mut files.pids_current,
        };
        attribute(file, "pids.current", buffer)
    }

    /// Processes in the group itself: the lines of `cgroup.procs`. Opens and closes the file: its cost grows with the
    /// count.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Read`] or [`Error::TooLong`].
    pub fn processes(&mut self, buffer: &mut Buffer) -> Result<u64, Error> {
        let directory = match &self.files {
            Files::V1(files) => &files.memory,
            Files::V2(files) => &files.directory,
        };
        let bytes = buffer.read_path(&directory.join("cgroup.procs"), Shape::Sequence)?;
        Ok(parse_procs(bytes).count() as u64)
    }

    /// What the group may use. Configuration, so the files are not kept open: read it when the group appears.
    #[must_use]
    pub fn limits(&self, buffer: &mut Buffer) -> Limits {
        match &self.files {
            Files::V1(files) => read_limits_v1(&files.cpu, &files.memory, &files.pids, buffer),
            Files::V2(files) => read_limits_v2(&files.directory, buffer),
        }
    }
}

impl V1 {
    fn new(
        cpu: Arc<Path>,
        cpuacct: &Arc<Path>,
        memory: Arc<Path>,
        blkio: Arc<Path>,
        pids: Arc<Path>,
    ) -> Self {
        let file = |directory: &Arc<Path>, name| KeptFile::new(Arc::clone(directory), name, Shape::Attribute);
        Self {
            cpu_usage: file(cpuacct, "cpuacct.usage"),
            cpu_acct_stat: file(cpuacct, "cpuacct.stat"),
            cpu_stat: file(&cpu, "cpu.stat"),
            memory_usage: file(&memory, "memory.usage_in_bytes"),
            memory_max_usage: file(&memory, "memory.max_usage_in_bytes"),
            memory_failcnt: file(&memory, "memory.failcnt"),
            memory_stat: file(&memory, "memory.stat"),
            oom_control: file(&memory, "memory.oom_control"),
            pids_current: file(&pids, "pids.current"),
            hierarchical: None,
            rest: None,
            cpu,
            memory,
            blkio,
            pids,
            io: None,
        }
    }

    fn cpu(&mut self, buffer: &mut Buffer) -> Result<CpuUsage, Error> {
        let before = self.rest.take();
        let total = self.cpu_usage.parse(buffer, |bytes| single_number("cpuacct.usage", bytes))?;
        if let Some(rest) = before.filter(|rest| rest.ran == total) {
            self.rest = Some(AtRest { age: rest.age.saturating_add(1), looked: true, ..rest });
            return Ok(rest.cpu);
        }
        let parts = self.cpu_acct_stat.parse(buffer, |bytes| Ok(parse_cpuacct_stat(bytes)));
        let is_whole = parts.is_ok();
        let cpu = CpuUsage { total: Some(total), ..parts.unwrap_or_default() };
        self.rest =
            is_whole.then_some(AtRest { ran: total, cpu, peaks: None, usage: 0, age: 0, looked: false });
        Ok(cpu)
    }

    fn memory(&mut self, buffer: &mut Buffer) -> Result<MemoryStats, Error> {
        let usage = attribute(&mut self.memory_usage, "memory.usage_in_bytes", buffer)?;
        let hierarchical = self.is_hierarchical(buffer);
        let stats = self.memory_stat.parse(buffer, |bytes| Ok(parse_memory_stat_v1(bytes, hierarchical)));
        let (max_usage, failcnt) = self.peaks(usage, buffer);
        Ok(MemoryStats { usage: Some(usage), max_usage, failcnt, ..stats.unwrap_or_default() })
    }

    /// `max_usage` and `failcnt`.
    fn peaks(&mut self, usage: u64, buffer: &mut Buffer) -> (Option<u64>, Option<u64>) {
        if let Some(rest) = &mut self.rest
            && rest.looked
            && rest.age < OLDEST_PEAKS
            && rest.usage >= usage
            && let Some((max_usage, failcnt)) = rest.peaks
        {
            rest.looked = false;
            return (Some(max_usage), Some(failcnt));
        }
        let max_usage = attribute(&mut self.memory_max_usage, "memory.max_usage_in_bytes", buffer).ok();
        let failcnt = attribute(&mut self.memory_failcnt, "memory.failcnt", buffer).ok();
        if let Some(rest) = &mut self.rest {
            *rest = AtRest { peaks: max_usage.zip(failcnt), usage, age: 0, looked: false, ..*rest };
        }
        (max_usage, failcnt)
    }

    /// Read once: it cannot change in a group that has subgroups, and since kernel 5.11 not at all.
    fn is_hierarchical(&mut self, buffer: &mut Buffer) -> bool {
        *self.hierarchical.get_or_insert_with(|| {
            let value = buffer
                .read_path(&self.memory.join("memory.use_hierarchy"), Shape::Attribute)
                .map(|bytes| single_number("memory.use_hierarchy", bytes));
            !matches!(value, Ok(Ok(0)))
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
            memory_events: file("memory.events"),
            memory_peak: Optional { file: file("memory.peak"), missing: false },
            swap_current: Optional { file: file("memory.swap.current"), missing: false },
            io_stat: file("io.stat"),
            pids_current: file("pids.current"),
            directory,
        }
    }

    fn memory(&mut self, swap: Swap, buffer: &mut Buffer) -> Result<MemoryStats, Error> {
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
            swap: match swap {
                Swap::Present => self.swap_current.read("memory.swap.current", buffer),
                Swap::Absent => Some(0),
            },
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
