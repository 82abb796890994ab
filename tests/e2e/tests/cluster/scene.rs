//! A collector on the node, installed as a user does, and the CloudWatch Logs that it writes to.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::cwlogs::CloudWatchLogs;
use tokio::runtime::Runtime;

use crate::kubernetes::{
    apply, get, kubectl, list, networks_behind_the_node, on_node, own_address_towards, pod_network, run, text,
};

/// How often the collector collects.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// The name that the placeholder is filled with.
pub(crate) const CLUSTER: &str = "e2e";
/// What the manifest makes everything in.
pub(crate) const NAMESPACE: &str = "amazon-cloudwatch";
const MANIFEST: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/kubernetes/collector.yaml"));

/// What is installed, and what came of it.
pub(crate) struct Scene {
    /// The nodes; the first is the one whose kernel is this machine's.
    pub(crate) nodes: Vec<String>,
    service: CloudWatchLogs,
    _runtime: Runtime,
}

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Unix time in milliseconds.
    pub(crate) at: i64,
    pub(crate) group: String,
    pub(crate) stream: String,
    pub(crate) fields: Value,
}

impl Scene {
    /// Installs the collector on the node and waits for its first records with rates.
    pub(crate) fn install() -> Result<Self> {
        let nodes = nodes()?;
        let image = std::env::var("INSIGHTS_IMAGE").context("INSIGHTS_IMAGE")?;
        on_node(&["ctr", "--namespace", "k8s.io", "images", "import", &image])?;
        let (api_host, api_port) = api_server()?;
        let address: IpAddr = api_host.parse()?;
        // Pods have addresses that only the node knows of.
        run("ip", &["route", "replace", &pod_network()?, "via", &api_host], "")?;
        if nodes.len() > 1 {
            // The other kernel takes images in from a folder, and its pods are behind the first node.
            let credentials = std::env::var("KUBECONFIG").context("KUBECONFIG")?;
            let folder = Path::new(&credentials).with_file_name("images");
            fs::copy(&image, folder.join("otelcol-insights.tar")).context("the image for the second node")?;
            for network in networks_behind_the_node()? {
                run("ip", &["route", "replace", &network, "via", &api_host], "")?;
            }
        }

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let service = runtime.block_on(CloudWatchLogs::start_at(own_address_towards(address)?))?;
        service.trust("test", "test");
        // Without a proxy for Services, and with CloudWatch Logs of our own.
        let variables = [
            ("KUBERNETES_SERVICE_HOST", api_host.as_str()),
            ("KUBERNETES_SERVICE_PORT", &api_port),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &service.endpoint()),
        ];
        let variables: String = variables
            .iter()
            .map(|(name, value)| format!("            - {{name: {name}, value: \"{value}\"}}\n"))
            .collect();
        let mut manifest = MANIFEST.to_owned();
        for (what, with) in [
            ("{{cluster_name}}", CLUSTER),
            ("{{region_name}}", "us-west-2"),
            ("collection_interval: 60s", "collection_interval: 5s"),
            ("          env:\n", &format!("          env:\n{variables}")),
        ] {
            ensure!(manifest.matches(what).count() == 1, "{what:?} is not once in the manifest");
            manifest = manifest.replace(what, with);
        }
        apply(&manifest)?;
        let scene = Self { nodes, service, _runtime: runtime };
        kubectl(&["-n", NAMESPACE, "rollout", "status", "ds/cloudwatch-agent", "--timeout=90s"])?;
        for node in &scene.nodes {
            scene.until(&format!("rates of {node}"), 60, || {
                let latest = scene.latest("Node", node)?;
                Ok(latest.is_some_and(|record| record.fields["node_cpu_usage_total"].is_number()))
            })?;
        }
        Ok(scene)
    }

    /// Takes everything away that was installed.
    pub(crate) fn remove() -> Result<()> {
        kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false"])?;
        let both = ["cloudwatch-agent-node", "cloudwatch-agent-leader"];
        for kind in ["clusterrole", "clusterrolebinding"] {
            kubectl(&["delete", kind, "--ignore-not-found", both[0], both[1]])?;
        }
        Ok(())
    }

    /// The records of and after a moment.
    pub(crate) fn since(&self, at: i64) -> Result<Vec<Record>> {
        self.service.inspect(|recorded| {
            ensure!(recorded.violations.is_empty(), "{:?}", recorded.violations);
            let events =
                recorded.events.iter().filter(|event| event.timestamp.is_some_and(|time| time >= at));
            events
                .map(|event| {
                    Ok(Record {
                        at: event.timestamp.unwrap_or_default(),
                        group: event.group.clone().unwrap_or_default(),
                        stream: event.stream.clone().unwrap_or_default(),
                        fields: serde_json::from_str(&event.message)?,
                    })
                })
                .collect()
        })
    }

    /// The latest record of a type that a node's collector made.
    pub(crate) fn latest(&self, kind: &str, node: &str) -> Result<Option<Record>> {
        let recent = now() - 4 * INTERVAL.as_millis() as i64;
        Ok(self.since(recent)?.into_iter().rfind(|one| one.fields["Type"] == kind && one.stream == node))
    }

    /// The records of a collection of a node that begins now.
    pub(crate) fn collection(&self, node: &str) -> Result<Vec<Record>> {
        let begin = now();
        let mut all = Vec::new();
        self.until("a collection", 30, || {
            all = self.since(begin)?;
            all.retain(|record| record.stream == node);
            // The leader's records are written last, so a second collection proves the first to be whole.
            let first = all.first().map(|record| record.at);
            Ok(all.iter().any(|record| Some(record.at) > first))
        })?;
        let first = all.first().map(|record| record.at);
        all.retain(|record| Some(record.at) == first);
        Ok(all)
    }

    /// Waits for a condition; how long it took.
    pub(crate) fn until(
        &self,
        what: &str,
        seconds: u64,
        mut is: impl FnMut() -> Result<bool>,
    ) -> Result<Duration> {
        let begin = Instant::now();
        while !is()? {
            if begin.elapsed() > Duration::from_secs(seconds) {
                anyhow::bail!("not within {seconds} s: {what}");
            }
            sleep(Duration::from_millis(100));
        }
        Ok(begin.elapsed())
    }

    /// The end of the collector's log, or why there is none.
    pub(crate) fn log() -> String {
        let log = kubectl(&["-n", NAMESPACE, "logs", "ds/cloudwatch-agent", "--tail=40"]);
        log.unwrap_or_else(|error| error.to_string())
    }

    /// The name of the collector's pod on a node.
    pub(crate) fn collector(&self, node: &str) -> Result<String> {
        let on_node = format!("spec.nodeName={node}");
        let pods =
            get(&["-n", NAMESPACE, "pods", "-l", "name=cloudwatch-agent", "--field-selector", &on_node])?;
        let pod = list(&pods["items"]).iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(text(&pod.context("no pod")?["metadata"]["name"]).to_owned())
    }
}

