//! The connections of a gRPC client: made early, kept, made again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::{BalancerName, GrpcClientConfig, KeepaliveClientConfig, Place};
use crate::dial::{Address, ClientTasks, dial, resolve};
use crate::http_server::nonzero;
use crate::listen::Stream;
use crate::tls::ClientTls;

/// The waits between attempts (grpc/grpc `doc/connection-backoff.md`).
const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(120);
const BACKOFF_MULTIPLIER: f64 = 1.6;
const BACKOFF_JITTER: f64 = 0.2;
/// The longest that one attempt takes (same source).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) type Sender = http2::SendRequest<tonic::body::Body>;

/// Whether calls can be sent.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Nobody knows yet.
    Connecting,
    /// On any of these.
    Ready(Arc<[Sender]>),
    /// Not before the next attempt, for this reason.
    Failed(Arc<str>),
}

/// Follows the state of the connections.
pub(super) struct Connections {
    state: watch::Receiver<State>,
    changed: Arc<Notify>,
}

struct Keeper {
    place: Place,
    host: String,
    all_addresses: bool,
    tls: Option<ClientTls>,
    keepalive: Option<KeepaliveClientConfig>,
    changed: Arc<Notify>,
    tasks: ClientTasks,
    live: Vec<(Address, Sender)>,
}

struct Backoff {
    interval: Duration,
}

impl Connections {
    pub(super) fn start(
        config: &GrpcClientConfig,
        place: Place,
        tls: Option<ClientTls>,
        tasks: ClientTasks,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let host = match &place {
            Place::Host(host, _) => host.clone(),
            Place::Unix(_) => "localhost".into(),
        };
        let keeper = Keeper {
            place,
            host,
            all_addresses: config.balancer_name == BalancerName::RoundRobin,
            tls,
            keepalive: config.keepalive.clone(),
            changed: changed.clone(),
            tasks: tasks.clone(),
            live: Vec::new(),
        };
        let (sender, state) = watch::channel(State::Connecting);
        tasks.spawn(keeper.run(sender));
        Self { state, changed }
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Makes the keeper look for broken connections.
    pub(super) fn check(&self) {
        self.changed.notify_one();
    }
}

impl Keeper {
    async fn run(mut self, state: watch::Sender<State>) {
        let mut backoff = Backoff::new();
        loop {
            let failure = self.fill(&state).await.err();
            if let Some(error) = &failure {
                tracing::debug!(%error, server = %self.place, "Connecting failed");
            }
            self.publish(&state, failure.as_ref());
            let made = Instant::now();
            let retry = failure.is_some().then(|| backoff.next());
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep(retry) => continue,
            }
            self.live.retain(|(_, sender)| !sender.is_closed());
            if made.elapsed() >= BACKOFF_BASE {
                backoff = Backoff::new();
                self.publish(&state, None);
            } else {
                // A connection that breaks as soon as it is made is a failure too.
                let error = failure.unwrap_or_else(|| io::Error::other("the server closed the connection"));
                self.publish(&state, Some(&error));
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }

    /// Connects to the addresses without a connection: all of them in turn, or until one answers.
    async fn fill(&mut self, state: &watch::Sender<State>) -> io::Result<()> {
        self.live.retain(|(_, sender)| !sender.is_closed());
        let addresses = resolve(&self.place).await?;
        self.live.retain(|(address, _)| addresses.contains(address));
        let mut failure = None;
        for address in addresses {
            if !self.all_addresses && !self.live.is_empty() {
                break;
            }
            if self.live.iter().any(|(known, _)| *known == address) {
                continue;
            }
            match self.connect(&address).await {
                Ok(sender) => {
                    self.live.push((address, sender));
                    // The first connection serves while the others are made.
                    self.publish(state, None);
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            // With `pick_first` one connection is all that is wanted.
            Some(error) if self.all_addresses || self.live.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    async fn connect(&self, address: &Address) -> io::Result<Sender> {
        let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, "i/o timeout");
        tokio::time::timeout(CONNECT_TIMEOUT, async {
            let stream = dial(address).await?;
            match &self.tls {
                Some(tls) => {
                    let stream = tls.connect(&self.host, stream).await.map_err(|error| {
                        io::Error::new(error.kind(), format!("authentication handshake failed: {error}"))
                    })?;
                    self.handshake(Box::new(stream)).await
                }
                None => self.handshake(stream).await,
            }
        })
        .await
        .map_err(timed_out)?
    }

    async fn handshake(&self, stream: Box<dyn Stream>) -> io::Result<Sender> {
        let mut builder = http2::Builder::new(self.tasks.clone());
        builder.timer(TokioTimer::new());
        if let Some(keepalive) = &self.keepalive {
            builder
                .keep_alive_interval(nonzero(*keepalive.time))
                .keep_alive_timeout(*keepalive.timeout)
                .keep_alive_while_idle(keepalive.permit_without_stream);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let changed = self.changed.clone();
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "Connection ended");
            }
            changed.notify_one();
        });
        Ok(sender)
    }

    fn publish(&self, state: &watch::Sender<State>, failure: Option<&io::Error>) {
        let senders: Arc<[Sender]> = self.live.iter().map(|(_, sender)| sender.clone()).collect();
        state.send_replace(match failure {
            Some(error) if senders.is_empty() => State::Failed(error.to_string().into()),
            None if senders.is_empty() => State::Connecting,
            _ => State::Ready(senders),
        });
    }
}

impl Backoff {
    fn new() -> Self {
        Self { interval: BACKOFF_BASE }
    }

    fn next(&mut self) -> Duration {
        let jitter = 1.0 + BACKOFF_JITTER * (2.0 * crate::random::unit() - 1.0);
        let wait = self.interval.mul_f64(jitter);
        self.interval = self.interval.mul_f64(BACKOFF_MULTIPLIER).min(BACKOFF_MAX);
        wait
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest() {
        let mut backoff = Backoff::new();
        let first = backoff.next();
        assert!((0.8..=1.2).contains(&first.as_secs_f64()), "{first:?}");
        let last = (0..50).map(|_| backoff.next()).last().unwrap();
        assert!((96.0..=144.0).contains(&last.as_secs_f64()), "{last:?}");
    }
}
