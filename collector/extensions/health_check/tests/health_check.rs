//! The extension over a real socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use component::{Component, Extension, Host, Kind};
use healthcheckextension::HealthCheck;
use net::LocalAddress;
use testkit::TestTelemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

async fn start(yaml: &str) -> (HealthCheck, Host) {
    let config = Arc::new(confmap::from_yaml(yaml).unwrap());
    let extension =
        HealthCheck::new(TestTelemetry::default().settings(Kind::Extension, "health_check"), config);
    let host = Host::standalone();
    extension.start(&host).await.unwrap();
    (extension, host)
}

/// The whole answer; the server closes the connection behind it.
async fn ask(extension: &HealthCheck, method: &str, path: &str) -> String {
    let Some(LocalAddress::Tcp(address)) = extension.address() else { panic!("not listening") };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn ready_only_between_ready_and_not_ready() {
    let (extension, host) = start("endpoint: '127.0.0.1:0'").await;
    let check = async |status: &str, body: &str| {
        for (method, path) in [("GET", "/"), ("GET", "/health/status"), ("POST", "/")] {
            let answer = ask(&extension, method, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            assert!(answer.contains(body), "{answer}");
        }
    };
    let not_available = r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#;
    check("503 Service Unavailable", not_available).await;
    extension.ready();
    check("200 OK", r#"{"status":"Server available","upSince":"2"#).await;
    extension.not_ready();
    check("503 Service Unavailable", not_available).await;
    extension.shutdown(Instant::now() + Duration::from_secs(5)).await.unwrap();
    assert_eq!(host.tasks().names(), Vec::<String>::new());
}

#[tokio::test]
async fn own_texts_and_path() {
    let (extension, _host) =
        start("{endpoint: '127.0.0.1:0', path: /health, response_body: {healthy: fine, unhealthy: ill}}")
            .await;
    assert!(ask(&extension, "GET", "/health").await.ends_with("\r\n\r\nill"));
    extension.ready();
    let answer = ask(&extension, "GET", "/health").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nfine"), "{answer}");
    assert!(ask(&extension, "GET", "/").await.starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[tokio::test]
async fn a_port_in_use() {
    let (first, _host) = start("endpoint: '127.0.0.1:0'").await;
    let address = first.address().unwrap();
    let config = Arc::new(confmap::from_yaml(&format!("endpoint: '{address}'")).unwrap());
    let second = HealthCheck::new(TestTelemetry::default().settings(Kind::Extension, "health_check"), config);
    let error = second.start(&Host::standalone()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen tcp {address}: bind: address already in use"));
}
