use proptest::prelude::*;

use super::*;

fn queue(size: i64, sizer: Sizer, block_on_overflow: bool) -> Arc<Queue> {
    Queue::new(&QueueConfig { queue_size: size, sizer, block_on_overflow, ..QueueConfig::default() })
}

fn text<T>(result: Result<T, ConsumeError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

/// One step against the queue; numbers choose among what is out.
#[derive(Debug, Clone)]
enum Step {
    Offer(usize),
    Take,
    Share(usize),
    Finish(usize, bool),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..7).prop_map(Step::Offer),
        2 => Just(Step::Take),
        1 => any::<usize>().prop_map(Step::Share),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(i, ok)| Step::Finish(i, ok)),
        1 => any::<usize>().prop_map(Step::Drop),
    ];
    proptest::collection::vec(step, 0..80)
}

/// What is out: the number of the element and a ticket of it.
type Out = Vec<(usize, Ticket)>;

#[derive(Default)]
struct Model {
    queued: VecDeque<(usize, u64)>,
    /// Open tickets and size of every element that was taken, by number.
    taken: Vec<(usize, u64, usize)>,
    accepted: u64,
    finished: u64,
}

impl Model {
    fn used(&self) -> u64 {
        self.queued.iter().map(|(_, size)| size).sum::<u64>()
            + self.taken.iter().map(|(_, size, _)| size).sum::<u64>()
    }

    fn close_ticket(&mut self, number: usize) {
        let at = self.taken.iter().position(|(taken, _, _)| *taken == number).unwrap();
        self.taken[at].2 -= 1;
        if self.taken[at].2 == 0 {
            self.finished += self.taken.remove(at).1;
        }
    }
}

async fn run_step(queue: &Arc<Queue>, model: &mut Model, out: &mut Out, step: Step, capacity: u64) {
    match step {
        Step::Offer(items) => {
            let size = items as u64;
            let result = text(queue.offer(testkit::gauges(1, items)).await);
            let expected = match size {
                0 => "",
                size if size > capacity => "element size too large",
                size if model.used() + size > capacity => "sending queue is full",
                size => {
                    let number = model.accepted as usize;
                    model.queued.push_back((number, size));
                    model.accepted += size;
                    ""
                }
            };
            assert_eq!(result, expected);
        }
        Step::Take => {
            let taken = queue.try_take();
            let expected = model.queued.pop_front();
            assert_eq!(taken.as_ref().map(|e| e.batch.items() as u64), expected.map(|(_, size)| size));
            if let (Some(element), Some((number, size))) = (taken, expected) {
                model.taken.push((number, size, 1));
                out.push((number, element.ticket));
            }
        }
        Step::Share(i) if !out.is_empty() => {
            let (number, ticket) = &out[i % out.len()];
            let shared = (*number, ticket.share());
            model.taken.iter_mut().find(|(taken, _, _)| taken == number).unwrap().2 += 1;
            out.push(shared);
        }
        Step::Finish(i, ok) if !out.is_empty() => {
            let (number, ticket) = out.swap_remove(i % out.len());
            let error = ConsumeError::permanent("no");
            ticket.finish(if ok { Ok(()) } else { Err(&error) });
            model.close_ticket(number);
        }
        Step::Drop(i) if !out.is_empty() => {
            let (number, ticket) = out.swap_remove(i % out.len());
            drop(ticket);
            model.close_ticket(number);
        }
        Step::Share(_) | Step::Finish(..) | Step::Drop(_) => {}
    }
}

proptest! {
    #[test]
    fn the_queue_does_what_the_model_does(steps in steps(), capacity in 1u64..12) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let queue = queue(capacity as i64, Sizer::Items, false);
            let (mut model, mut out) = (Model::default(), Out::new());
            for step in steps {
                run_step(&queue, &mut model, &mut out, step, capacity).await;
                assert_eq!(queue.used(), model.used());
                assert!(queue.used() <= capacity);
                // Nothing is lost: what was accepted is queued, out, or finished.
                assert_eq!(model.accepted, model.used() + model.finished);
            }
        });
    }
}

#[tokio::test]
async fn sizers_count_what_they_say() {
    let batch = testkit::gauges(2, 3);
    for (sizer, expected) in
        [(Sizer::Requests, 1), (Sizer::Items, 6), (Sizer::Bytes, batch.encoded_len() as u64)]
    {
        let queue = queue(1_000_000, sizer, false);
        assert_eq!(text(queue.offer(batch.clone()).await), "");
        assert_eq!(queue.used(), expected, "{sizer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn producers_wait_for_room_in_order() {
    let queue = queue(10, Sizer::Items, true);
    let host = component::Host::standalone();
    let done = Arc::new(Mutex::new(Vec::new()));
    // 8 fit; then 9 must wait, and 1 must not overtake it although it would fit.
    let mut producers = Vec::new();
    for items in [8, 9, 1] {
        let (queue, done) = (queue.clone(), done.clone());
        producers.push(host.spawn("producer", async move {
            let result = text(queue.offer(testkit::gauges(1, items)).await);
            done.lock().unwrap().push((items, result));
        }));
        tokio::task::yield_now().await;
    }
    assert_eq!(*done.lock().unwrap(), [(8, String::new())]);
    let first = queue.take().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(done.lock().unwrap().len(), 1, "what was taken still counts");
    first.ticket.finish(Ok(()));
    for producer in producers {
        producer.await.unwrap();
    }
    assert_eq!(*done.lock().unwrap(), [(8, String::new()), (9, String::new()), (1, String::new())]);
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_producers_and_ends_consumers() {
    let queue = queue(1, Sizer::Requests, true);
    let host = component::Host::standalone();
    assert_eq!(text(queue.offer(testkit::gauges(1, 1)).await), "");
    let waiting = {
        let queue = queue.clone();
        host.spawn("producer", async move { text(queue.offer(testkit::gauges(1, 1)).await) })
    };
    tokio::task::yield_now().await;
    queue.close();
    assert_eq!(waiting.await.unwrap(), "sending queue is stopped");
    assert_eq!(text(queue.offer(testkit::gauges(1, 1)).await), "sending queue is stopped");
    assert!(queue.take().await.is_some(), "what is held can still be taken");
    assert!(queue.take().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_burst_reaches_every_waiting_consumer() {
    let queue = queue(10, Sizer::Requests, false);
    let host = component::Host::standalone();
    // Consumers that keep what they take: one alone could not take everything.
    let consumers: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            host.spawn("consumer", async move { queue.take().await.map(|element| element.batch.items()) })
        })
        .collect();
    tokio::task::yield_now().await;
    for items in 1..=3 {
        assert_eq!(text(queue.offer(testkit::gauges(1, items)).await), "");
    }
    let mut taken = Vec::new();
    for consumer in consumers {
        taken.extend(consumer.await.unwrap());
    }
    taken.sort();
    assert_eq!(taken, [1, 2, 3]);
}
