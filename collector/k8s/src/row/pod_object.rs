//! Pods as the API server and the kubelet write them.

use std::net::IpAddr;

use serde::Deserialize;

use super::object::{Map, MetaObject, Text, nullable, optional};
use super::pod::{
    Container, ContainerId, ContainerIdentity, ContainerKind, ContainerSpec, ContainerState, Ips, Phase, Pod,
    PodConditions, StateDetail,
};
use super::quantity::{thousandths, units};
use super::{Decoded, Meta, Resource, Row, Time};
use crate::{Interner, Projection};

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    metadata: MetaObject<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    spec: SpecObject<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    status: StatusObject<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecObject<'a> {
    #[serde(borrow)]
    node_name: Text<'a>,
    #[serde(borrow)]
    hostname: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    host_network: bool,
    #[serde(borrow, deserialize_with = "nullable")]
    init_containers: Vec<ContainerObject<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    containers: Vec<ContainerObject<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    ephemeral_containers: Vec<ContainerObject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerObject<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    image: Text<'a>,
    #[serde(borrow)]
    restart_policy: Text<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    resources: ResourcesObject<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResourcesObject<'a> {
    #[serde(borrow)]
    requests: Map<'a, Text<'a>>,
    #[serde(borrow)]
    limits: Map<'a, Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusObject<'a> {
    #[serde(borrow)]
    phase: Text<'a>,
    #[serde(borrow, rename = "podIP")]
    pod_ip: Text<'a>,
    #[serde(borrow, rename = "podIPs", deserialize_with = "nullable")]
    pod_ips: Vec<IpObject<'a>>,
    #[serde(borrow)]
    start_time: Text<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    conditions: Vec<ConditionObject<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    init_container_statuses: Vec<ContainerStatusObject<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    container_statuses: Vec<ContainerStatusObject<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    ephemeral_container_statuses: Vec<ContainerStatusObject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IpObject<'a> {
    #[serde(borrow)]
    ip: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ConditionObject<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) status: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatusObject<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, rename = "containerID")]
    container_id: Text<'a>,
    #[serde(borrow, rename = "imageID")]
    image_id: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    restart_count: i64,
    #[serde(deserialize_with = "nullable")]
    ready: bool,
    #[serde(borrow, deserialize_with = "nullable")]
    state: StateObject<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    last_state: StateObject<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StateObject<'a> {
    #[serde(borrow)]
    waiting: Option<ReasonObject<'a>>,
    #[serde(borrow)]
    running: Option<ReasonObject<'a>>,
    #[serde(borrow)]
    terminated: Option<ReasonObject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReasonObject<'a> {
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow, rename = "containerID")]
    container_id: Text<'a>,
}

impl Row for Pod {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", plural: "pods", namespaced: true, metadata_only: false };

