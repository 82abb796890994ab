//! What the tasks of a container instance reserve, as their control groups have it.

use aws::ecs::AgentTask;
use node::{Buffer, Cgroups, Limits, Machine, Version};

use crate::record::{Record, field, percent};

/// The shares of a control group that nobody set, at most.
const NO_SHARES: u64 = 2;
/// What a task's status is called while it runs.
const RUNNING: &str = "RUNNING";

/// The tasks of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// How many run.
    pub(crate) running_tasks: u64,
    /// What they reserve, if their control groups can be seen.
    pub(crate) resources: Option<Resources>,
}

/// What tasks reserve together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    /// In units of which a CPU has 1024.
    pub(crate) cpu: u64,
    /// Bytes.
    pub(crate) memory: u64,
}

impl Reserved {
    /// Looks at the control groups of an agent's tasks. `cluster` is the cluster's name, which old agents have in paths.
    pub(crate) fn read(
        tasks: &[AgentTask],
        cluster: &str,
        cgroups: Option<&Cgroups>,
        buffer: &mut Buffer,
    ) -> Self {
        let running_tasks = tasks.iter().filter(|task| task.known_status == RUNNING).count() as u64;
        let (mut found, mut sum) = (0, Resources::default());
        for task in tasks {
            let Some(resources) = cgroups.and_then(|cgroups| task_resources(task, cluster, cgroups, buffer))
            else {
                continue;
            };
            found += 1;
            sum.cpu = sum.cpu.saturating_add(resources.cpu);
            sum.memory = sum.memory.saturating_add(resources.memory);
        }
        // Tasks that run have control groups; where none is seen, nothing is known.
        let resources = (found > 0 || running_tasks == 0).then_some(sum);
        Self { running_tasks, resources }
    }

    /// Adds the fields of the machine's record.
    pub(crate) fn write(&self, record: &mut Record<'_>, machine: Machine) {
        if let Some(Resources { cpu, memory }) = self.resources {
            // 1000 millicores are 1024 units.
            let units = machine.cores.map(|cores| u64::from(cores) * 1024);
            record.double(field::CPU_RESERVED_CAPACITY, percent(Some(cpu as f64), units));
            record.double(field::MEMORY_RESERVED_CAPACITY, percent(Some(memory as f64), machine.memory));
        }
        record.int(field::NUMBER_OF_RUNNING_TASKS, Some(self.running_tasks).filter(|tasks| *tasks > 0));
    }
}

fn task_resources(
    task: &AgentTask,
    cluster: &str,
    cgroups: &Cgroups,
    buffer: &mut Buffer,
) -> Option<Resources> {
    let id = task.id().filter(|id| is_name(id))?;
    let paths = task_paths(id, cluster, cgroups.version());
    // On v1 each controller has a hierarchy of its own, and may have the group at another path.
    let path = |controller| paths.iter().find(|path| cgroups.directory(controller, path).is_dir());
    let (cpu, memory) = (path("cpu"), path("memory"));
    let mut limits = |path: Option<&String>| path.map(|path| cgroups.cgroup(path).limits(buffer));
    let of_cpu = limits(cpu);
    let of_memory = if memory == cpu { of_cpu } else { limits(memory) };
    if of_cpu.is_none() && of_memory.is_none() {
        return None;
    }
    Some(Resources {
        cpu: of_cpu.and_then(|limits| cpu_units(&limits)).unwrap_or_default(),
        memory: of_memory
            .and_then(|limits| limits.memory)
            .or_else(|| memory.map(|path| containers_memory(task, path, cgroups, buffer)))
            .unwrap_or_default(),
    })
}

/// A quota as CPU units, rounded up; else shares, if somebody set them.
fn cpu_units(limits: &Limits) -> Option<u64> {
    let units = match limits.cpu {
        Some(quota) => {
            let units = (u128::from(quota.quota) * 1024).div_ceil(u128::from(quota.period.max(1)));
            u64::try_from(units).unwrap_or(u64::MAX)
        }
        None => limits.cpu_shares?,
    };
    Some(units).filter(|units| *units > NO_SHARES)
}

/// Where a task has no limit of its own: what its containers have, the soft limit first.
fn containers_memory(task: &AgentTask, path: &str, cgroups: &Cgroups, buffer: &mut Buffer) -> u64 {
    let ids = task.docker_ids.iter().filter(|id| is_name(id));
    let memory = ids.filter_map(|id| {
        let paths = match cgroups.version() {
            Version::V1 => vec![format!("{path}/{id}")],
            Version::V2 => vec![format!("{path}/docker-{id}.scope"), format!("{path}/{id}")],
        };
        let path = paths.iter().find(|path| cgroups.directory("memory", path).is_dir())?;
        let limits = cgroups.cgroup(path).limits(buffer);
        limits.memory_soft.or(limits.memory)
    });
    memory.fold(0, u64::saturating_add)
}

/// Where the agent puts a task: the first that is there counts.
fn task_paths(id: &str, cluster: &str, version: Version) -> Vec<String> {
    let mut paths = Vec::new();
    if version == Version::V2 {
        paths.push(format!("ecstasks.slice/ecstasks-{id}.slice"));
        paths.push(format!("ecstasks/{id}"));
    }
    paths.push(format!("ecs/{id}"));
    if is_name(cluster) {
        paths.push(format!("ecs/{cluster}/{id}"));
    }
    paths
}

/// Whether a text that came from outside can only be the name of a directory.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
#[path = "reserved_tests.rs"]
mod tests;
