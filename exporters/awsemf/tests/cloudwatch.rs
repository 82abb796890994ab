//! Events on their way to CloudWatch Logs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use awsemfexporter::factory;
use component::{ConsumeError, Exporter, Host, Kind};
use confmap::Node;
use pdata::metrics::Number;
use pdata::{Batch, MetricsBuilder, Signal};
use serde_json::json;
use testkit::TestTelemetry;
use testkit::cwlogs::{CloudWatchLogs, Effect, Fault, Rule};

struct Setup {
    service: CloudWatchLogs,
    telemetry: TestTelemetry,
    exporter: Arc<dyn Exporter>,
    _credentials: tempfile::NamedTempFile,
}

fn credentials() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n").unwrap();
    file
}

impl Setup {
    async fn new(keys: &str) -> Self {
        Self::with("log_group_name: g\nlog_stream_name: s\n", keys).await
    }

    async fn with(names: &str, keys: &str) -> Self {
        let service = CloudWatchLogs::start().await.unwrap();
        let credentials = credentials();
        let text = format!(
            "region: r\nendpoint: {}\nmax_retries: 1\nshared_credentials_file: [{}]\n{names}{keys}",
            service.endpoint(),
            credentials.path().display()
        );
        let telemetry = TestTelemetry::default();
        let factory = factory();
        let node = Node::from_yaml("test", &text).unwrap();
        let config = factory.decode(Some(&node), "exporters::awsemf").unwrap();
        let settings = telemetry.settings(Kind::Exporter, "awsemf");
        let exporter = factory.create(settings, &config, Signal::Metrics).unwrap();
        exporter.start(&Host::standalone()).await.unwrap();
        Self { service, telemetry, exporter, _credentials: credentials }
    }

    async fn send(&self, batch: Batch) -> Result<(), ConsumeError> {
        self.exporter.consume(batch).await
    }

    fn streams(&self) -> Vec<String> {
        self.service.recorded().events.into_iter().filter_map(|event| event.stream).collect()
    }

    fn count(&self, series: &str) -> f64 {
        self.telemetry.value(&format!("otelcol_exporter_{series}"))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn gauges(nodes: &[&str], time: u64) -> Batch {
    let mut builder = MetricsBuilder::default();
    for node in nodes {
        let mut resource = builder.resource();
        resource.attribute("NodeName", node);
        resource.gauge("m", "Count", time, Number::Int(1));
    }
    builder.finish()
}

fn sum(value: i64) -> Batch {
    let json = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "sum": {
        "aggregationTemporality": 2, "isMonotonic": true,
        "dataPoints": [{"timeUnixNano": now().to_string(), "asInt": value.to_string()}],
    }}]}]}]});
    Batch::from_json(Signal::Metrics, json.to_string().as_bytes()).unwrap()
}

const THROTTLED: Fault = Fault { operation: "PutLogEvents", status: 400, code: "ThrottlingException" };
const NODES: &str =
    "log_group_name: g\nlog_stream_name: '{NodeName}'\nresource_to_telemetry_conversion: {enabled: true}\n";

#[tokio::test]
async fn groups_and_streams_are_made_on_demand() {
    let setup = Setup::new("log_retention: 7\ntags: {team: a}\n").await;
    setup.send(gauges(&["n"], now())).await.unwrap();
    setup.send(gauges(&["n"], now())).await.unwrap();
    let recorded = setup.service.recorded();
    assert_eq!(
        recorded.operations,
        [
            "PutLogEvents",
            "CreateLogStream",
            "CreateLogGroup",
            "PutRetentionPolicy",
            "CreateLogStream",
            "PutLogEvents",
            "PutLogEvents"
        ]
    );
    assert_eq!(recorded.retention.get("g"), Some(&7));
    assert_eq!(recorded.tags.get("g"), Some(&json!({"team": "a"})));
    for headers in &recorded.headers {
        assert_eq!(headers.get("x-amzn-logs-format").unwrap(), "json/emf");
        let signature = headers.get("authorization").unwrap().to_str().unwrap();
        assert!(signature.contains("x-amzn-logs-format"), "{signature}");
        let agent = headers.get("user-agent").unwrap().to_str().unwrap();
        assert_eq!(agent, "otelcol-insights/0.0.0 (awsemf)");
    }
    assert_eq!(setup.count("awsemf_sent_events{exporter=awsemf}"), 2.0);
}

