//! What can go wrong: parse errors know the value, reading errors know the file.

use std::io;
use std::path::PathBuf;

/// Why bytes of a kernel file could not be understood. Parsers do no IO, so the path is added by [`Error::Malformed`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The file is well-formed but lacks the value asked for.
    #[error("{what} is missing")]
    Missing {
        /// The missing value, in the kernel's words.
        what: &'static str,
    },
    /// A value that must be an unsigned 64-bit number is not one.
    #[error("{what} is not a number: {found:?}")]
    NotANumber {
        /// The value, in the kernel's words.
        what: &'static str,
        /// The first bytes found in its place.
        found: String,
    },
    /// A line has another shape than the kernel gives it.
    #[error("line {line} has {found} fields instead of {expected}")]
    FieldCount {
        /// The line, counted from 1.
        line: usize,
        /// Fields found.
        found: usize,
        /// Fields the format has.
        expected: usize,
    },
}

/// Why a figure of the machine could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or directory could not be opened; see [`Error::is_absent`] for the usual cause.
    #[error("cannot open {}", path.display())]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file was opened but could not be read to its end.
    #[error("cannot read {}", path.display())]
    Read {
        /// What was being read.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file is longer than any kernel file this crate knows; reading it whole would cost unbounded memory.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The file was read but does not say what it should.
    #[error("cannot understand {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: ParseError,
    },
    /// The filesystem's figures could not be asked for.
    #[error("cannot get the size of the filesystem at {}", path.display())]
    Filesystem {
        /// The mount point.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Something else is mounted over the mount point, or the mount does not reach the collector's mount namespace:
    /// the figures obtained there would be those of another filesystem.
    #[error("{device} is not visible at {}", path.display())]
    Hidden {
        /// The device expected there.
        device: String,
        /// The mount point.
        path: PathBuf,
    },
    /// There are more groups of pods and containers than anybody runs; those beyond are left out.
    #[error("there are more than {limit} control groups of pods and containers, the others are left out")]
    TooManyCgroups {
        /// How many are known.
        limit: usize,
    },
}

impl Error {
    /// Whether the file does not exist: the kernel or the cgroup's configuration does not offer this figure, or the
    /// cgroup or process is gone. Usually not worth a log line.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Read { source, .. } => matches!(
                source.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                Some(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV | rustix::io::Errno::SRCH)
            ),
            _ => false,
        }
    }
}
