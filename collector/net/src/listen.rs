//! Listening sockets.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

/// How many connections the kernel keeps until they are accepted; it lowers this to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Kinds of transports, by upstream's names. Only streams can carry HTTP; the others are known, so that the message is
/// about what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// TCP over IPv4 or IPv6.
    #[default]
    Tcp,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// A Unix domain socket; the endpoint is its path.
    Unix,
    /// A transport that upstream's configuration accepts and no server or client of streams can use.
    Unusable(&'static str),
}

/// Where a server really listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAddress {
    /// Address and port; never port 0.
    Tcp(SocketAddr),
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

/// Why a server cannot listen, in the words that users of upstream know.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The endpoint is not `host:port`.
    #[error("listen {transport}: address {endpoint}: {reason}")]
    Address {
        /// The transport.
        transport: Transport,
        /// The endpoint, as configured.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The host has no address.
    #[error("listen {transport}: lookup {host}: {source}")]
    Lookup {
        /// The transport.
        transport: Transport,
        /// The host.
        host: String,
        /// The resolver's answer.
        #[source]
        source: io::Error,
    },
    /// The system refused.
    #[error("listen {transport} {address}: {operation}: {}", plain(.source))]
    System {
        /// The transport.
        transport: Transport,
        /// The address that was tried.
        address: String,
        /// The system call.
        operation: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The transport carries no streams.
    #[error("listen {0}: transport does not carry streams, use tcp or unix")]
    Unusable(Transport),
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener, SocketAddr),
    /// A Unix domain socket, whose file is removed when the listener is dropped.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix domain socket. Dropping it removes the file.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

/// An accepted connection of which nothing was read.
pub(crate) enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepted {
    /// Waits until the peer has sent something, or is gone.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            // `TcpStream::readable` returns at once for a connection that was just accepted.
            Self::Tcp(stream) => stream.peek(&mut [0]).await.map(drop),
            Self::Unix(stream) => stream.readable().await,
        }
    }

    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        match self {
            Self::Tcp(stream) => Box::new(stream),
            Self::Unix(stream) => Box::new(stream),
        }
    }
}

/// A connection of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Transport {
    /// As configured.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp4 => "tcp4",
            Self::Tcp6 => "tcp6",
            Self::Unix => "unix",
            Self::Unusable(name) => name,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        const UNUSABLE: [&str; 9] =
            ["udp", "udp4", "udp6", "ip", "ip4", "ip6", "unixgram", "unixpacket", "npipe"];
        match name {
            "tcp" | "" => Ok(Self::Tcp),
            "tcp4" => Ok(Self::Tcp4),
            "tcp6" => Ok(Self::Tcp6),
            "unix" => Ok(Self::Unix),
            _ => UNUSABLE
                .into_iter()
                .find(|known| *known == name)
                .map(Self::Unusable)
                .ok_or_else(|| format!("unsupported transport type {name:?}")),
        }
    }
}

impl<'de> Deserialize<'de> for Transport {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Listener {
    /// Binds an endpoint: `host:port`, `:port` for all interfaces, or a path for Unix sockets.
    ///
    /// # Errors
    /// The endpoint is malformed, has no address, or the system refuses it.
    pub async fn bind(transport: Transport, endpoint: &str) -> Result<Self, ListenError> {
        match transport {
            Transport::Unix => {
                let path = PathBuf::from(endpoint);
                let listener = UnixListener::bind(&path)
                    .map_err(|source| system(transport, endpoint.to_owned(), "bind", source))?;
                Ok(Self::Unix(listener, SocketFile(path)))
            }
            Transport::Unusable(_) => Err(ListenError::Unusable(transport)),
            _ => Self::bind_tcp(transport, endpoint).await,
        }
    }

    async fn bind_tcp(transport: Transport, endpoint: &str) -> Result<Self, ListenError> {
        let (host, port) = split_host_port(endpoint).map_err(|reason| ListenError::Address {
            transport,
            endpoint: endpoint.to_owned(),
            reason,
        })?;
        if host.is_empty() && transport == Transport::Tcp {
            // One socket for both families, as upstream; only IPv4 where the host has no IPv6.
            let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            return match listen_tcp(transport, all) {
                Err(ListenError::System { source, .. }) if no_ipv6(&source) => {
                    listen_tcp(transport, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
                }
                result => result,
            };
        }
        listen_tcp(transport, resolve(transport, host, port).await?)
    }

    /// Where it is bound.
    pub fn local_address(&self) -> LocalAddress {
        match self {
            Self::Tcp(_, address) => LocalAddress::Tcp(*address),
            Self::Unix(_, file) => LocalAddress::Unix(file.0.clone()),
        }
    }

    /// The next connection and its peer's address, where it has one.
    pub(crate) async fn accept(&self) -> io::Result<(Accepted, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // Fails only on a connection that is gone already; serving it will find out.
                let _ = stream.set_nodelay(true);
                Ok((Accepted::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Accepted::Unix(stream), None))
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "Failed to remove the socket file");
        }
    }
}

