//! Builds the components of a plan and connects them.

use std::collections::BTreeMap;
use std::sync::Arc;

use component::{
    AnyConfig, BoxError, BuildInfo, Component, ComponentId, Consumer, Exporter, Extension, Kind, Outputs,
    PipelineId, Processor, Registry, Settings,
};
use opentelemetry::metrics::Meter;
use pdata::Signal;

use crate::fanout::fan_out;
use crate::plan::{PipelinePlan, Plan};

/// Why a plan cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A pipeline has a component that does not take its signal.
    #[error(
        "failed to build pipelines: failed to create {id:?} {kind} for data type {signal:?}: telemetry type is not supported"
    )]
    Unsupported {
        /// The component.
        id: String,
        /// Its kind.
        kind: Kind,
        /// The pipeline's signal.
        signal: &'static str,
    },
    /// A component could not be made.
    #[error("failed to build pipelines: failed to create {id:?} {kind}")]
    Create {
        /// The component.
        id: String,
        /// Its kind.
        kind: Kind,
        /// What it said.
        source: BoxError,
    },
    /// The registry is not the one that the plan was made with.
    #[error("no factory for {kind} {id:?}")]
    NoFactory {
        /// The component.
        id: String,
        /// Its kind.
        kind: Kind,
    },
}

/// Built components, in the order in which data flows.
pub struct Graph {
    pub(crate) extensions: Vec<Node<dyn Extension>>,
    pub(crate) receivers: Vec<Node<dyn Component>>,
    /// Per pipeline in list order, pipelines one after the other.
    pub(crate) processors: Vec<Node<dyn Processor>>,
    pub(crate) exporters: Vec<Node<dyn Exporter>>,
}

/// A built component.
pub(crate) struct Node<C: ?Sized> {
    pub(crate) id: ComponentId,
    pub(crate) component: Arc<C>,
}

/// What all components are built with.
pub(crate) struct Context<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) meter: Meter,
    pub(crate) build: Arc<BuildInfo>,
}

impl Context<'_> {
    fn settings(&self, id: &ComponentId, kind: Kind, pipeline: Option<&PipelineId>) -> Settings {
        Settings {
            id: id.clone(),
            kind,
            pipeline: pipeline.cloned(),
            meter: self.meter.clone(),
            build: self.build.clone(),
            gates: self.registry.gates().clone(),
        }
    }
}

impl Graph {
    /// Builds exporters, then processors, then receivers: each is given what comes after it. Extensions come with
    /// `with_extensions`, so that a dry build can leave them out.
    pub(crate) fn build(plan: &Plan, context: &Context<'_>) -> Result<Self, BuildError> {
        let mut builder = Builder { plan, context, exporters: BTreeMap::new(), graph: Graph::empty() };
        let mut outputs: BTreeMap<&ComponentId, Beginnings> = BTreeMap::new();
        for pipeline in &plan.pipelines {
            let entry = builder.pipeline(pipeline)?;
            for receiver in &pipeline.receivers {
                outputs
                    .entry(receiver)
                    .or_default()
                    .entry(pipeline.signal())
                    .or_default()
                    .push(entry.clone());
            }
        }
        for (id, signals) in outputs {
            builder.receiver(id, signals)?;
        }
        let Builder { exporters, mut graph, .. } = builder;
        graph.exporters =
            exporters.into_iter().map(|((id, _), component)| Node { id: id.clone(), component }).collect();
        Ok(graph)
    }

    /// Builds the extensions that the service uses.
    pub(crate) fn with_extensions(mut self, plan: &Plan, context: &Context<'_>) -> Result<Self, BuildError> {
        for id in &plan.used_extensions {
            let factory = context.registry.find_extension(id.kind());
            let (Some(factory), Some(config)) = (factory, plan.extensions.get(id)) else {
                return Err(no_factory(id, Kind::Extension));
            };
            let component = factory
                .create(context.settings(id, Kind::Extension, None), config, ())
                .map_err(|source| create_error(id, Kind::Extension, source))?;
            self.extensions.push(Node { id: id.clone(), component });
        }
        Ok(self)
    }

