//! Hostile and good clients together, in a control group.

mod cgroup;
mod hostile;
mod sink;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use e2e::{binary, free_address, request, request_within, wait_for_port};

use cgroup::Cgroup;
use sink::Sink;

const MIB: u64 = 1 << 20;
/// The memory of the control group.
const LIMIT: u64 = 128 * MIB;
/// Log records of a good request.
const RECORDS: u64 = 10;
const GOOD_CLIENTS: usize = 4;

/// The addresses of a collector.
#[derive(Debug, Clone, Copy)]
struct Targets {
    grpc: SocketAddr,
    http: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
}

/// Clients that send little and regularly.
#[derive(Default)]
struct Good {
    /// Records that were accepted.
    accepted: AtomicU64,
    refused: AtomicU64,
    /// Of accepted requests.
    latencies: Mutex<Vec<Duration>>,
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }
}

fn yaml(targets: Targets, sink: SocketAddr) -> String {
    let Targets { grpc, http, health, metrics } = targets;
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}
processors:
  memory_limiter: {{check_interval: 1s, limit_mib: 100, spike_limit_mib: 20}}
exporters:
  awscloudwatchlogs: {{region: r, endpoint: 'http://{sink}', log_group_name: soak, log_stream_name: logs, sending_queue: {{}}}}
  awsemf: {{region: r, endpoint: 'http://{sink}', log_group_name: soak, log_stream_name: metrics, sending_queue: {{}}}}
extensions: {{health_check: {{endpoint: '{health}'}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: '{}', port: {}}}}}}}}}]}}}}
  pipelines:
    logs: {{receivers: [otlp], processors: [memory_limiter], exporters: [awscloudwatchlogs]}}
    metrics: {{receivers: [otlp], processors: [memory_limiter], exporters: [awsemf]}}
",
        metrics.ip(),
        metrics.port()
    )
}

/// Starts the collector inside a control group, which it finds its memory limit in.
fn start(targets: Targets, sink: SocketAddr, cgroup: Option<&Cgroup>) -> Running {
    let enter =
        cgroup.map_or_else(|| ":".to_owned(), |group| format!("echo $$ >{}", group.procs().display()));
    let child = Command::new("sh")
        .args(["-c", &format!("{enter} && exec \"$0\" \"$@\"")])
        .arg(binary().unwrap())
        .args(["--config", &format!("yaml:{}", yaml(targets, sink))])
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    wait_for_port(targets.http).unwrap();
    running
}

