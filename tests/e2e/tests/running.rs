//! The running collector: what it makes of this machine, how it starts, reloads and stops.

#![allow(clippy::unwrap_used, reason = "a test program")]

use std::collections::BTreeSet;
use std::net::TcpListener;

use e2e::{Collector, free_address, request};
use serde_json::Value;

/// The built-in configuration on ports of its own. Each flag is `--set=key=value`.
fn on_free_ports() -> (Vec<String>, std::net::SocketAddr, std::net::SocketAddr, std::net::SocketAddr) {
    let (http, health, metrics) = (free_address().unwrap(), free_address().unwrap(), free_address().unwrap());
    let flags = vec![
        "--set=receivers.otlp.protocols.grpc.endpoint=localhost:0".to_owned(),
        format!("--set=receivers.otlp.protocols.http.endpoint='{http}'"),
        format!("--set=extensions.health_check.endpoint='{health}'"),
        format!(
            "--set=service.telemetry.metrics.readers=[{{pull: {{exporter: {{prometheus: {{host: {}, port: {}}}}}}}}}]",
            metrics.ip(),
            metrics.port()
        ),
        "--set=receivers.awscontainerinsightreceiver.collection_interval=1s".to_owned(),
    ];
    (flags, http, health, metrics)
}

fn start(flags: &[String]) -> Collector {
    Collector::start(&flags.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

#[test]
fn this_machine_comes_out_as_performance_events() {
    let (flags, _, health, metrics) = on_free_ports();
    let collector = start(&flags);
    let mut types = BTreeSet::new();
    let mut rates = false;
    while types.len() < 4 || !rates {
        let event: Value = serde_json::from_str(&collector.next_line().unwrap()).unwrap();
        let kind = event["Type"].as_str().unwrap().to_owned();
        assert!(["Node", "NodeFS", "NodeDiskIO", "NodeNet"].contains(&kind.as_str()), "{event}");
        assert_eq!(event["ClusterName"], "local", "{event}");
        assert!(event["NodeName"].as_str().is_some_and(|name| !name.is_empty()), "{event}");
        assert!(event["Sources"].is_array(), "decoded: {event}");
        if kind == "Node" {
            assert!(event["node_memory_limit"].as_u64().unwrap() > 0, "{event}");
            assert_eq!(event["_aws"]["CloudWatchMetrics"][0]["Namespace"], "ContainerInsights", "{event}");
            rates |= event["node_cpu_utilization"].is_number();
        }
        types.insert(kind);
    }

    let answer = request(health, "GET", "/", &[], b"").unwrap();
    assert_eq!(answer.status, 200);
    let text: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(text["status"], "Server available");

    let own = String::from_utf8(request(metrics, "GET", "/metrics", &[], b"").unwrap().body).unwrap();
    for series in [
        "otelcol_process_uptime",
        "otelcol_process_memory_rss",
        "otelcol_receiver_accepted_metric_points{receiver=\"awscontainerinsightreceiver\"",
        "otelcol_exporter_sent_metric_points{exporter=\"awsemf/containerinsights\"",
        "target_info{",
        "promhttp_metric_handler_errors_total{cause=\"encoding\"} 0",
    ] {
        assert!(own.contains(series), "{series} is not in\n{own}");
    }

    let report = collector.wait_for_log("EC2 instance: ").unwrap();
    assert!(report.contains("otelcol-insights 0.1.0 is running"), "{report}");
    assert!(report.contains("OTLP/gRPC") && report.contains("OTLP/HTTP"), "{report}");
    assert!(report.contains("kubelet"), "{report}");
    assert_eq!(collector.stop().unwrap(), Some(0));
}

#[test]
fn what_was_accepted_is_delivered_before_the_end() {
    let (mut flags, http, ..) = on_free_ports();
    // The batch waits far longer than the test: only the shutdown can deliver.
    flags.push("--set=processors.batch.timeout=1h".to_owned());
    flags.push("--set=service.pipelines.metrics/containerinsights.exporters=[debug]".to_owned());
    let collector = start(&flags);
    collector.wait_for_log("Everything is ready").unwrap();
    let body = br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeMetrics":[{"metrics":[{"name":"orders","gauge":{"dataPoints":[{"asInt":"7"}]}}]}]}]}"#;
    let answer = request(http, "POST", "/v1/metrics", &[("content-type", "application/json")], body).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &br#"{"partialSuccess":{}}"#[..]));
    collector.signal("INT").unwrap();
    let event: Value = serde_json::from_str(&collector.next_line().unwrap()).unwrap();
    assert_eq!((&event["orders"], &event["service.name"]), (&7.into(), &"shop".into()));
    let log = collector.wait_for_log("Shutdown complete.").unwrap();
    assert!(log.contains("Starting shutdown..."), "{log}");
    assert_eq!(collector.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_in_use_is_named_and_nothing_stays() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (mut flags, ..) = on_free_ports();
    flags.push(format!("--set=receivers.otlp.protocols.grpc.endpoint='{address}'"));
    let collector = start(&flags);
    let expected = format!(
        "Error: cannot start pipelines: failed to start \"otlp\" receiver: listen tcp {address}: bind: address already in use"
    );
    collector.wait_for_log(&expected).unwrap();
    assert_eq!(collector.wait().unwrap().code(), Some(1));
}

#[test]
fn the_metrics_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (mut flags, ..) = on_free_ports();
    flags.push(format!(
        "--set=service.telemetry.metrics.readers=[{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {}}}}}}}}}]",
        address.port()
    ));
    let collector = start(&flags);
    let expected = format!(
        "binding address {address} for Prometheus exporter: listen tcp {address}: bind: address already in use"
    );
    collector.wait_for_log(&expected).unwrap();
    assert_eq!(collector.wait().unwrap().code(), Some(1));
}

#[test]
fn an_unwritable_file_is_named() {
    let (mut flags, ..) = on_free_ports();
    flags.push("--set=service.telemetry.logs.output_paths=[/nonexistent/log]".to_owned());
    let collector = start(&flags);
    collector.wait_for_log("open /nonexistent/log: No such file or directory").unwrap();
    assert_eq!(collector.wait().unwrap().code(), Some(1));
}

#[test]
fn no_region_is_named_with_the_remedy() {
    let (mut flags, ..) = on_free_ports();
    flags.push("--set=exporters.awsemf/applications={}".to_owned());
    flags.push("--set=exporters.awsemf/applications.output_destination=cloudwatch".to_owned());
    let collector = start(&flags);
    let expected = "Error: cannot start pipelines: failed to start \"awsemf/applications\" exporter: no AWS region found";
    collector.wait_for_log(expected).unwrap();
    collector.wait_for_log("set `region` or the environment variable AWS_REGION\n").unwrap();
    assert_eq!(collector.wait().unwrap().code(), Some(1));
}

#[test]
fn a_reload_keeps_the_old_service_unless_the_new_configuration_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("collector.yaml");
    let (first, second) = (free_address().unwrap(), free_address().unwrap());
    let yaml = |address: std::net::SocketAddr, pipelines: &str| {
        format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'}}}}}}}}\nexporters: {{nop: }}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {pipelines}}}\n"
        )
    };
    let good = "{logs: {receivers: [otlp], exporters: [nop]}}";
    let post =
        |address| request(address, "POST", "/v1/logs", &[("content-type", "application/x-protobuf")], b"");
    std::fs::write(&file, yaml(first, good)).unwrap();
    let collector = Collector::start(&["--config", file.to_str().unwrap()]).unwrap();
    collector.wait_for_log("Everything is ready").unwrap();
    assert_eq!(post(first).unwrap().status, 200);

    std::fs::write(&file, yaml(second, "{logs: {receivers: [otlp]}}")).unwrap();
    collector.signal("HUP").unwrap();
    collector.wait_for_log("must have at least one exporter").unwrap();
    assert_eq!(post(first).unwrap().status, 200);

    std::fs::write(&file, yaml(second, good)).unwrap();
    collector.signal("HUP").unwrap();
    collector.wait_for_log("Config updated, restart service").unwrap();
    collector.wait_for_log("Shutdown complete.").unwrap();
    e2e::wait_for_port(second).unwrap();
    assert_eq!(post(second).unwrap().status, 200);
    assert!(post(first).is_err());
    assert_eq!(collector.stop().unwrap(), Some(0));
}
