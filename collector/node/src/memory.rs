//! Memory of a cgroup and of the machine.

use crate::text::{flat_keyed, lines, number, words};

/// Memory of a cgroup or of the machine. Bytes, unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Memory charged: anonymous memory, page cache and, below the root, kernel memory.
    pub usage: Option<u64>,
    /// The largest `usage` so far.
    pub max_usage: Option<u64>,
    /// How often the limit was hit. A counter.
    pub failcnt: Option<u64>,
    /// Page cache, tmpfs included.
    pub cache: Option<u64>,
    /// Anonymous memory.
    pub rss: Option<u64>,
    /// Page cache mapped into processes.
    pub mapped_file: Option<u64>,
    /// Swap used.
    pub swap: Option<u64>,
    /// Page cache that the kernel would reclaim first.
    pub inactive_file: Option<u64>,
    /// Page faults. A counter; on cgroup v1 of the cgroup's own processes, on v2 of those below it too.
    pub pgfault: Option<u64>,
    /// Page faults that had to read from a disk; as `pgfault`.
    pub pgmajfault: Option<u64>,
    /// Page faults of the cgroup's processes and of those below it, on either version. Upstream calls `pgfault`
    /// hierarchical as well.
    pub total_pgfault: Option<u64>,
    /// Page faults that had to read from a disk; as `total_pgfault`.
    pub total_pgmajfault: Option<u64>,
}

/// The lines of `/proc/meminfo` and `/proc/vmstat` the collector has a use for. Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemInfo {
    /// `MemTotal`: memory the kernel manages.
    pub mem_total: Option<u64>,
    /// `SwapTotal`: swap space.
    pub swap_total: Option<u64>,
    /// `SwapFree`: unused swap space.
    pub swap_free: Option<u64>,
    /// `Buffers`: page cache of block devices.
    pub buffers: Option<u64>,
    /// `Cached`: other page cache, without pages that are in swap as well.
    pub cached: Option<u64>,
    /// `SwapCached`: page cache of pages that are in swap as well.
    pub swap_cached: Option<u64>,
    /// `AnonPages`: anonymous memory.
    pub anon_pages: Option<u64>,
    /// `Mapped`: page cache mapped into processes.
    pub mapped: Option<u64>,
    /// `Inactive(file)`: page cache that the kernel would reclaim first.
    pub inactive_file: Option<u64>,
}

impl MemoryStats {
    /// `usage` less `inactive_file`, not below 0: memory that cannot be reclaimed without hurting. Not known where one of
    /// them is not: every kernel has both.
    #[must_use]
    pub fn working_set(&self) -> Option<u64> {
        Some(self.usage?.saturating_sub(self.inactive_file?))
    }

    /// For sources whose fault counters include everything below.
    pub(crate) fn with_total_faults(self) -> Self {
        Self { total_pgfault: self.pgfault, total_pgmajfault: self.pgmajfault, ..self }
    }
}

impl MemInfo {
    /// Swap used.
    #[must_use]
    pub fn swap_used(&self) -> Option<u64> {
        Some(self.swap_total?.saturating_sub(self.swap_free?))
    }

    /// The machine's memory in a cgroup's terms, for kernels without a memory controller.
    ///
    /// The root cgroup's usage is `NR_ANON_MAPPED + NR_FILE_PAGES` (mm/memcontrol.c); `/proc/meminfo` prints the first
    /// as `AnonPages` and the second, in three parts, as `Cached`, `SwapCached` and `Buffers` (fs/proc/meminfo.c).
    #[must_use]
    pub fn as_memory_stats(&self) -> MemoryStats {
        let cache = || self.cached?.checked_add(self.swap_cached.unwrap_or(0))?.checked_add(self.buffers?);
        let cache = cache();
        MemoryStats {
            usage: cache.zip(self.anon_pages).and_then(|(cache, anon)| cache.checked_add(anon)),
            cache,
            rss: self.anon_pages,
            mapped_file: self.mapped,
            swap: self.swap_used(),
            inactive_file: self.inactive_file,
            ..MemoryStats::default()
        }
    }
}

/// cgroup v1's `memory.stat`: everything of [`MemoryStats`] but `usage`, `max_usage` and `failcnt`.
///
/// `hierarchical` is the content of `memory.use_hierarchy`: whether the figures are to include the cgroups below. The
/// fault counters never do. A kernel that does not account swap prints no such line; its swap is 0.
#[must_use]
pub fn parse_memory_stat_v1(bytes: &[u8], hierarchical: bool) -> MemoryStats {
    let mut stats = MemoryStats::default();
    for (key, value) in flat_keyed(bytes) {
        let field = match (key, hierarchical) {
            (b"total_cache", true) | (b"cache", false) => &mut stats.cache,
            (b"total_rss", true) | (b"rss", false) => &mut stats.rss,
            (b"total_mapped_file", true) | (b"mapped_file", false) => &mut stats.mapped_file,
            (b"total_swap", true) | (b"swap", false) => &mut stats.swap,
            (b"total_inactive_file", _) => &mut stats.inactive_file,
            (b"pgfault", _) => &mut stats.pgfault,
            (b"pgmajfault", _) => &mut stats.pgmajfault,
            (b"total_pgfault", _) => &mut stats.total_pgfault,
            (b"total_pgmajfault", _) => &mut stats.total_pgmajfault,
            _ => continue,
        };
        *field = Some(value);
    }
    // `total_inactive_file` comes after every swap line, so its presence says that none was cut off.
    if stats.inactive_file.is_some() {
        stats.swap = stats.swap.or(Some(0));
    }
    stats
}

