//! The same configurations and resources for both implementations, with the same objects.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use e2e::{Collector, free_address};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Api, Stopped, create_all, substitute};
use crate::differences::{Allowed, Differences};
use crate::exchange::{Sender, Sink};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crosscheck/k8sattributes");

/// `cases.yaml`
#[derive(Deserialize)]
struct Cases {
    inputs: BTreeMap<String, Input>,
    configurations: BTreeMap<String, Value>,
    differences: Vec<Allowed>,
}

/// A resource and where it comes from.
#[derive(Deserialize, Default)]
struct Input {
    #[serde(default)]
    peer: String,
    #[serde(default)]
    attributes: serde_json::Map<String, Value>,
}

/// A configuration, and the signal that it is tried with.
struct Configuration {
    name: String,
    signal: String,
    config: Value,
}

/// What a program of either side made of the inputs: attributes by configuration and input.
type Outcome = BTreeMap<String, BTreeMap<String, serde_json::Map<String, Value>>>;

/// The names that a signal has in OTLP/JSON and in URLs.
const SIGNALS: [(&str, &str, &str); 3] = [
    ("logs", "resourceLogs", "scopeLogs"),
    ("metrics", "resourceMetrics", "scopeMetrics"),
    ("traces", "resourceSpans", "scopeSpans"),
];

/// The objects, as long as this lives. Nobody but the test changes them: controllers stand still.
struct Scene {
    api: Api,
    uids: HashMap<String, String>,
    texts: HashMap<&'static str, String>,
    pods: Vec<Value>,
    _controllers: Stopped,
    _scheduler: Stopped,
}

pub(crate) fn run(gates: &[&str]) -> Result<()> {
    let program = build()?;
    let scene = Scene::new()?;
    let text = std::fs::read_to_string(format!("{FOLDER}/cases.yaml"))?;
    let cases: Cases = serde_yaml::from_str(&substitute(&text, &scene.texts, &scene.uids)?)?;
    let mut inputs = scene.inputs();
    inputs.extend(cases.inputs);
    let configurations: Vec<Configuration> =
        cases.configurations.into_iter().map(|(name, config)| Configuration::new(name, config)).collect();
    let requests = requests(&inputs);
    eprintln!("{} configurations, {} resources", configurations.len(), inputs.len());
    let theirs = reference(&program, gates, &configurations, &requests)?;
    let ours = ours(gates, &configurations, &requests)?;
    let mut differences = Differences::default();
    for configuration in &configurations {
        let (Some(ours), Some(theirs)) = (ours.get(&configuration.name), theirs.get(&configuration.name))
        else {
            differences.add(&configuration.name, "all", "all", &json!("?"), &json!("?"));
            continue;
        };
        for name in inputs.keys() {
            differences.compare(&configuration.name, name, ours.get(name), theirs.get(name));
        }
    }
    differences.judge(&cases.differences, gates)
}

/// Builds the reference program.
fn build() -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("crosscheck-k8sattributes");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(FOLDER);
    ensure!(build.status().context("go build")?.success(), "the reference program does not build");
    Ok(program)
}

impl Scene {
    fn new() -> Result<Self> {
        let (controllers, scheduler) =
            (Stopped::new("kube-controller-manager")?, Stopped::new("kube-scheduler")?);
        let api = Api::start()?;
        remove(&api)?;
        let minutes = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 60;
        let mut texts = HashMap::from([
            ("<name253>", "n".repeat(253)),
            ("<name242>", "d".repeat(242)),
            ("<long>", "long text ".repeat(400)),
            ("<minutes>", minutes.to_string()),
            ("<minutes-1440>", (minutes - 1438).to_string()),
            ("<minutes-1450>", (minutes - 1450).to_string()),
            ("<h1>", "0123456789abcdef".repeat(4)),
            ("<h2>", "fedcba9876543210".repeat(4)),
        ]);
        for (name, letter) in CONTAINERS {
            texts.insert(name, format!("c{letter}").repeat(32));
        }
        let documents = std::fs::read_to_string(format!("{FOLDER}/objects.yaml"))?;
        let (uids, objects) = create_all(&api, &documents, &texts)?;
        let pods = objects.into_iter().filter(|object| object["kind"] == "Pod").collect();
        if let Some(uid) = uids.get("uid Pod xc-one/dual") {
            texts.insert("<UID Pod xc-one/dual>", uid.to_uppercase());
        }
        Ok(Self { api, uids, texts, pods, _controllers: controllers, _scheduler: scheduler })
    }

