//! A CloudWatch Logs that checks what the service checks, records what it is sent, and fails as it is told to.

mod check;
mod fault;
mod serve;
mod signature;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use component::Host;
use http::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;

pub use fault::{Effect, Fault, Rule};

use crate::emf::Event;

/// The recording service. Groups and streams have to be created before events are taken.
#[derive(Debug)]
pub struct CloudWatchLogs {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What CloudWatch Logs was told.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Events in order of arrival. Those out of the service's window of time are rejected, not recorded.
    pub events: Vec<Event>,
    /// Accepted PutLogEvents requests in order.
    pub puts: Vec<Put>,
    /// Operations in order: `PutLogEvents`, `CreateLogGroup`, …
    pub operations: Vec<String>,
    /// Headers of the requests, in the same order.
    pub headers: Vec<HeaderMap>,
    /// Retention in days by group.
    pub retention: BTreeMap<String, i64>,
    /// Tags by group.
    pub tags: BTreeMap<String, Value>,
    /// Requests that the service would have refused, and why. A correct exporter makes none.
    pub violations: Vec<String>,
    /// How many requests met a [`Rule`].
    pub faults: usize,
}

/// A PutLogEvents request that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The log group.
    pub group: String,
    /// The log stream.
    pub stream: String,
    /// Which of [`Recorded::events`] it brought.
    pub events: Range<usize>,
    /// Its size as the service counts: the messages and 26 bytes for each.
    pub bytes: usize,
    /// Whether it was answered in a way that tells the client of the success.
    pub answered: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<state::State>,
}

impl CloudWatchLogs {
    /// Serves on a free port of the loopback interface until the runtime ends.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into()).await
    }

    /// Serves on a free port of an address of this machine until the runtime ends.
    ///
    /// # Errors
    /// No port, or not an address of this machine.
    pub async fn start_at(address: IpAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let host = Host::standalone();
        host.spawn("CloudWatch Logs", serve::serve(listener, shared.clone(), host.clone()));
        Ok(Self { address, shared })
    }

    /// Its base URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was told so far.
    pub fn recorded(&self) -> Recorded {
        self.inspect(Recorded::clone)
    }

    /// Looks at what it was told so far, without a copy. Requests wait meanwhile.
    pub fn inspect<T>(&self, look: impl FnOnce(&Recorded) -> T) -> T {
        look(&self.shared.lock().recorded)
    }

    /// From now on the rule holds. Of several that fit a request the one that was added first is followed.
    pub fn rule(&self, rule: Rule) {
        self.shared.lock().rules.push(rule.armed());
    }

    /// Answers the next requests of an operation with faults, in order.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        faults.into_iter().for_each(|fault| self.rule(fault.into()));
    }

    /// Forgets all rules. Requests that wait for an answer go on waiting.
    pub fn recover(&self) {
        self.shared.lock().rules.clear();
    }

    /// Answers `PutLogEvents` with this `rejectedLogEventsInfo` from now on.
    pub fn reject(&self, info: Value) {
        self.rule(Rule::put(Effect::Rejected(info)));
    }

    /// The client died: whether it could still act on the answer to its last accepted request is not known.
    pub fn client_died(&self) {
        self.shared.lock().forget_last_answer();
    }

    /// From now on calls credentials expired: an access key or a session token.
    pub fn expire(&self, credential: &str) {
        self.shared.lock().expired.insert(credential.to_owned());
    }

    /// From now on verifies the signatures made with an access key.
    pub fn trust(&self, access_key: &str, secret: &str) {
        self.shared.lock().secrets.insert(access_key.to_owned(), secret.to_owned());
    }
}

impl Recorded {
    /// How many requests of an operation came, whatever became of them.
    pub fn count(&self, operation: &str) -> usize {
        self.operations.iter().filter(|other| *other == operation).count()
    }

    /// The events of a request.
    pub fn events_of(&self, put: &Put) -> &[Event] {
        self.events.get(put.events.clone()).unwrap_or_default()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, state::State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
