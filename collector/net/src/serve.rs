//! Servers: accepting, handshakes, connections, and an end that is graceful as long as the deadline allows.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use component::Host;
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
use crate::listen::{Listener, LocalAddress, Stream};
use crate::tls::ServerTls;

/// The longest that a TLS handshake takes: grpc-go's `connectionTimeout`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(120);
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
        request: Request<Incoming>,
        peer: Option<SocketAddr>,
    ) -> impl Future<Output = Response<WholeBody>> + Send;
}

/// How connections are served. The defaults have no limits.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Whether plaintext is HTTP/2 (gRPC) rather than HTTP/1.1.
    pub http2_only: bool,
    /// HTTP/1: serve one request per connection.
    pub no_keep_alive: bool,
    /// HTTP/1: the longest that the head of a request takes.
    pub read_header_timeout: Option<Duration>,
    /// The longest that answering a request takes; the connection is closed without an answer.
    pub write_timeout: Option<Duration>,
    /// HTTP/2: the most requests at once on a connection.
    pub max_concurrent_streams: Option<u32>,
    /// HTTP/2: when a silent client is pinged, and how long it has to answer.
    pub ping: Option<(Duration, Duration)>,
    /// A connection without requests is closed after this.
    pub max_idle: Option<Duration>,
    /// A connection is closed after this.
    pub max_age: Option<Duration>,
    /// How long requests may run on after the connection has reached its age.
    pub max_age_grace: Option<Duration>,
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
        let shared = Arc::new(Shared {
            handler,
            options,
            tls,
            host: host.clone(),
            name: name.into(),
            stop: stop.clone(),
            kill: kill.clone(),
            tasks: tasks.clone(),
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
                shared.spawn(connection(stream, peer, shared.clone()));
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

async fn connection<H: Handler>(stream: Box<dyn Stream>, peer: Option<SocketAddr>, shared: Arc<Shared<H>>) {
    let Some(tls) = &shared.tls else {
        let http2 = shared.options.http2_only;
        return serve(stream, http2, peer, &shared).await;
    };
    let handshake = async { tls.acceptor().await.accept(stream).await };
    let stream = tokio::select! {
        () = shared.stop.cancelled() => return,
        handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, ?peer, "TLS handshake failed"),
            Err(_) => return tracing::debug!(?peer, "TLS handshake timed out"),
        },
    };
    let http2 = shared.options.http2_only || stream.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(stream, http2, peer, &shared).await;
}

async fn serve<H: Handler, S>(stream: S, http2: bool, peer: Option<SocketAddr>, shared: &Arc<Shared<H>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let service =
        hyper::service::service_fn(|request| answer(request, peer, shared.clone(), activity.clone()));
    let io = TokioIo::new(stream);
    if http2 {
        let connection = http2_builder(shared).serve_connection(io, service);
        drive(connection, shared, &activity, |connection| connection.graceful_shutdown()).await;
    } else {
        let connection = http1_builder(&shared.options).serve_connection(io, service);
        drive(connection, shared, &activity, |connection| connection.graceful_shutdown()).await;
    }
}

/// Answers one request, within the write timeout.
async fn answer<H: Handler>(
    request: Request<Incoming>,
    peer: Option<SocketAddr>,
    shared: Arc<Shared<H>>,
    activity: Arc<Activity>,
) -> Result<Response<WholeBody>, &'static str> {
    let _in_progress = InProgress::begin(activity);
    let response = shared.handler.handle(request, peer);
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
    /// Returns when nothing was in progress for `limit`; never without a limit.
    async fn idle_for(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let changed = self.changed.notified();
            let idle = self.running.load(Ordering::Acquire) == 0;
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
