//! The receiver with a machine made of files, a recording sink and a paused clock.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use component::{BoxError, Component, ConsumeError, Consumer, Host, Kind, Settings, TaskSet, async_trait};
use pdata::Batch;
use pdata::metrics::{Data, Number, resources};
use testkit::{FakeApiServer, RecordingSink, TestTelemetry};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::Config;
use crate::host::golden_tests::{lay_out, paths_below};
use crate::instance::{Instance, InstanceSource, NodeObject};
use crate::pods::PodSource;
use crate::pods::test_machine::{Answers, Reply, ScriptedKubelet};
use crate::receiver::{Machine, Receiver};
use crate::surroundings::{Orchestrator, Surroundings};

const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);
const ACCEPTED: &str =
    "otelcol_receiver_accepted_metric_points{receiver=awscontainerinsightreceiver,transport=}";
const REFUSED: &str =
    "otelcol_receiver_refused_metric_points{receiver=awscontainerinsightreceiver,transport=}";
const SCRAPED: &str =
    "otelcol_scraper_scraped_metric_points{receiver=awscontainerinsightreceiver,scraper=host}";
const ERRORED: &str =
    "otelcol_scraper_errored_metric_points{receiver=awscontainerinsightreceiver,scraper=host}";

/// A receiver that runs.
struct Running {
    root: tempfile::TempDir,
    telemetry: TestTelemetry,
    tasks: TaskSet,
    receiver: Receiver,
}

/// Starts a receiver without filesystems, whose sizes are asked for on a clock that cannot be paused.
async fn start(
    yaml: &str,
    output: Arc<dyn Consumer>,
    instance_sources: Vec<Box<dyn InstanceSource>>,
) -> Running {
    start_with(yaml, output, instance_sources, None).await
}

/// [`start`] with somebody who knows the pods.
async fn start_with(
    yaml: &str,
    output: Arc<dyn Consumer>,
    instance_sources: Vec<Box<dyn InstanceSource>>,
    pods: Option<Box<dyn PodSource>>,
) -> Running {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path(), "v2-first");
    std::fs::write(root.path().join("proc/self/mountinfo"), "").unwrap();
    let surroundings = Surroundings {
        orchestrator: Orchestrator::Eks,
        orchestrator_from: "a test",
        node_name: Some("node-1".to_owned()),
        node_name_from: "HOST_NAME",
        cluster_name: None,
        cluster_name_from: "not known",
        kubelet: None,
        namespace: None,
        address: None,
    };
    let telemetry = TestTelemetry::default();
    let settings: Settings = telemetry.settings(Kind::Receiver, "awscontainerinsightreceiver");
    let config: Config = confmap::from_yaml(yaml).unwrap();
    let machine = Machine {
        surroundings,
        paths: paths_below(root.path()),
        instance_sources: Mutex::new(instance_sources),
        questions: None,
        pods: Mutex::new(pods),
    };
    let receiver = Receiver::new(settings, Arc::new(config), output, machine);
    let tasks = TaskSet::default();
    receiver.start(&Host::new(tasks.clone(), watch::Sender::new(None))).await.unwrap();
    Running { root, telemetry, tasks, receiver }
}

impl Running {
    async fn shut_down(&self, within: Duration) -> Result<(), BoxError> {
        let result = self.receiver.shutdown(Instant::now() + within).await;
        // Cancelled tasks leave the list when they are polled for the last time.
        tokio::task::yield_now().await;
        assert_eq!(self.tasks.names(), [""; 0]);
        result
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.root.path().join(path), text).unwrap();
    }
}

