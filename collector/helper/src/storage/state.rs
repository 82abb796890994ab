//! The segments of a journal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{Extent, HEADER, RECORD_HEADER};
use super::segment::{Segment, remove};
use super::{JournalError, RecordId};

/// Segments whose files stay open. A backlog may have thousands; a process may have few descriptors.
const MOST_OPEN: usize = 4;

/// Bases from here on are no ids that counting has reached.
const MOST_BASE: u64 = 1 << 62;

/// Everything about a journal that changes.
pub(super) struct State {
    directory: PathBuf,
    segment_bytes: u64,
    max_bytes: u64,
    fsync: bool,
    segments: BTreeMap<u64, Segment>,
    /// The segment that is written to.
    active: Option<u64>,
    next: u64,
    live_bytes: u64,
    lost: u64,
    /// Bases of segments with open files, the one used last at the end.
    open: VecDeque<u64>,
    /// Whether the last attempt to note or to delete something failed, so that a full disk is one line in the log.
    failing: bool,
}

impl State {
    pub(super) fn new(directory: &Path, segment_bytes: u64, max_bytes: u64, fsync: bool) -> Self {
        Self {
            directory: directory.to_owned(),
            segment_bytes,
            max_bytes,
            fsync,
            segments: BTreeMap::new(),
            active: None,
            next: 1,
            live_bytes: 0,
            lost: 0,
            open: VecDeque::new(),
            failing: false,
        }
    }

    /// Takes over what an earlier run left, oldest first.
    pub(super) fn load(&mut self, mut pending: impl FnMut(RecordId, &[u8])) -> Result<(), JournalError> {
        let (logs, acks) = list(&self.directory)?;
        for orphan in acks.difference(&logs) {
            remove(&self.directory.join(format!("{orphan:016x}.ack")))?;
        }
        for base in logs {
            let show = |id, payload: &[u8]| pending(RecordId(id), payload);
            let (mut segment, damage) = Segment::load(&self.directory, base, show)?;
            for damage in damage {
                let (file, offset, rest) = (segment.log_path().display(), damage.offset, damage.rest);
                tracing::warn!(%file, offset, rest, "A stored record is damaged and lost; with `rest`, all after it in its file.");
                self.lost += 1;
            }
            self.next = self.next.max(segment.next_id());
            if segment.is_idle() && self.deleted(&segment) {
                continue;
            }
            let written = segment.write_acks();
            self.note(written);
            segment.release();
            self.live_bytes += segment.live_bytes();
            self.segments.insert(base, segment);
        }
        Ok(())
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes a record; its id and its file.
    pub(super) fn append(&mut self, len: u32, parts: &[&[u8]]) -> Result<(u64, Arc<File>), JournalError> {
        let size = RECORD_HEADER + u64::from(len);
        let base = self.writable(size)?;
        let Some(segment) = self.segments.get_mut(&base) else { return Err(JournalError::Closed) };
        let written =
            segment.append(len, parts).and_then(|id| Ok((id, segment.file().map_err(|e| (e, true))?)));
        match written {
            Ok((id, file)) => {
                self.next = segment.next_id();
                self.live_bytes += size;
                Ok((id, file))
            }
            Err((error, sealed)) => {
                if sealed || segment.is_idle() {
                    self.seal();
                }
                Err(error)
            }
        }
    }

    /// The base of a segment that takes a record of this size.
    fn writable(&mut self, size: u64) -> Result<u64, JournalError> {
        self.make_room(size)?;
        if let Some(active) = self.active.and_then(|base| self.segments.get(&base)) {
            if active.takes(size, self.segment_bytes) && !active.is_gone() {
                return Ok(active.base());
            }
            self.seal();
        }
        let base = self.next;
        let segment = Segment::create(&self.directory, base)?;
        if self.fsync {
            let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
            if let Err(source) = synced {
                // The segment may or may not be there after a loss of power: it is not used.
                self.deleted(&segment);
                return Err(JournalError::io("sync", self.directory.clone())(source));
            }
        }
        self.segments.insert(base, segment);
        self.active = Some(base);
        self.touch(base);
        Ok(base)
    }

    /// Fails if the record does not fit into `max_bytes`, also after everything that is not needed is deleted.
    fn make_room(&mut self, size: u64) -> Result<(), JournalError> {
        let max = self.max_bytes;
        let fits = |used: u64| used.saturating_add(size).saturating_add(HEADER) <= max;
        if max == 0 || fits(self.disk_bytes()) {
            return Ok(());
        }
        if self.active.and_then(|base| self.segments.get(&base)).is_some_and(Segment::is_idle) {
            self.seal();
        }
        self.sweep();
        let used = self.disk_bytes();
        if fits(used) { Ok(()) } else { Err(JournalError::Full { used, max }) }
    }

    fn disk_bytes(&self) -> u64 {
        self.segments.values().map(Segment::disk_bytes).sum()
    }

    /// Ends the segment that is written to.
    fn seal(&mut self) {
        if self.active.take().is_some() {
            self.sweep();
        }
    }

    /// Deletes what is not needed any more.
    fn sweep(&mut self) {
        let idle = |(base, segment): (&u64, &Segment)| {
            (Some(*base) != self.active && segment.is_idle()).then_some(*base)
        };
        let idle: Vec<u64> = self.segments.iter().filter_map(idle).collect();
        for base in idle {
            let Some(mut segment) = self.segments.remove(&base) else { continue };
            if !self.deleted(&segment) {
                // It stays, so that the next sweep tries again; its acknowledgements keep its records from coming back.
                let written = segment.write_acks();
                self.note(written);
                segment.release();
                self.segments.insert(base, segment);
            }
        }
    }

    fn deleted(&mut self, segment: &Segment) -> bool {
        self.note(segment.delete())
    }

    /// Logs the first of several failures in a row; whether it was none.
    fn note(&mut self, result: Result<(), JournalError>) -> bool {
        match result {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                let error = error.with_cause();
                tracing::warn!(
                    error,
                    "The storage cannot forget what is done; it may come again after a restart."
                );
            }
            Err(_) => return false,
        }
        !self.failing
    }

