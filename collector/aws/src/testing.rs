//! A service for tests: answers what it is told to, and keeps what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::credentials::CredentialsCache;
use crate::{Session, SessionConfig};

/// A request as it came over the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// `POST / HTTP/1.1`
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Status, further header lines, body.
pub(crate) type Answer = (u16, &'static str, String);

/// A server in threads of its own, so that it serves other processes too.
pub(crate) struct Fake {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut asked = Self::default();
        reader.read_line(&mut asked.line).ok()?;
        asked.line = asked.line.trim_end().to_owned();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            asked.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut body = vec![0; asked.header("content-length").map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).ok()?;
        asked.body = String::from_utf8(body).unwrap();
        Some(asked)
    }
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(answer, |stream| Some(Box::new(stream)))
    }

    pub(crate) fn start_tls(
        config: ServerConfig,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config);
        Self::serve(answer, move |stream| {
            Some(Box::new(StreamOwned::new(ServerConnection::new(config.clone()).ok()?, stream)))
        })
    }

    fn serve(
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer, wrap) = (asked.clone(), Arc::new(answer), Arc::new(wrap));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, answer, wrap) = (kept.clone(), answer.clone(), wrap.clone());
                std::thread::spawn(move || {
                    let Some(stream) = wrap(stream) else { return };
                    let mut stream = BufReader::new(stream);
                    while let Some(asked) = Asked::read(&mut stream) {
                        let (status, headers, body) = answer(&asked);
                        kept.lock().unwrap().push(asked);
                        let length = body.len();
                        let text =
                            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
                        if stream.get_mut().write_all(text.as_bytes()).is_err()
                            || stream.get_mut().flush().is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Fixed credentials.
pub(crate) fn credentials(token: Option<&str>, expiry: Option<SystemTime>) -> Credentials {
    Credentials::new("AKIDEXAMPLE", "secret-text", token.map(str::to_owned), expiry, "test")
}

/// A session with a service at `url`.
pub(crate) async fn session(
    config: &SessionConfig,
    url: &str,
    provider: SharedCredentialsProvider,
) -> Session {
    let config = SessionConfig { region: "eu-north-1".into(), endpoint: url.to_owned(), ..config.clone() };
    Session { credentials: CredentialsCache::new(provider), ..config.load().await.unwrap() }
}
