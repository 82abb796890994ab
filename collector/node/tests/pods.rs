//! Pods and containers found in trees of files laid out as kernels, kubelets and runtimes do.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod machine;

use std::fs;
use std::os::unix::fs::symlink;

use machine::{HASH, Machine, TASK, UID, id, refresh, slice};
use node::{Buffer, Cgroups, PodTable, Qos, Runtime};

/// Each pod's uid and quality of service, and its containers' runtimes and last digits.
type Found = (String, Option<Qos>, Vec<(Runtime, String)>);
type Expected<'a> = (&'a str, Option<Qos>, &'a [(Runtime, &'a str)]);

fn found(table: &PodTable) -> Vec<Found> {
    let mut pods: Vec<Found> = table
        .iter()
        .map(|pod| {
            let containers = pod.containers.iter();
            let containers =
                containers.map(|container| (container.runtime, container.id[60..].to_owned())).collect();
            (pod.uid.to_string(), pod.qos, containers)
        })
        .collect();
    pods.sort_by(|one, other| one.0.cmp(&other.0));
    pods
}

#[test]
fn layouts() {
    fn check(groups: &[String], expected: &[Expected<'_>]) {
        let expected: Vec<Found> = expected
            .iter()
            .map(|(uid, qos, containers)| {
                let containers = containers.iter().map(|(runtime, id)| (*runtime, (*id).to_owned()));
                ((*uid).to_owned(), *qos, containers.collect())
            })
            .collect();
        for (machine, hierarchy) in [(Machine::v2(), "cgroup"), (Machine::v1(), "cgroup/memory")] {
            for group in groups {
                machine.directory(&format!("{hierarchy}/{group}"));
            }
            let mut table = machine.pods();
            assert_eq!(refresh(&mut table, &mut Buffer::new()), !expected.is_empty());
            assert_eq!(found(&table), expected, "{groups:?}");
            for pod in table.iter() {
                assert!(machine.path(&format!("{hierarchy}{}", pod.path)).is_dir());
                for container in &pod.containers {
                    assert_eq!(*container.path, format!("{}/{}", pod.path, container.name()));
                }
            }
        }
    }
    let burstable = Some(Qos::Burstable);
    // The cgroupfs driver.
    check(
        &[
            format!("kubepods/burstable/pod{UID}/{}", id(1)),
            format!("kubepods/burstable/pod{UID}/crio-{}", id(2)),
            format!("kubepods/burstable/pod{UID}/crio-conmon-{}", id(2)),
            format!("kubepods/besteffort/pod{HASH}"),
            format!("kubepods/podguaranteed/{}/nested/{}", id(3), id(4)),
            "system.slice/ssh.service".to_owned(),
        ],
        &[
            (UID, burstable, &[(Runtime::Unnamed, "0001"), (Runtime::Crio, "0002")]),
            (HASH, Some(Qos::BestEffort), &[]),
            ("guaranteed", Some(Qos::Guaranteed), &[(Runtime::Unnamed, "0003")]),
        ],
    );
    // systemd.
    let pod = format!("kubepods.slice/kubepods-burstable.slice/{}", slice("kubepods-burstable", UID));
    check(
        &[
            format!("{pod}/cri-containerd-{}.scope/container", id(1)),
            format!("{pod}/docker-{}.scope", id(2)),
            format!("{pod}/crio-conmon-{}.scope", id(2)),
            format!("{pod}/var-lib-x.mount"),
            format!("kubepods.slice/{}/crio-{}.scope", slice("kubepods", HASH), id(3)),
        ],
        &[
            (UID, burstable, &[(Runtime::Containerd, "0001"), (Runtime::Docker, "0002")]),
            (HASH, Some(Qos::Guaranteed), &[(Runtime::Crio, "0003")]),
        ],
    );
    // kind, k3s in a container, and a group root of one's own.
    let nested = "kubelet-kubepods-besteffort";
    for root in ["kubelet.slice", "docker/abc/kubelet.slice", "my/own"] {
        check(
            &[format!("{root}/kubelet-kubepods.slice/{nested}.slice/{}/{}", slice(nested, UID), id(1))],
            &[(UID, Some(Qos::BestEffort), &[(Runtime::Unnamed, "0001")])],
        );
    }
    // Amazon ECS.
    for task in [
        format!("ecs/{TASK}"),
        format!("ecs/cluster/{TASK}"),
        format!("ecstasks.slice/ecstasks-{TASK}.slice"),
    ] {
        check(&[format!("{task}/{}", id(1))], &[(TASK, None, &[(Runtime::Unnamed, "0001")])]);
    }
    check(&["init.scope".to_owned(), "user.slice/user-0.slice".to_owned()], &[]);
}

/// A kubelet that arranges groups through systemd, with a runtime that does not.
#[test]
fn containers_outside_of_their_pods() {
    let stray = |qos: &str, number| {
        format!("kubepods{qos}-pod{}.slice:cri-containerd:{}", UID.replace('-', "_"), id(number))
    };
    for (machine, hierarchy) in [(Machine::v2(), "cgroup"), (Machine::v1(), "cgroup/memory")] {
        let pod = format!("kubepods.slice/kubepods-burstable.slice/{}", slice("kubepods-burstable", UID));
        machine.directory(&format!("{hierarchy}/{pod}"));
        let runtime = format!("{hierarchy}/system.slice/containerd.service");
        machine.directory(&format!("{runtime}/{}", stray("-burstable", 1)));
        machine.directory(&format!("{runtime}/{}/nested", stray("-burstable", 2)));
        machine.directory(&format!("{runtime}/helper"));
        let (mut table, mut buffer) = (machine.pods(), Buffer::new());
        assert!(refresh(&mut table, &mut buffer));
        let burstable = Some(Qos::Burstable);
        let of = |ids: &[&str]| -> Found {
            let ids = ids.iter().map(|id| (Runtime::Containerd, (*id).to_owned()));
            (UID.to_owned(), burstable, ids.collect())
        };
        assert_eq!(found(&table), [of(&[]), of(&["0001"]), of(&["0002"])]);
        for group in table.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)))
        {
            assert_eq!(group.0.path, group.1.path, "a group of its own");
        }
        // They come and go like others.
        machine.remove(&format!("{runtime}/{}", stray("-burstable", 1)));
        machine.directory(&format!("{runtime}/{}", stray("", 3)));
        assert!(refresh(&mut table, &mut buffer));
        assert_eq!(found(&table).len(), 3);
        let before = buffer.system_calls();
        assert!(!refresh(&mut table, &mut buffer));
        assert_eq!(buffer.system_calls() - before, 1);
        for _ in 0..20 {
            refresh(&mut table, &mut buffer);
        }
        assert_eq!(
            found(&table),
            [of(&[]), of(&["0002"]), (UID.to_owned(), Some(Qos::Guaranteed), of(&["0003"]).2)]
        );
        machine.remove(&runtime);
        assert!(refresh(&mut table, &mut buffer));
        assert_eq!(found(&table), [of(&[])]);
    }
}

