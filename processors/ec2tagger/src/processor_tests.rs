//! What becomes of data points, with an instance that answers as it is told to.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws::ec2::{Ec2Error, Tag, Volume};
use aws::imds::{ImdsError, InstanceIdentity};
use component::{Component, Consumer, Host, Kind};
use node::HostPaths;
use pdata::{Batch, Signal};
use testkit::{LogCapture, RecordingSink, TestTelemetry};
use tokio::time::{Duration, Instant, sleep};
use tracing::Level;

use crate::Config;
use crate::processor::TaggerProcessor;
use crate::source::{Error, Source};

const ALL: &str = "{ec2_metadata_tags: [InstanceId, ImageId, InstanceType],
    ec2_instance_tag_keys: [AutoScalingGroupName, Name], ebs_device_keys: ['*'], disk_device_tag_key: device}";

/// An instance whose kernel says nothing of its disks.
struct Fake {
    paths: HostPaths,
    says: Mutex<Says>,
}

#[derive(Default)]
struct Says {
    has_no_metadata: bool,
    /// Metadata that do not answer.
    hangs: bool,
    denies: bool,
    tags: Vec<Tag>,
    asked: Vec<&'static str>,
}

struct Run {
    fake: Arc<Fake>,
    processor: TaggerProcessor,
    sink: Arc<RecordingSink>,
    telemetry: TestTelemetry,
    host: Host,
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: value.into() }
}

impl Fake {
    fn ask(&self, what: &'static str) -> Result<(), Error> {
        let mut says = self.says.lock().unwrap();
        says.asked.push(what);
        if says.denies {
            return Err(Ec2Error::Denied { action: "ec2:DescribeTags", message: "no".into() }.into());
        }
        Ok(())
    }
}

#[async_trait]
impl Source for Fake {
    async fn identity(&self) -> Result<InstanceIdentity, Error> {
        let (absent, hangs) = {
            let says = self.says.lock().unwrap();
            (says.has_no_metadata, says.hangs)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        if absent {
            return Err(ImdsError::Disabled.into());
        }
        Ok(InstanceIdentity {
            instance_id: "i-1".into(),
            instance_type: "m5.large".into(),
            region: "us-west-2".into(),
            image_id: "ami-1".into(),
            ..InstanceIdentity::default()
        })
    }

    async fn tags(&self, _: &InstanceIdentity) -> Result<Vec<Tag>, Error> {
        self.ask("tags")?;
        Ok(self.says.lock().unwrap().tags.clone())
    }

    async fn volumes(&self, _: &InstanceIdentity) -> Result<Vec<Volume>, Error> {
        self.ask("volumes")?;
        Ok(vec![Volume { id: "vol-1".into(), device: "/dev/xvda".into(), availability_zone: "a".into() }])
    }

    fn paths(&self) -> &HostPaths {
        &self.paths
    }
}

impl Run {
    async fn start(yaml: &str, says: Says) -> Self {
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let nowhere = |name: &str| PathBuf::from("/does-not-exist").join(name);
        let paths = HostPaths {
            proc: nowhere("proc"),
            sys: nowhere("sys"),
            cgroup: nowhere("cgroup"),
            root: nowhere("root"),
        };
        let fake = Arc::new(Fake { paths, says: Mutex::new(says) });
        let (telemetry, sink, host) = (TestTelemetry::default(), RecordingSink::new(), Host::standalone());
        let settings = telemetry.settings(Kind::Processor, "ec2tagger");
        let processor = TaggerProcessor::new(settings, Arc::new(config), fake.clone(), sink.clone()).unwrap();
        processor.start(&host).await.unwrap();
        Self { fake, processor, sink, telemetry, host }
    }

