//! The contract of exporters, for one that sends to a place in memory.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use component::{Config, ConsumeError, ExporterFactory, Meta, Stability, async_trait};
use confmap::Optional;
use helper::{ExporterConfig, QueueConfig, RetryConfig, SendError, Sender};
use pdata::{Batch, Signal};
use serde::Deserialize;
use testkit::contract::{Answer, Destination, ExporterContract};
use tokio::sync::watch;

/// The places, by name: a configuration can only hold text.
static PLACES: Mutex<BTreeMap<String, Arc<Place>>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToPlace {
    place: String,
    sending_queue: Optional<QueueConfig>,
    retry_on_failure: RetryConfig,
}

impl Config for ToPlace {}

struct Place {
    yaml: String,
    answers: Mutex<VecDeque<Answer>>,
    items: watch::Sender<usize>,
}

#[async_trait]
impl Destination for Place {
    fn yaml(&self) -> String {
        self.yaml.clone()
    }

    fn answer(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn items(&self) -> usize {
        *self.items.borrow()
    }

    async fn wait_for_items(&self, items: usize) {
        self.items.subscribe().wait_for(|accepted| *accepted >= items).await.unwrap();
    }
}

struct PlaceSender(Arc<Place>);

#[async_trait]
impl Sender for PlaceSender {
    async fn send(&self, batch: Batch) -> Result<(), SendError> {
        match self.0.answers.lock().unwrap().pop_front().unwrap_or(Answer::Accept) {
            Answer::Accept => {
                self.0.items.send_modify(|items| *items += batch.items());
                Ok(())
            }
            Answer::Retryable => Err(ConsumeError::retryable("later").into()),
            Answer::Permanent => Err(ConsumeError::permanent("never").into()),
        }
    }
}

fn factory() -> ExporterFactory {
    let meta = Meta {
        kind: "place",
        aliases: &[],
        deprecated_aliases: &[],
        signals: &[
            (Signal::Metrics, Stability::Stable),
            (Signal::Logs, Stability::Stable),
            (Signal::Traces, Stability::Stable),
        ],
    };
    ExporterFactory::new::<ToPlace>(meta, |settings, config, signal| {
        let exporter = ExporterConfig {
            queue: config.sending_queue.clone(),
            retry: config.retry_on_failure.clone(),
            timeout: None,
        };
        let place = PLACES.lock().unwrap().get(&config.place).cloned().unwrap();
        Ok(helper::exporter(&settings, signal, Arc::new(PlaceSender(place)), exporter, Vec::new()))
    })
}

#[tokio::test(start_paused = true)]
async fn contract() {
    let queues = [
        "{enabled: false}",
        "{}",
        "{num_consumers: 1, queue_size: 3, block_on_overflow: true}",
        "{sizer: items, batch: {}}",
        "{batch: {min_size: 5, max_size: 6}, num_consumers: 3}",
    ];
    for queue in queues {
        let place = async |signal: Signal| {
            let mut places = PLACES.lock().unwrap();
            let name = format!("{signal}{}", places.len());
            let yaml = format!(
                "{{place: {name}, sending_queue: {queue}, retry_on_failure: {{initial_interval: 1ms}}}}"
            );
            let place = Arc::new(Place { yaml, answers: Mutex::default(), items: watch::Sender::new(0) });
            places.insert(name, place.clone());
            place as Arc<dyn Destination>
        };
        ExporterContract::new(factory(), "").check_against(place).await;
    }
}
