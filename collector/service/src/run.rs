//! A running collector: started once, shut down once.

use std::fmt;
use std::sync::Arc;

use component::{BoxError, BuildInfo, Component, ComponentId, Host, Kind, Registry, TaskSet};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::graph::{BuildError, Context, Graph};
use crate::plan::{PipelinePlan, Plan};
use crate::report;
use crate::telemetry::{MetricsError, SelfMetrics};

/// How long tasks that were told to stop may take to be gone.
const TASK_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Why a collector did not start, or did not stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The graph cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The collector's own metrics cannot be served.
    #[error("failed to create meter provider")]
    Metrics(#[from] MetricsError),
    /// A component did not start.
    #[error("cannot start {section}: failed to start {id:?} {kind}")]
    Start {
        /// `pipelines` or `extensions`.
        section: &'static str,
        /// The component.
        id: String,
        /// Its kind.
        kind: Kind,
        /// What it said.
        source: BoxError,
    },
    /// Components did not shut down as they should.
    #[error("failed to shutdown: {0}")]
    Shutdown(String),
}

/// Everything that runs.
pub struct Service {
    graph: Graph,
    metrics: SelfMetrics,
    host: Host,
    fatal: watch::Receiver<Option<String>>,
    pipelines: Vec<PipelinePlan>,
    build: Arc<BuildInfo>,
}

impl Plan {
    /// Builds the graph and throws it away: what can be known about a plan without starting anything.
    ///
    /// # Errors
    /// The first component that cannot be built.
    pub fn dry_build(&self, registry: &Registry, build: &Arc<BuildInfo>) -> Result<(), BuildError> {
        let meter = SelfMetrics::none().meter();
        Graph::build(self, &Context { registry, meter, build: build.clone() }).map(drop)
    }
}

impl Service {
    /// Builds and starts: own metrics, extensions, exporters, processors, receivers. Health checks run on `control`, if
    /// there is one, so that they answer whatever the pipelines do.
    ///
    /// # Errors
    /// The first thing that failed; what had been started is shut down again.
    pub async fn start(
        plan: &Plan,
        registry: &Registry,
        build: Arc<BuildInfo>,
        deadline_after_failure: std::time::Duration,
        control: Option<Handle>,
    ) -> Result<Self, ServiceError> {
        let (fatal_sender, fatal) = watch::channel(None);
        let host = Host::new(TaskSet::default(), fatal_sender).with_control(control);
        let metrics = SelfMetrics::start(&plan.telemetry, &build, &host).await?;
        let context = Context { registry, meter: metrics.meter(), build: build.clone() };
        let graph = Graph::build(plan, &context).and_then(|graph| graph.with_extensions(plan, &context));
        let graph = match graph {
            Ok(graph) => graph,
            Err(error) => {
                metrics.shutdown().await;
                return Err(error.into());
            }
        };
        tracing::info!(
            Version = build.version,
            NumCPU = std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "Starting {}...",
            build.command
        );
        let extensions = graph.extensions.iter().map(|node| (node.id.clone(), node.component.clone()));
        let host = host.with_extensions(extensions);
        let service = Self { graph, metrics, host, fatal, pipelines: plan.pipelines.clone(), build };
        if let Err(error) = service.start_components().await {
            // The first failure is the one to report; the rest of the shutdown logs its own.
            let _ = service.shutdown(Instant::now() + deadline_after_failure).await;
            return Err(error);
        }
        service.graph.extensions.iter().for_each(|node| node.component.ready());
        tracing::info!("Everything is ready. Begin running and processing data.");
        Ok(service)
    }

    async fn start_components(&self) -> Result<(), ServiceError> {
        for node in &self.graph.extensions {
            self.start_one("extensions", Kind::Extension, &node.id, &*node.component).await?;
        }
        for node in &self.graph.exporters {
            self.start_one("pipelines", Kind::Exporter, &node.id, &*node.component).await?;
        }
        for node in self.graph.processors.iter().rev() {
            self.start_one("pipelines", Kind::Processor, &node.id, &*node.component).await?;
        }
        for node in &self.graph.receivers {
            self.start_one("pipelines", Kind::Receiver, &node.id, &*node.component).await?;
        }
        Ok(())
    }

