//! An append-only log of records in segments.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use component::StorageArea;

use super::state::State;
use super::{JournalError, format};

/// How often a lock that another process has is tried again.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// The name of the file that is locked.
const LOCK_FILE: &str = "lock";

/// Names a record as long as its journal is open. Later records have larger ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub(super) u64);

/// How a journal uses its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalConfig {
    /// How large a file grows before the next one begins; space is freed file by file.
    pub segment_bytes: u64,
    /// How many bytes all files together may have, acknowledged records that are not freed yet included; 0 for any.
    pub max_bytes: u64,
}

/// An append-only log of records, each of which is acknowledged once, in any order.
///
/// Everything here blocks on the disk; callers decide about threads. An error leaves the journal usable: it goes on by
/// itself when there is space again. Only one journal has a directory at a time.
pub struct Journal {
    directory: PathBuf,
    state: Mutex<Open>,
    fsync: bool,
}

/// The state while it is open, and the lock that goes with it.
struct Open(Option<(State, File)>);

impl Default for JournalConfig {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, max_bytes: 0 }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Journal {
    /// Opens a journal, or begins one where there is none. Calls `pending` for every record that was not acknowledged,
    /// oldest first, one at a time.
    ///
    /// A damaged record is lost; if the one after it cannot be found, the rest of its segment is too. Both are logged
    /// once, with file and offset, and counted in [`lost_records`](Self::lost_records).
    ///
    /// # Errors
    /// The directory is in use, cannot be read or written, or was written by a later version.
    pub fn open(
        area: &StorageArea,
        config: JournalConfig,
        pending: impl FnMut(RecordId, &[u8]),
    ) -> Result<Self, JournalError> {
        let lock = lock(&area.directory, area.timeout)?;
        let limits = [config.max_bytes, area.max_bytes];
        let max_bytes = limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or_default();
        // Space is freed segment by segment: with few of them, little of a small limit could be used.
        let most = if max_bytes == 0 { u64::MAX } else { max_bytes / 8 };
        let segment_bytes = config.segment_bytes.min(most);
        let mut state = State::new(&area.directory, segment_bytes, max_bytes, area.fsync);
        state.load(pending)?;
        let state = Mutex::new(Open(Some((state, lock))));
        Ok(Self { directory: area.directory.clone(), state, fsync: area.fsync })
    }

    /// Appends one record made of parts. After `Ok` it survives the end of the process, and with `fsync` a loss of power.
    ///
    /// # Errors
    /// [`JournalError::Full`], [`JournalError::Io`], …: nothing was appended.
    pub fn append(&self, parts: &[&[u8]]) -> Result<RecordId, JournalError> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        let len = u32::try_from(bytes).map_err(|_| JournalError::TooLarge { bytes })?;
        let (id, file) = self.with(|state| state.append(len, parts))?;
        // Outside of the lock: others may append and acknowledge meanwhile.
        if self.fsync
            && let Err(source) = file.sync_data()
        {
            self.lock().with(|state| state.retract(id));
            return Err(JournalError::io("sync", self.directory.clone())(source));
        }
        Ok(RecordId(id))
    }

    /// The payload of a record that is not acknowledged.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] if it is not what was written, [`JournalError::Unknown`] if it is not kept.
    pub fn read(&self, id: RecordId) -> Result<Vec<u8>, JournalError> {
        let (file, extent, corrupt) = self.with(|state| state.locate(id.0))?;
        match format::read_record(&file, id.0, extent) {
            Ok(Some(payload)) => Ok(payload),
            Ok(None) => Err(corrupt),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(corrupt),
            Err(source) => match corrupt {
                JournalError::Corrupt { file, .. } => Err(JournalError::io("read", file)(source)),
                other => Err(other),
            },
        }
    }

    /// Forgets a record; files without any other are deleted. If the process is killed the moment after, or the disk does
    /// not take the note, the record may come again.
    pub fn acknowledge(&self, id: RecordId) {
        self.lock().with(|state| state.acknowledge(id.0));
    }

    /// Bytes of the records that are not acknowledged; 0 once closed.
    pub fn live_bytes(&self) -> u64 {
        self.lock().with(|state| state.live_bytes()).unwrap_or_default()
    }

    /// How many places were damaged when it was opened: at each, at least one record is lost. 0 once closed.
    pub fn lost_records(&self) -> u64 {
        self.lock().with(|state| state.lost()).unwrap_or_default()
    }

    /// Writes what is left to write and gives the directory back; also done when dropped. What is not acknowledged comes
    /// again when the journal is next opened.
    pub fn close(&self) {
        let open = self.lock().0.take();
        if let Some((mut state, lock)) = open {
            state.close();
            // Closing the file gives the lock back, but only now: all files are as they stay.
            drop(lock);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> Result<T, JournalError>) -> Result<T, JournalError> {
        self.lock().with(act).unwrap_or(Err(JournalError::Closed))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn with<T>(&mut self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.0.as_mut().map(|(state, _)| act(state))
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("live_bytes", &self.live_bytes()).finish_non_exhaustive()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Takes the directory, waiting for another process that is about to end.
fn lock(directory: &Path, timeout: Duration) -> Result<File, JournalError> {
    let path = directory.join(LOCK_FILE);
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.map_err(JournalError::io("create", path.clone()))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < timeout => std::thread::sleep(LOCK_INTERVAL),
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Locked { directory: directory.to_owned(), waited: timeout });
            }
            Err(TryLockError::Error(source)) => return Err(JournalError::io("lock", path)(source)),
        }
    }
}