    /// The attributes of the points of one gauge after the processor, each `key=value`.
    async fn points(&self, points: &str) -> Vec<Vec<String>> {
        let json = format!(
            r#"{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": [{{"name": "m", "gauge": {{"dataPoints": [{points}]}}}}]}}]}}]}}"#
        );
        let batch = Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap();
        self.processor.consume(batch).await.unwrap();
        let batches = self.sink.batches();
        let batch = batches.last().unwrap();
        assert_eq!(Batch::from_protobuf(Signal::Metrics, batch.to_protobuf()).unwrap(), *batch);
        let scopes =
            pdata::metrics::resources(batch).flat_map(|resource| resource.scopes().collect::<Vec<_>>());
        let metric = scopes.flat_map(|scope| scope.metrics().collect::<Vec<_>>()).next().unwrap();
        let pdata::metrics::Data::Gauge(points) = metric.data else { panic!("a gauge") };
        let pairs = |point: pdata::metrics::NumberDataPointView<'_>| {
            let text = |pair: pdata::KeyValueView<'_>| {
                format!("{}={}", pair.key, pair.value.as_str().unwrap_or("?"))
            };
            point.attributes().map(text).collect()
        };
        points.numbers().map(pairs).collect()
    }

    fn untagged(&self) -> f64 {
        self.telemetry.value("otelcol_processor_ec2tagger_untagged_metric_points{processor=ec2tagger}")
    }

    fn asked(&self) -> usize {
        self.fake.says.lock().unwrap().asked.len()
    }

    async fn stop(self) {
        self.processor.shutdown(Instant::now() + Duration::from_secs(1)).await.unwrap();
        tokio::task::yield_now().await;
        assert!(self.host.tasks().names().is_empty());
    }
}