    /// The file and place of a live record, and what to say if it is damaged.
    pub(super) fn locate(&mut self, id: u64) -> Result<(Arc<File>, Extent, JournalError), JournalError> {
        let found = self.segments.range_mut(..=id).next_back();
        let found = found.and_then(|(base, segment)| Some((*base, segment.extent(id)?, segment)));
        let Some((base, extent, segment)) = found else { return Err(JournalError::Unknown(RecordId(id))) };
        let file = segment.file()?;
        let corrupt = segment.corrupt(extent);
        self.touch(base);
        Ok((file, extent, corrupt))
    }

    pub(super) fn acknowledge(&mut self, id: u64) {
        let Some((base, segment)) = self.segments.range_mut(..=id).next_back() else { return };
        let base = *base;
        let Some(size) = segment.forget(id) else { return };
        self.live_bytes = self.live_bytes.saturating_sub(size);
        if segment.is_idle() && self.active != Some(base) {
            return self.sweep();
        }
        let written = segment.write_acks();
        self.note(written);
        self.touch(base);
    }

    /// Takes a record back that may not be on disk.
    pub(super) fn retract(&mut self, id: u64) {
        self.active = None;
        self.acknowledge(id);
    }

    /// Notes that a segment was used, and closes the files of those that were not for longest.
    fn touch(&mut self, base: u64) {
        self.open.retain(|other| *other != base);
        self.open.push_back(base);
        while self.open.len() > MOST_OPEN {
            let oldest = self.open.iter().position(|base| Some(*base) != self.active);
            let Some(base) = oldest.and_then(|at| self.open.remove(at)) else { return };
            if let Some(segment) = self.segments.get_mut(&base) {
                segment.release();
            }
        }
    }

    /// Writes what is left to write and deletes what is left to delete.
    pub(super) fn close(&mut self) {
        self.seal();
        self.sweep();
        for mut segment in std::mem::take(&mut self.segments).into_values() {
            let written = segment.write_acks();
            self.note(written);
        }
    }
}

/// The bases of the segments and of the acknowledgements.
fn list(directory: &Path) -> Result<(BTreeSet<u64>, BTreeSet<u64>), JournalError> {
    let failed = |action| JournalError::io(action, directory.to_owned());
    let (mut logs, mut acks) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(directory).map_err(failed("read"))? {
        let name = entry.map_err(failed("read"))?.file_name();
        let Some((base, extension)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let written_by_us = base.len() == 16 && !base.starts_with('+');
        let Some(base) = u64::from_str_radix(base, 16).ok().filter(|_| written_by_us) else { continue };
        match extension {
            "log" if (1..MOST_BASE).contains(&base) => logs.insert(base),
            "ack" => acks.insert(base),
            _ => continue,
        };
    }
    Ok((logs, acks))
}
