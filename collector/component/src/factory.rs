//! Factories: a component's type, its configuration and how it is built, as a value.

use std::any::Any;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use confmap::{Node, Problems};
use opentelemetry::metrics::Meter;
use pdata::Signal;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::{ComponentId, Consumer, Gates, Host, Kind, PipelineId};

/// An error that only a person reads.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Something that is started once and shut down once.
///
/// State that starting makes lives behind `&self`, because consumers share the component.
#[async_trait]
pub trait Component: Send + Sync {
    /// Binds ports, opens files, spawns tasks. Returns when the component takes data.
    async fn start(&self, _host: &Host) -> Result<(), BoxError> {
        Ok(())
    }

    /// Stops taking data, hands on what is held, ends all tasks; gives up waiting at `deadline`.
    ///
    /// Also called on a component that was never started.
    async fn shutdown(&self, _deadline: Instant) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A stage in the middle of a pipeline.
pub trait Processor: Component + Consumer {}
impl<T: Component + Consumer> Processor for T {}

/// The end of a pipeline.
pub trait Exporter: Component + Consumer {}
impl<T: Component + Consumer> Exporter for T {}

/// A component beside the pipelines.
pub trait Extension: Component {
    /// All pipelines run.
    fn ready(&self) {}

    /// Shutdown has begun.
    fn not_ready(&self) {}

    /// A place for the state of a component of `kind` and `id`; `name` tells its several states apart and may be empty.
    /// `None` for an extension that keeps no state for others; an error where the place cannot be made.
    fn storage(&self, _kind: Kind, _id: &ComponentId, _name: &str) -> Option<Result<StorageArea, BoxError>> {
        None
    }
}

/// A place for state that a storage extension gives to one client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageArea {
    /// Exists, and is for this client alone.
    pub directory: PathBuf,
    /// Whether what is written must survive a loss of power, not only the end of the process.
    pub fsync: bool,
    /// How many bytes the client may keep; 0 for any.
    pub max_bytes: u64,
    /// How long to wait for another process that still uses the place.
    pub timeout: Duration,
}

/// The configuration of a component: what users write. `Default` is what they get when they write nothing.
pub trait Config: DeserializeOwned + Default + Debug + Send + Sync + 'static {
    /// Reports everything that is wrong beyond the types, each at its path.
    fn validate(&self, _problems: &mut Problems) {}
}

/// A decoded configuration whose type only its factory knows.
pub type AnyConfig = Arc<dyn Any + Send + Sync>;

/// How finished upstream says a component is, per signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// `Alpha`
    Alpha,
    /// `Beta`
    Beta,
    /// `Stable`
    Stable,
}

impl Stability {
    /// For a component that takes all signals and is equally finished in each.
    pub const fn for_all_signals(self) -> &'static [(Signal, Stability)] {
        const fn all(stability: Stability) -> [(Signal, Stability); 3] {
            [(Signal::Metrics, stability), (Signal::Logs, stability), (Signal::Traces, stability)]
        }
        const ALPHA: [(Signal, Stability); 3] = all(Stability::Alpha);
        const BETA: [(Signal, Stability); 3] = all(Stability::Beta);
        const STABLE: [(Signal, Stability); 3] = all(Stability::Stable);
        match self {
            Self::Alpha => &ALPHA,
            Self::Beta => &BETA,
            Self::Stable => &STABLE,
        }
    }

    /// As the `components` command prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "Alpha",
            Self::Beta => "Beta",
            Self::Stable => "Stable",
        }
    }
}

/// What a factory says of its component.
#[derive(Debug, Clone)]
pub struct Meta {
    /// The canonical type.
    pub kind: &'static str,
    /// Other types that mean the same.
    pub aliases: &'static [&'static str],
    /// Types that mean the same and earn a warning.
    pub deprecated_aliases: &'static [&'static str],
    /// The signals it takes, and how stable each is; extensions have none.
    pub signals: &'static [(Signal, Stability)],
}

impl Meta {
    /// Whether a pipeline of `signal` may have this component.
    pub fn supports(&self, signal: Signal) -> bool {
        self.signals.iter().any(|(supported, _)| *supported == signal)
    }
}

/// Which build this is: the names under which the collector speaks to others.
#[derive(Debug, Clone)]
pub struct BuildInfo {
    /// The command: `otelcol-insights`.
    pub command: String,
    /// One line about the distribution.
    pub description: String,
    /// Semantic version.
    pub version: String,
}

