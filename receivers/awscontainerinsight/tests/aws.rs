//! The receiver with a fake AWS: instance metadata, EC2 and the ECS agent. Where they are is in the environment, which
//! belongs to a process, so each receiver runs in one of its own: this test program again, with one test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test; a missing member of a JSON value is null"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use awscontainerinsightreceiver::{Config, factory};
use component::{Host, Kind, Outputs};
use pdata::Batch;
use pdata::metrics::{Data, Number, resources};
use serde_json::{Value, json};
use testkit::{LogCapture, RecordingSink, TestTelemetry};
use tokio::time::Instant;

/// In a process of its own: the configuration, and what ends it: a record's type and an attribute or a metric that it has.
const CONFIG: &str = "TEST_RECEIVER_CONFIG";
const UNTIL: &str = "TEST_RECEIVER_UNTIL";
/// Comes before what that process found.
const FOUND: &str = "FOUND ";

/// An AWS in threads of its own.
struct Fake {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `answer` gets the method and path of a request, and its body.
    fn start(answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    let (mut line, mut length, mut signed) = (String::new(), 0, String::new());
                    reader.read_line(&mut line).unwrap_or_default();
                    let request = line.rsplit_once(' ').map_or("", |(request, _)| request).to_owned();
                    loop {
                        let mut header = String::new();
                        if reader.read_line(&mut header).unwrap_or_default() <= 2 {
                            break;
                        }
                        let header = header.to_lowercase();
                        if let Some(value) = header.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                        if header.starts_with("authorization:") {
                            signed = header;
                        }
                    }
                    let mut body = vec![0; length];
                    if reader.read_exact(&mut body).is_err() {
                        return;
                    }
                    let body = String::from_utf8(body).unwrap();
                    let (status, text) = answer(&request, &body);
                    kept.lock().unwrap().push(format!("{request} {body} {signed}"));
                    let length = text.len();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nx-aws-ec2-metadata-token-ttl-seconds: 300\r\n\r\n{text}"
                    );
                    let _ = reader.get_mut().write_all(answer.as_bytes());
                });
            }
        });
        Self { port, asked }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn asked(&self, what: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.contains(what)).count()
    }
}

const TAGS: &str = "<DescribeTagsResponse><tagSet><item><key>aws:autoscaling:groupName</key><value>group</value></item>\
    <item><key>kubernetes.io/cluster/demo</key><value>owned</value></item></tagSet></DescribeTagsResponse>";
const VOLUMES: &str = "<DescribeVolumesResponse><volumeSet><item><volumeId>vol-0a</volumeId>\
    <availabilityZone>eu-west-1a</availabilityZone><attachmentSet><item><instanceId>i-1</instanceId>\
    <device>/dev/sda1</device></item></attachmentSet></item></volumeSet></DescribeVolumesResponse>";
const DENIED: &str = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to \
    perform this operation.</Message></Error></Errors></Response>";

