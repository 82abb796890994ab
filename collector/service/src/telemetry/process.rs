//! What the process itself costs, under upstream's names.

use std::time::Instant;

use component::telemetry::PREFIX;
use opentelemetry::metrics::Meter;

/// Linux counts the CPU time of a process in hundredths of a second towards user space (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers the process's metrics; they are read when somebody asks.
pub(super) fn observe(meter: &Meter) {
    let started = Instant::now();
    meter
        .f64_observable_counter(format!("{PREFIX}process_uptime"))
        .with_description("Uptime of the process")
        .with_unit("s")
        .with_callback(move |observer| observer.observe(started.elapsed().as_secs_f64(), &[]))
        .build();
    meter
        .f64_observable_counter(format!("{PREFIX}process_cpu_seconds"))
        .with_description("Total CPU user and system time in seconds")
        .with_unit("s")
        .with_callback(|observer| {
            if let Some(seconds) = read("/proc/self/stat").as_deref().and_then(cpu_seconds) {
                observer.observe(seconds, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge(format!("{PREFIX}process_memory_rss"))
        .with_description("Total physical memory (resident set size)")
        .with_unit("By")
        .with_callback(|observer| {
            if let Some(bytes) = read("/proc/self/status").as_deref().and_then(resident_bytes) {
                observer.observe(bytes, &[]);
            }
        })
        .build();
    meter
        .u64_observable_counter(format!("{PREFIX}process_log_lines_dropped"))
        .with_description("Number of log lines dropped because the log's output was not read")
        .with_unit("{lines}")
        .with_callback(|observer| observer.observe(super::writer::dropped_lines(), &[]))
        .build();
    meter
        .u64_observable_counter(format!("{PREFIX}process_panics"))
        .with_description("Number of panics, which are defects")
        .with_unit("{panics}")
        .with_callback(|observer| observer.observe(super::panics::count(), &[]))
        .build();
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `utime` and `stime`: the 14th and 15th field of `/proc/<pid>/stat` (proc_pid_stat(5)). The second field is a name in
/// parentheses that may hold anything, so fields are counted behind its end.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

/// `VmRSS` of `/proc/<pid>/status`, in kB there.
fn resident_bytes(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let stat = "42 (a b) c) S 1 1 1 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 3 0 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("42 (a) S"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   12 kB\n"), Some(12_288));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        assert!(read("/proc/self/status").as_deref().and_then(resident_bytes) > Some(0));
    }
}
