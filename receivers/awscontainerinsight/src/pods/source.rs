//! Reads pods and containers and has their records made.

use std::collections::HashSet;
use std::sync::Arc;

use k8s::row::ContainerId;
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

    /// Asks the kubelet for the pods. Before figures are read, so that all of them are of one moment.
    pub(crate) async fn refresh(&mut self, health: &mut Health) {
        let refreshed = self.list.refresh().await;
        health.check("the kubelet's pods", refreshed);
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
            let figures = figures.get_mut(index).and_then(Option::take).unwrap_or_default();
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
            tracing::warn!(error = crate::health::chain(&error), "some control groups are not seen");
        }
        let swap = table.swap(machine_swap, buffer);
        processes.begin();
        if let Some(snapshots) = snapshots {
            snapshots.begin();
        }
        networks.retain(table.iter());
        let (mut groups, mut traffic) = (Trouble::default(), Trouble::default());
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
            let figures = slot.insert(PodFigures {
                group: GroupFigures::read(&group.path, &mut group.group, swap, buffer, &mut groups),
                ..PodFigures::default()
            });
            let swap = figures.group.swap_below(swap);
            for container in &mut group.containers {
                let id = ContainerId::new(&container.id);
                // What the kubelet does not know is the sandbox, which runs nothing.
                let Some(index) = pod.containers.iter().position(|known| known.id == id) else { continue };
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
                        .and_then(|snapshots| snapshots.of(container, cgroups, processes, buffer)),
                });
            }
            if !pod.host_network {
                let network = networks.read(group, cgroups, processes, buffer);
                figures.interfaces = interfaces(traffic.note(network));
            }
        }
        if not_listed > 0 {
            tracing::debug!(pods = not_listed, "the kubelet does not list these control groups' pods");
        }
        if let Some(snapshots) = snapshots {
            let ids: HashSet<&str> = table.iter().flat_map(ids).collect();
            snapshots.end(&ids);
        }
        health.check("control groups of pods", groups.into_result());
        health.check("network of pods", traffic.into_result());
        all
    }
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
