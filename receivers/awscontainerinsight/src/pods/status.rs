//! How pods and containers are.

use k8s::row::{Container, ContainerKind, ContainerState, Phase, Pod};

use crate::record::{Field, Record, field};

/// Reasons of waiting that upstream counts, and as what.
const WAITING: [(Field, &[&str]); 5] = [
    (field::WAITING_CRASH_LOOP, &["CrashLoopBackOff"]),
    (field::WAITING_IMAGE, &["ErrImagePull", "ImagePullBackOff", "InvalidImageName"]),
    (field::WAITING_START, &["StartError"]),
    (field::WAITING_CREATE, &["CreateContainerError"]),
    (field::WAITING_CONFIG, &["CreateContainerConfigError"]),
];

/// Part of the reason of a container that was killed for its use of memory.
const OUT_OF_MEMORY: &str = "OOMKilled";

/// `status.containerStatuses`.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.containers.iter().filter(|container| container.kind == ContainerKind::Regular)
}

/// How often the pod's containers were restarted.
pub(super) fn restarts(pod: &Pod) -> u64 {
    containers(pod).map(|container| u64::from(container.restarts)).sum()
}

/// The attribute `container_status`.
pub(super) fn text(state: ContainerState) -> &'static str {
    match state {
        ContainerState::Running => "Running",
        ContainerState::Waiting => "Waiting",
        ContainerState::Terminated => "Terminated",
    }
}

/// Why the container waits or has ended.
pub(super) fn reason(container: &Container) -> Option<&str> {
    container.detail.as_ref()?.reason.as_deref()
}

/// Why the run before this one ended.
pub(super) fn last_termination_reason(container: &Container) -> Option<&str> {
    container.detail.as_ref()?.last_termination_reason.as_deref()
}

/// Why a container of the pod has ended; the last one's reason counts.
pub(super) fn terminated_reason(pod: &Pod) -> Option<&str> {
    containers(pod)
        .filter(|container| container.state == ContainerState::Terminated)
        .filter_map(reason)
        .last()
}

/// Adds the fields about the pod's phase and conditions.
pub(super) fn write_phase(record: &mut Record<'_>, pod: &Pod) {
    let mut flag = |field, holds: bool| record.int(field, Some(u64::from(holds)));
    flag(field::STATUS_PENDING, pod.phase == Phase::Pending);
    flag(field::STATUS_RUNNING, pod.phase == Phase::Running);
    flag(field::STATUS_SUCCEEDED, pod.phase == Phase::Succeeded);
    flag(field::STATUS_FAILED, pod.phase == Phase::Failed);
    flag(field::STATUS_READY, pod.conditions.ready);
    flag(field::STATUS_SCHEDULED, pod.conditions.scheduled);
    flag(field::STATUS_UNKNOWN, pod.conditions.unknown);
}

/// Adds the fields about the pod's state that upstream has in its enhanced mode.
pub(super) fn write(record: &mut Record<'_>, pod: &Pod) {
    write_phase(record, pod);
    let count = |which: &dyn Fn(&Container) -> bool| {
        Some(containers(pod).filter(|container| which(container)).count() as u64)
    };
    let states = [
        (field::CONTAINERS_RUNNING, ContainerState::Running),
        (field::CONTAINERS_WAITING, ContainerState::Waiting),
        (field::CONTAINERS_TERMINATED, ContainerState::Terminated),
    ];
    for (field, state) in states {
        record.int(field, count(&|container| container.state == state));
    }
    for (field, reasons) in WAITING {
        let waits = |container: &Container| {
            container.state == ContainerState::Waiting
                && reason(container).is_some_and(|reason| reasons.contains(&reason))
        };
        record.int(field, count(&waits).filter(|count| *count > 0));
    }
    let was_killed = |container: &Container| {
        last_termination_reason(container).is_some_and(|reason| reason.contains(OUT_OF_MEMORY))
    };
    record.int(field::TERMINATED_OOM, count(&was_killed).filter(|count| *count > 0));
}
