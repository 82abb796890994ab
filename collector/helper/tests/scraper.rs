//! The scraper loop on a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use component::Host;
use helper::scraper::{First, Schedule, run};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `schedule` for `time` with collections that take as long as `takes` says; when each began, in seconds, and how
/// many it was told were skipped.
async fn collect(schedule: Schedule, time: Duration, takes: &'static [u64]) -> Vec<(u64, u64)> {
    let host = Host::standalone();
    let (stop, seen) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
    let began = Instant::now();
    let (token, list) = (stop.clone(), seen.clone());
    let task = host.spawn("scraper", async move {
        let mut takes = takes.iter();
        run(schedule, token, async |tick| {
            list.lock().unwrap().push((began.elapsed().as_secs(), tick.skipped));
            tokio::time::sleep(takes.next().copied().unwrap_or(0) * SECOND).await;
        })
        .await;
    });
    tokio::time::sleep(time).await;
    stop.cancel();
    task.await.unwrap();
    seen.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn collections_happen_on_schedule() {
    let every = Schedule::every(10 * SECOND, SECOND);
    assert_eq!(collect(every, 35 * SECOND, &[]).await, [(1, 0), (11, 0), (21, 0), (31, 0)]);
    let later = Schedule { first: First::AfterInterval, ..every };
    assert_eq!(collect(later, 35 * SECOND, &[]).await, [(11, 0), (21, 0), (31, 0)]);
    let never = Schedule::every(Duration::ZERO, SECOND);
    assert_eq!(collect(never, 35 * SECOND, &[]).await, []);
}

#[tokio::test(start_paused = true)]
async fn slow_collections_skip_and_never_overlap() {
    let every = Schedule::every(10 * SECOND, Duration::ZERO);
    // The first takes three and a half intervals: it is followed at once by the one that is due, then by the grid.
    assert_eq!(collect(every, 65 * SECOND, &[35]).await, [(0, 0), (35, 0), (40, 2), (50, 0), (60, 0)]);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_collection_under_way() {
    let every = Schedule::every(10 * SECOND, Duration::ZERO);
    let began = Instant::now();
    assert_eq!(collect(every, 5 * SECOND, &[1000]).await, [(0, 0)]);
    assert_eq!(began.elapsed(), 5 * SECOND);
}
