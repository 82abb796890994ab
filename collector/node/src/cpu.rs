//! CPU time and the number of CPUs.

use crate::error::ParseError;
use crate::text::{flat_keyed, lines, number, split_once, words};

/// Nanoseconds per tick of `cpuacct.stat` and `/proc/stat`: `USER_HZ` is 100 on every architecture supported here,
/// whatever the kernel's own `HZ`.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// CPU time used since the cgroup was created or the machine started, in nanoseconds, summed over all CPUs. Counters.
///
/// With cgroup v1 `user` and `system` have a resolution of 10 ms and do not add up to `total`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// Time in user and kernel mode.
    pub total: Option<u64>,
    /// Time in user mode.
    pub user: Option<u64>,
    /// Time in kernel mode.
    pub system: Option<u64>,
}

/// `user` and `system` of cgroup v1's `cpuacct.stat`, which counts ticks.
#[must_use]
pub fn parse_cpuacct_stat(bytes: &[u8]) -> CpuUsage {
    let mut usage = CpuUsage::default();
    for (key, ticks) in flat_keyed(bytes) {
        match key {
            b"user" => usage.user = ticks.checked_mul(NANOSECONDS_PER_TICK),
            b"system" => usage.system = ticks.checked_mul(NANOSECONDS_PER_TICK),
            _ => {}
        }
    }
    usage
}

/// cgroup v2's `cpu.stat`, which counts microseconds.
#[must_use]
pub fn parse_cpu_stat(bytes: &[u8]) -> CpuUsage {
    let mut usage = CpuUsage::default();
    for (key, microseconds) in flat_keyed(bytes) {
        match key {
            b"usage_usec" => usage.total = microseconds.checked_mul(1000),
            b"user_usec" => usage.user = microseconds.checked_mul(1000),
            b"system_usec" => usage.system = microseconds.checked_mul(1000),
            _ => {}
        }
    }
    usage
}

/// The `cpu` line of `/proc/stat` (fs/proc/stat.c), added up as the kernel does for the root cgroup's `cpu.stat`
/// (`root_cgroup_cputime` in kernel/cgroup/rstat.c): user = user + nice, system = system + irq + softirq, total = both.
/// Guest time is part of user; steal time is time this machine did not run, so it is not usage.
///
/// # Errors
/// [`ParseError::Missing`] when there is no such line, or [`ParseError::FieldCount`] when it ends before `softirq`.
pub fn parse_proc_stat(bytes: &[u8]) -> Result<CpuUsage, ParseError> {
    for (index, line) in lines(bytes).enumerate() {
        let mut words = words(line);
        if words.next() != Some(b"cpu".as_slice()) {
            continue;
        }
        let ticks: Vec<u64> = words.map_while(number).take(7).collect();
        let &[user, nice, system, _idle, _iowait, irq, softirq] = ticks.as_slice() else {
            return Err(ParseError::FieldCount { line: index + 1, found: ticks.len() + 1, expected: 8 });
        };
        let nanoseconds = |parts: &[u64]| {
            let sum = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part))?;
            sum.checked_mul(NANOSECONDS_PER_TICK)
        };
        return Ok(CpuUsage {
            total: nanoseconds(&[user, nice, system, irq, softirq]),
            user: nanoseconds(&[user, nice]),
            system: nanoseconds(&[system, irq, softirq]),
        });
    }
    Err(ParseError::Missing { what: "the cpu line" })
}

/// The number of CPUs of `/proc/cpuinfo`: its `processor : <number>` lines, which x86, arm64 and riscv alike print per
/// online CPU. None when it has none.
#[must_use]
pub fn parse_cpuinfo(bytes: &[u8]) -> Option<u32> {
    let is_processor = |line: &&[u8]| {
        split_once(line, b':').is_some_and(|(key, value)| {
            key.trim_ascii_end() == b"processor" && number(value.trim_ascii()).is_some()
        })
    };
    u32::try_from(lines(bytes).filter(is_processor).count()).ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(total: Option<u64>, user: Option<u64>, system: Option<u64>) -> CpuUsage {
        CpuUsage { total, user, system }
    }

    #[test]
    fn v1() {
        fn check(input: &str, expected: CpuUsage) {
            assert_eq!(parse_cpuacct_stat(input.as_bytes()), expected, "{input:?}");
        }
        check("user 34641\nsystem 6286\n", usage(None, Some(346_410_000_000), Some(62_860_000_000)));
        check("system 6286\n", usage(None, None, Some(62_860_000_000)));
        // Cut in the middle of a number.
        check("user 34641\nsystem 62", usage(None, Some(346_410_000_000), None));
        // More ticks than nanoseconds fit into 64 bits.
        check("user 18446744073709551615\nsystem 1\n", usage(None, None, Some(10_000_000)));
        check("", CpuUsage::default());
    }

    #[test]
    fn v2() {
        fn check(input: &str, expected: CpuUsage) {
            assert_eq!(parse_cpu_stat(input.as_bytes()), expected, "{input:?}");
        }
        check(
            "usage_usec 405359636\nuser_usec 343139779\nsystem_usec 62219856\nnice_usec 0\nnr_periods 0\n\
             nr_throttled 0\nthrottled_usec 0\n",
            usage(Some(405_359_636_000), Some(343_139_779_000), Some(62_219_856_000)),
        );
        check("usage_usec 1\nuser_usec -1\n", usage(Some(1000), None, None));
        check("usage_usec 18446744073709551\n", usage(Some(18_446_744_073_709_551_000), None, None));
        check("usage_usec 18446744073709552\n", CpuUsage::default());
    }

    #[test]
    fn proc_stat() {
        fn check(input: &str, expected: Result<CpuUsage, &str>) {
            let actual = parse_proc_stat(input.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(actual, expected.map_err(str::to_owned), "{input:?}");
        }
        check(
            "cpu  34317 5 6138 89023 576 7 83 348 11 0\ncpu0 16521 0 2559 45895 96 0 5 151 0 0\nintr 254014 0\n",
            Ok(usage(Some(405_500_000_000), Some(343_220_000_000), Some(62_280_000_000))),
        );
        check("cpu0 1 2 3 4 5 6 7\nbtime 1\n", Err("the cpu line is missing"));
        check("cpu 1 2 3 4 5 6 7", Err("the cpu line is missing"));
        check("btime 1\ncpu 1 2 3 4\n", Err("line 2 has 5 fields instead of 8"));
        check("cpu 1 2 3 x 5 6 7\n", Err("line 1 has 4 fields instead of 8"));
        check("cpu 18446744073709551615 1 0 0 0 0 1\n", Ok(usage(None, None, Some(10_000_000))));
    }

    #[test]
    fn cpuinfo() {
        fn check(input: &str, expected: Option<u32>) {
            assert_eq!(parse_cpuinfo(input.as_bytes()), expected, "{input:?}");
        }
        let x86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8259CL CPU @ \
                   2.50GHz\ncpu MHz\t\t: 3100.282\nphysical id\t: 0\npower management:\n\nprocessor\t: 1\nvendor_id\t: \
                   GenuineIntel\nflags\t\t: fpu vme processor : 2\npower management:\n\n";
        check(x86, Some(2));
        let arm64 = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm\nCPU implementer\t: 0x41\n\n\
                     processor\t: 1\nBogoMIPS\t: 243.75\n\nprocessor\t: 2\nBogoMIPS\t: 243.75\n\n";
        check(arm64, Some(3));
        // 32-bit arm names the model in a line of nearly the same key.
        check("Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\nprocessor\t: 1\n", Some(2));
        check("processor\t: \nprocessors\t: 3\n", None);
        check("", None);
    }
}
