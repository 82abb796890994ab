//! Which of several collectors does what only one may do.

#[cfg(test)]
mod election_tests;
mod elector;
mod lock;

pub use lock::Lock;

use std::time::Duration;

use component::Host;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::random::Random;
use crate::{ApiServer, Error};

use elector::{Decision, Elector, Record};

/// Who a candidate is and how patient. The defaults are upstream's.
#[derive(Debug, Clone)]
pub struct ElectionConfig {
    /// The candidate's name, different from all others': the node's name.
    pub identity: String,
    /// How long after the last renewal that they saw others wait before they take the lead: 60 s.
    pub lease_duration: Duration,
    /// How long after its last renewal a leader still leads: 15 s. Shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// The time between attempts to take the lead or to renew it: 5 s. Shorter than `renew_deadline`.
    pub retry_period: Duration,
}

/// A candidate in an election.
#[derive(Debug)]
pub struct Election;

/// A candidate that runs: whether it leads. Dropped, it stands down without telling anybody: others wait their time.
#[derive(Debug)]
pub struct Leadership {
    until: watch::Receiver<Option<Instant>>,
    /// What was said last of whether we lead.
    told: bool,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

struct Candidate {
    api: ApiServer,
    lock: Lock,
    config: ElectionConfig,
    elector: Elector,
    /// The lock's object as we wrote it last; absent if somebody may have written it since.
    object: Option<Value>,
    until: watch::Sender<Option<Instant>>,
    random: Random,
    clock: Clock,
    told: Option<String>,
}

/// A wall clock that is never set back: renewals that bear the same time look like none.
struct Clock {
    began: Instant,
    wall: Timestamp,
}

impl ElectionConfig {
    /// A candidate of this name.
    #[must_use]
    pub fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            lease_duration: Duration::from_secs(60),
            renew_deadline: Duration::from_secs(15),
            retry_period: Duration::from_secs(5),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let refuse =
            |reason: &str| Err(Error::Setting { what: "leader election", reason: reason.to_owned() });
        if self.identity.is_empty() {
            return refuse("the candidate has no name: HOST_NAME must be spec.nodeName");
        }
        if self.lease_duration <= self.renew_deadline || self.lease_duration < Duration::from_secs(1) {
            return refuse("the lease must last longer than the renew deadline, and a second");
        }
        if self.renew_deadline <= self.retry_period || self.retry_period.is_zero() {
            return refuse("the renew deadline must be longer than the retry period, which must not be 0");
        }
        Ok(())
    }
}

impl Election {
    /// Stands for election, again and again, until it is told to stop.
    ///
    /// # Errors
    /// [`Error::Setting`] if the times do not fit together.
    pub fn start(
        api: ApiServer,
        host: &Host,
        lock: Lock,
        config: ElectionConfig,
    ) -> Result<Leadership, Error> {
        config.validate()?;
        let (stop, stopped) = oneshot::channel();
        let (sender, until) = watch::channel(None);
        let name = format!("k8s: election by {}/{}", lock.namespace(), lock.name());
        let candidate = Candidate {
            api,
            lock,
            elector: Elector::new(config.clone()),
            config,
            object: None,
            until: sender,
            random: Random::new(),
            clock: Clock { began: Instant::now(), wall: Timestamp::now() },
            told: None,
        };
        let task = host.spawn(name, candidate.run(stopped));
        Ok(Leadership { until, told: false, stop: Some(stop), task })
    }
}

impl Leadership {
    /// Whether we lead at this moment. Cheap; ask before each thing that only one may do.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        // A clock decides, not the task: it may be late.
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until we lead, or no longer do, other than the last call said; the first waits until we lead. Cancel safe.
    pub async fn changed(&mut self) -> bool {
        let told = self.told;
        let closed = self.until.wait_for(|until| until.is_some() != told).await.is_err();
        if closed {
            // The task is gone, which only a shutdown does.
            std::future::pending::<()>().await;
        }
        self.told = !told;
        self.told
    }

