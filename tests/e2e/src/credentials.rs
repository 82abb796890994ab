//! A credentials endpoint as containers have one, that hands out new credentials each time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

/// Serves until the program ends: `key-1` with `token-1`, then `key-2` with `token-2`, …
pub struct CredentialsEndpoint {
    address: SocketAddr,
    handed_out: Arc<AtomicUsize>,
}

impl CredentialsEndpoint {
    /// Serves on a free port of the loopback interface.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let handed_out = Arc::new(AtomicUsize::new(0));
        let counter = handed_out.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that goes away asks again.
                let _ = answer(stream, &counter);
            }
        });
        Ok(Self { address, handed_out })
    }

    /// For `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn url(&self) -> String {
        format!("http://{}/credentials", self.address)
    }

    /// How many credentials it has handed out.
    pub fn handed_out(&self) -> usize {
        self.handed_out.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream, counter: &AtomicUsize) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
    // By their own word they hold for long: only the service's answer tells that they do not.
    let body = format!(
        r#"{{"AccessKeyId":"key-{number}","SecretAccessKey":"secret","Token":"token-{number}","Expiration":"2099-01-01T00:00:00Z"}}"#
    );
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
