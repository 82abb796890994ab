//! Joins queued requests into batches and sends several at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use component::Host;
use pdata::{Batch, ClientInfo};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::{BatchConfig, Sizer};
use crate::delivery::Delivery;
use crate::exporter::send_and_finish;
use crate::queue::{Element, Queue, Ticket};

/// Partitions that wait at the same time; beyond it the oldest is sent early.
const MAX_PARTITIONS: usize = 10_000;

/// The one reader of a queue that forms batches.
pub(crate) struct Batcher {
    pub(crate) queue: Arc<Queue>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) host: Host,
    /// The name of its tasks.
    pub(crate) name: String,
    pub(crate) workers: u32,
    pub(crate) groups: Groups,
}

/// A batch and the tickets of the requests in it.
pub(crate) struct Group {
    pub(crate) batch: Batch,
    pub(crate) tickets: Vec<Ticket>,
}

/// The batches that wait for more, one per partition.
pub(crate) struct Groups {
    flush_timeout: Duration,
    sizer: Sizer,
    min_size: u64,
    max_size: Option<u64>,
    /// Lower case, sorted.
    keys: Vec<String>,
    waiting: HashMap<Partition, Waiting>,
    /// Partitions in the order of their deadlines. An entry whose group has been sent since is skipped.
    order: VecDeque<(Instant, u64, Partition)>,
    next: u64,
}

/// The values of the partition's keys.
type Partition = Vec<Vec<String>>;

struct Waiting {
    number: u64,
    group: Group,
}

impl Batcher {
    /// Runs until the queue is closed and empty and everything is sent.
    pub(crate) async fn run(mut self) {
        let workers = Arc::new(Semaphore::new(self.workers as usize));
        loop {
            let deadline = self.groups.deadline();
            let element = tokio::select! {
                biased;
                () = sleep_until(deadline) => Some(None),
                element = self.queue.take() => element.map(Some),
            };
            let ready = match element {
                None => break,
                Some(None) => self.groups.take_due(Instant::now()),
                Some(Some(element)) => self.groups.add(element),
            };
            for group in ready {
                self.send(&workers, group).await;
            }
        }
        for group in self.groups.take_all() {
            self.send(&workers, group).await;
        }
        // All permits are back when all workers have ended; the semaphore is never closed.
        let _ = workers.acquire_many(self.workers).await;
    }

