//! Runs the collector until somebody says stop.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use component::{Gates, Registry};
use confmap::{Conf, WarningKind};
use rustix::process::{Resource, getrlimit, setrlimit};
use service::telemetry::Logs;
use service::{Plan, Service};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::cli::Sources;
use crate::{components, configuration};

/// Starts and waits. `warnings` are for the log, once there is one.
pub(crate) fn run(
    sources: &Sources,
    shutdown_timeout: Duration,
    gates: Gates,
    warnings: &[String],
) -> Result<()> {
    let mut registry = components::registry();
    registry.set_gates(gates);
    let configured = Configured::load(sources, &registry, configuration::plan)?;
    let logs = Logs::install();
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("runtime")?;
    let collector = Collector { sources, shutdown_timeout, registry, logs };
    let result = runtime.block_on(collector.run(configured));
    // A blocking call that hangs, as on a dead file system, must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Lifts the limit of open files to what the process may have, as Go programs do: a file of every container is kept open.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

/// A configuration that was read and checked.
struct Configured {
    conf: Conf,
    plan: Plan,
}

impl Configured {
    fn load(
        sources: &Sources,
        registry: &Registry,
        plan: impl FnOnce(&Conf, &Registry) -> Result<Plan>,
    ) -> Result<Self> {
        let conf = configuration::resolve(sources).map_err(|problems| configuration::invalid(&problems))?;
        let plan = plan(&conf, registry)?;
        Ok(Self { conf, plan })
    }
}

struct Collector<'a> {
    sources: &'a Sources,
    shutdown_timeout: Duration,
    registry: Registry,
    logs: Logs,
}

/// Why the collector stops running its service.
enum Event {
    Terminate(&'static str),
    Reload,
    Fatal(String),
}

/// The signals that the collector listens to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::Terminate("interrupt"),
            _ = self.terminate.recv() => Event::Terminate("terminated"),
            _ = self.hangup.recv() => Event::Reload,
        }
    }
}

impl Collector<'_> {
    async fn run(&self, mut configured: Configured) -> Result<()> {
        let mut signals = Signals::listen().context("signal handlers")?;
        loop {
            let service = self.start(&configured).await?;
            let next = self.attend(&service, &mut signals).await;
            let deadline = Instant::now() + self.shutdown_timeout;
            tokio::select! {
                result = service.shutdown(deadline) => result?,
                signal = repeated(&mut signals) => {
                    tracing::warn!(signal, "a second signal: what is not delivered by now is given up");
                    return Ok(());
                }
            }
            match next {
                Some(reloaded) => configured = reloaded,
                None => return Ok(()),
            }
        }
    }

    async fn start(&self, configured: &Configured) -> Result<Service> {
        let plan = &configured.plan;
        self.logs.configure(&plan.telemetry.logs).context("service::telemetry::logs::output_paths")?;
        for warning in configured.conf.warnings() {
            match warning.kind {
                WarningKind::UnsetVariable => tracing::warn!(name = warning.name, "{}", warning.message()),
                WarningKind::EmptyVariable => tracing::info!(name = warning.name, "{}", warning.message()),
            }
        }
        plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Service::start(plan, &self.registry, crate::build_info(), self.shutdown_timeout).await?)
    }

    /// Waits for a reason to stop the running service. Returns the configuration to go on with, if it is to go on.
    async fn attend(&self, service: &Service, signals: &mut Signals) -> Option<Configured> {
        let configuration = configuration::describe(self.sources);
        let mut report = Box::pin(service.report(&configuration));
        let mut reported = false;
        loop {
            let event = tokio::select! {
                report = &mut report, if !reported => {
                    reported = true;
                    // The report is a courtesy: nobody may be reading standard error.
                    let _ = write!(std::io::stderr(), "{report}");
                    continue;
                }
                event = signals.next() => event,
                reason = service.fatal_error() => Event::Fatal(reason),
            };
            match event {
                Event::Terminate(signal) => {
                    tracing::info!(signal, "Received signal from OS");
                    return None;
                }
                Event::Fatal(error) => {
                    tracing::error!(error, "Asynchronous error received, terminating process");
                    return None;
                }
                Event::Reload => {
                    tracing::info!(signal = "hangup", "Received signal from OS");
                    // The running service is stopped only for a configuration that is known to be good.
                    match Configured::load(self.sources, &self.registry, configuration::checked_plan) {
                        Ok(configured) => {
                            tracing::warn!("Config updated, restart service");
                            return Some(configured);
                        }
                        Err(error) => {
                            tracing::error!(
                                "Config not updated, the service goes on with the old one: {error:#}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Waits for another signal to stop.
async fn repeated(signals: &mut Signals) -> &'static str {
    loop {
        if let Event::Terminate(signal) = signals.next().await {
            return signal;
        }
    }
}
