//! Measures memory and decides whether data is refused.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use component::Host;
use component::memory::{MemoryError, total};
use confmap::GoDuration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::Config;
use crate::memory::Resident;

const MIB: u64 = 1 << 20;

/// The limits in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    hard: u64,
    soft: u64,
}

type Measure = Box<dyn Fn() -> Result<u64, MemoryError> + Send + Sync>;

/// Measures memory at an interval, and at once when much data has come in since.
pub(crate) struct Checker {
    limits: Limits,
    interval: Duration,
    measure: Measure,
    refusing: AtomicBool,
    /// Bytes that may still come in before memory is measured again.
    headroom: AtomicU64,
    timer: Mutex<Timer>,
}

#[derive(Default)]
struct Timer {
    users: usize,
    task: Option<JoinHandle<()>>,
    above_hard: bool,
}

impl Limits {
    /// `total` is asked for the memory that there is, where the limits are percentages of it.
    pub(crate) fn new(
        config: &Config,
        total: impl FnOnce() -> Result<u64, MemoryError>,
    ) -> Result<Self, MemoryError> {
        let (hard, spike) = if config.limit_mib > 0 {
            (u64::from(config.limit_mib) * MIB, u64::from(config.spike_limit_mib) * MIB)
        } else {
            let total = total()?;
            let (limit, spike) = (config.limit_percentage, config.spike_limit_percentage);
            tracing::info!(
                total_memory_mib = total / MIB,
                limit_percentage = limit,
                spike_limit_percentage = spike,
                "Using percentage memory limiter"
            );
            (percent(total, limit), percent(total, spike))
        };
        let spike = if spike == 0 { hard / 5 } else { spike };
        Ok(Self { hard, soft: hard.saturating_sub(spike) })
    }
}

fn percent(total: u64, share: u32) -> u64 {
    u64::try_from(u128::from(total) * u128::from(share) / 100).unwrap_or(total)
}

impl Checker {
    /// A checker of the memory of this process.
    pub(crate) fn of_process(config: &Config) -> Result<Self, MemoryError> {
        let limits = Limits::new(config, total)?;
        let resident = Resident::open()?;
        Ok(Self::new(limits, config.check_interval.0, Box::new(move || resident.read())))
    }

    pub(crate) fn new(limits: Limits, interval: Duration, measure: Measure) -> Self {
        tracing::info!(
            limit_mib = limits.hard / MIB,
            spike_limit_mib = (limits.hard - limits.soft) / MIB,
            check_interval = %GoDuration::from(confmap::Duration(interval)),
            "Memory limiter configured"
        );
        Self {
            limits,
            interval,
            measure,
            refusing: AtomicBool::new(false),
            headroom: AtomicU64::new(u64::MAX),
            timer: Mutex::default(),
        }
    }

