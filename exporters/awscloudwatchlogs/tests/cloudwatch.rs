//! Log records on their way to CloudWatch Logs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use awscloudwatchlogsexporter::factory;
use component::{Exporter, Host, Kind, async_trait};
use confmap::Node;
use pdata::{Batch, Signal};
use serde_json::{Value, json};
use testkit::TestTelemetry;
use testkit::contract::{Answer, Destination, ExporterContract};
use testkit::cwlogs::{CloudWatchLogs, Effect, Rule};
use testkit::ledger::{Balance, Ledger};
use tokio::time::Instant;

/// Names that tell streams apart by resource.
const BY_NODE: &str = "log_group_name: g\nlog_stream_name: '{NodeName}'\n";
/// Every push waits for its answer.
const DIRECT: &str = "sending_queue: {enabled: false}\n";
const IMPATIENT: &str = "retry_on_failure: {initial_interval: 1ms, max_interval: 2ms}\n";

/// A service and how it is reached.
struct Service {
    service: CloudWatchLogs,
    credentials: tempfile::NamedTempFile,
}

struct Setup {
    service: Service,
    telemetry: TestTelemetry,
    exporter: Arc<dyn Exporter>,
}

impl Service {
    async fn new() -> Self {
        let service = CloudWatchLogs::start().await.unwrap();
        let credentials = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&credentials, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
            .unwrap();
        Self { service, credentials }
    }

    fn keys(&self) -> String {
        format!(
            "region: r\nendpoint: {}\nmax_retries: 1\nshared_credentials_file: [{}]\n",
            self.service.endpoint(),
            self.credentials.path().display()
        )
    }
}

impl Setup {
    async fn new(keys: &str) -> Self {
        Self::with("log_group_name: g\nlog_stream_name: s\n", keys).await
    }

    async fn with(names: &str, keys: &str) -> Self {
        let service = Service::new().await;
        let telemetry = TestTelemetry::default();
        let factory = factory();
        let node = Node::from_yaml("test", &format!("{}{names}{keys}", service.keys())).unwrap();
        let config = factory.decode(Some(&node), "exporters::awscloudwatchlogs").unwrap();
        let settings = telemetry.settings(Kind::Exporter, "awscloudwatchlogs");
        let exporter = factory.create(settings, &config, Signal::Logs).unwrap();
        exporter.start(&Host::standalone()).await.unwrap();
        Self { service, telemetry, exporter }
    }

    fn service(&self) -> &CloudWatchLogs {
        &self.service.service
    }

    async fn send(&self, records: Value) {
        self.exporter.consume(batch(records)).await.unwrap();
    }

    /// Stops, which delivers what is queued.
    async fn stop(&self) {
        self.exporter.shutdown(Instant::now() + Duration::from_secs(60)).await.unwrap();
    }

    /// `group|stream|message` of the events in order of arrival.
    fn events(&self) -> Vec<String> {
        let recorded = self.service().recorded();
        assert_eq!(recorded.violations, Vec::<String>::new());
        let text = |text: Option<String>| text.unwrap_or_default();
        let events = recorded.events.into_iter();
        events.map(|e| format!("{}|{}|{}", text(e.group), text(e.stream), e.message)).collect()
    }

    fn count(&self, series: &str) -> f64 {
        self.telemetry.value(&format!("otelcol_exporter_{series}"))
    }

