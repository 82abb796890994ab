//! What is sent, and what answers mean.

use component::{Code, Host};
use net::{ServerTls, TlsServerConfig};
use pdata::Signal;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use testkit::LogCapture;
use tokio::net::TcpListener;
use tracing::Level;

use crate::peer::{Answer, Running, Script};

#[tokio::test]
async fn every_signal_in_both_encodings() {
    let host = Host::standalone();
    for (batch, path) in [
        (testkit::gauges(2, 3), "/base/v1/metrics"),
        (testkit::logs(4), "/base/v1/logs"),
        (testkit::spans(5), "/base/v1/traces"),
    ] {
        for (encoding, content_type, body) in [
            ("proto", "application/x-protobuf", batch.to_protobuf()),
            ("json", "application/json", batch.to_json().into()),
        ] {
            let script = Script::default();
            let server = script.serve(&host, None).await;
            let keys = format!("endpoint: 'http://{}/base/', encoding: {encoding}", server.local_address());
            let running = Running::start(&keys, batch.signal()).await;
            running.send(batch.clone()).await.unwrap();
            let seen = script.seen();
            assert_eq!((seen.len(), seen[0].uri.as_str(), &seen[0].body), (1, path, &body));
            let header =
                |name: &str| seen[0].headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header("content-type").as_deref(), Some(content_type));
            assert_eq!(header("content-encoding").as_deref(), Some("gzip"));
            assert!(header("user-agent").unwrap().starts_with("test/0.0.0 (linux/"));
            running.shutdown().await;
        }
    }
}

#[tokio::test]
async fn every_compression() {
    let host = Host::standalone();
    let script = Script::default();
    let server = script.serve(&host, None).await;
    for (i, name) in
        ["gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed", "lz4", "none"].iter().enumerate()
    {
        let keys = format!("endpoint: 'http://{}', compression: {name}", server.local_address());
        let running = Running::start(&keys, Signal::Logs).await;
        running.send(testkit::logs(100)).await.unwrap();
        let seen = &script.seen()[i];
        assert_eq!(seen.body, testkit::logs(100).to_protobuf(), "{name}");
        let encoding = seen.headers.get("content-encoding").map(|value| value.to_str().unwrap());
        assert_eq!(encoding, Some(*name).filter(|name| *name != "none"));
        running.shutdown().await;
    }
}

#[tokio::test]
async fn headers_and_cookies() {
    let host = Host::standalone();
    let script = Script::answering([(200, vec![("set-cookie", "route=7; Path=/")], &b""[..])]);
    let server = script.serve(&host, None).await;
    let keys = format!(
        "logs_endpoint: 'http://{}/x?y=z', headers: {{X-Tenant: a, Host: own.example}}, cookies: {{}}",
        server.local_address()
    );
    let running = Running::start(&keys, Signal::Logs).await;
    running.send(testkit::logs(1)).await.unwrap();
    running.send(testkit::logs(1)).await.unwrap();
    let seen = script.seen();
    let header = |i: usize, name: &str| seen[i].headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(seen[0].uri, "/x?y=z");
    assert_eq!((header(0, "x-tenant"), header(0, "host")), (Some("a"), Some("own.example")));
    assert_eq!((header(0, "cookie"), header(1, "cookie")), (None, Some("route=7")));
}

#[tokio::test]
async fn answers() {
    let check = async |answer: Answer, expected: Option<(bool, Code, Option<u64>)>| {
        let host = Host::standalone();
        let script = Script::answering([answer.clone()]);
        let server = script.serve(&host, None).await;
        let running =
            Running::start(&format!("endpoint: 'http://{}'", server.local_address()), Signal::Logs).await;
        let got = running.send(testkit::logs(2)).await.err().map(|error| {
            (error.is_permanent(), error.code(), error.retry_after().map(|after| after.as_secs()))
        });
        assert_eq!(got, expected, "{answer:?}");
        // The connection serves the next request.
        running.send(testkit::logs(2)).await.unwrap();
        running.shutdown().await;
    };
    check((200, vec![], b""), None).await;
    check((204, vec![], b""), None).await;
    check((400, vec![], b"\x08\x03"), Some((true, Code::InvalidArgument, None))).await;
    check((404, vec![], b"404 page not found"), Some((true, Code::Unimplemented, None))).await;
    check((429, vec![("retry-after", "7")], b""), Some((false, Code::ResourceExhausted, Some(7)))).await;
    check((503, vec![], b""), Some((false, Code::Unavailable, None))).await;
    check((307, vec![("location", "/else")], b""), Some((true, Code::Unknown, None))).await;
}

