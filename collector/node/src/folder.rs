//! Directories listed, and watched for changes.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, RawDir, inotify};
use rustix::io::Errno;

use crate::error::Error;
use crate::file::Buffer;

/// Bytes read from a directory at once: some 500 names of containers' groups.
const LISTING: usize = 64 * 1024;

/// Bytes of events read at once: at least 15 with the longest names, 128 typical.
const EVENTS: usize = 16 * 1024;

/// Events looked at in one go; when there are more it is cheaper to list everything.
const MOST_EVENTS: usize = 65_536;

/// Names of subdirectories, in no order, of which at most `LIMIT` are given. Names that are not UTF-8 are nobody's that
/// this crate knows, and are left out.
pub(crate) fn subdirectories(directory: &Path, buffer: &mut Buffer) -> Result<Vec<Box<str>>, Error> {
    const LIMIT: usize = 65_536;
    let open = |source: Errno| Error::Open { path: directory.to_path_buf(), source: source.into() };
    buffer.count_system_call();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(directory, flags, Mode::empty()).map_err(open)?;
    let mut names = Vec::new();
    let take = |name: &CStr, file_type: FileType| {
        let name = name.to_str().ok()?;
        let is_directory = matches!(file_type, FileType::Directory | FileType::Unknown);
        (is_directory && !matches!(name, "." | "..")).then(|| Box::<str>::from(name))
    };
    let listed = list(&descriptor, buffer, |name, file_type| {
        names.extend(take(name, file_type));
        names.len() < LIMIT
    });
    buffer.count_system_call();
    match listed {
        Ok(()) => Ok(names),
        Err(source) => Err(Error::Read { path: directory.to_path_buf(), source: source.into() }),
    }
}

/// Gives every entry to `each`, which says whether to go on.
pub(crate) fn list(
    directory: impl AsFd,
    buffer: &mut Buffer,
    mut each: impl FnMut(&CStr, FileType) -> bool,
) -> Result<(), Errno> {
    buffer.with_room(LISTING, |room, calls| {
        let mut entries = RawDir::new(directory.as_fd(), room);
        loop {
            if entries.is_buffer_empty() {
                *calls += 1;
            }
            let Some(entry) = entries.next() else { return Ok(()) };
            let entry = entry?;
            if !each(entry.file_name(), entry.file_type()) {
                return Ok(());
            }
        }
    })
}

/// Tells which directories may have got or lost an entry. cgroup filesystems notify of groups made and removed by
/// whoever, also across mount and cgroup namespaces (kernfs directories are one inode for all).
#[derive(Debug)]
pub(crate) struct Watcher {
    descriptor: OwnedFd,
    watched: HashMap<i32, Box<str>>,
}

/// What happened to a watched directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It may have got or lost an entry.
    Content(Box<str>),
    /// It is gone, and perhaps there is another under its name.
    Gone(Box<str>),
    /// Anything may have happened to any of them.
    Unknown,
}

impl Watcher {
    /// None where the kernel refuses, usually for `fs.inotify.max_user_instances`.
    pub(crate) fn new() -> Option<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        Some(Self { descriptor: inotify::init(flags).ok()?, watched: HashMap::new() })
    }

    /// Watches `directory`, to be called `key`. False when the kernel refuses.
    pub(crate) fn add(&mut self, directory: &Path, key: &str, buffer: &mut Buffer) -> bool {
        let flags = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::MOVE
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::ONLYDIR;
        buffer.count_system_call();
        let added = inotify::add_watch(&self.descriptor, directory, flags);
        added.is_ok_and(|watch| {
            self.watched.insert(watch, key.into());
            true
        })
    }

    /// What happened since the last call, each directory at most twice.
    pub(crate) fn changes(&mut self, buffer: &mut Buffer) -> Vec<Change> {
        let Self { descriptor, watched } = self;
        let mut events = Events::default();
        let result = buffer.with_room(EVENTS, |room, calls| events.read(descriptor, room, calls, watched));
        if result.is_err() {
            return vec![Change::Unknown];
        }
        let ended = events.ended.iter().filter_map(|watch| watched.remove(watch));
        let gone: HashSet<Box<str>> = ended.chain(events.removed).collect();
        let content = events.changed.iter().filter_map(|watch| watched.get(watch).cloned());
        content.map(Change::Content).chain(gone.into_iter().map(Change::Gone)).collect()
    }
}

