//! The limits of servers, over real sockets. None of them depends on how fast the test runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a failed test")]

use std::net::SocketAddr;
use std::time::Duration;

use component::Host;
use http::request::Parts;
use http::{Response, StatusCode};
use net::{
    App, HttpRequest, HttpServerConfig, HttpServerDefaults, HttpService, Listener, LocalAddress,
    RequestError, Server, Transport, WholeBody, http_serve_options, respond,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

struct Unlimited;

impl HttpServerDefaults for Unlimited {
    const ENDPOINT: &'static str = "127.0.0.1:0";
    const READ_HEADER_TIMEOUT: Duration = Duration::ZERO;
    const WRITE_TIMEOUT: Duration = Duration::ZERO;
    const IDLE_TIMEOUT: Duration = Duration::ZERO;
}

/// Answers with the body; at `/never`, not at all.
struct Echo;

impl App for Echo {
    async fn handle(&self, request: HttpRequest) -> Response<WholeBody> {
        if request.parts.uri.path() == "/never" {
            std::future::pending::<()>().await;
        }
        match request.read_body().await {
            Ok(body) => respond(StatusCode::OK, "text/plain", body),
            Err(error) => respond(StatusCode::BAD_REQUEST, "text/plain", error.to_string()),
        }
    }

    fn refuse(&self, _request: &Parts, error: &RequestError) -> Response<WholeBody> {
        respond(StatusCode::BAD_REQUEST, "text/plain", error.to_string())
    }
}

async fn start(yaml: &str) -> (Server, SocketAddr, Host) {
    let config: HttpServerConfig<Unlimited> = confmap::from_yaml(yaml).unwrap();
    let listener = Listener::bind(Transport::Tcp, &config.endpoint).await.unwrap();
    let host = Host::standalone();
    let service = HttpService::new(&config, Echo);
    let server = Server::start(&host, "echo", listener, None, http_serve_options(&config), service);
    let LocalAddress::Tcp(address) = *server.local_address() else { panic!("not TCP") };
    (server, address, host)
}

/// What the server says to `request` until it closes the connection.
async fn until_closed(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

const REQUEST: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (_server, address, _host) = start("idle_timeout: 1ms").await;
    assert_eq!(until_closed(address, "").await, "");
    let answer = until_closed(address, REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hi"), "{answer}");
}

#[tokio::test]
async fn a_slow_head_is_not_waited_for() {
    let (_server, address, _host) = start("read_header_timeout: 10ms").await;
    let answer = until_closed(address, "POST / HTTP/1.1\r\nhost:").await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let (_server, address, _host) = start("read_timeout: 10ms").await;
    let answer = until_closed(address, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nh").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("i/o timeout"), "{answer}");
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for() {
    let (_server, address, _host) = start("write_timeout: 10ms").await;
    assert_eq!(until_closed(address, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await, "");
}

#[tokio::test]
async fn one_request_per_connection() {
    let (_server, address, _host) = start("keep_alives_enabled: false").await;
    let answer = until_closed(address, REQUEST).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("hi"), "{answer}");
}

#[tokio::test]
async fn shutdown_ends_every_task() {
    let (server, address, host) = start("{}").await;
    let mut never = TcpStream::connect(address).await.unwrap();
    never.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(
        until_closed(address, &REQUEST.replace("host: x", "connection: close\r\nhost: x"))
            .await
            .ends_with("hi")
    );
    server.shutdown(Instant::now() + Duration::from_millis(20)).await;
    assert_eq!(host.tasks().names(), Vec::<String>::new());
    assert!(TcpStream::connect(address).await.is_err());
    let mut answer = Vec::new();
    let _ = never.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    // Again is fine.
    server.shutdown(Instant::now()).await;
}
