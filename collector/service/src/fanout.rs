//! One batch to several consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use component::{ConsumeError, Consumer, async_trait};
use pdata::Batch;

/// Gives every batch to each of its consumers, in order. All are called, whatever the others answer; the answer is that
/// of all together. A sender outside the process that tries again sends again to those that had accepted, as with
/// upstream; a stage of ours that tries again tracks the batch, and those that had accepted are left out.
struct Fanout {
    /// Tells this fan-out from the others that a tracked batch meets.
    number: u64,
    consumers: Vec<Arc<dyn Consumer>>,
}

/// The number of the next fan-out.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The consumer of all `consumers`: the one itself where there is only one.
pub(crate) fn fan_out(mut consumers: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
    match consumers.pop() {
        Some(only) if consumers.is_empty() => only,
        last => {
            consumers.extend(last);
            Arc::new(Fanout { number: NEXT.fetch_add(1, Ordering::Relaxed), consumers })
        }
    }
}

#[async_trait]
impl Consumer for Fanout {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let mut errors = Vec::new();
        for (branch, consumer) in self.consumers.iter().enumerate() {
            if batch.deliveries().is_some_and(|deliveries| deliveries.contains(self.number, branch)) {
                continue;
            }
            match consumer.consume(batch.clone()).await {
                Err(error) => errors.push(error),
                Ok(()) => {
                    if let Some(deliveries) = batch.deliveries() {
                        deliveries.insert(self.number, branch);
                    }
                }
            }
        }
        ConsumeError::join(errors).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::RecordingSink;

    #[tokio::test]
    async fn every_consumer_is_called_and_errors_are_joined() {
        let bad = RecordingSink::scripted([Some(ConsumeError::permanent("broken"))]);
        let good = RecordingSink::new();
        let fan = fan_out(vec![bad.clone(), good.clone()]);
        let batch = testkit::gauges(1, 3);
        assert_eq!(fan.consume(batch.clone()).await, Err(ConsumeError::permanent("broken")));
        assert_eq!((bad.items(), good.items()), (0, 3));
        assert_eq!(fan.consume(batch).await, Ok(()));
        assert_eq!((bad.items(), good.items()), (3, 6));
    }

    #[tokio::test]
    async fn a_tracked_batch_goes_to_each_branch_once() {
        let slow = RecordingSink::scripted([
            Some(ConsumeError::retryable("full")),
            Some(ConsumeError::retryable("full")),
        ]);
        let good = RecordingSink::new();
        let inner = fan_out(vec![good.clone(), slow.clone()]);
        let beside = RecordingSink::new();
        let fan = fan_out(vec![inner, beside.clone()]);
        let batch = testkit::gauges(1, 3).tracked();
        assert_eq!(fan.consume(batch.clone()).await, Err(ConsumeError::retryable("full")));
        assert_eq!(fan.consume(batch.clone()).await, Err(ConsumeError::retryable("full")));
        assert_eq!(fan.consume(batch).await, Ok(()));
        assert_eq!((good.calls(), slow.calls(), beside.calls()), (1, 3, 1));
    }
}
