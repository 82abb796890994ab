use crate::row::{
    ContainerKind, ContainerState, CronJob, DaemonSet, Deployment, EndpointSlice, Endpoints, Job, Node,
    Phase, Pod, PodConditions, ReplicaSet, Replicas, Row, Service,
};
use crate::{Interner, Keys, Projection};

fn decode<R: Row>(json: &str, projection: &Projection) -> R {
    R::from_json(json.as_bytes(), projection, &Interner::default()).unwrap().row
}

const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-7b9f4c8d5e-x2x4z","generateName":"web-",
    "namespace":"shop","uid":"0d1c2b3a-4f5e-6d7c-8b9a-0123456789ab","resourceVersion":"4711",
    "creationTimestamp":"2026-11-23T18:00:00Z","labels":{"app":"web","tier":"a\"b"},
    "annotations":{"long":"{\"a\":1}","wanted":"tab\there"},"ownerReferences":[{"apiVersion":"apps/v1",
    "kind":"ReplicaSet","name":"web-7b9f4c8d5e","uid":"11111111-2222-3333-4444-555555555555","controller":true,
    "blockOwnerDeletion":true}],"managedFields":[{"manager":"m","fieldsV1":{"f:x":{}}}]},
  "spec":{"nodeName":"node-1","hostNetwork":false,"volumes":[{"name":"v"}],
    "initContainers":[{"name":"setup","image":"setup:1"},{"name":"mesh","image":"mesh:1","restartPolicy":"Always"}],
    "containers":[{"name":"web","image":"reg.example:5000/web:1.2","env":[{"name":"SECRET","value":"x"}],
      "resources":{"requests":{"cpu":"250m","memory":"64Mi"},"limits":{"cpu":1,"memory":"1G","nvidia.com/gpu":"2"}}}]},
  "status":{"phase":"Running","podIP":"10.0.1.7","podIPs":[{"ip":"10.0.1.7"},{"ip":"fd00::7"}],
    "startTime":"2026-11-23T18:00:01Z","conditions":[{"type":"Ready","status":"True"},
      {"type":"PodScheduled","status":"True"},{"type":"Initialized","status":"Unknown"}],
    "initContainerStatuses":[{"name":"setup","containerID":"","restartCount":0,"state":{"terminated":
      {"reason":"Completed","exitCode":0}}}],
    "containerStatuses":[{"name":"web","ready":true,"restartCount":3,"imageID":"reg.example:5000/web@sha256:ab",
      "containerID":"containerd://00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
      "state":{"running":{"startedAt":"2026-11-23T18:05:00Z"}},
      "lastState":{"terminated":{"reason":"OOMKilled","containerID":"containerd://before"}}}]}}"#;

#[test]
fn a_pod() {
    let interner = Interner::default();
    let decoded = Pod::from_json(POD.as_bytes(), &Projection::all(), &interner).unwrap();
    assert_eq!(decoded.version, "4711");
    let pod = decoded.row;
    assert_eq!(pod.meta.uid.to_string(), "0d1c2b3a-4f5e-6d7c-8b9a-0123456789ab");
    assert_eq!(pod.meta.label("tier").map(|tier| &**tier), Some("a\"b"));
    assert_eq!(pod.meta.annotation("wanted").map(|text| &**text), Some("tab\there"));
    assert_eq!(pod.meta.annotation("long").map(|text| &**text), Some("{\"a\":1}"));
    let owner = pod.meta.controller("ReplicaSet").unwrap();
    assert_eq!(
        (&*owner.name, owner.uid.to_string().as_str()),
        ("web-7b9f4c8d5e", "11111111-2222-3333-4444-555555555555")
    );
    assert_eq!(pod.node.as_deref(), Some("node-1"));
    assert_eq!((&pod.hostname, pod.host_network), (&None, false));
    assert_eq!(pod.ips.iter().map(|ip| ip.to_string()).collect::<Vec<_>>(), ["10.0.1.7", "fd00::7"]);
    assert_eq!(pod.started.unwrap().seconds() - pod.meta.created.unwrap().seconds(), 1);
    assert_eq!(pod.phase, Phase::Running);
    assert_eq!(pod.conditions, PodConditions { ready: true, scheduled: true, unknown: false });
    let kinds: Vec<_> = pod.specs.iter().map(|spec| (&*spec.name, spec.kind)).collect();
    assert_eq!(
        kinds,
        [("setup", ContainerKind::Init), ("mesh", ContainerKind::Sidecar), ("web", ContainerKind::Regular)]
    );
    let spec = pod.spec("web").unwrap();
    assert_eq!((spec.cpu_request, spec.cpu_limit), (Some(250), Some(1000)));
    assert_eq!((spec.memory_request, spec.memory_limit), (Some(67_108_864), Some(1_000_000_000)));
    assert_eq!(
        spec.extended_limits.iter().map(|(name, n)| (&**name, *n)).collect::<Vec<_>>(),
        [("nvidia.com/gpu", 2)]
    );
    let [setup, web] = &*pod.containers else { panic!("{:?}", pod.containers) };
    assert!(setup.id.is_empty() && setup.runtime.is_none() && setup.kind == ContainerKind::Init);
    assert_eq!(setup.state, ContainerState::Terminated);
    assert_eq!(setup.detail.as_ref().unwrap().reason.as_deref(), Some("Completed"));
    assert_eq!(web.id.to_string(), "00112233445566778899aabbccddeeff".repeat(2));
    assert_eq!(web.id.text(&mut [0; 64]), web.id.to_string());
    assert_eq!((web.runtime.as_deref(), web.restarts, web.ready), (Some("containerd"), 3, true));
    assert_eq!(web.image_id.as_deref(), Some("reg.example:5000/web@sha256:ab"));
    let detail = web.detail.as_ref().unwrap();
    assert_eq!(
        (detail.reason.as_deref(), detail.last_termination_reason.as_deref()),
        (None, Some("OOMKilled"))
    );
    assert_eq!(detail.last_id.as_ref().unwrap().to_string(), "before");
}

