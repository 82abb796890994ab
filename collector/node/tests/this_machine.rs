//! The kernel these tests run on.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;

use node::{Buffer, Cgroups, CpuUsage, Host, HostPaths, MountView, hostname};

fn paths(cgroup: PathBuf) -> HostPaths {
    HostPaths { proc: "/proc".into(), sys: "/sys".into(), cgroup, root: "/".into() }
}

/// As the machine is, and as if it had no control groups.
fn hosts() -> [Host; 2] {
    let none = PathBuf::from("/nonexistent");
    ["/sys/fs/cgroup".into(), none].map(|cgroup| Host::new(paths(cgroup), MountView::Collector))
}

/// A collection may run on any thread.
#[test]
fn readers_can_be_sent() {
    fn check<T: Send + 'static>() {}
    check::<Host>();
    check::<node::Cgroup>();
    check::<node::Filesystem>();
    check::<node::Error>();
}

#[test]
fn capacity() {
    for mut host in hosts() {
        let machine = host.machine().unwrap();
        let online = std::thread::available_parallelism().unwrap().get();
        assert!(machine.cores.unwrap() as usize >= online, "{machine:?}");
        assert!(machine.memory.unwrap() > 1 << 24, "{machine:?}");
    }
    assert!(!hostname().is_empty());
}

#[test]
fn cpu_time_passes() {
    for mut host in hosts() {
        let started = host.cpu().unwrap();
        let mut now = started;
        // Busy until the kernel has counted some of it; a tick of `/proc/stat` is 10 ms.
        while now.total == started.total {
            now = host.cpu().unwrap();
        }
        let CpuUsage { total, user, system } = now;
        assert!(
            total > started.total && user >= started.user && system >= started.system,
            "{started:?} {now:?}"
        );
        assert!(user.is_some() && system.is_some());
    }
}

#[test]
fn both_sources_agree() {
    let [mut groups, mut proc] = hosts();
    let (first, second) = (groups.cpu().unwrap().total.unwrap(), proc.cpu().unwrap().total.unwrap());
    assert!(first.abs_diff(second) < first / 5 + 10_000_000_000, "{first} {second}");
    let machine = proc.machine().unwrap().memory.unwrap();
    for mut host in [groups, proc] {
        let memory = host.memory().unwrap();
        let usage = memory.usage.unwrap();
        assert!(usage > 0 && usage <= machine, "{memory:?}");
        assert!(memory.working_set().unwrap() <= usage, "{memory:?}");
        assert!(memory.pgfault.unwrap() > 0, "{memory:?}");
        assert!(memory.swap.is_some(), "{memory:?}");
    }
}

#[test]
fn filesystems() {
    let [mut host, _] = hosts();
    for filesystem in host.filesystems().unwrap().iter() {
        let usage = filesystem.usage().unwrap();
        assert!(
            usage.usage <= usage.capacity && usage.available <= usage.capacity,
            "{filesystem:?} {usage:?}"
        );
    }
    // The table may have changed since it was last read, but not every time.
    let mut costs = std::iter::repeat_with(|| {
        let before = host.buffer().system_calls();
        host.filesystems().unwrap();
        host.buffer().system_calls() - before
    });
    assert!(costs.by_ref().take(1000).any(|cost| cost == 1));
}

#[test]
fn a_collection_costs_few_system_calls() {
    let [mut host, _] = hosts();
    let collect = |host: &mut Host| {
        host.cpu().unwrap();
        host.memory().unwrap();
        host.network().unwrap();
        host.buffer().system_calls()
    };
    let opened = collect(&mut host);
    // At most 6 attributes, and 2 sequences in up to 3 pieces each; nothing is opened again.
    let again = collect(&mut host) - opened;
    assert!(again < opened && again <= 12, "{opened} {again}");
}

/// A group created anew under the same path is found, although the old one's files were open. Needs the right to create
/// groups; without it there is nothing to test here.
#[test]
fn a_group_created_again() {
    let Some(cgroups) = Cgroups::detect("/sys/fs/cgroup".as_ref()) else { return };
    let path = format!("/node-test-{}", std::process::id());
    let directory = cgroups.directory("cpuacct", &path);
    if std::fs::create_dir(&directory).is_err() {
        return;
    }
    let mut buffer = Buffer::new();
    let mut group = cgroups.cgroup(&path);
    let first = group.cpu(&mut buffer);
    std::fs::remove_dir(&directory).unwrap();
    let gone = group.cpu(&mut buffer);
    std::fs::create_dir(&directory).unwrap();
    let again = group.cpu(&mut buffer);
    std::fs::remove_dir(&directory).unwrap();
    assert_eq!(first.unwrap().total, Some(0));
    assert!(gone.unwrap_err().is_absent());
    assert_eq!(again.unwrap().total, Some(0));
}

#[test]
fn devices_and_interfaces() {
    for mut host in hosts() {
        for disk in host.disk_io().unwrap() {
            assert!(!disk.io.bytes.is_empty() || !disk.io.ops.is_empty(), "{disk:?}");
        }
        for interface in host.network().unwrap() {
            assert!(!interface.name.is_empty());
            assert!(interface.rx.bytes >= interface.rx.packets, "{interface:?}");
        }
    }
}

#[test]
fn a_group_that_does_not_exist() {
    if let Some(cgroups) = Cgroups::detect("/sys/fs/cgroup".as_ref()) {
        let mut group = cgroups.cgroup("/there/is/no/such/group");
        let mut buffer = Buffer::new();
        assert!(group.cpu(&mut buffer).unwrap_err().is_absent());
        assert!(group.memory(&mut buffer).unwrap_err().is_absent());
        assert!(group.disk_io(&mut buffer).unwrap_err().is_absent());
    }
}