fn point(pairs: &[(&str, &str)]) -> String {
    let pair =
        |(key, value): &(&str, &str)| format!(r#"{{"key": "{key}", "value": {{"stringValue": "{value}"}}}}"#);
    let pairs: Vec<String> = pairs.iter().map(pair).collect();
    format!(r#"{{"asDouble": 1, "timeUnixNano": "1", "attributes": [{}]}}"#, pairs.join(","))
}

fn group_and_name() -> Says {
    Says {
        tags: vec![tag("aws:autoscaling:groupName", "asg"), tag("Name", "n"), tag("x", "y")],
        ..Says::default()
    }
}

#[tokio::test(start_paused = true)]
async fn points_are_tagged() {
    let run = Run::start(ALL, group_and_name()).await;
    let tagged =
        ["Name=n", "AutoScalingGroupName=asg", "InstanceId=i-1", "ImageId=ami-1", "InstanceType=m5.large"];
    let mut points = run
        .points(
            &[
                point(&[]),
                point(&[("host", "h"), ("device", "xvda1")]),
                point(&[("InstanceId", "theirs"), ("device", "tmpfs")]),
            ]
            .join(","),
        )
        .await;
    points.iter_mut().for_each(|point| point.sort());
    let expected = |own: &[&str], without: &str| {
        let mut all: Vec<String> = own
            .iter()
            .chain(tagged.iter().filter(|text| **text != without))
            .map(|text| (*text).to_owned())
            .collect();
        all.sort();
        all
    };
    assert_eq!(points[0], expected(&[], ""));
    assert_eq!(points[1], expected(&["device=xvda1", "VolumeId=vol-1"], ""));
    assert_eq!(points[2], expected(&["device=tmpfs", "InstanceId=theirs"], "InstanceId=i-1"));
    assert_eq!(run.untagged(), 0.0, "the first batch waited for the tags");
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(run.asked(), 2, "all is there, and nothing is refreshed");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pipelines_share_what_is_known_until_the_last_ends() {
    let (first, second) = (Run::start(ALL, group_and_name()).await, Run::start(ALL, group_and_name()).await);
    assert_eq!(first.points(&point(&[])).await, second.points(&point(&[])).await);
    assert_eq!((first.asked(), second.asked()), (2, 0));
    first.processor.shutdown(Instant::now() + Duration::from_secs(1)).await.unwrap();
    assert_eq!(second.points(&point(&[])).await[0].len(), 5);
    let host = first.host.clone();
    second.stop().await;
    tokio::task::yield_now().await;
    assert!(host.tasks().names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn processors_with_other_keys_share_nothing() {
    let capture = LogCapture::begin();
    let with =
        |secret: &str| format!("{{ec2_instance_tag_keys: ['*'], access_key: HUSH, secret_key: {secret}}}");
    let first = Run::start(&with("HUSH1"), group_and_name()).await;
    let second = Run::start(&with("HUSH2"), group_and_name()).await;
    let third = Run::start(&with("HUSH2"), group_and_name()).await;
    for run in [&first, &second, &third] {
        assert_eq!(run.points(&point(&[])).await[0].len(), 3);
    }
    assert_eq!((first.asked(), second.asked(), third.asked()), (1, 1, 0));
    for line in capture.lines() {
        assert!(!format!("{line:?}").contains("HUSH"), "{line:?}");
    }
    for run in [first, second, third] {
        run.processor.shutdown(Instant::now() + Duration::from_secs(1)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_ec2_for_metadata_alone() {
    let run =
        Run::start("ec2_metadata_tags: [InstanceId, Nonsense]", Says { denies: true, ..Says::default() })
            .await;
    assert_eq!(run.points(&point(&[])).await, [["InstanceId=i-1"]]);
    assert_eq!((run.asked(), run.untagged()), (0, 0.0));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn data_wait_for_a_while_and_then_pass_untagged() {
    let run = Run::start(ALL, Says { hangs: true, ..Says::default() }).await;
    let begun = Instant::now();
    assert_eq!(run.points(&point(&[("a", "b")])).await, [["a=b"]]);
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    run.points(&point(&[])).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(10), "once");
    assert_eq!(run.untagged(), 2.0);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn metadata_that_come_late_are_added() {
    let capture = LogCapture::begin();
    let run =
        Run::start("ec2_metadata_tags: [InstanceId]", Says { has_no_metadata: true, ..Says::default() })
            .await;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(run.points(&point(&[])).await, [[""; 0]]);
    assert_eq!(capture.messages(Level::ERROR).len(), 1, "told once");
    run.fake.says.lock().unwrap().has_no_metadata = false;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(run.points(&point(&[])).await, [["InstanceId=i-1"]]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_delays_nothing_and_is_tried_again() {
    let run = Run::start(ALL, Says { denies: true, ..group_and_name() }).await;
    let begun = Instant::now();
    let points = run.points(&point(&[])).await;
    assert_eq!(points, [["InstanceId=i-1", "ImageId=ami-1", "InstanceType=m5.large"]]);
    assert_eq!((begun.elapsed(), run.untagged()), (Duration::ZERO, 1.0));
    run.fake.says.lock().unwrap().denies = false;
    sleep(Duration::from_secs(61)).await;
    assert_eq!(run.points(&point(&[])).await[0].len(), 5);
    assert_eq!(run.untagged(), 1.0);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tags_that_are_missing_are_asked_for_until_they_are_there() {
    let run = Run::start("ec2_instance_tag_keys: [Name]", Says::default()).await;
    assert_eq!(run.points(&point(&[])).await, [[""; 0]]);
    assert_eq!((run.asked(), run.untagged()), (1, 0.0));
    sleep(Duration::from_secs(181)).await;
    assert_eq!(run.asked(), 2);
    run.fake.says.lock().unwrap().tags = vec![tag("Name", "n")];
    sleep(Duration::from_secs(3600)).await;
    assert_eq!((run.asked(), run.points(&point(&[])).await), (3, vec![vec!["Name=n".to_owned()]]));
    assert!(run.host.tasks().names().is_empty(), "nobody asks any more");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn refreshing_keeps_what_was_known() {
    let yaml = "{ec2_instance_tag_keys: ['*'], refresh_tags_interval: 1m}";
    let run = Run::start(yaml, Says { tags: vec![tag("a", "1")], ..Says::default() }).await;
    assert_eq!(run.points(&point(&[])).await, [["a=1"]]);
    run.fake.says.lock().unwrap().denies = true;
    sleep(Duration::from_secs(180)).await;
    assert_eq!(run.points(&point(&[])).await, [["a=1"]]);
    let mut says = Says { tags: vec![tag("a", "2")], ..Says::default() };
    std::mem::swap(&mut *run.fake.says.lock().unwrap(), &mut says);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(run.points(&point(&[])).await, [["a=2"]]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn points_of_every_kind() {
    let run = Run::start("ec2_metadata_tags: [InstanceId]", Says::default()).await;
    let point = r#"{"timeUnixNano": "1", "attributes": [{"key": "host", "value": {"stringValue": "h"}}]}"#;
    let kinds = [
        ("sum", r#""aggregationTemporality": 2,"#),
        ("histogram", r#""aggregationTemporality": 2,"#),
        ("exponentialHistogram", r#""aggregationTemporality": 2,"#),
        ("summary", ""),
    ];
    let metrics: Vec<String> = kinds
        .iter()
        .map(|(kind, more)| format!(r#"{{"name": "m", "{kind}": {{{more} "dataPoints": [{point}]}}}}"#))
        .collect();
    let json =
        format!(r#"{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": [{}]}}]}}]}}"#, metrics.join(","));
    run.processor.consume(Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap()).await.unwrap();
    let json = String::from_utf8(run.sink.batches()[0].to_json()).unwrap();
    assert_eq!((json.matches("\"InstanceId\"").count(), json.matches("\"host\"").count()), (4, 0), "{json}");
    run.stop().await;
}
