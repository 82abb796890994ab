//! Pods.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;

use super::meta::{hex, hex_digit};
use super::pod_object::ConditionObject;
use super::{Meta, Time};
use crate::Name;

/// A pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// Its metadata.
    pub meta: Meta,
    /// `spec.nodeName`; absent until it is scheduled.
    pub node: Option<Name>,
    /// `spec.hostname`.
    pub hostname: Option<Box<Name>>,
    /// `status.podIP`, then the others of `status.podIPs`.
    pub ips: Ips,
    /// `status.startTime`.
    pub started: Option<Time>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `status.phase`; [`Phase::Unknown`] if the status is not kept.
    pub phase: Phase,
    /// `status.conditions`; all false if the status is not kept.
    pub conditions: PodConditions,
    /// What the specification says of each container: init containers, containers, then ephemeral ones. Shared by all
    /// pods of a template.
    pub specs: Arc<Box<[ContainerSpec]>>,
    /// What the status says of each container that has one, in the same order.
    pub containers: Box<[Container]>,
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not all containers were started yet.
    Pending,
    /// Bound, and at least one container is running or (re)starting.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, at least one of them badly.
    Failed,
    /// The node could not be asked, or the phase is not kept.
    #[default]
    Unknown,
}

/// The two conditions of a pod that are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PodConditions {
    /// `Ready` is `True`.
    pub ready: bool,
    /// `PodScheduled` is `True`.
    pub scheduled: bool,
    /// One of the two is `Unknown`.
    pub unknown: bool,
}

/// Which of a pod's lists a container stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContainerKind {
    /// Runs to its end before the others start.
    Init,
    /// An init container that keeps running.
    Sidecar,
    /// `spec.containers`.
    Regular,
    /// Added to a running pod, for debugging.
    Ephemeral,
}

/// What a pod's specification says of a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerSpec {
    /// Its name.
    pub name: Name,
    /// Its image, as written.
    pub image: Name,
    /// Which list it stands in.
    pub kind: ContainerKind,
    /// Requested CPU in thousandths of a core, rounded up.
    pub cpu_request: Option<u64>,
    /// The limit of CPU in thousandths of a core, rounded up.
    pub cpu_limit: Option<u64>,
    /// Requested memory in bytes.
    pub memory_request: Option<u64>,
    /// The limit of memory in bytes.
    pub memory_limit: Option<u64>,
    /// Limits of extended resources, whose names hold a slash: `nvidia.com/gpu`. They equal the requests.
    pub extended_limits: Box<[(Name, u64)]>,
}

/// What a pod's status says of a container; with [`ContainerIdentity`]'s fields as if they were its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// What the same container of other pods has, too.
    pub identity: Arc<ContainerIdentity>,
    /// Its id without the runtime; empty until it was created.
    pub id: ContainerId,
    /// What is seldom there.
    pub detail: Option<Box<StateDetail>>,
    /// How often it was restarted.
    pub restarts: u32,
    /// `state`.
    pub state: ContainerState,
    /// `ready`.
    pub ready: bool,
}

/// What the containers of a template have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ContainerIdentity {
    /// The name.
    pub name: Name,
    /// What stands before `://` in the id: `containerd`, `docker`, `cri-o`.
    pub runtime: Option<Name>,
    /// The image's id, as the runtime writes it.
    pub image_id: Option<Name>,
    /// Which list it stands in; a sidecar counts as an init container here.
    pub kind: ContainerKind,
}

/// A pod's addresses: mostly one, mostly of four bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ips(IpsForm);

#[derive(Debug, Clone, PartialEq, Eq)]
enum IpsForm {
    One(Ipv4Addr),
    Others(Box<[IpAddr]>),
}

/// Which state a container is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ContainerState {
    /// `state.running`
    Running,
    /// `state.waiting`, and what the API takes the absence of a state for.
    #[default]
    Waiting,
    /// `state.terminated`
    Terminated,
}

/// Why a container is where it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDetail {
    /// The reason of the waiting or terminated state.
    pub reason: Option<Name>,
    /// The reason of `lastState.terminated`.
    pub last_termination_reason: Option<Name>,
    /// The id without the runtime of `lastState.terminated`: the run before this one.
    pub last_id: Option<ContainerId>,
}

/// A container's id: 32 bytes where it is 64 hexadecimal digits, as all runtimes of today make them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContainerId(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Hex([u8; 32]),
    Text(Box<str>),
}

impl Pod {
    /// `status.podIP`.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.ips.first()
    }

    /// Whether all its containers have ended for good, so that its addresses may be given to others.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// What the specification says of the container `name`.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&ContainerSpec> {
        self.specs.iter().find(|spec| &*spec.name == name)
    }
}

impl Ips {
    pub(super) fn new(ips: Vec<IpAddr>) -> Self {
        Self(match *ips.as_slice() {
            [IpAddr::V4(ip)] => IpsForm::One(ip),
            _ => IpsForm::Others(ips.into()),
        })
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let (one, others) = match &self.0 {
            IpsForm::One(ip) => (Some(IpAddr::V4(*ip)), [].as_slice()),
            IpsForm::Others(ips) => (None, &**ips),
        };
        one.into_iter().chain(others.iter().copied())
    }

    /// The first one, which is `status.podIP`.
    #[must_use]
    pub fn first(&self) -> Option<IpAddr> {
        self.iter().next()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }
}

impl Deref for Container {
    type Target = ContainerIdentity;

    fn deref(&self) -> &ContainerIdentity {
        &self.identity
    }
}

impl Phase {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "Pending" => Self::Pending,
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            _ => Self::Unknown,
        }
    }

    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }
}

impl PodConditions {
    pub(super) fn of(list: &[ConditionObject<'_>]) -> Self {
        let mut conditions = Self::default();
        for condition in list {
            let (is_true, is_unknown) =
                (condition.status.as_str() == "True", condition.status.as_str() == "Unknown");
            match condition.kind.as_str() {
                "Ready" => conditions.ready = is_true,
                "PodScheduled" => conditions.scheduled = is_true,
                _ => continue,
            }
            conditions.unknown |= is_unknown;
        }
        conditions
    }
}

impl ContainerId {
    /// The id that `text` spells.
    #[must_use]
    #[inline]
    pub fn new(text: &str) -> Self {
        Self(parse_hex(text).map_or_else(|| Form::Text(text.into()), Form::Hex))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Text(text) if text.is_empty())
    }

    /// Its text, which is written into `room` if it is not kept.
    pub fn text<'a>(&'a self, room: &'a mut ContainerIdText) -> &'a str {
        let id = match &self.0 {
            Form::Text(text) => return text,
            Form::Hex(id) => id,
        };
        for (byte, [high, low]) in id.iter().zip(room.as_chunks_mut().0) {
            (*high, *low) = (hex_digit(byte >> 4), hex_digit(byte & 15));
        }
        std::str::from_utf8(room).unwrap_or_default()
    }
}

/// Room for the text of a container's id that is of 32 bytes.
pub type ContainerIdText = [u8; 64];

#[inline]
fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &ContainerIdText = text.as_bytes().try_into().ok()?;
    let (mut id, mut wrong) = ([0; 32], 0);
    for (byte, [high, low]) in id.iter_mut().zip(digits.as_chunks().0) {
        let (high, low) = (hex(*high), hex(*low));
        wrong |= high | low;
        *byte = high << 4 | low & 15;
    }
    (wrong < 16).then_some(id)
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Hex(id) => id.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
