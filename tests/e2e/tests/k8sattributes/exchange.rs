//! OTLP over HTTP in both directions: requests from addresses of choice, and what the collector sends on.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpSocket;

/// A server that takes OTLP and keeps the bodies by the paths that they came to.
pub(crate) struct Sink {
    address: SocketAddr,
    bodies: Arc<Mutex<HashMap<String, Vec<Vec<u8>>>>>,
}

/// A connection to an OTLP/HTTP receiver from an address of this machine.
pub(crate) struct Sender {
    runtime: tokio::runtime::Runtime,
    receiver: SocketAddr,
}

impl Sink {
    /// Listens on a free port until the test program ends.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let bodies = Arc::default();
        let kept = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(connection, &kept));
            }
        });
        Ok(Self { address, bodies })
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What came to a path since the last time, in order.
    pub(crate) fn take(&self, path: &str) -> Vec<Vec<u8>> {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.remove(&format!("/{path}")).unwrap_or_default()
    }
}

/// Answers requests on one connection; what is wrong with it ends it, and the collector tells.
fn serve(connection: TcpStream, kept: &Mutex<HashMap<String, Vec<Vec<u8>>>>) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut writer = connection;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            match line.trim().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok()?;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        kept.lock().unwrap_or_else(PoisonError::into_inner).entry(path).or_default().push(body);
        writer
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            .ok()?;
    }
}

impl Sender {
    /// For a receiver.
    pub(crate) fn new(receiver: SocketAddr) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, receiver })
    }

    /// Sends a body from an address, and waits until it is taken.
    pub(crate) fn send(&self, from: IpAddr, path: &str, kind: &str, body: &[u8]) -> Result<()> {
        let connected = self.runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            socket.connect(self.receiver).await?.into_std()
        });
        let mut stream = connected.with_context(|| format!("from {from} to {}", self.receiver))?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        Ok(())
    }
}
