//! Real counterparts: an OpenTelemetry SDK of another language sends, a CloudWatch Logs emulator takes and is read back.
//!
//! They need Python with the packages of `requirements.txt`. `INSIGHTS_PYTHON` names the interpreter; without it the
//! `python3` of the path is tried. Where the packages are missing the tests are listed as ignored, unless
//! `INSIGHTS_REQUIRE_PEERS` is set, as in continuous integration: then they fail.

#![allow(
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test program; a missing member of a JSON value is null"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::{Collector, free_address, wait_for_port};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = !python_has_the_packages();
    let required = std::env::var_os("INSIGHTS_REQUIRE_PEERS").is_some();
    if missing && !arguments.list {
        eprintln!(
            "Python with the packages of tests/e2e/requirements.txt was not found (INSIGHTS_PYTHON names it)"
        );
    }
    let trial = |name: &str, test: fn() -> Result<()>| {
        Trial::test(name, move || test().map_err(|error| format!("{error:#}").into()))
            .with_ignored_flag(missing && !required)
    };
    let trials = vec![
        trial("sdk_over_grpc", || sdk_sends("grpc", "none")),
        trial("sdk_over_grpc_with_gzip", || sdk_sends("grpc", "gzip")),
        trial("sdk_over_http", || sdk_sends("http", "none")),
        trial("sdk_over_http_with_gzip", || sdk_sends("http", "gzip")),
        trial("cloudwatch_logs_takes_and_gives_back", cloudwatch_logs),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn python() -> OsString {
    std::env::var_os("INSIGHTS_PYTHON").unwrap_or_else(|| "python3".into())
}

fn python_has_the_packages() -> bool {
    let imports = "import boto3, moto.server, opentelemetry.sdk, opentelemetry.exporter.otlp.proto.grpc, \
                   opentelemetry.exporter.otlp.proto.http";
    let quiet = Command::new(python())
        .args(["-c", imports])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// Runs one of the scripts in `peers/`; its standard output.
fn script(name: &str, arguments: &[&str]) -> Result<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/");
    let output = Command::new(python())
        .arg(format!("{path}{name}"))
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Metrics come out as EMF on standard output, logs and spans as text in the log.
fn sdk_sends(protocol: &str, compression: &str) -> Result<()> {
    let otlp = free_address()?;
    let collector = Collector::with_yaml(&format!(
        "{{receivers: {{otlp: {{protocols: {{{protocol}: {{endpoint: '{otlp}'}}}}}}}},
          exporters: {{awsemf: {{output_destination: stdout, dimension_rollup_option: NoDimensionRollup}}, \
                       debug: {{verbosity: detailed}}}},
          service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{
            metrics: {{receivers: [otlp], exporters: [awsemf]}},
            logs: {{receivers: [otlp], exporters: [debug]}}, traces: {{receivers: [otlp], exporters: [debug]}}}}}}}}"
    ))?;
    script("sdk_send.py", &[protocol, &format!("http://{otlp}"), compression])?;

    let mut events = BTreeMap::new();
    for _ in 0..2 {
        let event: Value = serde_json::from_str(&collector.next_line()?)?;
        let metric =
            event["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"].as_str().context("a name")?;
        ensure!(event["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "sdk/peer", "{event}");
        events.insert(metric.to_owned(), event.clone());
    }
    let temperature = events.get("temperature").context("temperature")?;
    ensure!(temperature["temperature"] == 21.5 && temperature["room"] == "küche", "{temperature}");
    ensure!(temperature["OTelLib"] == "peer-meter", "{temperature}");
    let latency = events.get("latency").context("latency")?;
    ensure!(latency["latency"]["Count"] == 1 && latency["latency"]["Max"] == 12.0, "{latency}");

    collector.wait_for_log("Name           : checkout")?;
    collector.wait_for_log("Body: Str(disk is nearly full)")?;
    collector.wait_for_log("-> items: Int(3)")?;
    ensure!(collector.stop()? == Some(0));
    Ok(())
}

/// The emulator; ended when dropped.
struct Moto(Child);

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cloudwatch_logs() -> Result<()> {
    let (otlp, logs) = (free_address()?, free_address()?);
    let _moto = Moto(
        Command::new(python())
            .args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &logs.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("moto")?,
    );
    wait_for_port(logs)?;
    let collector = Collector::with_yaml(&format!(
        "{{receivers: {{otlp: {{protocols: {{http: {{endpoint: '{otlp}'}}}}}}}}, processors: {{batch: {{timeout: 50ms}}}},
          exporters: {{awsemf: {{region: us-west-2, endpoint: 'http://{logs}', log_group_name: '/metrics/{{ServiceName}}',
            log_stream_name: a, log_retention: 7, dimension_rollup_option: NoDimensionRollup}}}},
          service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{
            metrics: {{receivers: [otlp], processors: [batch], exporters: [awsemf]}},
            metrics/2: {{receivers: [otlp], exporters: [awsemf]}}}}}}}}"
    ))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as u64;
    for value in 1..=3 {
        let body = format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
            "scopeMetrics":[{{"metrics":[{{"name":"orders","unit":"1","gauge":{{"dataPoints":[
            {{"asInt":"{value}","timeUnixNano":"{}"}}]}}}}]}}]}}]}}"#,
            (now + value) * 1_000_000
        );
        let answer = e2e::request(
            otlp,
            "POST",
            "/v1/metrics",
            &[("content-type", "application/json")],
            body.as_bytes(),
        )?;
        ensure!(answer.status == 200, "{answer:?}; log:\n{}", collector.log());
    }
    ensure!(collector.stop()? == Some(0));

    let read = script("read_logs.py", &[&format!("http://{logs}")])?;
    let mut seen: Vec<(u64, u64)> = Vec::new();
    for line in read.lines() {
        let line: Value = serde_json::from_str(line)?;
        ensure!(
            line["group"] == "/metrics/shop" && line["stream"] == "a" && line["retention"] == 7,
            "{line}"
        );
        let message: Value = serde_json::from_str(line["message"].as_str().context("a message")?)?;
        ensure!(message["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "shop", "{message}");
        ensure!(line["timestamp"] == message["_aws"]["Timestamp"], "{line}");
        seen.push((
            line["timestamp"].as_u64().context("a timestamp")? - now,
            message["orders"].as_u64().context("a value")?,
        ));
    }
    seen.sort_unstable();
    // Each value once through each pipeline.
    ensure!(seen == [(1, 1), (1, 1), (2, 2), (2, 2), (3, 3), (3, 3)], "{seen:?}");
    Ok(())
}
