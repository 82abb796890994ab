//! What waits to be sent, by log stream.
//!
//! Every stream is a lane of chunks. A lane is due when it fills a request, when its first chunk has waited long enough, or
//! when a failed attempt may be repeated. A failing lane holds up no other.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use component::ConsumeError;
use helper::{Backoff, RetryConfig};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lane::{Content, Lane, Part, Retry};
use super::place::Room;

/// Bytes of events that wait in memory at most, whatever the queue's size says; less where the process may use less than
/// four times of it.
const MAX_MEMORY: usize = 128 << 20;

/// How much the queue holds, and how fast it is emptied.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// In units of the queue's sizer.
    pub(crate) capacity: u64,
    /// Whether a push waits for room instead of being refused.
    pub(crate) block: bool,
    /// Requests at the same time.
    pub(crate) requests: usize,
    /// Requests at the same time to one stream.
    pub(crate) requests_per_stream: usize,
    pub(crate) retry: RetryConfig,
}

/// The lanes.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    /// Bytes of events that wait in memory at most.
    max_memory: usize,
    state: Mutex<State>,
    wake: Notify,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    lanes: HashMap<u64, Lane>,
    index: BTreeMap<Arc<str>, BTreeMap<Arc<str>, u64>>,
    next_lane: u64,
    /// Lanes that may send, by the time from which on.
    due: BTreeSet<(Instant, u64)>,
    used: u64,
    memory: usize,
    events: u64,
    in_flight: usize,
    /// How many requests may be in flight now: halved by throttling, regained by success.
    allowed: usize,
    successes: usize,
    closing: bool,
}

/// What one request is to carry.
#[derive(Debug)]
pub(crate) struct Work {
    lane: u64,
    pub(crate) group: Arc<str>,
    pub(crate) stream: Arc<str>,
    pub(crate) parts: Vec<Part>,
}

/// Why a request is to be repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) throttled: bool,
    /// The least wait that the service asked for.
    pub(crate) after: Option<Duration>,
    /// Retry limit of parts in memory; `None` for no limit.
    pub(crate) patience: Option<Duration>,
    /// Retry limit of parts on disk; `None` for no limit.
    pub(crate) patience_on_disk: Option<Duration>,
}

