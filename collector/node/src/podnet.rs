//! Network of a pod: that of any of its processes, as all share one network namespace.

use std::collections::HashMap;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::cgroup::Cgroups;
use crate::error::Error;
use crate::file::{Buffer, HeldFile, Shape};
use crate::network::{IGNORED_INTERFACE_PREFIXES, Interface, parse_net_dev};
use crate::pods::PodCgroup;
use crate::process::{Process, Processes};

/// What distinguishes network namespaces, best first. The link is readable for those who may trace the process. The
/// other's inode is told to everybody, and is the namespace's own as well: each has its own tree below `/proc/net`
/// (`proc_net_ns_init` in fs/proc/proc_net.c).
const NAMESPACE_FILES: [&str; 2] = ["ns/net", "net/dev"];

/// The file of a process that has the counters of its network's interfaces.
const TABLE: &str = "net/dev";

/// A pod's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodNetwork {
    /// Its interfaces, without the ignored ones.
    Interfaces(Vec<Interface>),
    /// It uses the machine's (`hostNetwork: true`): the counters would be the machine's.
    Host,
    /// None of its processes can be found: it is about to start or to end, or is no running pod.
    NoProcess,
}

/// Networks of pods, by pod.
///
/// A pod's counters cost one system call: its `net/dev` stays open, and is dropped with the pod's control group or with the
/// container through which it was found, whichever goes first. An open file keeps the network namespace, but of a pod
/// that has ended only until the next [`PodNetworks::retain`], and empty of what others could miss: the kubelet has the
/// network plugin take the interfaces and addresses away (CNI's `DEL`) before it removes the pod's control group. A
/// container's group goes when the container ends, so a pod whose sandbox was made anew is never read in the former
/// namespace. Where descriptors are short the file is opened, read and closed, three system calls. A pod on the machine's
/// network costs none, once that is known.
#[derive(Debug, Default)]
pub struct PodNetworks {
    /// By the path of the pod's group.
    pods: HashMap<Box<str>, Pod>,
    /// The machine's namespace, by each of [`NAMESPACE_FILES`].
    host: Option<[Option<u64>; 2]>,
}

#[derive(Debug)]
enum Pod {
    Own {
        /// The container whose process it is.
        container: Box<str>,
        table: Table,
    },
    Host,
}

/// Where counters are read.
#[derive(Debug)]
enum Table {
    Open(HeldFile),
    Of(Process),
}

impl PodNetworks {
    /// Of no pod yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets pods that are not among `pods`.
    pub fn retain<'p>(&mut self, pods: impl Iterator<Item = &'p PodCgroup>) {
        let paths: std::collections::HashSet<&str> = pods.map(|pod| &*pod.path).collect();
        self.pods.retain(|path, _| paths.contains(&**path));
    }

    /// The pod's counters now.
    ///
    /// # Errors
    /// Those of reading and parsing `/proc/<pid>/net/dev`, but not that the process has ended.
    pub fn read(
        &mut self,
        pod: &PodCgroup,
        cgroups: &Cgroups,
        processes: &mut Processes,
        buffer: &mut Buffer,
    ) -> Result<PodNetwork, Error> {
        match self.pods.get(&pod.path) {
            Some(Pod::Host) => return Ok(PodNetwork::Host),
            Some(Pod::Own { container, table })
                if pod.containers.iter().any(|known| known.id == *container) =>
            {
                match table.interfaces(buffer) {
                    Err(error) if is_ended(&error) => {}
                    answer => return answer,
                }
            }
            Some(Pod::Own { .. }) | None => {}
        }
        self.pods.remove(&pod.path);
        let found = pod.containers.iter().find_map(|container| {
            let process = processes.of(cgroups, container, buffer)?;
            Some((container.id.clone(), process))
        });
        let Some((container, process)) = found else { return Ok(PodNetwork::NoProcess) };
        if self.is_on_host(&process, processes, buffer) {
            self.pods.insert(pod.path.clone(), Pod::Host);
            return Ok(PodNetwork::Host);
        }
        let table = match process.hold(TABLE, Shape::Table, buffer) {
            Ok(Some(file)) => Table::Open(file),
            Ok(None) => Table::Of(process),
            Err(error) if is_ended(&error) => return Ok(PodNetwork::NoProcess),
            Err(error) => return Err(error),
        };
        let answer = match table.interfaces(buffer) {
            Err(error) if is_ended(&error) => return Ok(PodNetwork::NoProcess),
            answer => answer,
        };
        self.pods.insert(pod.path.clone(), Pod::Own { container, table });
        answer
    }

    fn is_on_host(&mut self, process: &Process, processes: &Processes, buffer: &mut Buffer) -> bool {
        let host = self.host.get_or_insert_with(|| {
            let init = Process::open(processes.proc(), 1, buffer).ok();
            NAMESPACE_FILES.map(|file| init.as_ref().and_then(|init| init.inode(file, buffer)))
        });
        let both = NAMESPACE_FILES.iter().zip(host).find_map(|(file, host)| {
            let host = (*host)?;
            Some((host, process.inode(file, buffer)?))
        });
        both.is_some_and(|(host, own)| host == own)
    }
}

impl Table {
    fn interfaces(&self, buffer: &mut Buffer) -> Result<PodNetwork, Error> {
        let bytes = match self {
            Self::Open(file) => file.read(buffer)?,
            Self::Of(process) => process.read(TABLE, Shape::Table, buffer)?,
        };
        let parsed = parse_net_dev(bytes, IGNORED_INTERFACE_PREFIXES);
        let interfaces = parsed.map_err(|source| Error::Malformed { path: self.path(), source })?;
        Ok(PodNetwork::Interfaces(interfaces))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Open(file) => file.path().to_path_buf(),
            Self::Of(process) => process.path(TABLE),
        }
    }
}

/// The process is gone, or its namespace is going (`seq_open_net` in fs/proc/proc_net.c).
fn is_ended(error: &Error) -> bool {
    let is_going = |source: &std::io::Error| source.raw_os_error() == Some(Errno::NXIO.raw_os_error());
    error.is_absent() || matches!(error, Error::Open { source, .. } if is_going(source))
}
