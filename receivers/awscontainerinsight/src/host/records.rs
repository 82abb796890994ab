//! What the kernel's figures are as records. No reading happens here.

use std::sync::Arc;

use node::{CpuUsage, DeviceNumber, DiskIo, FilesystemUsage, Interface, IoCounts, Machine, MemoryStats};

use crate::cluster::Cluster;
use crate::collector::Moment;
use crate::ec2::Persistent;
use crate::ecs::Reserved;
use crate::figures::{
    PER_SECOND, counters, millicores, sum, traffic, write_cpu, write_memory, write_network,
};
use crate::identity::Identity;
use crate::pods::Totals;
use crate::rate::{Counters, Scan};
use crate::record::{Field, RecordType, Records, field, percent};

/// Everything one look at the machine found. What could not be read is absent.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) machine: Machine,
    pub(crate) cpu: Option<CpuUsage>,
    pub(crate) memory: Option<MemoryStats>,
    pub(crate) interfaces: Option<Vec<Interface>>,
    pub(crate) disks: Option<Vec<DiskIo>>,
    pub(crate) filesystems: Vec<(Arc<str>, FilesystemUsage)>,
    /// Devices that are mounted as volumes of Kubernetes.
    pub(crate) persistent: Vec<(Arc<str>, Persistent)>,
}

impl Sample {
    fn persistent(&self, device: &str) -> Option<&Persistent> {
        let found = self.persistent.iter().find(|(known, _)| **known == *device);
        found.map(|(_, persistent)| persistent)
    }
}

/// What Kubernetes or ECS knows of the machine.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extra<'a> {
    /// Of the machine's pods, where they are known.
    pub(crate) totals: Option<Totals>,
    pub(crate) cluster: Option<&'a Cluster>,
    /// With ECS, of the machine's tasks.
    pub(crate) reserved: Option<Reserved>,
}

/// The four types of records that a machine has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Types {
    pub(crate) machine: RecordType,
    pub(crate) filesystem: RecordType,
    pub(crate) disk: RecordType,
    pub(crate) network: RecordType,
}

/// Makes records, and keeps the counters that rates need.
#[derive(Debug)]
pub(crate) struct HostRecords {
    types: Types,
    /// Whether to add what upstream only has in its enhanced mode.
    enhanced: bool,
    counters: Counters<6>,
    interfaces: Scan<Box<str>, 8>,
    disks: Scan<DeviceNumber, 10>,
    network: Vec<[Option<f64>; 8]>,
}

/// The I/O counters of a device, in the order of [`io_values`].
const DISK_IO: [Field; 10] = [
    field::DISKIO_BYTES_ASYNC,
    field::DISKIO_BYTES_READ,
    field::DISKIO_BYTES_SYNC,
    field::DISKIO_BYTES_WRITE,
    field::DISKIO_BYTES_TOTAL,
    field::DISKIO_SERVICED_ASYNC,
    field::DISKIO_SERVICED_READ,
    field::DISKIO_SERVICED_SYNC,
    field::DISKIO_SERVICED_WRITE,
    field::DISKIO_SERVICED_TOTAL,
];

impl Types {
    /// With Kubernetes, or without an orchestrator.
    pub(crate) const NODE: Self = Self {
        machine: RecordType::Node,
        filesystem: RecordType::NodeFs,
        disk: RecordType::NodeDiskIo,
        network: RecordType::NodeNet,
    };
    /// With ECS.
    pub(crate) const INSTANCE: Self = Self {
        machine: RecordType::Instance,
        filesystem: RecordType::InstanceFs,
        disk: RecordType::InstanceDiskIo,
        network: RecordType::InstanceNet,
    };
}

impl HostRecords {
    /// Nothing is known yet: the first records have no rates.
    pub(crate) fn new(types: Types, enhanced: bool) -> Self {
        Self {
            types,
            enhanced,
            counters: Counters::default(),
            interfaces: Scan::default(),
            disks: Scan::default(),
            network: Vec::new(),
        }
    }

    /// Adds the records of a sample.
    pub(crate) fn write(
        &mut self,
        at: Moment,
        sample: &Sample,
        extra: Extra<'_>,
        identity: &Identity,
        records: &mut Records,
    ) {
        self.advance_interfaces(at, sample);
        self.write_machine(at, sample, extra, identity, records);
        self.write_filesystems(at, sample, identity, records);
        self.write_disks(at, sample, identity, records);
        self.write_interfaces(at, sample, identity, records);
    }

