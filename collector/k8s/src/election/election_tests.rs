use std::sync::Arc;
use std::time::Duration;

use component::Host;
use testkit::{FakeApiServer, Fault};
use tokio::time::{Instant, sleep};

use super::{Election, ElectionConfig, Leadership, Lock};
use crate::Error;
use crate::test_support::{api, until};

const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
const CONFIG_MAPS: &str = "/api/v1/configmaps";

fn lease() -> Lock {
    Lock::Lease { namespace: "ns".into(), name: "otel-container-insight-clusterleader".into() }
}

fn config_map() -> Lock {
    Lock::ConfigMap { namespace: "ns".into(), name: "cwagent-clusterleader".into() }
}

fn stand(server: &Arc<FakeApiServer>, lock: &Lock, identity: &str) -> Leadership {
    Election::start(api(server), &Host::standalone(), lock.clone(), ElectionConfig::new(identity)).unwrap()
}

fn events(server: &FakeApiServer) -> usize {
    server.requests().iter().filter(|request| request.path.ends_with("/events")).count()
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_another_follows_at_once_when_it_stops() {
    for lock in [lease(), config_map()] {
        let server = Arc::new(FakeApiServer::start().await);
        let mut a = stand(&server, &lock, "node-a");
        assert!(!a.is_leader());
        assert!(a.changed().await);
        let mut b = stand(&server, &lock, "node-b");
        for _ in 0..600 {
            sleep(Duration::from_secs(1)).await;
            assert!(a.is_leader() && !b.is_leader());
        }
        assert_eq!(events(&server), 1);
        a.stop().await;
        let stopped = Instant::now();
        assert!(b.changed().await);
        assert!(stopped.elapsed() <= Duration::from_secs(11), "{:?}", stopped.elapsed());
        b.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_what_client_go_reads() {
    let server = Arc::new(FakeApiServer::start().await);
    let (mut a, mut b) = (stand(&server, &lease(), "node-a"), stand(&server, &config_map(), "node-a"));
    a.changed().await;
    b.changed().await;
    let written = server.object(LEASES, "ns", "otel-container-insight-clusterleader").unwrap();
    assert_eq!(written["kind"], "Lease");
    assert_eq!(written["spec"]["holderIdentity"], "node-a");
    assert_eq!(written["spec"]["leaseDurationSeconds"], 60);
    assert_eq!(written["spec"]["leaseTransitions"], 0);
    assert!(written["spec"]["renewTime"].as_str().unwrap().ends_with(".000000Z"), "{written}");
    let written = server.object(CONFIG_MAPS, "ns", "cwagent-clusterleader").unwrap();
    let record = &written["metadata"]["annotations"]["control-plane.alpha.kubernetes.io/leader"];
    let record: serde_json::Value = serde_json::from_str(record.as_str().unwrap()).unwrap();
    assert_eq!((&record["holderIdentity"], &record["leaseDurationSeconds"]), (&"node-a".into(), &60.into()));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_reach_the_server_stops_leading_long_before_another_may_begin() {
    for fault in [Fault::Hang, Fault::Status(500), Fault::Status(403)] {
        let server = Arc::new(FakeApiServer::start().await);
        let mut a = stand(&server, &lease(), "node-a");
        a.changed().await;
        sleep(Duration::from_secs(30)).await;
        let mut b = stand(&server, &lease(), "node-b");
        sleep(Duration::from_secs(20)).await;
        server.fail("/apis/coordination", fault);
        let cut = Instant::now();
        assert!(!a.changed().await, "{fault:?}");
        let lost = cut.elapsed();
        assert!((Duration::from_secs(9)..=Duration::from_secs(16)).contains(&lost), "{fault:?}: {lost:?}");
        sleep(Duration::from_secs(120)).await;
        assert!(!a.is_leader() && !b.is_leader(), "{fault:?}");
        server.heal();
        let first = tokio::select! {
            leads = a.changed() => ("a", leads),
            leads = b.changed() => ("b", leads),
        };
        assert!(first.1, "{first:?} {fault:?}");
        assert!(a.is_leader() != b.is_leader());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_candidate_is_followed_after_its_lease() {
    let server = Arc::new(FakeApiServer::start().await);
    let mut a = stand(&server, &config_map(), "node-a");
    a.changed().await;
    let mut b = stand(&server, &config_map(), "node-b");
    sleep(Duration::from_secs(7)).await;
    drop(a);
    let dropped = Instant::now();
    assert!(b.changed().await);
    let waited = dropped.elapsed().as_secs();
    assert!((50..=75).contains(&waited), "{waited}");
    let written = server.object(CONFIG_MAPS, "ns", "cwagent-clusterleader").unwrap();
    assert!(written.to_string().contains(r#"\"leaderTransitions\":1"#), "{written}");
}

#[tokio::test(start_paused = true)]
async fn a_config_map_that_exists_keeps_its_data() {
    let server = Arc::new(FakeApiServer::start().await);
    server.put(
        CONFIG_MAPS,
        serde_json::json!({"metadata": {"name": "cwagent-clusterleader", "namespace": "ns"}, "data": {"k": "v"}}),
    );
    let mut a = stand(&server, &config_map(), "node-a");
    assert!(a.changed().await);
    sleep(Duration::from_secs(60)).await;
    a.stop().await;
    let written = server.object(CONFIG_MAPS, "ns", "cwagent-clusterleader").unwrap();
    assert_eq!(written["data"]["k"], "v");
    assert!(written.to_string().contains(r#"\"holderIdentity\":\"\""#), "{written}");
}

#[tokio::test(start_paused = true)]
async fn times_that_do_not_fit_are_refused() {
    let server = Arc::new(FakeApiServer::start().await);
    let seconds = Duration::from_secs;
    for (identity, lease_duration, renew_deadline, retry_period) in
        [("", 60, 15, 5), ("a", 15, 15, 5), ("a", 60, 5, 5), ("a", 60, 15, 0)]
    {
        let config = ElectionConfig {
            identity: identity.into(),
            lease_duration: seconds(lease_duration),
            renew_deadline: seconds(renew_deadline),
            retry_period: seconds(retry_period),
        };
        let refused = Election::start(api(&server), &Host::standalone(), lease(), config).unwrap_err();
        assert!(matches!(refused, Error::Setting { .. }), "{refused}");
    }
    until("no request", || server.requests().is_empty()).await;
}