    /// What is asked about each pod.
    fn inputs(&self) -> BTreeMap<String, Input> {
        let mut inputs = BTreeMap::new();
        for pod in &self.pods {
            let of = |member: &str| pod["metadata"][member].clone();
            let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let mut add = |what: &str, peer: &str, attributes: Value| {
                let attributes = attributes.as_object().cloned().unwrap_or_default();
                inputs.insert(format!("{pod_name:.40} {what}"), Input { peer: peer.to_owned(), attributes });
            };
            add("by uid", "", json!({"k8s.pod.uid": of("uid")}));
            add("by name", "", json!({"k8s.pod.name": of("name"), "k8s.namespace.name": of("namespace")}));
            let four = json!({"k8s.pod.uid": of("uid"), "k8s.pod.name": of("name"),
                "k8s.namespace.name": of("namespace"), "k8s.node.name": pod["spec"]["nodeName"]});
            add("by four", "", four);
            for (index, address) in list(&pod["status"]["podIPs"]).iter().enumerate() {
                add(&format!("by address {index}"), "", json!({"k8s.pod.ip": address["ip"]}));
                match address["ip"].as_str() {
                    Some(ip) if ip.starts_with("127.") => {
                        add(&format!("from address {index}"), ip, json!({}));
                        let named = json!({"k8s.pod.name": of("name")});
                        add(&format!("named, from address {index}"), ip, named);
                    }
                    _ => {}
                }
            }
            for (name, value) in pod["metadata"]["labels"].as_object().into_iter().flatten() {
                add(&format!("by label {name}"), "", json!({name: value, "service.name": value}));
            }
            for owner in list(&pod["metadata"]["ownerReferences"]) {
                add(
                    "by owner",
                    "",
                    json!({"k8s.replicaset.name": owner["name"], "service.name": owner["name"]}),
                );
            }
            for kind in ["containers", "initContainers"] {
                for container in list(&pod["spec"][kind]) {
                    let name = &container["name"];
                    let what = format!("container {}", name.as_str().unwrap_or_default());
                    add(&what, "", json!({"k8s.pod.uid": of("uid"), "k8s.container.name": name}));
                }
            }
            for kind in ["containerStatuses", "initContainerStatuses"] {
                for status in list(&pod["status"][kind]) {
                    let id = status["containerID"].as_str().unwrap_or_default();
                    let id = id.rsplit("://").next().unwrap_or_default();
                    let what = format!("container by id {}", status["name"].as_str().unwrap_or_default());
                    add(&what, "", json!({"container.id": id}));
                    let both = json!({"container.id": id, "k8s.pod.uid": of("uid")});
                    add(&format!("{what} and uid"), "", both);
                }
            }
        }
        inputs
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.api) {
            eprintln!("not removed: {error:#}");
        }
    }
}

/// Removes everything but the namespaces, which only their controller can, and which are used again.
fn remove(api: &Api) -> Result<()> {
    for namespace in ["xc-one", "xc-two"] {
        for collection in [
            "api/v1/namespaces/NS/pods",
            "apis/apps/v1/namespaces/NS/replicasets",
            "apis/apps/v1/namespaces/NS/deployments",
            "apis/apps/v1/namespaces/NS/statefulsets",
            "apis/apps/v1/namespaces/NS/daemonsets",
            "apis/batch/v1/namespaces/NS/jobs",
            "apis/batch/v1/namespaces/NS/cronjobs",
        ] {
            api.delete(&format!("/{}", collection.replace("NS", namespace)))?;
        }
    }
    api.delete("/api/v1/nodes/xc-node-1")?;
    api.delete("/api/v1/nodes/xc-node-2")
}

