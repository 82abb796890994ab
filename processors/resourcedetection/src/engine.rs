//! Asks the detectors, each in a task of its own, and puts together what they found.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use component::Host;
use helper::{Backoff, RetryConfig};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use pdata::{Attributes, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::detector::{Detector, Findings};
use crate::error::Error;

/// The first wait before a detector is asked again, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long a detector may take where the configuration has no limit.
const ATTEMPT: Duration = Duration::from_secs(5);

/// What resources are given.
#[derive(Debug, Default)]
pub(crate) struct Detected {
    /// The conventions that the attributes follow; empty if none.
    pub(crate) schema_url: &'static str,
    /// Each key once.
    pub(crate) attributes: Attributes,
}

/// How detectors are asked.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The processor's id, for the log.
    pub(crate) component: String,
    /// The longest that the first round takes, and each attempt afterwards; 0 not to wait for the first round.
    pub(crate) timeout: Duration,
    /// How often detectors that have answered are asked again; 0 for never.
    pub(crate) refresh_interval: Duration,
}

/// Detectors that are being asked.
pub(crate) struct Detection {
    state: Arc<State>,
    deadline: Instant,
    tasks: Vec<JoinHandle<()>>,
}

struct State {
    component: String,
    detected: ArcSwap<Detected>,
    slots: Mutex<Vec<Slot>>,
    /// How many detectors have not answered yet, for good or for bad.
    open: watch::Sender<usize>,
}

/// What is known of one detector.
struct Slot {
    name: &'static str,
    findings: Findings,
    /// Why it has not found all that it looked for, the last time.
    failure: Option<String>,
    is_open: bool,
}

/// One detector, and how it is asked.
struct Worker {
    detector: Arc<dyn Detector>,
    index: usize,
    name: &'static str,
    plan: Plan,
    state: Arc<State>,
    failures: Counter<u64>,
}

impl Detection {
    /// Begins to ask `detectors`, whose order decides whose values count.
    pub(crate) fn start(
        detectors: Vec<(&'static str, Arc<dyn Detector>)>,
        plan: &Plan,
        host: &Host,
        meter: &Meter,
    ) -> Self {
        tracing::info!(component = plan.component, "began detecting resource information");
        let slot = |name| Slot { name, findings: Findings::default(), failure: None, is_open: true };
        let state = Arc::new(State {
            component: plan.component.clone(),
            detected: ArcSwap::default(),
            slots: Mutex::new(detectors.iter().map(|(name, _)| slot(*name)).collect()),
            open: watch::Sender::new(detectors.len()),
        });
        let failures = meter
            .u64_counter("otelcol_processor_resource_detection_failures")
            .with_description("Number of times a detector failed to find all that it looked for")
            .with_unit("{attempts}")
            .build();
        let deadline = Instant::now() + plan.timeout;
        let tasks = detectors.into_iter().enumerate().map(|(index, (name, detector))| {
            let worker = Worker {
                detector,
                index,
                name,
                plan: plan.clone(),
                state: Arc::clone(&state),
                failures: failures.clone(),
            };
            host.spawn(format!("{}: {name}", plan.component), worker.run(deadline))
        });
        Self { tasks: tasks.collect(), state, deadline }
    }

    /// Waits until all detectors have answered, but no longer than the plan says.
    pub(crate) async fn settled(&self) {
        let mut open = self.state.open.subscribe();
        tokio::select! {
            _ = open.wait_for(|open| *open == 0) => {}
            () = sleep_until(self.deadline) => {}
        }
    }

    /// The detectors that have not found all that they looked for, and why.
    pub(crate) fn failures(&self) -> Vec<String> {
        let slots = self.state.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = |slot: &Slot| match &slot.failure {
            Some(failure) => Some(format!("{}: {failure}", slot.name)),
            None if slot.is_open => Some(format!("{}: no answer in time", slot.name)),
            None => None,
        };
        slots.iter().filter_map(failure).collect()
    }

    /// What resources are given now.
    pub(crate) fn detected(&self) -> arc_swap::Guard<Arc<Detected>> {
        self.state.detected.load()
    }

    /// Ends all tasks.
    pub(crate) async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // That it was aborted is no news.
            let _ = task.await;
        }
    }
}

