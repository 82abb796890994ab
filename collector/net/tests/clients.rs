//! The HTTP clients against our own server, over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use component::Host;
use confmap::Secret;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use net::{
    App, HttpClient, HttpClientConfig, HttpOnce, HttpRequest, HttpServerConfig, HttpServerDefaults,
    HttpService, Listener, LocalAddress, PiecesBody, RequestError, Server, ServerTls, TlsClientConfig,
    TlsConfig, TlsServerConfig, Transport, WholeBody, http_serve_options, respond,
};

struct Unlimited;

impl HttpServerDefaults for Unlimited {
    const ENDPOINT: &'static str = "127.0.0.1:0";
    const READ_HEADER_TIMEOUT: Duration = Duration::ZERO;
    const WRITE_TIMEOUT: Duration = Duration::ZERO;
    const IDLE_TIMEOUT: Duration = Duration::ZERO;
}

/// Answers with what it understood of the request.
struct Mirror;

impl App for Mirror {
    async fn handle(&self, request: HttpRequest) -> Response<WholeBody> {
        let Parts { method, uri, version, headers, .. } = &request.parts;
        let header = |name: &str| headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
        let head = format!("{method} {} {version:?} {} ", uri.path(), header("content-length"));
        let body = request.read_body().await.unwrap();
        respond(StatusCode::OK, "text/plain", [head.as_bytes(), &body].concat())
    }

    fn refuse(&self, _request: &Parts, error: &RequestError) -> Response<WholeBody> {
        respond(StatusCode::BAD_REQUEST, "text/plain", error.to_string())
    }
}

/// A server, and the configuration of clients that trust it.
async fn start(host: &Host, encrypted: bool) -> (Server, String, HttpClientConfig) {
    let config: HttpServerConfig<Unlimited> = confmap::from_yaml("{}").unwrap();
    let listener = Listener::bind(Transport::Tcp, &config.endpoint).await.unwrap();
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let own = TlsConfig {
        cert_pem: Secret::new(key.cert.pem()),
        key_pem: Secret::new(key.signing_key.serialize_pem()),
        ..TlsConfig::default()
    };
    let tls = TlsServerConfig { common: own, ..TlsServerConfig::default() };
    let tls = if encrypted { Some(ServerTls::load(&tls, &["h2", "http/1.1"]).await.unwrap()) } else { None };
    let service = HttpService::new(&config, Mirror);
    let server = Server::start(host, "mirror", listener, tls, http_serve_options(&config), service);
    let LocalAddress::Tcp(address) = *server.local_address() else { panic!("not TCP") };
    let scheme = if encrypted { "https" } else { "http" };
    let trusted = TlsConfig { ca_pem: Secret::new(key.cert.pem()), ..TlsConfig::default() };
    let client = HttpClientConfig {
        tls: TlsClientConfig { common: trusted, ..TlsClientConfig::default() },
        ..HttpClientConfig::default()
    };
    (server, format!("{scheme}://localhost:{}", address.port()), client)
}

fn post(url: &str) -> Request<PiecesBody> {
    let pieces = ["one ", "two ", "three"].map(|piece| Bytes::from_static(piece.as_bytes()));
    Request::post(url).body(PiecesBody::from(pieces.to_vec())).unwrap()
}

#[tokio::test]
async fn pieces_over_kept_connections() {
    for (encrypted, version) in [(true, "HTTP/2.0"), (false, "HTTP/1.1")] {
        let host = Host::standalone();
        let (server, url, config) = start(&host, encrypted).await;
        let client = HttpClient::start(&config, &host, "client", "test").await.unwrap();
        for _ in 0..2 {
            let answer = client.send(post(&format!("{url}/path"))).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.body, format!("POST /path {version} 13 one two three"));
        }
        client.shutdown().await;
        server.shutdown(tokio::time::Instant::now()).await;
        assert_eq!(host.tasks().names(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_connection_for_each_request() {
    for encrypted in [true, false] {
        let host = Host::standalone();
        let (_server, url, config) = start(&host, encrypted).await;
        let client = HttpOnce::new(config, &[]).unwrap();
        let answer = client.send(post(&url), 64).await.unwrap();
        assert_eq!(answer.body, "POST / HTTP/1.1 13 one two three");
        let failure = client.send(post(&format!("{url}/p?q")), 4).await.unwrap_err();
        assert_eq!(failure.to_string(), format!("Post \"{url}/p?q\": the answer is larger than 4 bytes"));
    }
}

#[tokio::test]
async fn failures_say_what_was_tried() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = HttpOnce::new(HttpClientConfig::default(), &[]).unwrap();
    let request = Request::get(format!("http://{closed}/a")).body(PiecesBody::default()).unwrap();
    let failure = client.send(request, 1).await.unwrap_err().to_string();
    assert_eq!(failure, format!("Get \"http://{closed}/a\": dial tcp {closed}: connect: connection refused"));
}

#[tokio::test]
async fn a_server_that_is_not_trusted() {
    let host = Host::standalone();
    let (_server, url, _) = start(&host, true).await;
    let client = HttpOnce::new(HttpClientConfig::default(), &[]).unwrap();
    let failure = client.send(post(&url), 64).await.unwrap_err().to_string();
    assert!(failure.contains("certificate"), "{failure}");

    let config = HttpClientConfig { endpoint: url.clone(), ..HttpClientConfig::default() };
    let client = HttpClient::nearby(&config, &host, "client").await.unwrap();
    let failure = client.open(post(&url)).await.unwrap_err();
    assert!(failure.is_untrusted() && failure.reason().contains("certificate"), "{failure}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = client.open(post(&format!("http://{closed}/"))).await.unwrap_err();
    assert!(!failure.is_untrusted(), "{failure}");
    assert_eq!(failure.reason(), format!("dial tcp {closed}: connect: connection refused"));
}
