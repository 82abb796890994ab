//! Who a control group belongs to, told by its name: pods and containers of Kubernetes, tasks of Amazon ECS.

use crate::text::{lines, split_once};

/// Length of a container's identifier with every runtime.
const ID: usize = 64;

/// More than any pod's uid: a UUID, or for a static pod a hash in 32 hexadecimal digits.
const UID: usize = 128;

/// A pod's quality of service, by which the kubelet arranges the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Every container's limits equal its requests.
    Guaranteed,
    /// Some container has a request or a limit.
    Burstable,
    /// None has.
    BestEffort,
}

/// What made a container's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// containerd: `cri-containerd-<id>.scope`.
    Containerd,
    /// CRI-O: `crio-<id>.scope`, or `crio-<id>` without systemd.
    Crio,
    /// Docker: `docker-<id>.scope`.
    Docker,
    /// Another, or one of the above that uses the bare identifier, as containerd and Docker do without systemd.
    Unnamed,
}

/// A group's name, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// `burstable`, `kubepods-besteffort.slice`.
    Qos(Qos),
    /// A pod's.
    Pod {
        /// Its uid, with dashes.
        uid: Box<str>,
        /// Told by systemd's names alone.
        qos: Option<Qos>,
    },
    /// A task of ECS.
    Task(Box<str>),
}

/// Understands the name of a group directly below `kubepods` or one of its quality-of-service groups.
pub(crate) fn below_kubepods(name: &str) -> Option<Name> {
    match name {
        "burstable" => return Some(Name::Qos(Qos::Burstable)),
        "besteffort" => return Some(Name::Qos(Qos::BestEffort)),
        _ => {}
    }
    if let Some(uid) = name.strip_prefix("pod") {
        return is_uid(uid).then(|| Name::Pod { uid: uid.into(), qos: None });
    }
    // systemd spells out a slice's parents, separated by dashes; a dash within becomes an underscore.
    let slice = name.strip_suffix(".slice")?;
    if let Some((parents, uid)) = slice.rsplit_once("-pod") {
        let uid = uid.replace('_', "-");
        return is_uid(&uid).then(|| Name::Pod { uid: uid.into(), qos: Some(qos_of_slice(parents)) });
    }
    match qos_of_slice(slice) {
        Qos::Guaranteed => None,
        qos => Some(Name::Qos(qos)),
    }
}

/// A container's group that lies outside of its pod's: pod, and its quality of service.
///
/// With a kubelet that arranges groups through systemd and a runtime that does not, the runtime takes the kubelet's
/// `slice:prefix:id` for a path, and makes one group of that name in its own.
pub(crate) fn stray(name: &str) -> Option<(Box<str>, Option<Qos>)> {
    let (slice, _) = name.split_once(':')?;
    parse_container_name(name)?;
    match below_kubepods(slice)? {
        Name::Pod { uid, qos } => Some((uid, qos)),
        Name::Qos(_) | Name::Task(_) => None,
    }
}

/// Understands the name of a group below `/ecs`, `/ecs/<cluster>` or `/ecstasks.slice`: a task's, in 32 hexadecimal
/// digits or, older, a UUID.
pub(crate) fn ecs_task(name: &str) -> Option<Name> {
    let slice = name.strip_prefix("ecstasks-").and_then(|rest| rest.strip_suffix(".slice"));
    let task = slice.unwrap_or(name);
    let digits = task.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = task.bytes().filter(|byte| *byte == b'-').count();
    let is_task = digits == 32 && digits + dashes == task.len() && matches!(dashes, 0 | 4);
    is_task.then(|| Name::Task(task.into()))
}

/// The runtime and identifier in the name of a container's group. The groups of CRI-O's monitors (`crio-conmon-…`), of
/// mounts, and those that a container makes inside its own, are not containers.
#[must_use]
pub fn parse_container_name(name: &str) -> Option<(Runtime, &str)> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    // `slice:prefix:id` is what a runtime without systemd makes of systemd's notation.
    let (maker, id) = match name.rsplit_once([':', '-']) {
        Some((maker, id)) => (Some(maker.rsplit(':').next().unwrap_or(maker)), id),
        None => (None, name),
    };
    let is_id = id.len() == ID && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    if !is_id {
        return None;
    }
    match maker {
        Some("cri-containerd") => Some((Runtime::Containerd, id)),
        Some("crio") => Some((Runtime::Crio, id)),
        Some("docker") => Some((Runtime::Docker, id)),
        Some(maker) if maker.ends_with("conmon") => None,
        _ => Some((Runtime::Unnamed, id)),
    }
}

/// The container that a process belongs to, out of `/proc/<pid>/cgroup` (cgroups(7)): lines of
/// `hierarchy:controllers:path`, where the container's group may have further groups below it. A process in the reader's
/// own group, or above it, does not show its container's identifier in the reader's cgroup namespace.
#[must_use]
pub fn parse_proc_cgroup(bytes: &[u8]) -> Option<&str> {
    lines(bytes).find_map(|line| {
        let (_, path) = split_once(split_once(line, b':')?.1, b':')?;
        let path = std::str::from_utf8(path).ok()?;
        path.rsplit('/').find_map(|segment| parse_container_name(segment).map(|(_, id)| id))
    })
}

