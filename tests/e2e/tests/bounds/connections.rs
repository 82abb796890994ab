//! Connections, streams and bodies before any pipeline.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use e2e::{Collector, END_STREAM, FrameType, Http2, free_address, request};

const MIB: u64 = 1 << 20;

struct Scene {
    collector: Collector,
    grpc: SocketAddr,
    http: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
}

impl Scene {
    fn new() -> Self {
        let [grpc, http, health, metrics] = [(); 4].map(|()| free_address().unwrap());
        let yaml = format!(
            "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}
exporters: {{nop: {{}}}}
extensions: {{health_check: {{endpoint: '{health}'}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: '{}', port: {}}}}}}}}}]}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [nop]}}}}
",
            metrics.ip(),
            metrics.port()
        );
        let scene = Self { collector: Collector::with_yaml(&yaml).unwrap(), grpc, http, health, metrics };
        scene.serves_good_clients();
        scene
    }

    /// One request to every server.
    fn serves_good_clients(&self) {
        let json = [("content-type", "application/json")];
        let body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;
        assert_eq!(request(self.http, "POST", "/v1/logs", &json, body).unwrap().status, 200);
        let mut client = Http2::connect(self.grpc).unwrap();
        let stream = client.open().unwrap();
        client.message(stream, &[]).unwrap();
        assert!(client.ends_well(stream).unwrap(), "the call did not succeed");
        assert_eq!(request(self.health, "GET", "/", &[], &[]).unwrap().status, 200);
        assert_eq!(request(self.metrics, "GET", "/metrics", &[], &[]).unwrap().status, 200);
    }

    /// The growth of resident memory since `before`, in bytes.
    fn growth(&self, before: u64) -> u64 {
        self.collector.memory().unwrap().saturating_sub(before)
    }
}

#[test]
fn silent_connections_cost_less_than_8_kb_and_leave_room_for_others() {
    let scene = Scene::new();
    for address in [scene.http, scene.grpc] {
        let before = scene.collector.memory().unwrap();
        let silent: Vec<TcpStream> = (0..900).map(|_| TcpStream::connect(address).unwrap()).collect();
        // A connection that was accepted after all of them answers.
        scene.serves_good_clients();
        let each = scene.growth(before) / silent.len() as u64;
        assert!(each <= 8 * 1024, "{each} bytes a connection");
        drop(silent);
    }
    for address in [scene.http, scene.grpc, scene.health, scene.metrics] {
        let silent: Vec<TcpStream> = (0..1500).filter_map(|_| TcpStream::connect(address).ok()).collect();
        scene.serves_good_clients();
        drop(silent);
    }
    scene.collector.wait_for_log("too many connections").unwrap();
}

#[test]
fn streams_of_a_connection_are_limited_and_cost_little() {
    let scene = Scene::new();
    let before = scene.collector.memory().unwrap();
    let mut floods = Vec::new();
    for _ in 0..20 {
        let mut flood = Http2::connect(scene.grpc).unwrap();
        // Until the server ends the connection, at the latest.
        let opened = (0..10_000).take_while(|_| flood.open().is_ok()).count();
        floods.push((opened, flood));
    }
    scene.serves_good_clients();
    let growth = scene.growth(before);
    assert!(growth < 40 * MIB, "{growth} bytes");
}

#[test]
fn floods_of_control_frames_take_no_memory() {
    let scene = Scene::new();
    let before = scene.collector.memory().unwrap();
    let mut flood = Http2::connect(scene.grpc).unwrap();
    for _ in 0..100_000 {
        if flood.frame(FrameType::Ping, 0, 0, &[0; 8]).is_err() {
            break;
        }
    }
    let mut flood = Http2::connect(scene.grpc).unwrap();
    for _ in 0..100_000 {
        if flood.frame(FrameType::Settings, 0, 0, &[]).is_err() {
            break;
        }
    }
    let mut flood = Http2::connect(scene.grpc).unwrap();
    for _ in 0..100_000 {
        let Ok(stream) = flood.open() else { break };
        if flood.frame(FrameType::RstStream, 0, stream, &[0, 0, 0, 8]).is_err() {
            break;
        }
    }
    let mut flood = Http2::connect(scene.grpc).unwrap();
    let stream = flood.open().unwrap();
    for _ in 0..100_000 {
        if flood.frame(FrameType::Data, 0, stream, &[]).is_err() {
            break;
        }
    }
    let _ = flood.frame(FrameType::Data, END_STREAM, stream, &[]);
    scene.serves_good_clients();
    let growth = scene.growth(before);
    assert!(growth < 24 * MIB, "{growth} bytes");
}

/// The budget is a quarter of the machine's memory, 256 MiB at most.
#[test]
fn stalled_bodies_hold_no_more_than_the_intake_budget_and_are_ended() {
    let scene = Scene::new();
    let before = scene.collector.memory().unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(scene.http).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                    content-length: 20000000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses closes early.
        let sent = (0..19).take_while(|_| stream.write_all(&piece).is_ok()).count();
        stalled.push((sent, stream));
    }
    let peak = scene.collector.peak_memory().unwrap().saturating_sub(before);
    // What was freed while buffers grew stays resident for some milliseconds.
    assert!(peak < 384 * MIB, "{peak} bytes");
    let until = Instant::now() + Duration::from_secs(40);
    // Half of the budget may stay until the longer limit; the good ones are served meanwhile.
    loop {
        scene.serves_good_clients();
        let growth = scene.growth(before);
        if growth < 160 * MIB {
            break;
        }
        assert!(Instant::now() < until, "{growth} bytes are held");
        std::thread::sleep(Duration::from_millis(200));
    }
    let refused = stalled.into_iter().filter_map(|(_, mut stream)| {
        let mut response = [0; 12];
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let read = stream.read(&mut response).unwrap_or(0);
        response.get(..read).filter(|text| *text == b"HTTP/1.1 503").map(<[u8]>::len)
    });
    assert!(refused.count() > 0, "none was told to come again");
}
