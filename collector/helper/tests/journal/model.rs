//! The journal does what a list in memory does, also after its files were damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use component::StorageArea;
use helper::storage::{Journal, RecordId};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::{area, open, small};

const SEGMENT: u64 = 300;
const HEADER: u64 = 20;
const RECORD_HEADER: u64 = 8;

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Acknowledge(usize),
    /// Closes and opens.
    Reopen,
    /// Opens what is on disk at this moment, as after a kill.
    Kill,
    /// Cuts a segment off, then opens.
    Truncate(usize, usize),
    /// Flips a bit in a segment, then opens.
    Flip(usize, usize),
    /// Flips a bit in acknowledgements, then opens.
    FlipAcks(usize, usize),
    /// Cuts acknowledgements off, then opens.
    TruncateAcks(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || (any::<usize>(), any::<usize>());
    let step = prop_oneof![
        12 => prop_oneof![0usize..40, 0usize..400].prop_map(Step::Append),
        10 => any::<usize>().prop_map(Step::Acknowledge),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => at().prop_map(|(file, at)| Step::Truncate(file, at)),
        1 => at().prop_map(|(file, at)| Step::Flip(file, at)),
        1 => at().prop_map(|(file, at)| Step::FlipAcks(file, at)),
        1 => at().prop_map(|(file, at)| Step::TruncateAcks(file, at)),
    ];
    proptest::collection::vec(step, 0..120)
}

/// A record that was appended and whose segment is still there.
#[derive(Debug, Clone)]
struct Record {
    payload: Vec<u8>,
    live: bool,
    /// Whether it was acknowledged at some time; damage may have brought it back.
    acknowledged: bool,
}

struct Model {
    directory: TempDir,
    journal: Option<Journal>,
    records: BTreeMap<RecordId, Record>,
    /// The last id since it was opened.
    last: Option<RecordId>,
    next: u8,
}