/// Upstream gives up after two attempts.
#[tokio::test]
async fn throttling_treated_as_permanent() {
    let setup = Setup::new("").await;
    setup.service.fail([THROTTLED, THROTTLED]);
    setup.send(gauges(&["n"], now())).await.unwrap();
    assert_eq!(setup.service.recorded().events.len(), 1);
    assert_eq!(setup.count("sent_metric_points{exporter=awsemf}"), 1.0);
}

#[tokio::test]
async fn a_repeated_push_sends_what_is_missing_and_nothing_twice() {
    let retry = "retry_on_failure: {enabled: true, initial_interval: 1ms}\n";
    let setup = Setup::with(NODES, retry).await;
    setup.send(gauges(&["a", "b"], now())).await.unwrap();
    setup.service.fail([THROTTLED]);
    setup.send(gauges(&["a", "b"], now())).await.unwrap();
    let mut streams = setup.streams();
    streams.sort();
    assert_eq!(streams, ["a", "a", "b", "b"]);
    assert_eq!(setup.count("sent_metric_points{exporter=awsemf}"), 4.0);
}

#[tokio::test]
async fn a_repeated_push_keeps_the_change_of_cumulative_values() {
    let retry = "retry_on_failure: {enabled: true, initial_interval: 1ms}\n";
    let setup = Setup::new(retry).await;
    setup.send(sum(10)).await.unwrap();
    setup.service.fail([THROTTLED, THROTTLED]);
    setup.send(sum(15)).await.unwrap();
    let messages: Vec<_> = setup.service.recorded().events.into_iter().map(|event| event.message).collect();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].ends_with(r#""m":5}"#), "{messages:?}");
}

#[tokio::test]
async fn a_push_that_the_caller_repeats_joins_the_one_that_waits() {
    let keys = "timeout: 1ms\nretry_on_failure: {initial_interval: 200ms, randomization_factor: 0}\n";
    let setup = Setup::with(NODES, keys).await;
    let batch = gauges(&["a", "b"], now());
    setup.service.fail([THROTTLED, THROTTLED]);
    let refused = setup.send(batch.clone()).await.unwrap_err();
    assert!(!refused.is_permanent(), "{refused}");
    while setup.send(batch.clone()).await.is_err() {}
    let mut streams = setup.streams();
    streams.sort();
    assert_eq!(streams, ["a", "b"]);
    assert_eq!(setup.count("awsemf_received_events{exporter=awsemf}"), 2.0);
    assert_eq!(setup.count("awsemf_sent_events{exporter=awsemf}"), 2.0);
}

#[tokio::test]
async fn a_push_whose_retries_are_used_up_is_dropped_and_counted() {
    let retry = "retry_on_failure: {initial_interval: 1ms, max_interval: 1ms, max_elapsed_time: 1ms, \
                 randomization_factor: 0}\n";
    let setup = Setup::new(retry).await;
    setup.service.fail(std::iter::repeat_n(THROTTLED, 9));
    let refused = setup.send(gauges(&["n"], now())).await.unwrap_err();
    assert!(refused.is_permanent(), "{refused}");
    assert_eq!(setup.count("awsemf_dropped_events{exporter=awsemf,reason=not_retried}"), 1.0);
}

#[tokio::test]
async fn a_queue_answers_at_once_and_fills_requests() {
    let setup = Setup::new("sending_queue: {batch: {flush_timeout: 50ms}}\n").await;
    for _ in 0..20 {
        setup.send(gauges(&["n"], now())).await.unwrap();
    }
    setup.exporter.shutdown(tokio::time::Instant::now() + Duration::from_secs(5)).await.unwrap();
    let recorded = setup.service.recorded();
    assert_eq!(recorded.events.len(), 20);
    let puts = recorded.operations.iter().filter(|operation| *operation == "PutLogEvents").count();
    assert!(puts < 10, "{puts} requests for 20 small pushes");
    assert_eq!(setup.count("awsemf_sent_events{exporter=awsemf}"), 20.0);
}

