//! Nodes.

use std::net::IpAddr;

use serde::Deserialize;

use super::object::{Map, MetaObject, Text, nullable, optional};
use super::pod_object::ConditionObject;
use super::quantity::{thousandths, units};
use super::{Decoded, Meta, Resource, Row};
use crate::{Interner, Name, Projection};

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its metadata.
    pub meta: Meta,
    /// `spec.providerID`; kept with the status.
    pub provider_id: Option<Name>,
    /// `spec.unschedulable`; kept with the status.
    pub unschedulable: bool,
    /// The first `InternalIP`; kept with the status.
    pub internal_ip: Option<IpAddr>,
    /// `status.conditions`.
    pub conditions: Box<[Condition]>,
    /// `status.capacity`.
    pub capacity: Resources,
    /// `status.allocatable`.
    pub allocatable: Resources,
}

/// A condition of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Ready`, `MemoryPressure`, …
    pub kind: Name,
    /// Whether it holds.
    pub status: ConditionStatus,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// What a node has or gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub cpu: Option<u64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Pods.
    pub pods: Option<u64>,
    /// Extended resources, whose names hold a slash.
    pub extended: Box<[(Name, u64)]>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    metadata: MetaObject<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    spec: SpecObject<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    status: StatusObject<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecObject<'a> {
    #[serde(borrow, rename = "providerID")]
    provider_id: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    conditions: Vec<ConditionObject<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    addresses: Vec<AddressObject<'a>>,
    #[serde(borrow)]
    capacity: Map<'a, Text<'a>>,
    #[serde(borrow)]
    allocatable: Map<'a, Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AddressObject<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    address: Text<'a>,
}

impl Row for Node {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", plural: "nodes", namespaced: false, metadata_only: true };

    fn from_json(
        json: &[u8],
        projection: &Projection,
        interner: &Interner,
    ) -> serde_json::Result<Decoded<Self>> {
        let object: NodeObject<'_> = serde_json::from_slice(json)?;
        let (version, meta) = (object.metadata.version(), object.metadata.project(projection, interner));
        let (spec, status) =
            if projection.status { (object.spec, object.status) } else { Default::default() };
        let internal = status.addresses.iter().find(|address| address.kind.as_str() == "InternalIP");
        let row = Self {
            meta,
            provider_id: optional(&spec.provider_id, interner),
            unschedulable: spec.unschedulable,
            internal_ip: internal.and_then(|address| address.address.as_str().parse().ok()),
            conditions: status
                .conditions
                .iter()
                .map(|condition| Condition::of(condition, interner))
                .collect(),
            capacity: Resources::of(&status.capacity, interner),
            allocatable: Resources::of(&status.allocatable, interner),
        };
        Ok(Decoded { row, version })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

impl Node {
    /// The status of a condition that the node reports.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<ConditionStatus> {
        self.conditions.iter().find(|condition| &*condition.kind == kind).map(|condition| condition.status)
    }
}

impl Condition {
    fn of(object: &ConditionObject<'_>, interner: &Interner) -> Self {
        let status = match object.status.as_str() {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        };
        Self { kind: interner.name(object.kind.as_str()), status }
    }
}

impl Resources {
    fn of(map: &Map<'_, Text<'_>>, interner: &Interner) -> Self {
        let get = |key: &str| map.get(key).map(|quantity| quantity.as_str());
        let extended = map.0.iter().filter(|(name, _)| name.as_str().contains('/'));
        Self {
            cpu: get("cpu").and_then(thousandths),
            memory: get("memory").and_then(units),
            pods: get("pods").and_then(units),
            extended: extended
                .filter_map(|(name, quantity)| {
                    Some((interner.name(name.as_str()), units(quantity.as_str())?))
                })
                .collect(),
        }
    }
}
