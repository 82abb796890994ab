//! Connections to servers.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use hyper::rt::Executor;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Place;
use crate::listen::{Stream, plain};

/// One address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Spawns a client's background tasks into the tracked set. They end when the client is stopped.
#[derive(Clone)]
pub(crate) struct ClientTasks {
    host: component::Host,
    name: String,
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
}

/// The addresses of a place, in the resolver's order.
pub(crate) async fn resolve(place: &Place) -> io::Result<Vec<Address>> {
    match place {
        Place::Unix(path) => Ok(vec![Address::Unix(path.clone())]),
        Place::Host(host, port) => {
            let failed = |reason: String| io::Error::other(format!("dial tcp: lookup {host}: {reason}"));
            let found: Vec<_> = tokio::net::lookup_host((host.as_str(), *port))
                .await
                .map_err(|error| failed(plain(&error)))?
                .map(Address::Tcp)
                .collect();
            if found.is_empty() { Err(failed("no such host".into())) } else { Ok(found) }
        }
    }
}

/// Connects to one address.
pub(crate) async fn dial(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(|error| {
                io::Error::new(error.kind(), format!("dial tcp {address}: connect: {}", plain(&error)))
            })?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(|error| {
                let path = path.display();
                io::Error::new(error.kind(), format!("dial unix {path}: connect: {}", plain(&error)))
            })?;
            Ok(Box::new(stream))
        }
    }
}

/// Connects to the first address that answers.
pub(crate) async fn dial_any(place: &Place) -> io::Result<Box<dyn Stream>> {
    let mut last = io::Error::other("no address");
    for address in resolve(place).await? {
        match dial(&address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl ClientTasks {
    pub(crate) fn new(host: &component::Host, name: &str) -> Self {
        Self {
            host: host.clone(),
            name: name.to_owned(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let future = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = future => {}
            }
        };
        // The tracked set keeps the task; its handle is of no use.
        drop(self.host.spawn(self.name.clone(), self.tasks.track_future(future)));
    }

    /// Ends all tasks.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl<F> Executor<F> for ClientTasks
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(async move {
            future.await;
        });
    }
}