    fn dropped(&self, reason: &str) -> f64 {
        self.count(&format!("awscloudwatchlogs_dropped_events{{exporter=awscloudwatchlogs,reason={reason}}}"))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn batch(records: Value) -> Batch {
    let json = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
    Batch::from_json(Signal::Logs, json.to_string().as_bytes()).unwrap()
}

fn body(text: &str) -> Value {
    json!({"body": {"stringValue": text}})
}

fn at(text: &str, time: u64) -> Value {
    json!({"body": {"stringValue": text}, "timeUnixNano": time.to_string()})
}

#[tokio::test]
async fn groups_and_streams_are_made_on_demand() {
    let setup = Setup::new(&format!("{DIRECT}log_retention: 7\ntags: {{team: a}}\n")).await;
    setup.send(json!([body("one")])).await;
    setup.send(json!([body("two")])).await;
    assert_eq!(setup.events(), [r#"g|s|{"body":"one"}"#, r#"g|s|{"body":"two"}"#]);
    let recorded = setup.service().recorded();
    assert_eq!(recorded.count("CreateLogGroup"), 1);
    assert_eq!(recorded.operations.last().unwrap(), "PutLogEvents");
    assert_eq!(recorded.retention.get("g"), Some(&7));
    assert_eq!(recorded.tags.get("g"), Some(&json!({"team": "a"})));
    for headers in &recorded.headers {
        assert_eq!(headers.get("x-amzn-logs-format").unwrap(), "json/emf");
        let agent = headers.get("user-agent").unwrap().to_str().unwrap();
        assert!(agent.ends_with("otelcol-insights/0.0.0 (awscloudwatchlogs)"), "{agent}");
    }
    assert_eq!(setup.count("awscloudwatchlogs_sent_events{exporter=awscloudwatchlogs}"), 2.0);
    assert_eq!(setup.count("sent_log_records{exporter=awscloudwatchlogs}"), 2.0);
}

#[tokio::test]
async fn groups_of_container_insights_are_told_in_the_user_agent() {
    let names = "log_group_name: /aws/containerinsights/{ClusterName}/performance\nlog_stream_name: s\n";
    let setup = Setup::with(names, DIRECT).await;
    setup.send(json!([body("one")])).await;
    assert_eq!(setup.events(), [r#"/aws/containerinsights/undefined/performance|s|{"body":"one"}"#]);
    let headers = &setup.service().recorded().headers[0];
    let agent = headers.get("user-agent").unwrap().to_str().unwrap();
    assert!(agent.ends_with(" (awscloudwatchlogs; ContainerInsights)"), "{agent}");
}

#[tokio::test]
async fn raw_embedded_metrics_go_to_their_own_group() {
    let setup = Setup::new(&format!("{DIRECT}raw_log: true\n")).await;
    let emf = r#"{"_aws":{"LogGroupName":"own","LogStreamName":"stream"},"m":"<1>"}"#;
    let group_only = r#"{"_aws":{"LogGroupName":"own"}}"#;
    setup.send(json!([body(emf), body(group_only), body("plain\ttext")])).await;
    let mut events = setup.events();
    events.sort();
    let mut expected =
        ["g|s|plain\ttext".to_owned(), format!("own|s|{group_only}"), format!("own|stream|{emf}")];
    expected.sort();
    assert_eq!(events, expected);
}

#[tokio::test]
async fn what_is_no_event_is_counted_and_the_rest_is_sent() {
    let setup = Setup::new(&format!("{DIRECT}raw_log: true\n")).await;
    let day = Duration::from_secs(24 * 60 * 60).as_nanos() as u64;
    let records = json!([{}, body(""), at("old", now() - 15 * day), at("new", now() + day), at("x", now())]);
    setup.send(records).await;
    setup.send(json!([body(&"é".repeat(600_000))])).await;
    let events = setup.events();
    assert_eq!(events.len(), 2);
    assert!(events.contains(&"g|s|x".to_owned()));
    let cut = events.iter().find(|event| event.ends_with("é[Truncated...]")).unwrap();
    assert!((1_048_549..=1_048_550).contains(&(cut.len() - "g|s|".len())), "{}", cut.len());
    assert_eq!(setup.dropped("empty"), 2.0);
    assert_eq!(setup.dropped("too_old"), 1.0);
    assert_eq!(setup.dropped("too_new"), 1.0);
    assert_eq!(setup.count("awscloudwatchlogs_truncated_events{exporter=awscloudwatchlogs}"), 1.0);
    assert_eq!(setup.count("sent_log_records{exporter=awscloudwatchlogs}"), 2.0);
    assert_eq!(setup.count("send_failed_log_records{exporter=awscloudwatchlogs}"), 4.0);
}

#[tokio::test]
async fn numbers_without_json_form_are_counted() {
    let setup = Setup::new(DIRECT).await;
    setup.send(json!([{"body": {"doubleValue": "NaN"}}, body("b")])).await;
    assert_eq!(setup.events(), [r#"g|s|{"body":"b"}"#]);
    assert_eq!(setup.dropped("not_finite"), 1.0);
}

#[tokio::test]
async fn emf_only_drops_what_names_no_group() {
    let setup = Setup::new(&format!("{DIRECT}raw_log: true\nemf_only: true\nmax_event_bytes: 2000\n")).await;
    let emf = r#"{"_aws":{"LogGroupName":"own"}}"#;
    setup.send(json!([body("plain"), body(emf)])).await;
    assert_eq!(setup.events(), [format!("own|s|{emf}")]);
    assert_eq!(setup.dropped("not_emf"), 1.0);
}

#[tokio::test]
async fn the_order_within_a_stream_is_kept() {
    let keys = "raw_log: true\nsending_queue: {batch: {flush_timeout: 1ms}}\n";
    let setup = Setup::new(&format!("{keys}{IMPATIENT}")).await;
    setup.service().rule(Rule::put(Effect::THROTTLED).share(0.3, 7));
    let time = now();
    for number in 0..100 {
        setup.send(json!([at(&format!("{number}a"), time), at(&format!("{number}b"), time)])).await;
        // Not all at once: requests and failures come in between.
        setup.service.wait_for_items(number).await;
    }
    setup.service.wait_for_items(200).await;
    setup.stop().await;
    let expected: Vec<_> = (0..100).flat_map(|n| [format!("g|s|{n}a"), format!("g|s|{n}b")]).collect();
    assert_eq!(setup.events(), expected);
    assert!(setup.service().inspect(|recorded| recorded.faults > 0));
}

#[tokio::test]
async fn a_failing_stream_does_not_repeat_the_healthy_one() {
    let setup = Setup::with(BY_NODE, &format!("{DIRECT}{IMPATIENT}timeout: 60s\n")).await;
    setup.service().rule(Rule::put(Effect::UNAVAILABLE).stream("b").times(3));
    let mut ledger = Ledger::default();
    let mut both = Vec::new();
    for stream in ["a", "b"] {
        let issue = ledger.logs(stream, 5, 10);
        both.push(Batch::from_json(Signal::Logs, &issue.json).unwrap());
        ledger.accepted(&issue);
    }
    let mut batch = both.remove(0);
    batch.append(both.remove(0)).unwrap();
    setup.exporter.consume(batch).await.unwrap();
    let balance = setup.service().inspect(|recorded| ledger.balance(recorded));
    assert_eq!(balance, Balance { arrived: 10, ..Balance::default() });
    let puts = setup.service().recorded().puts;
    assert_eq!(puts.iter().filter(|put| put.stream == "a").count(), 1);
}

#[tokio::test]
async fn what_no_retry_would_mend_is_counted() {
    let setup = Setup::new(DIRECT).await;
    setup.service().rule(Rule::put(Effect::INVALID));
    let refused = setup.exporter.consume(batch(json!([body("b")]))).await.unwrap_err();
    assert!(refused.is_permanent(), "{refused}");
    assert_eq!(setup.dropped("permanent_error"), 1.0);
}

#[async_trait]
impl Destination for Service {
    fn yaml(&self) -> String {
        format!("{}log_group_name: g\nlog_stream_name: s\n{IMPATIENT}", self.keys())
    }

    fn answer(&self, answers: &[Answer]) {
        for answer in answers {
            let effect = match answer {
                // Rules say what goes wrong: the requests in between are accepted anyway.
                Answer::Accept => continue,
                Answer::Retryable => Effect::THROTTLED,
                Answer::Permanent => Effect::INVALID,
            };
            self.service.rule(Rule::put(effect).times(1));
        }
    }

    fn items(&self) -> usize {
        self.service.inspect(|recorded| recorded.events.len())
    }

    async fn wait_for_items(&self, items: usize) {
        while self.items() < items {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn contract() {
    let contract = ExporterContract::new(factory(), "");
    contract.check_against(async |_| Arc::new(Service::new().await) as Arc<dyn Destination>).await;
}
