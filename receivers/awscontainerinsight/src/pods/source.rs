//! Reads pods and containers and has their records made.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s::Services;
use k8s::row::{ContainerId, Phase, Pod};
use node::{Cgroups, Host, HostPaths, Machine, PodCgroup, PodNetwork, PodNetworks, PodTable, Processes};

use super::figures::{ContainerFigures, GroupFigures, PodFigures, Trouble};
use super::list::{Listed, PodList};
use super::records::{Context, PodRecords};
use super::snapshots::Snapshots;
use super::{Options, Totals};
use crate::cluster::Cluster;
use crate::collector::Moment;
use crate::health::Health;
use crate::host::HostSource;
use crate::identity::Identity;
use crate::record::Records;

/// The pods of this machine as a source of records.
pub(crate) struct PodsSource {
    list: PodList,
    cluster: Cluster,
    /// None without control groups: then pods have what the kubelet says only.
    kernel: Option<Kernel>,
    /// The list of the collection before, for what has changed since.
    before: Option<Arc<Listed>>,
    records: PodRecords,
}

/// What the kernel knows of pods.
struct Kernel {
    table: PodTable,
    cgroups: Cgroups,
    processes: Processes,
    networks: PodNetworks,
    /// None if the user does without.
    snapshots: Option<Snapshots>,
}

impl PodsSource {
    /// The pods of `list`, on the machine below `paths` with these control groups.
    pub(crate) fn new(
        list: PodList,
        cluster: Cluster,
        paths: &HostPaths,
        cgroups: Option<&Cgroups>,
        options: Options,
    ) -> Self {
        let kernel = cgroups.map(|cgroups| Kernel {
            table: PodTable::new(cgroups.clone()),
            cgroups: cgroups.clone(),
            processes: Processes::new(paths),
            networks: PodNetworks::new(),
            snapshots: options.files.then(|| Snapshots::new(paths.root.clone())),
        });
        Self { list, cluster, kernel, before: None, records: PodRecords::new(options) }
    }

    /// Asks the kubelet for the pods. Before figures are read, so that all of them are of one moment. `services` are those of
    /// the whole cluster, where this collector leads.
    pub(crate) async fn refresh(&mut self, services: Option<&Arc<Services>>, health: &mut Health) {
        let refreshed = self.list.refresh().await;
        health.check("the kubelet's pods", refreshed);
        if let Some(listed) = self.list.latest() {
            self.cluster.follow(&listed.pods, services);
        }
        self.cluster.settle().await;
    }

    /// What the pods take together, if they are known.
    pub(crate) fn totals(&self, machine: Machine) -> Option<Totals> {
        self.list.latest().map(|listed| Totals::of(&listed.pods, machine))
    }

    /// The objects of the API server that records need.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Adds the records of all pods and containers as of now.
    pub(crate) fn collect(
        &mut self,
        at: Moment,
        host: &mut HostSource,
        identity: &Identity,
        health: &mut Health,
        records: &mut Records,
    ) {
        let Some(listed) = self.list.latest().map(Arc::clone) else {
            // Nobody looks which pods end, so nothing of theirs may be held.
            if let Some(kernel) = &mut self.kernel {
                kernel.networks = PodNetworks::new();
            }
            return;
        };
        // A list that is not newer tells nothing about restarts since.
        let before = self.before.replace(Arc::clone(&listed)).filter(|before| !Arc::ptr_eq(before, &listed));
        let machine = host.machine();
        let mut figures = match &mut self.kernel {
            Some(kernel) => kernel.read(&listed, host.reader_mut(), health),
            None => Vec::new(),
        };
        let services = self.cluster.services(&listed.pods);
        for (index, pod) in listed.pods.iter().enumerate() {
            let figures = figures.get_mut(index).and_then(Option::take);
            if figures.is_none() && has_had_its_last_record(pod, before.as_deref()) {
                continue;
            }
            let figures = figures.unwrap_or_default();
            let context = Context {
                at,
                machine,
                identity,
                host,
                service: services.get(index).and_then(Option::as_deref),
                before: before.as_deref(),
            };
            self.records.write(pod, &figures, &context, records);
        }
        self.records.end();
    }
}

