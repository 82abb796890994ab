//! One segment: a file of records and a file of acknowledgements.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, IoSlice, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::format::{self, Extent, HEADER, Header};

/// Beyond it, what is acknowledged comes again: eight million records, which no segment holds.
const MOST_ACK_BYTES: u64 = 64 << 20;

/// Telemetry may be confidential: for the owner alone.
const PERMISSIONS: u32 = 0o600;

/// A segment and its records that are not acknowledged.
pub(super) struct Segment {
    base: u64,
    log_path: PathBuf,
    ack_path: PathBuf,
    /// Open while in use.
    log: Option<Arc<File>>,
    acks: Option<File>,
    /// How many bytes of the log are header and records.
    size: u64,
    /// How many records there ever were.
    count: u32,
    live: BTreeMap<u32, Extent>,
    /// How many bytes of acknowledgements are on disk.
    ack_bytes: u64,
    /// Acknowledgements that the disk did not take yet.
    unwritten: Vec<u32>,
}

/// What was wrong with a segment that was there at start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Damage {
    /// Where.
    pub(super) offset: u64,
    /// Whether everything after it is lost too.
    pub(super) rest: bool,
}

impl Segment {
    /// A new, empty segment.
    pub(super) fn create(directory: &Path, base: u64) -> Result<Self, JournalError> {
        let mut segment = Self::at(directory, base);
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true).mode(PERMISSIONS);
        let file = options.open(&segment.log_path);
        let file = file.map_err(JournalError::io("create", segment.log_path.clone()))?;
        segment.log = Some(Arc::new(file));
        Ok(segment)
    }

    fn at(directory: &Path, base: u64) -> Self {
        Self {
            base,
            log_path: directory.join(format!("{base:016x}.log")),
            ack_path: directory.join(format!("{base:016x}.ack")),
            log: None,
            acks: None,
            size: 0,
            count: 0,
            live: BTreeMap::new(),
            ack_bytes: 0,
            unwritten: Vec::new(),
        }
    }

    /// Reads a segment of an earlier run; shows its records that are not acknowledged. What is damaged is cut off.
    pub(super) fn load(
        directory: &Path,
        base: u64,
        mut pending: impl FnMut(u64, &[u8]),
    ) -> Result<(Self, Vec<Damage>), JournalError> {
        let mut segment = Self::at(directory, base);
        let path = segment.log_path.clone();
        let failed = |action| JournalError::io(action, path.clone());
        let file = File::options().read(true).write(true).open(&segment.log_path).map_err(failed("open"))?;
        let file_len = file.metadata().map_err(failed("read"))?.len();
        let mut head = Vec::new();
        (&file).take(HEADER).read_to_end(&mut head).map_err(failed("read"))?;
        if let Header::Version(version) = format::check_header(&head, base) {
            return Err(JournalError::Version { file: segment.log_path, version });
        }
        let acked = segment.load_acks()?;
        let mut live = BTreeMap::new();
        let visit = |index, extent, payload: &[u8]| {
            live.insert(index, extent);
            pending(base.saturating_add(u64::from(index)), payload);
        };
        let scanned = format::scan(&file, base, &acked, visit).map_err(failed("read"))?;
        let torn = file_len > 0 && file_len < HEADER;
        let mut damage: Vec<Damage> =
            scanned.skipped.iter().map(|(_, offset)| Damage { offset: *offset, rest: false }).collect();
        if scanned.cut || torn {
            damage.push(Damage { offset: if torn { 0 } else { scanned.end }, rest: true });
            // Said once: the next start does not find it again. Where the disk refuses, it will.
            let _ = file.set_len(scanned.end);
        }
        segment.live = live;
        segment.size = scanned.end;
        segment.count = scanned.count;
        segment.unwritten.extend(scanned.skipped.iter().map(|(index, _)| *index));
        Ok((segment, damage))
    }

    fn load_acks(&mut self) -> Result<BTreeSet<u32>, JournalError> {
        let file = match File::open(&self.ack_path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(JournalError::io("open", self.ack_path.clone())(error)),
        };
        let mut bytes = Vec::new();
        file.take(MOST_ACK_BYTES)
            .read_to_end(&mut bytes)
            .map_err(JournalError::io("read", self.ack_path.clone()))?;
        // A torn one at the end is written over.
        self.ack_bytes = bytes.len() as u64 / format::ACK * format::ACK;
        Ok(format::parse_acks(self.base, &bytes))
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The id after its last record.
    pub(super) fn next_id(&self) -> u64 {
        self.base.saturating_add(u64::from(self.count.max(1)))
    }

    /// Bytes on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.size + self.ack_bytes
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live.values().map(|extent| extent.size()).sum()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether a record of `size` bytes belongs into this segment. The first one does, however large.
    pub(super) fn takes(&self, size: u64, segment_bytes: u64) -> bool {
        self.count == 0 || (self.count < u32::MAX && self.size.saturating_add(size) <= segment_bytes)
    }

    /// Whether its file was deleted by somebody else.
    pub(super) fn is_gone(&self) -> bool {
        let links = self.log.as_ref().map(|file| file.metadata().map(|metadata| metadata.nlink()));
        matches!(links, Some(Ok(0)))
    }

    pub(super) fn file(&mut self) -> Result<Arc<File>, JournalError> {
        if let Some(file) = &self.log {
            return Ok(file.clone());
        }
        let file = File::open(&self.log_path).map_err(JournalError::io("open", self.log_path.clone()))?;
        Ok(self.log.insert(Arc::new(file)).clone())
    }

    /// Gives the descriptors back; they are opened again when needed.
    pub(super) fn release(&mut self) {
        self.log = None;
        self.acks = None;
    }

    /// Writes a record at the end; its id. After an error the file is as long as before, or `Err(…, true)`: it must not
    /// be written to any more.
    pub(super) fn append(&mut self, len: u32, parts: &[&[u8]]) -> Result<u64, (JournalError, bool)> {
        let id = self.base.saturating_add(u64::from(self.count));
        let file = self.file().map_err(|error| (error, true))?;
        let head = format::header(self.base);
        let head = if self.size == 0 { &head[..] } else { &[] };
        let record = format::record_header(id, len, parts);
        let mut slices = vec![IoSlice::new(head), IoSlice::new(&record)];
        slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        if let Err(source) = format::write_all_at(&file, &mut slices, self.size) {
            let sealed = file.set_len(self.size).is_err();
            return Err((JournalError::io("write", self.log_path.clone())(source), sealed));
        }
        let extent = Extent { offset: self.size + head.len() as u64, len };
        self.live.insert(self.count, extent);
        self.size = extent.end();
        self.count += 1;
        Ok(id)
    }

    /// Where a live record stands.
    pub(super) fn extent(&self, id: u64) -> Option<Extent> {
        self.live.get(&self.index(id)?).copied()
    }

    fn index(&self, id: u64) -> Option<u32> {
        id.checked_sub(self.base).and_then(|index| u32::try_from(index).ok())
    }

    /// The error for a record that is not what was written.
    pub(super) fn corrupt(&self, extent: Extent) -> JournalError {
        JournalError::Corrupt { file: self.log_path.clone(), offset: extent.offset }
    }

    pub(super) fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// Forgets a live record; how long it was. The disk learns it with [`write_acks`](Self::write_acks).
    pub(super) fn forget(&mut self, id: u64) -> Option<u64> {
        let index = self.index(id)?;
        let extent = self.live.remove(&index)?;
        self.unwritten.push(index);
        Some(extent.size())
    }

    /// Writes the acknowledgements that are not on disk yet. Those that fail are kept for the next time.
    pub(super) fn write_acks(&mut self) -> Result<(), JournalError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = self.unwritten.iter().flat_map(|index| format::ack(self.base, *index)).collect();
        let failed = |action| JournalError::io(action, self.ack_path.clone());
        let file = match self.acks.take() {
            Some(file) => file,
            // What an earlier segment of the same base may have left is not taken over.
            None => File::options()
                .write(true)
                .create(true)
                .mode(PERMISSIONS)
                .truncate(self.ack_bytes == 0)
                .open(&self.ack_path)
                .map_err(failed("open"))?,
        };
        file.write_all_at(&bytes, self.ack_bytes).map_err(failed("write"))?;
        self.ack_bytes += bytes.len() as u64;
        self.acks = Some(file);
        self.unwritten.clear();
        Ok(())
    }

    /// Deletes its files: the records first, so that nothing comes back.
    pub(super) fn delete(&self) -> Result<(), JournalError> {
        remove(&self.log_path)?;
        remove(&self.ack_path)
    }
}

/// Deletes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), JournalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(JournalError::io("delete", path.to_owned())(error))
        }
        _ => Ok(()),
    }
}