/// Sends a small request every 100 ms until `stop`.
fn good(targets: Targets, good: &Good, stop: &AtomicBool) {
    let record = r#"{"body":{"stringValue":"a good record"}}"#;
    let records = vec![record; usize::try_from(RECORDS).unwrap()].join(",");
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
    let headers = [("content-type", "application/json")];
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let patience = Duration::from_secs(20);
        match request_within(patience, targets.http, "POST", "/v1/logs", &headers, body.as_bytes()) {
            Ok(response) if response.status == 200 => {
                good.accepted.fetch_add(RECORDS, Ordering::Relaxed);
                good.latencies.lock().unwrap().push(began.elapsed());
            }
            _ => drop(good.refused.fetch_add(1, Ordering::Relaxed)),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The collector's own metrics: the sum of all series of a name.
fn counter(targets: Targets, name: &str) -> u64 {
    let response = request(targets.metrics, "GET", "/metrics", &[], &[]).unwrap();
    let text = String::from_utf8(response.body).unwrap();
    let of_name =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Runs good clients alone, then hostile ones beside them, then good ones alone again, and checks what the collector promises.
fn soak(duration: Duration, cgroup: Option<Cgroup>, is_release: bool) {
    let targets = Targets {
        grpc: free_address().unwrap(),
        http: free_address().unwrap(),
        health: free_address().unwrap(),
        metrics: free_address().unwrap(),
    };
    let sink = Sink::start();
    let mut collector = start(targets, sink.address(), cgroup.as_ref());
    let (clients, stop, stop_hostile) = (Good::default(), AtomicBool::new(false), AtomicBool::new(false));
    let settle = (duration / 10).clamp(Duration::from_secs(3), Duration::from_secs(60));
    let (mut unhealthy, mut probes, mut peak) = (0, 0, 0);
    let mut before = 0;
    std::thread::scope(|scope| {
        (0..GOOD_CLIENTS).for_each(|_| drop(scope.spawn(|| good(targets, &clients, &stop))));
        std::thread::sleep(settle);
        before = collector.memory();
        for attack in hostile::ATTACKS {
            scope.spawn(|| attack(targets, &stop_hostile));
        }
        let end = Instant::now() + duration;
        while Instant::now() < end && collector.0.try_wait().unwrap().is_none() {
            probes += 1;
            let health = request_within(Duration::from_secs(10), targets.health, "GET", "/", &[], &[]);
            unhealthy += u64::from(!health.is_ok_and(|response| response.status == 200));
            peak = peak.max(collector.memory());
            std::thread::sleep(Duration::from_millis(500));
        }
        stop_hostile.store(true, Ordering::Relaxed);
        std::thread::sleep(settle.max(Duration::from_secs(15)));
        stop.store(true, Ordering::Relaxed);
    });
    assert!(collector.0.try_wait().unwrap().is_none(), "the collector ended");
    let drained = Instant::now() + Duration::from_secs(60);
    while counter(targets, "otelcol_exporter_awscloudwatchlogs_queued_events") > 0 && Instant::now() < drained
    {
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = collector.memory();
    let mut latencies = clients.latencies.lock().unwrap().clone();
    latencies.sort();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or(Duration::MAX);
    let accepted = clients.accepted.load(Ordering::Relaxed);
    let of = |name: &str| counter(targets, name);
    let exporter = "otelcol_exporter_awscloudwatchlogs";
    let [received, sent, dropped, queued] =
        ["received", "sent", "dropped", "queued"].map(|what| of(&format!("{exporter}_{what}_events")));
    let taken = of("otelcol_receiver_accepted_log_records");
    let kills = cgroup.as_ref().map_or(0, Cgroup::kills);
    println!(
        "requests of good clients: {} accepted, {} refused, p99 {p99:?}\n\
         records of good clients: {accepted} accepted, {} arrived\n\
         log records: {taken} accepted; events: {received} received = {sent} sent + {dropped} dropped + {queued} queued; \
         {} arrived\n\
         memory: {:.1} MiB before, {:.1} MiB at most, {:.1} MiB after; kills {kills}; probes {probes}, failed {unhealthy}",
        latencies.len(),
        clients.refused.load(Ordering::Relaxed),
        sink.good(),
        sink.logs(),
        before as f64 / MIB as f64,
        peak as f64 / MIB as f64,
        after as f64 / MIB as f64,
    );
    assert_eq!(kills, 0, "processes of the control group were killed");
    assert_eq!(unhealthy, 0, "health checks failed");
    assert_eq!(received, sent + dropped + queued);
    assert_eq!(taken, received, "every accepted record is an event");
    assert_eq!(sink.logs(), sent);
    assert_eq!(sink.good(), accepted, "good records arrive once");
    if is_release {
        assert!(p99 < Duration::from_millis(100), "{p99:?}");
        assert!(after < before + 4 * MIB, "{before} bytes before, {after} after");
    }
}

#[test]
fn hostile_clients_harm_no_others_for_some_seconds() {
    soak(Duration::from_secs(10), None, false);
}

#[test]
#[ignore = "30 minutes as root with a release binary: INSIGHTS_SOAK_MINUTES=30 INSIGHTS_BINARY=target/release/otelcol-insights cargo test -p e2e --test bounds soak -- --ignored --nocapture"]
fn hostile_clients_harm_no_others_in_128_mib() {
    let minutes = std::env::var("INSIGHTS_SOAK_MINUTES").ok().and_then(|text| text.parse::<u64>().ok());
    let duration = Duration::from_secs(60 * minutes.unwrap_or(30));
    soak(duration, Some(Cgroup::new(LIMIT)), true);
}