#[test]
fn what_is_not_wanted_is_not_kept() {
    let projection = Projection { labels: Keys::named(["app"]), ..Projection::default() };
    let pod: Pod = decode(POD, &projection);
    assert_eq!((pod.meta.labels.len(), pod.meta.annotations.len(), pod.meta.owners.len()), (1, 0, 0));
    assert_eq!((pod.specs.len(), pod.containers.len(), pod.phase), (0, 0, Phase::Unknown));
    assert_eq!((pod.ip().unwrap().to_string().as_str(), pod.node.as_deref()), ("10.0.1.7", Some("node-1")));
}

#[test]
fn pods_of_a_template_share_all_but_what_is_their_own() {
    let interner = Interner::default();
    let read = |json: &str| Pod::from_json(json.as_bytes(), &Projection::all(), &interner).unwrap().row;
    let (a, b) = (read(POD), read(&POD.replace("x2x4z", "other")));
    assert!(std::sync::Arc::ptr_eq(&a.meta.shared, &b.meta.shared));
    assert!(std::sync::Arc::ptr_eq(&a.specs, &b.specs));
    assert_ne!(a.meta.name, b.meta.name);
}

#[test]
fn null_is_absence_everywhere() {
    for json in [
        "{}",
        r#"{"metadata":null,"spec":null,"status":null}"#,
        r#"{"metadata":{"name":null,"labels":null,"annotations":null,"ownerReferences":null,"creationTimestamp":null},
           "spec":{"nodeName":null,"containers":null,"hostNetwork":null},
           "status":{"podIP":null,"podIPs":null,"conditions":null,"containerStatuses":null}}"#,
        r#"{"spec":{"containers":[{"resources":null},{"resources":{"limits":null}}]},
           "status":{"podIP":"","containerStatuses":[{"state":null,"lastState":{"terminated":null}}]}}"#,
    ] {
        let pod: Pod = decode(json, &Projection::all());
        assert!(pod.ips.is_empty() && pod.node.is_none() && pod.meta.uid.is_empty(), "{json}");
        let _: Node = decode(json, &Projection::all());
        let _: ReplicaSet = decode(json, &Projection::all());
        let _: Service = decode(json, &Projection::all());
        let _: EndpointSlice = decode(json, &Projection::all());
    }
}

#[test]
fn what_is_no_object_is_an_error() {
    for json in ["", "null", "\"pod\"", "7", "{", "{\"metadata\":1}", "{\"spec\":\"x\"}"] {
        let read = Pod::from_json(json.as_bytes(), &Projection::all(), &Interner::default());
        assert!(read.is_err(), "{json}");
    }
}

