//! The machine as a whole: every figure from the best source this kernel offers.

use std::path::Path;
use std::sync::Arc;

use crate::block::BlockDevices;
use crate::cgroup::{Cgroups, Version};
use crate::cpu::{CpuUsage, parse_cpuinfo, parse_proc_stat};
use crate::disk::{DeviceIo, DeviceNumber, IoCounts, parse_diskstats};
use crate::error::Error;
use crate::file::{Buffer, KeptFile, Shape, read_once};
use crate::filesystem::Filesystem;
use crate::group::{Cgroup, Swap};
use crate::memory::{MemInfo, MemoryStats, parse_meminfo, parse_vmstat};
use crate::mounts::{MountTable, MountView};
use crate::network::{IGNORED_INTERFACE_PREFIXES, Interface, parse_net_dev};
use crate::paths::HostPaths;

/// Reads the machine's figures. All methods block for as long as the kernel takes, normally microseconds.
///
/// CPU, memory and disk figures come from the root control group, as upstream's do. Where the kernel lacks that
/// controller, accounts nothing to it, or shows only the container's own group as the root, they come from `/proc`.
/// The first successful read decides, for good: counters of two sources must not be mixed in one series.
#[derive(Debug)]
pub struct Host {
    paths: HostPaths,
    cgroups: Option<Cgroups>,
    root: Option<Cgroup>,
    sources: Sources,
    swap: Swap,
    /// `MemTotal` when it was last read.
    mem_total: Option<u64>,
    online: KeptFile,
    /// Which CPUs were online when they were counted.
    counted: Option<Box<[u8]>>,
    stat: KeptFile,
    meminfo: KeptFile,
    vmstat: KeptFile,
    diskstats: KeptFile,
    net_dev: KeptFile,
    mounts: MountTable,
    disks: BlockDevices,
    buffer: Buffer,
}

/// Where a kind of figures comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The root control group.
    Cgroup,
    /// `/proc/stat`, `/proc/meminfo` with `/proc/vmstat`, or `/proc/diskstats`.
    Proc,
}

/// Where each kind of figures comes from, known after its first successful read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sources {
    /// Of [`Host::cpu`].
    pub cpu: Option<Source>,
    /// Of [`Host::memory`].
    pub memory: Option<Source>,
    /// Of [`Host::disk_io`].
    pub disk: Option<Source>,
}

/// What the machine has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Machine {
    /// Online CPUs.
    pub cores: Option<u32>,
    /// Memory in bytes: `MemTotal`.
    pub memory: Option<u64>,
}

/// Block I/O of one device of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskIo {
    /// The source the device is mounted from, else `/dev/<name>` of the disk, else its number, such as `7:0`.
    pub device: Arc<str>,
    /// The figures.
    pub io: DeviceIo,
}

impl Host {
    /// A reader of the machine below `paths`. Finds out which control groups there are, and reads nothing else yet.
    #[must_use]
    pub fn new(paths: HostPaths, view: MountView) -> Self {
        let cgroups = Cgroups::find(&paths);
        let root =
            cgroups.as_ref().filter(|cgroups| !cgroups.is_namespaced()).map(|cgroups| cgroups.cgroup("/"));
        let proc: Arc<Path> = paths.proc.as_path().into();
        let file = |name| KeptFile::new(Arc::clone(&proc), name, Shape::Sequence);
        Self {
            stat: file("stat"),
            meminfo: file("meminfo"),
            vmstat: file("vmstat"),
            diskstats: file("diskstats"),
            net_dev: KeptFile::new(Arc::clone(&proc), "1/net/dev", Shape::Table),
            mounts: MountTable::new(&paths, view),
            disks: BlockDevices::new(&paths.sys),
            cgroups,
            root,
            sources: Sources::default(),
            swap: Swap::default(),
            mem_total: None,
            online: KeptFile::new(paths.sys.as_path().into(), "devices/system/cpu/online", Shape::Attribute),
            counted: None,
            buffer: Buffer::new(),
            paths,
        }
    }

    /// The directories read below.
    #[must_use]
    pub fn paths(&self) -> &HostPaths {
        &self.paths
    }