#[tokio::test]
async fn what_no_retry_would_mend_is_counted() {
    let setup = Setup::new("").await;
    setup.service.fail([Fault { operation: "PutLogEvents", status: 400, code: "InvalidParameterException" }]);
    let refused = setup.send(gauges(&["n"], now())).await.unwrap_err();
    assert!(refused.is_permanent(), "{refused}");
    assert!(refused.to_string().contains("log group \"g\""), "{refused}");
    assert_eq!(setup.count("awsemf_dropped_events{exporter=awsemf,reason=permanent_error}"), 1.0);
    assert_eq!(setup.count("send_failed_metric_points{exporter=awsemf}"), 1.0);
}

#[tokio::test]
async fn a_failed_retention_does_not_stop_events() {
    let setup = Setup::new("log_retention: 7\n").await;
    setup.service.fail([Fault {
        operation: "PutRetentionPolicy",
        status: 400,
        code: "AccessDeniedException",
    }]);
    setup.send(gauges(&["n"], now())).await.unwrap();
    assert_eq!(setup.service.recorded().events.len(), 1);
}

#[tokio::test]
async fn events_out_of_time_are_dropped_and_the_rest_is_sent() {
    let setup = Setup::new("").await;
    let day = Duration::from_secs(24 * 60 * 60).as_nanos() as u64;
    let mut batch = gauges(&["old"], now() - 15 * day);
    batch.append(gauges(&["new"], now() + day)).unwrap();
    batch.append(gauges(&["n"], now())).unwrap();
    setup.send(batch).await.unwrap();
    assert_eq!(setup.service.recorded().events.len(), 1);
    assert_eq!(setup.count("awsemf_dropped_events{exporter=awsemf,reason=too_old}"), 1.0);
    assert_eq!(setup.count("awsemf_dropped_events{exporter=awsemf,reason=too_new}"), 1.0);
}

#[tokio::test]
async fn rejected_events_are_counted() {
    let setup = Setup::new("").await;
    setup.service.reject(json!({"expiredLogEventEndIndex": 1}));
    setup.send(gauges(&["n"], now())).await.unwrap();
    assert_eq!(setup.count("awsemf_dropped_events{exporter=awsemf,reason=rejected_expired}"), 1.0);
    assert_eq!(setup.count("awsemf_sent_events{exporter=awsemf}"), 0.0);
}

/// Upstream fills requests to 262,144 bytes, a quarter of the limit.
#[tokio::test]
async fn requests_of_256_kib() {
    let setup = Setup::new("").await;
    let large = "x".repeat(100_000);
    let mut builder = MetricsBuilder::default();
    for number in 0..3 {
        let mut resource = builder.resource();
        resource.attribute("service.name", &format!("{number}"));
        resource.gauge(&format!("m{number}{large}"), "Count", now(), Number::Int(1));
    }
    setup.send(builder.finish()).await.unwrap();
    let recorded = setup.service.recorded();
    assert_eq!(recorded.events.len(), 3);
    // The first meets no stream.
    assert_eq!(recorded.count("PutLogEvents"), 2);
}

/// Upstream sends again what was accepted without a sequence token in the answer.
#[tokio::test]
async fn accepted_request_sent_three_times() {
    let setup = Setup::new("").await;
    setup.send(gauges(&["n"], now())).await.unwrap();
    setup.service.rule(Rule::put(Effect::WithoutToken));
    setup.send(gauges(&["n"], now())).await.unwrap();
    assert_eq!(setup.service.recorded().events.len(), 2);
}

/// Upstream does not send to the streams behind one that fails.
#[tokio::test]
async fn streams_not_sent_to_behind_one_that_fails() {
    let setup = Setup::with(NODES, "").await;
    setup.send(gauges(&["a", "b"], now())).await.unwrap();
    let refused = Effect::Error { status: 400, code: "InvalidParameterException" };
    setup.service.rule(Rule::put(refused).stream("a"));
    assert!(setup.send(gauges(&["a", "b"], now())).await.unwrap_err().is_permanent());
    let mut streams = setup.streams();
    streams.sort();
    assert_eq!(streams, ["a", "b", "b"]);
}

#[tokio::test]
async fn contract() {
    let service = CloudWatchLogs::start().await.unwrap();
    let credentials = credentials();
    let keys = format!(
        "region: r\nendpoint: {}\nshared_credentials_file: [{}]\nsending_queue: {{}}\n",
        service.endpoint(),
        credentials.path().display()
    );
    testkit::contract::ExporterContract::new(factory(), keys).check().await;
}