impl Record {
    /// Whether it is of this type and pod.
    pub(crate) fn is(&self, kind: &str, namespace: &str, pod: &str) -> bool {
        let of = &self.fields["kubernetes"];
        self.fields["Type"] == kind && of["namespace_name"] == namespace && of["pod_name"] == pod
    }

    /// Whether it is of this container.
    pub(crate) fn is_container(&self, namespace: &str, pod: &str, container: &str) -> bool {
        self.is("Container", namespace, pod) && self.fields["kubernetes"]["container_name"] == container
    }

    /// A figure.
    pub(crate) fn number(&self, name: &str) -> Result<f64> {
        self.fields[name].as_f64().with_context(|| format!("{name} of {}", self.fields))
    }
}

/// Unix time in milliseconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The nodes of the cluster that this is about.
pub(crate) fn nodes() -> Result<Vec<String>> {
    let first = std::env::var("TESTBED_NODE").context("TESTBED_NODE")?;
    Ok([first].into_iter().chain(std::env::var("TESTBED_NODE_2")).collect())
}

fn api_server() -> Result<(String, String)> {
    let url = std::env::var("TESTBED_API").context("TESTBED_API")?;
    let (host, port) =
        url.trim_start_matches("https://").rsplit_once(':').context("no port in TESTBED_API")?;
    Ok((host.to_owned(), port.to_owned()))
}