/// What every component is built with.
#[derive(Clone)]
pub struct Settings {
    /// Its id, as configured.
    pub id: ComponentId,
    /// Its kind.
    pub kind: Kind,
    /// The pipeline it belongs to; processors only.
    pub pipeline: Option<PipelineId>,
    /// Where its own metrics are made.
    pub meter: Meter,
    /// Which build this is.
    pub build: Arc<BuildInfo>,
    /// The feature gates that are on.
    pub gates: Gates,
}

impl Settings {
    /// The signal of the pipeline it belongs to; metrics for what belongs to none.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.pipeline.as_ref().map_or(Signal::Metrics, PipelineId::signal)
    }
}

/// Where a receiver sends: one consumer per signal that a pipeline uses it for.
#[derive(Clone, Default)]
pub struct Outputs {
    /// The pipelines of metrics.
    pub metrics: Option<Arc<dyn Consumer>>,
    /// The pipelines of logs.
    pub logs: Option<Arc<dyn Consumer>>,
    /// The pipelines of traces.
    pub traces: Option<Arc<dyn Consumer>>,
}

impl Outputs {
    /// The consumer of a signal; `None` where no pipeline of that signal has the receiver.
    pub fn get(&self, signal: Signal) -> Option<&Arc<dyn Consumer>> {
        match signal {
            Signal::Metrics => self.metrics.as_ref(),
            Signal::Logs => self.logs.as_ref(),
            Signal::Traces => self.traces.as_ref(),
        }
    }

    /// Sets the consumer of a signal.
    pub fn set(&mut self, signal: Signal, consumer: Arc<dyn Consumer>) {
        match signal {
            Signal::Metrics => self.metrics = Some(consumer),
            Signal::Logs => self.logs = Some(consumer),
            Signal::Traces => self.traces = Some(consumer),
        }
    }
}

type Decode = Arc<dyn Fn(Option<&Node>, &str) -> Result<AnyConfig, Problems> + Send + Sync>;
type Create<Args, Built> =
    Arc<dyn Fn(Settings, &AnyConfig, Args) -> Result<Arc<Built>, BoxError> + Send + Sync>;

/// Declares the factory of one kind: `$args` is what its components are built with beside settings and config.
macro_rules! factory {
    ($(#[$doc:meta])* $name:ident, $args:ty, $built:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            /// Type, aliases, signals.
            pub meta: Meta,
            decode: Decode,
            create: Create<$args, $built>,
        }

        impl $name {
            /// A factory of components with configuration `C`.
            pub fn new<C: Config>(
                meta: Meta,
                create: fn(Settings, Arc<C>, $args) -> Result<Arc<$built>, BoxError>,
            ) -> Self {
                Self {
                    meta,
                    decode: Arc::new(decode::<C>),
                    create: Arc::new(move |settings, config, args| {
                        create(settings, downcast::<C>(config)?, args)
                    }),
                }
            }

            /// Decodes and validates the configuration at `path`; absent means defaults. All problems at once.
            pub fn decode(&self, node: Option<&Node>, path: &str) -> Result<AnyConfig, Problems> {
                (self.decode)(node, path)
            }

            /// Builds the component. `config` must come from this factory's `decode`.
            pub fn create(
                &self,
                settings: Settings,
                config: &AnyConfig,
                args: $args,
            ) -> Result<Arc<$built>, BoxError> {
                (self.create)(settings, config, args)
            }
        }
    };
}

factory! {
    /// Makes receivers: one instance per id, with an output per signal.
    ReceiverFactory, Outputs, dyn Component
}
factory! {
    /// Makes processors: one instance per pipeline and id, given the rest of the pipeline.
    ProcessorFactory, Arc<dyn Consumer>, dyn Processor
}
factory! {
    /// Makes exporters: one instance per signal and id.
    ExporterFactory, Signal, dyn Exporter
}
factory! {
    /// Makes extensions: one instance per id.
    ExtensionFactory, (), dyn Extension
}

fn decode<C: Config>(node: Option<&Node>, path: &str) -> Result<AnyConfig, Problems> {
    let config: C = confmap::decode(node, path)?;
    let mut problems = Problems::default();
    problems.at(path, |problems| config.validate(problems));
    if problems.is_empty() { Ok(Arc::new(config)) } else { Err(problems) }
}

fn downcast<C: Config>(config: &AnyConfig) -> Result<Arc<C>, BoxError> {
    config
        .clone()
        .downcast::<C>()
        .map_err(|_| format!("configuration is not a {}", std::any::type_name::<C>()).into())
}
