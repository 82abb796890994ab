//! How much the log files of a container take.

use std::fs::{DirEntry, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files looked at in one directory at most: the kubelet keeps five of a container.
const FILES: usize = 1000;

/// Where the kubelet keeps logs.
const LOGS: &str = "/var/log/pods";

/// Where the kubelet keeps a container's logs, with every runtime.
#[must_use]
pub fn log_directory(namespace: &str, pod: &str, uid: &str, container: &str) -> PathBuf {
    Path::new(LOGS).join(format!("{namespace}_{pod}_{uid}")).join(container)
}

/// Bytes that the log files in a directory of [`log_directory`] take, on the host whose `/` is at `root`: `st_blocks × 512` of
/// each, rotated ones included. Docker's are links to files elsewhere, of which those with the same beginning of the name
/// belong together. What is not there, or is no file, takes nothing. May block for as long as a disk does.
#[must_use]
pub fn log_bytes(root: &Path, directory: &Path) -> u64 {
    let files = std::fs::read_dir(below(root, directory)).into_iter().flatten().take(FILES).flatten();
    files.map(|file| bytes_of(root, &file)).fold(0, u64::saturating_add)
}

fn bytes_of(root: &Path, file: &DirEntry) -> u64 {
    // Of a link, the link's own.
    let Ok(metadata) = file.metadata() else { return 0 };
    if !metadata.is_symlink() {
        return size(&metadata);
    }
    let Ok(target) = std::fs::read_link(file.path()) else { return 0 };
    let (Some(folder), Some(name)) = (target.parent().filter(|_| target.is_absolute()), target.file_name())
    else {
        return 0;
    };
    let files = std::fs::read_dir(below(root, folder)).into_iter().flatten().take(FILES).flatten();
    files
        .filter(|file| file.file_name().as_bytes().starts_with(name.as_bytes()))
        .filter_map(|file| file.metadata().ok())
        .map(|metadata| size(&metadata))
        .fold(0, u64::saturating_add)
}

fn size(metadata: &Metadata) -> u64 {
    if metadata.is_file() { metadata.blocks().saturating_mul(512) } else { 0 }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn write(root: &Path, path: &str, bytes: usize) {
        let path = below(root, Path::new(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![1; bytes]).unwrap();
    }

    #[test]
    fn logs() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let directory = log_directory("ns", "pod", "uid", "app");
        assert_eq!(directory, Path::new("/var/log/pods/ns_pod_uid/app"));
        assert_eq!(log_bytes(root, &directory), 0, "nothing there");

        write(root, "/var/log/pods/ns_pod_uid/app/0.log", 40_000);
        write(root, "/var/log/pods/ns_pod_uid/app/0.log.20261123-212500", 20_000);
        write(root, "/var/log/pods/ns_pod_uid/app/folder/file", 80_000);
        write(root, "/var/log/pods/ns_pod_uid/other/0.log", 80_000);
        let bytes = log_bytes(root, &directory);
        assert!((60_000..80_000).contains(&bytes), "{bytes}");

        // Docker's.
        let directory = log_directory("ns", "pod", "uid", "docker");
        write(root, "/var/lib/docker/containers/1f/1f-json.log", 40_000);
        write(root, "/var/lib/docker/containers/1f/1f-json.log.1", 20_000);
        write(root, "/var/lib/docker/containers/1f/config.v2.json", 80_000);
        let folder = below(root, &directory);
        fs::create_dir_all(&folder).unwrap();
        symlink("/var/lib/docker/containers/1f/1f-json.log", folder.join("0.log")).unwrap();
        symlink("relative", folder.join("1.log")).unwrap();
        symlink("/gone/1f", folder.join("2.log")).unwrap();
        let bytes = log_bytes(root, &directory);
        assert!((60_000..80_000).contains(&bytes), "{bytes}");
    }
}