const CONTAINERS: [(&str, char); 15] = [
    ("<c1>", '1'),
    ("<c2>", '2'),
    ("<c3>", '3'),
    ("<c4>", '4'),
    ("<c5>", '5'),
    ("<c6>", '6'),
    ("<c7>", '7'),
    ("<c8>", '8'),
    ("<c9>", '9'),
    ("<c10>", 'a'),
    ("<c11>", 'b'),
    ("<c12>", 'c'),
    ("<c13>", 'd'),
    ("<c14>", 'e'),
    ("<c15>", 'f'),
];

impl Configuration {
    fn new(name: String, mut config: Value) -> Self {
        let signal = config.as_object_mut().and_then(|config| config.remove("signal"));
        let signal = signal.as_ref().and_then(Value::as_str).unwrap_or("logs").to_owned();
        config["auth_type"] = "kubeConfig".into();
        config["wait_for_metadata"] = true.into();
        config["wait_for_metadata_timeout"] = "60s".into();
        Self { name, signal, config }
    }

    /// As part of an identifier.
    fn id(&self) -> String {
        self.name.replace(' ', "_")
    }
}

/// The resources from each address, by their names.
fn requests(inputs: &BTreeMap<String, Input>) -> BTreeMap<&str, Vec<(&str, Value)>> {
    let mut requests: BTreeMap<&str, Vec<(&str, Value)>> = BTreeMap::new();
    for (name, input) in inputs {
        let attributes: Vec<Value> = input
            .attributes
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| json!({"key": key, "value": any_value(value)}))
            .collect();
        // Where nobody is known to be.
        let peer = if input.peer.is_empty() { "127.0.0.1" } else { &input.peer };
        requests.entry(peer).or_default().push((name, attributes.into()));
    }
    requests
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!({"boolValue": value}),
        Value::Number(value) if value.is_i64() => json!({"intValue": value.to_string()}),
        Value::Number(value) => json!({"doubleValue": value}),
        Value::Array(values) => {
            json!({"arrayValue": {"values": values.iter().map(any_value).collect::<Vec<_>>()}})
        }
        other => json!({"stringValue": other}),
    }
}

