//! Figures of pods and their containers, read from trees of files.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod machine;

use std::fs;
use std::path::Path;

use machine::{Machine, id, net_dev, refresh};
use node::{Buffer, PodNetwork, PodNetworks, PodTable, Processes, Swap, upper_directory};

/// Three pods, one of them on the machine's network, with the collector in the machine's pid namespace or not.
fn machine_with_processes(shares_namespace: bool) -> (Machine, PodTable, Buffer) {
    let machine = Machine::v2();
    let group = |pod: &str, number| format!("/kubepods/pod{pod}/{}", id(number));
    machine.process(1, "/init.scope", "host");
    for (pid, group, namespace) in [
        (10, group("a", 1), "a"),
        (11, group("a", 2), "a"),
        (20, format!("{}/inner/supervised", group("b", 3)), "b"),
        (30, group("c", 4), "host"),
    ] {
        machine.process(pid, &group, namespace);
        machine.write(&format!("cgroup{group}/cgroup.procs"), &format!("{pid}\n"));
        if !shares_namespace {
            // Numbers of the collector's own namespace, which on the machine are other processes'.
            machine.write(&format!("cgroup{group}/cgroup.procs"), "0\n1\n");
        }
    }
    let pids = if shares_namespace { "77" } else { "77\t1" };
    machine.write("proc/self/status", &format!("Name:\totelcol\nNSpid:\t{pids}\n"));
    let (mut table, mut buffer) = (machine.pods(), Buffer::new());
    refresh(&mut table, &mut buffer);
    (machine, table, buffer)
}

fn received(network: &PodNetwork) -> Option<u64> {
    match network {
        PodNetwork::Interfaces(interfaces) => {
            assert_eq!(interfaces.len(), 1);
            Some(interfaces[0].rx.bytes)
        }
        PodNetwork::Host | PodNetwork::NoProcess => None,
    }
}

#[test]
fn networks() {
    for shares_namespace in [true, false] {
        let (machine, mut table, mut buffer) = machine_with_processes(shares_namespace);
        let mut processes = Processes::new(&machine.paths());
        let mut networks = PodNetworks::new();
        let mut collect = |table: &PodTable, buffer: &mut Buffer| {
            processes.begin();
            networks.retain(table.iter());
            let before = buffer.system_calls();
            let read = |pod| networks.read(pod, table.cgroups(), &mut processes, buffer).unwrap();
            let read: Vec<PodNetwork> = table.iter().map(read).collect();
            (read, buffer.system_calls() - before)
        };
        let (first, _) = collect(&table, &mut buffer);
        assert_eq!(received(&first[0]), Some(10));
        assert_eq!(received(&first[1]), Some(20));
        assert_eq!(first[2], PodNetwork::Host);
        // Each of the two on a network of its own is read in place, with a descriptor.
        assert_eq!(collect(&table, &mut buffer), (first, 2));
        let open = buffer.kept_descriptors();
        assert_eq!(open, 2);

        // A process of the container ends, the network stays.
        machine.write("proc/10/net/dev", &net_dev(15)).remove("proc/10");
        assert_eq!(received(&collect(&table, &mut buffer).0[0]), Some(15));

        // The container ends, another of the pod goes on.
        machine.remove(&format!("cgroup/kubepods/poda/{}", id(1)));
        refresh(&mut table, &mut buffer);
        let (second, _) = collect(&table, &mut buffer);
        assert_eq!(received(&second[0]), Some(11), "{second:?}");
        assert_eq!(buffer.kept_descriptors(), open);
        // The last ends: nothing is held any more.
        machine.remove(&format!("cgroup/kubepods/poda/{}", id(2))).remove("proc/11");
        refresh(&mut table, &mut buffer);
        assert_eq!(collect(&table, &mut buffer).0[0], PodNetwork::NoProcess);
        assert_eq!(buffer.kept_descriptors(), open - 1);

        // A container without a process that can be seen: its number is another pod's now.
        machine.write(&format!("cgroup/kubepods/poda/{}/cgroup.procs", id(2)), "11\n");
        machine.process(11, &format!("/kubepods/podb/{}", id(3)), "b");
        refresh(&mut table, &mut buffer);
        assert_eq!(collect(&table, &mut buffer).0[0], PodNetwork::NoProcess);

        // A new process, and a malformed file.
        machine.process(12, &format!("/kubepods/poda/{}", id(2)), "a");
        machine.write(&format!("cgroup/kubepods/poda/{}/cgroup.procs", id(2)), "12\n");
        assert_eq!(received(&collect(&table, &mut buffer).0[0]), Some(12));
        machine.write("proc/12/net/dev", "h\nh\neth0: 1\n");
        let pod = table.iter().next().unwrap();
        let error = networks.read(pod, table.cgroups(), &mut processes, &mut buffer).unwrap_err();
        let file = machine.path("proc/12/net/dev");
        assert_eq!(error.to_string(), format!("cannot understand {}", file.display()));

        machine.remove("cgroup/kubepods/poda");
        refresh(&mut table, &mut buffer);
        networks.retain(table.iter());
        assert_eq!((table.len(), buffer.kept_descriptors()), (2, open - 1));
    }
}