    /// Stands down and says so, so that another takes the lead at once.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        // A task that was aborted with its runtime has nothing left to say.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Candidate {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                // Resolves when the sender goes, too.
                _ = &mut stopped => break,
                () = self.turn() => {}
            }
        }
        self.publish(None).await;
        self.release().await;
    }

    /// One attempt and the wait after it.
    async fn turn(&mut self) {
        let began = Instant::now();
        self.expire(began).await;
        // A leader tries at least twice before it gives up.
        let patience = self.config.renew_deadline / 2;
        let end = (began + patience).min(self.elector.leads_until().unwrap_or(began + patience));
        match timeout_at(end, self.attempt()).await {
            Ok(Ok(())) => self.told = None,
            Ok(Err(error)) => self.report(&error),
            Err(_) => self.report(&Error::Timeout(end.saturating_duration_since(began))),
        }
        self.expire(Instant::now()).await;
        let wait = self.config.retry_period;
        match self.elector.leads_until() {
            Some(until) => sleep_until((began + wait).min(until)).await,
            // Candidates do not all ask at the same moment.
            None => sleep(self.random.spread(wait, wait + wait * 6 / 5)).await,
        }
    }

    /// Gives the lead up if it was not renewed in time, and tells where we stand.
    async fn expire(&mut self, now: Instant) {
        if self.elector.leads_until().is_some_and(|until| until <= now) {
            self.elector.lost();
        }
        self.publish(self.elector.leads_until()).await;
    }

    async fn attempt(&mut self) -> Result<(), Error> {
        if self.elector.leads_until().is_some()
            && let Some(object) = self.object.take()
        {
            let record = self.elector.succeed(self.clock.now(), &self.lock.record(&object));
            match self.write(Some(object), record).await {
                Err(Error::Conflict) => {}
                other => return other,
            }
        }
        let object = self.lock.read(&self.api).await?;
        let found = object.as_ref().map(|object| self.lock.record(object));
        match self.elector.decide(Instant::now(), self.clock.now(), found) {
            Decision::Leave => Ok(()),
            Decision::Write(record) => match self.write(object, record).await {
                // Another candidate was faster.
                Err(Error::Conflict) => Ok(()),
                other => other,
            },
        }
    }

    async fn write(&mut self, object: Option<Value>, record: Record) -> Result<(), Error> {
        let sent = Instant::now();
        let object = self.lock.write(&self.api, object, &record).await?;
        self.elector.wrote(sent, self.lock.record(&object));
        self.object = Some(object);
        Ok(())
    }

    async fn publish(&mut self, until: Option<Instant>) {
        let led = self.until.send_replace(until).is_some();
        let message = match (led, until.is_some()) {
            (false, true) => "became leader",
            (true, false) => "stopped leading",
            (true, true) | (false, false) => return,
        };
        let lock = format!("{}/{}", self.lock.namespace(), self.lock.name());
        tracing::info!(lock, identity = self.config.identity, holder = self.elector.holder(), "{message}");
        let message = format!("{} {message}", self.config.identity);
        let told = self.lock.tell(&self.api, self.object.as_ref(), &message, Timestamp::now());
        // Events are a courtesy: they do not hold up the next renewal.
        let _ = timeout(self.config.retry_period / 4, told).await;
    }

    async fn release(&mut self) {
        let Some(record) = self.elector.release(self.clock.now()) else { return };
        match timeout(self.config.retry_period, self.put_down(&record)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.report(&error),
            Err(_) => self.report(&Error::Timeout(self.config.retry_period)),
        }
    }

    /// Writes that nobody leads, unless somebody else does.
    async fn put_down(&mut self, record: &Record) -> Result<(), Error> {
        // We were perhaps stopped while a renewal was on its way.
        let Some(object) = self.lock.read(&self.api).await? else { return Ok(()) };
        if self.lock.record(&object).holder_identity != self.config.identity {
            return Ok(());
        }
        self.lock.write(&self.api, Some(object), record).await.map(drop)
    }

    fn report(&mut self, error: &Error) {
        self.object = None;
        let words = component::causes(error);
        if self.told.as_ref() != Some(&words) {
            let lock = format!("{}/{}", self.lock.namespace(), self.lock.name());
            tracing::warn!(lock, error = words, "cannot take part in the election of a leader");
            self.told = Some(words);
        }
    }
}

impl Clock {
    /// Now, as exact as ConfigMaps tell it.
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(self.wall.as_second().saturating_add(elapsed)).unwrap_or(self.wall)
    }
}
