//! What users write.

use std::sync::{Arc, Mutex, PoisonError};

use confmap::{Duration, Problems};
use serde::Deserialize;

use crate::checker::Checker;
use component::memory::MemoryError;

/// The configuration of the processor.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How often memory is measured.
    pub check_interval: Duration,
    /// The hard limit in MiB; 0 for `limit_percentage`.
    pub limit_mib: u32,
    /// How far below the hard limit the soft limit is, in MiB; 0 for a fifth of the hard limit.
    pub spike_limit_mib: u32,
    /// The hard limit in percent of the memory that there is.
    pub limit_percentage: u32,
    /// How far below the hard limit the soft limit is, in percent of the memory that there is; 0 for a fifth of the
    /// hard limit.
    pub spike_limit_percentage: u32,
    /// Accepted and without effect: there is no garbage collector.
    pub min_gc_interval_when_soft_limited: Duration,
    /// Accepted and without effect.
    pub min_gc_interval_when_hard_limited: Duration,
    /// Accepted and without effect.
    pub max_gc_interval_when_soft_limited: Duration,
    /// Accepted and without effect.
    pub max_gc_interval_when_hard_limited: Duration,
    /// What the processors of one id share: memory is measured once for all of them.
    #[serde(skip)]
    checker: Mutex<Option<Arc<Checker>>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            check_interval: Duration::ZERO,
            limit_mib: 0,
            spike_limit_mib: 0,
            limit_percentage: 0,
            spike_limit_percentage: 0,
            min_gc_interval_when_soft_limited: Duration::from_secs(10),
            min_gc_interval_when_hard_limited: Duration::ZERO,
            max_gc_interval_when_soft_limited: Duration::from_secs(30),
            max_gc_interval_when_hard_limited: Duration::from_secs(30),
            checker: Mutex::default(),
        }
    }
}

impl Config {
    /// The checker of this configuration, made at first use.
    pub(crate) fn checker(&self) -> Result<Arc<Checker>, MemoryError> {
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(checker) = &*checker {
            return Ok(checker.clone());
        }
        Ok(checker.insert(Arc::new(Checker::of_process(self)?)).clone())
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        if self.check_interval == Duration::ZERO {
            problems.report("'check_interval' must be greater than zero");
        }
        if self.min_gc_interval_when_soft_limited < self.min_gc_interval_when_hard_limited {
            problems.report(
                "'min_gc_interval_when_soft_limited' should be larger than 'min_gc_interval_when_hard_limited'",
            );
        }
        if self.limit_mib == 0 && self.limit_percentage == 0 {
            problems.report("'limit_mib' or 'limit_percentage' must be greater than zero");
        }
        if self.limit_percentage > 100 || self.spike_limit_percentage > 100 {
            problems.report(
                "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal \
                 to hundred",
            );
        }
        if self.limit_mib > 0 && self.limit_mib <= self.spike_limit_mib {
            problems.report("'spike_limit_mib' must be smaller than 'limit_mib'");
        }
        if self.limit_percentage > 0 && self.limit_percentage <= self.spike_limit_percentage {
            problems.report("'spike_limit_percentage' must be smaller than 'limit_percentage'");
        }
    }
}