/// cgroup v2's `memory.stat`: everything of [`MemoryStats`] but `usage`, `max_usage`, `failcnt` and `swap`.
#[must_use]
pub fn parse_memory_stat_v2(bytes: &[u8]) -> MemoryStats {
    let mut stats = MemoryStats::default();
    for (key, value) in flat_keyed(bytes) {
        let field = match key {
            b"file" => &mut stats.cache,
            b"anon" => &mut stats.rss,
            b"file_mapped" => &mut stats.mapped_file,
            b"inactive_file" => &mut stats.inactive_file,
            b"pgfault" => &mut stats.pgfault,
            b"pgmajfault" => &mut stats.pgmajfault,
            _ => continue,
        };
        *field = Some(value);
    }
    stats.with_total_faults()
}

/// `/proc/meminfo`, whose lines read `MemTotal:       24684084 kB`.
#[must_use]
pub fn parse_meminfo(bytes: &[u8]) -> MemInfo {
    let mut info = MemInfo::default();
    for line in lines(bytes) {
        let mut words = words(line);
        let field = match words.next() {
            Some(b"MemTotal:") => &mut info.mem_total,
            Some(b"SwapTotal:") => &mut info.swap_total,
            Some(b"SwapFree:") => &mut info.swap_free,
            Some(b"Buffers:") => &mut info.buffers,
            Some(b"Cached:") => &mut info.cached,
            Some(b"SwapCached:") => &mut info.swap_cached,
            Some(b"AnonPages:") => &mut info.anon_pages,
            Some(b"Mapped:") => &mut info.mapped,
            Some(b"Inactive(file):") => &mut info.inactive_file,
            _ => continue,
        };
        let value = words.next().and_then(number);
        if words.next() == Some(b"kB".as_slice()) {
            *field = value.and_then(|value| value.checked_mul(1024));
        }
    }
    info
}

