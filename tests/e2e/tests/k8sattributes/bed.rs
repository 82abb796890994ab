//! A collector beside many pods, and what is asked of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use e2e::{Collector, free_address};
use pdata::{Batch, Signal};
use serde_json::{Value, json};

use crate::api::Api;
use crate::exchange::{Sender, Sink};

/// Attributes of a resource, as texts.
pub(crate) type Attributes = HashMap<String, String>;

/// How long pods that are gone are found.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// A collector with the processor, and with the same way without it.
pub(crate) struct Bed {
    pub(crate) collector: Collector,
    sink: Sink,
    asked: Sender,
    /// With the processor, to nowhere.
    pub(crate) with: Sender,
    /// Without it, to nowhere.
    pub(crate) without: Sender,
    started: Instant,
}

impl Bed {
    /// Starts a collector; waits until it is ready, with everything known if `wait`.
    pub(crate) fn start(wait: bool, passthrough: bool) -> Result<Self> {
        let sink = Sink::start()?;
        let (asked, with, without) = (free_address()?, free_address()?, free_address()?);
        let http =
            |address: std::net::SocketAddr| json!({"protocols": {"http": {"endpoint": address.to_string()}}});
        let config = json!({
            "receivers": {"otlp": http(asked), "otlp/with": http(with), "otlp/without": http(without)},
            "processors": {"k8s_attributes": {
                "auth_type": "kubeConfig",
                "passthrough": passthrough,
                "wait_for_metadata": wait,
                "wait_for_metadata_timeout": "55s",
                "pod_delete_grace_period": format!("{}s", GRACE.as_secs()),
                "extract": {
                    "metadata": ["k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.pod.start_time", "k8s.node.name",
                        "k8s.replicaset.name", "k8s.deployment.name", "container.image.name", "container.image.tag"],
                    "labels": [{"key": "app", "tag_name": "app"}],
                },
                "pod_association": [
                    {"sources": [{"from": "resource_attribute", "name": "k8s.pod.uid"}]},
                    {"sources": [{"from": "resource_attribute", "name": "k8s.pod.ip"}]},
                ],
            }},
            "exporters": {"nop": {}, "otlp_http": {"endpoint": sink.url("all"), "logs_endpoint": sink.url("all"),
                "encoding": "json", "compression": "none", "sending_queue": {"enabled": false}}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    "logs": {"receivers": ["otlp"], "processors": ["k8s_attributes"], "exporters": ["otlp_http"]},
                    "logs/with": {"receivers": ["otlp/with"], "processors": ["k8s_attributes"], "exporters": ["nop"]},
                    "logs/without": {"receivers": ["otlp/without"], "exporters": ["nop"]},
                },
            },
        });
        let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
        std::fs::write(file.path(), config.to_string())?;
        let started = Instant::now();
        let collector = Collector::start(&["--config", &file.path().display().to_string()])?;
        collector.wait_for_log("Everything is ready")?;
        let (asked, with, without) = (Sender::new(asked)?, Sender::new(with)?, Sender::new(without)?);
        Ok(Self { collector, sink, asked, with, without, started })
    }

    /// How long it has run.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// What the collector makes of resources with one attribute each, in order.
    pub(crate) fn ask(&self, resources: &[(&str, &str)]) -> Result<Vec<Attributes>> {
        let body = request(resources)?;
        self.asked.send(IpAddr::V4(Ipv4Addr::LOCALHOST), "/v1/logs", "application/x-protobuf", &body)?;
        let mut answers = Vec::with_capacity(resources.len());
        for body in self.sink.take("all") {
            let body: Value = serde_json::from_slice(&body)?;
            for entry in list(&body["resourceLogs"]) {
                let mut attributes = Attributes::new();
                for attribute in list(&entry["resource"]["attributes"]) {
                    let (Some(key), Some(value)) =
                        (attribute["key"].as_str(), attribute["value"]["stringValue"].as_str())
                    else {
                        continue;
                    };
                    let before = attributes.insert(key.to_owned(), value.to_owned());
                    ensure!(before.is_none(), "{key} is there twice: {entry}");
                }
                answers.push(attributes);
            }
        }
        ensure!(answers.len() == resources.len(), "{} answers of {}", answers.len(), resources.len());
        Ok(answers)
    }

    /// Asks about every pod by its uid; the first thing that is not as the pod says.
    pub(crate) fn check(&self, pods: &[Value]) -> Result<()> {
        for some in pods.chunks(1000) {
            let uids: Vec<(&str, &str)> =
                some.iter().map(|pod| ("k8s.pod.uid", text(&pod["metadata"]["uid"]))).collect();
            for (pod, answer) in some.iter().zip(self.ask(&uids)?) {
                let expected = expected(pod);
                ensure!(
                    answer == expected,
                    "of {}: {answer:?}, expected {expected:?}",
                    pod["metadata"]["name"]
                );
            }
        }
        Ok(())
    }

    /// Waits until all these pods are right; how long it took.
    pub(crate) fn until_right(&self, pods: &[Value], patience: Duration) -> Result<Duration> {
        let begin = Instant::now();
        while let Err(error) = self.check(pods) {
            if begin.elapsed() > patience {
                return Err(error).context(format!("after {patience:?}; log:\n{}", self.collector.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(begin.elapsed())
    }

    /// Resident and most resident memory in MiB.
    pub(crate) fn memory(&self) -> Result<(f64, f64)> {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        Ok((mib(self.collector.memory()?), mib(self.collector.peak_memory()?)))
    }
}

/// A request of one record for each resource, in protobuf.
pub(crate) fn request(resources: &[(&str, &str)]) -> Result<Bytes> {
    let entries: Vec<Value> = resources
        .iter()
        .map(|(key, value)| {
            json!({"resource": {"attributes": [{"key": key, "value": {"stringValue": value}}]},
                "scopeLogs": [{"logRecords": [{"body": {"stringValue": "a line of a log"}}]}]})
        })
        .collect();
    let body = json!({"resourceLogs": entries}).to_string();
    Ok(Batch::from_json(Signal::Logs, body.as_bytes())?.to_protobuf())
}

/// What is to be added for a pod of a Deployment, or of none.
fn expected(pod: &Value) -> Attributes {
    let metadata = &pod["metadata"];
    let mut attributes = Attributes::new();
    let mut add = |key: &str, value: &str| attributes.insert(key.to_owned(), value.to_owned());
    add("k8s.pod.name", text(&metadata["name"]));
    add("k8s.pod.uid", text(&metadata["uid"]));
    add("k8s.namespace.name", text(&metadata["namespace"]));
    add("k8s.pod.start_time", text(&metadata["creationTimestamp"]));
    add("k8s.node.name", text(&pod["spec"]["nodeName"]));
    if let Some(app) = metadata["labels"]["app"].as_str() {
        add("app", app);
    }
    let image = text(&pod["spec"]["containers"][0]["image"]);
    let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    add("container.image.name", name);
    add("container.image.tag", tag);
    if let Some(owner) = metadata["ownerReferences"][0]["name"].as_str() {
        add("k8s.replicaset.name", owner);
        let hash = format!("-{}", text(&metadata["labels"]["pod-template-hash"]));
        add("k8s.deployment.name", owner.strip_suffix(&hash).unwrap_or_default());
    }
    attributes
}

/// The pods of the Deployments.
pub(crate) fn fake_pods(api: &Api, count: usize) -> Result<Vec<Value>> {
    let pods = api.list("/api/v1/namespaces/fake/pods")?;
    ensure!(pods.len() == count, "{} pods in the namespace fake, not {count}", pods.len());
    Ok(pods)
}

/// An array's members; none of what is no array.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty if it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
