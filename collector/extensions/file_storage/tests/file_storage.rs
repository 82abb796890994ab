//! The extension, and a client's state in it.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use component::{Component, ComponentId, Extension, Host, Kind};
use filestorageextension::{Config, FileStorage};
use helper::storage::{Journal, JournalConfig};

#[tokio::test]
async fn clients_have_directories_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let config = Config {
        directory: root.path().join("a/b"),
        create_directory: true,
        fsync: true,
        max_size: 1 << 20,
        ..Config::default()
    };
    let extension: Arc<dyn Extension> = Arc::new(FileStorage::new(Arc::new(config)));
    let host = Host::standalone();
    extension.start(&host).await.unwrap();
    let host = host.with_extensions([(ComponentId::of_type("file_storage"), extension)]);
    let id = ComponentId::parse("otlp/x").unwrap();
    let place = |name: &str| helper::storage::area(&host, "file_storage", Kind::Exporter, &id, name).unwrap();

    let (logs, traces) = (place("logs"), place("traces"));
    assert_eq!(logs.directory, root.path().join("a/b/exporter_otlp_x_logs.d"));
    assert!(logs.fsync && logs.max_bytes == 1 << 20 && logs.timeout.as_secs() == 1);
    assert_ne!(logs.directory, traces.directory);
    assert_eq!(fs::metadata(&logs.directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(place("logs"), logs, "the same place every time");

    let journal = Journal::open(&logs, JournalConfig::default(), |_, _| ()).unwrap();
    journal.append(&[b"kept"]).unwrap();
    drop(journal);
    let mut kept = Vec::new();
    Journal::open(&logs, JournalConfig::default(), |_, record| kept.push(record.to_vec())).unwrap();
    assert_eq!(kept, [b"kept"]);
}

#[tokio::test]
async fn a_place_that_cannot_be_made_is_named() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().to_owned();
    fs::write(directory.join("exporter_otlp_.d"), "in the way").unwrap();
    let extension = FileStorage::new(Arc::new(Config { directory, ..Config::default() }));
    extension.start(&Host::standalone()).await.unwrap();
    let id = ComponentId::of_type("otlp");
    let error = extension.storage(Kind::Exporter, &id, "").unwrap().unwrap_err().to_string();
    assert!(error.ends_with("exporter_otlp_.d is not a directory"), "{error}");
    root.close().unwrap();
    let error = extension.storage(Kind::Exporter, &id, "").unwrap().unwrap_err();
    assert!(error.to_string().starts_with("cannot use "), "{error}");
}