    fn write_machine(
        &mut self,
        at: Moment,
        sample: &Sample,
        extra: Extra<'_>,
        identity: &Identity,
        records: &mut Records,
    ) {
        let mut record = records.record(self.types.machine, at.unix_nano);
        identity.describe(&mut record);
        let machine = sample.machine;
        let rates = self.counters.advance(at.monotonic, counters(sample.cpu, sample.memory.as_ref()));
        let millicores_used = sample.cpu.and_then(|_| write_cpu(&mut record, rates, machine));
        record.int(field::CPU_LIMIT, millicores(machine));
        let memory = sample.memory.as_ref();
        let working_set =
            memory.and_then(|memory| write_memory(&mut record, memory, rates, machine, self.enhanced));
        record.int(field::MEMORY_LIMIT, machine.memory);
        write_network(&mut record, &sum(&self.network));
        if let Some(totals) = extra.totals {
            totals.write(&mut record, machine, millicores_used.is_some(), working_set.is_some());
        }
        if let Some(reserved) = extra.reserved {
            reserved.write(&mut record, machine);
        }
        if let Some(cluster) = extra.cluster {
            cluster.describe_node(identity.node_name(), &mut record);
        }
    }

    fn write_filesystems(&self, at: Moment, sample: &Sample, identity: &Identity, records: &mut Records) {
        for (device, usage) in &sample.filesystems {
            let mut record = records.record(self.types.filesystem, at.unix_nano);
            identity.describe(&mut record);
            identity.describe_volume(&mut record, device, sample.persistent(device));
            // The class of filesystem, in upstream's words: everything that is asked for its size in the usual way.
            record.attribute("fstype", "vfs");
            record.int(field::FILESYSTEM_USAGE, Some(usage.usage));
            record.int(field::FILESYSTEM_CAPACITY, Some(usage.capacity));
            record.int(field::FILESYSTEM_AVAILABLE, Some(usage.available));
            record.double(
                field::FILESYSTEM_UTILIZATION,
                percent(Some(usage.usage as f64), Some(usage.capacity)),
            );
            record.int(field::FILESYSTEM_INODES, Some(usage.inodes));
            record.int(field::FILESYSTEM_INODES_FREE, Some(usage.inodes_free));
        }
    }

    fn write_disks(&mut self, at: Moment, sample: &Sample, identity: &Identity, records: &mut Records) {
        let Some(disks) = &sample.disks else { return };
        for disk in disks {
            let rates = self.disks.advance(&disk.io.number, |number| *number, at.monotonic, io_values(disk));
            if rates.iter().all(Option::is_none) {
                continue;
            }
            let mut record = records.record(self.types.disk, at.unix_nano);
            identity.describe(&mut record);
            identity.describe_volume(&mut record, &disk.device, sample.persistent(&disk.device));
            for (field, rate) in DISK_IO.into_iter().zip(rates) {
                record.double(field, rate.map(|rate| rate * PER_SECOND));
            }
        }
        self.disks.end();
    }

    fn advance_interfaces(&mut self, at: Moment, sample: &Sample) {
        self.network.clear();
        let Some(interfaces) = &sample.interfaces else { return };
        for interface in interfaces {
            let rates = self.interfaces.advance(
                interface.name.as_ref(),
                |name| name.into(),
                at.monotonic,
                traffic(interface),
            );
            self.network.push(rates.map(|rate| rate.map(|rate| rate * PER_SECOND)));
        }
        self.interfaces.end();
    }

    /// An interface without rates, as all are at first, makes no record: it would have no metric.
    fn write_interfaces(&self, at: Moment, sample: &Sample, identity: &Identity, records: &mut Records) {
        let names = sample.interfaces.iter().flatten().map(|interface| &interface.name);
        for (name, rates) in names.zip(&self.network) {
            if rates.iter().all(Option::is_none) {
                continue;
            }
            let mut record = records.record(self.types.network, at.unix_nano);
            identity.describe(&mut record);
            record.attribute("interface", name);
            write_network(&mut record, rates);
        }
    }
}

fn io_values(disk: &DiskIo) -> [Option<u64>; 10] {
    let IoCounts { read, write, sync, async_, total } = disk.io.bytes;
    let ops = disk.io.ops;
    [async_, read, sync, write, total, ops.async_, ops.read, ops.sync, ops.write, ops.total]
}
