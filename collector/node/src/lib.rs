//! The kernel's own figures for this machine: CPU, memory, block I/O, network, filesystems.
//!
//! Parsing is split from reading. The `parse_*` functions take the bytes of a kernel file, do no IO and never panic;
//! what they cannot find is absent from the result, or a [`ParseError`]. Reading goes through a [`KeptFile`], which is
//! opened once and read again with `pread` into a [`Buffer`] that all files share.
//!
//! [`Host`] gives the machine's figures; [`Cgroups`] finds any other control group, which [`Cgroup`] reads;
//! [`PodTable`] finds those of pods, ECS tasks and containers.
//!
//! ```no_run
//! let mut host = node::Host::new(node::HostPaths::discover(), node::MountView::Collector);
//! let cpu = host.cpu()?;
//! let memory = host.memory()?;
//! for filesystem in host.filesystems()?.iter() {
//!     let usage = filesystem.usage()?;
//!     // …
//! }
//! # Ok::<(), node::Error>(())
//! ```
//!
//! # Pods and containers
//!
//! ```no_run
//! use node::{Buffer, Cgroups, HostPaths, PodNetworks, PodTable, Processes, Swap};
//!
//! let paths = HostPaths::discover();
//! let Some(cgroups) = Cgroups::find(&paths) else { return };
//! let mut pods = PodTable::new(cgroups);
//! let (mut processes, mut networks) = (Processes::new(&paths), PodNetworks::new());
//! let mut buffer = Buffer::new(); // or that of the `Host`: all may share one
//!
//! // One collection.
//! let refresh = pods.refresh(&mut buffer); // what cannot be listed is in `refresh.errors`, once
//! let swap = pods.swap(Swap::Present, &mut buffer); // or what `Host::swap` says
//! for pod in pods.iter_mut() {
//!     let cpu = pod.group.cpu(&mut buffer);
//!     let memory = pod.group.memory_with(swap, &mut buffer);
//!     // Containers of a pod without swap have none.
//!     for container in &mut pod.containers {
//!         // Not for the sandbox: the one whose `id` the kubelet does not report.
//!         let cpu = container.group.cpu(&mut buffer);
//!         let memory = container.group.memory_with(swap, &mut buffer);
//!     }
//! }
//! processes.begin();
//! networks.retain(pods.iter());
//! for pod in pods.iter() {
//!     let network = networks.read(pod, pods.cgroups(), &mut processes, &mut buffer);
//! }
//! ```
//!
//! A group may vanish at any moment: then its reads fail with an error that [`Error::is_absent`], and the next refresh
//! leaves it out. Any other failure concerns one file; the rest of the groups is as readable as before.
//!
//! Of each pod and container upstream reports, a collection reads these files, each with one `pread` once open:
//!
//! | | cgroup v2 | cgroup v1 |
//! | --- | --- | --- |
//! | [`Cgroup::cpu`] | `cpu.stat` | `cpuacct.usage`, `cpuacct.stat` |
//! | [`Cgroup::memory_with`] | `memory.current`, `memory.stat`, `memory.peak` (kernel 5.19), with swap `memory.swap.current` | `memory.usage_in_bytes`, `memory.stat`, `memory.max_usage_in_bytes`, `memory.failcnt` |
//!
//! With 110 pods of a sandbox and two containers each, on v2, that is 1,431 system calls: 4 for each of the 330 groups, 1
//! for each pod's network, 1 for the table. Where the machine's swap space is in use [`PodTable::swap`] adds 1, and only if
//! pods have something in it 1 for each, and for each container of those. Pods on the machine's network, and kernels
//! without `memory.peak`, cost less. A test keeps the count. It takes 1,430 descriptors; a [`Buffer`] keeps at most half of
//! `RLIMIT_NOFILE`, so with the usual soft limit of 1,024 the rest are opened, read and closed, three calls each: raise the
//! limit, or accept the cost.
//!
//! On demand there are [`Cgroup::cpu_and_throttling`] (no further read on v2), [`Cgroup::memory_events`] (one),
//! [`Cgroup::pids`] (one), [`Cgroup::disk_io`] (one on v2, two on v1), [`Cgroup::processes`] and [`Cgroup::limits`]
//! (opened, read, closed).
//!
//! Of containers that lived for less than a collection's interval two things remain, in the pod's group:
//! [`MemoryEvents::oom_kill`] (v2), and CPU time, which [`CpuUsage::without`] the time of the living ones is theirs.
//!
//! What a container has written is measured apart from collections: [`Processes::of`] finds one of its processes,
//! [`upper_directory`] once its directory, and a [`Walker`] on a thread that may block walks it from time to time.
//! Volumes are not in it, and neither are logs, which the kubelet keeps elsewhere: [`log_bytes`].
//!
//! # Values
//!
//! A value is absent rather than wrong: numbers are counters or gauges exactly as the kernel keeps them, those that do
//! not fit into 64 bits are absent, and so are those on a last line without a newline, which may have lost digits.

mod block;
mod cgroup;
mod cpu;
mod device;
mod disk;
mod error;
mod events;
mod file;
mod filesystem;
mod folder;
mod group;
mod host;
mod limits;
mod logs;
mod memory;
mod mountinfo;
mod mounts;
mod names;
mod network;
mod overlay;
mod paths;
mod podnet;
mod pods;
mod process;
mod roots;
mod snapshots;
mod text;
mod walk;

pub use block::{BlockDevices, ebs_volume_id, volume_id_of_serial};
pub use cgroup::{Cgroups, Version};
pub use cpu::{CpuUsage, parse_cpu_stat, parse_cpuacct_stat, parse_cpuinfo, parse_proc_stat};
pub use device::{ByDisk, EbsDisks, KernelNames, device_name, disk_of};
pub use disk::{
    DeviceIo, DeviceNumber, DiskStats, IoCounts, join_blkio, parse_blkio, parse_diskstats, parse_io_stat,
};
pub use error::{Error, ParseError};
pub use events::{MemoryEvents, Throttling, parse_memory_events, parse_oom_control, parse_throttling};
pub use file::{Buffer, KeptFile, Shape};
pub use filesystem::{Filesystem, FilesystemUsage, select};
pub use group::{Cgroup, Swap};
pub use host::{DiskIo, Host, Machine, Source, Sources, hostname};
pub use limits::{CpuQuota, Limits, parse_cpu_max, shares_of_weight};
pub use logs::{log_bytes, log_directory};
pub use memory::{
    MemInfo, MemoryStats, parse_meminfo, parse_memory_stat_v1, parse_memory_stat_v2, parse_vmstat,
};
pub use mountinfo::{Mount, parse_mountinfo, unescape};
pub use mounts::MountView;
pub use names::{Qos, Runtime, parse_container_name, parse_proc_cgroup};
pub use network::{IGNORED_INTERFACE_PREFIXES, Interface, Traffic, is_ignored_interface, parse_net_dev};
pub use overlay::{parse_upper_directory, upper_directory};
pub use paths::HostPaths;
pub use podnet::{PodNetwork, PodNetworks};
pub use pods::{ContainerCgroup, PodCgroup, PodTable, Refresh};
pub use process::{Process, Processes, parse_pid_namespaces, parse_procs};
pub use snapshots::{Progress, SnapshotUsage, Walker};
pub use walk::WalkBounds;