    /// The machine's control groups, if it has any.
    #[must_use]
    pub fn cgroups(&self) -> Option<&Cgroups> {
        self.cgroups.as_ref()
    }

    /// Where the figures come from.
    #[must_use]
    pub fn sources(&self) -> Sources {
        self.sources
    }

    /// The buffer, for reading further control groups with the same memory.
    pub fn buffer(&mut self) -> &mut Buffer {
        &mut self.buffer
    }

    /// CPUs of `/proc/cpuinfo` and memory of `/proc/meminfo`. For the start: `cpuinfo` of a large machine is costly; later on
    /// there is [`Host::machine_since`].
    ///
    /// # Errors
    /// [`Error::Open`] or [`Error::Read`] when both files cannot be read.
    pub fn machine(&mut self) -> Result<Machine, Error> {
        let _ = self.note_online_cpus();
        let cores = read_once(&self.paths.proc.join("cpuinfo")).map(|bytes| parse_cpuinfo(&bytes));
        match (cores, self.read_meminfo()) {
            (Err(error), Err(_)) => Err(error),
            (cores, meminfo) => Ok(Machine {
                cores: cores.ok().flatten(),
                memory: meminfo.ok().and_then(|info| info.mem_total),
            }),
        }
    }

    /// What the machine has now, where it had `known`: CPUs and memory may come and go while it runs. One system call as long
    /// as the kernel's list of online CPUs stays the same; memory is as last read by [`Host::memory`].
    ///
    /// # Errors
    /// As [`Host::machine`].
    pub fn machine_since(&mut self, known: Machine) -> Result<Machine, Error> {
        let changed = self.note_online_cpus();
        if changed || known.cores.is_none() || known.memory.is_none() {
            return self.machine();
        }
        Ok(Machine { memory: self.mem_total.or(known.memory), ..known })
    }

    /// Whether other CPUs are online than at the last call. Without the list nobody knows, and none are taken to have changed.
    fn note_online_cpus(&mut self) -> bool {
        let Ok(online) = self.online.parse(&mut self.buffer, |bytes| Ok(Box::<[u8]>::from(bytes))) else {
            return false;
        };
        let before = self.counted.replace(online);
        before.is_some() && before != self.counted
    }

    /// CPU time since the start.
    ///
    /// # Errors
    /// Those of the source: [`Cgroup::cpu`], or of reading and parsing `/proc/stat`.
    pub fn cpu(&mut self) -> Result<CpuUsage, Error> {
        let buffer = &mut self.buffer;
        let read = |root: &mut Cgroup| root.cpu(buffer);
        if let Some(usage) =
            from_cgroup(&mut self.root, &mut self.sources.cpu, read, |usage| usage.total.is_some())
        {
            return usage;
        }
        let usage = self.stat.parse(&mut self.buffer, parse_proc_stat)?;
        self.sources.cpu = Some(Source::Proc);
        Ok(usage)
    }

    /// Memory in use. From `/proc`, `max_usage` and `failcnt` are absent and faults are the machine's.
    ///
    /// # Errors
    /// Those of the source: [`Cgroup::memory`], or of reading `/proc/meminfo`.
    pub fn memory(&mut self) -> Result<MemoryStats, Error> {
        let buffer = &mut self.buffer;
        let read = |root: &mut Cgroup| root.memory(buffer);
        if let Some(stats) =
            from_cgroup(&mut self.root, &mut self.sources.memory, read, |stats| stats.usage.is_some())
        {
            let mut stats = stats?;
            if self.cgroups.as_ref().is_some_and(|cgroups| cgroups.version() == Version::V2) {
                stats.swap = self.read_meminfo().ok().and_then(|info| info.swap_used());
            }
            return Ok(stats);
        }
        let stats = self.read_meminfo()?.as_memory_stats();
        let faults = self.vmstat.parse(&mut self.buffer, |bytes| Ok(parse_vmstat(bytes)));
        let (pgfault, pgmajfault) = faults.unwrap_or_default();
        self.sources.memory = Some(Source::Proc);
        Ok(MemoryStats { pgfault, pgmajfault, ..stats }.with_total_faults())
    }