/// The metrics of a batch's records of a type, and the attributes of the last.
fn records(batch: &Batch, kind: &str) -> (BTreeMap<String, Number>, BTreeMap<String, String>) {
    let (mut metrics, mut attributes) = (BTreeMap::new(), BTreeMap::new());
    for resource in resources(batch) {
        let text =
            |pair: pdata::KeyValueView<'_>| (pair.key.to_owned(), pair.value.as_str().unwrap().to_owned());
        let found: BTreeMap<_, _> = resource.resource().attributes().map(text).collect();
        if found["Type"] != kind {
            continue;
        }
        attributes = found;
        for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
            let Data::Gauge(points) = metric.data else { panic!("{} is no gauge", metric.name) };
            let value = points.numbers().next().unwrap().value.unwrap();
            metrics.insert(metric.name.to_owned(), value);
        }
    }
    (metrics, attributes)
}

#[tokio::test(start_paused = true)]
async fn the_first_collection_is_at_once_and_the_second_has_rates() {
    let sink = RecordingSink::new();
    let running = start("{}", sink.clone(), vec![]).await;
    sleep(MOMENT).await;
    assert_eq!(sink.calls(), 1);
    let (node, _) = records(&sink.batches()[0], "Node");
    assert_eq!(node["node_cpu_limit"], Number::Int(2000));
    assert!(!node.contains_key("node_cpu_usage_total"), "{node:?}");

    lay_out(running.root.path(), "v2-second");
    running.write("proc/self/mountinfo", "");
    sleep(MINUTE - 2 * MOMENT).await;
    assert_eq!(sink.calls(), 1);
    sleep(2 * MOMENT).await;
    assert_eq!(sink.calls(), 2);
    let (node, _) = records(&sink.batches()[1], "Node");
    assert_eq!(node["node_cpu_usage_total"], Number::Double(160.0));
    assert_eq!(node["node_cpu_utilization"], Number::Double(8.0));
    let (interfaces, _) = records(&sink.batches()[1], "NodeNet");
    assert!(!interfaces.is_empty());

    running.shut_down(MINUTE).await.unwrap();
    assert_eq!(running.telemetry.value(ACCEPTED), sink.items() as f64);
    assert_eq!(running.telemetry.value(SCRAPED), sink.items() as f64);
    assert_eq!(running.telemetry.value(ERRORED), 0.0);
    sleep(2 * MINUTE).await;
    assert_eq!(sink.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_collection_is_counted_and_the_next_one_goes_on() {
    let sink = RecordingSink::scripted([Some(ConsumeError::retryable("the queue is full")), None]);
    let running = start("collection_interval: 10s", sink.clone(), vec![]).await;
    sleep(MOMENT).await;
    let refused = running.telemetry.value(REFUSED);
    assert!(refused > 0.0);
    sleep(Duration::from_secs(10)).await;
    running.shut_down(MINUTE).await.unwrap();
    assert_eq!(sink.batches().len(), 1);
    assert_eq!(running.telemetry.value(REFUSED), refused);
    assert_eq!(running.telemetry.value(ACCEPTED), sink.items() as f64);
}

#[tokio::test(start_paused = true)]
async fn a_broken_source_takes_along_only_its_own_fields() {
    let (log, _guard) = capture_log();
    let sink = RecordingSink::new();
    let running = start("{}", sink.clone(), vec![]).await;
    sleep(MOMENT).await;
    running.write("proc/1/net/dev", "Inter-| x\n face | y\neth0: 1 2 3\n");
    sleep(3 * MINUTE).await;
    running.shut_down(MINUTE).await.unwrap();

    let (node, _) = records(&sink.batches()[3], "Node");
    assert_eq!(node["node_cpu_usage_total"], Number::Double(0.0));
    assert!(!node.contains_key("node_network_rx_bytes"), "{node:?}");
    assert_eq!(running.telemetry.value(ERRORED), 3.0);
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("cannot read this source").count(), 1, "{text}");
    assert!(text.contains("line 3 has 4 fields instead of 17"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_was_found_and_what_is_missing_is_told_once() {
    let (log, _guard) = capture_log();
    let yaml = "{accelerated_compute_metrics: true, num_workers: 1}";
    let running = start(yaml, RecordingSink::new(), vec![]).await;
    sleep(2 * MINUTE).await;
    running.shut_down(MINUTE).await.unwrap();
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let told = |words: &str| assert_eq!(text.matches(words).count(), 1, "{words:?} in {text}");
    told("found this machine");
    told("orchestrator=\"eks\"");
    told("node_name=\"node-1\"");
    told("cgroup=\"v2\"");
    told("cores=2");
    told("kubelet=\"no address");
    told("accelerated_compute_metrics, num_workers");
    told("set the key cluster_name or the environment variable CLUSTER_NAME");
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_fails_is_told_once_and_so_is_its_recovery() {
    let (log, _guard) = capture_log();
    let sink = RecordingSink::new();
    let pod = serde_json::json!([{
        "metadata": {"name": "pod", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [{"name": "app"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "app", "state": {"running": {}}}]},
    }]);
    let answers = Answers::default();
    let list = || Reply::Pods(pod.clone());
    answers.lock().unwrap().extend([Reply::Fails, Reply::Fails, list(), list(), Reply::Fails, list()]);
    let kubelet = Box::new(ScriptedKubelet(Arc::clone(&answers)));
    let running = start_with("{}", sink.clone(), vec![], Some(kubelet)).await;
    sleep(5 * MINUTE + MOMENT).await;
    running.shut_down(MINUTE).await.unwrap();

    let counted: Vec<_> = sink
        .batches()
        .iter()
        .map(|batch| records(batch, "Node").0.contains_key("node_number_of_running_pods"))
        .collect();
    // One failure later on does not matter: the list before is good for two minutes.
    assert_eq!(counted, [false, false, true, true, true, true]);
    let (pod, attributes) = records(&sink.batches()[3], "Pod");
    assert_eq!(pod["pod_number_of_running_containers"], Number::Int(1));
    assert_eq!(
        attributes["kubernetes"],
        r#"{"host":"node-1","namespace_name":"ns","pod_id":"u","pod_name":"pod"}"#
    );
    assert_eq!(running.telemetry.value(ERRORED), 3.0);
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let told = |words: &str| {
        text.lines().filter(|line| line.contains("the kubelet's pods") && line.contains(words)).count()
    };
    assert_eq!((told("WARN"), told("can read this source again")), (2, 2), "{text}");
}

/// Knows the instance from some time on.
struct KnowsLater(Instant);

#[async_trait]
impl InstanceSource for KnowsLater {
    fn name(&self) -> &'static str {
        "a test"
    }

    async fn ask(&self, _known: &Instance) -> Result<Instance, BoxError> {
        let text = |text: &str| Some(text.to_owned());
        let known = Instant::now() >= self.0;
        let instance = Instance {
            id: text("i-1"),
            kind: text("m5.large"),
            availability_zone: text("z"),
            ..Instance::default()
        };
        known.then_some(instance).ok_or_else(|| "not yet".into())
    }
}

#[tokio::test(start_paused = true)]
async fn the_instance_is_in_the_records_from_when_it_is_known() {
    let sink = RecordingSink::new();
    let source = KnowsLater(Instant::now() + MINUTE + MOMENT);
    let running = start("{}", sink.clone(), vec![Box::new(source)]).await;
    sleep(4 * MINUTE + MOMENT).await;
    running.shut_down(MINUTE).await.unwrap();
    let known: Vec<_> =
        sink.batches().iter().map(|batch| records(batch, "Node").1.get("InstanceId").cloned()).collect();
    // It is asked at 0, 60 and 180 seconds; whether the collection of that second sees the answer is left open.
    let instance = Some("i-1".to_owned());
    assert_eq!(known.len(), 5);
    assert_eq!((&known[..3], &known[4]), (&[None, None, None][..], &instance));
}

/// Takes a batch when it is permitted to.
struct Gate(Semaphore);

#[async_trait]
impl Consumer for Gate {
    async fn consume(&self, _batch: Batch) -> Result<(), ConsumeError> {
        let _permit = self.0.acquire().await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_a_collection_under_way() {
    let gate = Arc::new(Gate(Semaphore::new(0)));
    let running = start("{}", gate.clone(), vec![]).await;
    sleep(MOMENT).await;
    let open = async {
        sleep(MINUTE / 2).await;
        gate.0.add_permits(1);
    };
    let (result, ()) = tokio::join!(running.shut_down(MINUTE), open);
    result.unwrap();
    assert!(running.telemetry.value(ACCEPTED) > 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_collector_with_the_role_of_the_leader_makes_no_records_of_its_machine() {
    let points = async |yaml: &str| {
        let sink = RecordingSink::new();
        let running = start(yaml, sink.clone(), vec![]).await;
        sleep(MOMENT).await;
        running.shut_down(MINUTE).await.unwrap();
        sink.batches().iter().map(|batch| records(batch, "Node").0.len()).sum::<usize>()
    };
    assert!(points("collection_role: ALL").await > 0);
    assert!(points("collection_role: NODE").await > 0);
    assert_eq!(points("collection_role: LEADER").await, 0);
}

#[tokio::test]
async fn a_collector_with_the_role_of_a_node_does_not_stand_for_election() {
    // The namespace of the lock is not known here, which a candidate warns of.
    let stands = async |role: &str| {
        let server = FakeApiServer::start().await;
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "{{clusters: [{{name: c, cluster: {{server: '{}'}}}}], users: [{{name: u, user: {{}}}}], \
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}], current-context: x}}",
            server.url()
        );
        std::fs::write(kubeconfig.path(), text).unwrap();
        let path = kubeconfig.path().display();
        let (log, guard) = capture_log();
        let yaml = format!("{{collection_role: {role}, kube_config_path: '{path}'}}");
        let running = start(&yaml, RecordingSink::new(), vec![]).await;
        drop(guard);
        running.shut_down(MINUTE).await.unwrap();
        let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        log.contains("this pod's namespace is not known")
    };
    assert!(stands("ALL").await);
    assert!(stands("LEADER").await);
    assert!(!stands("NODE").await);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_at_its_deadline() {
    let gate = Arc::new(Gate(Semaphore::new(0)));
    let running = start("{}", gate.clone(), vec![]).await;
    sleep(MOMENT).await;
    let begin = Instant::now();
    let error = running.shut_down(MINUTE).await.unwrap_err();
    assert_eq!(error.to_string(), "a collection did not end in time");
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert_eq!(running.telemetry.value(ACCEPTED), 0.0);
}

#[tokio::test]
async fn the_node_object_names_the_instance() {
    let server = FakeApiServer::start().await;
    server.answer(
        "/api/v1/nodes/node-1",
        200,
        r#"{"metadata":{"labels":{"node.kubernetes.io/instance-type":"m6i.large"}},
            "spec":{"providerID":"aws:///us-east-1b/i-0aa11bb22cc33dd44"}}"#,
    );
    let url = server.url();
    let connect = move || k8s::ApiServer::new(k8s::ApiServerConfig::new(url.parse().unwrap()));
    let source = NodeObject { node: "node-1".to_owned(), connect: Box::new(connect) };
    let instance = source.ask(&Instance::default()).await.unwrap();
    assert_eq!(instance.id.as_deref(), Some("i-0aa11bb22cc33dd44"));

    server.forbid("/api/v1/nodes/node-1", "no");
    let error = source.ask(&Instance::default()).await.unwrap_err();
    assert!(error.to_string().contains("allow the service account `get` on `nodes`"), "{error}");
}

type Log = Arc<Mutex<Vec<u8>>>;

struct LogWriter(Log);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What this thread logs, until the guard is dropped.
fn capture_log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || LogWriter(Arc::clone(&writer)))
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}