/// A request of one signal: the name of the scope says which input it is.
fn body(signal: &str, resources: &[(&str, Value)]) -> Value {
    let (_, all, scopes) = names(signal);
    let item = match signal {
        "metrics" => {
            json!({"metrics": [{"name": "m", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": "1"}]}}]})
        }
        "traces" => json!({"spans": [{"name": "s", "traceId": "01".repeat(16), "spanId": "01".repeat(8)}]}),
        _ => json!({"logRecords": [{"body": {"stringValue": "r"}}]}),
    };
    let entries: Vec<Value> = resources
        .iter()
        .map(|(name, attributes)| {
            let mut scope = item.clone();
            scope["scope"] = json!({"name": name});
            json!({"resource": {"attributes": attributes}, scopes: [scope]})
        })
        .collect();
    json!({all: entries})
}

fn names(signal: &str) -> (&'static str, &'static str, &'static str) {
    SIGNALS.into_iter().find(|names| names.0 == signal).unwrap_or(SIGNALS[0])
}

/// Attributes by the names of inputs; one that is there twice is told.
fn collect(signal: &str, body: &Value, into: &mut BTreeMap<String, serde_json::Map<String, Value>>) {
    let (_, all, scopes) = names(signal);
    for entry in list(&body[all]) {
        let name = entry[scopes][0]["scope"]["name"].as_str().unwrap_or_default();
        let attributes = into.entry(name.to_owned()).or_default();
        for attribute in list(&entry["resource"]["attributes"]) {
            let key = attribute["key"].as_str().unwrap_or_default();
            if attributes.insert(key.to_owned(), attribute["value"].clone()).is_some() {
                attributes.insert(format!("{key} twice"), true.into());
            }
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn reference(
    program: &PathBuf,
    gates: &[&str],
    configurations: &[Configuration],
    requests: &BTreeMap<&str, Vec<(&str, Value)>>,
) -> Result<Outcome> {
    let cases: Vec<Value> = configurations
        .iter()
        .map(|one| {
            let requests = requests.iter().map(|(peer, resources)| {
                json!({"peer": peer, "signal": one.signal, "body": body(&one.signal, resources)})
            });
            json!({"name": one.name, "config": one.config, "requests": requests.collect::<Vec<_>>()})
        })
        .collect();
    let mut child = Command::new(program)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the reference program")?;
    let mut stdin = child.stdin.take().context("stdin")?;
    let plan = json!({"gates": gates, "cases": cases}).to_string();
    let writer = std::thread::spawn(move || stdin.write_all(plan.as_bytes()));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the reference program failed");
    // A program that failed would have told.
    writer.join().map_err(|_| anyhow::anyhow!("the writer failed"))??;
    let mut outcomes = Outcome::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let name = line["case"].as_str().unwrap_or_default();
        let configuration = configurations.iter().find(|one| one.name == name).context("an unknown case")?;
        ensure!(line["error"].is_null(), "the reference, {name}: {}", line["error"]);
        let outcome = outcomes.entry(name.to_owned()).or_default();
        list(&line["bodies"]).iter().for_each(|body| collect(&configuration.signal, body, outcome));
    }
    Ok(outcomes)
}

fn ours(
    gates: &[&str],
    configurations: &[Configuration],
    requests: &BTreeMap<&str, Vec<(&str, Value)>>,
) -> Result<Outcome> {
    let sink = Sink::start()?;
    let (config, receivers) = collector_config(configurations, &sink)?;
    let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
    std::fs::write(file.path(), config.to_string().replace('$', "$$"))?;
    let path = file.path().display().to_string();
    let gates = format!("--feature-gates={}", gates.join(","));
    let collector = Collector::start(&["--config", &path, &gates])?;
    collector.wait_for_log("Everything is ready")?;
    let mut outcomes = Outcome::new();
    for (configuration, receiver) in configurations.iter().zip(receivers) {
        let sender = Sender::new(receiver)?;
        let outcome = outcomes.entry(configuration.name.clone()).or_default();
        for (peer, resources) in requests {
            let from: IpAddr = peer.parse()?;
            let path = format!("/v1/{}", configuration.signal);
            let body = body(&configuration.signal, resources).to_string();
            sender.send(from, &path, "application/json", body.as_bytes()).with_context(|| collector.log())?;
            for body in sink.take(&configuration.id()) {
                collect(&configuration.signal, &serde_json::from_slice(&body)?, outcome);
            }
        }
    }
    ensure!(collector.stop()? == Some(0), "the collector did not end well");
    Ok(outcomes)
}

/// A pipeline for each configuration, and where each listens.
fn collector_config(configurations: &[Configuration], sink: &Sink) -> Result<(Value, Vec<SocketAddr>)> {
    let mut config = json!({"service": {"telemetry": {"metrics": {"level": "none"}}}});
    let mut receivers = Vec::new();
    for one in configurations {
        let (id, address) = (one.id(), free_address()?);
        receivers.push(address);
        let (receiver, processor, exporter) =
            (format!("otlp/{id}"), format!("k8s_attributes/{id}"), format!("otlp_http/{id}"));
        config["receivers"][&receiver] = json!({"protocols": {"http": {"endpoint": address.to_string()}}});
        config["processors"][&processor] = one.config.clone();
        let url = sink.url(&id);
        config["exporters"][&exporter] = json!({"endpoint": url, "logs_endpoint": url, "metrics_endpoint": url,
            "traces_endpoint": url, "encoding": "json", "compression": "none",
            "sending_queue": {"enabled": false}, "retry_on_failure": {"enabled": false}});
        config["service"]["pipelines"][format!("{}/{id}", one.signal)] =
            json!({"receivers": [receiver], "processors": [processor], "exporters": [exporter]});
    }
    Ok((config, receivers))
}