    fn empty() -> Self {
        Self { extensions: Vec::new(), receivers: Vec::new(), processors: Vec::new(), exporters: Vec::new() }
    }
}

/// The beginnings of a receiver's pipelines, by signal.
type Beginnings = BTreeMap<Signal, Vec<Arc<dyn Consumer>>>;

struct Builder<'a> {
    plan: &'a Plan,
    context: &'a Context<'a>,
    exporters: BTreeMap<(&'a ComponentId, Signal), Arc<dyn Exporter>>,
    graph: Graph,
}

impl<'a> Builder<'a> {
    /// Builds a pipeline from its end to its beginning; returns the beginning.
    fn pipeline(&mut self, pipeline: &'a PipelinePlan) -> Result<Arc<dyn Consumer>, BuildError> {
        let signal = pipeline.signal();
        let mut exporters: Vec<Arc<dyn Consumer>> = Vec::new();
        for id in &pipeline.exporters {
            exporters.push(self.exporter(id, signal)?);
        }
        let mut next = fan_out(exporters);
        let mut processors = Vec::new();
        for id in pipeline.processors.iter().rev() {
            let factory = self.context.registry.find_processor(id.kind());
            let (Some(factory), Some(config)) = (factory, self.plan.processors.get(id)) else {
                return Err(no_factory(id, Kind::Processor));
            };
            supported(factory.meta.supports(signal), id, Kind::Processor, signal)?;
            let settings = self.context.settings(id, Kind::Processor, Some(&pipeline.id));
            let component = factory
                .create(settings, config, next)
                .map_err(|source| create_error(id, Kind::Processor, source))?;
            next = component.clone();
            processors.push(Node { id: id.clone(), component });
        }
        self.graph.processors.extend(processors.into_iter().rev());
        Ok(next)
    }

    /// One exporter per signal and id, shared by the pipelines of that signal.
    fn exporter(&mut self, id: &'a ComponentId, signal: Signal) -> Result<Arc<dyn Exporter>, BuildError> {
        if let Some(exporter) = self.exporters.get(&(id, signal)) {
            return Ok(exporter.clone());
        }
        let factory = self.context.registry.find_exporter(id.kind());
        let (Some(factory), Some(config)) = (factory, self.plan.exporters.get(id)) else {
            return Err(no_factory(id, Kind::Exporter));
        };
        supported(factory.meta.supports(signal), id, Kind::Exporter, signal)?;
        let exporter = factory
            .create(self.context.settings(id, Kind::Exporter, None), config, signal)
            .map_err(|source| create_error(id, Kind::Exporter, source))?;
        self.exporters.insert((id, signal), exporter.clone());
        Ok(exporter)
    }

    /// One receiver per id, with an output per signal.
    fn receiver(&mut self, id: &ComponentId, signals: Beginnings) -> Result<(), BuildError> {
        let factory = self.context.registry.find_receiver(id.kind());
        let (Some(factory), Some(config)) = (factory, self.plan.receivers.get(id)) else {
            return Err(no_factory(id, Kind::Receiver));
        };
        let mut outputs = Outputs::default();
        for (signal, pipelines) in signals {
            supported(factory.meta.supports(signal), id, Kind::Receiver, signal)?;
            outputs.set(signal, fan_out(pipelines));
        }
        let config: &AnyConfig = config;
        let component = factory
            .create(self.context.settings(id, Kind::Receiver, None), config, outputs)
            .map_err(|source| create_error(id, Kind::Receiver, source))?;
        self.graph.receivers.push(Node { id: id.clone(), component });
        Ok(())
    }
}

fn supported(supports: bool, id: &ComponentId, kind: Kind, signal: Signal) -> Result<(), BuildError> {
    if supports {
        Ok(())
    } else {
        Err(BuildError::Unsupported { id: id.to_string(), kind, signal: signal.as_str() })
    }
}

fn no_factory(id: &ComponentId, kind: Kind) -> BuildError {
    BuildError::NoFactory { id: id.to_string(), kind }
}

fn create_error(id: &ComponentId, kind: Kind, source: BoxError) -> BuildError {
    BuildError::Create { id: id.to_string(), kind, source }
}
