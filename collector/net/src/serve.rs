//! Servers: accepting, handshakes, connections, and an end that is graceful as long as the deadline allows.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use component::{Host, IntakeBudget};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::WholeBody;
use crate::listen::{Accepted, Listener, LocalAddress};
use crate::server_body::ServerBody;
use crate::tls::ServerTls;

/// Streams of an HTTP/2 connection, unless configured otherwise. Upstream has no limit; a stream that only opened costs memory.
pub const DEFAULT_MAX_CONCURRENT_STREAMS: u32 = 256;
/// Time after which a client may try again that was refused for want of memory.
pub const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Connections of a server. For new ones those are closed that never sent a request, then those idle for longest.
const MAX_CONNECTIONS: usize = 1024;
/// Bytes of requests that a server with an intake of its own holds.
const OWN_INTAKE_BYTES: usize = 1 << 20;
/// Requests of a connection while those of all connections are many.
const CROWDED_STREAMS: usize = 32;
/// Interval at which refused and evicted connections are logged.
const REFUSED_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Time limit from accepting a connection to its first request, with preface and TLS handshake: grpc-go's `connectionTimeout`.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Time limit of a TLS handshake that has begun.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection without a request in progress is kept when the server stops: what is on its way may arrive.
const LINGER: Duration = Duration::from_secs(1);
/// The wait after a failed `accept`, growing up to the longest: those of Go's `net/http`.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(5);
const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request of `peer`. The future is dropped when the client is gone.
    fn handle(
        &self,
        request: Request<ServerBody>,
        peer: Option<SocketAddr>,
    ) -> impl Future<Output = Response<WholeBody>> + Send;

    /// Answers a request that is refused because too many are in progress. Its body is not read.
    fn refuse(&self, request: Request<()>) -> Response<WholeBody>;
}

/// Limits of connections. The defaults have no limits of time.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Connections at the same time.
    pub max_connections: usize,
    /// Counts requests apart from those of the receivers, whose crowds must not silence this server.
    pub own_intake: bool,
    /// Whether plaintext is HTTP/2 (gRPC) rather than HTTP/1.1.
    pub http2_only: bool,
    /// HTTP/1: serve one request per connection.
    pub no_keep_alive: bool,
    /// HTTP/1: the longest that the head of a request takes.
    pub read_header_timeout: Option<Duration>,
    /// The longest that answering a request takes; the connection is closed without an answer.
    pub write_timeout: Option<Duration>,
    /// HTTP/2: the most requests at once on a connection.
    pub max_concurrent_streams: u32,
    /// HTTP/2: when a silent client is pinged, and how long it has to answer.
    pub ping: Option<(Duration, Duration)>,
    /// A connection without requests is closed after this.
    pub max_idle: Option<Duration>,
    /// A connection is closed after this.
    pub max_age: Option<Duration>,
    /// How long requests may run on after the connection has reached its age.
    pub max_age_grace: Option<Duration>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            own_intake: false,
            http2_only: false,
            no_keep_alive: false,
            read_header_timeout: None,
            write_timeout: None,
            max_concurrent_streams: DEFAULT_MAX_CONCURRENT_STREAMS,
            ping: None,
            max_idle: None,
            max_age: None,
            max_age_grace: None,
        }
    }
}

/// A running server.
pub struct Server {
    local: LocalAddress,
    stop: CancellationToken,
    kill: CancellationToken,
    tasks: TaskTracker,
}

struct Shared<H> {
    handler: H,
    options: ServeOptions,
    tls: Option<ServerTls>,
    host: Host,
    name: String,
    stop: CancellationToken,
    kill: CancellationToken,
    tasks: TaskTracker,
    connections: Mutex<Connections>,
    intake: IntakeBudget,
}

/// The open connections in order of arrival.
#[derive(Default)]
struct Connections {
    next: u64,
    open: BTreeMap<u64, Arc<Activity>>,
    /// Connections that were evicted or refused since they were last logged.
    refused: u64,
    logged: Option<Instant>,
}

