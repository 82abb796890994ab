//! How much the files of one directory tree take, counted step by step.

use std::collections::HashSet;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::error::Error;
use crate::overlay::open_below;

/// The unit of `st_blocks`, whatever the filesystem's own (stat(2)).
const BLOCK: u64 = 512;

/// Bytes of a directory read at once: some 100 names, of which those of subdirectories are kept until looked into.
const CHUNK: usize = 4096;

/// What a walk may cost at most. What is beyond is left out, and the result says that it is a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkBounds {
    /// Entries in one tree.
    pub entries: u64,
    /// Levels below the top; each takes a descriptor while it is walked.
    pub depth: usize,
    /// Inodes with several names remembered, to be counted once; of those beyond every name counts.
    pub links: usize,
}

/// What a tree takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TreeUsage {
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    /// Something was left out: a bound was reached, or a directory could not be read.
    pub(crate) partial: bool,
}

/// A walk through one tree. It does not follow links, stays on the filesystem it begins on, and needs memory for one
/// chunk of names per level.
#[derive(Debug)]
pub(crate) struct TreeWalk {
    bounds: WalkBounds,
    device: u64,
    levels: Vec<Level>,
    links: HashSet<u64>,
    /// Entries seen, whether they count or not.
    seen: u64,
    usage: TreeUsage,
}

/// A directory being read. Its descriptor remembers how far.
#[derive(Debug)]
struct Level {
    directory: OwnedFd,
    /// Subdirectories of the last chunk, yet to be walked.
    pending: Vec<CString>,
}

impl Default for WalkBounds {
    /// Two million entries, 128 levels, 65,536 inodes with several names.
    fn default() -> Self {
        Self { entries: 2_000_000, depth: 128, links: 65_536 }
    }
}

impl TreeWalk {
    /// Opens the directory at `path` on the host whose `/` is at `root`.
    pub(crate) fn open(root: &Path, path: &Path, bounds: WalkBounds) -> Result<Self, Error> {
        let directory = open_below(root, path)?;
        let stat = rustix::fs::fstat(&directory)
            .map_err(|source| Error::Read { path: path.to_path_buf(), source: source.into() })?;
        let mut walk = Self {
            bounds,
            device: stat.st_dev,
            levels: Vec::new(),
            links: HashSet::new(),
            seen: 0,
            usage: TreeUsage::default(),
        };
        walk.count(stat.st_blocks);
        walk.levels.push(Level { directory, pending: Vec::new() });
        Ok(walk)
    }

    /// The top of the tree, until the walk is done.
    pub(crate) fn top(&self) -> Option<&OwnedFd> {
        self.levels.first().map(|level| &level.directory)
    }

    /// Looks at `budget` more entries, or up to a hundred above. The result when there are no more.
    pub(crate) fn step(&mut self, budget: u64) -> Option<TreeUsage> {
        let end = self.seen.saturating_add(budget);
        while self.seen < end {
            let Some(level) = self.levels.last_mut() else { return Some(self.usage) };
            if let Some(name) = level.pending.pop() {
                self.descend(&name);
            } else if !self.read_chunk() {
                self.levels.pop();
            }
            if self.seen > self.bounds.entries {
                self.usage.partial = true;
                self.levels.clear();
            }
        }
        self.levels.is_empty().then_some(self.usage)
    }

