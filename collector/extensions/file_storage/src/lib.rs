//! The `file_storage` extension: gives components a directory for their state.

mod config;
mod name;

pub use config::{Compaction, Config};

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use component::{
    BoxError, Component, ComponentId, Extension, ExtensionFactory, Host, Kind, Meta, StorageArea, async_trait,
};

/// For the owner alone: telemetry may be confidential.
const CLIENT_PERMISSIONS: u32 = 0o700;

/// Makes `file_storage` extensions.
pub fn factory() -> ExtensionFactory {
    let meta = Meta { kind: "file_storage", aliases: &[], deprecated_aliases: &[], signals: &[] };
    ExtensionFactory::new::<Config>(meta, |_, config, ()| Ok(Arc::new(FileStorage::new(config))))
}

/// The extension: a directory with one directory per client.
pub struct FileStorage {
    config: Arc<Config>,
}

/// Why there is no place for state.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The directory is not there, or cannot be made.
    #[error("cannot use {path} as storage")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something else has the name.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
}

impl FileStorage {
    /// An extension over the directory of `config`.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config }
    }

    fn place(&self, kind: Kind, id: &ComponentId, name: &str) -> Result<StorageArea, Error> {
        let directory = self.config.directory.join(name::of_client(kind, id, name));
        make(&directory, CLIENT_PERMISSIONS, false)?;
        Ok(StorageArea {
            directory,
            fsync: self.config.fsync,
            max_bytes: self.config.max_size,
            timeout: self.config.timeout.0,
        })
    }
}

#[async_trait]
impl Component for FileStorage {
    async fn start(&self, _host: &Host) -> Result<(), BoxError> {
        let config = &self.config;
        if config.create_directory {
            // A configuration with other permissions was refused.
            make(&config.directory, config.permissions().unwrap_or(CLIENT_PERMISSIONS), true)?;
        }
        let directory = config.directory.display();
        tracing::info!(%directory, fsync = config.fsync, "Storage is ready");
        Ok(())
    }
}

impl Extension for FileStorage {
    fn storage(&self, kind: Kind, id: &ComponentId, name: &str) -> Option<Result<StorageArea, BoxError>> {
        Some(self.place(kind, id, name).map_err(Into::into))
    }
}

/// Makes a directory where there is none.
fn make(path: &Path, permissions: u32, with_parents: bool) -> Result<(), Error> {
    let made = DirBuilder::new().mode(permissions).recursive(with_parents).create(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(Error::Directory { path: path.to_owned(), source }),
        Ok(()) => return Ok(()),
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::NotADirectory { path: path.to_owned() }),
        Err(source) => Err(Error::Directory { path: path.to_owned(), source }),
    }
}