/// Instance metadata, EC2 with `tags` as its answer, and an ECS agent.
fn aws(tags: (u16, &'static str)) -> Fake {
    Fake::start(move |request, body| match request {
        "PUT /latest/api/token" => (200, "a-token".to_owned()),
        "GET /latest/dynamic/instance-identity/document" => {
            let document = json!({"instanceId": "i-1", "instanceType": "m5.large", "region": "eu-west-1",
                "availabilityZone": "eu-west-1a", "privateIp": "10.0.0.1", "accountId": "1"});
            (200, document.to_string())
        }
        "POST /" if body.contains("Action=DescribeTags&") => (tags.0, tags.1.to_owned()),
        "POST /" if body.contains("Action=DescribeVolumes&") => (200, VOLUMES.to_owned()),
        "GET /v1/metadata" => {
            let arn = "arn:aws:ecs:eu-west-1:1:container-instance/shop/1f73";
            (200, json!({"Cluster": "shop", "ContainerInstanceArn": arn}).to_string())
        }
        "GET /v1/tasks" => {
            let task = |id: &str, status: &str| {
                json!({"Arn": format!("arn:aws:ecs:eu-west-1:1:task/shop/{id}"),
                "KnownStatus": status, "Containers": []})
            };
            (200, json!({"Tasks": [task("1f", "RUNNING"), task("2f", "STOPPED")]}).to_string())
        }
        _ => (404, String::new()),
    })
}

/// Files of a machine: `==== <path>` before the content of each.
fn lay_out(root: &Path) {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v2-first.tree");
    let text = std::fs::read_to_string(tree).unwrap();
    let files = text.split("==== ").skip(1).map(|file| file.split_once('\n').unwrap());
    let slice = "sys/fs/cgroup/ecstasks.slice/ecstasks-1f.slice";
    let more = [
        (format!("{slice}/cpu.max"), "50000 100000\n"),
        (format!("{slice}/memory.max"), "2048000000\n"),
        // Filesystems are asked where they are mounted, and there are none.
        ("proc/self/mountinfo".to_owned(), ""),
    ];
    let files = files.map(|(name, content)| (name.to_owned(), content)).chain(more);
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// The records of a batch: attributes and metrics by name, of each type the last one.
fn records(batch: &Batch) -> Value {
    let mut records = json!({});
    for resource in resources(batch) {
        let mut record = json!({});
        for attribute in resource.resource().attributes() {
            record[attribute.key] = json!(attribute.value.as_str().unwrap());
        }
        for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
            let Data::Gauge(points) = metric.data else { panic!("{} is no gauge", metric.name) };
            record[metric.name] = match points.numbers().next().unwrap().value.unwrap() {
                Number::Int(value) => json!(value),
                Number::Double(value) => json!(value),
            };
        }
        let kind = record["Type"].as_str().unwrap().to_owned();
        records[kind] = record;
    }
    records
}

#[tokio::test]
async fn a_receiver_of_this_process() {
    let Ok(config) = std::env::var(CONFIG) else { return };
    let log = LogCapture::begin();
    let until: Vec<String> = std::env::var(UNTIL).unwrap().split(' ').map(str::to_owned).collect();
    let config: Arc<Config> = Arc::new(confmap::from_yaml(&config).unwrap());
    let sink = RecordingSink::new();
    let outputs = Outputs { metrics: Some(sink.clone()), ..Outputs::default() };
    let settings = TestTelemetry::default().settings(Kind::Receiver, "awscontainerinsightreceiver");
    let receiver = factory().create(settings, &(config as component::AnyConfig), outputs).unwrap();
    let host = Host::standalone();
    receiver.start(&host).await.unwrap();
    let (mut items, mut batches) = (1, 0);
    let last = loop {
        sink.wait_for_items(items).await;
        items = sink.items() + 1;
        let last = records(sink.batches().last().unwrap());
        batches += 1;
        // Enough for whatever is repeated to be seen repeated.
        if batches >= 5 && !last[until[0].as_str()][until[1].as_str()].is_null() {
            break last;
        }
    };
    receiver.shutdown(Instant::now() + Duration::from_secs(30)).await.unwrap();
    let first = records(&sink.batches()[0]);
    let lines = log.lines().into_iter().filter(|line| line.level <= tracing::Level::INFO);
    let lines: Vec<_> =
        lines.map(|line| format!("{} {} {:?}", line.level, line.message, line.fields)).collect();
    assert!(!lines.concat().contains("HUSH"), "a secret is logged");
    println!("\n{FOUND}{}", json!({"first": first, "last": last, "log": lines}));
}

/// What a receiver with this configuration and environment makes.
fn run(yaml: &str, until: &str, env: &[(&str, &str)]) -> Value {
    run_on(|_| {}, yaml, until, env)
}

/// [`run`] on a machine whose files were changed by `change`.
fn run_on(change: impl FnOnce(&Path), yaml: &str, until: &str, env: &[(&str, &str)]) -> Value {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    change(root.path());
    let directory = |name: &str| root.path().join(name);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_receiver_of_this_process", "--nocapture"])
        .env_clear()
        .env("HOST_PROC", directory("proc"))
        .env("HOST_SYS", directory("sys"))
        .env("HOST_ROOT", root.path())
        .envs([("AWS_ACCESS_KEY_ID", "KEY"), ("AWS_SECRET_ACCESS_KEY", "HUSH-key"), ("HOME", "/nonexistent")])
        .envs([(CONFIG, yaml), (UNTIL, until)])
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(FOUND));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))))
        .unwrap()
}

/// How many lines of the log have all these words.
fn told(found: &Value, words: &[&str]) -> usize {
    let lines = found["log"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    lines.filter(|line| words.iter().all(|word| line.contains(word))).count()
}

#[test]
fn an_instance_of_ecs() {
    let aws = aws((200, TAGS));
    let (url, agent) = (aws.url(), format!("127.0.0.1:{}", aws.port));
    let found = run(
        "{container_orchestrator: ecs, collection_interval: 100ms}",
        "Instance AutoScalingGroupName",
        &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
            ("AWS_ENDPOINT_URL_EC2", &url),
            ("AWS_REGION", "us-east-1"),
            ("HOST_IP", &agent),
        ],
    );
    let instance = &found["last"]["Instance"];
    let attributes =
        ["ClusterName", "ContainerInstanceId", "InstanceId", "InstanceType"].map(|name| &instance[name]);
    assert_eq!(attributes, [&json!("shop"), &json!("1f73"), &json!("i-1"), &json!("m5.large")], "{found}");
    assert_eq!(instance["instance_number_of_running_tasks"], 1);
    // Half of one of two CPUs, a quarter of 8,192,000,000 bytes.
    assert_eq!(instance["instance_cpu_reserved_capacity"], 25.0);
    assert_eq!(instance["instance_memory_reserved_capacity"], 25.0);
    for other in ["NodeName", "kubernetes"] {
        assert!(instance[other].is_null(), "{instance}");
    }
    assert_eq!(found["last"]["InstanceNet"]["ContainerInstanceId"], "1f73", "{found}");
    assert!(found["last"]["InstanceNet"]["instance_cpu_reserved_capacity"].is_null());
    assert_eq!(told(&found, &["WARN"]), 0, "{found}");
}