/// The entry of a connection; dropped, it is off the list.
struct ConnectionEntry<H> {
    id: u64,
    activity: Arc<Activity>,
    shared: Arc<Shared<H>>,
}

/// Spawns the tasks of HTTP/2 requests into the tracked set. They end with their connection.
#[derive(Clone)]
struct Tracked {
    host: Host,
    name: String,
    tasks: TaskTracker,
}

/// What a connection does at the moment.
#[derive(Default)]
struct Activity {
    running: AtomicUsize,
    changed: Notify,
    /// End of the last request in milliseconds since the connection was accepted; 0 if there was none.
    last_used_ms: AtomicU64,
    accepted: Option<Instant>,
    /// The connection is to make room for another one.
    evicted: Notify,
}

/// A request in progress.
struct InProgress(Arc<Activity>);

impl Server {
    /// Serves the connections of `listener` until [`Server::shutdown`]. Tasks are listed under `name`.
    pub fn start<H: Handler>(
        host: &Host,
        name: impl Into<String>,
        listener: Listener,
        tls: Option<ServerTls>,
        options: ServeOptions,
        handler: H,
    ) -> Self {
        let (stop, kill, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let local = listener.local_address();
        let own = options.own_intake.then(|| IntakeBudget::new(OWN_INTAKE_BYTES));
        let intake = own.unwrap_or_else(|| host.intake().clone());
        let shared = Arc::new(Shared {
            handler,
            options,
            tls,
            host: host.clone(),
            name: name.into(),
            stop: stop.clone(),
            kill: kill.clone(),
            tasks: tasks.clone(),
            connections: Mutex::default(),
            intake,
        });
        shared.spawn(accept(listener, shared.clone()));
        Self { local, stop, kill, tasks }
    }

    /// Where it listens.
    pub fn local_address(&self) -> &LocalAddress {
        &self.local
    }

    /// Stops accepting, lets requests in progress finish until `deadline`, then closes what is left.
    pub async fn shutdown(&self, deadline: Instant) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_err() {
            self.kill.cancel();
            self.tasks.wait().await;
        }
    }
}

impl<H: Handler> Shared<H> {
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        // The tracked set keeps the task; its handle is of no use.
        drop(self.host.spawn(self.name.clone(), self.tasks.track_future(future)));
    }

    /// Lists a connection. If there are too many, one without a request in progress has to go: one that never had any, else
    /// the one that is idle for longest; `None` if there is none.
    fn enter(self: &Arc<Self>) -> Option<ConnectionEntry<H>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.open.len() >= self.options.max_connections {
            let idle = connections.open.iter().filter(|(_, activity)| activity.is_idle());
            let idle = idle.min_by_key(|(_, activity)| activity.last_used()).map(|(id, _)| *id);
            if let Some(evicted) = idle.and_then(|id| connections.open.remove(&id)) {
                evicted.evicted.notify_one();
            }
            connections.log_refused(&self.name, self.options.max_connections);
            idle?;
        }
        let activity = Arc::new(Activity { accepted: Some(Instant::now()), ..Activity::default() });
        let id = connections.next;
        connections.next += 1;
        connections.open.insert(id, activity.clone());
        drop(connections);
        Some(ConnectionEntry { id, activity, shared: self.clone() })
    }
}

impl Connections {
    fn log_refused(&mut self, server: &str, limit: usize) {
        self.refused += 1;
        let now = Instant::now();
        if self.logged.is_none_or(|logged| now.duration_since(logged) >= REFUSED_LOG_INTERVAL) {
            let closed = std::mem::take(&mut self.refused);
            tracing::warn!(server, limit, closed, "too many connections: idle ones are closed for new ones");
            self.logged = Some(now);
        }
    }
}

impl<H> Drop for ConnectionEntry<H> {
    fn drop(&mut self) {
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&self.id);
    }
}

