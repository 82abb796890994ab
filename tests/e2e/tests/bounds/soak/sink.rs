//! A CloudWatch Logs that counts events and keeps none.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ends every event of a request; cannot stand inside a message, whose quotes are escaped.
const EVENT_END: &[u8] = b"\",\"timestamp\":";
const GOOD: &[u8] = b"a good record";
const LOGS: &[u8] = b"\"logStreamName\":\"logs\"";

pub(super) struct Sink {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    logs: AtomicU64,
    good: AtomicU64,
}

impl Sink {
    /// Serves until the process ends.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, counts) = (listener.local_addr().unwrap(), Arc::<Counts>::default());
        let shared = counts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counts = shared.clone();
                std::thread::spawn(move || serve(stream, &counts));
            }
        });
        Self { address, counts }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Events of the stream `logs`.
    pub(super) fn logs(&self) -> u64 {
        self.counts.logs.load(Ordering::Relaxed)
    }

    /// Of them those of good clients.
    pub(super) fn good(&self) -> u64 {
        self.counts.good.load(Ordering::Relaxed)
    }
}

/// Answers the requests of a connection until it ends.
fn serve(stream: TcpStream, counts: &Counts) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut is_put) = (0, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
            is_put |= line.ends_with("putlogevents");
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if is_put && contains(&body, LOGS) > 0 {
            counts.logs.fetch_add(contains(&body, EVENT_END), Ordering::Relaxed);
            counts.good.fetch_add(contains(&body, GOOD), Ordering::Relaxed);
        }
        let response =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 2\r\n\r\n{}";
        reader.get_mut().write_all(response).ok()?;
    }
}

/// How often `text` is in `body`.
fn contains(body: &[u8], text: &[u8]) -> u64 {
    let first = text[0];
    let mut count = 0;
    let mut rest = body;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        count += u64::from(rest[at..].starts_with(text));
        rest = &rest[at + 1..];
    }
    count
}
