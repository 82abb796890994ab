//! How detectors are asked, with detectors that do as they are told.

use std::sync::Arc;
use std::time::Duration;

use component::{Host, Kind};
use pdata::AnyValueView;
use testkit::{LogCapture, TestTelemetry};
use tokio::time::{Instant, sleep};
use tracing::Level;

use crate::detector::Detector;
use crate::engine::{Detected, Detection, Plan};
use crate::fake::{Answer, Scripted};

use Answer::{Found, Hangs, Permanent, Then, Transient};

const TIMEOUT: Duration = Duration::from_secs(5);

struct Run {
    detection: Detection,
    detectors: Vec<Arc<Scripted>>,
    telemetry: TestTelemetry,
    host: Host,
}

impl Run {
    fn start<const N: usize>(scripts: [&[Answer]; N], refresh_interval: Duration) -> Self {
        const NAMES: [&str; 3] = ["first", "second", "third"];
        let scripts = scripts.into_iter().map(|script| Arc::new(Scripted::new(script.iter().cloned())));
        let detectors: Vec<Arc<Scripted>> = scripts.collect();
        let named = NAMES.into_iter().zip(&detectors).map(|(name, detector)| {
            let detector: Arc<dyn Detector> = detector.clone();
            (name, detector)
        });
        let plan = Plan { component: "resource_detection".into(), timeout: TIMEOUT, refresh_interval };
        let (telemetry, host) = (TestTelemetry::default(), Host::standalone());
        let meter = telemetry.settings(Kind::Processor, "resource_detection").meter;
        let detection = Detection::start(named.collect(), &plan, &host, &meter);
        Self { detection, detectors, telemetry, host }
    }

    /// How long the first round takes.
    async fn settle(&self) -> Duration {
        let begun = Instant::now();
        self.detection.settled().await;
        begun.elapsed()
    }

    fn detected(&self) -> Vec<String> {
        shown(&self.detection.detected())
    }

    async fn stop(self) {
        self.detection.stop().await;
        tokio::task::yield_now().await;
        assert!(self.host.tasks().names().is_empty());
    }
}

fn shown(detected: &Detected) -> Vec<String> {
    let text = |value: AnyValueView<'_>| value.as_str().unwrap_or_default().to_owned();
    detected.attributes.iter().map(|pair| format!("{}={}", pair.key, text(pair.value))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_value_of_a_key_counts() {
    let run = Run::start(
        [&[Found(vec![])], &[Found(vec![("k", "2"), ("j", "2")])], &[Found(vec![("j", "3"), ("l", "3")])]],
        Duration::ZERO,
    );
    assert_eq!(run.settle().await, Duration::ZERO);
    assert_eq!(run.detected(), ["k=2", "j=2", "l=3"]);
    assert_eq!(run.detection.detected().schema_url, crate::detector::SCHEMA_URL);
    assert!(run.detection.failures().is_empty());
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn detectors_are_asked_at_the_same_time_and_in_the_order_of_the_configuration() {
    let slow = [Transient, Found(vec![("k", "slow")])];
    let run = Run::start([&slow, &[Found(vec![("k", "fast")])]], Duration::ZERO);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(run.detected(), ["k=fast"]);
    let took = run.settle().await;
    assert!(took > Duration::from_millis(300) && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(run.detected(), ["k=slow"]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_detector_that_hangs_delays_the_start_by_the_timeout_at_most() {
    let run = Run::start([&[Hangs], &[Found(vec![("k", "v")])]], Duration::ZERO);
    assert_eq!(run.settle().await, TIMEOUT);
    assert_eq!(run.detected(), ["k=v"]);
    assert_eq!(run.detection.failures(), ["first: no answer in time"]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_found_before_a_failure_counts() {
    let first = |end| Then(vec![("k", "1")], Box::new(end));
    let run = Run::start([&[first(Hangs)], &[first(Permanent)]], Duration::ZERO);
    run.settle().await;
    assert_eq!(run.detected(), ["k=1"]);
    assert_eq!(run.detection.failures().len(), 2);
    run.stop().await;
    let minute = Duration::from_secs(60);
    let whole = Found(vec![("k", "0"), ("j", "0")]);
    let run = Run::start([&[whole, first(Permanent), Found(vec![])]], minute);
    run.settle().await;
    sleep(minute + Duration::from_secs(1)).await;
    assert_eq!(run.detected(), ["k=1", "j=0"], "what failed keeps its last value");
    sleep(minute).await;
    assert_eq!(run.detected(), [""; 0]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_asked_again_with_growing_waits_and_told_once() {
    let capture = LogCapture::begin();
    let mut script = vec![Transient; 9];
    script.push(Found(vec![("k", "v")]));
    let run = Run::start([&script], Duration::ZERO);
    assert_eq!(run.settle().await, TIMEOUT);
    assert_eq!(run.detection.failures(), ["first: cannot get it: on purpose"]);
    // 1, 2, 4, 8, 16, 32, 60, 60, 60 seconds, each half as much more or less.
    sleep(Duration::from_secs(90)).await;
    let asked = run.detectors[0].asked();
    assert!((5..9).contains(&asked), "{asked}");
    sleep(Duration::from_secs(400)).await;
    assert_eq!((run.detectors[0].asked(), run.detected()), (10, vec!["k=v".to_owned()]));
    assert!(run.detection.failures().is_empty());
    let warned = "the detector has not found everything and is asked again";
    assert_eq!(capture.messages(Level::WARN), [warned]);
    assert!(capture.find("the detector has found everything now").is_some());
    let series = "otelcol_processor_resource_detection_failures{detector=first,processor=resource_detection}";
    assert_eq!(run.telemetry.value(series), 9.0);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_not_asked_again() {
    let run = Run::start([&[Permanent]], Duration::ZERO);
    assert_eq!(run.settle().await, Duration::ZERO, "nothing is waited for");
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(run.detectors[0].asked(), 1);
    assert_eq!(run.detection.failures(), ["first: cannot get it: on purpose"]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn refreshing() {
    let minute = Duration::from_secs(60);
    let found = |value| Found(vec![("k", value)]);
    let script = [found("1"), found("2"), Permanent, Hangs, Found(vec![]), found("5")];
    let run = Run::start([&script], minute);
    run.settle().await;
    let mut seen = vec![run.detected()];
    for _ in 0..4 {
        sleep(minute + Duration::from_secs(1)).await;
        seen.push(run.detected());
    }
    // An error keeps the last value, an answer without one does not.
    assert_eq!(
        seen,
        [vec!["k=1"], vec!["k=2"], vec!["k=2"], vec!["k=2"], vec![]]
            .map(|keys| keys.into_iter().map(str::to_owned).collect::<Vec<_>>())
    );
    run.stop().await;
}
