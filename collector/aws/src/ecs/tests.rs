//! What ECS says, and what it does when it does not work.

use super::*;
use crate::testing::{Answer, Asked, Fake};
use component::causes;

/// From the documentation of the endpoint of version 4, shortened.
const TASK: &str = r#"{"Cluster":"default","TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/158d",
"Family":"curltest","Revision":"26","DesiredStatus":"RUNNING","KnownStatus":"RUNNING","PullStartedAt":"2020-10-02T00:43:06Z",
"AvailabilityZone":"us-west-2d","VPCID":"vpc-1","LaunchType":"EC2","Limits":{"CPU":0.25,"Memory":null},
"Containers":[{"DockerId":"598c","Name":"~internal~ecs~pause","DockerName":"d","Type":"CNI_PAUSE","KnownStatus":"RESOURCES_PROVISIONED",
"Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.2.61"]}]},
{"DockerId":"ea32","Name":"curl","DockerName":"e","Image":"i:latest","ImageID":"sha256:1","Type":"NORMAL","KnownStatus":"RUNNING",
"LogDriver":"awslogs","LogOptions":{"awslogs-create-group":"true","awslogs-group":"/ecs/metadata","awslogs-region":"us-west-2",
"awslogs-stream":"ecs/curl/8f"},"ContainerARN":"arn:aws:ecs:us-west-2:111122223333:container/05"}]}"#;

const TASKS: &str = r#"{"Tasks":[{"Arn":"arn:aws:ecs:us-east-1:1:task/example5-58ff","DesiredStatus":"RUNNING",
"KnownStatus":"RUNNING","Family":"console-sample-app","Version":"1","Containers":[{"DockerId":"9581","DockerName":"d",
"Name":"app"},{"dockerid":"bf25"},{}]},{"arn":"arn:aws:ecs:us-east-1:1:task/c/1f","KnownStatus":"STOPPED","Containers":null}]}"#;

