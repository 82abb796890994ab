//! What every component owes its pipeline, as one suite per kind.
//!
//! A component's tests run it with its factory and a minimal configuration:
//!
//! ```ignore
//! #[tokio::test(start_paused = true)]
//! async fn contract() {
//!     ProcessorContract::new(batchprocessor::factory(), "").losses("otelcol_processor_batch_dropped_items").check().await;
//! }
//! ```

mod exporter;
mod processor;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use component::{Component, Host};
use confmap::Node;
use pdata::{Batch, Signal};
use tokio::time::Instant;

pub use exporter::{Answer, Destination, ExporterContract};
pub use processor::ProcessorContract;

/// Three batches of a signal, of different sizes.
fn batches(signal: Signal) -> Vec<Batch> {
    let batch = |items: usize| match signal {
        Signal::Metrics => crate::gauges(1, items),
        Signal::Logs => crate::logs(items),
        Signal::Traces => crate::spans(items),
    };
    [1, 7, 20].into_iter().map(batch).map(|batch| moved_to_now(&batch)).collect()
}

/// The batch with the time of now: some destinations take nothing old.
#[allow(clippy::expect_used, reason = "the sample is valid, and stays so")]
fn moved_to_now(batch: &Batch) -> Batch {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let json = String::from_utf8(batch.to_json()).expect("JSON is UTF-8");
    let moved = json.replace(&crate::sample::TIME.to_string(), &now.to_string());
    Batch::from_json(batch.signal(), moved.as_bytes()).expect("only the time has changed")
}

fn items(batches: &[Batch]) -> usize {
    batches.iter().map(Batch::items).sum()
}

/// The configuration of the component; empty text is a component without one.
#[allow(clippy::expect_used, reason = "the text comes from a test")]
fn node(yaml: &str) -> Option<Node> {
    (!yaml.trim().is_empty()).then(|| Node::from_yaml("contract", yaml).expect("yaml"))
}

/// Shuts down and checks that nothing is left behind.
#[allow(clippy::expect_used, reason = "a failed shutdown is a failed test")]
async fn stop(component: &(impl Component + ?Sized), host: &Host) {
    component.shutdown(Instant::now() + Duration::from_secs(30)).await.expect("shutdown");
    // A task leaves the list when it is dropped, which may be a moment after it is joined.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.tasks().names(), Vec::<String>::new(), "tasks are left after shutdown");
}

/// The sum of all series of a metric; `None` if there are none.
fn total(values: &BTreeMap<String, f64>, name: &str) -> Option<f64> {
    values
        .iter()
        .filter(|(series, _)| series.split_once('{').is_some_and(|(metric, _)| metric == name))
        .map(|(_, value)| *value)
        .reduce(|a, b| a + b)
}

fn assert_total(values: &BTreeMap<String, f64>, name: &str, expected: usize, when: &str) {
    assert_eq!(total(values, name), Some(expected as f64), "{name} {when}: {values:#?}");
}
