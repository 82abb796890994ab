//! Where a container's own files are: the upper directory of its overlay filesystem.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::file::{Buffer, Shape};
use crate::mountinfo::unescape;
use crate::process::Process;
use crate::text::lines;

/// The upper directory of the overlay mounted at `/`, out of a container's `/proc/<pid>/mountinfo`: the last mount there
/// if there are several. None when the root is no overlay, or read-only and so without an upper directory, or when its
/// mounter gave a relative path, of which nobody knows whereto.
#[must_use]
pub fn parse_upper_directory(bytes: &[u8]) -> Option<PathBuf> {
    let root = lines(bytes).filter_map(root_overlay_options).last()?;
    let upper = root.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(b"upperdir="))?;
    let upper = unescape(upper);
    let path = Path::new(OsStr::from_bytes(&upper));
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    (path.is_absolute() && is_plain).then(|| path.to_path_buf())
}

/// The super options of a mountinfo line about an overlay at `/`; a comma within a value is escaped.
fn root_overlay_options(line: &[u8]) -> Option<&[u8]> {
    // id parent maj:min root mount-point options [optional fields…] - type source super-options
    let mut fields = line.split(|byte| *byte == b' ');
    if fields.nth(4)? != b"/" {
        return None;
    }
    fields.by_ref().find(|field| *field == b"-")?;
    let is_overlay = matches!(fields.next()?, b"overlay" | b"overlayfs");
    fields.nth(1).filter(|_| is_overlay)
}

/// Where the files that this process's container has written are, on the host; none as for [`parse_upper_directory`].
///
/// Reads the container's mount table: ask once per container, as the answer stays.
///
/// # Errors
/// Those of reading `/proc/<pid>/mountinfo`.
pub fn upper_directory(process: &Process, buffer: &mut Buffer) -> Result<Option<PathBuf>, Error> {
    process.read("mountinfo", Shape::Sequence, buffer).map(parse_upper_directory)
}

/// Opens a directory of the host below `root`, where the host's `/` is. Absolute links on the way lead back to `root`
/// (kernel 5.6; older kernels follow them as the collector sees them).
pub(crate) fn open_below(root: &Path, path: &Path) -> Result<OwnedFd, Error> {
    let shown = || root.join(path.strip_prefix("/").unwrap_or(path));
    let failed = |source: Errno| Error::Open { path: shown(), source: source.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::openat(CWD, root, flags | OFlags::PATH, Mode::empty()).map_err(failed)?;
    match rustix::fs::openat2(&top, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        // What does not know the call, or filters it out.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::open(shown(), flags, Mode::empty()).map_err(failed),
        answer => answer.map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_directories() {
        fn check(input: &str, expected: Option<&str>) {
            assert_eq!(parse_upper_directory(input.as_bytes()), expected.map(PathBuf::from), "{input:?}");
        }
        let mount = |at: &str, options: &str| {
            format!("900 800 0:90 / {at} rw,relatime - overlay overlay {options}\n")
        };
        let snapshot = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/42/fs";
        let containerd = format!("rw,lowerdir=/a:/b,upperdir={snapshot},workdir=/w,uuid=on");
        let others = "901 900 0:91 / /proc rw shared:1 master:2 - proc proc rw\n\
                      902 900 259:1 /hosts /etc/hosts rw - xfs /dev/nvme0n1p1 rw,upperdir=/x\n";
        check(&format!("{}{others}", mount("/", &containerd)), Some(snapshot));
        check(&mount("/mnt", &containerd), None);
        check(&mount("/", "ro,lowerdir=/a:/b"), None);
        check(&mount("/", "rw,upperdir=relative/diff"), None);
        check(&mount("/", "rw,upperdir=/a/../b"), None);
        check(&mount("/", "rw,upperdir="), None);
        check(&mount("/", "rw,upperdir=/with\\040blank\\054comma,workdir=/w"), Some("/with blank,comma"));
        // The later mount hides the earlier.
        check(&format!("{}{}", mount("/", "rw,upperdir=/a"), mount("/", "rw,upperdir=/b")), Some("/b"));
        check("27 1 259:1 / / rw - xfs /dev/nvme0n1p1 rw,upperdir=/x\n", None);
        check(mount("/", "rw,upperdir=/a").trim_end(), None);
        check("900 800 0:90 / / rw overlay overlay rw,upperdir=/a\n1 2\n\n", None);
        let many = format!("{}{}", mount("/", &containerd), others.repeat(10_000));
        check(&many, Some(snapshot));
    }

    #[test]
    fn links_lead_back_to_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("data/containerd/fs")).unwrap();
        std::os::unix::fs::symlink("/data/containerd", root.path().join("link")).unwrap();
        assert!(open_below(root.path(), Path::new("/link/fs")).is_ok());
        let error = open_below(root.path(), Path::new("/link/gone")).unwrap_err();
        assert!(error.is_absent());
        assert_eq!(error.to_string(), format!("cannot open {}/link/gone", root.path().display()));
    }
}