#[tokio::test]
async fn a_task_and_its_container() {
    let fake = Fake::start(|asked: &Asked| -> Answer {
        match asked.line.as_str() {
            "GET /v4/id/task HTTP/1.1" => (200, "", TASK.into()),
            "GET /v4/id HTTP/1.1" => (200, "", r#"{"DockerId":"ea32","Name":"curl"}"#.into()),
            _ => (404, "", String::new()),
        }
    });
    let metadata = TaskMetadata::new(format!("{}/v4/id/", fake.url())).unwrap();
    let task = metadata.task().await.unwrap();
    let [pause, curl] = &task.containers[..] else { panic!("{task:?}") };
    assert_eq!(
        (task.cluster.as_str(), task.family.as_str(), task.revision.as_str()),
        ("default", "curltest", "26")
    );
    assert_eq!((task.launch_type.as_str(), task.availability_zone.as_str()), ("EC2", "us-west-2d"));
    assert_eq!(task.arn, "arn:aws:ecs:us-west-2:111122223333:task/default/158d");
    assert_eq!((pause.container_type.as_str(), pause.log_driver.as_str()), ("CNI_PAUSE", ""));
    assert_eq!((curl.container_type.as_str(), curl.known_status.as_str()), ("NORMAL", "RUNNING"));
    let LogOptions { group, region, stream } = &curl.log_options;
    assert_eq!([group, region, stream], ["/ecs/metadata", "us-west-2", "ecs/curl/8f"]);
    assert_eq!(metadata.container().await.unwrap().docker_id, "ea32");
}

#[test]
fn where_a_task_runs() {
    let check = |document: &str, expected: Option<&str>| {
        let task = Task::from_json(document.as_bytes()).unwrap();
        assert_eq!(task.region().as_deref(), expected, "{document}");
    };
    check(
        r#"{"TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/1","AvailabilityZone":"us-east-1d"}"#,
        Some("us-west-2"),
    );
    check(r#"{"AvailabilityZone":"us-west-2d","Cluster":"c"}"#, Some("us-west-2"));
    check(r#"{"TaskARN":"arn","AvailabilityZone":""}"#, None);
    check("{}", None);
}

#[test]
fn container_instances() {
    let check = |document: &str, cluster: &str, id: &str| {
        let found = ContainerInstance::from_json(document.as_bytes()).unwrap();
        assert_eq!((found.cluster.as_str(), found.id.as_str()), (cluster, id), "{document}");
    };
    check(
        r#"{"Cluster":"c","ContainerInstanceArn":"arn:aws:ecs:r:1:container-instance/1f73","Version":"Amazon ECS"}"#,
        "c",
        "1f73",
    );
    check(
        r#"{"cluster":"c","containerInstanceARN":"arn:aws:ecs:r:1:container-instance/c/1f73"}"#,
        "c",
        "1f73",
    );
    check(r#"{"Cluster":"c","ContainerInstanceArn":null}"#, "c", "");
    for arn in ["", "x", "arn:aws:ecs:r:1", "arn:aws:ecs:r:1:", "arn:aws:ecs:r:1:/", "arn:aws:ecs:r:1:a/"] {
        check(&format!(r#"{{"Cluster":"","ContainerInstanceArn":"{arn}"}}"#), "", "");
    }
}

#[test]
fn tasks_of_an_agent() {
    let [running, stopped] = &AgentTask::list_from_json(TASKS.as_bytes()).unwrap()[..] else {
        panic!("two tasks")
    };
    assert_eq!((running.id(), running.known_status.as_str()), (Some("example5-58ff"), "RUNNING"));
    assert_eq!(running.docker_ids, ["9581", "bf25"]);
    assert_eq!((stopped.id(), stopped.docker_ids.len()), (Some("1f"), 0));
    assert_eq!(AgentTask::list_from_json(br#"{"Tasks":null}"#).unwrap(), []);
    for broken in ["", "[]", r#"{"Tasks":{}}"#, r#"{"Tasks":[{"Arn":1}]}"#, r#"{"Tasks":[]}x"#] {
        AgentTask::list_from_json(broken.as_bytes()).unwrap_err();
    }
}

#[tokio::test]
async fn an_agent_that_does_not_work() {
    async fn check(answer: Answer, expected: &str) {
        let fake = Fake::start(move |_: &Asked| answer.clone());
        let agent = Agent::new(&format!("127.0.0.1:{}", fake.port)).unwrap();
        let error = causes(&agent.tasks().await.unwrap_err());
        assert!(error.replace(&fake.url(), "").contains(expected), "{error}");
        agent.container_instance().await.unwrap_err();
    }
    check((500, "", "no".into()), "/v1/tasks answers with status 500").await;
    // Redirections are not followed, and no content is none.
    check((204, "", String::new()), "/v1/tasks answers with status 204").await;
    check((200, "", "<html>".into()), "the answer of /v1/tasks is malformed: expected value").await;
    check((200, "", r#"{"Tasks":[{"#.into()), "the answer of /v1/tasks is malformed: EOF").await;
    let large = format!(r#"{{"Tasks":[],"x":"{}"}}"#, "y".repeat(5 << 20));
    check((200, "", large), "the answer is larger than 5242879 bytes").await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = Agent::new(&listener.local_addr().unwrap().to_string()).unwrap();
    let start = tokio::time::Instant::now();
    let error = agent.tasks().await.unwrap_err();
    assert!(matches!(error, EcsError::Slow { .. }), "{error:?}");
    assert_eq!(start.elapsed(), AGENT_TIMEOUT);
}

#[test]
fn where_agents_are() {
    let check = |address: &str, expected: &str| {
        let url = Agent::new(address).map_or_else(|error| error.to_string(), |agent| agent.url);
        assert_eq!(url, expected, "{address}");
    };
    check("10.0.0.1", "http://10.0.0.1:51678");
    check("fd00::1", "http://[fd00::1]:51678");
    check("10.0.0.1:80", "http://10.0.0.1:80");
    check("", "\"http://\" is no URL of ECS");
    check("a b", "\"http://a b\" is no URL of ECS");
    assert!(TaskMetadata::new("https://x".into()).is_err());
    assert!(TaskMetadata::new("http://x?y".into()).is_err());
}