#[tokio::test]
async fn partial_success_is_logged_and_counts_as_sent() {
    let host = Host::standalone();
    let json = br#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"stale"}}"#;
    let script = Script::answering([(200, vec![("content-type", "application/json")], &json[..])]);
    let server = script.serve(&host, None).await;
    let running =
        Running::start(&format!("endpoint: 'http://{}'", server.local_address()), Signal::Logs).await;
    let log = LogCapture::begin();
    running.send(testkit::logs(3)).await.unwrap();
    let line = log.find("Partial success response").unwrap();
    assert_eq!(
        (line.level, line.field("dropped_log_records"), line.field("reason")),
        (Level::WARN, "1", "stale")
    );
    let values = running.telemetry.values();
    let (name, value) = values.iter().find(|(name, _)| name.contains("exporter_sent_log_records")).unwrap();
    assert_eq!(*value, 3.0);
    assert!(name.contains("server_address=127.0.0.1") && name.contains("url_path=/v1/logs"), "{name}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let host = Host::standalone();
    let long: &'static [u8] = vec![b'x'; 10 << 20].leak();
    let script =
        Script::answering([(500, vec![], long), (200, vec![("content-type", "application/json")], long)]);
    let server = script.serve(&host, None).await;
    let running =
        Running::start(&format!("endpoint: 'http://{}'", server.local_address()), Signal::Logs).await;
    assert!(running.send(testkit::logs(1)).await.unwrap_err().is_permanent());
    assert!(running.send(testkit::logs(1)).await.unwrap_err().is_permanent());
    running.send(testkit::logs(1)).await.unwrap();
}

#[tokio::test]
async fn no_server_and_a_silent_server_are_retryable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = Running::start(&format!("endpoint: 'http://{address}', timeout: 50ms"), Signal::Logs).await;
    let error = running.send(testkit::logs(1)).await.unwrap_err();
    assert!(!error.is_permanent() && error.to_string().contains("context deadline exceeded"), "{error}");
    running.shutdown().await;
    drop(listener);
    let running = Running::start(&format!("endpoint: 'http://{address}'"), Signal::Logs).await;
    let error = running.send(testkit::logs(1)).await.unwrap_err();
    let expected = format!("dial tcp {address}: connect: connection refused");
    assert!(!error.is_permanent() && error.to_string().contains(&expected), "{error}");
}

#[tokio::test]
async fn tls() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(file("cert.pem"), cert.pem()).unwrap();
    std::fs::write(file("key.pem"), signing_key.serialize_pem()).unwrap();
    let host = Host::standalone();
    let yaml = format!("{{cert_file: '{}', key_file: '{}'}}", file("cert.pem"), file("key.pem"));
    let config: TlsServerConfig = confmap::from_yaml(&yaml).unwrap();
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let script = Script::default();
        let server = script.serve(&host, Some(ServerTls::load(&config, protocols).await.unwrap())).await;
        let port = server.local_address().to_string().rsplit_once(':').unwrap().1.to_owned();
        let send = async |tls: &str| {
            let running = Running::start(
                &format!("endpoint: 'https://localhost:{port}', tls: {{{tls}}}"),
                Signal::Logs,
            )
            .await;
            let result = running.send(testkit::logs(1)).await;
            running.shutdown().await;
            result.map_err(|error| error.to_string())
        };
        assert_eq!(send(&format!("ca_file: '{}'", file("cert.pem"))).await, Ok(()));
        assert_eq!(send("insecure_skip_verify: true").await, Ok(()));
        // There is no plaintext behind https.
        let error = send("insecure: true").await.unwrap_err();
        assert!(error.contains("invalid peer certificate"), "{error}");
        assert_eq!(script.seen().len(), 2);
    }
}

#[tokio::test]
async fn through_a_proxy() {
    // A plain proxy is sent the whole URL: a server that answers everything can stand for it.
    let host = Host::standalone();
    let proxy = Script::default();
    let server = proxy.serve(&host, None).await;
    let keys =
        format!("endpoint: 'http://otlp.example:4318', proxy_url: 'http://u:p@{}'", server.local_address());
    let running = Running::start(&keys, Signal::Logs).await;
    running.send(testkit::logs(1)).await.unwrap();
    let seen = &proxy.seen()[0];
    assert_eq!(seen.uri, "http://otlp.example:4318/v1/logs");
    assert_eq!(seen.headers.get("proxy-authorization").unwrap(), "Basic dTpw");
    // A tunnel is refused by a server that is none.
    proxy.answer([(405, vec![], &b""[..])]);
    let keys = format!("endpoint: 'https://otlp.example', proxy_url: 'http://{}'", server.local_address());
    let running = Running::start(&keys, Signal::Logs).await;
    let error = running.send(testkit::logs(1)).await.unwrap_err();
    assert!(error.to_string().contains("proxy refuses the connection: HTTP/1.1 405"), "{error}");
}
