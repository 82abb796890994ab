//! Files of the collector in directories that others may write to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Permissions of new files: events and queues may hold what only their owner should read.
const MODE: u32 = 0o600;

/// Opens or makes a file that belongs to this process's user alone.
///
/// # Errors
/// The file is a symbolic link, has other names, is not a regular file or belongs to another user, so that a write
/// could damage what somebody else planted it for; or the system refuses it.
pub fn open_owned(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = options.mode(MODE).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => refused("it is a symbolic link; remove it, or name the file that it points to"),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    let user = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        return Err(refused("it is not a regular file"));
    }
    if metadata.uid() != user {
        return Err(refused(&format!(
            "it belongs to user {}, the collector runs as {user}; change its owner or remove it",
            metadata.uid()
        )));
    }
    if metadata.nlink() != 1 {
        return Err(refused("it has other names (hard links); remove it"));
    }
    Ok(file)
}

/// Writes the directory of `path` to the disk: a new, renamed or removed name is not there after a crash otherwise.
///
/// # Errors
/// The directory cannot be opened or synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn open(path: &Path) -> Result<File, String> {
        let mut options = OpenOptions::new();
        open_owned(options.append(true).create(true), path).map_err(|error| error.to_string())
    }

    #[test]
    fn new_files_are_readable_by_their_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        let mode = open(&path).unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(open(&path).is_ok());
        sync_parent(&path).unwrap();
    }

    #[test]
    fn planted_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("victim"), "keep").unwrap();
        symlink(path("victim"), path("link")).unwrap();
        std::fs::hard_link(path("victim"), path("second")).unwrap();
        let check = |name: &str, expected: &str| {
            let error = open(&path(name)).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        };
        check("link", "symbolic link");
        check("second", "hard links");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let mut both = OpenOptions::new();
        let error = open_owned(both.read(true).write(true), &path("fifo")).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        assert_eq!(std::fs::read_to_string(path("victim")).unwrap(), "keep");
    }
}
