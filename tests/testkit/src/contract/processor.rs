//! The contract of processors.

use std::sync::Arc;
use std::time::Duration;

use component::{ConsumeError, Host, Kind, Processor, ProcessorFactory};
use pdata::{Batch, Signal};

use super::{assert_total, batches, items, node, stop, total};
use crate::{RecordingSink, TestTelemetry};

/// The suite for a processor that hands on every item.
pub struct ProcessorContract {
    factory: ProcessorFactory,
    yaml: String,
    telemetry: Vec<&'static str>,
    losses: Option<&'static str>,
}

struct Run {
    processor: Arc<dyn Processor>,
    sink: Arc<RecordingSink>,
    telemetry: TestTelemetry,
    host: Host,
}

impl ProcessorContract {
    /// A suite over a factory and a configuration that keeps every item.
    pub fn new(factory: ProcessorFactory, yaml: impl Into<String>) -> Self {
        Self { factory, yaml: yaml.into(), telemetry: Vec::new(), losses: None }
    }

    /// Metrics that must exist after data has passed, beyond those of every processor; `X` stands for the items of
    /// the signal.
    #[must_use]
    pub fn telemetry(mut self, names: &[&'static str]) -> Self {
        self.telemetry.extend(names);
        self
    }

    /// The processor answers before the next stage does, and counts in this metric what that stage refuses for good.
    #[must_use]
    pub fn losses(mut self, metric: &'static str) -> Self {
        self.losses = Some(metric);
        self
    }

    /// Runs the suite for every signal. Needs a paused clock.
    pub async fn check(&self) {
        for (signal, _) in self.factory.meta.signals {
            self.stops_without_start(*signal).await;
            self.starts_and_stops(*signal).await;
            self.delivers(*signal, vec![], "when all is well").await;
            let passing = || Some(ConsumeError::retryable("try later"));
            self.delivers(*signal, vec![passing(), None, passing(), passing()], "after passing errors").await;
            self.answers_for_losses(*signal).await;
        }
    }

    async fn stops_without_start(&self, signal: Signal) {
        let run = self.run(signal, vec![]);
        stop(&*run.processor, &run.host).await;
    }

    async fn starts_and_stops(&self, signal: Signal) {
        let run = self.started(signal, vec![]).await;
        stop(&*run.processor, &run.host).await;
        assert_eq!(run.sink.items(), 0, "items came from nowhere");
    }

    async fn delivers(&self, signal: Signal, script: Vec<Option<ConsumeError>>, when: &str) {
        let run = self.started(signal, script).await;
        let sent = batches(signal);
        for batch in &sent {
            insist(&*run.processor, batch).await;
        }
        stop(&*run.processor, &run.host).await;
        assert_eq!(run.sink.items(), items(&sent), "{signal} items delivered {when}");
        let values = run.telemetry.values();
        for name in &self.telemetry {
            let name = name.replace('X', component::telemetry::items_name(signal));
            assert!(total(&values, &name).is_some(), "{name} is not emitted: {values:#?}");
        }
        for name in ["otelcol_processor_incoming_items", "otelcol_processor_outgoing_items"] {
            // What is refused and comes again counts again.
            let counted = total(&values, name).unwrap_or_default();
            assert!(counted >= items(&sent) as f64, "{name} {when}: {counted}");
        }
    }

    async fn answers_for_losses(&self, signal: Signal) {
        let run = self.started(signal, vec![]).await;
        run.sink.refuse(Some(ConsumeError::permanent("never")));
        let sent = batches(signal);
        for batch in &sent {
            let result = run.processor.consume(batch.clone()).await;
            match self.losses {
                Some(_) => assert_eq!(result, Ok(()), "a buffering processor answers for what it took"),
                None => assert!(
                    result.as_ref().is_err_and(ConsumeError::is_permanent),
                    "a permanent error must reach the caller, got {result:?}"
                ),
            }
        }
        stop(&*run.processor, &run.host).await;
        let values = run.telemetry.values();
        if let Some(metric) = self.losses {
            assert_total(&values, metric, items(&sent), "after permanent errors");
        }
    }

    async fn started(&self, signal: Signal, script: Vec<Option<ConsumeError>>) -> Run {
        let run = self.run(signal, script);
        let started = run.processor.start(&run.host).await;
        assert!(started.is_ok(), "start: {started:?}");
        run
    }

    #[allow(clippy::expect_used, reason = "a configuration that does not decode is a failed test")]
    fn run(&self, signal: Signal, script: Vec<Option<ConsumeError>>) -> Run {
        let telemetry = TestTelemetry::default();
        let mut settings = telemetry.settings(Kind::Processor, self.factory.meta.kind);
        settings.pipeline = component::PipelineId::parse(signal.as_str()).ok();
        let config = self.factory.decode(node(&self.yaml).as_ref(), "").expect("configuration");
        let sink = RecordingSink::scripted(script);
        let processor = self.factory.create(settings, &config, sink.clone()).expect("created");
        Run { processor, sink, telemetry, host: Host::standalone() }
    }
}

/// Consumes as a sender that retries does.
async fn insist(processor: &dyn Processor, batch: &Batch) {
    while let Err(error) = processor.consume(batch.clone()).await {
        assert!(!error.is_permanent(), "permanent error: {error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