impl Kernel {
    /// The figures of the pods, in the order of the list; none for those without a group.
    fn read(&mut self, listed: &Listed, host: &mut Host, health: &mut Health) -> Vec<Option<PodFigures>> {
        let machine_swap = host.swap();
        let buffer = host.buffer();
        let Self { table, cgroups, processes, networks, snapshots } = self;
        for error in table.refresh(buffer).errors {
            tracing::warn!(error = component::causes(&error), "some control groups are not seen");
        }
        let swap = table.swap(machine_swap, buffer);
        processes.begin();
        if let Some(snapshots) = snapshots {
            snapshots.begin();
        }
        networks.retain(table.iter());
        let (mut groups, mut traffic) = (Trouble::default(), Trouble::default());
        let mut sight = Sight::default();
        let mut all: Vec<Option<PodFigures>> = Vec::new();
        all.resize_with(listed.pods.len(), || None);
        let mut not_listed = 0_usize;
        for group in table.iter_mut() {
            let known = listed.index(&group.uid).and_then(|index| {
                let pod = listed.pods.get(index)?;
                Some((pod, all.get_mut(index)?))
            });
            let Some((pod, slot)) = known else {
                not_listed += 1;
                continue;
            };
            let own = GroupFigures::read(&group.path, &mut group.group, swap, buffer, &mut groups);
            let swap = own.swap_below(swap);
            let figures = slot.get_or_insert_default();
            figures.group.add(own);
            for container in &mut group.containers {
                let id = ContainerId::new(&container.id);
                // What the kubelet does not know is the sandbox, which runs nothing.
                let known = pod.containers.iter().enumerate().find(|(_, known)| known.id == id);
                let Some((index, known)) = known else { continue };
                let logs =
                    || node::log_directory(&pod.meta.namespace, &pod.meta.name, &group.uid, &known.name);
                figures.containers.push(ContainerFigures {
                    index,
                    group: GroupFigures::read(
                        &container.path,
                        &mut container.group,
                        swap,
                        buffer,
                        &mut groups,
                    ),
                    files: snapshots
                        .as_mut()
                        .and_then(|snapshots| snapshots.of(container, logs, cgroups, processes, buffer)),
                });
            }
            // Of several groups of a pod one is enough to see its network.
            if !pod.host_network && figures.interfaces.is_empty() {
                let network = networks.read(group, cgroups, processes, buffer);
                let network = traffic.note(network);
                sight.note(pod, group, network.as_ref());
                figures.interfaces = interfaces(network);
            }
        }
        if not_listed > 0 {
            tracing::debug!(pods = not_listed, "the kubelet does not list these control groups' pods");
        }
        if let Some(snapshots) = snapshots {
            let ids: HashSet<&str> = table.iter().flat_map(ids).collect();
            snapshots.end(&ids);
            health.check("files of containers", snapshots.trouble());
        }
        health.check("processes of pods", sight.into_result(processes.proc()));
        health.check("control groups of pods", groups.into_result());
        health.check("network of pods", traffic.into_result());
        all
    }
}

/// Whether processes of pods can be seen at all.
#[derive(Debug, Default)]
struct Sight {
    seen: bool,
    unseen: bool,
}

/// Why pods have neither network nor files.
#[derive(Debug, thiserror::Error)]
enum SightError {
    #[error(
        "no process of any pod is below {}, so pods have no network and containers no files: give the collector's pod \
         `hostPID: true`, or mount the host's /proc and name it by HOST_PROC", .0.display()
    )]
    Blind(PathBuf),
}

impl Sight {
    fn note(&mut self, pod: &Pod, group: &PodCgroup, network: Option<&PodNetwork>) {
        match network {
            Some(PodNetwork::Interfaces(_) | PodNetwork::Host) => self.seen = true,
            // One that starts or ends may have none.
            Some(PodNetwork::NoProcess) if !group.containers.is_empty() && pod.phase == Phase::Running => {
                self.unseen = true;
            }
            Some(PodNetwork::NoProcess) | None => {}
        }
    }

    fn into_result(self, proc: &Path) -> Result<(), SightError> {
        if self.unseen && !self.seen { Err(SightError::Blind(proc.to_owned())) } else { Ok(()) }
    }
}

/// Whether a pod that has ended was told of. As with upstream there are no records of such a pod, whatever the kubelet still
/// knows of it; but how it ended is told once, in the first collection after.
fn has_had_its_last_record(pod: &Pod, before: Option<&Listed>) -> bool {
    let is_news = before.is_some_and(|before| before.get(&pod.meta.uid).is_none_or(|pod| !pod.has_ended()));
    pod.has_ended() && !is_news
}

fn interfaces(network: Option<PodNetwork>) -> Vec<node::Interface> {
    match network {
        Some(PodNetwork::Interfaces(interfaces)) => interfaces,
        Some(PodNetwork::Host | PodNetwork::NoProcess) | None => Vec::new(),
    }
}

fn ids(pod: &PodCgroup) -> impl Iterator<Item = &str> {
    pod.containers.iter().map(|container| &*container.id)
}
