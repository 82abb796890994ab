//! Processes of containers: which they are, and their files.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::cgroup::Cgroups;
use crate::error::Error;
use crate::file::{Buffer, HeldFile, Shape};
use crate::folder::{list, subdirectories};
use crate::names::parse_proc_cgroup;
use crate::paths::HostPaths;
use crate::pods::ContainerCgroup;
use crate::text::{lines, number, words};

/// How many levels of groups below a container's own are looked into for a process: crun and systemd make such.
const NESTED_LEVELS: usize = 2;

/// How many groups of one level are.
const NESTED_GROUPS: usize = 16;

/// How many processes a look through all of them asks for their group; the others have their turn in the next.
const LOOKS: usize = 4096;

/// How many processes of one container are remembered.
const KNOWN: usize = 8;

/// Every so many collections all processes are asked again, as an identifier may have gone to another process.
const COMPLETE: u64 = 15;

/// A process, held so that what is read is never another's: the descriptor of its directory in procfs means this process
/// even when its identifier is given to the next. It keeps neither the process nor its namespaces alive.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    path: PathBuf,
    directory: OwnedFd,
}

/// Finds a process of a container.
///
/// If the collector is in the same pid namespace as the host's procfs (`hostPID: true`, or not in a container), a
/// container's `cgroup.procs` names its processes. If not, that file lists nothing or foreign numbers, and
/// `/proc/<pid>/cgroup` of all the host's processes is read instead: of each once, and only when a container's process
/// is asked for that is not known yet.
#[derive(Debug)]
pub struct Processes {
    proc: PathBuf,
    shares_namespace: Option<bool>,
    /// By container, when found by looking through all: some of its processes, the last of which is tried first.
    by_container: HashMap<Box<str>, Vec<u32>>,
    /// Processes that were asked for their group.
    asked: HashSet<u32>,
    collections: u64,
    looked: bool,
}

/// The processes of a `cgroup.procs` file, in its order. 0 stands for one in a pid namespace that the reader cannot see.
pub fn parse_procs(bytes: &[u8]) -> impl Iterator<Item = u32> {
    lines(bytes).filter_map(|line| u32::try_from(number(line.trim_ascii())?).ok())
}

/// How many pid namespaces a process is in below that of the procfs, itself counted: the numbers of the `NSpid:` line of
/// `/proc/<pid>/status` (proc(5), kernel 4.1). None without such a line.
#[must_use]
pub fn parse_pid_namespaces(bytes: &[u8]) -> Option<usize> {
    lines(bytes).find_map(|line| line.strip_prefix(b"NSpid:")).map(|pids| words(pids).count())
}

impl Process {
    /// The process with this number below `proc`.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open(proc: &Path, pid: u32, buffer: &mut Buffer) -> Result<Self, Error> {
        let path = proc.join(pid.to_string());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        buffer.count_system_call();
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(directory) => Ok(Self { pid, path, directory }),
            Err(source) => Err(Error::Open { path, source: source.into() }),
        }
    }

    /// Its number, in the host's pid namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The path of one of its files, for messages.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads one of its files.
    pub(crate) fn read<'b>(
        &self,
        name: &str,
        shape: Shape,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], Error> {
        buffer.read_at(&self.directory, Path::new(name), shape, || self.path.join(name))
    }

    /// Opens one of its files, which stays readable when the process has ended. None if there are enough open files.
    pub(crate) fn hold(
        &self,
        name: &str,
        shape: Shape,
        buffer: &mut Buffer,
    ) -> Result<Option<HeldFile>, Error> {
        buffer.hold_at(&self.directory, Path::new(name), shape, self.path.join(name))
    }

    /// What distinguishes a file in procfs, or of the namespace that a link in it leads to.
    pub(crate) fn inode(&self, name: &str, buffer: &mut Buffer) -> Option<u64> {
        buffer.count_system_call();
        rustix::fs::statat(&self.directory, name, rustix::fs::AtFlags::empty()).ok().map(|stat| stat.st_ino)
    }
}

impl Processes {
    /// A finder of the processes below [`HostPaths::proc`]; nothing is read yet.
    #[must_use]
    pub fn new(paths: &HostPaths) -> Self {
        Self {
            proc: paths.proc.clone(),
            shares_namespace: None,
            by_container: HashMap::new(),
            asked: HashSet::new(),
            collections: 0,
            looked: false,
        }
    }

    /// Where the processes are.
    #[must_use]
    pub fn proc(&self) -> &Path {
        &self.proc
    }

    /// Begins a collection: all processes may be looked through once more.
    pub fn begin(&mut self) {
        self.looked = false;
        self.collections = self.collections.wrapping_add(1);
        if self.collections.is_multiple_of(COMPLETE) {
            self.asked.clear();
            self.by_container.clear();
        }
    }

    /// A process of the container, or none if it has none, or none that can be seen.
    pub fn of(
        &mut self,
        cgroups: &Cgroups,
        container: &ContainerCgroup,
        buffer: &mut Buffer,
    ) -> Option<Process> {
        if self.shares_namespace(buffer) {
            let directory = cgroups.walked_directory(&container.path);
            return self.in_group(&directory, &container.id, NESTED_LEVELS, buffer);
        }
        if let Some(process) = self.known(&container.id, buffer) {
            return Some(process);
        }
        self.look_through_all(buffer);
        self.known(&container.id, buffer)
    }

