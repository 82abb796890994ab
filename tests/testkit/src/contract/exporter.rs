//! The contract of exporters.

use std::sync::Arc;

use component::telemetry::items_name;
use component::{ConsumeError, Exporter, ExporterFactory, Host, Kind, async_trait};
use pdata::Signal;

use super::{assert_total, batches, items, node, stop, total};
use crate::TestTelemetry;

/// How a destination answers one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It takes the request.
    Accept,
    /// It refuses the request for now.
    Retryable,
    /// It refuses the request for good.
    Permanent,
}

/// Where an exporter under test sends.
#[async_trait]
pub trait Destination: Send + Sync {
    /// The configuration of the exporter that sends here, with retries that wait about a millisecond.
    fn yaml(&self) -> String;

    /// Answers the next requests like this, and accepts all after them.
    fn answer(&self, answers: &[Answer]);

    /// How many items it has accepted.
    fn items(&self) -> usize;

    /// Waits until it has accepted `items` items.
    async fn wait_for_items(&self, items: usize);
}

/// The suite for an exporter.
pub struct ExporterContract {
    factory: ExporterFactory,
    yaml: String,
    counts: bool,
}

struct Run {
    exporter: Arc<dyn Exporter>,
    telemetry: TestTelemetry,
    host: Host,
}

impl ExporterContract {
    /// A suite over a factory and a configuration that reaches no destination that could fail.
    pub fn new(factory: ExporterFactory, yaml: impl Into<String>) -> Self {
        Self { factory, yaml: yaml.into(), counts: true }
    }

    /// The exporter has no telemetry of its own.
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        self.counts = false;
        self
    }

    /// Runs what needs no destination, for every signal.
    pub async fn check(&self) {
        for (signal, _) in self.factory.meta.signals {
            let run = self.run(*signal, &self.yaml);
            stop(&*run.exporter, &run.host).await;
            let run = self.started(*signal, &self.yaml).await;
            stop(&*run.exporter, &run.host).await;
            let run = self.started(*signal, &self.yaml).await;
            self.send_all(&run, *signal).await;
            stop(&*run.exporter, &run.host).await;
            if self.counts {
                assert_counts(&run, *signal, items(&batches(*signal)), 0, "when all is well");
            }
        }
    }

    /// Runs everything, for every signal, each case against a destination of its own.
    pub async fn check_against(&self, destination: impl AsyncFn(Signal) -> Arc<dyn Destination>) {
        for (signal, _) in self.factory.meta.signals {
            self.drains(*signal, &*destination(*signal).await).await;
            self.retries(*signal, &*destination(*signal).await).await;
            self.counts_losses(*signal, &*destination(*signal).await).await;
        }
    }

    async fn drains(&self, signal: Signal, destination: &dyn Destination) {
        let run = self.run(signal, &destination.yaml());
        stop(&*run.exporter, &run.host).await;
        let run = self.started(signal, &destination.yaml()).await;
        self.send_all(&run, signal).await;
        stop(&*run.exporter, &run.host).await;
        let sent = items(&batches(signal));
        assert_eq!(destination.items(), sent, "{signal} items delivered by shutdown");
        assert_counts(&run, signal, sent, 0, "when all is well");
    }

    async fn retries(&self, signal: Signal, destination: &dyn Destination) {
        destination.answer(&[Answer::Retryable, Answer::Accept, Answer::Retryable]);
        let run = self.started(signal, &destination.yaml()).await;
        self.send_all(&run, signal).await;
        let sent = items(&batches(signal));
        destination.wait_for_items(sent).await;
        stop(&*run.exporter, &run.host).await;
        assert_eq!(destination.items(), sent, "{signal} items delivered after passing errors");
        assert_counts(&run, signal, sent, 0, "after passing errors");
    }

    async fn counts_losses(&self, signal: Signal, destination: &dyn Destination) {
        destination.answer(&[Answer::Permanent; 16]);
        let run = self.started(signal, &destination.yaml()).await;
        for batch in batches(signal) {
            let result = run.exporter.consume(batch).await;
            assert!(result.is_ok() || result.is_err_and(|error| error.is_permanent()));
        }
        stop(&*run.exporter, &run.host).await;
        assert_eq!(destination.items(), 0);
        assert_counts(&run, signal, 0, items(&batches(signal)), "after permanent errors");
    }

    async fn send_all(&self, run: &Run, signal: Signal) {
        for batch in batches(signal) {
            let result: Result<(), ConsumeError> = run.exporter.consume(batch).await;
            assert_eq!(result, Ok(()), "{signal}");
        }
    }

    async fn started(&self, signal: Signal, yaml: &str) -> Run {
        let run = self.run(signal, yaml);
        let started = run.exporter.start(&run.host).await;
        assert!(started.is_ok(), "start: {started:?}");
        run
    }

    #[allow(clippy::expect_used, reason = "a configuration that does not decode is a failed test")]
    fn run(&self, signal: Signal, yaml: &str) -> Run {
        let telemetry = TestTelemetry::default();
        let settings = telemetry.settings(Kind::Exporter, self.factory.meta.kind);
        let config = self.factory.decode(node(yaml).as_ref(), "").expect("configuration");
        let exporter = self.factory.create(settings, &config, signal).expect("created");
        Run { exporter, telemetry, host: Host::standalone() }
    }
}

/// Both counters exist and say this.
fn assert_counts(run: &Run, signal: Signal, sent: usize, failed: usize, when: &str) {
    let values = run.telemetry.values();
    let items = items_name(signal);
    assert_total(&values, &format!("otelcol_exporter_sent_{items}"), sent, when);
    assert_total(&values, &format!("otelcol_exporter_send_failed_{items}"), failed, when);
    let in_flight = total(&values, "otelcol_exporter_in_flight_requests").unwrap_or_default();
    assert_eq!(in_flight, 0.0, "requests in flight {when}");
}