impl Drop for Detection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl State {
    /// Takes in what a detector found, which may be nothing. If it failed, what it does not say this time stays as it was.
    fn found(&self, index: usize, mut findings: Findings, failure: Option<String>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = slots.get_mut(index) else { return };
        if failure.is_some() {
            let before = std::mem::take(&mut slot.findings);
            if findings.schema_url.is_empty() {
                findings.schema_url = before.schema_url;
            }
            let is_new = |key: &str| findings.attributes.iter().all(|(other, _)| other != key);
            let kept: Vec<_> = before.attributes.into_iter().filter(|(key, _)| is_new(key)).collect();
            findings.attributes.extend(kept);
        }
        slot.findings = findings;
        slot.failure = failure;
        let detected = merged(&slots);
        if self.detected.load().attributes != detected.attributes {
            tracing::info!(
                component = self.component,
                resource = ?detected.attributes,
                "detected resource information"
            );
        }
        self.detected.store(Arc::new(detected));
    }

    /// Nothing more is waited for from a detector.
    fn close(&self, index: usize) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(index).filter(|slot| slot.is_open) {
            slot.is_open = false;
            self.open.send_modify(|open| *open = open.saturating_sub(1));
        }
    }
}

/// The first value of each key, in the order of the detectors, and the first schema.
fn merged(slots: &[Slot]) -> Detected {
    let attributes = slots.iter().flat_map(|slot| &slot.findings.attributes);
    let attributes: Vec<(&str, &Value)> = attributes.map(|(key, value)| (key.as_str(), value)).collect();
    let schemas = slots.iter().map(|slot| slot.findings.schema_url);
    Detected {
        schema_url: schemas.into_iter().find(|url| !url.is_empty()).unwrap_or_default(),
        attributes: Attributes::new(attributes),
    }
}

impl Worker {
    async fn run(self, deadline: Instant) {
        let mut backoff = backoff();
        let mut reported = false;
        loop {
            let (mut findings, error) = self.attempt(deadline).await;
            let failure = error.or(findings.gap.take());
            self.state.found(self.index, findings, failure.as_ref().map(|error| component::causes(error)));
            let again = self.judge(failure, &mut reported);
            let refresh = Some(self.plan.refresh_interval).filter(|interval| !interval.is_zero());
            let wait = match again {
                Again::Soon => {
                    Some(backoff.next_wait()).map(|wait| refresh.map_or(wait, |refresh| wait.min(refresh)))
                }
                Again::OnRefresh => {
                    backoff = self::backoff();
                    self.state.close(self.index);
                    refresh
                }
            };
            let Some(wait) = wait else { return };
            sleep(wait).await;
        }
    }

    /// Asks once; until the deadline as long as there is time, later for a time of its own.
    async fn attempt(&self, deadline: Instant) -> (Findings, Option<Error>) {
        let limit = if self.plan.timeout.is_zero() { ATTEMPT } else { self.plan.timeout };
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = if left.is_zero() { limit } else { left };
        let mut findings = Findings::default();
        let error = match timeout(limit, self.detector.detect(&mut findings)).await {
            Ok(answer) => answer.err(),
            Err(_) => Some(Error::Timeout(limit)),
        };
        (findings, error)
    }

    /// When to ask again. The first failure in a row is told, and that it is over.
    fn judge(&self, failure: Option<Error>, reported: &mut bool) -> Again {
        let (component, detector) = (&self.plan.component, self.name);
        let Some(error) = failure else {
            if std::mem::take(reported) {
                tracing::info!(component, detector, "the detector has found everything now");
            }
            return Again::OnRefresh;
        };
        self.failures
            .add(1, &[KeyValue::new("processor", component.clone()), KeyValue::new("detector", detector)]);
        let (causes, again) =
            (component::causes(&error), if error.is_permanent() { Again::OnRefresh } else { Again::Soon });
        if std::mem::replace(reported, true) {
            tracing::debug!(component, detector, error = causes, "the detector still fails");
        } else if matches!(again, Again::Soon) {
            tracing::warn!(
                component,
                detector,
                error = causes,
                "the detector has not found everything and is asked again"
            );
        } else {
            tracing::warn!(component, detector, error = causes, "the detector has not found everything");
        }
        again
    }
}

/// When a detector is asked again.
enum Again {
    /// After the next, longer wait.
    Soon,
    /// When all are.
    OnRefresh,
}

fn backoff() -> Backoff {
    Backoff::new(&RetryConfig {
        initial_interval: FIRST_WAIT.into(),
        max_interval: LONGEST_WAIT.into(),
        multiplier: 2.0,
        ..RetryConfig::default()
    })
}
