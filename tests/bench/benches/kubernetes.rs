//! What it costs to know the pods of a cluster, and to add to resources what is known of theirs.
//!
//! A server of its own sends a streamed list of pods as an API server writes them, and replaces some of them all the time
//! while resources are looked up. Heap is counted by the allocator, CPU time of the list by the kernel; lookups are timed by the clock, round by round.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench: the figures are its product"
)]

use std::alloc::System;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use component::{Consumer, Host, Kind, Processor, async_trait};
use confmap::Node;
use pdata::{Batch, Signal};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use testkit::TestTelemetry;
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The pods of the cluster, unless the variable `PODS` says otherwise.
const PODS: usize = 50_000;
/// Pods of one ReplicaSet, and ReplicaSets of one namespace.
const REPLICAS: usize = 10;
const PER_NAMESPACE: usize = 100;
const NODES: usize = 1000;
/// Resources in a request, and requests.
const RESOURCES: (usize, usize) = (100, 200);
/// So many requests stay in the cache.
const FRESH: usize = 20;
/// Pods that are replaced per second, and for how long.
const CHURN: (u32, Duration) = (100, Duration::from_secs(5));
/// Twelve attributes; the resource says one of them.
const CONFIG: &str = "extract: {metadata: [k8s.namespace.name, k8s.pod.name, k8s.pod.uid, k8s.pod.start_time, \
    k8s.deployment.name, k8s.node.name, k8s.container.name, container.image.name, container.image.tag], \
    labels: [{key: app.kubernetes.io/name, tag_name: app}, {key: app.kubernetes.io/component, tag_name: component}, \
    {key: team}]}, pod_delete_grace_period: 1s, wait_for_metadata: true, wait_for_metadata_timeout: 300s, \
    pod_association: [{sources: [{from: resource_attribute, name: k8s.pod.uid}]}, {sources: [{from: connection}]}]";

const THREAD: &str = "collector";

/// Keeps what it was given last.
#[derive(Default)]
struct Last(std::sync::Mutex<Option<Batch>>);

#[async_trait]
impl Consumer for Last {
    async fn consume(&self, batch: Batch) -> Result<(), component::ConsumeError> {
        *self.0.lock().expect("no panic") = Some(black_box(batch));
        Ok(())
    }
}

fn main() {
    let pods = std::env::var("PODS").ok().and_then(|pods| pods.parse().ok()).unwrap_or(PODS);
    let (server, churn) = Server::start(pods);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(THREAD)
        .enable_all()
        .build()
        .expect("a runtime");
    let sink = Arc::new(Last::default());
    let directory = tempfile::tempdir().expect("a folder");
    let processor = create(&server, directory.path(), Arc::clone(&sink));
    let host = Host::standalone();

    let (heap, cpu, peak) = (heap(), thread_cpu(THREAD), Peak::watch());
    let began = Instant::now();
    runtime.block_on(processor.start(&host)).expect("started");
    let wall = began.elapsed();
    let list_cpu = thread_cpu(THREAD) - cpu;
    thread::sleep(Duration::from_millis(200));
    let steady = self::heap() - heap;
    let peak = peak.end() - heap;
    println!("initial list of {pods} pods: {} in {:.1} s", mib(server.sent()), wall.as_secs_f64());
    verdict("  CPU of the list", list_cpu.as_secs_f64(), 5.0, "s");
    verdict("  heap per pod, all indexes", steady as f64 / pods as f64, 500.0, "B");
    verdict("  peak above steady", (peak - steady).max(0) as f64 / 1_048_576.0, 16.0, "MiB");

    let batches: Vec<Batch> = (0..RESOURCES.1).map(|number| request(number, pods)).collect();
    let lookups = |name: &str, batches: &[Batch], time: Duration| {
        let (began, mut rounds) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            let began = Instant::now();
            for batch in batches {
                runtime.block_on(processor.consume(batch.clone())).expect("taken");
            }
            rounds.push(began.elapsed().as_nanos() as f64 / (RESOURCES.0 * batches.len()) as f64);
        }
        rounds.sort_by(f64::total_cmp);
        let (fastest, median) = (rounds[0], rounds[rounds.len() / 2]);
        println!("  {name}: {median:.0} ns of a resource in all, {fastest:.0} ns in the fastest round");
        (fastest, median)
    };
    // Requests that have just arrived are in the cache; those of so many pods are not.
    let fresh = batches.get(..FRESH).unwrap_or(&batches);
    println!("added to a resource: {} attributes", added(&processor, &runtime, &batches, &sink));
    let plain = (splice(fresh), splice(&batches));
    println!("  one attribute put into a resource, nothing looked up: {:.0} ns, {:.0} ns", plain.0, plain.1);
    lookups("warming up", &batches, Duration::from_secs(1));
    let quiet = lookups("2,000 pods", fresh, Duration::from_secs(2));
    let cold = lookups("20,000 pods, nothing in the cache", &batches, Duration::from_secs(2));
    let cpu = thread_cpu(THREAD);
    churn.send(()).expect("a server");
    let busy = lookups("2,000 pods, while others are replaced", fresh, CHURN.1);
    let cost = (thread_cpu(THREAD) - cpu).as_secs_f64() / CHURN.1.as_secs_f64();
    println!("  CPU of taking {} replaced pods per second in: {:.1} ms/s", CHURN.0, cost * 1000.0);
    verdict("  association and attributes, without changes, median", quiet.1 - plain.0, 100.0, "ns");
    verdict("  association and attributes, under churn, median", busy.1 - plain.0, 100.0, "ns");
    verdict("  association and attributes, under churn, fastest round", busy.0 - plain.0, 100.0, "ns");
    verdict("  association and attributes, nothing in the cache, median", cold.1 - plain.1, 100.0, "ns");
    thread::sleep(Duration::from_millis(2500));
    sink.0.lock().expect("no panic").take();
    runtime.block_on(processor.shutdown(tokio::time::Instant::now())).expect("shut down");
    thread::sleep(Duration::from_millis(500));
}