#[test]
fn an_agent_that_is_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let found = run(
        "{container_orchestrator: ecs, collection_interval: 100ms, local_mode: true}",
        "Instance instance_cpu_limit",
        &[("HOST_IP", &format!("127.0.0.1:{port}"))],
    );
    let instance = &found["last"]["Instance"];
    for absent in [
        "ClusterName",
        "ContainerInstanceId",
        "InstanceId",
        "instance_cpu_reserved_capacity",
        "instance_memory_reserved_capacity",
        "instance_number_of_running_tasks",
    ] {
        assert!(instance[absent].is_null(), "{absent}: {instance}");
    }
    assert_eq!(told(&found, &["the ECS agent", "refused"]), 1, "{found}");
}

/// A hop limit of one: connections are made, and nothing comes back.
#[test]
fn metadata_that_do_not_reach_containers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let found = run(
        "{container_orchestrator: eks, collection_interval: 500ms}",
        "Node node_cpu_limit",
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url), ("HOST_NAME", "node-1")],
    );
    assert_eq!(found["first"]["Node"]["NodeName"], "node-1", "records do not wait: {found}");
    assert!(found["last"]["Node"]["InstanceId"].is_null());
    assert_eq!(
        told(&found, &["does not tell which EC2 instance this is", "hop limit is too low"]),
        1,
        "{found}"
    );
    assert_eq!(told(&found, &["the cluster's name is not known"]), 1, "{found}");
}

#[test]
fn names_of_tags() {
    let aws = aws((200, TAGS));
    let url = aws.url();
    let env = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
        ("AWS_ENDPOINT_URL", &url),
        ("AWS_REGION", "us-east-1"),
        ("HOST_NAME", "node-1"),
    ];
    let found = run("{container_orchestrator: eks, collection_interval: 200ms}", "Node ClusterName", &env);
    let node = &found["last"]["Node"];
    let attributes = ["ClusterName", "AutoScalingGroupName", "InstanceId"].map(|name| &node[name]);
    assert_eq!(attributes, [&json!("demo"), &json!("group"), &json!("i-1")], "{found}");
    assert_eq!(found["first"]["Node"]["AutoScalingGroupName"], "", "always there");
    assert_eq!(aws.asked("/eu-west-1/ec2/aws4_request"), 1, "in the instance's own region");
    assert_eq!(aws.asked("Action=DescribeTags"), 1, "what is known is not asked for again");
    assert_eq!(aws.asked("Action=DescribeVolumes"), 0, "the disk names its volume");
    assert_eq!(aws.asked("Action=DescribeInstances"), 0, "nothing is missing");

    let config =
        "{container_orchestrator: eks, cluster_name: mine, collection_interval: 200ms, local_mode: true}";
    let before = aws.asked("");
    let found = run(config, "Node ClusterName", &env);
    assert_eq!(found["last"]["Node"]["ClusterName"], "mine");
    assert_eq!(aws.asked(""), before, "nobody is asked");
}

#[test]
fn tags_that_must_not_be_read() {
    let aws = aws((403, DENIED));
    let url = aws.url();
    let found = run(
        "{container_orchestrator: eks, collection_interval: 1s}",
        "Node InstanceId",
        &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
            ("AWS_ENDPOINT_URL_EC2", &url),
            ("HOST_NAME", "node-1"),
        ],
    );
    let node = &found["last"]["Node"];
    assert!(node["ClusterName"].is_null() && node["AutoScalingGroupName"] == "", "{found}");
    assert_eq!(told(&found, &["WARN", "ec2:DescribeTags", "set the key cluster_name"]), 1, "{found}");
    assert_eq!(told(&found, &["ec2:DescribeTags"]), 1, "{found}");
}

/// Disks of Xen instances have no serial number, and a name that is not EC2's.
#[test]
fn volumes_of_a_xen_instance() {
    let aws = aws((200, TAGS));
    let url = aws.url();
    let change = |root: &Path| {
        let block = root.join("sys/block");
        std::fs::remove_dir_all(block.join("nvme1n1")).unwrap();
        std::fs::remove_dir_all(block.join("nvme0n1/device")).unwrap();
        std::fs::rename(block.join("nvme0n1"), block.join("xvda")).unwrap();
        let figures = "259:0 rbytes=1000 wbytes=2000 rios=10 wios=20 dbytes=0 dios=0\n";
        std::fs::write(root.join("sys/fs/cgroup/io.stat"), figures).unwrap();
    };
    let found = run_on(
        change,
        "{container_orchestrator: eks, collection_interval: 200ms}",
        "NodeDiskIO EBSVolumeId",
        &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
            ("AWS_ENDPOINT_URL_EC2", &url),
            ("HOST_NAME", "node-1"),
        ],
    );
    let disk = &found["last"]["NodeDiskIO"];
    let attributes = ["device", "EBSVolumeId"].map(|name| &disk[name]);
    assert_eq!(attributes, [&json!("/dev/xvda"), &json!("aws://eu-west-1a/vol-0a")], "{found}");
    assert!(aws.asked("Filter.1.Name=attachment.instance-id&Filter.1.Value.1=i-1") >= 1);
}
