//! Reads the machine and has its records made.

use std::sync::Arc;

use node::{DeviceNumber, Filesystem, Host, HostPaths, MountView};

use super::filesystems::FilesystemSizes;
use super::records::{Extra, HostRecords, Sample, Types};
use crate::collector::Moment;
use crate::ec2::Persistent;
use crate::health::Health;
use crate::identity::Identity;
use crate::record::Records;
use crate::surroundings::Orchestrator;

/// The machine as a source of records.
#[derive(Debug)]
pub(crate) struct HostSource {
    host: Host,
    sizes: FilesystemSizes,
    mounted: Arc<[Filesystem]>,
    sample: Sample,
    records: HostRecords,
}

impl HostSource {
    /// The machine below `paths`. `enhanced` adds the fields of upstream's enhanced mode.
    pub(crate) fn new(paths: HostPaths, orchestrator: Orchestrator, enhanced: bool) -> Self {
        let types = match orchestrator {
            Orchestrator::Ecs => Types::INSTANCE,
            Orchestrator::Eks | Orchestrator::None => Types::NODE,
        };
        Self {
            host: Host::new(paths, MountView::Collector),
            sizes: FilesystemSizes::default(),
            mounted: Arc::default(),
            sample: Sample::default(),
            records: HostRecords::new(types, enhanced),
        }
    }

    /// Reads what does not change: cores and memory. At the start, before the first collection.
    pub(crate) fn open(&mut self, health: &mut Health) {
        let machine = self.host.machine();
        self.sample.machine = health.check("machine", machine).unwrap_or_default();
    }

    /// From now on filesystems are said to have these sizes.
    #[cfg(test)]
    pub(crate) fn set_sizes(&mut self, ask: fn(&Filesystem) -> Result<node::FilesystemUsage, node::Error>) {
        self.sizes.ask = ask;
    }

    /// The reader, for saying what it found.
    pub(crate) fn reader(&self) -> &Host {
        &self.host
    }

    /// Cores and memory, as far as they are known.
    pub(crate) fn machine(&self) -> node::Machine {
        self.sample.machine
    }

    /// The reader, for reading what else the machine has.
    pub(crate) fn reader_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    /// The device that records of a filesystem name, if it was mounted at the last collection.
    pub(crate) fn device(&self, number: DeviceNumber) -> Option<&Arc<str>> {
        self.mounted.iter().find(|mounted| mounted.number == number).map(|mounted| &mounted.device)
    }

    /// Adds the machine's records as of now. A source that cannot be read leaves out its fields or records only.
    pub(crate) async fn collect(
        &mut self,
        at: Moment,
        extra: Extra<'_>,
        identity: &Identity,
        health: &mut Health,
        records: &mut Records,
    ) {
        self.read(health).await;
        self.records.write(at, &self.sample, extra, identity, records);
    }

    async fn read(&mut self, health: &mut Health) {
        let Self { host, sizes, mounted, sample, .. } = self;
        let machine = host.machine_since(sample.machine);
        sample.machine = health.check("machine", machine).unwrap_or(sample.machine);
        sample.cpu = health.check("cpu", host.cpu());
        sample.memory = health.check("memory", host.memory());
        sample.interfaces = health.check("network", host.network());
        sample.disks = health.check("disk I/O", host.disk_io());
        sample.filesystems.clear();
        if let Some(filesystems) = health.check("filesystems", host.filesystems()) {
            sizes.read(&filesystems, health, &mut sample.filesystems).await;
            if !Arc::ptr_eq(mounted, &filesystems) {
                let persistent = filesystems.iter().filter_map(|mounted| {
                    Some((Arc::clone(&mounted.device), Persistent::at(&mounted.mount_point)?))
                });
                sample.persistent = persistent.collect();
            }
            *mounted = filesystems;
        }
    }
}