impl Model {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (journal, _) = open(&area(directory.path()), small(SEGMENT));
        Self { directory, journal: Some(journal), records: BTreeMap::new(), last: None, next: 0 }
    }

    fn area(&self) -> StorageArea {
        area(self.directory.path())
    }

    fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    fn live(&self) -> Vec<(RecordId, Vec<u8>)> {
        let live = self.records.iter().filter(|(_, record)| record.live);
        live.map(|(id, record)| (*id, record.payload.clone())).collect()
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append(len) => {
                self.next = self.next.wrapping_add(1);
                let payload = vec![self.next; len];
                let (first, second) = payload.split_at(len / 3);
                let id = self.journal().append(&[first, second]).unwrap();
                assert!(self.last.replace(id).is_none_or(|last| last < id));
                let before = self.records.insert(id, Record { payload, live: true, acknowledged: false });
                assert!(before.is_none_or(|before| !before.live));
            }
            Step::Acknowledge(at) => {
                let live = self.live();
                if let Some((id, _)) = live.get(at % live.len().max(1)) {
                    self.journal().acknowledge(*id);
                    let record = self.records.get_mut(id).unwrap();
                    (record.live, record.acknowledged) = (false, true);
                }
            }
            Step::Reopen => {
                self.journal = None;
                let pending = self.open();
                assert_eq!(pending, self.live());
            }
            Step::Kill => {
                let after = TempDir::new().unwrap();
                for file in self.files("") {
                    fs::copy(&file, after.path().join(file.file_name().unwrap())).unwrap();
                }
                self.journal = None;
                self.directory = after;
                let pending = self.open();
                assert_eq!(pending, self.live());
            }
            Step::Truncate(file, at) => self.truncate(file, at),
            Step::Flip(file, at) => self.flip(file, at),
            Step::FlipAcks(file, at) => {
                self.damage_acks(file, |bytes| {
                    let bit = at % (bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                });
            }
            Step::TruncateAcks(file, at) => {
                self.damage_acks(file, |bytes| bytes.truncate(at % bytes.len()));
            }
        }
        self.check();
    }

    fn check(&self) {
        let live = self.live();
        let bytes: u64 = live.iter().map(|(_, payload)| RECORD_HEADER + payload.len() as u64).sum();
        assert_eq!(self.journal().live_bytes(), bytes);
        for (id, payload) in live {
            assert_eq!(self.journal().read(id).unwrap(), payload);
        }
    }

    fn open(&mut self) -> Vec<(RecordId, Vec<u8>)> {
        let (journal, pending) = open(&self.area(), small(SEGMENT));
        self.journal = Some(journal);
        assert!(pending.is_sorted());
        self.last = pending.last().map(|(id, _)| *id);
        pending
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.to_str().unwrap().ends_with(extension));
        paths.sort();
        paths
    }

    /// The records of a segment with the place where each begins and ends.
    fn contents(&self, file: &Path) -> Vec<(RecordId, u64, u64)> {
        let base = |path: &PathBuf| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            u64::from_str_radix(name, 16).unwrap()
        };
        let bases: Vec<u64> = self.files(".log").iter().map(base).collect();
        let from = base(&file.to_owned());
        let to = bases.into_iter().find(|base| *base > from).unwrap_or(u64::MAX);
        let mut end = HEADER;
        let number = |id: &RecordId| id.to_string().parse::<u64>().unwrap();
        let records = self.records.iter().filter(|(id, _)| (from..to).contains(&number(id)));
        records
            .map(|(id, record)| {
                let begin = end;
                end += RECORD_HEADER + record.payload.len() as u64;
                (*id, begin, end)
            })
            .collect()
    }

    /// Closes and lets `damage` change a file, which is returned; opens again if there is none.
    fn damaged(
        &mut self,
        extension: &str,
        file: usize,
        damage: impl FnOnce(&mut Vec<u8>),
    ) -> Option<PathBuf> {
        self.journal = None;
        let files: Vec<_> = self.files(extension);
        let files: Vec<_> = files.into_iter().filter(|file| fs::metadata(file).unwrap().len() > 0).collect();
        let Some(file) = files.get(file % files.len().max(1)) else {
            self.open();
            return None;
        };
        let mut bytes = fs::read(file).unwrap();
        damage(&mut bytes);
        fs::write(file, bytes).unwrap();
        Some(file.clone())
    }

    fn truncate(&mut self, file: usize, at: usize) {
        let mut len = 0;
        let damaged = self.damaged(".log", file, |bytes| {
            len = at % bytes.len();
            bytes.truncate(len);
        });
        let Some(file) = damaged else { return };
        for (id, _, end) in self.contents(&file) {
            if end > len as u64 {
                self.records.remove(&id);
            }
        }
        let pending = self.open();
        assert_eq!(pending, self.live(), "exactly what was whole");
    }

    fn flip(&mut self, file: usize, at: usize) {
        let mut byte = 0;
        let damaged = self.damaged(".log", file, |bytes| {
            let bit = at % (bytes.len() * 8);
            byte = bit as u64 / 8;
            bytes[bit / 8] ^= 1 << (bit % 8);
        });
        let Some(file) = damaged else { return };
        let contents = self.contents(&file);
        let hit = contents.iter().position(|(_, begin, end)| (*begin..*end).contains(&byte));
        if let Some(hit) = hit {
            let (id, begin, _) = contents[hit];
            let length_is_wrong = byte < begin + 4;
            if length_is_wrong {
                contents[hit..].iter().for_each(|(id, ..)| drop(self.records.remove(id)));
            } else if self.records[&id].live {
                self.records.get_mut(&id).unwrap().live = false;
            }
        }
        let pending = self.open();
        assert_eq!(pending, self.live(), "all but what was hit");
        // Where records stand in this segment is not known any more: begin anew.
        *self = Self::new();
    }

    fn damage_acks(&mut self, file: usize, damage: impl FnOnce(&mut Vec<u8>)) {
        if self.damaged(".ack", file, damage).is_none() {
            return;
        }
        let pending = self.open();
        // A second flip may undo the first, and what came back is gone again.
        self.records.values_mut().for_each(|record| record.live &= !record.acknowledged);
        for (id, payload) in &pending {
            let record = self.records.get_mut(id).unwrap();
            assert_eq!(record.payload, *payload);
            record.live = true;
        }
        assert_eq!(pending, self.live(), "nothing is missing; some may come again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_journal_does_what_the_model_does(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
    }
}
