//! The kernel these tests run on.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;

use node::{
    Buffer, Cgroups, CpuUsage, Host, HostPaths, MountView, PodNetwork, PodNetworks, PodTable, Processes,
    Version, hostname,
};

fn paths(cgroup: PathBuf) -> HostPaths {
    HostPaths { proc: "/proc".into(), sys: "/sys".into(), cgroup, root: "/nonexistent".into() }
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

/// A pod made of the kernel's own groups, with a process in it. Needs the right to create groups and namespaces; without
/// it there is nothing to test here.
#[test]
fn a_pod() {
    // With both versions, where the machine has the hybrid layout.
    for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        Cgroups::detect(mount.as_ref()).into_iter().for_each(check_a_pod);
    }
}

fn check_a_pod(cgroups: Cgroups) {
    use std::process::{Command, Stdio};
    if std::fs::read_link("/proc/self").ok() != Some(std::process::id().to_string().into()) {
        return;
    }
    // Where there is a kubelet only its pods are looked for.
    if cgroups.directory("memory", "kubepods").is_dir() {
        return;
    }
    let top = format!("node-test-pods-{}", std::process::id());
    let pod = format!("{top}/kubepods/burstable/pod6b7f5a0e-1c2d-4e3f-8a9b-0c1d2e3f4a5b");
    let [running, ending] = [1, 2].map(|number| format!("{pod}/{number:064x}"));
    let hierarchies = ["memory", "cpuacct"];
    let create = |path: &str| {
        hierarchies.iter().all(|name| std::fs::create_dir_all(cgroups.directory(name, path)).is_ok())
    };
    let remove = |path: &str| {
        for name in hierarchies {
            let _ = std::fs::remove_dir(cgroups.directory(name, path));
        }
    };
    if !create(&running) {
        return;
    }
    let mut child = Command::new("unshare")
        .args(["--net", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let join =
        |name| std::fs::write(cgroups.directory(name, &running).join("cgroup.procs"), child.id().to_string());
    let joined = hierarchies.iter().all(|name| join(name).is_ok());

    let (mut table, mut buffer) = (PodTable::new(cgroups.clone()), Buffer::new());
    let mut outcome = Vec::new();
    let mut refresh = |table: &mut PodTable, buffer: &mut Buffer| {
        let before = buffer.system_calls();
        let changed = table.refresh(buffer).changed;
        outcome.push((changed, table.iter().flat_map(|pod| &pod.containers).count()));
        buffer.system_calls() - before
    };
    refresh(&mut table, &mut buffer);
    let quiet = refresh(&mut table, &mut buffer);
    create(&ending);
    refresh(&mut table, &mut buffer);
    let figures = table.iter_mut().next().map(|pod| {
        let last = pod.containers.last_mut().map(|container| container.group.cpu(&mut buffer).is_ok());
        (pod.group.cpu(&mut buffer), pod.group.memory(&mut buffer), last)
    });
    remove(&ending);
    refresh(&mut table, &mut buffer);
    let mut processes = Processes::new(&paths("/sys/fs/cgroup".into()));
    let found = table.iter().next().and_then(|pod| processes.of(&cgroups, &pod.containers[0], &mut buffer));
    let found = found.map(|process| process.pid());
    // `unshare` has its new namespace by the time it has become `cat`, whose name then is the process's.
    let mut networks = PodNetworks::new();
    let name = format!("/proc/{}/comm", child.id());
    while std::fs::read_to_string(&name).is_ok_and(|name| name != "cat\n")
        && child.try_wait().unwrap().is_none()
    {
        std::thread::yield_now();
    }
    let unshared = child.try_wait().unwrap().is_none();
    let network = table.iter().next().map(|pod| networks.read(pod, &cgroups, &mut processes, &mut buffer));
    child.kill().unwrap();
    child.wait().unwrap();
    // The runtime removes the group of a container that has ended.
    remove(&running);
    refresh(&mut table, &mut buffer);
    let after = table.iter().next().map(|pod| networks.read(pod, &cgroups, &mut processes, &mut buffer));
    running.match_indices('/').map(|(at, _)| &running[..at]).rev().for_each(remove);
    refresh(&mut table, &mut buffer);

    assert_eq!(outcome, [(true, 1), (false, 1), (true, 2), (true, 1), (true, 0), (true, 0)]);
    assert_eq!(quiet, 1);
    let (cpu, memory, last) = figures.unwrap();
    assert_eq!(last, Some(true));
    assert!(cpu.unwrap().total.is_some());
    if joined {
        assert_eq!(found, Some(child.id()));
        if unshared {
            let network = network.unwrap().unwrap();
            assert_eq!(network, PodNetwork::Interfaces(vec![]));
        }
        assert_eq!(after.unwrap().unwrap(), PodNetwork::NoProcess);
    }
    assert!(memory.is_ok_and(|memory| memory.usage.is_some()) || cgroups.version() == Version::V2);
}
