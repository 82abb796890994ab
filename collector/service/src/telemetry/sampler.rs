//! Thins out equal log lines: so many of a period, then every so manieth.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Lines are equal when they have the same hash modulo this: bounded memory, as upstream's logger does it.
const SLOTS: usize = 1024;

pub(super) struct Sampler {
    hasher: RandomState,
    tick: Duration,
    initial: u64,
    thereafter: u64,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    tick: u64,
    count: u64,
}

impl Sampler {
    pub(super) fn new(tick: Duration, initial: u64, thereafter: u64) -> Self {
        let slots = vec![Slot::default(); SLOTS];
        Self { hasher: RandomState::new(), tick, initial, thereafter, slots }
    }

    /// Whether this line is written. `now` is the time since any fixed moment.
    pub(super) fn admits(&mut self, level: tracing::Level, message: &str, now: Duration) -> bool {
        let tick = (now.as_nanos() / self.tick.as_nanos().max(1)) as u64;
        let position = self.hasher.hash_one((level.to_string(), message)) as usize % SLOTS;
        let Some(slot) = self.slots.get_mut(position) else { return true };
        if slot.tick != tick {
            *slot = Slot { tick, count: 0 };
        }
        slot.count += 1;
        match slot.count.checked_sub(self.initial) {
            None | Some(0) => true,
            Some(beyond) => self.thereafter > 0 && beyond.is_multiple_of(self.thereafter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_are_thinned_out_per_period() {
        let mut sampler = Sampler::new(Duration::from_secs(10), 3, 5);
        let mut admitted = |message: &str, second: u64, times: usize| {
            (0..times)
                .filter(|_| sampler.admits(tracing::Level::INFO, message, Duration::from_secs(second)))
                .count()
        };
        assert_eq!(admitted("a", 0, 3), 3);
        assert_eq!(admitted("a", 1, 10), 2);
        assert_eq!(admitted("a", 10, 4), 3);
    }
}