/// Splits `host:port`; the host of `[::1]:80` is `::1`.
///
/// # Errors
/// What is wrong, in upstream's words.
pub fn split_host_port(endpoint: &str) -> Result<(&str, u16), String> {
    let (host, port) = endpoint.rsplit_once(':').ok_or("missing port in address")?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']').ok_or("missing port in address")?,
        None if host.contains(':') => return Err("too many colons in address".into()),
        None => host,
    };
    let port = if port.is_empty() { Ok(0) } else { port.parse() };
    port.map(|port| (host, port)).map_err(|_| "invalid port".into())
}

async fn resolve(transport: Transport, host: &str, port: u16) -> Result<SocketAddr, ListenError> {
    let wanted = |address: &SocketAddr| match transport {
        Transport::Tcp4 => address.is_ipv4(),
        Transport::Tcp6 => address.is_ipv6(),
        _ => true,
    };
    let lookup = |source| ListenError::Lookup { transport, host: host.to_owned(), source };
    if host.is_empty() {
        return Ok(match transport {
            Transport::Tcp6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            _ => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        });
    }
    let addresses: Vec<_> =
        tokio::net::lookup_host((host, port)).await.map_err(lookup)?.filter(wanted).collect();
    // A name listens on its IPv4 address where it has both, as Go does.
    addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())
        .copied()
        .ok_or_else(|| lookup(io::Error::other("no suitable address found")))
}

fn listen_tcp(transport: Transport, address: SocketAddr) -> Result<Listener, ListenError> {
    let failed = |operation| move |source| system(transport, address.to_string(), operation, source);
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(failed("socket"))?;
    socket.set_reuseaddr(true).map_err(failed("setsockopt"))?;
    // Inherited by the accepted sockets.
    socket.set_keepalive(true).map_err(failed("setsockopt"))?;
    socket.bind(address).map_err(failed("bind"))?;
    let listener = socket.listen(BACKLOG).map_err(failed("listen"))?;
    let local = listener.local_addr().map_err(failed("getsockname"))?;
    Ok(Listener::Tcp(listener, local))
}

fn system(transport: Transport, address: String, operation: &'static str, source: io::Error) -> ListenError {
    ListenError::System { transport, address, operation, source }
}

fn no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT, EADDRNOTAVAIL
    matches!(error.raw_os_error(), Some(97 | 99))
}

/// `address already in use` rather than `Address already in use (os error 98)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        if error.raw_os_error().is_some() {
            first.to_lowercase().chain(letters).collect()
        } else {
            text.to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let check = |endpoint: &str, expected: Result<(&str, u16), &str>| {
            assert_eq!(split_host_port(endpoint), expected.map_err(str::to_owned), "{endpoint:?}");
        };
        check("localhost:4317", Ok(("localhost", 4317)));
        check(":4317", Ok(("", 4317)));
        check("[::1]:80", Ok(("::1", 80)));
        check("1.2.3.4:0", Ok(("1.2.3.4", 0)));
        check("localhost", Err("missing port in address"));
        check("", Err("missing port in address"));
        check("::1:80", Err("too many colons in address"));
        check("a:70000", Err("invalid port"));
        check("a:http", Err("invalid port"));
    }

    #[test]
    fn transports() {
        assert_eq!("tcp".parse(), Ok(Transport::Tcp));
        assert_eq!("unixgram".parse(), Ok(Transport::Unusable("unixgram")));
        assert_eq!("bogus".parse::<Transport>(), Err(r#"unsupported transport type "bogus""#.into()));
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = Listener::bind(Transport::Tcp, "127.0.0.1:0").await.unwrap();
        let LocalAddress::Tcp(address) = first.local_address() else { panic!("not tcp") };
        assert_ne!(address.port(), 0);
        let error = Listener::bind(Transport::Tcp, &address.to_string()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("listen tcp {address}: bind: address already in use"));
    }

    #[tokio::test]
    async fn all_interfaces() {
        let listener = Listener::bind(Transport::Tcp, ":0").await.unwrap();
        let LocalAddress::Tcp(address) = listener.local_address() else { panic!("not tcp") };
        assert!(address.ip().is_unspecified());
        assert!(tokio::net::TcpStream::connect(("127.0.0.1", address.port())).await.is_ok());
    }

    #[tokio::test]
    async fn malformed_and_unusable_endpoints() {
        let check = async |transport: Transport, endpoint: &str, expected: &str| {
            let error = Listener::bind(transport, endpoint).await.unwrap_err().to_string();
            assert_eq!(error, expected);
        };
        check(Transport::Tcp, "localhost", "listen tcp: address localhost: missing port in address").await;
        check(
            Transport::Unusable("udp"),
            "localhost:1",
            "listen udp: transport does not carry streams, use tcp or unix",
        )
        .await;
    }

    #[tokio::test]
    async fn a_socket_file_lives_as_long_as_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("otlp.sock");
        let endpoint = path.to_str().unwrap();
        let listener = Listener::bind(Transport::Unix, endpoint).await.unwrap();
        assert_eq!(listener.local_address(), LocalAddress::Unix(path.clone()));
        let error = Listener::bind(Transport::Unix, endpoint).await.unwrap_err();
        assert_eq!(error.to_string(), format!("listen unix {endpoint}: bind: address already in use"));
        assert!(path.exists());
        drop(listener);
        assert!(!path.exists());
    }
}
