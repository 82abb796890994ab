//! Jitter.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A source of jitter: xorshift64*.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Another sequence every time.
    pub(crate) fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(0u8))
    }

    /// The same sequence for the same seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit.max(1)
    }

    /// Between the two.
    pub(crate) fn spread(&mut self, from: Duration, to: Duration) -> Duration {
        let range = u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
        from + Duration::from_millis(self.below(range))
    }

    /// Half of the wait to one and a half.
    pub(crate) fn around(&mut self, wait: Duration) -> Duration {
        self.spread(wait / 2, wait * 3 / 2)
    }
}
