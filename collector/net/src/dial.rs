//! Connections to servers.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Place;
use crate::listen::{Stream, plain};

/// How long the preferred family of addresses is alone: Go's default.
const FALLBACK_DELAY: Duration = Duration::from_millis(300);

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

/// Connects to an address that answers. The family of the first address is preferred; if it is slow, the other one is
/// tried beside it, as RFC 6555 has it, so that a network that swallows IPv6 costs little.
pub(crate) async fn dial_any(place: &Place) -> io::Result<Box<dyn Stream>> {
    dial_families(resolve(place).await?).await
}

async fn dial_families(addresses: Vec<Address>) -> io::Result<Box<dyn Stream>> {
    let is_v6 = |address: &Address| matches!(address, Address::Tcp(address) if address.is_ipv6());
    let preferred = addresses.first().is_some_and(is_v6);
    let (first, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| is_v6(address) == preferred);
    if others.is_empty() {
        return dial_in_turn(&first).await;
    }
    let mut attempt = pin!(dial_in_turn(&first));
    match tokio::time::timeout(FALLBACK_DELAY, &mut attempt).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => return dial_in_turn(&others).await.map_err(|_| error),
        Err(_) => {}
    }
    let mut fallback = pin!(dial_in_turn(&others));
    tokio::select! {
        result = &mut attempt => match result {
            Ok(stream) => Ok(stream),
            Err(error) => fallback.await.map_err(|_| error),
        },
        result = &mut fallback => match result {
            Ok(stream) => Ok(stream),
            Err(_) => attempt.await,
        },
    }
}

/// Connects to the first address that answers.
async fn dial_in_turn(addresses: &[Address]) -> io::Result<Box<dyn Stream>> {
    let mut last = io::Error::other("no address");
    for address in addresses {
        match dial(address).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_family_is_enough() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = Address::Tcp(listener.local_addr().unwrap());
        // An address of the other family that nobody listens at.
        let closed = Address::Tcp("[::1]:1".parse().unwrap());
        for order in [vec![closed.clone(), open.clone()], vec![open, closed.clone()]] {
            assert!(dial_families(order).await.is_ok());
        }
        let also_closed = Address::Tcp("127.0.0.1:1".parse().unwrap());
        let error = dial_families(vec![closed, also_closed]).await.err().unwrap().to_string();
        assert!(error.starts_with("dial tcp [::1]:1: connect: "), "{error}");
    }
}
