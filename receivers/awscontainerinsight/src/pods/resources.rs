//! Requests and limits. Init containers, sidecars, ephemeral containers and overhead do not count, as upstream has it.

use k8s::row::{ContainerKind, ContainerSpec, ContainerState, Phase, Pod};
use node::Machine;

use crate::figures::millicores;
use crate::record::{Record, field, percent};

/// One of the figures of a container's specification.
type Figure = fn(&ContainerSpec) -> Option<u64>;

/// What the pods of a machine take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// In millicores, of the pods that have not ended.
    pub(crate) cpu_request: u64,
    /// In bytes, of the pods that have not ended.
    pub(crate) memory_request: u64,
    pub(crate) running_pods: u64,
    pub(crate) running_containers: u64,
}

/// What a pod may use of one resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) request: Option<u64>,
    pub(super) limit: Option<u64>,
}

impl Totals {
    /// The totals of `pods`, each of which takes no more than the machine has.
    pub(crate) fn of(pods: &[Pod], machine: Machine) -> Self {
        let mut totals = Self::default();
        for pod in pods {
            if !pod.has_ended() {
                let (cpu, memory) = (Share::cpu(pod, machine), Share::memory(pod, machine));
                totals.cpu_request = totals.cpu_request.saturating_add(cpu.request.unwrap_or(0));
                totals.memory_request = totals.memory_request.saturating_add(memory.request.unwrap_or(0));
            }
            totals.running_pods += u64::from(pod.phase == Phase::Running);
            totals.running_containers += running_containers(pod);
        }
        totals
    }

    /// Adds the fields to the machine's record; those about a resource only where its usage is known.
    pub(crate) fn write(&self, record: &mut Record<'_>, machine: Machine, has_cpu: bool, has_memory: bool) {
        if has_cpu {
            record.int(field::CPU_REQUEST, Some(self.cpu_request));
            let reserved = percent(Some(self.cpu_request as f64), millicores(machine));
            record.double(field::CPU_RESERVED_CAPACITY, reserved);
        }
        if has_memory {
            record.int(field::MEMORY_REQUEST, Some(self.memory_request));
            let reserved = percent(Some(self.memory_request as f64), machine.memory);
            record.double(field::MEMORY_RESERVED_CAPACITY, reserved);
        }
        record.int(field::NUMBER_OF_RUNNING_PODS, Some(self.running_pods));
        record.int(field::NUMBER_OF_RUNNING_CONTAINERS, Some(self.running_containers));
    }
}

impl Share {
    /// CPU in millicores.
    pub(super) fn cpu(pod: &Pod, machine: Machine) -> Self {
        Self::of(pod, millicores(machine), |spec| spec.cpu_request, |spec| spec.cpu_limit)
    }

    /// Memory in bytes.
    pub(super) fn memory(pod: &Pod, machine: Machine) -> Self {
        Self::of(pod, machine.memory, |spec| spec.memory_request, |spec| spec.memory_limit)
    }

    /// The request is that of the containers that have one, the limit only where all have; nothing counts as absent.
    fn of(pod: &Pod, capacity: Option<u64>, request: Figure, limit: Figure) -> Self {
        let regular = || pod.specs.iter().filter(|spec| spec.kind == ContainerKind::Regular);
        let capped = |sum: u64| Some(sum.min(capacity.unwrap_or(u64::MAX))).filter(|sum| *sum > 0);
        let requests = regular().filter_map(request).fold(0, u64::saturating_add);
        let limits = regular().try_fold(0, |sum: u64, spec| Some(sum.saturating_add(limit(spec)?)));
        Self { request: capped(requests), limit: limits.and_then(capped) }
    }
}

/// How many of a pod's containers run.
pub(super) fn running_containers(pod: &Pod) -> u64 {
    let is_running = |container: &&k8s::row::Container| container.state == ContainerState::Running;
    super::status::containers(pod).filter(is_running).count() as u64
}

#[cfg(test)]
mod tests {
    use k8s::row::Row;
    use k8s::{Interner, Projection};

    use super::*;

    fn pod(phase: &str, containers: &str) -> Pod {
        let json = format!(
            r#"{{"metadata":{{"name":"p"}},"spec":{{
                "initContainers":[{{"name":"i","resources":{{"requests":{{"cpu":"9"}}}}}}],
                "containers":[{containers}]}},
                "status":{{"phase":"{phase}","containerStatuses":[
                    {{"name":"a","state":{{"running":{{}}}}}},{{"name":"b","state":{{"waiting":{{}}}}}}],
                    "initContainerStatuses":[{{"name":"i","state":{{"running":{{}}}}}}]}}}}"#
        );
        Pod::from_json(json.as_bytes(), &Projection::all(), &Interner::default()).unwrap().row
    }

    const MACHINE: Machine = Machine { cores: Some(2), memory: Some(1000) };

    #[test]
    fn shares() {
        fn check(containers: &str, request: Option<u64>, limit: Option<u64>) {
            assert_eq!(Share::cpu(&pod("Running", containers), MACHINE), Share { request, limit });
        }
        let container = |request: &str, limit: &str| {
            let figure = |cpu: &str| if cpu.is_empty() { String::new() } else { format!(r#""cpu":"{cpu}""#) };
            let (request, limit) = (figure(request), figure(limit));
            format!(r#"{{"name":"c","resources":{{"requests":{{{request}}},"limits":{{{limit}}}}}}}"#)
        };
        let list = |containers: &[(&str, &str)]| {
            containers.iter().map(|(r, l)| container(r, l)).collect::<Vec<_>>().join(",")
        };
        check("", None, None);
        check(&list(&[("", "")]), None, None);
        check(&list(&[("100m", "500m"), ("0.1", "1")]), Some(200), Some(1500));
        check(&list(&[("100m", "500m"), ("", "")]), Some(100), None);
        check(&list(&[("0", "0")]), None, None);
        check(&list(&[("0", "0"), ("1", "1")]), Some(1000), Some(1000));
        check(&list(&[("3", "4")]), Some(2000), Some(2000));
        check(&list(&[("-1", "-1")]), None, None);
    }

    #[test]
    fn what_has_ended_takes_nothing() {
        let one = r#"{"name":"c","resources":{"requests":{"cpu":"500m","memory":"100"}}}"#;
        let pods = ["Running", "Pending", "Succeeded", "Failed", "Unknown"].map(|phase| pod(phase, one));
        let expected =
            Totals { cpu_request: 1500, memory_request: 300, running_pods: 1, running_containers: 5 };
        assert_eq!(Totals::of(&pods, MACHINE), expected);
        // Each pod is bounded by the machine, their sum is not.
        let large = r#"{"name":"c","resources":{"requests":{"cpu":"5"}}}"#;
        assert_eq!(Totals::of(&[pod("Running", large), pod("Pending", large)], MACHINE).cpu_request, 4000);
    }
}