/// Events, each kind of each directory once.
#[derive(Default)]
struct Events {
    changed: HashSet<i32>,
    ended: HashSet<i32>,
    /// Entries lost. A directory's own watch ends only when nobody has a file in it open any more, and this crate has.
    removed: HashSet<Box<str>>,
}

impl Events {
    /// Collects what there is. An error: events were lost.
    fn read(
        &mut self,
        descriptor: &OwnedFd,
        room: &mut [MaybeUninit<u8>],
        calls: &mut u64,
        watched: &HashMap<i32, Box<str>>,
    ) -> Result<(), Errno> {
        let mut reader = inotify::Reader::new(descriptor, room);
        for _ in 0..MOST_EVENTS {
            if reader.is_buffer_empty() {
                *calls += 1;
            }
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let flags = event.events();
            if flags.contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                return Err(Errno::OVERFLOW);
            }
            self.changed.insert(event.wd());
            if flags.contains(inotify::ReadFlags::IGNORED) {
                self.ended.insert(event.wd());
            }
            let name = event.file_name().and_then(|name| name.to_str().ok());
            if flags.intersects(inotify::ReadFlags::DELETE | inotify::ReadFlags::MOVED_FROM)
                && let (Some(name), Some(parent)) = (name, watched.get(&event.wd()))
            {
                self.removed.insert(format!("{parent}/{name}").into());
            }
        }
        Err(Errno::OVERFLOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing() {
        let temporary = tempfile::tempdir().unwrap();
        let mut buffer = Buffer::new();
        for index in 0..2000 {
            std::fs::create_dir(temporary.path().join(format!("directory{index}"))).unwrap();
        }
        std::fs::write(temporary.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("file", temporary.path().join("link")).unwrap();
        use std::os::unix::ffi::OsStrExt;
        std::fs::create_dir(temporary.path().join(std::ffi::OsStr::from_bytes(b"not\xffutf8"))).unwrap();
        let mut names = subdirectories(temporary.path(), &mut buffer).unwrap();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 2000);
        let gone = subdirectories(&temporary.path().join("gone"), &mut buffer).unwrap_err();
        assert!(gone.is_absent());
        assert!(!subdirectories(&temporary.path().join("file"), &mut buffer).unwrap_err().is_absent());
    }

    #[test]
    fn watching() {
        let temporary = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| temporary.path().join(name));
        let mut buffer = Buffer::new();
        let mut watcher = Watcher::new().unwrap();
        for directory in [&one, &two] {
            std::fs::create_dir(directory).unwrap();
            assert!(watcher.add(directory, directory.file_name().unwrap().to_str().unwrap(), &mut buffer));
        }
        assert!(!watcher.add(&temporary.path().join("gone"), "gone", &mut buffer));
        let before = buffer.system_calls();
        assert_eq!(watcher.changes(&mut buffer), []);
        assert_eq!(buffer.system_calls() - before, 1);
        for index in 0..1000 {
            std::fs::create_dir(one.join(index.to_string())).unwrap();
        }
        assert_eq!(watcher.changes(&mut buffer), [Change::Content("one".into())]);
        std::fs::remove_dir(&two).unwrap();
        assert_eq!(watcher.changes(&mut buffer), [Change::Gone("two".into())]);
        assert_eq!(watcher.changes(&mut buffer), []);

        // With a file in it open a directory goes on being watched, but its parent tells.
        std::fs::create_dir(one.join("inner")).unwrap();
        std::fs::write(one.join("inner/file"), "").unwrap();
        let file = std::fs::File::open(one.join("inner/file")).unwrap();
        assert!(watcher.add(&one.join("inner"), "one/inner", &mut buffer));
        watcher.changes(&mut buffer);
        std::fs::remove_dir_all(one.join("inner")).unwrap();
        let changes = watcher.changes(&mut buffer);
        assert!(changes.contains(&Change::Content("one".into())), "{changes:?}");
        assert!(changes.contains(&Change::Gone("one/inner".into())), "{changes:?}");
        drop(file);
    }
}
