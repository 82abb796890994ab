use std::sync::Arc;
use std::time::Duration;

use component::Host;
use testkit::{FakeApiServer, Fault, LogCapture};
use tokio::time::{Instant, sleep};

use super::{Scope, Watched, Watches};
use crate::row::{Pod, ReplicaSet};
use crate::test_support::{PODS, api, pod, until};
use crate::{Keys, Projection};

struct Fixture {
    server: Arc<FakeApiServer>,
    host: Host,
    watches: Watches,
}

impl Fixture {
    async fn new() -> Self {
        let server = Arc::new(FakeApiServer::start().await);
        server.serve(PODS);
        let host = Host::standalone();
        Self { watches: Watches::new(api(&server), &host), host, server }
    }

    fn put(&self, name: &str, node: &str) {
        self.server.put(PODS, pod(name, node, "web"));
    }

    fn watch(&self) -> Watched<Pod> {
        self.watches.watch(&Scope::all(), &Projection::default())
    }

    fn paths(&self) -> Vec<String> {
        self.server.requests().into_iter().map(|request| request.path).collect()
    }
}

/// `name@node` of all pods.
fn rows(pods: &Watched<Pod>) -> Vec<String> {
    let mut rows = Vec::new();
    pods.for_each(|pod| rows.push(format!("{}@{}", pod.meta.name, pod.node.as_deref().unwrap_or_default())));
    rows.sort();
    rows
}

