//! Sending queues on disk: what was accepted survives the end of the process, however it ends.

#![allow(clippy::unwrap_used, reason = "a test program")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Collector, free_address, request, request_within, wait_for_port};

/// Takes OTLP/HTTP and sends it on through a queue on disk.
fn agent(directory: &Path, http: SocketAddr, peer: SocketAddr) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '{http}'}}}}}}}}
exporters:
  otlp_grpc:
    endpoint: '{peer}'
    tls: {{insecure: true}}
    sending_queue: {{storage: file_storage, queue_size: 100000}}
    retry_on_failure: {{initial_interval: 100ms, max_interval: 200ms}}
extensions: {{file_storage: {{directory: '{}', create_directory: true}}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{metrics: {{receivers: [otlp], exporters: [otlp_grpc]}}}}
",
        directory.display()
    )
}

/// Prints the name of every metric that it is sent.
fn peer(grpc: SocketAddr) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}}}}}}}
exporters: {{debug: {{verbosity: normal, use_internal_logger: false}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{metrics: {{receivers: [otlp], exporters: [debug]}}}}
"
    )
}

/// Sends one metric; whether it was accepted.
fn send(http: SocketAddr, name: &str) -> bool {
    let body = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"{name}","gauge":{{"dataPoints":[{{"asInt":"7"}}]}}}}]}}]}}]}}"#
    );
    let headers = [("content-type", "application/json")];
    let answer =
        request_within(Duration::from_secs(10), http, "POST", "/v1/metrics", &headers, body.as_bytes());
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Reads the peer's output until every name has been in it.
fn wait_for(peer: &Collector, names: &BTreeSet<String>) {
    let mut missing = names.clone();
    while !missing.is_empty() {
        let line = peer.next_line().unwrap();
        if let Some((name, _)) = line.split_once("{}") {
            missing.remove(name);
        }
    }
}

#[test]
fn a_kill_while_the_peer_is_away_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let storage = directory.path().join("storage");
    let (http, grpc) = (free_address().unwrap(), free_address().unwrap());
    let accepted = AtomicUsize::new(0);
    let mut names = BTreeSet::new();
    for round in 0..2 {
        let collector = Collector::with_yaml(&agent(&storage, http, grpc)).unwrap();
        accepted.store(0, Ordering::Relaxed);
        let sent: Vec<String> = std::thread::scope(|scope| {
            // The kill comes in the middle of the requests of all senders.
            let senders: Vec<_> = (0..4)
                .map(|sender| {
                    let accepted = &accepted;
                    scope.spawn(move || {
                        let names = (0..1000).map(|number| format!("metric_{round}_{sender}_{number}"));
                        let taken = names.take_while(|name| {
                            let taken = send(http, name);
                            accepted.fetch_add(usize::from(taken), Ordering::Relaxed);
                            taken
                        });
                        taken.collect::<Vec<_>>()
                    })
                })
                .collect();
            while accepted.load(Ordering::Relaxed) < 200 && !senders.iter().all(|sender| sender.is_finished())
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            collector.signal("KILL").unwrap();
            senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
        });
        assert!(sent.len() >= 200, "{} were accepted; log:\n{}", sent.len(), collector.log());
        collector.wait().unwrap();
        names.extend(sent);
    }

    let peer = Collector::with_yaml(&peer(grpc)).unwrap();
    let collector = Collector::with_yaml(&agent(&storage, http, grpc)).unwrap();
    wait_for(&peer, &names);
    let log = collector.wait_for_log("The sending queue goes on with what is on disk.").unwrap();
    assert!(!log.contains("damaged"), "{log}");
    assert_eq!(collector.stop().unwrap(), Some(0));
    assert_eq!(peer.stop().unwrap(), Some(0));
}

#[test]
fn a_stop_while_the_peer_is_away_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (http, grpc) = (free_address().unwrap(), free_address().unwrap());
    let yaml = agent(&directory.path().join("storage"), http, grpc);
    let collector = Collector::with_yaml(&yaml).unwrap();
    let names: BTreeSet<String> = (0..50).map(|number| format!("metric_{number}")).collect();
    assert!(names.iter().all(|name| send(http, name)));
    // The other process has the directory.
    let other = yaml.replace(&http.to_string(), &free_address().unwrap().to_string());
    let refused = e2e::run(&["--config", &format!("yaml:{other}")]).unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("in use by another process for more than 1s"), "{}", refused.stderr);

    collector.signal("HUP").unwrap();
    collector.wait_for_log("The sending queue goes on with what is on disk.").unwrap();
    wait_for_port(http).unwrap();
    collector.signal("TERM").unwrap();
    let log = collector.wait_for_log("What could not be sent stays on disk until the next start.").unwrap();
    assert!(!log.contains("Dropping data"), "{log}");
    assert_eq!(collector.wait().unwrap().code(), Some(0));

    let peer = Collector::with_yaml(&peer(grpc)).unwrap();
    let collector = Collector::with_yaml(&yaml).unwrap();
    wait_for(&peer, &names);
    assert_eq!(collector.stop().unwrap(), Some(0));
    assert_eq!(peer.stop().unwrap(), Some(0));
    let client = directory.path().join("storage/exporter_otlp_grpc__metrics.d");
    let left: Vec<_> = std::fs::read_dir(client).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "everything is sent");
}

#[test]
fn a_storage_that_is_not_there_is_named() {
    let (http, grpc) = (free_address().unwrap(), free_address().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let yaml =
        agent(directory.path(), http, grpc).replace("storage: file_storage,", "storage: file_storage/x,");
    let finished = e2e::run(&["--config", &format!("yaml:{yaml}")]).unwrap();
    assert_eq!(finished.code, Some(1));
    let expected = "cannot start pipelines: failed to start \"otlp_grpc\" exporter: no storage client extension found: \"file_storage/x\"";
    assert!(finished.stderr.contains(expected), "{}", finished.stderr);
    assert!(request(http, "GET", "/", &[], b"").is_err(), "nothing listens");
}
