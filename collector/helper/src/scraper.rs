//! The loop of receivers that collect at an interval.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// When collections happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From the beginning of one collection to the beginning of the next.
    pub interval: Duration,
    /// How long to wait before the schedule begins.
    pub initial_delay: Duration,
    /// When the first collection is.
    pub first: First,
}

/// When the first collection of a schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Right when the schedule begins.
    Immediately,
    /// One interval after the schedule begins.
    AfterInterval,
}

/// One collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// When it was due.
    pub due: Instant,
    /// How many collections before it did not happen because an earlier one took too long.
    pub skipped: u64,
}

/// What collects.
#[async_trait]
pub trait Scrape: Send {
    /// Collects once. The future is dropped when the loop is stopped.
    async fn scrape(&mut self, tick: Tick);
}

impl Schedule {
    /// Collections every `interval`, the first one when `initial_delay` has passed.
    pub fn every(interval: Duration, initial_delay: Duration) -> Self {
        Self { interval, initial_delay, first: First::Immediately }
    }
}

/// Collects until `stop` is cancelled, which also ends a collection that is under way.
///
/// Collections never overlap. One that takes longer than the interval lets the due times that it missed pass; they
/// are told to the next one. An interval of zero never collects.
pub async fn run(schedule: Schedule, stop: CancellationToken, scraper: &mut (impl Scrape + ?Sized)) {
    if schedule.interval.is_zero() {
        return stop.cancelled().await;
    }
    let first = match schedule.first {
        First::Immediately => schedule.initial_delay,
        First::AfterInterval => schedule.initial_delay.saturating_add(schedule.interval),
    };
    let mut interval = tokio::time::interval_at(Instant::now() + first, schedule.interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let collect = async {
        let mut previous = None;
        loop {
            let due = interval.tick().await;
            let skipped = previous.map_or(0, |previous| skipped(previous, due, schedule.interval));
            previous = Some(due);
            scraper.scrape(Tick { due, skipped }).await;
        }
    };
    stop.run_until_cancelled(collect).await;
}

/// How many due times lie between two.
fn skipped(previous: Instant, due: Instant, interval: Duration) -> u64 {
    let passed = due.saturating_duration_since(previous).as_nanos() / interval.as_nanos().max(1);
    u64::try_from(passed).unwrap_or(u64::MAX).saturating_sub(1)
}
