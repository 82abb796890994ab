//! Handshakes, credentials and kept connections over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a failed test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use component::Host;
use confmap::Secret;
use http::request::Parts;
use http::{Response, StatusCode, Version};
use k8s::{ApiServer, ApiServerConfig, Credentials, Error};
use net::{
    App, HttpRequest, HttpServerConfig, HttpServerDefaults, HttpService, Listener, LocalAddress,
    RequestError, Server, ServerTls, TlsConfig, TlsServerConfig, Transport, WholeBody, http_serve_options,
    respond,
};

struct Unlimited;

impl HttpServerDefaults for Unlimited {
    const ENDPOINT: &'static str = "127.0.0.1:0";
    const READ_HEADER_TIMEOUT: Duration = Duration::ZERO;
    const WRITE_TIMEOUT: Duration = Duration::ZERO;
    const IDLE_TIMEOUT: Duration = Duration::ZERO;
}

#[derive(Debug, Clone)]
struct Seen {
    version: Version,
    peer: SocketAddr,
    authorization: String,
}

/// Answers whoever shows the token that it wants now, but never about `/hang`.
#[derive(Clone, Default)]
struct Guard {
    wanted: Arc<Mutex<String>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// An API server behind TLS.
struct Fixture {
    guard: Guard,
    url: String,
    /// The server's certificate, which signed itself and the clients'.
    pem: String,
    key: String,
    directory: tempfile::TempDir,
    _server: Server,
}

impl App for Guard {
    async fn handle(&self, request: HttpRequest) -> Response<WholeBody> {
        let header = request.parts.headers.get("authorization");
        let authorization = header.map_or("-", |value| value.to_str().unwrap()).to_owned();
        let accepted = *self.wanted.lock().unwrap() == authorization;
        self.seen.lock().unwrap().push(Seen {
            version: request.parts.version,
            peer: request.peer.unwrap(),
            authorization,
        });
        if request.parts.uri.path() == "/hang" {
            std::future::pending::<()>().await;
        }
        match accepted {
            true => respond(StatusCode::OK, "application/json", "{}"),
            false => respond(StatusCode::UNAUTHORIZED, "application/json", r#"{"message":"Unauthorized"}"#),
        }
    }

    fn refuse(&self, _request: &Parts, error: &RequestError) -> Response<WholeBody> {
        respond(StatusCode::BAD_REQUEST, "text/plain", error.to_string())
    }
}

impl Fixture {
    async fn new(clients_show_certificates: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "api".to_owned()]).unwrap();
        let (pem, key) = (key.cert.pem(), key.signing_key.serialize_pem());
        std::fs::write(directory.path().join("ca.crt"), &pem).unwrap();
        let common =
            TlsConfig { cert_pem: Secret::new(&pem), key_pem: Secret::new(&key), ..TlsConfig::default() };
        let client_ca_file =
            if clients_show_certificates { directory.path().join("ca.crt") } else { PathBuf::new() };
        let tls = TlsServerConfig { common, client_ca_file, ..TlsServerConfig::default() };
        let tls = ServerTls::load(&tls, &["h2", "http/1.1"]).await.unwrap();
        let config: HttpServerConfig<Unlimited> = confmap::from_yaml("{}").unwrap();
        let listener = Listener::bind(Transport::Tcp, &config.endpoint).await.unwrap();
        let guard = Guard::default();
        *guard.wanted.lock().unwrap() = "-".to_owned();
        let service = HttpService::new(&config, guard.clone());
        let host = Host::standalone();
        let server = Server::start(&host, "api", listener, Some(tls), http_serve_options(&config), service);
        let LocalAddress::Tcp(address) = *server.local_address() else { panic!("not TCP") };
        Self { guard, url: format!("https://{address}"), pem, key, directory, _server: server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> ApiServerConfig {
        let mut config = ApiServerConfig::new(self.url.parse().unwrap());
        config.tls.common.ca_file = self.path("ca.crt");
        config
    }

    fn want(&self, authorization: &str) {
        *self.guard.wanted.lock().unwrap() = authorization.to_owned();
    }

    fn seen(&self) -> Vec<Seen> {
        self.guard.seen.lock().unwrap().clone()
    }

    fn authorizations(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.authorization).collect()
    }
}

#[tokio::test]
async fn all_requests_share_one_connection() {
    let fixture = Fixture::new(false).await;
    let host = Host::standalone();
    let api = ApiServer::on_host(fixture.config(), &host).unwrap();
    api.get("/").await.unwrap();
    let hanging: Vec<_> = (0..5)
        .map(|_| {
            let api = api.clone();
            host.spawn("question", async move { api.get("/hang").await.map(drop) })
        })
        .collect();
    while fixture.seen().len() < 6 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen = fixture.seen();
    let peers: BTreeSet<_> = seen.iter().map(|seen| seen.peer).collect();
    assert_eq!((peers.len(), seen[0].version), (1, Version::HTTP_2), "{seen:?}");

    // Whoever gave up suspects the connection: the next question takes another one.
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    for question in hanging {
        assert!(question.await.unwrap_err().is_cancelled());
    }
    api.get("/").await.unwrap();
    api.get("/").await.unwrap();
    let peers: Vec<_> = fixture.seen().iter().map(|seen| seen.peer).collect();
    assert!(peers[6] != peers[0] && peers[6] == peers[7], "{peers:?}");

    drop(api);
    while !host.tasks().names().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_refused_token_is_read_again_at_once() {
    let fixture = Fixture::new(false).await;
    let token = fixture.path("token");
    std::fs::write(&token, "one").unwrap();
    fixture.want("Bearer one");
    let mut config = fixture.config();
    config.credentials = Credentials::TokenFile(token.clone());
    let api = ApiServer::new(config).unwrap();
    api.get("/").await.unwrap();
    std::fs::write(&token, "two").unwrap();
    fixture.want("Bearer two");
    api.get("/").await.unwrap();
    assert_eq!(fixture.authorizations(), ["Bearer one", "Bearer one", "Bearer two"]);
    // Nothing else is there: the refusal is the answer.
    fixture.want("Bearer three");
    let error = api.get("/version").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "may not get /version (401): allow the service account `get` on `/version` (Unauthorized)"
    );
    assert_eq!(fixture.authorizations().len(), 4);
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_names_the_file_of_those_who_may() {
    let fixture = Fixture::new(false).await;
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(fixture.path("other.crt"), other.cert.pem()).unwrap();
    let mut config = fixture.config();
    config.tls.common.ca_file = fixture.path("other.crt");
    let error = ApiServer::new(config.clone()).unwrap().get("/").await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    let expected = format!(
        "the certificate of {} is not accepted by {}: invalid peer certificate: ",
        fixture.url.trim_start_matches("https://"),
        fixture.path("other.crt").display()
    );
    assert!(error.to_string().starts_with(&expected), "{error}");

    config.tls.insecure_skip_verify = true;
    ApiServer::new(config).unwrap().get("/").await.unwrap();

    let mut config = fixture.config();
    config.tls.server_name_override = "elsewhere".to_owned();
    let error = ApiServer::new(config).unwrap().get("/").await.unwrap_err().to_string();
    assert!(error.contains("not valid for name \"elsewhere\""), "{error}");

    std::fs::write(fixture.path("broken.crt"), "no certificate").unwrap();
    let mut config = fixture.config();
    config.tls.common.ca_file = fixture.path("broken.crt");
    let error = ApiServer::new(config).unwrap().get("/").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot make a client of the server: failed to load TLS config: failed to parse CA: no certificate found"
    );
}

#[tokio::test]
async fn a_kubeconfig_with_everything_in_it() {
    let fixture = Fixture::new(true).await;
    let (pem, key) = (STANDARD.encode(&fixture.pem), STANDARD.encode(&fixture.key));
    let text = format!(
        "{{current-context: x, contexts: [{{name: x, context: {{cluster: c, user: u}}}}],
          clusters: [{{name: c, cluster: {{server: '{}', certificate-authority-data: {pem}, tls-server-name: api}}}}],
          users: [{{name: u, user: {{client-certificate-data: {pem}, client-key-data: {key}}}}}]}}",
        fixture.url
    );
    let config = ApiServerConfig::from_kubeconfig_text(&text, "config".as_ref(), None).unwrap();
    ApiServer::new(config).unwrap().get("/").await.unwrap();

    // Without the user's certificate the handshake fails.
    let error = ApiServer::new(fixture.config()).unwrap().get("/").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn the_certificate_of_a_plugin_is_shown() {
    let fixture = Fixture::new(true).await;
    let answer = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential",
        "status": {"token": "t", "clientCertificateData": fixture.pem, "clientKeyData": fixture.key},
    });
    std::fs::write(fixture.path("answer"), answer.to_string()).unwrap();
    let text = format!(
        "{{current-context: x, contexts: [{{name: x, context: {{cluster: c, user: u}}}}],
          clusters: [{{name: c, cluster: {{server: '{}', certificate-authority: ca.crt}}}}],
          users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1beta1, command: sh,
            args: [-c, 'cat \"$ANSWER\"'], env: [{{name: ANSWER, value: '{}'}}]}}}}}}]}}",
        fixture.url,
        fixture.path("answer").display()
    );
    std::fs::write(fixture.path("config"), text).unwrap();
    let config = ApiServerConfig::from_kubeconfig(Some(&fixture.path("config")), Some("x")).unwrap();
    fixture.want("Bearer t");
    ApiServer::new(config).unwrap().get("/").await.unwrap();
    let seen = fixture.seen();
    assert_eq!((seen.len(), seen[0].authorization.as_str()), (1, "Bearer t"));
}

#[tokio::test]
async fn a_long_answer_is_read_chunk_by_chunk() {
    let server = testkit::FakeApiServer::start().await;
    let long = "x".repeat(5 << 20);
    server.answer("/metrics", 200, &long);
    let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
    let mut stream = api.open_stream("/metrics", "text/plain;version=0.0.4").await.unwrap();
    let mut length = 0;
    while let Some(chunk) = stream.chunk().await.unwrap() {
        length += chunk.len();
    }
    assert_eq!(length, long.len());
    assert_eq!(server.requests()[0].header("accept"), Some("text/plain;version=0.0.4"));
    assert!(matches!(api.get("/metrics").await, Err(Error::TooLong { limit: 4_194_304 })));
    server.forbid("/metrics", "no");
    let error = api.open_stream("/metrics", "text/plain").await.err().unwrap().to_string();
    assert_eq!(error, "may not get /metrics (403): allow the service account `get` on `/metrics` (no)");
}
