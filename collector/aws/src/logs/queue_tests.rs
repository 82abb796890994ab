use confmap::Duration as ConfigDuration;

use tokio::sync::watch;

use super::super::body::{MAX_BODY_BYTES, MAX_MESSAGE_BYTES, MAX_SPAN_MS};
use super::super::event::Events;
use super::*;
use crate::logs::lane::Content;
use crate::logs::place::{Outcome, Place};

const LINGER: Duration = Duration::from_millis(200);

fn limits(requests: usize, per_stream: usize) -> Limits {
    Limits {
        capacity: 100,
        block: false,
        requests,
        requests_per_stream: per_stream,
        retry: RetryConfig {
            initial_interval: ConfigDuration::from_secs(1),
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_elapsed_time: ConfigDuration::ZERO,
            ..RetryConfig::default()
        },
    }
}

/// Adds events of these times and sizes, a part each, which may wait.
fn add(queue: &Arc<Queue>, stream: &str, events: &[(i64, usize)]) -> watch::Receiver<Option<Outcome>> {
    let (place, outcome) = Place::new(queue.recovered(1));
    let part = |&(time, size): &(i64, usize)| {
        let (mut streams, _) = Events::collect(time, MAX_MESSAGE_BYTES, |event| {
            event.push("g", stream, time, &"x".repeat(size), 1);
        });
        let chunk = streams.remove(0).chunks.remove(0);
        let summary = chunk.summary();
        let due = Instant::now() + LINGER;
        Part { content: Content::Memory(chunk), summary, due, first_failure: None, place: place.clone() }
    };
    queue.insert(&"g".into(), &stream.into(), events.iter().map(part).collect::<Vec<_>>());
    drop(place);
    outcome
}

/// What is due now: the stream and the times of the parts.
async fn due(queue: &Queue) -> Option<(String, Vec<i64>, Work)> {
    let work = tokio::time::timeout(Duration::ZERO, queue.take()).await.ok()??;
    let times = work.parts.iter().map(|part| part.summary.first_ms).collect();
    Some((work.stream.to_string(), times, work))
}

async fn check_due(queue: &Queue, stream: &str, times: &[i64]) -> Work {
    let (got, got_times, work) = due(queue).await.unwrap();
    assert_eq!((got.as_str(), got_times.as_slice()), (stream, times));
    work
}