    /// Whether any of the machine's swap space is in use, for [`Cgroup::memory_with`]: as `/proc/meminfo` last said, which
    /// on cgroup v2 each [`Host::memory`] reads.
    #[must_use]
    pub fn swap(&self) -> Swap {
        self.swap
    }

    /// Block I/O of the machine's disks that have done any, ordered by device number. From `/proc/diskstats` it is that
    /// of whole disks, without loop devices.
    ///
    /// # Errors
    /// Those of the source: [`Cgroup::disk_io`], or of reading `/proc/diskstats`.
    pub fn disk_io(&mut self) -> Result<Vec<DiskIo>, Error> {
        // A device without a name keeps its number, so failing to learn names loses nothing.
        let _ = self.disks.refresh();
        let _ = self.mounts.refresh(&mut self.buffer);
        let buffer = &mut self.buffer;
        let read = |root: &mut Cgroup| root.disk_io(buffer);
        let devices =
            from_cgroup(&mut self.root, &mut self.sources.disk, read, |devices| !devices.is_empty());
        let devices = match devices {
            Some(devices) => devices?,
            None => self.read_diskstats()?,
        };
        Ok(devices.into_iter().map(|io| DiskIo { device: self.device_name(io.number), io }).collect())
    }

    /// The machine's network interfaces: those of process 1, without the ignored ones.
    ///
    /// # Errors
    /// Those of reading and parsing `/proc/1/net/dev`.
    pub fn network(&mut self) -> Result<Vec<Interface>, Error> {
        self.net_dev.parse(&mut self.buffer, |bytes| parse_net_dev(bytes, IGNORED_INTERFACE_PREFIXES))
    }

    /// The filesystems mounted now; [`Filesystem::usage`] tells how full each is. Costs one system call while the mount
    /// table stays the same.
    ///
    /// # Errors
    /// Those of reading mountinfo.
    pub fn filesystems(&mut self) -> Result<Arc<[Filesystem]>, Error> {
        self.mounts.refresh(&mut self.buffer)?;
        Ok(self.mounts.filesystems())
    }

    fn read_meminfo(&mut self) -> Result<MemInfo, Error> {
        let info = self.meminfo.parse(&mut self.buffer, |bytes| Ok(parse_meminfo(bytes)))?;
        self.mem_total = info.mem_total.or(self.mem_total);
        self.swap = if info.swap_used() == Some(0) { Swap::Absent } else { Swap::Present };
        Ok(info)
    }

    fn read_diskstats(&mut self) -> Result<Vec<DeviceIo>, Error> {
        let disks = &mut self.disks;
        let idle = |counts: &IoCounts| counts.read == Some(0) && counts.write == Some(0);
        let devices: Vec<DeviceIo> = self.diskstats.parse(&mut self.buffer, |bytes| {
            let all = parse_diskstats(bytes).map(|disk| disk.io);
            Ok(all.filter(|io| !idle(&io.ops) && disks.path(io.number).is_some()).collect())
        })?;
        if !devices.is_empty() {
            self.sources.disk = Some(Source::Proc);
        }
        Ok(devices)
    }

    fn device_name(&mut self, number: DeviceNumber) -> Arc<str> {
        let mounted = self.mounts.device(number);
        mounted.or_else(|| self.disks.path(number)).unwrap_or_else(|| number.to_string().into())
    }
}

/// The root group's answer, or none if `/proc` is to be asked. Once `source` is the group, so are all its failures.
fn from_cgroup<T>(
    root: &mut Option<Cgroup>,
    source: &mut Option<Source>,
    read: impl FnOnce(&mut Cgroup) -> Result<T, Error>,
    is_usable: impl FnOnce(&T) -> bool,
) -> Option<Result<T, Error>> {
    if *source == Some(Source::Proc) {
        return None;
    }
    let answer = read(root.as_mut()?);
    if source.is_none() {
        if !answer.as_ref().is_ok_and(is_usable) {
            return None;
        }
        *source = Some(Source::Cgroup);
    }
    Some(answer)
}

/// The machine's name, as `uname -n` prints it. In a container that is usually the container's.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