#[test]
fn nodes() {
    let json = r#"{"metadata":{"name":"n"},"spec":{"providerID":"aws:///a/i-1","unschedulable":true},
        "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"MemoryPressure","status":"Unknown"}],
        "addresses":[{"type":"Hostname","address":"n"},{"type":"InternalIP","address":"10.0.0.1"}],
        "capacity":{"cpu":"4","memory":"16Gi","pods":"110","nvidia.com/gpu":"1"},"allocatable":{"cpu":"3920m"}}}"#;
    let node: Node = decode(json, &Projection::all());
    assert_eq!(node.condition("Ready"), Some(super::ConditionStatus::True));
    assert_eq!(node.condition("MemoryPressure"), Some(super::ConditionStatus::Unknown));
    assert_eq!(node.condition("DiskPressure"), None);
    assert_eq!(
        (node.capacity.cpu, node.capacity.memory, node.capacity.pods),
        (Some(4000), Some(16 << 30), Some(110))
    );
    assert_eq!((node.capacity.extended.len(), node.allocatable.cpu), (1, Some(3920)));
    assert_eq!((node.internal_ip.unwrap().to_string().as_str(), node.unschedulable), ("10.0.0.1", true));
    let bare: Node = decode(json, &Projection::default());
    assert!(bare.conditions.is_empty() && bare.provider_id.is_none());
}

#[test]
fn replicas() {
    fn check<R: Row>(json: &str, replicas: impl Fn(R) -> Replicas, expected: [u32; 5]) {
        let Replicas { desired, ready, available, unavailable, current } =
            replicas(decode(json, &Projection::all()));
        assert_eq!([desired, ready, available, unavailable, current], expected, "{json}");
    }
    check::<Deployment>(
        r#"{"spec":{"replicas":5},"status":{"replicas":4,"readyReplicas":3,"availableReplicas":2,"unavailableReplicas":1}}"#,
        |row| row.replicas,
        [5, 3, 2, 1, 4],
    );
    check::<DaemonSet>(
        r#"{"status":{"desiredNumberScheduled":5,"currentNumberScheduled":4,"numberReady":3,"numberAvailable":2,"numberUnavailable":1}}"#,
        |row| row.replicas,
        [5, 3, 2, 1, 4],
    );
    check::<Job>(
        r#"{"spec":{"completions":3},"status":{"active":2,"ready":1}}"#,
        |row| row.replicas,
        [3, 1, 0, 0, 2],
    );
    check::<CronJob>(r#"{"status":{"active":[{"name":"j"}]}}"#, |row| row.replicas, [0, 0, 0, 0, 1]);
    check::<CronJob>(r#"{"status":{"active":null}}"#, |row| row.replicas, [0; 5]);
}

#[test]
fn ready_pods_behind_services() {
    let slice: EndpointSlice = decode(
        r#"{"metadata":{"name":"web-abc","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},
        "addressType":"IPv4","endpoints":[
        {"addresses":["10.0.0.1"],"conditions":{"ready":true},"targetRef":{"kind":"Pod","namespace":"shop","name":"a"}},
        {"addresses":["10.0.0.2"],"conditions":{"ready":false},"targetRef":{"kind":"Pod","namespace":"shop","name":"b"}},
        {"addresses":["10.0.0.3"],"conditions":{},"targetRef":{"kind":"Pod","namespace":"shop","name":"c"}},
        {"addresses":["10.0.0.4"],"targetRef":{"kind":"Node","name":"d"}},{"addresses":["10.0.0.5"]}]}"#,
        &Projection::default(),
    );
    assert_eq!((&*slice.service, slice.meta.labels.len()), ("web", 0));
    assert_eq!(slice.pods.iter().map(|pod| &*pod.name).collect::<Vec<_>>(), ["a", "c"]);
    let unlabelled: EndpointSlice = decode(r#"{"metadata":{"name":"alone"}}"#, &Projection::default());
    assert_eq!(&*unlabelled.service, "alone");
    let endpoints: Endpoints = decode(
        r#"{"metadata":{"name":"web","namespace":"shop"},"subsets":[{"addresses":[{"ip":"10.0.0.1","targetRef":
        {"kind":"Pod","namespace":"shop","name":"a"}}],"notReadyAddresses":[{"ip":"10.0.0.2","targetRef":
        {"kind":"Pod","namespace":"shop","name":"b"}}]},{"addresses":null}]}"#,
        &Projection::default(),
    );
    assert_eq!(endpoints.pods.iter().map(|pod| &*pod.name).collect::<Vec<_>>(), ["a"]);
}

/// What a pod with one container and twelve labels takes, without what it shares with others of its template.
#[test]
fn rows_are_small() {
    assert!(size_of::<Pod>() <= 136, "{}", size_of::<Pod>());
    assert!(size_of::<super::Container>() <= 64, "{}", size_of::<super::Container>());
    assert!(size_of::<ReplicaSet>() <= 80, "{}", size_of::<ReplicaSet>());
}