enum Next {
    Work(Work),
    At(Instant),
    Idle,
    Closed,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let state = State {
            lanes: HashMap::new(),
            index: BTreeMap::new(),
            next_lane: 0,
            due: BTreeSet::new(),
            used: 0,
            memory: 0,
            events: 0,
            in_flight: 0,
            allowed: limits.requests.max(1),
            successes: 0,
            closing: false,
        };
        let quarter = component::memory::total().map_or(MAX_MEMORY, |total| (total / 4) as usize);
        Arc::new(Self {
            limits,
            max_memory: quarter.min(MAX_MEMORY),
            state: Mutex::new(state),
            wake: Notify::new(),
            freed: Notify::new(),
        })
    }

    /// How much it may hold, in units of its sizer.
    pub(crate) fn capacity(&self) -> u64 {
        self.limits.capacity
    }

    /// How much it holds, in units of its sizer.
    pub(crate) fn used(&self) -> u64 {
        self.lock().used
    }

    /// How many events it holds, those being sent included.
    pub(crate) fn events(&self) -> u64 {
        self.lock().events
    }

    /// How many requests are being sent.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// Makes room for a push, waiting for it if so configured.
    pub(crate) async fn reserve(self: &Arc<Self>, size: u64) -> Result<Room, ConsumeError> {
        if size > self.limits.capacity {
            return Err(ConsumeError::permanent("element size too large"));
        }
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            {
                let mut state = self.lock();
                if state.closing {
                    return Err(ConsumeError::retryable("sending queue is stopped"));
                }
                if size <= self.limits.capacity - state.used.min(self.limits.capacity)
                    && state.memory < self.max_memory
                {
                    state.used += size;
                    return Ok(Room { queue: Arc::downgrade(self), size });
                }
            }
            if !self.limits.block {
                return Err(ConsumeError::retryable("sending queue is full"));
            }
            freed.await;
        }
    }

    /// Holds up the writer of a push until there is memory for more of its events, or the queue is closed. The runtime's
    /// other tasks go on; a runtime of one thread has none to give them to, and is not held up.
    pub(crate) fn wait_for_memory(&self) {
        let has_memory = || {
            let state = self.lock();
            state.closing || state.memory < self.max_memory
        };
        if has_memory() {
            return;
        }
        let freed = async {
            loop {
                let mut freed = pin!(self.freed.notified());
                freed.as_mut().enable();
                if has_memory() {
                    return;
                }
                freed.await;
            }
        };
        helper::wait_blocking(freed);
    }

    /// Room for what was queued before the collector ended, beyond the capacity if need be.
    pub(crate) fn recovered(self: &Arc<Self>, size: u64) -> Room {
        self.lock().used += size;
        Room { queue: Arc::downgrade(self), size }
    }

    /// Adds parts at the end of a lane.
    pub(crate) fn insert(&self, group: &Arc<str>, stream: &Arc<str>, parts: impl IntoIterator<Item = Part>) {
        let mut state = self.lock();
        let id = state.lane(group, stream);
        for part in parts {
            state.memory += part.memory();
            state.events += part.summary.events as u64;
            if let Some(lane) = state.lanes.get_mut(&id) {
                lane.push_back(part);
            }
        }
        state.schedule(id, &self.limits);
        drop(state);
        self.wake.notify_one();
    }

    /// Takes what the next request carries, waiting until something is due. `None` when the queue is closed and empty.
    pub(crate) async fn take(&self) -> Option<Work> {
        loop {
            let mut wake = pin!(self.wake.notified());
            wake.as_mut().enable();
            let next = self.lock().next(&self.limits);
            match next {
                Next::Work(work) => {
                    // One notification may stand for several lanes.
                    self.wake.notify_one();
                    return Some(work);
                }
                Next::Closed => return None,
                Next::Idle => wake.await,
                Next::At(at) => {
                    let _ = tokio::time::timeout_at(at, wake).await;
                }
            }
        }
    }

    /// Ends a request that needs nothing more, and gives back its parts.
    pub(crate) fn settle(&self, work: Work, accepted: bool) -> Vec<Part> {
        let mut state = self.lock();
        if accepted {
            state.successes += 1;
            if state.successes >= state.allowed && state.allowed < self.limits.requests {
                state.allowed += 1;
                state.successes = 0;
            }
        }
        state.forget(&work.parts);
        if let Some(lane) = state.lanes.get_mut(&work.lane) {
            lane.in_flight -= 1;
            lane.retry = None;
        }
        state.in_flight -= 1;
        state.schedule(work.lane, &self.limits);
        drop(state);
        self.woken();
        work.parts
    }

    /// Ends a request that failed: its parts go back to the front of their lane, to be sent again after a wait. Those
    /// whose time is up are given back, with the wait of the others.
    pub(crate) fn retry(&self, work: Work, failed: Failed) -> (Vec<Part>, Option<Duration>) {
        let now = Instant::now();
        let mut state = self.lock();
        state.in_flight -= 1;
        if failed.throttled {
            state.allowed = (state.allowed / 2).max(1);
            state.successes = 0;
        }
        let closing = state.closing;
        let Some(lane) = state.lanes.get_mut(&work.lane) else {
            state.forget(&work.parts);
            return (work.parts, None);
        };
        lane.in_flight -= 1;
        let retry = lane
            .retry
            .get_or_insert_with(|| Retry { backoff: Backoff::new(&self.limits.retry), not_before: now });
        // Requests that failed together wait together.
        if retry.not_before <= now {
            retry.not_before = now + retry.backoff.next_wait().max(failed.after.unwrap_or_default());
        }
        let next = retry.not_before;
        let gives_up = |part: &Part| {
            let since = part.first_failure.unwrap_or(now);
            let on_disk = matches!(part.content, Content::Disk(_));
            let limit = if on_disk { failed.patience_on_disk } else { failed.patience };
            // What is on disk waits for the next process.
            closing && on_disk
                || !self.limits.retry.enabled
                || limit.is_some_and(|limit| next.saturating_duration_since(since) > limit)
        };
        let (given_up, again): (Vec<Part>, Vec<Part>) = work.parts.into_iter().partition(gives_up);
        let wait = (!again.is_empty()).then(|| next.saturating_duration_since(now));
        for mut part in again.into_iter().rev() {
            part.first_failure.get_or_insert(now);
            lane.push_front(part);
        }
        state.forget(&given_up);
        state.schedule(work.lane, &self.limits);
        drop(state);
        self.woken();
        (given_up, wait)
    }

    /// Refuses pushes from now on; what is held is due at once. What fails then is repeated if it is in memory.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        let lanes: Vec<u64> = state.lanes.keys().copied().collect();
        for id in lanes {
            if let Some(lane) = state.lanes.get_mut(&id) {
                lane.retry = None;
            }
            state.schedule(id, &self.limits);
        }
        drop(state);
        self.wake.notify_waiters();
        self.freed.notify_waiters();
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closing
    }

    /// Takes everything that nobody will send any more.
    pub(crate) fn clear(&self) -> Vec<Part> {
        let mut state = self.lock();
        state.due.clear();
        state.index.clear();
        let lanes = std::mem::take(&mut state.lanes);
        let parts: Vec<Part> = lanes.into_values().flat_map(|lane| lane.parts).collect();
        state.forget(&parts);
        parts
    }

    fn woken(&self) {
        self.wake.notify_one();
        let state = self.lock();
        if state.closing && state.lanes.is_empty() {
            self.wake.notify_waiters();
        }
        drop(state);
        self.freed.notify_waiters();
    }

    /// Gives back room.
    pub(crate) fn free(&self, size: u64) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(size);
        drop(state);
        self.freed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The lane of a stream, made if there is none.
    fn lane(&mut self, group: &Arc<str>, stream: &Arc<str>) -> u64 {
        let streams = self.index.entry(group.clone()).or_default();
        if let Some(id) = streams.get(stream) {
            return *id;
        }
        let id = self.next_lane;
        self.next_lane += 1;
        streams.insert(stream.clone(), id);
        let lane = Lane {
            group: group.clone(),
            stream: stream.clone(),
            parts: VecDeque::new(),
            size: 0,
            events: 0,
            in_flight: 0,
            due: None,
            retry: None,
        };
        self.lanes.insert(id, lane);
        id
    }

    /// Books when a lane is due. A lane without work is forgotten.
    fn schedule(&mut self, id: u64, limits: &Limits) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if let Some(due) = lane.due.take() {
            self.due.remove(&(due, id));
        }
        if lane.parts.is_empty() && lane.in_flight == 0 {
            if let Some(streams) = self.index.get_mut(&lane.group) {
                streams.remove(&lane.stream);
                if streams.is_empty() {
                    self.index.remove(&lane.group);
                }
            }
            self.lanes.remove(&id);
        } else if let Some(due) = lane.next_due(limits.requests_per_stream, self.closing) {
            lane.due = Some(due);
            self.due.insert((due, id));
        }
    }

    fn next(&mut self, limits: &Limits) -> Next {
        if self.closing && self.lanes.is_empty() {
            return Next::Closed;
        }
        if self.in_flight >= self.allowed {
            return Next::Idle;
        }
        let Some(&(at, id)) = self.due.first() else { return Next::Idle };
        if at > Instant::now() {
            return Next::At(at);
        }
        let Some(lane) = self.lanes.get_mut(&id) else { return Next::Idle };
        lane.in_flight += 1;
        self.in_flight += 1;
        let work = Work {
            lane: id,
            group: lane.group.clone(),
            stream: lane.stream.clone(),
            parts: lane.take_body(),
        };
        self.schedule(id, limits);
        Next::Work(work)
    }

    fn forget(&mut self, parts: &[Part]) {
        for part in parts {
            self.memory = self.memory.saturating_sub(part.memory());
            self.events = self.events.saturating_sub(part.summary.events as u64);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
