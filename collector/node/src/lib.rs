//! The kernel's own figures for this machine: CPU, memory, block I/O, network, filesystems.
//!
//! Parsing is split from reading. The `parse_*` functions take the bytes of a kernel file, do no IO and never panic;
//! what they cannot find is absent from the result, or a [`ParseError`]. Reading goes through a [`KeptFile`], which is
//! opened once and read again with `pread` into a [`Buffer`] that all files share.
//!
//! [`Host`] gives the machine's figures; [`Cgroups`] finds any other control group, which [`Cgroup`] reads.
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
//! A value is absent rather than wrong: numbers are counters or gauges exactly as the kernel keeps them, those that do
//! not fit into 64 bits are absent, and so are those on a last line without a newline, which may have lost digits.

mod block;
mod cgroup;
mod cpu;
mod disk;
mod error;
mod file;
mod filesystem;
mod host;
mod memory;
mod mountinfo;
mod mounts;
mod network;
mod paths;
mod text;

pub use block::{BlockDevices, ebs_volume_id, volume_id_of_serial};
pub use cgroup::{Cgroup, Cgroups, Version};
pub use cpu::{CpuUsage, parse_cpu_stat, parse_cpuacct_stat, parse_cpuinfo, parse_proc_stat};
pub use disk::{
    DeviceIo, DeviceNumber, DiskStats, IoCounts, join_blkio, parse_blkio, parse_diskstats, parse_io_stat,
};
pub use error::{Error, ParseError};
pub use file::{Buffer, KeptFile, Shape};
pub use filesystem::{Filesystem, FilesystemUsage, select};
pub use host::{DiskIo, Host, Machine, Source, Sources, hostname};
pub use memory::{
    MemInfo, MemoryStats, parse_meminfo, parse_memory_stat_v1, parse_memory_stat_v2, parse_vmstat,
};
pub use mountinfo::{Mount, parse_mountinfo, unescape};
pub use mounts::MountView;
pub use network::{IGNORED_INTERFACE_PREFIXES, Interface, Traffic, is_ignored_interface, parse_net_dev};
pub use paths::HostPaths;