/// The group above all pods tells whether any of them has to be asked for its swap.
#[test]
fn swap_of_pods() {
    let machine = Machine::v2();
    machine.directory("cgroup/kubepods/burstable/poda");
    let (mut table, mut buffer) = (machine.pods(), Buffer::new());
    let mut check = |swap: &str, on_machine: Swap, expected: (Swap, u64)| {
        machine.write("cgroup/kubepods/memory.swap.current", swap);
        machine.write("cgroup/kubepods/burstable/memory.swap.current", swap);
        refresh(&mut table, &mut buffer);
        table.swap(Swap::Present, &mut buffer);
        let before = buffer.system_calls();
        let found = table.swap(on_machine, &mut buffer);
        assert_eq!((found, buffer.system_calls() - before), expected, "{swap:?}");
    };
    check("0\n", Swap::Present, (Swap::Absent, 1));
    check("4096\n", Swap::Present, (Swap::Present, 1));
    check("4096\n", Swap::Absent, (Swap::Absent, 0));
    check("x\n", Swap::Present, (Swap::Present, 1));
    // Before anything is known of pods.
    assert_eq!(Machine::v2().pods().swap(Swap::Present, &mut Buffer::new()), Swap::Present);
}

/// Without the right to look at another's namespace, the inode of its `net/dev` tells.
#[test]
fn networks_without_the_right_to_trace() {
    let (machine, table, mut buffer) = machine_with_processes(true);
    for pid in [1, 10, 30] {
        fs::remove_file(machine.path(&format!("proc/{pid}/ns/net"))).unwrap();
    }
    fs::remove_file(machine.path("proc/30/net/dev")).unwrap();
    fs::hard_link(machine.path("proc/1/net/dev"), machine.path("proc/30/net/dev")).unwrap();
    let (mut processes, mut networks) = (Processes::new(&machine.paths()), PodNetworks::new());
    let mut read = |pod| networks.read(pod, table.cgroups(), &mut processes, &mut buffer).unwrap();
    let read: Vec<PodNetwork> = table.iter().map(&mut read).collect();
    assert_eq!((received(&read[0]), &read[2]), (Some(10), &PodNetwork::Host));
}

#[test]
fn upper_directories() {
    for shares_namespace in [true, false] {
        let (machine, table, mut buffer) = machine_with_processes(shares_namespace);
        let mountinfo =
            "9 8 0:90 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/c/42/fs,workdir=/w\n";
        machine.write("proc/11/mountinfo", mountinfo);
        let mut processes = Processes::new(&machine.paths());
        let pod = table.iter().next().unwrap();
        let mut ask = |index: usize| {
            let container = &pod.containers[index];
            let process = processes.of(table.cgroups(), container, &mut buffer).unwrap();
            (process.pid(), upper_directory(&process, &mut buffer))
        };
        let (pid, path) = ask(1);
        assert_eq!((pid, path.unwrap().as_deref()), (11, Some(Path::new("/var/lib/c/42/fs"))));
        let (pid, path) = ask(0);
        assert!(pid == 10 && path.unwrap_err().is_absent());
    }
}

const MEMORY_STAT: &str =
    "anon 200\nfile 100\nkernel 50\nfile_mapped 30\ninactive_file 40\npgfault 5\npgmajfault 6\n";