#[test]
fn pods_come_and_go() {
    let machine = Machine::v2();
    let mut table = machine.pods();
    let mut buffer = Buffer::new();
    assert!(!refresh(&mut table, &mut buffer));
    assert!(table.is_empty());

    // The kubelet starts.
    let pod = "cgroup/kubepods/burstable/poda";
    machine.write(&format!("{pod}/cpu.stat"), "usage_usec 7\n").directory(&format!("{pod}/{}", id(1)));
    assert!(refresh(&mut table, &mut buffer));
    assert_eq!(table.len(), 1);
    assert_eq!(table.iter_mut().next().unwrap().group.cpu(&mut buffer).unwrap().total, Some(7000));
    let cost = |table: &mut PodTable, buffer: &mut Buffer| {
        let before = buffer.system_calls();
        let changed = refresh(table, buffer);
        (changed, buffer.system_calls() - before)
    };
    assert_eq!(cost(&mut table, &mut buffer), (false, 1));

    // A container in place of another, and a pod in a group that is new.
    machine.remove(&format!("{pod}/{}", id(1))).directory(&format!("{pod}/{}", id(2)));
    machine.directory(&format!("cgroup/kubepods/besteffort/podb/{}", id(3)));
    assert!(refresh(&mut table, &mut buffer));
    let ids = |table: &PodTable| -> Vec<String> {
        table.iter().flat_map(|pod| &pod.containers).map(|container| container.id[63..].to_owned()).collect()
    };
    assert_eq!(ids(&table), ["3", "2"]);

    // The reader of the pod that stayed is the one from before.
    let kept = buffer.kept_descriptors();
    let before = buffer.system_calls();
    table.iter_mut().last().unwrap().group.cpu(&mut buffer).unwrap();
    assert_eq!((buffer.system_calls() - before, buffer.kept_descriptors()), (1, kept));

    // A pod made anew under its name between two refreshes.
    machine.remove(pod).directory(&format!("{pod}/{}", id(4)));
    assert!(refresh(&mut table, &mut buffer));
    assert_eq!(ids(&table), ["3", "4"]);
    machine.directory(&format!("{pod}/{}", id(5)));
    assert!(refresh(&mut table, &mut buffer));
    assert_eq!(ids(&table), ["3", "4", "5"]);

    machine.remove("cgroup/kubepods/besteffort");
    assert!(refresh(&mut table, &mut buffer));
    assert_eq!(ids(&table), ["4", "5"]);
    machine.remove("cgroup/kubepods");
    assert!(refresh(&mut table, &mut buffer));
    assert!(table.is_empty());
    assert_eq!(buffer.kept_descriptors(), 0);

    // The other driver.
    machine.directory(&format!("cgroup/kubepods.slice/{}", slice("kubepods", UID)));
    assert!(refresh(&mut table, &mut buffer));
    assert_eq!(found(&table), [(UID.to_owned(), Some(Qos::Guaranteed), vec![])]);
}

