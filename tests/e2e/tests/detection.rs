//! Resource detection and the EC2 tagger in the binary, on a platform that answers for EC2, ECS and an API server.

#![allow(clippy::unwrap_used, reason = "a test program")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use e2e::{Collector, free_address, request};

const IDENTITY: &str = r#"{"accountId":"111122223333","instanceId":"i-0abc","instanceType":"m5.large","region":"us-west-2",
    "availabilityZone":"us-west-2a","privateIp":"10.0.0.1","imageId":"ami-1","architecture":"x86_64"}"#;
const TASK: &str = r#"{"Cluster":"c1","TaskARN":"arn:aws-cn:ecs:cn-north-1:1:task/c1/abc","Family":"f","Revision":"1",
    "LaunchType":"EC2","Containers":[]}"#;
const TAGS: &str = "<DescribeTagsResponse><tagSet><item><key>aws:autoscaling:groupName</key><value>asg</value></item>\
                    <item><key>team</key><value>t</value></item>\
                    <item><key>kubernetes.io/cluster/c1</key><value>owned</value></item></tagSet></DescribeTagsResponse>";
const POINT: &str = r#"{"resourceMetrics": [{"resource": {"attributes": [{"key": "app", "value": {"stringValue": "a"}}]},
    "scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [{"asInt": "1", "timeUnixNano": "1",
    "attributes": [{"key": "host", "value": {"stringValue": "h"}}]}]}}]}]}]}"#;

