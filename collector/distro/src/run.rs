//! Runs the collector until it is asked to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use component::{Gates, Registry};
use confmap::{Conf, WarningKind};
use rustix::process::{Resource, getrlimit, setrlimit};
use service::telemetry::{Logs, log_panics};
use service::{Plan, Service};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::cli::Sources;
use crate::{components, configuration};

/// Time that the last lines of the log have to be written.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Time beyond the shutdown deadline after which pipelines that hold every worker are left behind.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Starts and waits. `warnings` are for the log, once there is one.
///
/// Two runtimes: pipelines run on the workers; signals, the health check and the supervision of start and shutdown run on this
/// thread, so that they answer whatever a pipeline does.
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
    log_panics();
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    raise_file_limit();
    let workers = Builder::new_multi_thread().enable_all().build().context("runtime")?;
    let control = Builder::new_current_thread().enable_all().build().context("runtime")?;
    let collector = Collector {
        sources: Arc::new(sources.clone()),
        shutdown_timeout,
        registry: Arc::new(registry),
        logs: logs.clone(),
        workers: workers.handle().clone(),
        control: control.handle().clone(),
    };
    let result = control.block_on(collector.run(Arc::new(configured)));
    // A blocking call that hangs, as on a dead file system, must not keep the process.
    workers.shutdown_timeout(Duration::from_secs(1));
    control.shutdown_background();
    logs.flush(LOG_FLUSH_TIMEOUT);
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

struct Collector {
    sources: Arc<Sources>,
    shutdown_timeout: Duration,
    registry: Arc<Registry>,
    logs: Logs,
    workers: Handle,
    control: Handle,
}

/// Why the collector stops running its service.
enum Event {
    Terminate(&'static str),
    Reload,
    Fatal(String),
}

/// The signals that the collector listens to. One that comes while nothing waits for it is kept.
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

    /// The next request to stop or reload.
    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::Terminate("interrupt"),
            _ = self.terminate.recv() => Event::Terminate("terminated"),
            _ = self.hangup.recv() => Event::Reload,
        }
    }

    /// The next request to stop; one to reload stays for [`Signals::next`].
    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupt",
            _ = self.terminate.recv() => "terminated",
        }
    }
}

impl Collector {
    async fn run(&self, mut configured: Arc<Configured>) -> Result<()> {
        let mut signals = Signals::listen().context("signal handlers")?;
        let mut previous: Option<Arc<Configured>> = None;
        loop {
            let service = tokio::select! {
                service = self.start(configured.clone()) => service,
                signal = signals.stop() => {
                    tracing::warn!(signal, "Received signal from OS while starting");
                    return Ok(());
                }
            };
            let service = match (service, previous.take()) {
                (Ok(service), _) => service,
                (Err(error), Some(old)) => {
                    tracing::error!(
                        "The new configuration does not start, going back to the old one: {error:#}"
                    );
                    configured = old;
                    continue;
                }
                (Err(error), None) => return Err(error),
            };
            let next = self.attend(&service, &mut signals).await;
            if !self.shut_down(service, &mut signals).await? {
                return Ok(());
            }
            match next {
                Some(reloaded) => previous = Some(std::mem::replace(&mut configured, reloaded)),
                None => return Ok(()),
            }
        }
    }

    /// Starts the service on the workers.
    async fn start(&self, configured: Arc<Configured>) -> Result<Service> {
        let (logs, settings) = (self.logs.clone(), configured.plan.telemetry.logs.clone());
        // Opening an output may take for ever, as of a pipe that nobody reads.
        tokio::task::spawn_blocking(move || logs.configure(&settings))
            .await?
            .context("service::telemetry::logs::output_paths")?;
        for warning in configured.conf.warnings() {
            match warning.kind {
                WarningKind::UnsetVariable => tracing::warn!(name = warning.name, "{}", warning.message()),
                WarningKind::EmptyVariable => tracing::info!(name = warning.name, "{}", warning.message()),
            }
        }
        configured.plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let (registry, timeout, control) =
            (self.registry.clone(), self.shutdown_timeout, Some(self.control.clone()));
        let start = async move {
            Service::start(&configured.plan, &registry, crate::build_info(), timeout, control).await
        };
        Ok(self.workers.spawn(start).await??)
    }

    /// Shuts the service down on the workers. Returns false if a second signal cut that short.
    async fn shut_down(&self, service: Service, signals: &mut Signals) -> Result<bool> {
        let deadline = Instant::now() + self.shutdown_timeout;
        let shutdown = self.workers.spawn(async move { service.shutdown(deadline).await });
        tokio::select! {
            result = shutdown => {
                result??;
                Ok(true)
            }
            signal = signals.stop() => {
                tracing::warn!(signal, "a second signal: what is not delivered by now is given up");
                Ok(false)
            }
            () = tokio::time::sleep_until(deadline + SHUTDOWN_GRACE) => {
                bail!("the shutdown deadline has passed and pipelines hold every worker: they are left behind")
            }
        }
    }

    /// Waits for a reason to stop the running service. Returns the configuration to go on with, if it is to go on.
    async fn attend(&self, service: &Service, signals: &mut Signals) -> Option<Arc<Configured>> {
        let configuration = configuration::describe(&self.sources);
        let mut report = Box::pin(service.report(&configuration));
        let mut reported = false;
        loop {
            let event = tokio::select! {
                report = &mut report, if !reported => {
                    reported = true;
                    self.logs.print(report.to_string());
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
                    let reloaded = tokio::select! {
                        reloaded = self.reload() => reloaded,
                        signal = signals.stop() => {
                            tracing::info!(signal, "Received signal from OS");
                            return None;
                        }
                    };
                    // The running service is stopped only for a configuration that is known to be good.
                    match reloaded {
                        Ok(configured) => {
                            tracing::warn!("Config updated, restart service");
                            return Some(Arc::new(configured));
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

    /// Reads the configuration again. Its files may be on a file system that hangs.
    async fn reload(&self) -> Result<Configured> {
        let (sources, registry) = (self.sources.clone(), self.registry.clone());
        let load = move || Configured::load(&sources, &registry, configuration::checked_plan);
        tokio::task::spawn_blocking(load).await?
    }
}
