//! Exponential back-off with jitter, as Go's `cenkalti/backoff` computes it.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::RetryConfig;

/// The waits between the attempts to send one request.
///
/// Each wait is uniform in `interval × (1 ± randomization_factor)`; `interval` begins at `initial_interval` and is
/// multiplied by `multiplier` up to `max_interval`.
#[derive(Debug)]
pub struct Backoff {
    interval: f64,
    max_interval: f64,
    multiplier: f64,
    factor: f64,
    random: u64,
}

impl Backoff {
    /// The waits of `config`, beginning anew, from a random seed.
    pub fn new(config: &RetryConfig) -> Self {
        Self::seeded(config, RandomState::new().hash_one(0u8))
    }

    fn seeded(config: &RetryConfig, seed: u64) -> Self {
        Self {
            interval: config.initial_interval.as_secs_f64(),
            max_interval: config.max_interval.as_secs_f64(),
            multiplier: config.multiplier,
            factor: config.randomization_factor,
            random: seed | 1,
        }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let spread = self.interval * self.factor;
        let wait = self.interval - spread + 2.0 * spread * self.unit();
        self.interval = (self.interval * self.multiplier).min(self.max_interval);
        Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX)
    }

    /// A number in [0, 1): xorshift64*.
    fn unit(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_jitter_the_interval_grows_to_its_maximum() {
        let config = RetryConfig { randomization_factor: 0.0, ..RetryConfig::default() };
        let mut backoff = Backoff::seeded(&config, 1);
        let waits: Vec<f64> = (0..7).map(|_| backoff.next_wait().as_secs_f64()).collect();
        assert_eq!(waits, [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, 30.0]);
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_spreads() {
        let config = RetryConfig { multiplier: 1.0, ..RetryConfig::default() };
        let mut backoff = Backoff::new(&config);
        let waits: Vec<f64> = (0..1000).map(|_| backoff.next_wait().as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (2.5..=7.5).contains(wait)));
        let mean = waits.iter().sum::<f64>() / 1000.0;
        assert!((4.7..5.3).contains(&mean), "{mean}");
    }
}