    fn descend(&mut self, name: &CString) {
        if self.levels.len() > self.bounds.depth {
            self.usage.partial = true;
            return;
        }
        let Some(level) = self.levels.last() else { return };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&level.directory, name.as_c_str(), flags, Mode::empty()) {
            Ok(directory) => self.levels.push(Level { directory, pending: Vec::new() }),
            // Removed in the meantime, or replaced by something else.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(_) => self.usage.partial = true,
        }
    }

    /// Counts one chunk of the innermost directory. False when there are no more.
    fn read_chunk(&mut self) -> bool {
        let Some(mut level) = self.levels.pop() else { return false };
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut pending = std::mem::take(&mut level.pending);
        let mut read = false;
        let mut entries = RawDir::new(level.directory.as_fd(), &mut chunk);
        // One chunk: then the buffer is empty, and the next call would read again.
        while !read || !entries.is_buffer_empty() {
            let entry = match entries.next() {
                None => break,
                Some(Ok(entry)) => entry,
                Some(Err(Errno::NOENT)) => break,
                Some(Err(_)) => {
                    self.usage.partial = true;
                    break;
                }
            };
            read = true;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") && self.entry(&level.directory, name) {
                pending.push(name.to_owned());
            }
        }
        level.pending = pending;
        self.levels.push(level);
        read
    }

    /// Counts an entry. True for a directory to be walked.
    fn entry(&mut self, directory: &OwnedFd, name: &std::ffi::CStr) -> bool {
        self.seen += 1;
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let Ok(stat) = rustix::fs::statat(directory, name, flags) else { return false };
        if stat.st_dev != self.device {
            return false;
        }
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_directory && stat.st_nlink > 1 {
            if self.links.contains(&stat.st_ino) {
                return false;
            }
            if self.links.len() < self.bounds.links {
                self.links.insert(stat.st_ino);
            }
        }
        self.count(stat.st_blocks);
        is_directory
    }

    fn count(&mut self, blocks: impl TryInto<u64>) {
        let bytes = blocks.try_into().unwrap_or(0).saturating_mul(BLOCK);
        self.usage.bytes = self.usage.bytes.saturating_add(bytes);
        self.usage.inodes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn walk(root: &Path, bounds: WalkBounds, budget: u64) -> TreeUsage {
        let mut walk = TreeWalk::open(root, Path::new("/"), bounds).unwrap();
        loop {
            if let Some(usage) = walk.step(budget) {
                return usage;
            }
        }
    }

    /// What `du -x` says: every inode of the filesystem once.
    fn expected(root: &Path) -> (u64, u64) {
        fn add(path: &Path, device: u64, inodes: &mut std::collections::BTreeMap<u64, u64>) {
            let data = fs::symlink_metadata(path).unwrap();
            if data.dev() != device {
                return;
            }
            inodes.insert(data.ino(), data.blocks() * 512);
            if data.is_dir() {
                fs::read_dir(path).unwrap().for_each(|entry| add(&entry.unwrap().path(), device, inodes));
            }
        }
        let mut inodes = std::collections::BTreeMap::new();
        add(root, fs::metadata(root).unwrap().dev(), &mut inodes);
        (inodes.values().sum(), inodes.len() as u64)
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        for directory in 0..20 {
            fs::create_dir_all(path.join(format!("{directory}/a/b"))).unwrap();
            for file in 0..30 {
                let content = "x".repeat(file * 1000);
                fs::write(path.join(format!("{directory}/a/file{file}")), content).unwrap();
            }
            fs::hard_link(path.join("0/a/file29"), path.join(format!("{directory}/link"))).unwrap();
        }
        symlink("/proc", path.join("away")).unwrap();
        symlink("..", path.join("0/up")).unwrap();
        root
    }

    #[test]
    fn every_inode_once_whatever_the_steps() {
        let root = tree();
        let (bytes, inodes) = expected(root.path());
        for budget in [1, 7, 100, u64::MAX] {
            let usage = walk(root.path(), WalkBounds::default(), budget);
            assert_eq!(usage, TreeUsage { bytes, inodes, partial: false }, "{budget}");
        }
    }

    #[test]
    fn bounds() {
        let root = tree();
        let whole = walk(root.path(), WalkBounds::default(), 100);
        let shallow = walk(root.path(), WalkBounds { depth: 1, ..WalkBounds::default() }, 100);
        // The top, two links and 20 times `a` with its hard link, which is counted once.
        assert_eq!((shallow.inodes, shallow.partial), (1 + 1 + 20 + 1 + 20 + 1, true));
        let few = walk(root.path(), WalkBounds { entries: 100, ..WalkBounds::default() }, 10);
        assert!(few.partial && few.inodes < 300 && few.bytes < whole.bytes, "{few:?}");
        let links = walk(root.path(), WalkBounds { links: 0, ..WalkBounds::default() }, 100);
        assert_eq!(links.inodes, whole.inodes + 20);
    }

    #[test]
    fn files_that_vanish() {
        let root = tree();
        let mut walk = TreeWalk::open(root.path(), Path::new("/"), WalkBounds::default()).unwrap();
        assert_eq!(walk.step(50), None);
        for entry in fs::read_dir(root.path()).unwrap() {
            let path = entry.unwrap().path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        let usage = walk.step(u64::MAX).unwrap();
        assert!(!usage.partial && usage.inodes > 20, "{usage:?}");
    }

    #[test]
    fn other_filesystems_are_not_entered() {
        // `/dev` is small, and has other filesystems mounted below it wherever there are terminals.
        let (bytes, inodes) = expected(Path::new("/dev"));
        let usage = walk(Path::new("/dev"), WalkBounds::default(), 1000);
        assert_eq!((usage.bytes, usage.inodes), (bytes, inodes));
        assert_ne!(fs::metadata("/dev/pts").unwrap().dev(), fs::metadata("/dev").unwrap().dev());
    }

    #[test]
    fn a_file_is_no_tree() {
        let root = tree();
        assert!(TreeWalk::open(root.path(), Path::new("/0/link"), WalkBounds::default()).is_err());
        let gone = TreeWalk::open(root.path(), Path::new("/gone"), WalkBounds::default()).unwrap_err();
        assert!(gone.is_absent());
    }
}