/// 110 pods of three containers, one of them the sandbox: what a kubelet runs at most by default.
#[test]
fn a_collection_costs_few_system_calls() {
    let machine = Machine::v2();
    machine.process(1, "/", "host");
    machine.write("proc/self/status", "NSpid:\t77\n");
    let group = |path: &str| {
        let file = |name: &str| format!("cgroup/{path}/{name}");
        machine
            .write(&file("cpu.stat"), "usage_usec 12\nuser_usec 7\nsystem_usec 5\n")
            .write(&file("memory.current"), "900\n")
            .write(&file("memory.peak"), "1900\n")
            .write(&file("memory.swap.current"), "0\n")
            .write(&file("memory.stat"), MEMORY_STAT)
            .write(&file("cgroup.procs"), "");
    };
    for pod in 0..110_usize {
        let path = format!("kubepods/burstable/pod{pod}");
        group(&path);
        for container in 0..3 {
            let path = format!("{path}/{}", id(pod * 3 + container));
            group(&path);
            let pid = u32::try_from(100 + pod).unwrap();
            if container == 0 {
                machine.process(pid, &format!("/{path}"), &format!("pod{pod}"));
                machine.write(&format!("cgroup/{path}/cgroup.procs"), &format!("{pid}\n"));
            }
        }
    }
    let (mut table, mut buffer) = (machine.pods(), Buffer::with_kept_limit(5000));
    let (mut processes, mut networks) = (Processes::new(&machine.paths()), PodNetworks::new());
    let mut collect = |buffer: &mut Buffer| {
        let before = buffer.system_calls();
        refresh(&mut table, buffer);
        for pod in table.iter_mut() {
            pod.group.cpu(buffer).unwrap();
            pod.group.memory_with(Swap::Absent, buffer).unwrap();
            for container in pod.containers.iter_mut().skip(1) {
                container.group.cpu(buffer).unwrap();
                container.group.memory_with(Swap::Absent, buffer).unwrap();
            }
        }
        processes.begin();
        for pod in table.iter() {
            let network = networks.read(pod, table.cgroups(), &mut processes, buffer).unwrap();
            assert!(received(&network).is_some());
        }
        buffer.system_calls() - before
    };
    collect(&mut buffer);
    // One for the table, four per group of interest, one per pod's network.
    assert_eq!(collect(&mut buffer), 1 + 4 * (110 + 220) + 110);
    assert_eq!(buffer.kept_descriptors(), 4 * (110 + 220) + 110);

    // With few descriptors it is the same but for the cost.
    let mut few = Buffer::with_kept_limit(0);
    let mut groups = machine.pods();
    refresh(&mut groups, &mut few);
    let pod = groups.iter_mut().next().unwrap();
    pod.group.memory_with(Swap::Absent, &mut few).unwrap();
    let before = few.system_calls();
    let memory = pod.group.memory_with(Swap::Absent, &mut few).unwrap();
    assert_eq!((memory.usage, few.system_calls() - before, few.kept_descriptors()), (Some(900), 9, 0));
}

#[test]
fn groups_that_have_gone() {
    let machine = Machine::v2();
    let pod = "cgroup/kubepods/poda";
    let stat = |usec: u64| format!("usage_usec {usec}\nuser_usec {usec}\nsystem_usec 0\nnr_throttled 3\n");
    machine.write(&format!("{pod}/cpu.stat"), &stat(100));
    machine.write(&format!("{pod}/memory.events"), "max 4\noom 1\noom_kill 1\n");
    machine.write(&format!("{pod}/pids.current"), "17\n");
    for (number, usec) in [(1, 10), (2, 60)] {
        machine.write(&format!("{pod}/{}/cpu.stat", id(number)), &stat(usec));
    }
    let (mut table, mut buffer) = (machine.pods(), Buffer::new());
    refresh(&mut table, &mut buffer);
    let mut read = |table: &mut PodTable| {
        let pod = table.iter_mut().next().unwrap();
        let (whole, throttling) = pod.group.cpu_and_throttling(&mut buffer).unwrap();
        assert_eq!(throttling.throttled_periods, Some(3));
        let events = pod.group.memory_events(&mut buffer).unwrap();
        assert_eq!((events.max, events.oom_kill), (Some(4), Some(1)));
        assert_eq!(pod.group.pids(&mut buffer).unwrap(), 17);
        let living = pod.containers.iter_mut().filter_map(|container| container.group.cpu(&mut buffer).ok());
        whole.without(living.collect::<Vec<_>>()).total
    };
    assert_eq!(read(&mut table), Some(30_000));
    machine.remove(&format!("{pod}/{}", id(2)));
    refresh(&mut table, &mut Buffer::new());
    assert_eq!(read(&mut table), Some(90_000));
}
