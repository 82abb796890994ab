//! What the kernel says of a pod and its containers at one moment.

use node::{Cgroup, CpuUsage, DeviceNumber, Interface, MemoryStats, SnapshotUsage};

/// A pod's figures. What could not be read is absent.
#[derive(Debug, Default)]
pub(super) struct PodFigures {
    pub(super) group: GroupFigures,
    /// Empty for a pod on the machine's network, which has no traffic of its own.
    pub(super) interfaces: Vec<Interface>,
    pub(super) containers: Vec<ContainerFigures>,
}

/// A container's figures.
#[derive(Debug)]
pub(super) struct ContainerFigures {
    /// Which of the pod's containers it is, in the order of `Pod::containers`.
    pub(super) index: usize,
    pub(super) group: GroupFigures,
    pub(super) files: Option<Files>,
}

/// What a control group has used.
#[derive(Debug, Default)]
pub(super) struct GroupFigures {
    pub(super) path: Box<str>,
    pub(super) cpu: Option<CpuUsage>,
    pub(super) memory: Option<MemoryStats>,
}

/// What a container's own files take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files {
    pub(super) usage: SnapshotUsage,
    /// The filesystem that they are on.
    pub(super) device: Option<DeviceNumber>,
}

/// Failures to read groups in one collection, of which one is told.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<node::Error>);

impl GroupFigures {
    /// Reads a group. One that is gone has no figures, which is nobody's fault.
    pub(super) fn read(
        path: &str,
        group: &mut Cgroup,
        swap: node::Swap,
        buffer: &mut node::Buffer,
        trouble: &mut Trouble,
    ) -> Self {
        let cpu = trouble.note(group.cpu(buffer));
        let memory = trouble.note(group.memory_with(swap, buffer));
        Self { path: path.into(), cpu, memory }
    }

    /// Adds the figures of another group of the same pod, which has a second only if its containers lie outside of its own.
    pub(super) fn add(&mut self, other: Self) {
        if self.path.is_empty() {
            *self = other;
            return;
        }
        self.cpu = sum(self.cpu, other.cpu, |one, other| CpuUsage {
            total: sum(one.total, other.total, u64::saturating_add),
            user: sum(one.user, other.user, u64::saturating_add),
            system: sum(one.system, other.system, u64::saturating_add),
        });
        self.memory = sum(self.memory, other.memory, |one, other| {
            let add =
                |field: fn(&MemoryStats) -> Option<u64>| sum(field(&one), field(&other), u64::saturating_add);
            MemoryStats {
                usage: add(|stats| stats.usage),
                // Peaks of different moments are no peak.
                max_usage: None,
                failcnt: add(|stats| stats.failcnt),
                cache: add(|stats| stats.cache),
                rss: add(|stats| stats.rss),
                mapped_file: add(|stats| stats.mapped_file),
                swap: add(|stats| stats.swap),
                inactive_file: add(|stats| stats.inactive_file),
                pgfault: add(|stats| stats.pgfault),
                pgmajfault: add(|stats| stats.pgmajfault),
                total_pgfault: add(|stats| stats.total_pgfault),
                total_pgmajfault: add(|stats| stats.total_pgmajfault),
            }
        });
    }

    /// What groups in this one may have in swap space, if this one was to be asked: without any of its own, nothing.
    pub(super) fn swap_below(&self, swap: node::Swap) -> node::Swap {
        match self.memory.as_ref().and_then(|memory| memory.swap) {
            Some(0) => node::Swap::Absent,
            _ => swap,
        }
    }
}

/// Both together, or the one there is.
fn sum<T>(one: Option<T>, other: Option<T>, add: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(add(one, other)),
        (one, other) => one.or(other),
    }
}

impl Trouble {
    /// The value, if there is one.
    pub(super) fn note<T>(&mut self, result: Result<T, node::Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if !error.is_absent() {
                    self.0.get_or_insert(error);
                }
                None
            }
        }
    }

    /// The first failure.
    pub(super) fn into_result(self) -> Result<(), node::Error> {
        self.0.map_or(Ok(()), Err)
    }
}
