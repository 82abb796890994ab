//! The kubelet over a real socket.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use k8s::{Error, Interner, Kubelet, KubeletConfig, Projection};
use testkit::{FakeApiServer, Fault};

fn kubelet(server: &FakeApiServer, token: &std::path::Path) -> Kubelet {
    let config = KubeletConfig {
        token_file: Some(token.to_owned()),
        ca_file: None,
        timeout: Duration::from_secs(3),
        ..KubeletConfig::new(server.url())
    };
    Kubelet::new(config).unwrap()
}

fn token() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret").unwrap();
    file
}

#[tokio::test]
async fn the_pods_of_the_node() {
    let server = FakeApiServer::start().await;
    let pod = |n: usize| {
        format!(r#"{{"metadata":{{"name":"pod-{n}","namespace":"ns"}},"status":{{"phase":"Running"}}}}"#)
    };
    let pods: Vec<String> = (0..5000).map(pod).collect();
    server.answer(
        "/pods",
        200,
        &format!(r#"{{"kind":"PodList","metadata":{{}},"items":[{}]}}"#, pods.join(",")),
    );
    let token = token();
    let found = kubelet(&server, token.path()).pods(&Projection::all(), &Interner::default()).await.unwrap();
    assert_eq!((found.len(), &*found[4999].meta.name), (5000, "pod-4999"));
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer secret"));
}

#[tokio::test]
async fn statistics() {
    let server = FakeApiServer::start().await;
    server.answer("/stats/summary", 200, r#"{"node":{"nodeName":"n"},"pods":[]}"#);
    assert_eq!(kubelet(&server, token().path()).stats().await.unwrap().node.node_name, "n");
}

#[tokio::test]
async fn failures_are_told_apart() {
    let server = FakeApiServer::start().await;
    let token = token();
    let kubelet = kubelet(&server, token.path());
    let asked = async |fault| {
        server.fail("/pods", fault);
        let error = kubelet.pods(&Projection::all(), &Interner::default()).await.unwrap_err();
        server.heal();
        error
    };
    let denied = asked(Fault::Status(403)).await;
    assert_eq!(
        denied.to_string(),
        "may not get nodes/proxy (403): allow the service account `get` on `nodes/proxy` (told to fail)"
    );
    assert!(matches!(asked(Fault::Status(401)).await, Error::Denied { status: 401, .. }));
    assert_eq!(server.requests().len(), 2, "not asked again");
    assert!(matches!(asked(Fault::Status(500)).await, Error::Status { status: 500, .. }));
    assert_eq!(server.requests().len(), 5, "asked three times");
    assert_eq!(
        asked(Fault::Html).await.to_string(),
        "not JSON at byte 0: \"<html><body>Log in</body></html>\""
    );
    assert!(matches!(asked(Fault::Hang).await, Error::Timeout(_)));
    server.answer("/pods", 200, r#"{"items":[{"metadata":{}},{"metada"#);
    let cut = kubelet.pods(&Projection::all(), &Interner::default()).await.unwrap_err();
    assert!(matches!(cut, Error::CutOff { .. }), "{cut}");
}

#[tokio::test]
async fn unusable_settings_are_named() {
    let config = KubeletConfig { token_file: None, ca_file: None, ..KubeletConfig::new("http://a b") };
    let error = Kubelet::new(config).err().unwrap();
    assert_eq!(error.to_string(), "unusable address of the kubelet: \"http://a b\": invalid uri character");
    let config = KubeletConfig {
        token_file: Some("/does/not/exist".into()),
        ca_file: None,
        ..KubeletConfig::new("n")
    };
    assert!(matches!(Kubelet::new(config), Err(Error::Client(_))));
}
