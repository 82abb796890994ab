//! What a group may use: CPU quota and weight, memory, processes.

use std::path::Path;

use crate::file::{Buffer, Shape};
use crate::text::{number, words};

/// From this value on a limit of cgroup v1's memory controller means none: `LONG_MAX` rounded down to whole pages
/// (`PAGE_COUNTER_MAX` in include/linux/page_counter.h), with pages of up to 64 KiB.
const UNLIMITED_V1: u64 = 0x7FFF_FFFF_FFFF_0000;

/// What a group may use. None: no limit, or not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU time per period.
    pub cpu: Option<CpuQuota>,
    /// The group's weight against its siblings on the scale of v1's `cpu.shares`, where 1024 is one CPU in Kubernetes and
    /// ECS. On v2 converted from `cpu.weight`.
    pub cpu_shares: Option<u64>,
    /// Bytes: `memory.limit_in_bytes` or `memory.max`.
    pub memory: Option<u64>,
    /// Bytes below which the group is spared: `memory.soft_limit_in_bytes` or `memory.low`. On v2 0 is none.
    pub memory_soft: Option<u64>,
    /// Tasks: `pids.max`.
    pub pids: Option<u64>,
}

/// CPU time a group may use in each period, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Time that may be used, summed over all CPUs.
    pub quota: u64,
    /// The period's length, not 0.
    pub period: u64,
}

impl CpuQuota {
    /// Thousandths of a CPU, rounded down.
    #[must_use]
    pub fn millicores(&self) -> u64 {
        let millicores = u128::from(self.quota) * 1000 / u128::from(self.period.max(1));
        u64::try_from(millicores).unwrap_or(u64::MAX)
    }

    fn new(quota: u64, period: u64) -> Option<Self> {
        (period > 0).then_some(Self { quota, period })
    }
}

/// cgroup v2's `cpu.max`: `quota period`, where `max` is no quota.
#[must_use]
pub fn parse_cpu_max(bytes: &[u8]) -> Option<CpuQuota> {
    let mut words = words(bytes);
    let quota = number(words.next()?)?;
    CpuQuota::new(quota, number(words.next()?)?)
}

/// cgroup v1's `cpu.shares` for a v2 `cpu.weight`: the inverse, rounded to the nearest, of what container runtimes do,
/// `1 + (shares − 2) × 9999 / 262142` (KEP-2254 of Kubernetes). None outside 1 to 10000.
#[must_use]
pub fn shares_of_weight(weight: u64) -> Option<u64> {
    (1..=10_000).contains(&weight).then(|| 2 + ((weight - 1) * 262_142 + 9999 / 2) / 9999)
}

/// The files of v1's controllers. What cannot be read is not known.
pub(crate) fn read_limits_v1(cpu: &Path, memory: &Path, pids: &Path, buffer: &mut Buffer) -> Limits {
    // A quota of -1 is none, and is not a number here.
    let quota = value(cpu, "cpu.cfs_quota_us", buffer);
    let period = quota.and_then(|_| value(cpu, "cpu.cfs_period_us", buffer));
    let bytes = |limit: Option<u64>| limit.filter(|limit| *limit < UNLIMITED_V1);
    Limits {
        cpu: quota.zip(period).and_then(|(quota, period)| CpuQuota::new(quota, period)),
        cpu_shares: value(cpu, "cpu.shares", buffer),
        memory: bytes(value(memory, "memory.limit_in_bytes", buffer)),
        memory_soft: bytes(value(memory, "memory.soft_limit_in_bytes", buffer)),
        pids: value(pids, "pids.max", buffer),
    }
}

/// The files of a v2 group, where `max` is no limit. What cannot be read is not known.
pub(crate) fn read_limits_v2(directory: &Path, buffer: &mut Buffer) -> Limits {
    Limits {
        cpu: buffer.read_path(&directory.join("cpu.max"), Shape::Attribute).ok().and_then(parse_cpu_max),
        cpu_shares: value(directory, "cpu.weight", buffer).and_then(shares_of_weight),
        memory: value(directory, "memory.max", buffer),
        memory_soft: value(directory, "memory.low", buffer).filter(|low| *low > 0),
        pids: value(directory, "pids.max", buffer),
    }
}

fn value(directory: &Path, name: &str, buffer: &mut Buffer) -> Option<u64> {
    let bytes = buffer.read_path(&directory.join(name), Shape::Attribute).ok()?;
    number(bytes.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_max() {
        fn check(input: &str, expected: Option<(u64, u64)>, millicores: u64) {
            let quota = parse_cpu_max(input.as_bytes());
            assert_eq!(quota.map(|quota| (quota.quota, quota.period)), expected, "{input:?}");
            assert_eq!(quota.map_or(0, |quota| quota.millicores()), millicores, "{input:?}");
        }
        check("max 100000\n", None, 0);
        check("50000 100000\n", Some((50_000, 100_000)), 500);
        check("250000 100000\n", Some((250_000, 100_000)), 2500);
        check("1 3\n", Some((1, 3)), 333);
        check("18446744073709551615 1\n", Some((u64::MAX, 1)), u64::MAX);
        check("1 0\n", None, 0);
        check("-1 100000\n", None, 0);
        check("50000\n", None, 0);
        check("", None, 0);
    }

    #[test]
    fn weights() {
        fn check(weight: u64, expected: Option<u64>) {
            assert_eq!(shares_of_weight(weight), expected, "{weight}");
        }
        check(1, Some(2));
        // What the runtimes make of 102, 1024 and 262144 shares.
        check(4, Some(81));
        check(39, Some(998));
        check(10_000, Some(262_144));
        check(0, None);
        check(10_001, None);
    }

    #[test]
    fn files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut buffer = Buffer::new();
        assert_eq!(read_limits_v1(path, path, path, &mut buffer), Limits::default());
        assert_eq!(read_limits_v2(path, &mut buffer), Limits::default());
        let write = |files: &[(&str, &str)]| {
            for (name, content) in files {
                std::fs::write(path.join(name), content).unwrap();
            }
        };
        write(&[
            ("cpu.cfs_quota_us", "-1\n"),
            ("cpu.cfs_period_us", "100000\n"),
            ("cpu.shares", "1024\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.soft_limit_in_bytes", "9223372036854710272\n"),
            ("pids.max", "max\n"),
        ]);
        let v1 = Limits { cpu_shares: Some(1024), ..Limits::default() };
        assert_eq!(read_limits_v1(path, path, path, &mut buffer), v1);
        write(&[("cpu.cfs_quota_us", "20000\n"), ("memory.limit_in_bytes", "4096\n"), ("pids.max", "9\n")]);
        let cpu = Some(CpuQuota { quota: 20_000, period: 100_000 });
        let v1 = Limits { cpu, memory: Some(4096), pids: Some(9), ..v1 };
        assert_eq!(read_limits_v1(path, path, path, &mut buffer), v1);
        write(&[
            ("cpu.max", "20000 100000\n"),
            ("cpu.weight", "39\n"),
            ("memory.max", "max\n"),
            ("memory.low", "0\n"),
        ]);
        let v2 = Limits { cpu, cpu_shares: Some(998), pids: Some(9), ..Limits::default() };
        assert_eq!(read_limits_v2(path, &mut buffer), v2);
    }
}