#[test]
fn what_nobody_expects() {
    use std::os::unix::ffi::OsStrExt;
    let machine = Machine::v2();
    machine.directory(&format!("cgroup/kubepods/podgood/{}", id(1)));
    machine.write("cgroup/kubepods/podfile", "not a directory");
    machine.directory("cgroup/kubepods/pod").directory("cgroup/kubepods/pod..");
    for name in [b"pod\xff".as_slice(), b"burstable\xfe", &[0xff; 255]] {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::create_dir(machine.path("cgroup/kubepods").join(name)).unwrap();
        fs::create_dir(machine.path("cgroup/kubepods/podgood").join(name)).unwrap();
    }
    symlink(machine.path("cgroup/kubepods"), machine.path("cgroup/kubepods/podlink")).unwrap();
    let mut table = machine.pods();
    refresh(&mut table, &mut Buffer::new());
    let expected = ("good".to_owned(), Some(Qos::Guaranteed), vec![(Runtime::Unnamed, "0001".to_owned())]);
    assert_eq!(found(&table), [expected]);
}

#[test]
fn the_machines_own_groups_are_preferred() {
    fn check(directories: &[&str], expected: &str) {
        let machine = Machine::bare();
        for path in directories {
            machine.write(path, "");
        }
        let found = Cgroups::find(&machine.paths()).unwrap();
        assert_eq!(found.mount(), machine.path(expected), "{directories:?}");
    }
    let own = ["cgroup/cgroup.controllers", "cgroup/cgroup.type"];
    let host = "rootfs/sys/fs/cgroup/cgroup.controllers";
    check(&["cgroup/cgroup.controllers", host], "cgroup");
    check(&own, "cgroup");
    check(&[own[0], own[1], host], "rootfs/sys/fs/cgroup");
    // A node that is itself a container.
    let node = "rootfs/sys/fs/cgroup/cgroup.type";
    check(&[own[0], own[1], host, node], "cgroup");
    let kubelet = "rootfs/sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/cgroup.procs";
    check(&[own[0], own[1], host, node, kubelet], "rootfs/sys/fs/cgroup");
    // cgroup v1, and where Amazon Linux had it.
    let v1 = "cgroup/memory/notify_on_release";
    check(&[v1, host], "rootfs/sys/fs/cgroup");
    check(&[v1, "cgroup/memory/release_agent", host], "cgroup");
    check(&["rootfs/cgroup/memory/release_agent"], "rootfs/cgroup");
}