    async fn start_one<C: Component + ?Sized>(
        &self,
        section: &'static str,
        kind: Kind,
        id: &ComponentId,
        component: &C,
    ) -> Result<(), ServiceError> {
        component.start(&self.host).await.map_err(|source| {
            tracing::error!(error = %source, r#type = %kind, id = %id, "Failed to start component");
            ServiceError::Start { section, id: id.to_string(), kind, source }
        })
    }

    /// The tasks of all components.
    pub fn tasks(&self) -> &TaskSet {
        self.host.tasks()
    }

    /// Waits until a component reports that it cannot go on, or a task panics; the reason.
    pub async fn fatal_error(&self) -> String {
        let mut fatal = self.fatal.clone();
        let reported = async {
            match fatal.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                // The service holds a sender as long as it lives.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = reported => reason,
            task = self.host.tasks().panicked() => panic_reason(&task),
        }
    }

    /// What runs, where it listens and what was not found, for a person. Waits a moment for searches that are under way.
    pub async fn report(&self, configuration: &str) -> impl fmt::Display + use<> {
        report::gather(&self.host, &self.build, configuration, &self.pipelines).await
    }

    /// Stops receivers first, then lets the data drain in the order in which it flows, then stops the extensions and the
    /// collector's own metrics. Components that have not stopped at `deadline` are left behind.
    ///
    /// # Errors
    /// What components said, and which tasks were left behind.
    pub async fn shutdown(self, deadline: Instant) -> Result<(), ServiceError> {
        tracing::info!("Starting shutdown...");
        self.graph.extensions.iter().for_each(|node| node.component.not_ready());
        let mut failed = Vec::new();
        for node in &self.graph.receivers {
            stop(&*node.component, &node.id, Kind::Receiver, deadline, &mut failed).await;
        }
        for node in &self.graph.processors {
            stop(&*node.component, &node.id, Kind::Processor, deadline, &mut failed).await;
        }
        for node in &self.graph.exporters {
            stop(&*node.component, &node.id, Kind::Exporter, deadline, &mut failed).await;
        }
        for node in self.graph.extensions.iter().rev() {
            stop(&*node.component, &node.id, Kind::Extension, deadline, &mut failed).await;
        }
        self.metrics.shutdown().await;
        // A task that was told to stop ends at its next turn of the runtime, which may be on another thread.
        let patience = Instant::now() + TASK_PATIENCE;
        while !self.host.tasks().names().is_empty() && Instant::now() < patience {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let left = self.host.tasks().names();
        if !left.is_empty() {
            failed.push(format!("tasks left behind: {}", left.join(", ")));
        }
        if let Some(task) = self.host.tasks().first_panic() {
            failed.push(panic_reason(&task));
        }
        tracing::info!("Shutdown complete.");
        if failed.is_empty() { Ok(()) } else { Err(ServiceError::Shutdown(failed.join("; "))) }
    }
}

/// The reason for which a service ends after a panic: what the task held may be lost or wrong.
fn panic_reason(task: &str) -> String {
    format!(
        "the task {task:?} panicked: this is a defect, please report it with the line of the log that names the place"
    )
}

async fn stop<C: Component + ?Sized>(
    component: &C,
    id: &ComponentId,
    kind: Kind,
    deadline: Instant,
    failed: &mut Vec<String>,
) {
    // Components keep the deadline themselves; the grace is for one that does not, so that the others get their turn.
    let grace = std::time::Duration::from_secs(1);
    match tokio::time::timeout_at(deadline + grace, component.shutdown(deadline)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failed.push(format!("{kind} {id:?}: {error}", id = id.to_string())),
        Err(_) => failed.push(format!("{kind} {id:?}: did not stop in time", id = id.to_string())),
    }
}
