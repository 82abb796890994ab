//! The journal: faults of the disk, and the journal against a model.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failure is a failed test")]

mod model;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use component::StorageArea;
use helper::storage::{Journal, JournalConfig, JournalError, RecordId};
use tempfile::TempDir;
use testkit::LogCapture;

/// A lock is inherited by the children of other tests for a moment: it is waited for.
fn area(directory: &Path) -> StorageArea {
    StorageArea {
        directory: directory.to_owned(),
        timeout: Duration::from_secs(60),
        ..StorageArea::default()
    }
}

fn small(segment_bytes: u64) -> JournalConfig {
    JournalConfig { segment_bytes, ..JournalConfig::default() }
}

/// Opens a journal; what was pending.
fn open(area: &StorageArea, config: JournalConfig) -> (Journal, Vec<(RecordId, Vec<u8>)>) {
    let mut pending = Vec::new();
    let journal = Journal::open(area, config, |id, payload| pending.push((id, payload.to_vec()))).unwrap();
    (journal, pending)
}

fn payloads(pending: Vec<(RecordId, Vec<u8>)>) -> Vec<Vec<u8>> {
    pending.into_iter().map(|(_, payload)| payload).collect()
}

/// The names of the files, without the lock.
fn files(directory: &Path) -> Vec<String> {
    let names =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "lock").collect();
    names.sort();
    names
}

#[test]
fn what_is_not_acknowledged_comes_again_in_order() {
    let directory = TempDir::new().unwrap();
    let area = StorageArea { fsync: true, ..area(directory.path()) };
    let (journal, pending) = open(&area, JournalConfig::default());
    assert!(pending.is_empty());
    let ids: Vec<_> = (0..5u8).map(|i| journal.append(&[b"record ", &[b'0' + i], b""]).unwrap()).collect();
    assert!(ids.is_sorted());
    assert_eq!(journal.read(ids[3]).unwrap(), b"record 3");
    assert_eq!(journal.live_bytes(), 5 * (8 + 8));
    journal.acknowledge(ids[3]);
    journal.acknowledge(ids[0]);
    journal.acknowledge(ids[0]);
    assert!(matches!(journal.read(ids[0]), Err(JournalError::Unknown(id)) if id == ids[0]));
    assert_eq!(journal.live_bytes(), 3 * (8 + 8));
    journal.close();
    assert!(matches!(journal.append(&[b"x"]), Err(JournalError::Closed)));
    assert!(matches!(journal.read(ids[1]), Err(JournalError::Closed)));
    journal.acknowledge(ids[1]);

    let (journal, pending) = open(&area, JournalConfig::default());
    let later = journal.append(&[b"later"]).unwrap();
    assert!(pending.iter().all(|(id, _)| *id < later));
    pending.iter().for_each(|(id, payload)| assert_eq!(journal.read(*id).unwrap(), *payload));
    assert_eq!(payloads(pending), [b"record 1", b"record 2", b"record 4"]);
    ids.iter().chain([&later]).for_each(|id| journal.acknowledge(*id));
    drop(journal);
    assert_eq!(files(directory.path()), Vec::<String>::new(), "nothing is left of what is done");
}

#[test]
fn segments_are_freed_one_by_one() {
    let directory = TempDir::new().unwrap();
    let (journal, _) = open(&area(directory.path()), small(100));
    let ids: Vec<_> = (0..40).map(|_| journal.append(&[&[7; 22]]).unwrap()).collect();
    // Two records of 30 bytes fit behind a header of 20 bytes.
    let logs = || files(directory.path()).iter().filter(|name| name.ends_with(".log")).count();
    assert_eq!(logs(), 20);
    for (done, id) in ids.iter().enumerate() {
        journal.acknowledge(*id);
        assert_eq!(logs(), (20 - done.div_ceil(2)).max(1), "after {}", done + 1);
        ids[done + 1..].iter().for_each(|id| assert_eq!(journal.read(*id).unwrap(), [7; 22]));
    }
    let large = journal.append(&[&[1; 1000]]).unwrap();
    assert_eq!(journal.read(large).unwrap(), [1; 1000], "larger than a segment");
}

