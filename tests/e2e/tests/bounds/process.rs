//! Signals, reloads, panics and the log.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Collector, binary, free_address, request, wait_for_port};

/// A service with a health check and an OTLP receiver.
fn yaml(health: &str, http: &str, more: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '{http}'{more}}}}}}}}}
exporters: {{nop: {{}}}}
extensions: {{health_check: {{endpoint: '{health}'}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}, logs: {{sampling: {{enabled: false}}}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [nop]}}}}
"
    )
}

fn start(path: &Path) -> Collector {
    let collector = Collector::start(&["--config", path.to_str().unwrap()]).unwrap();
    collector.wait_for_log("Everything is ready").unwrap();
    collector
}

/// A file whose reading never ends, as on a file system that hangs.
fn hanging_file(directory: &Path) -> String {
    let path = directory.join("hangs");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    path.display().to_string()
}

#[test]
fn a_reload_that_hangs_leaves_the_service_and_its_signals_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("collector.yaml");
    let [health, http] = [(); 2].map(|()| free_address().unwrap());
    std::fs::write(&path, yaml(&health.to_string(), &http.to_string(), "")).unwrap();
    let collector = start(&path);
    let hangs = format!("include: ${{file:{}}}", hanging_file(directory.path()));
    std::fs::write(&path, format!("{hangs}\n{}", yaml(&health.to_string(), &http.to_string(), ""))).unwrap();
    collector.signal("HUP").unwrap();
    collector.wait_for_log("hangup").unwrap();
    assert_eq!(request(health, "GET", "/", &[], &[]).unwrap().status, 200);
    let asked = Instant::now();
    assert_eq!(collector.stop().unwrap(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_start_that_hangs_ends_with_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("collector.yaml");
    let [health, http] = [(); 2].map(|()| free_address().unwrap());
    let hangs = hanging_file(directory.path());
    let tls = format!(", tls: {{cert_file: {hangs}, key_file: {hangs}}}");
    std::fs::write(&path, yaml(&health.to_string(), &http.to_string(), &tls)).unwrap();
    let collector = Collector::start(&["--config", path.to_str().unwrap()]).unwrap();
    collector.wait_for_log("Starting otelcol-insights").unwrap();
    wait_for_port(health).unwrap();
    assert_eq!(collector.stop().unwrap(), Some(0));
}

#[test]
fn a_new_configuration_that_does_not_start_gives_way_to_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("collector.yaml");
    let [health, http] = [(); 2].map(|()| free_address().unwrap());
    std::fs::write(&path, yaml(&health.to_string(), &http.to_string(), "")).unwrap();
    let collector = start(&path);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    std::fs::write(&path, yaml(&health.to_string(), &taken.1.to_string(), "")).unwrap();
    collector.signal("HUP").unwrap();
    let log = collector.wait_for_log("going back to the old one").unwrap();
    assert!(log.contains("address already in use"), "{log}");
    wait_for_port(http).unwrap();
    assert_eq!(request(health, "GET", "/", &[], &[]).unwrap().status, 200);
    assert_eq!(collector.stop().unwrap(), Some(0));
}

#[test]
fn a_log_that_is_not_read_holds_up_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("collector.yaml");
    let [health, http] = [(); 2].map(|()| free_address().unwrap());
    let text = yaml(&health.to_string(), &http.to_string(), "")
        .replace("nop: {}", "nop: {}, debug: {verbosity: detailed, sampling_initial: 100000}");
    std::fs::write(&path, text.replace("exporters: [nop]", "exporters: [debug]")).unwrap();
    let mut child = Command::new(binary().unwrap())
        .args(["--config", path.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_port(http).unwrap();
    let headers = [("content-type", "application/json")];
    let body =
        br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a line of the log"}}]}]}]}"#;
    for _ in 0..3000 {
        assert_eq!(request(http, "POST", "/v1/logs", &headers, body).unwrap().status, 200);
    }
    assert_eq!(request(health, "GET", "/", &[], &[]).unwrap().status, 200);
    let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(ended.success());
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(child.wait().unwrap().success(), "{log}");
    assert!(log.contains("log lines were dropped"), "{}", &log[log.len().saturating_sub(2000)..]);
}