    fn from_json(
        json: &[u8],
        projection: &Projection,
        interner: &Interner,
    ) -> serde_json::Result<Decoded<Self>> {
        let object: PodObject<'_> = serde_json::from_slice(json)?;
        let PodObject { metadata, spec, status } = object;
        let version = metadata.version();
        let (phase, conditions) = if projection.status {
            (Phase::parse(status.phase.as_str()), PodConditions::of(&status.conditions))
        } else {
            Default::default()
        };
        let (specs, containers) = if projection.containers {
            (interner.containers(specs(&spec, interner)), containers(&status, interner))
        } else {
            (interner.containers(Vec::new()), Box::default())
        };
        let row = Self {
            meta: metadata.project(projection, interner),
            node: optional(&spec.node_name, interner),
            hostname: optional(&spec.hostname, interner).map(Box::new),
            ips: status.ips(),
            started: Time::parse(status.start_time.as_str()),
            host_network: spec.host_network,
            phase,
            conditions,
            specs,
            containers,
        };
        Ok(Decoded { row, version })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

fn specs(spec: &SpecObject<'_>, interner: &Interner) -> Vec<ContainerSpec> {
    let init = spec.init_containers.iter().map(|container| {
        let sidecar = container.restart_policy.as_str() == "Always";
        (container, if sidecar { ContainerKind::Sidecar } else { ContainerKind::Init })
    });
    let regular = spec.containers.iter().map(|container| (container, ContainerKind::Regular));
    let ephemeral = spec.ephemeral_containers.iter().map(|container| (container, ContainerKind::Ephemeral));
    init.chain(regular).chain(ephemeral).map(|(container, kind)| container.project(kind, interner)).collect()
}

fn containers(status: &StatusObject<'_>, interner: &Interner) -> Box<[Container]> {
    let lists = [
        (&status.init_container_statuses, ContainerKind::Init),
        (&status.container_statuses, ContainerKind::Regular),
        (&status.ephemeral_container_statuses, ContainerKind::Ephemeral),
    ];
    lists
        .into_iter()
        .flat_map(|(list, kind)| list.iter().map(move |status| status.project(kind, interner)))
        .collect()
}

impl ContainerObject<'_> {
    fn project(&self, kind: ContainerKind, interner: &Interner) -> ContainerSpec {
        let ResourcesObject { requests, limits } = &self.resources;
        let extended = limits.0.iter().filter(|(name, _)| name.as_str().contains('/'));
        ContainerSpec {
            name: interner.name(self.name.as_str()),
            image: interner.name(self.image.as_str()),
            kind,
            cpu_request: requests.get("cpu").and_then(|cpu| thousandths(cpu.as_str())),
            cpu_limit: limits.get("cpu").and_then(|cpu| thousandths(cpu.as_str())),
            memory_request: requests.get("memory").and_then(|memory| units(memory.as_str())),
            memory_limit: limits.get("memory").and_then(|memory| units(memory.as_str())),
            extended_limits: extended
                .filter_map(|(name, limit)| Some((interner.name(name.as_str()), units(limit.as_str())?)))
                .collect(),
        }
    }
}

impl ContainerStatusObject<'_> {
    fn project(&self, kind: ContainerKind, interner: &Interner) -> Container {
        let (runtime, id) = split_id(self.container_id.as_str());
        let StateObject { waiting, running, terminated } = &self.state;
        let (state, current) = match (running, terminated) {
            (Some(_), _) => (ContainerState::Running, None),
            (None, Some(terminated)) => (ContainerState::Terminated, Some(terminated)),
            (None, None) => (ContainerState::Waiting, waiting.as_ref()),
        };
        let last = self.last_state.terminated.as_ref();
        let detail = StateDetail {
            reason: current.and_then(|state| optional(&state.reason, interner)),
            last_termination_reason: last.and_then(|state| optional(&state.reason, interner)),
            last_id: last
                .map(|state| ContainerId::new(split_id(state.container_id.as_str()).1))
                .filter(|id| !id.is_empty()),
        };
        let identity = ContainerIdentity {
            name: interner.name(self.name.as_str()),
            runtime: runtime.map(|runtime| interner.name(runtime)),
            image_id: optional(&self.image_id, interner),
            kind,
        };
        Container {
            identity: interner.identities.intern_value(identity),
            id: ContainerId::new(id),
            restarts: u32::try_from(self.restart_count.max(0)).unwrap_or(u32::MAX),
            state,
            ready: self.ready,
            detail: (detail != StateDetail::default()).then(|| Box::new(detail)),
        }
    }
}

/// The runtime and the id of `containerd://…`; text of any other form is an id without a runtime.
fn split_id(text: &str) -> (Option<&str>, &str) {
    match text.split_once("://") {
        Some((runtime, id)) if !id.contains("://") => (Some(runtime), id),
        _ => (None, text),
    }
}

impl StatusObject<'_> {
    fn ips(&self) -> Ips {
        let mut ips: Vec<IpAddr> = Vec::new();
        let others = self.pod_ips.iter().map(|ip| &ip.ip);
        for ip in std::iter::once(&self.pod_ip).chain(others).filter_map(|ip| ip.as_str().parse().ok()) {
            if !ips.contains(&ip) {
                ips.push(ip);
            }
        }
        Ips::new(ips)
    }
}