#[test]
fn a_limit_refuses_and_goes_on() {
    let directory = TempDir::new().unwrap();
    let area = StorageArea { max_bytes: 10_000, ..area(directory.path()) };
    let (journal, _) = open(&area, JournalConfig::default());
    let mut ids = Vec::new();
    let error = loop {
        match journal.append(&[&[1; 92]]) {
            Ok(id) => ids.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, JournalError::Full { max: 10_000, .. }), "{error}");
    assert!((90..=99).contains(&ids.len()), "{}", ids.len());
    ids.drain(..20).for_each(|id| journal.acknowledge(id));
    assert!(journal.append(&[&[2; 92]]).is_ok(), "what is done makes room");
    ids.iter().for_each(|id| assert_eq!(journal.read(*id).unwrap(), [1; 92]));
    assert!(matches!(journal.append(&[&[2; 20_000]]), Err(JournalError::Full { .. })));
}

#[test]
fn a_directory_has_one_journal() {
    let directory = TempDir::new().unwrap();
    let area = area(directory.path());
    let (first, _) = open(&area, JournalConfig::default());
    let impatient = StorageArea { timeout: Duration::ZERO, ..area.clone() };
    let error = Journal::open(&impatient, JournalConfig::default(), |_, _| ()).unwrap_err().to_string();
    let expected = format!(
        "{}: in use by another process for more than 0ns; stop it or give each collector a directory of its own",
        directory.path().display()
    );
    assert_eq!(error, expected);
    // One that waits gets it.
    let waiting = std::thread::spawn(move || open(&area, JournalConfig::default()).0);
    first.close();
    waiting.join().unwrap().append(&[b"x"]).unwrap();
}

#[test]
fn a_directory_that_vanishes_is_an_error_until_it_is_back() {
    let directory = TempDir::new().unwrap();
    let (journal, _) = open(&area(directory.path()), JournalConfig::default());
    let before = journal.append(&[b"before"]).unwrap();
    fs::remove_dir_all(directory.path()).unwrap();
    let error = journal.append(&[b"lost"]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot create {}", directory.path().display())), "{error}");
    assert_eq!(journal.read(before).unwrap(), b"before", "still open");
    journal.acknowledge(before);
    fs::create_dir(directory.path()).unwrap();
    let after = journal.append(&[b"after"]).unwrap();
    assert_eq!(journal.read(after).unwrap(), b"after");
    drop(journal);
    assert_eq!(payloads(open(&area(directory.path()), JournalConfig::default()).1), [b"after"]);
}

#[test]
fn acknowledgements_that_the_disk_does_not_take_are_written_later() {
    let directory = TempDir::new().unwrap();
    let (journal, _) = open(&area(directory.path()), JournalConfig::default());
    let ids: Vec<_> = (0..3).map(|i| journal.append(&[&[i]]).unwrap()).collect();
    let acks = directory.path().join(files(directory.path())[0].replace(".log", ".ack"));
    symlink("/dev/full", &acks).unwrap();
    let log = LogCapture::begin();
    journal.acknowledge(ids[0]);
    journal.acknowledge(ids[1]);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "said once: {lines:?}");
    assert!(lines[0].field("error").contains("No space left on device"), "{lines:?}");
    fs::remove_file(&acks).unwrap();
    drop(journal);
    assert_eq!(payloads(open(&area(directory.path()), JournalConfig::default()).1), [[2]]);
}

