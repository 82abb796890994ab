//! Clients that try to hang or exhaust the collector, each at a rate that the machine bears.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::{FrameType, Http2, request_within};

use super::Targets;

type Attack = fn(Targets, &AtomicBool);

pub(super) const ATTACKS: &[Attack] = &[
    records_of_a_large_resource,
    points_of_many_labels,
    streams_without_data,
    stalled_bodies,
    silent_connections,
    malformed_requests,
    bombs,
    control_frames,
    half_closed_connections,
];

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// Repeats an attack until `stop`, with a pause after each.
fn repeat(stop: &AtomicBool, pause: Duration, mut attack: impl FnMut()) {
    while !stop.load(Ordering::Relaxed) {
        attack();
        wait(stop, pause);
    }
}

/// Sleeps, but not beyond `stop`.
fn wait(stop: &AtomicBool, time: Duration) {
    for _ in 0..time.as_millis() / 50 {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn post(targets: Targets, path: &str, headers: &[(&str, &str)], body: &[u8]) {
    // However it is answered.
    let _ = request_within(Duration::from_secs(30), targets.http, "POST", path, headers, body);
}

/// 300 empty records become 30 MB of events.
fn records_of_a_large_resource(targets: Targets, stop: &AtomicBool) {
    let records = vec!["{}"; 300].join(",");
    let value = "v".repeat(100_000);
    let body = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"k","value":{{"stringValue":"{value}"}}}}]}},"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#
    );
    repeat(stop, Duration::from_secs(3), || {
        post(targets, "/v1/logs", &[("content-type", JSON)], body.as_bytes())
    });
}

fn points_of_many_labels(targets: Targets, stop: &AtomicBool) {
    let labels: Vec<String> =
        (0..50_000).map(|at| format!(r#"{{"key":"k{at}","value":{{"stringValue":"v"}}}}"#)).collect();
    let body = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{{"asInt":"1","attributes":[{}]}}]}}}}]}}]}}]}}"#,
        labels.join(",")
    );
    repeat(stop, Duration::from_secs(2), || {
        post(targets, "/v1/metrics", &[("content-type", JSON)], body.as_bytes());
    });
}

fn streams_without_data(targets: Targets, stop: &AtomicBool) {
    repeat(stop, Duration::from_secs(1), || {
        let mut floods: Vec<Http2> = (0..4).filter_map(|_| Http2::connect(targets.grpc).ok()).collect();
        for flood in &mut floods {
            let _ = (0..1000).take_while(|_| flood.open().is_ok()).count();
        }
        wait(stop, Duration::from_secs(2));
    });
}

fn stalled_bodies(targets: Targets, stop: &AtomicBool) {
    let piece = vec![0; 1 << 20];
    repeat(stop, Duration::from_secs(1), || {
        let mut held = Vec::new();
        for _ in 0..8 {
            let Ok(mut stream) = TcpStream::connect(targets.http) else { continue };
            let _ = stream.set_write_timeout(Some(Duration::from_secs(2)));
            let head = format!(
                "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 19000000\r\n\r\n"
            );
            if stream.write_all(head.as_bytes()).is_ok() {
                let _ = (0..4).take_while(|_| stream.write_all(&piece).is_ok()).count();
                held.push(stream);
            }
        }
        wait(stop, Duration::from_secs(5));
    });
}

fn silent_connections(targets: Targets, stop: &AtomicBool) {
    repeat(stop, Duration::from_secs(1), || {
        let addresses = [targets.http, targets.grpc, targets.health, targets.metrics];
        let held: Vec<TcpStream> =
            (0..400).filter_map(|at| TcpStream::connect(addresses[at % addresses.len()]).ok()).collect();
        wait(stop, Duration::from_secs(5));
        drop(held);
    });
}

fn malformed_requests(targets: Targets, stop: &AtomicBool) {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let bodies: [(&str, &[u8]); 5] = [
        (JSON, b"{"),
        (JSON, &deep),
        (JSON, b"{\"resourceLogs\":17}"),
        (PROTOBUF, &[0xff; 1000]),
        (PROTOBUF, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    let mut at = 0;
    repeat(stop, Duration::from_millis(50), || {
        let (kind, body) = bodies[at % bodies.len()];
        at += 1;
        post(targets, "/v1/logs", &[("content-type", kind)], body);
    });
}

/// 20 MB of zeros in 20 KB.
fn bombs(targets: Targets, stop: &AtomicBool) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 20_000_000]).unwrap();
    let bomb = encoder.finish().unwrap();
    let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    repeat(stop, Duration::from_millis(500), || post(targets, "/v1/logs", &headers, &bomb));
}

fn control_frames(targets: Targets, stop: &AtomicBool) {
    repeat(stop, Duration::from_millis(500), || {
        let Ok(mut flood) = Http2::connect(targets.grpc) else { return };
        for _ in 0..2000 {
            if flood.frame(FrameType::Ping, 0, 0, &[0; 8]).is_err() {
                return;
            }
        }
        for _ in 0..500 {
            let Ok(stream) = flood.open() else { return };
            if flood.frame(FrameType::RstStream, 0, stream, &[0, 0, 0, 8]).is_err() {
                return;
            }
        }
    });
}

/// A head that never ends, a byte at a time, and a half that is closed before the body.
fn half_closed_connections(targets: Targets, stop: &AtomicBool) {
    repeat(stop, Duration::from_millis(500), || {
        let Ok(mut slow) = TcpStream::connect(targets.http) else { return };
        let Ok(mut half) = TcpStream::connect(targets.http) else { return };
        let head = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345";
        let _ = half.write_all(head);
        let _ = half.shutdown(std::net::Shutdown::Write);
        for byte in b"POST /v1/logs HTTP/1.1\r\nx-slow: " {
            if slow.write_all(&[*byte]).is_err() || stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}