async fn accept<H: Handler>(listener: Listener, shared: Arc<Shared<H>>) {
    let mut backoff = ACCEPT_BACKOFF;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                backoff = ACCEPT_BACKOFF;
                if let Some(entry) = shared.enter() {
                    shared.spawn(connection(stream, peer, entry));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "Failed to accept a connection, retrying");
                tokio::select! {
                    () = shared.stop.cancelled() => return,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(ACCEPT_BACKOFF_MAX);
            }
        }
    }
}

/// Serves a connection once its peer says something: until then it costs little more than its socket.
async fn connection<H: Handler>(stream: Accepted, peer: Option<SocketAddr>, entry: ConnectionEntry<H>) {
    let shared = &entry.shared;
    let readable = tokio::select! {
        () = shared.stop.cancelled() => return,
        () = entry.activity.evicted.notified() => return,
        readable = tokio::time::timeout_at(entry.activity.first_request_due(), stream.readable()) => readable,
    };
    if !matches!(readable, Ok(Ok(()))) {
        return tracing::debug!(?peer, "a connection on which nothing came is closed");
    }
    Box::pin(secured(stream, peer, &entry)).await;
}

/// Serves a connection, with TLS if so configured.
async fn secured<H: Handler>(stream: Accepted, peer: Option<SocketAddr>, entry: &ConnectionEntry<H>) {
    let shared = &entry.shared;
    let Some(tls) = &shared.tls else {
        let http2 = shared.options.http2_only;
        return serve(stream.into_stream(), http2, peer, entry).await;
    };
    let handshake = async { tls.acceptor().await.accept(stream.into_stream()).await };
    let stream = tokio::select! {
        () = shared.stop.cancelled() => return,
        () = entry.activity.evicted.notified() => return,
        handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, ?peer, "TLS handshake failed"),
            Err(_) => return tracing::debug!(?peer, "TLS handshake timed out"),
        },
    };
    let http2 = shared.options.http2_only || stream.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(stream, http2, peer, entry).await;
}

async fn serve<H: Handler, S>(stream: S, http2: bool, peer: Option<SocketAddr>, entry: &ConnectionEntry<H>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (shared, activity) = (&entry.shared, &entry.activity);
    let service =
        hyper::service::service_fn(|request| answer(request, http2, peer, shared.clone(), activity.clone()));
    let io = TokioIo::new(stream);
    if http2 {
        let connection = http2_builder(shared).serve_connection(io, service);
        drive(connection, shared, activity, |connection| connection.graceful_shutdown()).await;
    } else {
        let connection = http1_builder(&shared.options).serve_connection(io, service);
        drive(connection, shared, activity, |connection| connection.graceful_shutdown()).await;
    }
}

/// Answers one request, within the write timeout.
async fn answer<H: Handler>(
    request: Request<Incoming>,
    http2: bool,
    peer: Option<SocketAddr>,
    shared: Arc<Shared<H>>,
    activity: Arc<Activity>,
) -> Result<Response<WholeBody>, &'static str> {
    let _in_progress = InProgress::begin(activity.clone());
    // Streams that only open must not keep others out.
    let too_many = activity.running() > CROWDED_STREAMS && shared.intake.is_crowded();
    if too_many {
        shared.intake.count_refused();
    }
    let Some(permit) = (!too_many).then(|| shared.intake.begin()).flatten() else {
        return Ok(shared.handler.refuse(request.map(drop)));
    };
    let permit = Arc::new(permit);
    let mut request = request.map(|body| ServerBody::new(body, permit.clone()));
    // A stream that only opened holds no more than this.
    if http2 && !request.headers().contains_key(http::header::EXPECT) {
        request.body_mut().peek().await.map_err(|_| "no body")?;
    }
    let response = Box::pin(shared.handler.handle(request, peer));
    match shared.options.write_timeout {
        Some(limit) => tokio::time::timeout(limit, response).await.map_err(|_| "write timeout"),
        None => Ok(response.await),
    }
}

