//! Long bad times of CloudWatch Logs, in time that passes as fast as the machine can work.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use awsemfexporter::factory;
use component::{Exporter, Host, Kind};
use confmap::Node;
use pdata::{Batch, Signal};
use testkit::TestTelemetry;
use testkit::cwlogs::{CloudWatchLogs, Effect, Rule};
use testkit::ledger::{Balance, Issue, Ledger};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// Points of a batch.
const POINTS: u64 = 20;

struct Setup {
    service: CloudWatchLogs,
    telemetry: TestTelemetry,
    exporter: Arc<dyn Exporter>,
    ledger: Ledger,
    _credentials: tempfile::NamedTempFile,
}

impl Setup {
    /// Requests have no limit of their own: time passes in jumps, which a request in the middle would take for its own
    /// delay.
    async fn new(keys: &str) -> Self {
        let service = CloudWatchLogs::start().await.unwrap();
        service.trust("a", "b");
        let credentials = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&credentials, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
            .unwrap();
        let text = format!(
            "region: r\nendpoint: {}\nshared_credentials_file: [{}]\nrequest_timeout_seconds: 0\n\
             log_group_name: g\nlog_stream_name: '{{NodeName}}'\ndimension_rollup_option: NoDimensionRollup\n\
             resource_to_telemetry_conversion: {{enabled: true}}\n{keys}",
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
        Self { service, telemetry, exporter, ledger: Ledger::default(), _credentials: credentials }
    }

    fn issue(&mut self, stream: &str) -> (Issue, Batch) {
        let issue = self.ledger.metrics(stream, POINTS);
        let batch = Batch::from_json(Signal::Metrics, &issue.json).unwrap();
        (issue, batch)
    }

    /// To a queue that takes it at once.
    async fn enqueue(&mut self, stream: &str) {
        let (issue, batch) = self.issue(stream);
        self.exporter.consume(batch).await.unwrap();
        self.ledger.accepted(&issue);
    }

    fn count(&self, name: &str) -> f64 {
        let prefix = format!("otelcol_exporter_awsemf_{name}{{");
        let values = self.telemetry.values();
        values.iter().filter(|(series, _)| series.starts_with(&prefix)).map(|(_, value)| value).sum()
    }

    async fn until(&self, patience: Duration, what: &str, condition: impl Fn(&Self) -> bool) {
        let until = Instant::now() + patience;
        while !condition(self) {
            assert!(Instant::now() < until, "not within {patience:?}: {what}; {:?}", self.telemetry.values());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Everything has arrived, once, and the counters add up.
    async fn settle(&self, patience: Duration) -> Balance {
        self.until(patience, "everything has arrived", |setup| {
            setup.service.inspect(|recorded| setup.ledger.is_complete(recorded))
        })
        .await;
        // What has arrived may still be tried again: its answer was lost.
        self.until(patience, "the counters add up", |setup| {
            setup.count("queued_events") == 0.0
                && setup.count("received_events")
                    == setup.count("sent_events") + setup.count("dropped_events")
        })
        .await;
        let balance = self.service.inspect(|recorded| self.ledger.balance(recorded));
        balance.check().unwrap();
        assert_eq!(self.service.inspect(|recorded| recorded.violations.clone()), Vec::<String>::new());
        balance
    }

    async fn stop(self) {
        self.exporter.shutdown(Instant::now() + MINUTE).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_throttling_are_waited_out_in_the_queue() {
    let mut setup = Setup::new("sending_queue: {}\n").await;
    setup.service.rule(Rule::put(Effect::THROTTLED).lasting(10 * MINUTE));
    let start = Instant::now();
    while start.elapsed() < 10 * MINUTE {
        for stream in ["a", "b", "c"] {
            setup.enqueue(stream).await;
        }
        tokio::time::sleep(MINUTE / 6).await;
    }
    let requests = setup.service.recorded().count("PutLogEvents");
    // Three streams, one attempt every 15 to 45 seconds once the interval has grown.
    assert!((3..300).contains(&requests), "{requests} requests");
    let counted = "otelcol_exporter_awsemf_requests{exporter=awsemf,outcome=throttled}";
    assert!(setup.telemetry.value(counted) >= 3.0, "{:?}", setup.telemetry.values());
    let balance = setup.settle(2 * MINUTE).await;
    assert_eq!(balance.arrived as u64, 60 * 3 * POINTS);
    assert_eq!(balance.repeated.len(), 0);
    assert_eq!(setup.count("sent_events"), (60 * 3 * POINTS) as f64);
    setup.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_throttling_are_waited_out_by_a_caller_who_sends_again() {
    let mut setup = Setup::new("").await;
    setup.service.rule(Rule::put(Effect::THROTTLED).lasting(10 * MINUTE));
    let start = Instant::now();
    let (issue, batch) = setup.issue("a");
    let mut refusals = 0;
    while let Err(error) = setup.exporter.consume(batch.clone()).await {
        assert!(!error.is_permanent(), "{error}");
        assert!(start.elapsed() < 12 * MINUTE, "{error}");
        refusals += 1;
        tokio::time::sleep(MINUTE / 12).await;
    }
    assert!(refusals >= 10, "a caller who waits longer than 30 seconds: {refusals} refusals");
    setup.ledger.accepted(&issue);
    let balance = setup.settle(MINUTE).await;
    assert_eq!((balance.arrived as u64, balance.repeated.len()), (POINTS, 0));
    // The same batch again is no batch more.
    assert_eq!(setup.count("received_events"), POINTS as f64);
    assert_eq!(setup.count("sent_events"), POINTS as f64);
    setup.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_service_costs_few_requests() {
    let mut setup = Setup::new("sending_queue: {}\n").await;
    setup.service.rule(Rule::all(Effect::ResetBefore).lasting(60 * MINUTE));
    setup.enqueue("a").await;
    tokio::time::sleep(60 * MINUTE).await;
    let requests = setup.service.recorded().operations.len();
    assert!((10..500).contains(&requests), "{requests} requests");
    let balance = setup.settle(2 * MINUTE).await;
    assert_eq!((balance.arrived as u64, balance.repeated.len()), (POINTS, 0));
    setup.stop().await;
}

#[tokio::test(start_paused = true)]
async fn missing_rights_are_waited_for_and_given_up_after_five_minutes() {
    let mut setup = Setup::new("sending_queue: {}\n").await;
    setup.service.rule(Rule::put(Effect::DENIED).lasting(4 * MINUTE));
    setup.enqueue("a").await;
    tokio::time::sleep(3 * MINUTE).await;
    assert_eq!(setup.count("dropped_events"), 0.0);
    setup.settle(3 * MINUTE).await;

    setup.service.rule(Rule::put(Effect::DENIED));
    let (_, batch) = setup.issue("a");
    setup.exporter.consume(batch).await.unwrap();
    setup.until(7 * MINUTE, "it is given up", |setup| setup.count("dropped_events") == POINTS as f64).await;
    setup.service.recover();
    setup.enqueue("a").await;
    setup.settle(MINUTE).await;
    assert_eq!(setup.count("sent_events"), 2.0 * POINTS as f64);
    setup.stop().await;
}

/// What was kept back for days comes at once, in any order: requests are chronological and span a day at most.
#[tokio::test(start_paused = true)]
async fn events_of_many_days_in_any_order() {
    for keys in ["", "sending_queue: {}\n"] {
        let mut setup = Setup::new(keys).await;
        for batch in 0..10_u64 {
            // Steps that have no common measure with the span: every hour of 13 days is met, in no order.
            let ages: Vec<_> = (0..200_u64)
                .map(|i| Duration::from_secs((batch * 200 + i) * 700_001 % (13 * 24 * 60 * 60)))
                .collect();
            let issue = setup.ledger.metrics_at("a", &ages);
            let batch = Batch::from_json(Signal::Metrics, &issue.json).unwrap();
            setup.exporter.consume(batch).await.unwrap();
            setup.ledger.accepted(&issue);
        }
        let balance = setup.settle(MINUTE).await;
        assert_eq!((balance.arrived, balance.repeated.len()), (2000, 0));
        setup.stop().await;
    }
}

/// Faults of all kinds, mixed by seeds, while pushes come and callers go away and come again.
#[tokio::test(start_paused = true)]
async fn any_weather() {
    let effects = [
        Effect::THROTTLED,
        Effect::UNAVAILABLE,
        Effect::INTERNAL,
        Effect::INVALID_TOKEN,
        Effect::EXPIRED,
        Effect::Html(502),
        Effect::ResetBefore,
        Effect::ResetAfter,
        Effect::Garbage,
        Effect::WithoutToken,
        Effect::Slow(Duration::from_secs(40)),
    ];
    let mut faults = 0;
    for seed in 0..30_u64 {
        let keys = if seed.is_multiple_of(2) { "" } else { "sending_queue: {num_consumers: 3}\n" };
        let mut setup = Setup::new(keys).await;
        for (index, effect) in effects.iter().enumerate() {
            let share = ((seed * 31 + index as u64 * 17) % 7) as f64 / 40.0;
            let rule = Rule::all(effect.clone()).share(share, seed * 100 + index as u64);
            setup.service.rule(rule.lasting(20 * MINUTE));
        }
        for round in 0..10 {
            let (issue, batch) = setup.issue(&format!("s{}", round % 3));
            // A caller whose patience ends now and then before the exporter's.
            let patience = Duration::from_millis(10 + seed * 37 * (round + 1) % 45_000);
            for attempt in 0.. {
                let pushed = tokio::time::timeout(patience, setup.exporter.consume(batch.clone())).await;
                match pushed {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => assert!(!error.is_permanent(), "seed {seed}: {error}"),
                    Err(_) => {}
                }
                assert!(attempt < 100_000, "seed {seed}: never accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            setup.ledger.accepted(&issue);
        }
        let balance = setup.settle(60 * MINUTE).await;
        assert_eq!(balance.arrived as u64, 10 * POINTS, "seed {seed}");
        assert_eq!(setup.count("sent_events"), (10 * POINTS) as f64, "seed {seed}");
        faults += setup.service.inspect(|recorded| recorded.faults);
        setup.stop().await;
    }
    assert!(faults > 300, "{faults} faults");
}