async fn until_rows(pods: &Watched<Pod>, expected: &[&str]) {
    until(&format!("{expected:?}"), || rows(pods) == expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_then_changes() {
    let f = Fixture::new().await;
    f.put("a", "n1");
    f.put("b", "n1");
    let pods = f.watch();
    assert!(!pods.is_synced());
    pods.synced().await;
    assert_eq!(rows(&pods), ["a@n1", "b@n1"]);
    f.put("a", "n2");
    f.put("c", "n1");
    f.server.remove(PODS, "default", "b");
    until_rows(&pods, &["a@n2", "c@n1"]).await;
    let [path] = f.paths().try_into().unwrap();
    let seconds = path.split("timeoutSeconds=").nth(1).unwrap().split('&').next().unwrap();
    assert!((300..600).contains(&seconds.parse().unwrap()), "{path}");
    assert_eq!(
        path.replace(seconds, "S"),
        "/api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds=S&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion="
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_stream_lists_is_asked_for_pages() {
    let f = Fixture::new().await;
    f.server.refuse_streamed_lists();
    for n in 0..1200 {
        f.put(&format!("pod-{n}"), "n1");
    }
    let pods = f.watch();
    pods.synced().await;
    assert_eq!(pods.len(), 1200);
    f.put("late", "n1");
    until("the late pod", || pods.len() == 1201).await;
    let paths = f.paths();
    assert_eq!(
        paths[1..4],
        [
            "/api/v1/pods?limit=500&resourceVersion=0",
            "/api/v1/pods?limit=500&continue=500",
            "/api/v1/pods?limit=500&continue=1000"
        ]
    );
    assert!(paths[4].ends_with("&resourceVersion=1300"), "{}", paths[4]);
    assert_eq!(paths.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_cut_watch_goes_on_where_it_was() {
    let f = Fixture::new().await;
    f.put("a", "n1");
    let pods = f.watch();
    pods.synced().await;
    let mut changes = pods.subscribe();
    assert!(changes.next().await.resync);
    f.server.cut_watches();
    f.put("b", "n1");
    f.server.remove(PODS, "default", "a");
    until_rows(&pods, &["b@n1"]).await;
    assert!(f.paths()[1].ends_with("&resourceVersion=101"), "{:?}", f.paths());
    assert_eq!(changes.next().await.list.len(), 2);
    assert_eq!(pods.stats().lists, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_is_listed_anew_and_the_deleted_go() {
    let f = Fixture::new().await;
    f.put("a", "n1");
    f.put("b", "n1");
    let pods = f.watch();
    pods.synced().await;
    f.server.end_watches();
    f.server.remove(PODS, "default", "a");
    f.put("c", "n1");
    f.server.compact();
    until_rows(&pods, &["b@n1", "c@n1"]).await;
    let paths = f.paths();
    assert!(paths[1].ends_with("&resourceVersion=102"), "{paths:?}");
    assert!(paths[2].contains("sendInitialEvents=true"), "{paths:?}");
    assert!(pods.is_synced());
}

#[tokio::test(start_paused = true)]
async fn bookmarks_spare_the_list() {
    let f = Fixture::new().await;
    let sets = "/apis/apps/v1/replicasets";
    f.put("a", "n1");
    let pods = f.watch();
    pods.synced().await;
    for n in 0..10 {
        f.server.put(sets, pod(&format!("other-{n}"), "", ""));
    }
    f.server.compact();
    f.server.bookmark();
    sleep(Duration::from_secs(1)).await;
    f.server.end_watches();
    f.put("b", "n1");
    until_rows(&pods, &["a@n1", "b@n1"]).await;
    assert_eq!(pods.stats().lists, 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_told_once_and_others_go_on() {
    let logs = LogCapture::begin();
    let f = Fixture::new().await;
    f.put("a", "n1");
    f.server.fail("/apis/apps", Fault::Status(403));
    let sets = f.watches.watch::<ReplicaSet>(&Scope::all(), &Projection::default());
    let pods = f.watch();
    pods.synced().await;
    sleep(Duration::from_secs(600)).await;
    assert!(!sets.is_synced());
    let asked = f.paths().iter().filter(|path| path.contains("replicasets")).count();
    assert!((5..=20).contains(&asked), "{asked}");
    let stats = sets.stats();
    assert_eq!(stats.failures, asked as u64);
    assert_eq!(
        stats.failing.as_deref(),
        Some(
            "may not watch replicasets.apps (403): allow the service account `watch` on `replicasets.apps` (told to fail)"
        )
    );
    let told: Vec<_> =
        logs.lines().into_iter().filter(|line| format!("{line:?}").contains("replicasets")).collect();
    assert_eq!(told.len(), 1, "{told:?}");

    f.server.heal();
    f.server.serve("/apis/apps/v1/replicasets");
    sets.synced().await;
    assert_eq!(sets.stats().failing, None);
}

#[tokio::test(start_paused = true)]
async fn whatever_the_trouble_the_store_keeps_its_rows_and_recovers() {
    for fault in [Fault::Html, Fault::Hang, Fault::Status(500), Fault::Status(401), Fault::Status(404)] {
        let f = Fixture::new().await;
        f.put("a", "n1");
        let pods = f.watch();
        pods.synced().await;
        f.server.fail("/api/v1/pods", fault);
        f.server.cut_watches();
        f.put("b", "n1");
        sleep(Duration::from_secs(400)).await;
        assert_eq!(rows(&pods), ["a@n1"], "{fault:?}");
        assert!(pods.stats().failing.is_some(), "{fault:?}");
        let asked = f.paths().len();
        assert!((4..50).contains(&asked), "{fault:?}: {asked}");
        f.server.heal();
        until_rows(&pods, &["a@n1", "b@n1"]).await;
        assert_eq!(pods.stats().failing, None, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fell_silent_is_given_up() {
    let f = Fixture::new().await;
    f.put("a", "n1");
    let pods = f.watch();
    pods.synced().await;
    let began = Instant::now();
    until("another watch", || f.paths().len() == 2).await;
    assert!((180..190).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(f.server.watches(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_decoded_is_left_out() {
    let f = Fixture::new().await;
    f.put("a", "n1");
    let mut strange = pod("strange", "n1", "x");
    strange["spec"]["nodeName"] = serde_json::json!({"what": "ever"});
    f.server.put(PODS, strange);
    f.put("b", "n1");
    let pods = f.watch();
    pods.synced().await;
    assert_eq!(rows(&pods), ["a@n1", "b@n1"]);
    assert_eq!(pods.stats().undecodable, 1);
}

#[tokio::test(start_paused = true)]
async fn equal_watches_are_one_and_end_with_their_last_user() {
    let f = Fixture::new().await;
    f.put("a", "n1");
    f.put("b", "n2");
    let scope = Scope::all().fields("spec.nodeName=n2");
    let projection = Projection { labels: Keys::named(["app"]), ..Projection::default() };
    let one = f.watches.watch::<Pod>(&scope, &projection);
    let two = f.watches.clone().watch::<Pod>(&scope, &projection);
    let other = f.watch();
    two.synced().await;
    other.synced().await;
    assert_eq!((rows(&one), other.len()), (vec!["b@n2".to_owned()], 2));
    assert_eq!(one.get("default", "b").unwrap().meta.label("app").map(|app| &**app), Some("web"));
    assert!(other.get("default", "b").unwrap().meta.labels.is_empty());
    assert_eq!((f.paths().len(), f.host.tasks().names().len()), (2, 2));
    drop(one);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(f.server.watches(), 2);
    let subscription = two.subscribe();
    drop(two);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(f.server.watches(), 2, "a subscription is a user");
    drop(subscription);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((f.server.watches(), f.host.tasks().names().len()), (1, 1));
    let again = f.watches.watch::<Pod>(&scope, &projection);
    again.synced().await;
    assert_eq!(f.paths().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn metadata_is_all_that_is_asked_for_if_it_is_enough() {
    let f = Fixture::new().await;
    f.server.serve("/apis/apps/v1/replicasets");
    let status = Projection { status: true, ..Projection::default() };
    f.watches.watch::<ReplicaSet>(&Scope::all(), &Projection::default()).synced().await;
    f.watches.watch::<ReplicaSet>(&Scope::all(), &status).synced().await;
    let accepted: Vec<bool> = f
        .server
        .requests()
        .iter()
        .map(|request| request.header("accept").unwrap().contains("as=PartialObjectMetadata;"))
        .collect();
    assert_eq!(accepted, [true, false]);
}
