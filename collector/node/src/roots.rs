//! Below which groups pods and tasks are found.

use std::collections::VecDeque;
use std::path::Path;

use crate::file::Buffer;
use crate::folder::subdirectories;

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

/// How many groups above `kubepods` there may be (`kubelet --cgroup-root`, a node that is itself a container).
const DEPTH: usize = 4;

/// How many directories a search looks into.
const DIRECTORIES: usize = 1000;

/// Those of [`KNOWN_ROOTS`] that exist below `hierarchy`.
pub(crate) fn known_roots(hierarchy: &Path, buffer: &mut Buffer) -> Vec<Box<str>> {
    let exists = |path: &&str| {
        buffer.count_system_call();
        hierarchy.join(path).is_dir()
    };
    KNOWN_ROOTS.iter().copied().filter(exists).map(Box::from).collect()
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
