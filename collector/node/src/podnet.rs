//! Network of a pod: that of any of its processes, as all share one network namespace.

use std::collections::HashMap;

use rustix::io::Errno;

use crate::cgroup::Cgroups;
use crate::error::Error;
use crate::file::{Buffer, Shape};
use crate::network::{IGNORED_INTERFACE_PREFIXES, Interface, parse_net_dev};
use crate::pods::PodCgroup;
use crate::process::{Process, Processes};

/// What distinguishes network namespaces, best first. The link is readable for those who may trace the process. The
/// other's inode is told to everybody, and is the namespace's own as well: each has its own tree below `/proc/net`
/// (`proc_net_ns_init` in fs/proc/proc_net.c).
const NAMESPACE_FILES: [&str; 2] = ["ns/net", "net/dev"];

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
/// A pod's counters cost three system calls: its file is opened and closed each time, as an open one would keep the
/// network namespace of a pod that has ended, with its interfaces and addresses. A pod on the machine's network costs
/// none, once that is known.
#[derive(Debug, Default)]
pub struct PodNetworks {
    /// By the path of the pod's group.
    pods: HashMap<Box<str>, Pod>,
    /// The machine's namespace, by each of [`NAMESPACE_FILES`].
    host: Option<[Option<u64>; 2]>,
}

#[derive(Debug)]
enum Pod {
    Own(Process),
    Host,
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
            Some(Pod::Own(process)) => match interfaces(process, buffer) {
                Err(error) if is_ended(&error) => {}
                answer => return answer,
            },
            None => {}
        }
        self.pods.remove(&pod.path);
        let found = pod.containers.iter().find_map(|container| processes.of(cgroups, container, buffer));
        let Some(process) = found else { return Ok(PodNetwork::NoProcess) };
        if self.is_on_host(&process, processes, buffer) {
            self.pods.insert(pod.path.clone(), Pod::Host);
            return Ok(PodNetwork::Host);
        }
        let answer = match interfaces(&process, buffer) {
            Err(error) if is_ended(&error) => return Ok(PodNetwork::NoProcess),
            answer => answer,
        };
        self.pods.insert(pod.path.clone(), Pod::Own(process));
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

fn interfaces(process: &Process, buffer: &mut Buffer) -> Result<PodNetwork, Error> {
    let bytes = process.read("net/dev", Shape::Table, buffer)?;
    let parsed = parse_net_dev(bytes, IGNORED_INTERFACE_PREFIXES);
    let interfaces = parsed.map_err(|source| Error::Malformed { path: process.path("net/dev"), source })?;
    Ok(PodNetwork::Interfaces(interfaces))
}

/// The process is gone, or its namespace is going (`seq_open_net` in fs/proc/proc_net.c).
fn is_ended(error: &Error) -> bool {
    let is_going = |source: &std::io::Error| source.raw_os_error() == Some(Errno::NXIO.raw_os_error());
    error.is_absent() || matches!(error, Error::Open { source, .. } if is_going(source))
}