fn passing() -> Failed {
    Failed { throttled: false, after: None, patience: None, patience_on_disk: None }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_due_when_it_has_waited() {
    let queue = Queue::new(limits(2, 1));
    add(&queue, "a", &[(1, 1)]);
    tokio::time::advance(LINGER / 2).await;
    add(&queue, "a", &[(2, 1)]);
    assert!(due(&queue).await.is_none());
    tokio::time::advance(LINGER / 2).await;
    check_due(&queue, "a", &[1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fills_a_request_does_not_wait() {
    let queue = Queue::new(limits(2, 2));
    let half = MAX_BODY_BYTES / 2 - 26;
    add(&queue, "a", &[(1, half)]);
    assert!(due(&queue).await.is_none());
    add(&queue, "a", &[(2, half), (3, 1)]);
    check_due(&queue, "a", &[1, 2]).await;
    assert!(due(&queue).await.is_none());
    tokio::time::advance(LINGER).await;
    check_due(&queue, "a", &[3]).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_has_events_of_one_day() {
    let queue = Queue::new(limits(9, 9));
    let day = MAX_SPAN_MS;
    add(&queue, "a", &[(1, 1), (2 + day, 1), (1 + day, 1)]);
    tokio::time::advance(LINGER).await;
    check_due(&queue, "a", &[1, 1 + day]).await;
    check_due(&queue, "a", &[2 + day]).await;
}

#[tokio::test(start_paused = true)]
async fn one_stream_does_not_hold_up_another() {
    let queue = Queue::new(limits(2, 1));
    add(&queue, "a", &[(1, 1)]);
    add(&queue, "b", &[(2, 1)]);
    tokio::time::advance(LINGER).await;
    let a = check_due(&queue, "a", &[1]).await;
    let (given_up, wait) = queue.retry(a, passing());
    assert!(given_up.is_empty());
    assert_eq!(wait, Some(Duration::from_secs(1)));
    let b = check_due(&queue, "b", &[2]).await;
    assert!(due(&queue).await.is_none());
    queue.settle(b, true);
    tokio::time::advance(Duration::from_secs(1)).await;
    check_due(&queue, "a", &[1]).await;
}

#[tokio::test(start_paused = true)]
async fn parts_that_failed_come_first_again() {
    let queue = Queue::new(limits(2, 1));
    add(&queue, "a", &[(1, 1), (2, 1)]);
    tokio::time::advance(LINGER).await;
    let work = check_due(&queue, "a", &[1, 2]).await;
    add(&queue, "a", &[(3, 1)]);
    queue.retry(work, passing());
    tokio::time::advance(Duration::from_secs(1)).await;
    check_due(&queue, "a", &[1, 2, 3]).await;
}

#[tokio::test(start_paused = true)]
async fn requests_to_a_stream_are_limited() {
    let queue = Queue::new(limits(9, 1));
    let full = MAX_BODY_BYTES - 26;
    add(&queue, "a", &[(1, full), (2, full)]);
    let first = check_due(&queue, "a", &[1]).await;
    assert!(due(&queue).await.is_none());
    queue.settle(first, true);
    check_due(&queue, "a", &[2]).await;
}

#[tokio::test(start_paused = true)]
async fn throttling_halves_the_requests_in_flight_and_success_brings_them_back() {
    let queue = Queue::new(limits(2, 1));
    for stream in ["a", "b", "c"] {
        add(&queue, stream, &[(1, 1)]);
    }
    tokio::time::advance(LINGER).await;
    let a = check_due(&queue, "a", &[1]).await;
    queue.retry(a, Failed { throttled: true, after: Some(Duration::from_secs(9)), ..passing() });
    let b = check_due(&queue, "b", &[1]).await;
    assert!(due(&queue).await.is_none());
    queue.settle(b, true);
    let c = check_due(&queue, "c", &[1]).await;
    tokio::time::advance(Duration::from_secs(8)).await;
    assert!(due(&queue).await.is_none());
    tokio::time::advance(Duration::from_secs(1)).await;
    check_due(&queue, "a", &[1]).await;
    queue.settle(c, true);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_too_long_is_given_up() {
    let queue = Queue::new(limits(1, 1));
    let outcome = add(&queue, "a", &[(1, 1)]);
    let patience = Some(Duration::from_secs(2));
    tokio::time::advance(LINGER).await;
    let work = check_due(&queue, "a", &[1]).await;
    assert!(queue.retry(work, Failed { patience, ..passing() }).0.is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    let work = check_due(&queue, "a", &[1]).await;
    let (given_up, wait) = queue.retry(work, Failed { patience, ..passing() });
    assert_eq!((given_up.len(), wait), (1, None));
    given_up[0].place.fail(&ConsumeError::permanent("lost"));
    drop(given_up);
    assert_eq!(*outcome.borrow(), Some(Err(ConsumeError::permanent("lost"))));
    assert_eq!((queue.used(), queue.events(), queue.in_flight()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_push_is_answered_when_its_last_part_is_done() {
    let queue = Queue::new(limits(2, 1));
    let outcome = add(&queue, "a", &[(1, MAX_BODY_BYTES - 26), (2, 1)]);
    tokio::time::advance(LINGER).await;
    let first = check_due(&queue, "a", &[1]).await;
    drop(queue.settle(first, true));
    assert_eq!(*outcome.borrow(), None);
    assert_eq!((queue.used(), queue.events()), (1, 1));
    let second = check_due(&queue, "a", &[2]).await;
    drop(queue.settle(second, true));
    assert_eq!(*outcome.borrow(), Some(Ok(())));
    assert_eq!((queue.used(), queue.events()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_or_waits() {
    let queue = Queue::new(limits(1, 1));
    assert!(queue.reserve(101).await.unwrap_err().is_permanent());
    let room = queue.reserve(100).await.unwrap();
    assert_eq!(queue.reserve(1).await.unwrap_err(), ConsumeError::retryable("sending queue is full"));
    drop(room);
    let waiting = Queue::new(Limits { block: true, ..limits(1, 1) });
    let room = waiting.reserve(100).await.unwrap();
    let mut next = Box::pin(waiting.reserve(1));
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut next).await.is_err());
    drop(room);
    next.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_hands_out_everything_and_ends() {
    let queue = Queue::new(limits(2, 1));
    add(&queue, "a", &[(1, 1)]);
    add(&queue, "b", &[(2, 1)]);
    queue.close();
    assert!(queue.reserve(1).await.is_err());
    let a = check_due(&queue, "a", &[1]).await;
    let b = check_due(&queue, "b", &[2]).await;
    assert!(queue.retry(a, passing()).0.is_empty());
    assert!(due(&queue).await.is_none());
    queue.settle(b, true);
    tokio::time::advance(Duration::from_secs(1)).await;
    let a = check_due(&queue, "a", &[1]).await;
    queue.settle(a, true);
    assert!(queue.take().await.is_none());
}

/// Upstream keeps a pusher for every stream that it ever sent to.
#[tokio::test(start_paused = true)]
async fn streams_that_have_nothing_to_send_are_forgotten() {
    let queue = Queue::new(limits(2, 1));
    for stream in ["a", "b"] {
        add(&queue, stream, &[(1, 1)]);
    }
    tokio::time::advance(LINGER).await;
    for stream in ["a", "b"] {
        let work = check_due(&queue, stream, &[1]).await;
        queue.settle(work, true);
    }
    let state = queue.lock();
    assert!(state.lanes.is_empty() && state.index.is_empty() && state.due.is_empty());
}
