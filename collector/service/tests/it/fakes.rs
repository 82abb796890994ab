//! Components that write down what happens to them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::service::Plan;
use component::{
    BoxError, BuildInfo, Component, Config, ConsumeError, Consumer, Exporter, ExporterFactory, Extension,
    ExtensionFactory, Host, Meta, Outputs, Processor, ProcessorFactory, ReceiverFactory, Registry, Settings,
    Stability, async_trait,
};
use confmap::{Problems, Resolver, System};
use pdata::{Batch, Signal};
use serde::Deserialize;
use tokio::time::Instant;

/// What happened, in order.
pub(crate) type Journal = Arc<Mutex<Vec<String>>>;

/// The journal of the current test: each test runs on its own thread, and factories are plain functions.
fn journal() -> Journal {
    thread_local! {
        static JOURNAL: Journal = Journal::default();
    }
    JOURNAL.with(Clone::clone)
}

/// What happened so far.
pub(crate) fn happened() -> Vec<String> {
    journal().lock().unwrap().clone()
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FakeConfig {
    fail_start: bool,
    size: u32,
}

impl Config for FakeConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.size > 9 {
            problems.at("size", |problems| problems.report("must be at most 9"));
        }
    }
}

struct Fake {
    id: String,
    config: Arc<FakeConfig>,
    journal: Journal,
    outputs: Outputs,
    next: Option<Arc<dyn Consumer>>,
}

impl Fake {
    fn note(&self, what: &str) {
        self.journal.lock().unwrap().push(format!("{what} {}", self.id));
    }
}

#[async_trait]
impl Component for Fake {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        if self.config.fail_start {
            return Err("no luck".into());
        }
        self.note("start");
        for signal in Signal::ALL {
            if let Some(output) = self.outputs.get(signal).cloned() {
                host.spawn(self.id.clone(), async move {
                    let batch = match signal {
                        Signal::Metrics => testkit::gauges(1, 2),
                        Signal::Logs => testkit::logs(3),
                        Signal::Traces => testkit::spans(4),
                    };
                    output.consume(batch).await
                })
                .await??;
            }
        }
        Ok(())
    }

    async fn shutdown(&self, _: Instant) -> Result<(), BoxError> {
        self.note("stop");
        Ok(())
    }
}

#[async_trait]
impl Consumer for Fake {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        self.note(&format!("{} {}:", batch.items(), batch.signal()));
        match &self.next {
            Some(next) => next.consume(batch).await,
            None => Ok(()),
        }
    }
}

impl Extension for Fake {
    fn ready(&self) {
        self.note("ready");
    }

    fn not_ready(&self) {
        self.note("not ready");
    }
}

const ALL: &[(Signal, Stability)] =
    &[(Signal::Metrics, Stability::Beta), (Signal::Logs, Stability::Beta), (Signal::Traces, Stability::Beta)];

fn meta(kind: &'static str, signals: &'static [(Signal, Stability)]) -> Meta {
    Meta { kind, aliases: &[], deprecated_aliases: &["oldname"], signals }
}

fn fake(settings: &Settings, config: Arc<FakeConfig>) -> Fake {
    Fake { id: settings.id.to_string(), config, journal: journal(), outputs: Outputs::default(), next: None }
}

/// A registry of fakes: `in`, `mid`, `out`, `metrics_only` and the extension `beside`.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.receiver(ReceiverFactory::new::<FakeConfig>(meta("in", ALL), |settings, config, outputs| {
        Ok(Arc::new(Fake { outputs, ..fake(&settings, config) }) as Arc<dyn Component>)
    }));
    registry.processor(ProcessorFactory::new::<FakeConfig>(meta("mid", ALL), |settings, config, next| {
        Ok(Arc::new(Fake { next: Some(next), ..fake(&settings, config) }) as Arc<dyn Processor>)
    }));
    let exporter = |settings: Settings, config, _| Ok(Arc::new(fake(&settings, config)) as Arc<dyn Exporter>);
    registry.exporter(ExporterFactory::new::<FakeConfig>(meta("out", ALL), exporter));
    registry.exporter(ExporterFactory::new::<FakeConfig>(
        Meta { deprecated_aliases: &[], ..meta("metrics_only", &[(Signal::Metrics, Stability::Beta)]) },
        exporter,
    ));
    registry.extension(ExtensionFactory::new::<FakeConfig>(meta("beside", &[]), |settings, config, ()| {
        Ok(Arc::new(fake(&settings, config)) as Arc<dyn Extension>)
    }));
    registry
}

pub(crate) fn build_info() -> Arc<BuildInfo> {
    Arc::new(BuildInfo { command: "test".into(), description: String::new(), version: "0".into() })
}

/// The plan of a YAML text, without a metrics server unless it says so.
pub(crate) fn plan(yaml: &str) -> Result<Plan, Problems> {
    let conf = Resolver::default()
        .builtin("quiet.yaml", "service: {telemetry: {metrics: {level: none}}}")
        .builtin("test.yaml", yaml)
        .resolve(&System)?;
    Plan::new(&conf, &registry())
}

/// A moment that no test reaches.
pub(crate) fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