    /// One of the processes found before that is still there.
    fn known(&mut self, id: &str, buffer: &mut Buffer) -> Option<Process> {
        while let Some(pid) = self.by_container.get(id).and_then(|pids| pids.last()).copied() {
            let process = Process::open(&self.proc, pid, buffer).ok();
            // It may have ended, and its number may be another's.
            if let Some(process) = process
                && container_of(&process, buffer).as_deref() == Some(id)
            {
                return Some(process);
            }
            self.by_container.get_mut(id).and_then(Vec::pop);
            self.asked.remove(&pid);
        }
        self.by_container.remove(id);
        None
    }

    /// Whether the collector's own entry in the host's procfs shows it in that namespace only. If in doubt it is, as
    /// outside of containers.
    fn shares_namespace(&mut self, buffer: &mut Buffer) -> bool {
        *self.shares_namespace.get_or_insert_with(|| {
            let status = buffer.read_path(&self.proc.join("self/status"), Shape::Sequence);
            status.ok().and_then(parse_pid_namespaces).is_none_or(|namespaces| namespaces <= 1)
        })
    }

    fn in_group(&self, directory: &Path, id: &str, levels: usize, buffer: &mut Buffer) -> Option<Process> {
        let procs = buffer.read_path(&directory.join("cgroup.procs"), Shape::Sequence).unwrap_or_default();
        let pids: Vec<u32> = parse_procs(procs).filter(|pid| *pid > 0).take(NESTED_GROUPS).collect();
        let is_its = |process: &Process, buffer: &mut Buffer| {
            container_of(process, buffer).is_none_or(|container| *container == *id)
        };
        for pid in pids {
            let process = Process::open(&self.proc, pid, buffer).ok();
            if let Some(process) = process.filter(|process| is_its(process, buffer)) {
                return Some(process);
            }
        }
        if levels == 0 {
            return None;
        }
        let below = subdirectories(directory, buffer).unwrap_or_default();
        let mut below = below.iter().take(NESTED_GROUPS);
        below.find_map(|name| self.in_group(&directory.join(&**name), id, levels - 1, buffer))
    }

    fn look_through_all(&mut self, buffer: &mut Buffer) {
        if std::mem::replace(&mut self.looked, true) {
            return;
        }
        let Ok(pids) = self.pids(buffer) else { return };
        self.asked.retain(|pid| pids.contains(pid));
        self.by_container.retain(|_, of| {
            of.retain(|pid| pids.contains(pid));
            !of.is_empty()
        });
        // The first process of a container lives longest and usually has the lowest number: it is to be last.
        let mut unknown: Vec<u32> = pids.difference(&self.asked).copied().collect();
        unknown.sort_unstable_by(|one, other| other.cmp(one));
        for pid in unknown.into_iter().take(LOOKS) {
            self.asked.insert(pid);
            let path = self.proc.join(format!("{pid}/cgroup"));
            let Ok(bytes) = buffer.read_path(&path, Shape::Sequence) else { continue };
            if let Some(id) = parse_proc_cgroup(bytes) {
                let of = self.by_container.entry(id.into()).or_default();
                if of.len() >= KNOWN {
                    of.remove(0);
                }
                of.push(pid);
            }
        }
    }

    fn pids(&self, buffer: &mut Buffer) -> Result<HashSet<u32>, Error> {
        let failed =
            |source: rustix::io::Errno| Error::Open { path: self.proc.clone(), source: source.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.proc, flags, Mode::empty()).map_err(failed)?;
        let mut pids = HashSet::new();
        list(&directory, buffer, |name, _| {
            pids.extend(number(name.to_bytes()).and_then(|pid| u32::try_from(pid).ok()));
            true
        })
        .map_err(failed)?;
        Ok(pids)
    }
}

/// The container that a process says it belongs to; none also for one in the collector's own group.
fn container_of(process: &Process, buffer: &mut Buffer) -> Option<Box<str>> {
    let bytes = process.read("cgroup", Shape::Sequence, buffer).ok()?;
    parse_proc_cgroup(bytes).map(Box::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procs() {
        fn check(input: &str, expected: &[u32]) {
            assert_eq!(parse_procs(input.as_bytes()).collect::<Vec<_>>(), expected, "{input:?}");
        }
        check("1\n20182\n0\n", &[1, 20_182, 0]);
        check("1\n-1\nx\n4294967296\n2", &[1]);
        check("", &[]);
    }

    #[test]
    fn pid_namespaces() {
        fn check(input: &str, expected: Option<usize>) {
            assert_eq!(parse_pid_namespaces(input.as_bytes()), expected, "{input:?}");
        }
        check("Name:\tx\nNStgid:\t9\t1\nNSpid:\t20192\t2\nNSpgid:\t9\n", Some(2));
        check("NSpid:\t20192\n", Some(1));
        check("NSpid:\t2019", None);
        check("", None);
    }
}
