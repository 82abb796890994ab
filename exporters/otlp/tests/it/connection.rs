//! Connections: early, lost, refused, encrypted.

use std::time::Duration;

use component::{Code, Host};
use net::{ServerTls, TlsServerConfig};
use pdata::Signal;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::peer::{Running, Script, direct};

#[tokio::test]
async fn start_does_not_wait_and_calls_fail_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let running = Running::start(&direct(address, ""), Signal::Logs).await;
    let error = running.send(testkit::logs(1)).await.unwrap_err();
    assert_eq!((error.is_permanent(), error.code()), (false, Code::Unavailable));
    let expected = format!(
        "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: \
         dial tcp {address}: connect: connection refused\""
    );
    assert!(error.to_string().contains(&expected), "{error}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_connection_is_made_before_the_first_batch() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = Running::start(&direct(listener.local_addr().unwrap(), ""), Signal::Logs).await;
    listener.accept().await.unwrap();
    running.shutdown().await;
}

#[tokio::test]
async fn wait_for_ready_waits() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let running = Running::start(&direct(address, ", wait_for_ready: true"), Signal::Logs).await;
    let script = Script::default();
    let host = Host::standalone();
    let send = running.send(testkit::logs(1));
    let serve = async {
        tokio::task::yield_now().await;
        script.serve(&host, &address.to_string(), None).await
    };
    let (sent, _server) = tokio::join!(send, serve);
    sent.unwrap();
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let host = Host::standalone();
    let script = Script::default();
    let server = script.serve(&host, "127.0.0.1:0", None).await;
    let address = server.local_address().to_string();
    let running = Running::start(&direct(&address, ", wait_for_ready: true"), Signal::Logs).await;
    for round in 1..=3 {
        running.send(testkit::logs(1)).await.unwrap();
        assert_eq!(script.seen().len(), round);
        if round == 1 {
            server.shutdown(Instant::now() + Duration::from_secs(5)).await;
            std::mem::forget(script.serve(&host, &address, None).await);
        }
    }
    running.shutdown().await;
}

#[tokio::test]
async fn a_server_that_hangs_up_is_no_busy_loop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = Running::start(&direct(listener.local_addr().unwrap(), ""), Signal::Logs).await;
    let began = Instant::now();
    for _ in 0..3 {
        drop(listener.accept().await.unwrap());
    }
    // Two waits, of about 1 s and 1.6 s.
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    drop(listener);
    let error = running.send(testkit::logs(1)).await.unwrap_err();
    assert_eq!((error.is_permanent(), error.code()), (false, Code::Unavailable));
    running.shutdown().await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let check = async |more: &str, expected: &str| {
        let yaml = format!("{{endpoint: 'localhost:1', {more}}}");
        let error = Running::try_start(&yaml, Signal::Logs).await.err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("compression: zlib", r#"unsupported compression type "zlib""#).await;
    check("compression: lz4", r#"unsupported compression type "lz4""#).await;
    check(
        "auth: {authenticator: bearertokenauth}",
        r#"failed to resolve authenticator "bearertokenauth": authenticator not found"#,
    )
    .await;
    check("tls: {ca_file: /nowhere}", "failed to load TLS config: failed to load CA /nowhere").await;
}

struct Tls {
    dir: tempfile::TempDir,
}

fn tls(names: &[&str]) -> Tls {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
    Tls { dir }
}

impl Tls {
    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    async fn server(&self) -> ServerTls {
        let yaml =
            format!("{{cert_file: '{}', key_file: '{}'}}", self.file("cert.pem"), self.file("key.pem"));
        let config: TlsServerConfig = confmap::from_yaml(&yaml).unwrap();
        ServerTls::load(&config, &["h2"]).await.unwrap()
    }
}

#[tokio::test]
async fn tls_is_on_unless_insecure() {
    let own = tls(&["localhost"]);
    let host = Host::standalone();
    let script = Script::default();
    let server = script.serve(&host, "127.0.0.1:0", Some(own.server().await)).await;
    let port = server.local_address().to_string().rsplit_once(':').unwrap().1.to_owned();
    let send = async |endpoint: String, tls: &str| {
        let yaml = format!(
            "{{endpoint: '{endpoint}', sending_queue: {{enabled: false}}, retry_on_failure: {{enabled: false}}, tls: {{{tls}}}}}"
        );
        let running = Running::start(&yaml, Signal::Logs).await;
        let result = running.send(testkit::logs(1)).await;
        running.shutdown().await;
        result.map_err(|error| error.to_string())
    };
    let ca = format!("ca_file: '{}'", own.file("cert.pem"));
    assert_eq!(send(format!("localhost:{port}"), &ca).await, Ok(()));
    assert_eq!(send(format!("http://localhost:{port}"), &ca).await, Ok(()));
    // An authority makes it TLS all the same, and so does the scheme.
    assert_eq!(send(format!("localhost:{port}"), &format!("insecure: true, {ca}")).await, Ok(()));
    assert_eq!(
        send(format!("https://localhost:{port}"), "insecure: true, insecure_skip_verify: true").await,
        Ok(())
    );
    assert_eq!(
        send(format!("127.0.0.1:{port}"), &format!("server_name_override: localhost, {ca}")).await,
        Ok(())
    );
    assert_eq!(script.seen().len(), 5);

    let unknown = send(format!("localhost:{port}"), "").await.unwrap_err();
    assert!(unknown.contains("authentication handshake failed: invalid peer certificate"), "{unknown}");
    let wrong_name = send(format!("127.0.0.1:{port}"), &ca).await.unwrap_err();
    assert!(wrong_name.contains("authentication handshake failed"), "{wrong_name}");
    assert!(send(format!("localhost:{port}"), "insecure: true").await.is_err());
    assert_eq!(script.seen().len(), 5);
}