fn is_uid(uid: &str) -> bool {
    (1..=UID).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn qos_of_slice(slice: &str) -> Qos {
    if slice.ends_with("kubepods-burstable") {
        Qos::Burstable
    } else if slice.ends_with("kubepods-besteffort") {
        Qos::BestEffort
    } else {
        Qos::Guaranteed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn pods() {
        fn check(name: &str, expected: Option<Name>) {
            assert_eq!(below_kubepods(name), expected, "{name}");
        }
        let pod = |uid: &str, qos| Some(Name::Pod { uid: uid.into(), qos });
        let uid = "6b7f5a0e-1c2d-4e3f-8a9b-0c1d2e3f4a5b";
        check("burstable", Some(Name::Qos(Qos::Burstable)));
        check("besteffort", Some(Name::Qos(Qos::BestEffort)));
        check("kubepods-burstable.slice", Some(Name::Qos(Qos::Burstable)));
        check("kubelet-kubepods-besteffort.slice", Some(Name::Qos(Qos::BestEffort)));
        check(&format!("pod{uid}"), pod(uid, None));
        // A static pod's.
        check("pod7e2b1f0a9c8d4e5f6a7b8c9d0e1f2a3b", pod("7e2b1f0a9c8d4e5f6a7b8c9d0e1f2a3b", None));
        let slice = |parents: &str| format!("{parents}-pod{}.slice", uid.replace('-', "_"));
        check(&slice("kubepods"), pod(uid, Some(Qos::Guaranteed)));
        check(&slice("kubepods-burstable"), pod(uid, Some(Qos::Burstable)));
        check(&slice("kubelet-kubepods-besteffort"), pod(uid, Some(Qos::BestEffort)));
        for name in
            ["pod", "pods.slice", "pod..", "kubepods.slice", "kubepods-pod.slice", "init.scope", "", ID]
        {
            check(name, None);
        }
        check(&format!("pod{}", "a".repeat(UID + 1)), None);
    }

    #[test]
    fn tasks() {
        fn check(name: &str, expected: Option<&str>) {
            assert_eq!(ecs_task(name), expected.map(|task| Name::Task(task.into())), "{name}");
        }
        let task = "0f9de17a6465404e8b1b2356dc13c2f8";
        let older = "6b7f5a0e-1c2d-4e3f-8a9b-0c1d2e3f4a5b";
        check(task, Some(task));
        check(older, Some(older));
        check(&format!("ecstasks-{task}.slice"), Some(task));
        check("default", None);
        check(&format!("ecstasks-{task}"), None);
        check(ID, None);
    }

    #[test]
    fn containers() {
        fn check(name: &str, expected: Option<Runtime>) {
            assert_eq!(parse_container_name(name), expected.map(|runtime| (runtime, ID)), "{name}");
        }
        check(ID, Some(Runtime::Unnamed));
        check(&format!("cri-containerd-{ID}.scope"), Some(Runtime::Containerd));
        check(&format!("crio-{ID}.scope"), Some(Runtime::Crio));
        check(&format!("crio-{ID}"), Some(Runtime::Crio));
        check(&format!("docker-{ID}.scope"), Some(Runtime::Docker));
        check(&format!("libpod-{ID}.scope"), Some(Runtime::Unnamed));
        check(&format!("kubepods-burstable-pod1_2.slice:cri-containerd:{ID}"), Some(Runtime::Containerd));
        check(&format!("kubepods-pod1_2.slice:crio:{ID}"), Some(Runtime::Crio));
        check(&format!("kubepods-pod1_2.slice:docker:{ID}"), Some(Runtime::Docker));
        check(&format!("kubepods-pod1_2.slice:crio-conmon:{ID}"), None);
        check(&format!("kubepods-pod1_2.slice:cri-containerd:{ID}0"), None);
        check(&format!("crio-conmon-{ID}.scope"), None);
        check(&format!("crio-conmon-{ID}"), None);
        check(&format!("{ID}.mount"), None);
        check(&format!("{ID}0"), None);
        check(&ID[1..], None);
        check(&ID.to_uppercase(), None);
        check("", None);
        check("container", None);
    }

    #[test]
    fn strays() {
        fn check(name: &str, expected: Option<(&str, Option<Qos>)>) {
            assert_eq!(stray(name), expected.map(|(uid, qos)| (uid.into(), qos)), "{name}");
        }
        let burstable = Some(("1-2", Some(Qos::Burstable)));
        check(&format!("kubepods-burstable-pod1_2.slice:cri-containerd:{ID}"), burstable);
        check(&format!("kubepods-pod1_2.slice:crio:{ID}"), Some(("1-2", Some(Qos::Guaranteed))));
        check(
            &format!("kubepods-pod1_2.slice:cri-containerd-{ID}.scope"),
            Some(("1-2", Some(Qos::Guaranteed))),
        );
        check(&format!("kubepods-burstable.slice:cri-containerd:{ID}"), None);
        check(&format!("system.slice:docker:{ID}"), None);
        check(&format!("cri-containerd-{ID}.scope"), None);
        check("kubepods-pod1_2.slice:cri-containerd:1", None);
        check(":", None);
    }

    #[test]
    fn processes() {
        fn check(input: &str, expected: Option<&str>) {
            assert_eq!(parse_proc_cgroup(input.as_bytes()), expected, "{input:?}");
        }
        let scope = format!("kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope");
        check(&format!("0::/{scope}\n"), Some(ID));
        check(&format!("0::/../../{scope}/container\n"), Some(ID));
        let stray = format!("kubepods-pod1.slice:cri-containerd:{ID}");
        check(&format!("0::/system.slice/containerd.service/{stray}\n"), Some(ID));
        check(&format!("9:name=systemd:/\n4:memory:/kubepods/pod1/{ID}\n0::/\n"), Some(ID));
        check(&format!("0::/system.slice/crio-conmon-{ID}.scope\n"), None);
        check(&format!("0::/{scope}"), None);
        check("0::/\n", None);
        check(":\n\n0:\n", None);
        check("", None);
    }
}
