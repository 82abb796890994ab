//! Lets through the first messages of a second and then every n-th, as the logger of upstream does.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a count lasts.
const TICK: Duration = Duration::from_secs(1);
/// Messages are counted by a hash of their text: two that share a counter are one.
const COUNTERS: usize = 4096;

/// Counts messages by text.
pub(crate) struct Sampler {
    initial: u64,
    thereafter: u64,
    hasher: RandomState,
    counters: Mutex<Vec<Counter>>,
}

#[derive(Clone, Copy, Default)]
struct Counter {
    until: Option<Instant>,
    count: u64,
}

impl Sampler {
    pub(crate) fn new(initial: u32, thereafter: u32) -> Self {
        Self {
            initial: initial.into(),
            thereafter: thereafter.into(),
            hasher: RandomState::new(),
            counters: Mutex::default(),
        }
    }

    /// Whether a message is written.
    pub(crate) fn passes(&self, message: &str) -> bool {
        if self.thereafter == 1 {
            return true;
        }
        let index = self.hasher.hash_one(message) as usize % COUNTERS;
        let now = Instant::now();
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.resize(COUNTERS, Counter::default());
        let Some(counter) = counters.get_mut(index) else { return true };
        if counter.until.is_none_or(|until| until <= now) {
            *counter = Counter { until: Some(now + TICK), count: 0 };
        }
        counter.count += 1;
        let beyond = counter.count.saturating_sub(self.initial);
        beyond == 0 || (self.thereafter > 0 && beyond.is_multiple_of(self.thereafter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_and_then_every_nth_pass_each_second() {
        let check = |sampler: &Sampler, expected: &str| {
            let got: String =
                (0..expected.len()).map(|_| if sampler.passes("a") { 'x' } else { '.' }).collect();
            assert_eq!(got, expected);
        };
        check(&Sampler::new(2, 1), "xxxxxxxx");
        check(&Sampler::new(2, 0), "xx......");
        let sampler = Sampler::new(2, 3);
        check(&sampler, "xx..x..x");
        assert!(sampler.passes("b"), "other texts have other counts");
        tokio::time::advance(TICK).await;
        check(&sampler, "xx..x");
    }
}
