//! The scraper loop on a paused clock.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use component::{Host, async_trait};
use helper::scraper::{First, Schedule, Scrape, Tick, run};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

struct Collector {
    began: Instant,
    takes: std::slice::Iter<'static, u64>,
    seen: Arc<Mutex<Vec<(u64, u64)>>>,
}

#[async_trait]
impl Scrape for Collector {
    async fn scrape(&mut self, tick: Tick) {
        self.seen.lock().unwrap().push((self.began.elapsed().as_secs(), tick.skipped));
        tokio::time::sleep(Duration::from_secs(self.takes.next().copied().unwrap_or(0))).await;
    }
}

/// Runs `schedule` for `time` with collections that take as long as `takes` says; when each began, in seconds, and how
/// many it was told were skipped.
async fn collect(schedule: Schedule, time: Duration, takes: &'static [u64]) -> Vec<(u64, u64)> {
    let host = Host::standalone();
    let (stop, seen) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
    let mut collector = Collector { began: Instant::now(), takes: takes.iter(), seen: seen.clone() };
    let token = stop.clone();
    let task = host.spawn("scraper", async move { run(schedule, token, &mut collector).await });
    tokio::time::sleep(time).await;
    stop.cancel();
    task.await.unwrap();
    seen.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn collections_happen_on_schedule() {
    let every = Schedule::every(Duration::from_secs(10), SECOND);
    assert_eq!(collect(every, Duration::from_secs(35), &[]).await, [(1, 0), (11, 0), (21, 0), (31, 0)]);
    let later = Schedule { first: First::AfterInterval, ..every };
    assert_eq!(collect(later, Duration::from_secs(35), &[]).await, [(11, 0), (21, 0), (31, 0)]);
    let never = Schedule::every(Duration::ZERO, SECOND);
    assert_eq!(collect(never, Duration::from_secs(35), &[]).await, []);
}

#[tokio::test(start_paused = true)]
async fn slow_collections_skip_and_never_overlap() {
    let every = Schedule::every(Duration::from_secs(10), Duration::ZERO);
    // The first takes three and a half intervals: it is followed at once by the one that is due, then by the grid.
    assert_eq!(
        collect(every, Duration::from_secs(65), &[35]).await,
        [(0, 0), (35, 0), (40, 2), (50, 0), (60, 0)]
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_collection_under_way() {
    let every = Schedule::every(Duration::from_secs(10), Duration::ZERO);
    let began = Instant::now();
    assert_eq!(collect(every, Duration::from_secs(5), &[1000]).await, [(0, 0)]);
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}
