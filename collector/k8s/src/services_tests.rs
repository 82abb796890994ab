//! With an API server that answers as it is told to.

use std::collections::BTreeSet;

use component::Host;
use serde_json::json;
use testkit::{FakeApiServer, Fault};
use tokio::time::{Instant, sleep};

use super::*;
use crate::row::Row;
use crate::{ApiServer, ApiServerConfig, Interner};

const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const ENDPOINTS: &str = "/api/v1/endpoints";

fn services(server: &FakeApiServer) -> Services {
    Services::watch(&watches(server), Scope::all())
}

fn found(services: &Services) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    services.for_each(|namespace, service, pods| {
        for pod in pods {
            found.insert(format!("{namespace}/{service}: {}", pod.name));
        }
    });
    found
}

/// Settles again and again, as collections do, until something is found.
async fn settle_until(services: &Services, expected: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while !found(services).contains(expected) {
        services.settle().await;
        sleep(Duration::from_millis(10)).await;
        assert!(Instant::now() < end, "{:?}", found(services));
    }
}

#[tokio::test]
async fn old_api_servers_are_asked_for_endpoints() {
    let server = FakeApiServer::start().await;
    let pod =
        |name: &str| json!({"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "namespace": "ns", "name": name}});
    server.put(
        ENDPOINTS,
        json!({"metadata": {"name": "web", "namespace": "ns"},
               "subsets": [{"addresses": [pod("ready")], "notReadyAddresses": [pod("waits")]}]}),
    );
    let services = services(&server);
    settle_until(&services, "ns/web: ready").await;
    assert_eq!(found(&services).len(), 1, "those that are not ready do not count");
    // What was not there is no longer asked for.
    let asked = || server.requests().iter().filter(|request| request.path.starts_with(DISCOVERY)).count();
    let before = asked();
    for _ in 0..10 {
        services.settle().await;
    }
    assert_eq!(asked(), before);
}

#[tokio::test]
async fn a_refusal_is_no_reason_to_ask_for_endpoints() {
    let server = FakeApiServer::start().await;
    server.answer(DISCOVERY, 200, "{}");
    server.fail(SLICES, Fault::Status(403));
    let services = services(&server);
    let end = Instant::now() + Duration::from_secs(20);
    while !services.lock().settled {
        services.settle().await;
        sleep(Duration::from_millis(10)).await;
        assert!(Instant::now() < end);
    }
    assert!(matches!(services.lock().behind, Behind::Slices(_)));
    assert!(!server.requests().iter().any(|request| request.path.starts_with(ENDPOINTS)));
}

#[tokio::test]
async fn slices_that_can_be_listed_are_not_asked_about() {
    let server = FakeApiServer::start().await;
    let endpoint = json!({"targetRef": {"kind": "Pod", "namespace": "ns", "name": "pod"}});
    server.put(SLICES, json!({"metadata": {"name": "a", "namespace": "ns"}, "endpoints": [endpoint]}));
    let services = services(&server);
    settle_until(&services, "ns/a: pod").await;
    assert!(!server.requests().iter().any(|request| request.path == DISCOVERY));
}

/// Pods in their namespaces, each `namespace/name`.
fn pods(names: &[&str]) -> Vec<Pod> {
    let pod = |name: &&str| {
        let (namespace, name) = name.split_once('/').unwrap();
        let json = json!({"metadata": {"namespace": namespace, "name": name}}).to_string();
        Pod::from_json(json.as_bytes(), &Projection::default(), &Interner::default()).unwrap().row
    };
    names.iter().map(pod).collect()
}

/// Puts a service in front of a pod.
fn put(server: &FakeApiServer, service: &str, pod: &str) {
    let (namespace, name) = pod.split_once('/').unwrap();
    let endpoint = json!({"targetRef": {"kind": "Pod", "namespace": namespace, "name": name}});
    let slice = json!({"metadata": {"name": service, "namespace": namespace}, "endpoints": [endpoint]});
    server.put(SLICES, slice);
}

fn watches(server: &FakeApiServer) -> Watches {
    let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
    Watches::new(api, &Host::standalone())
}

fn names(found: Vec<Option<Name>>) -> Vec<String> {
    found.iter().map(|name| name.as_deref().unwrap_or("-").to_owned()).collect()
}

/// Whether the slices of the whole cluster were asked for.
fn asked_for_all(server: &FakeApiServer) -> bool {
    server.requests().iter().any(|request| request.path.starts_with(SLICES))
}

fn asked_for(server: &FakeApiServer, namespace: &str) -> bool {
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    server.requests().iter().any(|request| request.path.starts_with(&path))
}

#[tokio::test]
async fn only_the_namespaces_of_the_nodes_pods_are_watched() {
    let server = FakeApiServer::start().await;
    put(&server, "web", "own/of-own");
    put(&server, "web", "other/of-other");
    let services = NodeServices::new(&watches(&server));
    let both = pods(&["own/of-own", "other/of-other"]);
    let (own, other) = (&both[..1], &both[1..]);
    assert!(services.follow(own, None), "news");
    services.synced().await;
    assert!(!services.follow(own, None));
    assert_eq!(names(services.of(&both)), ["web", "-"]);
    assert!(!asked_for_all(&server) && !asked_for(&server, "other"), "{:?}", server.requests());

    // A pod in another namespace comes, the first one goes.
    assert!(services.follow(other, None));
    services.synced().await;
    assert_eq!(names(services.of(&both)), ["web", "web"]);
    for _ in 0..LINGER {
        services.follow(other, None);
    }
    assert_eq!(names(services.of(&both)), ["-", "web"]);

    // Very many namespaces are one watch.
    let many: Vec<String> = (0..=MOST_NAMESPACES).map(|number| format!("ns-{number}/pod")).collect();
    let many = pods(&many.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..=LINGER + 1 {
        services.follow(&many, None);
    }
    assert_eq!(services.lock().keys().collect::<Vec<_>>(), [&None]);
}

#[tokio::test]
async fn of_several_services_the_first_by_name() {
    let server = FakeApiServer::start().await;
    for service in ["web-b", "web-a", "web-c"] {
        put(&server, service, "shop/web");
    }
    put(&server, "a", "shop/elsewhere");
    let services = NodeServices::new(&watches(&server));
    // The second was started anew under its name.
    let pods = pods(&["shop/web", "jobs/web", "shop/web"]);
    services.follow(&pods, None);
    services.synced().await;
    assert_eq!(names(services.of(&pods)), ["web-a", "-", "web-a"]);
    assert!(services.of(&[]).is_empty());
}

#[tokio::test]
async fn what_is_watched_of_the_cluster_is_not_watched_again() {
    let server = FakeApiServer::start().await;
    put(&server, "web", "own/pod");
    let watches = watches(&server);
    let services = NodeServices::new(&watches);
    let pods = pods(&["own/pod"]);
    let cluster = Arc::new(Services::watch(&watches, Scope::all()));
    cluster.synced().await;
    services.follow(&pods, Some(&cluster));
    assert_eq!(names(services.of(&pods)), ["web"]);
    assert!(!asked_for(&server, "own"));

    // It is no longer there: what it knew stays until it is known otherwise.
    drop(cluster);
    server.fail("/apis/discovery.k8s.io/v1/namespaces/own/endpointslices", Fault::Status(503));
    for _ in 0..=LINGER {
        services.follow(&pods, None);
        assert_eq!(names(services.of(&pods)), ["web"]);
    }
    assert_eq!(services.lock().len(), 2);
}

#[tokio::test]
async fn the_cluster_is_let_go_when_the_namespaces_are_known() {
    let server = FakeApiServer::start().await;
    put(&server, "web", "own/pod");
    let watches = watches(&server);
    let services = NodeServices::new(&watches);
    let pods = pods(&["own/pod"]);
    // As long as nothing is known of the cluster, the namespaces are watched.
    let cluster = Arc::new(Services::watch(&watches, Scope::all()));
    assert!(!cluster.is_synced());
    services.follow(&pods, Some(&cluster));
    assert_eq!(services.lock().len(), 1);
    cluster.synced().await;
    services.follow(&pods, Some(&cluster));
    assert_eq!(services.lock().len(), 2);
    services.synced().await;
    for _ in 0..=LINGER {
        services.follow(&pods, None);
    }
    assert_eq!(services.lock().keys().flatten().map(|name| &**name).collect::<Vec<_>>(), ["own"]);
    assert_eq!(Arc::strong_count(&cluster), 1);
    assert_eq!(names(services.of(&pods)), ["web"]);
}

#[tokio::test]
async fn the_api_server_is_asked_once_for_all_namespaces() {
    let server = FakeApiServer::start().await;
    for namespace in ["one", "two", "three"] {
        let pod = json!({"targetRef": {"kind": "Pod", "namespace": namespace, "name": "pod"}});
        server.put(
            ENDPOINTS,
            json!({"metadata": {"name": namespace, "namespace": namespace}, "subsets": [{"addresses": [pod]}]}),
        );
    }
    let services = NodeServices::new(&watches(&server));
    let pods = pods(&["one/pod", "two/pod", "three/pod"]);
    services.follow(&pods, None);
    let end = Instant::now() + Duration::from_secs(20);
    while !services.all().iter().all(|services| services.is_in_doubt()) {
        sleep(Duration::from_millis(10)).await;
        assert!(Instant::now() < end);
    }
    services.settle().await;
    services.synced().await;
    assert_eq!(names(services.of(&pods)), ["one", "two", "three"]);
    let questions = server.requests().iter().filter(|request| request.path == DISCOVERY).count();
    assert_eq!(questions, 1);
}
