//! Below which groups pods and tasks are found.

use std::collections::VecDeque;
use std::path::Path;

use crate::file::Buffer;
use crate::folder::subdirectories;
use crate::names::{Name, Qos, below_kubepods, ecs_task, parse_container_name, stray};

/// Where they are with nearly everybody: the kubelet with either driver; kind, which runs it below a group of its own;
/// the ECS agent with either driver.
pub(crate) const KNOWN_ROOTS: [&str; 6] = [
    "kubepods.slice",
    "kubepods",
    "kubelet.slice/kubelet-kubepods.slice",
    "kubelet/kubepods",
    "ecs",
    "ecstasks.slice",
];

/// Where runtimes run, and make groups that they cannot place: with them containers lie outside of their pods' groups.
pub(crate) const RUNTIMES: [&str; 5] = [
    "system.slice/containerd.service",
    "system.slice/crio.service",
    "system.slice/docker.service",
    "system.slice/k3s.service",
    "system.slice/k3s-agent.service",
];

/// How many groups above `kubepods` there may be (`kubelet --cgroup-root`, a node that is itself a container).
const DEPTH: usize = 4;

/// How many directories a search looks into.
const DIRECTORIES: usize = 1000;

/// What is directly below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pods of this quality of service, if the name does not say another; and groups of one, below the topmost.
    Pods(Qos),
    /// Tasks, and below `/ecs` clusters.
    Tasks,
    /// Tasks.
    Cluster,
    /// Containers outside of their pods, among whatever a runtime has.
    Runtime,
}

/// A group found below a folder.
pub(crate) enum Found {
    Folder(Kind),
    Pod(Box<str>, Option<Qos>),
    Stray(Box<str>, Option<Qos>),
}

/// Those of [`KNOWN_ROOTS`] that exist below `hierarchy`.
pub(crate) fn known_roots(hierarchy: &Path, buffer: &mut Buffer) -> Vec<Box<str>> {
    let exists = |path: &&str| {
        buffer.count_system_call();
        hierarchy.join(path).is_dir()
    };
    KNOWN_ROOTS.iter().copied().filter(exists).map(Box::from).collect()
}

/// Those of [`RUNTIMES`] below `hierarchy` that have containers in them.
pub(crate) fn roots_of_strays(hierarchy: &Path, buffer: &mut Buffer) -> Vec<&'static str> {
    let has_strays = |path: &&str| {
        let names = subdirectories(&hierarchy.join(path), buffer).unwrap_or_default();
        names.iter().any(|name| stray(name).is_some())
    };
    RUNTIMES.into_iter().filter(has_strays).collect()
}

/// Every `kubepods` in the upper levels below `hierarchy`, nearest first. For when none is where it should be.
pub(crate) fn search_roots(hierarchy: &Path, buffer: &mut Buffer) -> Vec<Box<str>> {
    let mut roots = Vec::new();
    let mut queue = VecDeque::from([(String::new(), 0)]);
    for _ in 0..DIRECTORIES {
        let Some((path, depth)) = queue.pop_front() else { break };
        for name in subdirectories(&hierarchy.join(&path), buffer).unwrap_or_default() {
            let below = if path.is_empty() { name.to_string() } else { format!("{path}/{name}") };
            if &*name == "kubepods" || name.ends_with("kubepods.slice") {
                roots.push(below.into());
            } else if depth + 1 < DEPTH && queue.len() < DIRECTORIES {
                queue.push_back((below, depth + 1));
            }
        }
    }
    roots
}

impl Kind {
    /// What a directory with this name is.
    pub(crate) fn understand(self, name: &str) -> Option<Found> {
        match self {
            Self::Pods(qos) => match below_kubepods(name)? {
                Name::Qos(below) if qos == Qos::Guaranteed => Some(Found::Folder(Self::Pods(below))),
                Name::Pod { uid, qos: told } => Some(Found::Pod(uid, told.or(Some(qos)))),
                _ => None,
            },
            Self::Tasks | Self::Cluster => match ecs_task(name) {
                Some(Name::Task(task)) => Some(Found::Pod(task, None)),
                _ if self == Self::Cluster || parse_container_name(name).is_some() => None,
                _ => Some(Found::Folder(Self::Cluster)),
            },
            Self::Runtime => stray(name).map(|(uid, qos)| Found::Stray(uid, qos)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots() {
        fn check(directories: &[&str], known: &[&str], found: &[&str]) {
            let temporary = tempfile::tempdir().unwrap();
            for directory in directories {
                std::fs::create_dir_all(temporary.path().join(directory)).unwrap();
            }
            let mut buffer = Buffer::new();
            let roots = |roots: Vec<Box<str>>| roots.into_iter().map(String::from).collect::<Vec<_>>();
            assert_eq!(roots(known_roots(temporary.path(), &mut buffer)), known, "{directories:?}");
            let mut actual = roots(search_roots(temporary.path(), &mut buffer));
            actual.sort();
            assert_eq!(actual, found, "{directories:?}");
        }
        check(&[], &[], &[]);
        check(&["kubepods.slice/kubepods.slice", "ecs"], &["kubepods.slice", "ecs"], &["kubepods.slice"]);
        let kind = "kubelet.slice/kubelet-kubepods.slice";
        check(&[kind, "system.slice/a.service"], &[kind], &[kind]);
        check(&["docker/1/my/kubepods", "docker/2/my/own/kubepods"], &[], &["docker/1/my/kubepods"]);
        check(&["my.slice/my-kubepods.slice"], &[], &["my.slice/my-kubepods.slice"]);
    }
}