fn verdict(what: &str, value: f64, target: f64, unit: &str) {
    let met = if value <= target { "met" } else { "MISSED" };
    println!("{what}: {value:.1} {unit} (≤ {target} {unit}: {met})");
}

fn mib(bytes: usize) -> String {
    format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
}

fn heap() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

/// The CPU time of all threads of a name.
fn thread_cpu(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    let named = tasks.flatten().map(|task| task.path()).filter(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim().starts_with(name))
    });
    named.map(|task| cpu_of(&task.join("schedstat"))).sum()
}

fn cpu_of(schedstat: &std::path::Path) -> Duration {
    let text = std::fs::read_to_string(schedstat).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// The highest heap, looked at every half millisecond.
struct Peak {
    ended: Arc<AtomicBool>,
    thread: thread::JoinHandle<i64>,
}

impl Peak {
    fn watch() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut highest = heap();
            while !until.load(Ordering::Relaxed) {
                highest = highest.max(heap());
                thread::sleep(Duration::from_micros(500));
            }
            highest
        });
        Self { ended, thread }
    }

    fn end(self) -> i64 {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

fn create(server: &Server, directory: &std::path::Path, sink: Arc<Last>) -> Arc<dyn Processor> {
    let kubeconfig = directory.join("config");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).expect("a file");
    let yaml = format!("{{auth_type: kubeConfig, kube_config_path: {}, {CONFIG}}}", kubeconfig.display());
    let factory = k8sattributesprocessor::factory();
    let node = Node::from_yaml("bench", &yaml).expect("YAML");
    let config = factory.decode(Some(&node), "").expect("a configuration");
    let settings = TestTelemetry::default().settings(Kind::Processor, "k8s_attributes");
    factory.create(settings, &config, sink).expect("a processor")
}

/// Resources of pods that stand far from each other, with five attributes and a point.
fn request(number: usize, pods: usize) -> Batch {
    let resources: Vec<_> = (0..RESOURCES.0)
        .map(|at| {
            let pod = (number * RESOURCES.0 + at).wrapping_mul(7919) % pods;
            let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
            let attributes = [
                attribute("service.name", "checkout"),
                attribute("telemetry.sdk.language", "java"),
                attribute("telemetry.sdk.name", "opentelemetry"),
                attribute("telemetry.sdk.version", "1.49.0"),
                attribute("k8s.pod.uid", &uid(pod, 0)),
            ];
            let point = json!({"startTimeUnixNano": "1", "timeUnixNano": "2", "asDouble": 1.5});
            json!({
                "resource": {"attributes": attributes},
                "scopeMetrics": [{"scope": {"name": "io.opentelemetry.runtime"}, "metrics": [
                    {"name": "jvm.memory.used", "unit": "By", "gauge": {"dataPoints": [point.clone(), point]}}]}],
            })
        })
        .collect();
    let request = json!({"resourceMetrics": resources}).to_string();
    Batch::from_json(Signal::Metrics, request.as_bytes()).expect("a request")
}