    /// Whether `bytes` more may come in.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let spent =
            self.headroom.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if spent.is_err() && !self.refusing.load(Ordering::Relaxed) {
            self.check();
        }
        !self.refusing.load(Ordering::Relaxed)
    }

    /// Measures memory.
    pub(crate) fn check(&self) {
        let used = match (self.measure)() {
            Ok(used) => used,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "Memory cannot be measured. The last decision stays.");
                return;
            }
        };
        let cur_mem_mib = used / MIB;
        tracing::debug!(cur_mem_mib, "Currently used memory.");
        // When little is left, measuring for every batch would cost more than it saves.
        self.headroom.store(self.limits.soft.saturating_sub(used).max(MIB), Ordering::Relaxed);
        let above_soft = used >= self.limits.soft;
        let refused = self.refusing.swap(above_soft, Ordering::Relaxed);
        if above_soft && !refused {
            tracing::warn!(cur_mem_mib, "Memory usage is above soft limit. Refusing data.");
        }
        if !above_soft && refused {
            tracing::info!(cur_mem_mib, "Memory usage back within limits. Resuming normal operation.");
        }
        let above_hard = used >= self.limits.hard;
        let was_above_hard = std::mem::replace(&mut self.timer().above_hard, above_hard);
        if above_hard && !was_above_hard {
            tracing::warn!(cur_mem_mib, "Memory usage is above hard limit.");
        }
    }

    /// Begins to measure, for the first of those who share the checker.
    pub(crate) fn start(self: &std::sync::Arc<Self>, host: &Host, name: &str) {
        self.check();
        let mut timer = self.timer();
        timer.users += 1;
        if timer.users > 1 {
            return;
        }
        let checker = self.clone();
        timer.task = Some(host.spawn(format!("{name}: memory checks"), async move {
            let mut interval = tokio::time::interval(checker.interval);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval.tick().await;
            loop {
                interval.tick().await;
                checker.check();
            }
        }));
    }

    /// Ends measuring, for the last of those who share the checker.
    pub(crate) async fn stop(&self) {
        let task = {
            let mut timer = self.timer();
            timer.users = timer.users.saturating_sub(1);
            if timer.users > 0 { None } else { timer.task.take() }
        };
        if let Some(task) = task {
            task.abort();
            // It ends by being aborted.
            let _ = task.await;
        }
    }

    fn timer(&self) -> std::sync::MutexGuard<'_, Timer> {
        self.timer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("limits", &self.limits).field("interval", &self.interval).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use testkit::LogCapture;
    use tracing::Level;

    use super::*;

    fn config(yaml: &str) -> Config {
        confmap::from_yaml(yaml).unwrap()
    }

    #[test]
    fn limits() {
        let _log = LogCapture::begin();
        let check = |yaml: &str, hard: u64, soft: u64| {
            let limits = Limits::new(&config(yaml), || Ok(1000 * MIB)).unwrap();
            assert_eq!(limits, Limits { hard: hard * MIB, soft: soft * MIB }, "{yaml}");
        };
        check("limit_mib: 100", 100, 80);
        check("{limit_mib: 100, spike_limit_mib: 30}", 100, 70);
        check("limit_percentage: 50", 500, 400);
        check("{limit_percentage: 50, spike_limit_percentage: 30}", 500, 200);
        check("{limit_mib: 100, limit_percentage: 50, spike_limit_percentage: 30}", 100, 80);
    }

    /// A checker of 100 MiB (soft 80) whose memory the test sets, in MiB; and how often it was measured.
    fn checker() -> (Arc<Checker>, Arc<AtomicU64>, Arc<AtomicU64>) {
        let (used, measured) = (Arc::new(AtomicU64::new(10)), Arc::new(AtomicU64::new(0)));
        let measure = {
            let (used, measured) = (used.clone(), measured.clone());
            move || {
                measured.fetch_add(1, Ordering::Relaxed);
                Ok(used.load(Ordering::Relaxed) * MIB)
            }
        };
        let limits = Limits { hard: 100 * MIB, soft: 80 * MIB };
        (Arc::new(Checker::new(limits, Duration::from_secs(1), Box::new(measure))), used, measured)
    }

    #[tokio::test(start_paused = true)]
    async fn data_is_refused_from_the_soft_limit_until_a_check_finds_less() {
        let log = LogCapture::begin();
        let (checker, used, _) = checker();
        let host = Host::standalone();
        checker.start(&host, "memory_limiter");
        let mut admitted = Vec::new();
        for mib in [79, 80, 120, 85, 79, 10] {
            used.store(mib, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1001)).await;
            admitted.push(checker.admits(1));
        }
        assert_eq!(admitted, [true, false, false, false, true, true]);
        assert_eq!(
            log.messages(Level::INFO),
            [
                "Memory limiter configured",
                "Memory usage is above soft limit. Refusing data.",
                "Memory usage is above hard limit.",
                "Memory usage back within limits. Resuming normal operation.",
            ]
        );
        let configured = log.find("Memory limiter configured").unwrap();
        let fields = ["limit_mib", "spike_limit_mib", "check_interval"].map(|name| configured.field(name));
        assert_eq!(fields, ["100", "20", "1s"]);
        let refusing = log.find("Memory usage is above soft limit. Refusing data.").unwrap();
        assert_eq!((refusing.level, refusing.field("cur_mem_mib")), (Level::WARN, "80"));
        checker.stop().await;
        assert!(host.tasks().names().is_empty());
    }

    #[test]
    fn much_data_between_checks_is_noticed() {
        let _log = LogCapture::begin();
        let (checker, used, measured) = checker();
        checker.check();
        used.store(90, Ordering::Relaxed);
        for _ in 0..7 {
            assert!(checker.admits(10 << 20), "70 MiB were free at the last check");
        }
        assert_eq!(measured.load(Ordering::Relaxed), 1);
        assert!(!checker.admits(1));
        assert_eq!(measured.load(Ordering::Relaxed), 2);
        used.store(10, Ordering::Relaxed);
        assert!(!checker.admits(10 << 20), "only the timer ends refusing");
        assert_eq!(measured.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_runs_while_anybody_needs_it() {
        let _log = LogCapture::begin();
        let (checker, _, measured) = checker();
        let host = Host::standalone();
        checker.start(&host, "a");
        checker.start(&host, "b");
        assert_eq!(host.tasks().names().len(), 1);
        checker.stop().await;
        tokio::time::sleep(Duration::from_millis(3500)).await;
        assert_eq!(measured.load(Ordering::Relaxed), 2 + 3);
        checker.stop().await;
        assert!(host.tasks().names().is_empty());
    }
}