/// `pgfault` and `pgmajfault` of `/proc/vmstat`: the machine's fault counters.
#[must_use]
pub fn parse_vmstat(bytes: &[u8]) -> (Option<u64>, Option<u64>) {
    let (mut faults, mut major_faults) = (None, None);
    for (key, value) in flat_keyed(bytes) {
        match key {
            b"pgfault" => faults = Some(value),
            b"pgmajfault" => major_faults = Some(value),
            _ => {}
        }
    }
    (faults, major_faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "cache 9969664\nrss 5566464\nrss_huge 0\nshmem 9084928\nmapped_file 7561216\ndirty 28672\nswap 4096\n\
        pgpgin 33051\npgfault 34367\npgmajfault 12\ninactive_anon 0\ninactive_file 8192\nactive_file 884736\n\
        hierarchical_memory_limit 9223372036854771712\ntotal_cache 1169403904\ntotal_rss 287862784\n\
        total_mapped_file 161071104\ntotal_swap 12288\ntotal_pgfault 7779964\ntotal_pgmajfault 1130\n\
        total_inactive_file 655093760\ntotal_active_file 505225216\n";

    const V2: &str = "anon 287862784\nfile 1169403904\nkernel 163840000\nkernel_stack 1605632\npagetables 3481600\n\
        sock 4096\nshmem 9084928\nfile_mapped 161071104\nfile_dirty 61640704\nswapcached 0\ninactive_anon 282222592\n\
        active_anon 1568768\ninactive_file 655093760\nactive_file 505225216\nslab 160071680\npgfault 16347104\n\
        pgmajfault 1550\n";

    #[test]
    fn v1() {
        fn check(input: &str, hierarchical: bool, expected: MemoryStats) {
            assert_eq!(parse_memory_stat_v1(input.as_bytes(), hierarchical), expected, "{input:?}");
        }
        let total = MemoryStats {
            cache: Some(1_169_403_904),
            rss: Some(287_862_784),
            mapped_file: Some(161_071_104),
            swap: Some(12_288),
            inactive_file: Some(655_093_760),
            pgfault: Some(34_367),
            pgmajfault: Some(12),
            total_pgfault: Some(7_779_964),
            total_pgmajfault: Some(1130),
            ..MemoryStats::default()
        };
        check(V1, true, total);
        let own = MemoryStats {
            cache: Some(9_969_664),
            rss: Some(5_566_464),
            mapped_file: Some(7_561_216),
            swap: Some(4096),
            ..total
        };
        check(V1, false, own);
        let unaccounted: String = V1
            .lines()
            .filter(|line| !line.contains("swap"))
            .fold(String::new(), |sum, line| sum + line + "\n");
        check(&unaccounted, true, MemoryStats { swap: Some(0), ..total });
        check("", true, MemoryStats::default());
    }

    #[test]
    fn v2() {
        fn check(input: &str, expected: MemoryStats) {
            assert_eq!(parse_memory_stat_v2(input.as_bytes()), expected, "{input:?}");
        }
        let whole = MemoryStats {
            cache: Some(1_169_403_904),
            rss: Some(287_862_784),
            mapped_file: Some(161_071_104),
            inactive_file: Some(655_093_760),
            pgfault: Some(16_347_104),
            pgmajfault: Some(1550),
            total_pgfault: Some(16_347_104),
            total_pgmajfault: Some(1550),
            ..MemoryStats::default()
        };
        check(V2, whole);
        check("anon 5\nfile -1\nfile_mapped\n", MemoryStats { rss: Some(5), ..MemoryStats::default() });
    }

    #[test]
    fn a_cut_file_never_gives_a_wrong_value() {
        let whole = [parse_memory_stat_v1(V1.as_bytes(), true), parse_memory_stat_v2(V2.as_bytes())];
        for (text, whole) in [V1, V2].into_iter().zip(whole) {
            for end in 0..text.len() {
                let cut = &text.as_bytes()[..end];
                let cut =
                    if text == V1 { parse_memory_stat_v1(cut, true) } else { parse_memory_stat_v2(cut) };
                let pairs = [
                    (cut.cache, whole.cache),
                    (cut.rss, whole.rss),
                    (cut.mapped_file, whole.mapped_file),
                    (cut.swap, whole.swap),
                    (cut.inactive_file, whole.inactive_file),
                    (cut.pgfault, whole.pgfault),
                    (cut.pgmajfault, whole.pgmajfault),
                ];
                for (cut, whole) in pairs {
                    assert!(cut.is_none() || cut == whole, "cut at {end}: {cut:?} instead of {whole:?}");
                }
            }
        }
    }

    #[test]
    fn working_set() {
        fn check(usage: Option<u64>, inactive_file: Option<u64>, expected: Option<u64>) {
            let stats = MemoryStats { usage, inactive_file, ..MemoryStats::default() };
            assert_eq!(stats.working_set(), expected);
        }
        check(Some(100), Some(30), Some(70));
        check(Some(30), Some(100), Some(0));
        check(Some(100), None, None);
        check(None, Some(30), None);
    }

    #[test]
    fn meminfo() {
        fn check(input: &str, expected: MemInfo) {
            assert_eq!(parse_meminfo(input.as_bytes()), expected, "{input:?}");
        }
        check(
            "MemTotal:       24684084 kB\nMemFree:        23016012 kB\nBuffers:            9804 kB\n\
             Cached:          1132140 kB\nSwapCached:            4 kB\nInactive:         922208 kB\n\
             Inactive(anon):   282484 kB\nInactive(file):   639724 kB\nSwapTotal:        1024 kB\n\
             SwapFree:            24 kB\nAnonPages:        287864 kB\nMapped:           157484 kB\n\
             HugePages_Total:       0\n",
            MemInfo {
                mem_total: Some(25_276_502_016),
                swap_total: Some(1_048_576),
                swap_free: Some(24_576),
                buffers: Some(10_039_296),
                cached: Some(1_159_311_360),
                swap_cached: Some(4096),
                anon_pages: Some(294_772_736),
                mapped: Some(161_263_616),
                inactive_file: Some(655_077_376),
            },
        );
        check("MemTotal: 1\nSwapTotal: x kB\nSwapFree: 18446744073709551615 kB\n", MemInfo::default());
        check("MemTotal:       24684084 kB", MemInfo::default());
    }

    #[test]
    fn the_machine_as_a_cgroup() {
        let info = MemInfo {
            swap_total: Some(10),
            swap_free: Some(4),
            buffers: Some(1),
            cached: Some(20),
            swap_cached: Some(300),
            anon_pages: Some(4000),
            mapped: Some(5),
            inactive_file: Some(7),
            ..MemInfo::default()
        };
        let expected = MemoryStats {
            usage: Some(4321),
            cache: Some(321),
            rss: Some(4000),
            mapped_file: Some(5),
            swap: Some(6),
            inactive_file: Some(7),
            ..MemoryStats::default()
        };
        assert_eq!(info.as_memory_stats(), expected);
        assert_eq!(MemInfo::default().as_memory_stats(), MemoryStats::default());
        let without_cache = MemInfo { cached: None, ..info }.as_memory_stats();
        assert_eq!(without_cache, MemoryStats { usage: None, cache: None, ..expected });
    }

    #[test]
    fn vmstat() {
        fn check(input: &str, expected: (Option<u64>, Option<u64>)) {
            assert_eq!(parse_vmstat(input.as_bytes()), expected, "{input:?}");
        }
        check("nr_free_pages 1032695\npgfault 16347104\npgmajfault 1550\n", (Some(16_347_104), Some(1550)));
        check("pgfault 1\npgmajfault 15", (Some(1), None));
        check("", (None, None));
    }
}