/// What it takes to put an attribute into a resource, whoever does it, in the fastest round.
fn splice(batches: &[Batch]) -> f64 {
    let edit = || {
        for batch in batches {
            let edited = batch.clone().edit_resources(|editor| editor.upsert("k", "v"));
            black_box(edited);
        }
    };
    edit();
    let mut rounds: Vec<f64> = (0..40)
        .map(|_| {
            let began = Instant::now();
            edit();
            began.elapsed().as_nanos() as f64 / (RESOURCES.0 * batches.len()) as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[0]
}

/// How many attributes the last resource of a batch gets.
fn added(
    processor: &Arc<dyn Processor>,
    runtime: &tokio::runtime::Runtime,
    batches: &[Batch],
    sink: &Last,
) -> usize {
    let count = |batch: &Batch| {
        let resources = pdata::metrics::resources(batch);
        resources.map(|resource| resource.resource().attributes().count()).sum::<usize>()
    };
    let Some(batch) = batches.first() else { return 0 };
    runtime.block_on(processor.consume(batch.clone())).expect("taken");
    let after = sink.0.lock().expect("no panic").as_ref().map_or(0, count);
    (after - count(batch)) / RESOURCES.0
}

/// An API server that has pods, and nothing else.
struct Server {
    url: String,
    sent: Arc<AtomicUsize>,
}

impl Server {
    /// Replaces pods for a while when it is told to.
    fn start(pods: usize) -> (Self, mpsc::Sender<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let sent = Arc::new(AtomicUsize::new(0));
        let (churn, begin) = mpsc::channel();
        let count = Arc::clone(&sent);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, pods, &count, &begin);
            }
        });
        (Self { url, sent }, churn)
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Answers one question: the streamed list of pods, and then what happens.
fn serve(mut stream: TcpStream, pods: usize, sent: &AtomicUsize, begin: &mpsc::Receiver<()>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    let asks_for_list =
        lines.next().and_then(Result::ok).is_some_and(|line| line.contains("sendInitialEvents=true"));
    while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
    if !asks_for_list {
        drop(stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
        return;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    let mut event = String::new();
    let mut send = |event: &str| {
        sent.fetch_add(event.len(), Ordering::Relaxed);
        let head = format!("{:x}\r\n", event.len());
        let all = [head.as_bytes(), event.as_bytes(), b"\r\n"];
        all.iter().all(|part| stream.write_all(part).is_ok())
    };
    for number in 0..pods {
        write_event(&mut event, "ADDED", number, 0);
        if !send(&event) {
            return;
        }
    }
    let end = r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
    if !send(&format!("{end}\n")) || begin.recv().is_err() {
        return;
    }
    let began = Instant::now();
    for number in 0..CHURN.0 * CHURN.1.as_secs() as u32 {
        let due = Duration::from_secs(1) * number / CHURN.0;
        thread::sleep(due.saturating_sub(began.elapsed()));
        // The successor has the name's place and the address of the one before it.
        let pod = number as usize * 31 % pods;
        for (kind, generation) in [("DELETED", 0), ("ADDED", 1)] {
            write_event(&mut event, kind, pod, generation);
            if !send(&event) {
                return;
            }
        }
    }
    let _ = begin.recv();
}

fn uid(number: usize, generation: usize) -> String {
    format!("{number:08x}-0c1d-4e2f-9a3b-{generation:012x}")
}

/// An event of a pod as API servers write them: mostly of what nobody here asks for.
fn write_event(out: &mut String, kind: &str, number: usize, generation: usize) {
    out.clear();
    let workload = number / REPLICAS;
    let (namespace, node) = (workload / PER_NAMESPACE, number * 13 % NODES);
    let hash = format!("{:08x}7b", workload.wrapping_mul(2_654_435_761) as u32);
    let (name, uid) = (format!("checkout-{workload}-{hash}-x{number}g{generation}"), uid(number, generation));
    let ip = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
    let container_id = format!("{number:032x}{generation:032x}");
    // Writing to a string does not fail.
    let _ = write!(
        out,
        r#"{{"type":"{kind}","object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","generateName":"checkout-{workload}-{hash}-","namespace":"team-{namespace}","uid":"{uid}","resourceVersion":"{number}","creationTimestamp":"2026-11-23T1{}:{:02}:{:02}Z","labels":{{"app.kubernetes.io/name":"checkout-{workload}","app.kubernetes.io/component":"backend","app.kubernetes.io/part-of":"shop","team":"team-{namespace}","pod-template-hash":"{hash}"}},"annotations":{{"prometheus.io/scrape":"true","kubectl.kubernetes.io/restartedAt":"2026-11-01T00:00:00Z","checksum/config":"{hash}{hash}{hash}"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"checkout-{workload}-{hash}","uid":"{workload:08x}-1111-4222-8333-444444444444","controller":true,"blockOwnerDeletion":true}}],{MANAGED_FIELDS}}},"spec":{{{SPEC},"nodeName":"ip-10-{}-{}-7.eu-west-1.compute.internal","containers":[{{"name":"checkout","image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/checkout-{}:v1.{workload}","#,
        number % 10,
        number / 10 % 60,
        number % 60,
        node / 250,
        node % 250,
        workload % 50,
    );
    let _ = write!(
        out,
        r#"{CONTAINER}}}]}},"status":{{"phase":"Running","conditions":[{CONDITIONS}],"hostIP":"10.9.9.9","podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}],"startTime":"2026-11-23T1{}:{:02}:{:02}Z","containerStatuses":[{{"name":"checkout","state":{{"running":{{"startedAt":"2026-11-23T10:00:05Z"}}}},"lastState":{{}},"ready":true,"restartCount":0,"image":"x","imageID":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/checkout@sha256:{:064x}","containerID":"containerd://{container_id}","started":true}}],"qosClass":"Burstable"}}}}}}"#,
        number % 10,
        number / 10 % 60,
        number % 60,
        workload % 50,
    );
    out.push('\n');
}

const MANAGED_FIELDS: &str = r#""managedFields":[{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-11-23T10:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:checksum/config":{},"f:prometheus.io/scrape":{}},"f:generateName":{},"f:labels":{".":{},"f:app.kubernetes.io/name":{},"f:app.kubernetes.io/component":{},"f:team":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"11111111-2222-3333-4444-555555555555\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"checkout\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"JAVA_OPTS\"}":{".":{},"f:name":{},"f:value":{}},"k:{\"name\":\"POD_NAME\"}":{".":{},"f:name":{},"f:valueFrom":{".":{},"f:fieldRef":{}}}},"f:image":{},"f:imagePullPolicy":{},"f:livenessProbe":{".":{},"f:failureThreshold":{},"f:httpGet":{".":{},"f:path":{},"f:port":{},"f:scheme":{}},"f:periodSeconds":{},"f:successThreshold":{},"f:timeoutSeconds":{}},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{".":{},"f:limits":{".":{},"f:cpu":{},"f:memory":{}},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}},"f:securityContext":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:serviceAccount":{},"f:terminationGracePeriodSeconds":{}}}},{"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-11-23T10:00:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Initialized\"}":{".":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Ready\"}":{".":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"10.0.0.1\"}":{".":{},"f:ip":{}}},"f:startTime":{}}},"subresource":"status"}]"#;

const SPEC: &str = r#""volumes":[{"name":"kube-api-access-abcde","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},{"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}],"defaultMode":420}},{"name":"config","configMap":{"name":"checkout-config","defaultMode":420}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"checkout","serviceAccount":"checkout","securityContext":{"runAsNonRoot":true,"fsGroup":1000},"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"podAffinityTerm":{"labelSelector":{"matchLabels":{"app.kubernetes.io/name":"checkout"}},"topologyKey":"kubernetes.io/hostname"}}]}},"schedulerName":"default-scheduler","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority""#;

const CONTAINER: &str = r#""ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}],"env":[{"name":"JAVA_OPTS","value":"-XX:MaxRAMPercentage=75 -XX:+UseG1GC -Djava.security.egd=file:/dev/./urandom"},{"name":"POD_NAME","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.name"}}},{"name":"DATABASE_URL","value":"jdbc:postgresql://checkout.cluster-abcdefghijkl.eu-west-1.rds.amazonaws.com:5432/checkout"},{"name":"OTEL_EXPORTER_OTLP_ENDPOINT","value":"http://collector.observability:4317"}],"resources":{"limits":{"cpu":"2","memory":"2Gi"},"requests":{"cpu":"500m","memory":"1Gi"}},"volumeMounts":[{"name":"config","mountPath":"/etc/checkout"},{"name":"kube-api-access-abcde","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],"livenessProbe":{"httpGet":{"path":"/health/live","port":8080,"scheme":"HTTP"},"initialDelaySeconds":20,"timeoutSeconds":2,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"readinessProbe":{"httpGet":{"path":"/health/ready","port":8080,"scheme":"HTTP"},"timeoutSeconds":2,"periodSeconds":5,"successThreshold":1,"failureThreshold":3},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent","securityContext":{"capabilities":{"drop":["ALL"]},"readOnlyRootFilesystem":true,"allowPrivilegeEscalation":false}"#;

const CONDITIONS: &str = r#"{"type":"PodReadyToStartContainers","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-23T10:00:03Z"},{"type":"Initialized","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-23T10:00:00Z"},{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-23T10:00:25Z"},{"type":"ContainersReady","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-23T10:00:25Z"},{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-23T10:00:00Z"}"#;
