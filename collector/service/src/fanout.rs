//! One batch to several consumers.

use std::sync::Arc;

use component::{ConsumeError, Consumer, async_trait};
use pdata::Batch;

/// Gives every batch to each of its consumers, in order. All are called, whatever the others answer; the answer is that
/// of all together, so a sender that retries sends again to those that had accepted, as upstream does.
struct Fanout {
    consumers: Vec<Arc<dyn Consumer>>,
}

/// The consumer of all `consumers`: the one itself where there is only one.
pub(crate) fn fan_out(mut consumers: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
    match consumers.pop() {
        Some(only) if consumers.is_empty() => only,
        last => {
            consumers.extend(last);
            Arc::new(Fanout { consumers })
        }
    }
}

#[async_trait]
impl Consumer for Fanout {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let mut errors = Vec::new();
        for consumer in &self.consumers {
            errors.extend(consumer.consume(batch.clone()).await.err());
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
}
