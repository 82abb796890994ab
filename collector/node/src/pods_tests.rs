use super::*;
use std::fs;
use std::path::Path;

fn table(root: &Path) -> PodTable {
    fs::write(root.join("cgroup.controllers"), "").unwrap();
    PodTable::new(Cgroups::detect(root).unwrap())
}

fn container(root: &Path, pod: &str, number: usize) {
    fs::create_dir_all(root.join(format!("kubepods/pod{pod}/{number:064x}"))).unwrap();
}

fn count(table: &PodTable) -> (usize, usize) {
    (table.len(), table.iter().map(|pod| pod.containers.len()).sum())
}

/// Where the kernel refuses watches every directory is listed each time.
#[test]
fn without_watches() {
    let root = tempfile::tempdir().unwrap();
    let mut table = table(root.path());
    table.watcher = None;
    let mut buffer = Buffer::new();
    container(root.path(), "a", 1);
    container(root.path(), "b", 2);
    assert!(table.refresh(&mut buffer).changed);
    let before = buffer.system_calls();
    assert!(!table.refresh(&mut buffer).changed);
    assert_eq!(buffer.system_calls() - before, 3 * 4);
    container(root.path(), "b", 3);
    assert!(table.refresh(&mut buffer).changed);
    assert_eq!(count(&table), (2, 3));
    fs::remove_dir_all(root.path().join("kubepods/podb")).unwrap();
    assert!(table.refresh(&mut buffer).changed);
    assert_eq!(count(&table), (1, 1));
}

/// A change that no watch told of is found by the regular listing of everything.
#[test]
fn a_change_gone_unnoticed() {
    let root = tempfile::tempdir().unwrap();
    let mut table = table(root.path());
    let mut buffer = Buffer::new();
    container(root.path(), "a", 1);
    table.refresh(&mut buffer);
    container(root.path(), "a", 2);
    table.watcher.as_mut().unwrap().changes(&mut buffer);
    let found = (1..=COMPLETE).find(|_| table.refresh(&mut buffer).changed);
    assert_eq!((found, count(&table)), (Some(COMPLETE), (1, 2)));
}

#[test]
fn the_table_is_bounded() {
    let root = tempfile::tempdir().unwrap();
    let mut table = table(root.path());
    table.limit = 10;
    let mut buffer = Buffer::new();
    for number in 0..20 {
        container(root.path(), "a", number);
        container(root.path(), &format!("b{number}"), number);
    }
    let errors = table.refresh(&mut buffer).errors;
    let message = "there are more than 10 control groups of pods and containers, the others are left out";
    assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [message]);
    let (pods, containers) = count(&table);
    assert!(pods + containers <= 10, "{pods} {containers}");
    table.forget_listings();
    assert!(table.refresh(&mut buffer).errors.is_empty());
}

/// A directory that cannot be listed is reported once, and its pods stay.
#[test]
fn an_error_is_reported_once() {
    let root = tempfile::tempdir().unwrap();
    let mut table = table(root.path());
    let mut buffer = Buffer::new();
    container(root.path(), "a", 1);
    table.refresh(&mut buffer);
    let folder = root.path().join("kubepods");
    fs::rename(&folder, root.path().join("aside")).unwrap();
    fs::write(&folder, "not a directory").unwrap();
    table.forget_listings();
    let errors = table.refresh(&mut buffer).errors;
    assert_eq!(errors[0].to_string(), format!("cannot open {}", folder.display()));
    assert!(table.refresh(&mut buffer).errors.is_empty());
    fs::remove_file(&folder).unwrap();
    fs::rename(root.path().join("aside"), &folder).unwrap();
    assert!(table.refresh(&mut buffer).errors.is_empty());
    assert_eq!(count(&table), (1, 1));
}