#[test]
fn damage_is_said_once_and_costs_what_is_damaged() {
    let directory = TempDir::new().unwrap();
    let (journal, _) = open(&area(directory.path()), JournalConfig::default());
    for i in 0..4 {
        journal.append(&[&[i; 10]]).unwrap();
    }
    drop(journal);
    let log_file = directory.path().join(&files(directory.path())[0]);
    let mut bytes = fs::read(&log_file).unwrap();
    bytes[20 + 18 + 8] ^= 1;
    bytes.truncate(20 + 4 * 18 - 1);
    fs::write(&log_file, bytes).unwrap();

    let log = LogCapture::begin();
    let (journal, pending) = open(&area(directory.path()), JournalConfig::default());
    assert_eq!(payloads(pending), [[0; 10], [2; 10]]);
    assert_eq!(journal.lost_records(), 2);
    let said: Vec<_> = log
        .lines()
        .iter()
        .map(|line| (line.field("offset").to_owned(), line.field("rest").to_owned()))
        .collect();
    let owned = |offset: &str, rest: &str| (offset.to_owned(), rest.to_owned());
    assert_eq!(said, [owned("38", "false"), owned("74", "true")]);
    assert_eq!(log.lines()[0].field("file"), log_file.display().to_string());
    drop(journal);
    let (journal, pending) = open(&area(directory.path()), JournalConfig::default());
    assert_eq!((payloads(pending).len(), journal.lost_records(), log.lines().len()), (2, 0, 2));
}

#[test]
fn a_record_that_is_damaged_while_it_waits_is_not_given_out() {
    let directory = TempDir::new().unwrap();
    let (journal, _) = open(&area(directory.path()), JournalConfig::default());
    let id = journal.append(&[b"good"]).unwrap();
    let log_file = directory.path().join(&files(directory.path())[0]);
    for bad in [&b"bad!"[..], b"b"] {
        let mut bytes = fs::read(&log_file).unwrap();
        bytes.truncate(28);
        bytes.extend(bad);
        fs::write(&log_file, bytes).unwrap();
        let error = journal.read(id).unwrap_err().to_string();
        assert_eq!(error, format!("{}: the record at byte 20 is damaged", log_file.display()));
    }
}

#[test]
fn a_segment_of_a_later_version_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let mut header = b"INSJRN\x02\x00\x01\0\0\0\0\0\0\0".to_vec();
    header.extend(crc32fast::hash(&header).to_le_bytes());
    let log_file = directory.path().join("0000000000000001.log");
    fs::write(&log_file, &header).unwrap();
    let error = Journal::open(&area(directory.path()), JournalConfig::default(), |_, _| ()).unwrap_err();
    assert!(matches!(error, JournalError::Version { version: 2, .. }), "{error}");
    assert_eq!(fs::read(&log_file).unwrap(), header);
}

/// A file system of 256 KiB; unmounted when dropped.
struct Tiny(TempDir);

impl Tiny {
    /// `None` where this process may not mount.
    fn mount() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(directory.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(directory))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on() {
    let Some(tiny) = Tiny::mount() else {
        println!("skipped: mounting a small file system needs root");
        return;
    };
    let area = area(tiny.0.path());
    let (journal, _) = open(&area, small(64 << 10));
    let record = |i: usize| vec![i as u8; 5_000];
    let mut kept = Vec::new();
    for round in 0..5 {
        let error = loop {
            match journal.append(&[&record(kept.len())]) {
                Ok(id) => kept.push((id, kept.len())),
                Err(error) => break error,
            }
        };
        let JournalError::Io { source, .. } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "round {round}");
        kept.iter().for_each(|(id, i)| assert_eq!(journal.read(*id).unwrap(), record(*i)));
        let done = if round == 3 { kept.len() } else { kept.len() / 2 };
        kept.drain(..done).for_each(|(id, _)| journal.acknowledge(id));
    }
    assert!(!kept.is_empty());
    drop(journal);
    let (journal, pending) = open(&area, small(64 << 10));
    assert_eq!(journal.lost_records(), 0);
    assert_eq!(pending.len(), kept.len());
    assert!(pending.iter().zip(&kept).all(|((id, _), (kept, _))| id == kept));
}
