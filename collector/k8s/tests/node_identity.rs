//! The node asks a real HTTP server who it is.

#![allow(clippy::unwrap_used, reason = "a test")]

use k8s::{ApiServer, ApiServerConfig, Credentials, Error, NodeIdentity};
use testkit::FakeApiServer;

const NODE: &str = r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"ip-10-0-1-20.ec2.internal","labels":
    {"node.kubernetes.io/instance-type":"m6i.large","topology.kubernetes.io/region":"us-east-1"}},
    "spec":{"providerID":"aws:///us-east-1b/i-0aa11bb22cc33dd44"},
    "status":{"addresses":[{"type":"InternalIP","address":"10.0.1.20"}],"images":[]}}"#;

fn client(server: &FakeApiServer) -> ApiServer {
    let mut config = ApiServerConfig::new(server.url().parse().unwrap());
    config.credentials = Credentials::Token(confmap::Secret::new("token"));
    ApiServer::new(config).unwrap()
}

#[tokio::test]
async fn the_node_object_tells_which_instance_it_is() {
    let server = FakeApiServer::start().await;
    server.answer("/api/v1/nodes/ip-10-0-1-20.ec2.internal", 200, NODE);
    let identity = client(&server).node("ip-10-0-1-20.ec2.internal").await.unwrap();
    let expected = NodeIdentity {
        instance_id: Some("i-0aa11bb22cc33dd44".into()),
        instance_type: Some("m6i.large".into()),
        region: Some("us-east-1".into()),
        availability_zone: Some("us-east-1b".into()),
        private_ip: Some("10.0.1.20".into()),
    };
    assert_eq!(identity, expected);

    let [request] = server.requests().try_into().unwrap();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("GET", "/api/v1/nodes/ip-10-0-1-20.ec2.internal")
    );
    assert_eq!(request.header("authorization"), Some("Bearer token"));
}

#[tokio::test]
async fn a_missing_permission_names_the_remedy() {
    let server = FakeApiServer::start().await;
    server.forbid("/api/v1/nodes/node-1", "nodes \"node-1\" is forbidden");
    let error = client(&server).node("node-1").await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "may not read node \"node-1\": allow the service account `get` on `nodes` (nodes \"node-1\" is forbidden)"
    );
}

#[tokio::test]
async fn other_answers_are_told_apart() {
    let server = FakeApiServer::start().await;
    server.answer("/api/v1/nodes/html", 200, "<html>");
    server.answer("/api/v1/nodes/broken", 500, "oops");
    server.answer("/api/v1/nodes/long", 200, &" ".repeat(5 * 1024 * 1024));
    let client = client(&server);
    let error = client.node("node-2").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no node \"node-2\": HOST_NAME must be spec.nodeName");
    let error = client.node("html").await.unwrap_err();
    assert!(matches!(error, Error::Malformed(_)), "{error:?}");
    let error = client.node("broken").await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 500, .. }), "{error:?}");
    let error = client.node("long").await.unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error:?}");
    let error = client.node("").await.unwrap_err();
    assert!(matches!(error, Error::Name { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let config = ApiServerConfig::new("http://127.0.0.1:9".parse().unwrap());
    let error = ApiServer::new(config).unwrap().node("node-1").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
}