fn http1_builder(options: &ServeOptions) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .keep_alive(!options.no_keep_alive)
        .header_read_timeout(options.read_header_timeout);
    builder
}

fn http2_builder<H: Handler>(shared: &Shared<H>) -> hyper::server::conn::http2::Builder<Tracked> {
    let tracked =
        Tracked { host: shared.host.clone(), name: shared.name.clone(), tasks: shared.tasks.clone() };
    let mut builder = hyper::server::conn::http2::Builder::new(tracked);
    builder.timer(TokioTimer::new()).max_concurrent_streams(shared.options.max_concurrent_streams);
    if let Some((interval, timeout)) = shared.options.ping {
        builder.keep_alive_interval(interval).keep_alive_timeout(timeout);
    }
    builder
}

/// Runs a connection until it ends, is idle or old for too long, or the server stops.
async fn drive<C, E, H: Handler>(
    connection: C,
    shared: &Shared<H>,
    activity: &Activity,
    graceful: impl Fn(std::pin::Pin<&mut C>),
) where
    C: Future<Output = Result<(), E>>,
    E: std::error::Error,
{
    let mut connection = pin!(connection);
    let finished = |result: Result<(), E>| {
        if let Err(error) = result {
            tracing::debug!(%error, "Connection ended");
        }
    };
    let grace = tokio::select! {
        result = connection.as_mut() => return finished(result),
        () = shared.kill.cancelled() => return,
        () = shared.stop.cancelled() => None,
        () = activity.evicted.notified() => match activity.last_used() {
            Some(_) => None,
            None => return,
        },
        () = activity.without_request() => return,
        () = activity.idle_for(shared.options.max_idle) => None,
        () = sleep(shared.options.max_age.map(jittered)) => shared.options.max_age_grace,
    };
    graceful(connection.as_mut());
    tokio::select! {
        result = connection => finished(result),
        () = shared.kill.cancelled() => {}
        () = activity.idle_for(Some(LINGER)) => {}
        () = sleep(grace) => {}
    }
}

/// Sleeps; for ever without a time.
async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Up to 10 % more or less, so that the clients of a restarted server do not come back all at once.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * crate::random::unit())
}

impl Activity {
    /// Number of requests in progress.
    fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Returns true if no request is in progress.
    fn is_idle(&self) -> bool {
        self.running() == 0
    }

    /// The end of the last request; `None` before the first one.
    fn last_used(&self) -> Option<Instant> {
        let after = self.last_used_ms.load(Ordering::Acquire);
        Some(self.accepted? + Duration::from_millis(after)).filter(|_| after > 0)
    }

    /// The time by which a first request has to come.
    fn first_request_due(&self) -> Instant {
        self.accepted.unwrap_or_else(Instant::now) + FIRST_REQUEST_TIMEOUT
    }

    /// Returns when no request has come in time; never if one has.
    async fn without_request(&self) {
        tokio::time::sleep_until(self.first_request_due()).await;
        if !self.is_idle() || self.last_used().is_some() {
            std::future::pending().await
        }
    }

    /// Returns when nothing was in progress for `limit`; never without a limit.
    async fn idle_for(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let changed = self.changed.notified();
            let idle = self.is_idle();
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(limit), if idle => return,
            }
        }
    }
}

impl InProgress {
    fn begin(activity: Arc<Activity>) -> Self {
        activity.running.fetch_add(1, Ordering::AcqRel);
        activity.changed.notify_one();
        Self(activity)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let after = self.0.accepted.map_or(0, |accepted| accepted.elapsed().as_millis());
        self.0.last_used_ms.store(u64::try_from(after).unwrap_or(u64::MAX).max(1), Ordering::Release);
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

impl<F> Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.host.spawn(self.name.clone(), self.tasks.track_future(future)));
    }
}
