//! What the kernel's figures are as records. No reading happens here.

use std::sync::Arc;

use node::{
    CpuUsage, DeviceNumber, DiskIo, FilesystemUsage, Interface, IoCounts, Machine, MemoryStats, Traffic,
};

use crate::collector::Moment;
use crate::identity::Identity;
use crate::rate::{Counters, Scan};
use crate::record::{Field, Record, RecordType, Records, field, percent};

/// Counter increase per nanosecond, in CPU time: millicores.
const MILLICORES: f64 = 1000.0;

/// Counter increase per nanosecond, in anything else: per second.
const PER_SECOND: f64 = 1e9;

/// Everything one look at the machine found. What could not be read is absent.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) machine: Machine,
    pub(crate) cpu: Option<CpuUsage>,
    pub(crate) memory: Option<MemoryStats>,
    pub(crate) interfaces: Option<Vec<Interface>>,
    pub(crate) disks: Option<Vec<DiskIo>>,
    pub(crate) filesystems: Vec<(Arc<str>, FilesystemUsage)>,
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
    cpu: Counters<3>,
    faults: Counters<3>,
    interfaces: Scan<Box<str>, 8>,
    disks: Scan<DeviceNumber, 10>,
    network: Vec<[Option<f64>; 8]>,
}

/// The traffic counters of an interface, in the order of [`Scan`]'s values; bytes come first in each direction.
const NETWORK: [Field; 8] = [
    field::NETWORK_RX_BYTES,
    field::NETWORK_RX_PACKETS,
    field::NETWORK_RX_DROPPED,
    field::NETWORK_RX_ERRORS,
    field::NETWORK_TX_BYTES,
    field::NETWORK_TX_PACKETS,
    field::NETWORK_TX_DROPPED,
    field::NETWORK_TX_ERRORS,
];

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
            cpu: Counters::default(),
            faults: Counters::default(),
            interfaces: Scan::default(),
            disks: Scan::default(),
            network: Vec::new(),
        }
    }

    /// Adds the records of a sample.
    pub(crate) fn write(&mut self, at: Moment, sample: &Sample, identity: &Identity, records: &mut Records) {
        self.advance_interfaces(at, sample);
        self.write_machine(at, sample, identity, records);
        self.write_filesystems(at, sample, identity, records);
        self.write_disks(at, sample, identity, records);
        self.write_interfaces(at, sample, identity, records);
    }

    fn write_machine(&mut self, at: Moment, sample: &Sample, identity: &Identity, records: &mut Records) {
        let mut record = records.record(self.types.machine, at.unix_nano);
        identity.describe(&mut record);

        let millicores = sample.machine.cores.map(|cores| u64::from(cores) * 1000);
        if let Some(CpuUsage { total, user, system }) = sample.cpu {
            let [total, user, system] = self
                .cpu
                .advance(at.monotonic, [total, user, system])
                .map(|rate| rate.map(|rate| rate * MILLICORES));
            record.double(field::CPU_USAGE_TOTAL, total);
            record.double(field::CPU_USAGE_USER, user);
            record.double(field::CPU_USAGE_SYSTEM, system);
            record.double(field::CPU_UTILIZATION, percent(total, millicores));
        }
        record.int(field::CPU_LIMIT, millicores);

        if let Some(memory) = &sample.memory {
            record.int(field::MEMORY_USAGE, memory.usage);
            record.int(field::MEMORY_CACHE, memory.cache);
            record.int(field::MEMORY_RSS, memory.rss);
            record.int(field::MEMORY_MAX_USAGE, memory.max_usage);
            record.int(field::MEMORY_SWAP, memory.swap);
            record.int(field::MEMORY_FAILCNT, memory.failcnt);
            record.int(field::MEMORY_MAPPED_FILE, memory.mapped_file);
            let working_set = memory.working_set();
            record.int(field::MEMORY_WORKING_SET, working_set);
            let both =
                memory.pgfault.zip(memory.pgmajfault).and_then(|(minor, major)| minor.checked_add(major));
            let [pgfault, pgmajfault, both] = self
                .faults
                .advance(at.monotonic, [memory.pgfault, memory.pgmajfault, both])
                .map(|rate| rate.map(|rate| rate * PER_SECOND));
            record.double(field::MEMORY_PGFAULT, pgfault);
            record.double(field::MEMORY_PGMAJFAULT, pgmajfault);
            // The kernel has one counter; upstream reports it under both names.
            record.double(field::MEMORY_HIERARCHICAL_PGFAULT, pgfault);
            record.double(field::MEMORY_HIERARCHICAL_PGMAJFAULT, pgmajfault);
            record.double(field::MEMORY_FAILURES_TOTAL, both.filter(|_| self.enhanced));
            let working_set = working_set.map(|bytes| bytes as f64);
            record.double(field::MEMORY_UTILIZATION, percent(working_set, sample.machine.memory));
        }
        record.int(field::MEMORY_LIMIT, sample.machine.memory);

        write_network(&mut record, &sum(&self.network));
    }

    fn write_filesystems(&self, at: Moment, sample: &Sample, identity: &Identity, records: &mut Records) {
        for (device, usage) in &sample.filesystems {
            let mut record = records.record(self.types.filesystem, at.unix_nano);
            identity.describe(&mut record);
            identity.describe_device(&mut record, device);
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
            identity.describe_device(&mut record, &disk.device);
            for (field, rate) in DISK_IO.into_iter().zip(rates) {
                record.double(field, rate.map(|rate| rate * PER_SECOND));
            }
        }
        self.disks.end();
    }

    fn advance_interfaces(&mut self, at: Moment, sample: &Sample) {
        self.network.clear();
        let Some(interfaces) = &sample.interfaces else { return };
        for Interface { name, rx, tx } in interfaces {
            let [rx, tx] = [rx, tx].map(|Traffic { bytes, packets, errors, dropped }| {
                [*bytes, *packets, *dropped, *errors].map(Some)
            });
            let [a, b, c, d] = rx;
            let [e, f, g, h] = tx;
            let rates = self.interfaces.advance(
                name.as_ref(),
                |name| name.into(),
                at.monotonic,
                [a, b, c, d, e, f, g, h],
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

fn write_network(record: &mut Record<'_>, rates: &[Option<f64>; 8]) {
    for (field, rate) in NETWORK.into_iter().zip(rates) {
        record.double(field, *rate);
    }
    let [rx_bytes, _, _, _, tx_bytes, ..] = rates;
    record.double(field::NETWORK_TOTAL_BYTES, rx_bytes.zip(*tx_bytes).map(|(rx, tx)| rx + tx));
}

/// The machine's rates: of each counter, the sum over the interfaces that have one.
fn sum(interfaces: &[[Option<f64>; 8]]) -> [Option<f64>; 8] {
    let mut sums = [None; 8];
    for rates in interfaces {
        for (sum, rate) in sums.iter_mut().zip(rates) {
            *sum = match (*sum, *rate) {
                (Some(sum), Some(rate)) => Some(sum + rate),
                (sum, rate) => sum.or(rate),
            };
        }
    }
    sums
}

fn io_values(disk: &DiskIo) -> [Option<u64>; 10] {
    let IoCounts { read, write, sync, async_, total } = disk.io.bytes;
    let ops = disk.io.ops;
    [async_, read, sync, write, total, ops.async_, ops.read, ops.sync, ops.write, ops.total]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_traffic_is_that_of_the_interfaces_with_a_rate() {
        fn check(interfaces: &[Option<f64>], expected: Option<f64>) {
            let rates: Vec<_> = interfaces.iter().map(|rate| [*rate; 8]).collect();
            assert_eq!(sum(&rates), [expected; 8], "{interfaces:?}");
        }
        check(&[], None);
        check(&[None], None);
        check(&[Some(1.0), Some(2.5)], Some(3.5));
        // A new interface is listed first by some kernels.
        check(&[None, Some(2.5), Some(0.5)], Some(3.0));
    }
}
