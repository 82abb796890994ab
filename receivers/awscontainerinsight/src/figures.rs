//! Fields that records of several types share: CPU time, memory, traffic.

use node::{CpuUsage, Interface, Machine, MemoryStats, Traffic};

use crate::record::{Field, Record, field, percent};

/// Counter increase per nanosecond, in CPU time: millicores.
const MILLICORES: f64 = 1000.0;

/// Counter increase per nanosecond, in anything else: per second.
pub(crate) const PER_SECOND: f64 = 1e9;

/// The traffic counters of an interface, in the order of [`traffic`]; bytes come first in each direction.
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

/// The machine's CPUs in millicores.
pub(crate) fn millicores(machine: Machine) -> Option<u64> {
    machine.cores.map(|cores| u64::from(cores) * 1000)
}

/// Counters of a control group: CPU time in all, user, system; page faults in all, major, both added up.
pub(crate) fn counters(cpu: Option<CpuUsage>, memory: Option<&MemoryStats>) -> [Option<u64>; 6] {
    let CpuUsage { total, user, system } = cpu.unwrap_or_default();
    let (minor, major) = memory.map(|memory| (memory.pgfault, memory.pgmajfault)).unwrap_or_default();
    let both = minor.zip(major).and_then(|(minor, major)| minor.checked_add(major));
    [total, user, system, minor, major, both]
}

/// Adds the fields about CPU time. The rates are those of [`counters`]; gives millicores in use.
pub(crate) fn write_cpu(record: &mut Record<'_>, rates: [Option<f64>; 6], machine: Machine) -> Option<f64> {
    let [total, user, system, ..] = rates.map(|rate| rate.map(|rate| rate * MILLICORES));
    record.double(field::CPU_USAGE_TOTAL, total);
    record.double(field::CPU_USAGE_USER, user);
    record.double(field::CPU_USAGE_SYSTEM, system);
    record.double(field::CPU_UTILIZATION, percent(total, millicores(machine)));
    total
}

/// Adds the fields about memory. The rates are those of [`counters`]; gives the working set in bytes. `enhanced` adds
/// what upstream only has in its enhanced mode.
pub(crate) fn write_memory(
    record: &mut Record<'_>,
    memory: &MemoryStats,
    rates: [Option<f64>; 6],
    machine: Machine,
    enhanced: bool,
) -> Option<u64> {
    record.int(field::MEMORY_USAGE, memory.usage);
    record.int(field::MEMORY_CACHE, memory.cache);
    record.int(field::MEMORY_RSS, memory.rss);
    record.int(field::MEMORY_MAX_USAGE, memory.max_usage);
    record.int(field::MEMORY_SWAP, memory.swap);
    record.int(field::MEMORY_FAILCNT, memory.failcnt);
    record.int(field::MEMORY_MAPPED_FILE, memory.mapped_file);
    let working_set = memory.working_set();
    record.int(field::MEMORY_WORKING_SET, working_set);
    let [.., pgfault, pgmajfault, both] = rates.map(|rate| rate.map(|rate| rate * PER_SECOND));
    record.double(field::MEMORY_PGFAULT, pgfault);
    record.double(field::MEMORY_PGMAJFAULT, pgmajfault);
    // The kernel has one counter; upstream reports it under both names.
    record.double(field::MEMORY_HIERARCHICAL_PGFAULT, pgfault);
    record.double(field::MEMORY_HIERARCHICAL_PGMAJFAULT, pgmajfault);
    record.double(field::MEMORY_FAILURES_TOTAL, both.filter(|_| enhanced));
    let bytes = working_set.map(|bytes| bytes as f64);
    record.double(field::MEMORY_UTILIZATION, percent(bytes, machine.memory));
    working_set
}

/// An interface's counters.
pub(crate) fn traffic(interface: &Interface) -> [Option<u64>; 8] {
    let [rx, tx] = [interface.rx, interface.tx]
        .map(|Traffic { bytes, packets, errors, dropped }| [bytes, packets, dropped, errors].map(Some));
    let [a, b, c, d] = rx;
    let [e, f, g, h] = tx;
    [a, b, c, d, e, f, g, h]
}

/// Adds the fields about traffic. The rates are those of [`traffic`], per second.
pub(crate) fn write_network(record: &mut Record<'_>, rates: &[Option<f64>; 8]) {
    for (field, rate) in NETWORK.into_iter().zip(rates) {
        record.double(field, *rate);
    }
    let [rx_bytes, _, _, _, tx_bytes, ..] = rates;
    record.double(field::NETWORK_TOTAL_BYTES, rx_bytes.zip(*tx_bytes).map(|(rx, tx)| rx + tx));
}

/// Of each counter, the sum over the interfaces that have a rate.
pub(crate) fn sum(interfaces: &[[Option<f64>; 8]]) -> [Option<f64>; 8] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_in_all_is_that_of_the_interfaces_with_a_rate() {
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
