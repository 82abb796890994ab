//! What can go wrong with state on disk.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use component::{BoxError, IdError};

use super::RecordId;

/// Why a component gets no place for its state.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The option's text is not an id.
    #[error("storage: {storage:?} is not the id of an extension")]
    InvalidId {
        /// The option's text.
        storage: String,
        /// What is wrong with it.
        source: IdError,
    },
    /// The service uses no such extension.
    #[error(
        "no storage client extension found: {storage:?} is not in service::extensions; define it under extensions and list it there"
    )]
    Unknown {
        /// The option's text.
        storage: String,
    },
    /// The extension is of another sort.
    #[error(
        "requested extension is not a storage extension: {storage:?}; name one that is, such as file_storage"
    )]
    NotStorage {
        /// The option's text.
        storage: String,
    },
    /// The extension cannot make the place.
    #[error("storage extension {storage:?} has no place for this state")]
    NoPlace {
        /// The option's text.
        storage: String,
        /// What it said.
        source: BoxError,
    },
}

/// Why a journal cannot be opened, or did not do what it was asked. It stays usable, also after an error.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process, or another journal of this one, has the directory.
    #[error(
        "{directory}: in use by another process for more than {waited:?}; stop it or give each collector a directory of its own"
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A segment is of a later version than this program knows.
    #[error(
        "{file}: written by a later version (format {version}); start that version, or move the file away"
    )]
    Version {
        /// The segment.
        file: PathBuf,
        /// Its format.
        version: u16,
    },
    /// The record does not fit.
    #[error("storage is full: {used} of {max} bytes are used")]
    Full {
        /// Bytes in files.
        used: u64,
        /// How many there may be.
        max: u64,
    },
    /// The record is larger than the format can say.
    #[error("a record of {bytes} bytes is too large to be stored")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// No such record is kept.
    #[error("record {0} is not kept")]
    Unknown(RecordId),
    /// What is on disk is not what was written.
    #[error("{file}: the record at byte {offset} is damaged")]
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// Where the record begins.
        offset: u64,
    },
    /// The journal was closed.
    #[error("the storage is closed")]
    Closed,
    /// The file system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried: `write`, `create`.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl JournalError {
    /// Wraps an error of the file system.
    pub(super) fn io(action: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path, source }
    }

    /// The message, and that of its cause.
    pub(crate) fn with_cause(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}