/// Answers until the program ends.
fn platform() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Who goes away asks again.
            std::thread::spawn(move || drop(serve(stream)));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        length =
            header.strip_prefix("content-length:").map_or(length, |value| value.trim().parse().unwrap_or(0));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    // To a proxy, the whole address is said.
    let line = line.replacen("http://ec2.invalid", "", 1);
    let question =
        format!("{} {}", line.rsplit_once(' ').unwrap_or_default().0, String::from_utf8_lossy(&body));
    let (status, answer) = match question.as_str().trim_end() {
        "PUT /latest/api/token" => (200, "token"),
        "GET /latest/dynamic/instance-identity/document" => (200, IDENTITY),
        "GET /latest/meta-data/hostname" => (200, "ip-10-0-0-1.internal"),
        "GET /v4/task" => (200, TASK),
        "GET /v4" => (200, r#"{"DockerId":"self"}"#),
        "GET /api/v1/nodes/n1" => (200, r#"{"metadata":{"name":"n1","uid":"node-uid"}}"#),
        "GET /api/v1/namespaces/kube-system" => (200, r#"{"metadata":{"uid":"cluster-uid"}}"#),
        text if text.starts_with("POST / ") && text.contains("Action=DescribeTags") => (200, TAGS),
        _ => (404, "{}"),
    };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\
         connection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn yaml(http: SocketAddr, processors: &str, names: &str) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{http}'}}}}}}}}\n{processors}\n\
         exporters: {{debug: {{verbosity: detailed}}}}\n\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
         metrics: {{receivers: [otlp], processors: [{names}], exporters: [debug]}}\n"
    )
}

#[test]
fn a_task_on_an_instance_in_a_cluster() {
    let (platform, http) = (format!("http://{}", platform()), free_address().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{name: c, cluster: {{server: '{platform}'}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let processors = format!(
        "processors:\n  resource_detection:\n    detectors: [env, ecs, ec2, k8s_api]\n    fail_on_error: true\n    \
         timeout: 30s\n    ec2: {{tags: [team]}}\n    k8s_api: {{auth_type: kubeConfig, kube_config_path: {}}}\n  \
         ec2tagger: {{ec2_metadata_tags: [InstanceId], ec2_instance_tag_keys: [AutoScalingGroupName], wait_for_tags: 30s}}\n",
        kubeconfig.display()
    );
    let yaml = yaml(http, &processors, "resource_detection, ec2tagger");
    let endpoint = format!("{platform}/v4");
    let environment = [
        ("AWS_EC2_METADATA_DISABLED", None),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Some(platform.as_str())),
        ("AWS_ENDPOINT_URL_EC2", Some(platform.as_str())),
        ("ECS_CONTAINER_METADATA_URI_V4", Some(endpoint.as_str())),
        ("K8S_NODE_NAME", Some("n1")),
        ("OTEL_RESOURCE_ATTRIBUTES", Some("team=a%20b")),
    ];
    let config = format!("yaml:{yaml}");
    let log = detected(http, &config, &environment);
    for attribute in [
        "SchemaURL: https://opentelemetry.io/schemas/1.40.0",
        "app: Str(a)",
        "team: Str(a b)",
        "cloud.platform: Str(aws_ecs)",
        "aws.ecs.cluster.arn: Str(arn:aws-cn:ecs:cn-north-1:1:cluster/c1)",
        "cloud.region: Str(cn-north-1)",
        "host.id: Str(i-0abc)",
        "host.name: Str(ip-10-0-0-1.internal)",
        "ec2.tag.team: Str(t)",
        "k8s.node.uid: Str(node-uid)",
        "k8s.cluster.uid: Str(cluster-uid)",
        "AutoScalingGroupName: Str(asg)",
        "InstanceId: Str(i-0abc)",
    ] {
        assert!(log.contains(attribute), "{attribute} is not in\n{log}");
    }
    assert!(!log.contains("-> host: "), "{log}");
}

/// What a collector shows of a point that is sent to `http`.
fn detected(http: SocketAddr, config: &str, environment: &[(&str, Option<&str>)]) -> String {
    let collector = Collector::start_with(&["--config", config], environment).unwrap();
    collector.wait_for_log("Everything is ready").unwrap();
    let json = [("content-type", "application/json")];
    assert_eq!(request(http, "POST", "/v1/metrics", &json, POINT.as_bytes()).unwrap().status, 200);
    let log = collector.wait_for_log("Value: 1").unwrap();
    assert_eq!(collector.stop().unwrap(), Some(0));
    log
}

/// What the CloudWatch agent detects where nothing else is configured, with the EC2 API behind a proxy.
#[test]
fn the_default_of_the_cloudwatch_agent_and_a_proxy() {
    let (platform, http) = (format!("http://{}", platform()), free_address().unwrap());
    let processors = format!(
        "processors:\n  resourcedetection:\n    detectors: [eks, env, ec2]\n    override: true\n    timeout: 30s\n    \
         proxy_url: {platform}\n    fail_on_error: true\n    \
         ec2: {{tags: ['^kubernetes.io/cluster/.*$$', '^aws:autoscaling:groupName']}}\n"
    );
    let environment = [
        ("AWS_EC2_METADATA_DISABLED", None),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Some(platform.as_str())),
        ("AWS_ENDPOINT_URL_EC2", Some("http://ec2.invalid")),
        ("OTEL_RESOURCE_ATTRIBUTES", Some("app=b")),
    ];
    let config = format!("yaml:{}", yaml(http, &processors, "resourcedetection"));
    let log = detected(http, &config, &environment);
    for attribute in [
        "app: Str(b)",
        "cloud.platform: Str(aws_ec2)",
        "host.id: Str(i-0abc)",
        "ec2.tag.kubernetes.io/cluster/c1: Str(owned)",
        "ec2.tag.aws:autoscaling:groupName: Str(asg)",
    ] {
        assert!(log.contains(attribute), "{attribute} is not in\n{log}");
    }
    assert!(!log.contains("ec2.tag.team") && !log.contains("app: Str(a)"), "{log}");
}

#[test]
fn a_detector_that_fails_ends_the_collector_if_it_is_told_to() {
    let processors = |strict: bool| {
        format!(
            "processors:\n  resource_detection:\n    detectors: [env, k8s_api]\n    fail_on_error: {strict}\n    \
             k8s_api: {{auth_type: kubeConfig, kube_config_path: /nonexistent, node_from_env_var: HOME}}\n"
        )
    };
    let address = free_address().unwrap();
    let lenient = Collector::with_yaml(&yaml(address, &processors(false), "resource_detection")).unwrap();
    let log = lenient.wait_for_log("in the variable HOME is no node's name").unwrap();
    assert!(log.contains("warn"), "{log}");
    assert_eq!(lenient.stop().unwrap(), Some(0));
    let config = format!("yaml:{}", yaml(address, &processors(true), "resource_detection"));
    let strict = e2e::run(&["--config", &config]).unwrap();
    assert_ne!(strict.code, Some(0));
    assert!(strict.stderr.contains("failed to detect resource attributes: k8s_api: "), "{}", strict.stderr);
}