    async fn send(&self, workers: &Arc<Semaphore>, group: Group) {
        let Ok(permit) = workers.clone().acquire_owned().await else { return };
        let delivery = self.delivery.clone();
        self.host.spawn(self.name.clone(), async move {
            send_and_finish(&delivery, group.batch, group.tickets).await;
            drop(permit);
        });
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Groups {
    pub(crate) fn new(config: &BatchConfig) -> Self {
        let mut keys: Vec<String> =
            config.partition.metadata_keys.iter().map(|key| key.to_lowercase()).collect();
        keys.sort();
        Self {
            flush_timeout: config.flush_timeout.0,
            sizer: config.sizer,
            min_size: u64::try_from(config.min_size).unwrap_or_default(),
            max_size: u64::try_from(config.max_size).ok().filter(|max| *max > 0),
            keys,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }

    /// When the first group is due.
    fn deadline(&mut self) -> Option<Instant> {
        while let Some((deadline, number, partition)) = self.order.front() {
            if self.waiting.get(partition).is_some_and(|waiting| waiting.number == *number) {
                return Some(*deadline);
            }
            self.order.pop_front();
        }
        None
    }

    /// Adds an element to its group and returns what is large enough to be sent.
    fn add(&mut self, element: Element) -> Vec<Group> {
        let Element { batch, ticket } = element;
        let partition = self.partition(&batch);
        let batch = batch.with_client(self.client(&partition));
        let (mut group, number) = match self.waiting.remove(&partition) {
            Some(waiting) => (waiting.group, Some(waiting.number)),
            None => (Group { batch: Batch::empty(batch.signal()), tickets: Vec::new() }, None),
        };
        let mut ready = Vec::new();
        if group.tickets.is_empty() {
            group.batch = batch;
        } else if let Err(batch) = group.batch.append(batch) {
            // Another signal cannot be joined; it travels alone.
            ready.push(Group { batch, tickets: vec![ticket.share()] });
        }
        group.tickets.push(ticket);
        let split = self.split(&mut group, &mut ready);
        if self.sizer.size(&group.batch) >= self.min_size {
            ready.push(group);
        } else if !group.tickets.is_empty() {
            self.hold(partition, group, number.filter(|_| !split));
        }
        if self.waiting.len() > MAX_PARTITIONS {
            ready.extend(self.take_oldest());
        }
        ready
    }

    /// Cuts full batches off the front of a group. Whether there were any.
    fn split(&self, group: &mut Group, ready: &mut Vec<Group>) -> bool {
        let Some(max) = self.max_size else { return false };
        let mut split = false;
        while self.sizer.size(&group.batch) > max && group.batch.items() > 1 {
            let first = self.split_first(&mut group.batch, max);
            // The group did not exceed the maximum before its last element, so the rest is of that one alone.
            let last = group.tickets.last().map(Ticket::share);
            let rest = last.into_iter().collect();
            ready.push(Group { batch: first, tickets: std::mem::replace(&mut group.tickets, rest) });
            split = true;
        }
        split
    }

    /// Takes the longest front of the batch that is not larger than `max`, at least one item.
    fn split_first(&self, batch: &mut Batch, max: u64) -> Batch {
        let items = batch.items();
        let mut take = match self.sizer {
            Sizer::Bytes => share(items, max, batch.encoded_len() as u64),
            Sizer::Items | Sizer::Requests => usize::try_from(max).unwrap_or(usize::MAX),
        };
        loop {
            take = take.clamp(1, items.saturating_sub(1).max(1));
            let mut rest = batch.clone();
            let first = rest.split_off_first(take);
            let size = self.sizer.size(&first);
            if size <= max || take == 1 {
                *batch = rest;
                return first;
            }
            take = share(take, max, size).min(take - 1);
        }
    }

    /// Keeps a group; with the deadline it has, or a new one.
    fn hold(&mut self, partition: Partition, group: Group, number: Option<u64>) {
        let number = number.unwrap_or_else(|| {
            self.next += 1;
            let deadline = Instant::now() + self.flush_timeout;
            self.order.push_back((deadline, self.next, partition.clone()));
            self.next
        });
        self.waiting.insert(partition, Waiting { number, group });
    }

    fn take_due(&mut self, now: Instant) -> Vec<Group> {
        let mut due = Vec::new();
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            due.extend(self.take_oldest());
        }
        due
    }

    fn take_oldest(&mut self) -> Option<Group> {
        self.deadline()?;
        let (_, _, partition) = self.order.pop_front()?;
        self.waiting.remove(&partition).map(|waiting| waiting.group)
    }

    fn take_all(&mut self) -> Vec<Group> {
        let mut all = Vec::new();
        while let Some(group) = self.take_oldest() {
            all.push(group);
        }
        all
    }

    fn partition(&self, batch: &Batch) -> Partition {
        let values = |key: &String| {
            batch
                .client()
                .and_then(|client| client.metadata.iter().find(|(name, _)| name == key))
                .map(|(_, values)| values.clone())
                .unwrap_or_default()
        };
        self.keys.iter().map(values).collect()
    }

    /// What is known of the senders of a joined batch: the values that they have in common.
    fn client(&self, partition: &Partition) -> Option<Arc<ClientInfo>> {
        if self.keys.is_empty() {
            return None;
        }
        let metadata = self.keys.iter().cloned().zip(partition.iter().cloned());
        let metadata = metadata.filter(|(_, values)| !values.is_empty()).collect();
        Some(Arc::new(ClientInfo { address: None, metadata }))
    }
}

/// `items × max / size`, rounded down.
fn share(items: usize, max: u64, size: u64) -> usize {
    let share = items as u128 * u128::from(max) / u128::from(size.max(1));
    usize::try_from(share).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
