//! What limits did to a group: throttled CPU time, memory limits hit, processes killed.

use crate::cpu::CpuUsage;
use crate::text::flat_keyed;

/// How often a CPU limit withheld time from a group's tasks. Counters since the group was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods that passed while a task wanted to run and a limit was set.
    pub periods: Option<u64>,
    /// Those of them in which the limit was reached.
    pub throttled_periods: Option<u64>,
    /// Time withheld in nanoseconds, summed over all CPUs.
    pub throttled_time: Option<u64>,
}

/// What memory limits did to a group. Counters since the group was created; on cgroup v2 with the groups below it, on v1
/// `oom_kill` alone, without them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    /// How often memory was reclaimed although usage was under `memory.low`.
    pub low: Option<u64>,
    /// How often tasks were slowed down and made to reclaim, because usage was over `memory.high`.
    pub high: Option<u64>,
    /// How often usage was about to go over `memory.max`; what comes nearest to v1's `memory.failcnt`.
    pub max: Option<u64>,
    /// How often an allocation was about to fail for that reason.
    pub oom: Option<u64>,
    /// Processes killed by any kind of out-of-memory killer.
    pub oom_kill: Option<u64>,
    /// How often the group was killed as a whole (kernel 5.17).
    pub oom_group_kill: Option<u64>,
}

/// The throttling lines of `cpu.stat`: of cgroup v2, which counts microseconds (`throttled_usec`), or of v1's `cpu`
/// controller, which counts nanoseconds (`throttled_time`). Both in Documentation/scheduler/sched-bwc.rst.
#[must_use]
pub fn parse_throttling(bytes: &[u8]) -> Throttling {
    let mut throttling = Throttling::default();
    for (key, value) in flat_keyed(bytes) {
        match key {
            b"nr_periods" => throttling.periods = Some(value),
            b"nr_throttled" => throttling.throttled_periods = Some(value),
            b"throttled_time" => throttling.throttled_time = Some(value),
            b"throttled_usec" => throttling.throttled_time = value.checked_mul(1000),
            _ => {}
        }
    }
    throttling
}

/// cgroup v2's `memory.events`.
#[must_use]
pub fn parse_memory_events(bytes: &[u8]) -> MemoryEvents {
    let mut events = MemoryEvents::default();
    for (key, value) in flat_keyed(bytes) {
        let field = match key {
            b"low" => &mut events.low,
            b"high" => &mut events.high,
            b"max" => &mut events.max,
            b"oom" => &mut events.oom,
            b"oom_kill" => &mut events.oom_kill,
            b"oom_group_kill" => &mut events.oom_group_kill,
            _ => continue,
        };
        *field = Some(value);
    }
    events
}

/// `oom_kill` of cgroup v1's `memory.oom_control`; its other lines are not counters.
#[must_use]
pub fn parse_oom_control(bytes: &[u8]) -> MemoryEvents {
    let oom_kill = flat_keyed(bytes).find(|(key, _)| *key == b"oom_kill").map(|(_, value)| value);
    MemoryEvents { oom_kill, ..MemoryEvents::default() }
}

impl CpuUsage {
    /// What is left of a group's CPU time when that of its living subgroups is taken away: the time of those that have
    /// ended, which a pod's group goes on counting, and of the group's own processes.
    ///
    /// The parts are read at other moments than the whole, so the result may be off by what ran in between and is not
    /// below 0. Of a value absent in a part the result knows nothing.
    #[must_use]
    pub fn without(self, parts: impl IntoIterator<Item = Self>) -> Self {
        let less = |whole: Option<u64>, part: Option<u64>| Some(whole?.saturating_sub(part?));
        parts.into_iter().fold(self, |rest, part| Self {
            total: less(rest.total, part.total),
            user: less(rest.user, part.user),
            system: less(rest.system, part.system),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling() {
        fn check(input: &str, periods: Option<u64>, throttled: Option<u64>, time: Option<u64>) {
            let expected = Throttling { periods, throttled_periods: throttled, throttled_time: time };
            assert_eq!(parse_throttling(input.as_bytes()), expected, "{input:?}");
        }
        let v2 = "usage_usec 9\nnr_periods 10\nnr_throttled 3\nthrottled_usec 250\nnr_bursts 0\n";
        check(v2, Some(10), Some(3), Some(250_000));
        check("nr_periods 10\nnr_throttled 3\nthrottled_time 250\n", Some(10), Some(3), Some(250));
        check(
            "nr_periods 10\nnr_throttled 3\nthrottled_usec 18446744073709551\n",
            Some(10),
            Some(3),
            Some(18_446_744_073_709_551_000),
        );
        check("nr_periods 10\nthrottled_usec 18446744073709552\nnr_throttled 3", Some(10), None, None);
        check("usage_usec 9\n", None, None, None);
    }

    #[test]
    fn memory_events() {
        fn check(input: &str, expected: MemoryEvents) {
            assert_eq!(parse_memory_events(input.as_bytes()), expected, "{input:?}");
        }
        let all = MemoryEvents {
            low: Some(0),
            high: Some(1),
            max: Some(22),
            oom: Some(3),
            oom_kill: Some(4),
            oom_group_kill: Some(5),
        };
        check("low 0\nhigh 1\nmax 22\noom 3\noom_kill 4\noom_group_kill 5\nsock_throttled 9\n", all);
        check("low 0\nhigh 1\nmax 22\noom 3\noom_kill 4\n", MemoryEvents { oom_group_kill: None, ..all });
        check("max x\noom_kill 18446744073709551616\noom 1", MemoryEvents::default());
    }

    #[test]
    fn oom_control() {
        fn check(input: &str, expected: Option<u64>) {
            assert_eq!(parse_oom_control(input.as_bytes()).oom_kill, expected, "{input:?}");
        }
        check("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", Some(7));
        check("oom_kill_disable 0\nunder_oom 0\n", None);
        check("oom_kill_disable 0\nunder_oom 0\noom_kill 7", None);
    }

    #[test]
    fn time_of_the_gone() {
        fn check(whole: CpuUsage, parts: &[CpuUsage], expected: CpuUsage) {
            assert_eq!(whole.without(parts.iter().copied()), expected);
        }
        let usage = |value| CpuUsage { total: Some(value), user: Some(value), system: Some(value) };
        check(usage(10), &[], usage(10));
        check(usage(10), &[usage(3), usage(4)], usage(3));
        check(usage(10), &[usage(8), usage(4)], usage(0));
        let half_known = CpuUsage { user: None, ..usage(3) };
        check(usage(10), &[half_known], CpuUsage { user: None, ..usage(7) });
    }
}
