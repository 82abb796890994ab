//! What is added of a pod.
//!
//! What the pods of a workload have in common is worked out and encoded when a pod changes, and stored once for all that
//! have the same ([`Common`]). What is a pod's own is in its row already, and is written from there when it is added.

use std::net::IpAddr;
use std::sync::Arc;

use k8s::Name;
use k8s::row::{Container, ContainerId, ContainerIdText, ContainerKind, Pod, TimeText, UidText};
use pdata::{Attributes, Layer, Value};
use smallvec::{SmallVec, smallvec};
use tokio::time::Instant;

use crate::association::{BY_UID, Layout, Slot};
use crate::compile::{Compiled, MIRROR_ANNOTATION};
use crate::field::{Field, Fields};
use crate::key::{Key, Kind, Part, Parts};

/// The attributes of which the row of each pod has the value.
pub(crate) const OWN: [Field; 7] = [
    Field::PodName,
    Field::PodUid,
    Field::StartTime,
    Field::NodeName,
    Field::PodHostname,
    Field::PodIp,
    Field::ServiceName,
];

/// A pod as resources are told of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) pod: Arc<Pod>,
    pub(crate) common: Arc<Common>,
    /// What few pods have.
    pub(crate) rare: Option<Box<Rare>>,
    /// The number of the change that told of it last.
    pub(crate) change: u32,
    /// Whether nothing is to be added.
    pub(crate) ignored: bool,
}

/// What few pods have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rare {
    /// When it is to be forgotten, once it is gone.
    pub(crate) until: Option<Instant>,
    /// Keys that it had, and is still found by.
    pub(crate) former: Vec<Key<'static>>,
}

/// What is added of several pods alike.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Common {
    pub(crate) attributes: Attributes,
    /// Which of the [`OWN`] attributes are added to these.
    pub(crate) own: Fields,
    /// Whether none of all these attributes has the name of another.
    pub(crate) apart: bool,
    pub(crate) containers: Box<[CommonContainer]>,
    /// The uids of the workloads they belong to, of those kinds that attributes are taken from.
    pub(crate) workloads: Option<Box<Workloads>>,
}

/// The uids of a Deployment, a StatefulSet, a DaemonSet and a Job.
pub(crate) type Workloads = [Option<Name>; 4];

/// A container, whether a specification or a state tells of it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CommonContainer {
    pub(crate) name: Name,
    /// The name, if a state tells of the container, and what its image tells.
    pub(crate) attributes: Attributes,
    /// Added only where there is no attribute of the name at all: `container.image.tags`.
    pub(crate) tag: Option<Box<str>>,
    /// Likewise `container.image.repo_digests`, of the current run.
    pub(crate) digest: Option<Box<str>>,
}

/// The container that a resource is about.
#[derive(Clone, Copy)]
pub(crate) struct Chosen<'a> {
    pub(crate) common: &'a CommonContainer,
    pod: &'a Entry,
}

/// A run of a container: the current one, or the one before it.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) digest: Option<&'a str>,
}

/// Room for the texts of one resource.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) own: OwnRoom,
    pub(crate) peer: String,
    pub(crate) instance: String,
    pub(crate) container: ContainerRoom,
}

pub(crate) struct OwnRoom {
    uid: UidText,
    time: TimeText,
    ip: String,
}

pub(crate) struct ContainerRoom(ContainerIdText);

/// The keys of a pod.
pub(crate) type Keys = SmallVec<[Key<'static>; 4]>;

/// What is added to one resource, in order.
pub(crate) type Layers<'a> = SmallVec<[Layer<'a>; 16]>;

impl Entry {
    /// Reads of each part of the row, and of what it shares with others.
    #[inline]
    pub(crate) fn read_rows(&self) -> u8 {
        let (pod, common) = (&*self.pod, &*self.common);
        let row = pod.meta.name.len() ^ pod.containers.len();
        let shared = common.attributes.len() ^ common.containers.len();
        (row ^ shared) as u8
            ^ u8::from(pod.host_network)
            ^ u8::from(pod.node.is_some())
            ^ u8::from(common.apart)
    }

    /// Reads of what those refer to.
    #[inline]
    pub(crate) fn read_texts(&self) -> u8 {
        let first = |text: &str| text.as_bytes().first().copied().unwrap_or_default();
        let node = self.pod.node.as_deref().map_or(0, first);
        let container =
            self.common.containers.first().map_or(0, |container| container.attributes.len() as u8);
        first(&self.pod.meta.name) ^ node ^ self.common.attributes.read() ^ container
    }

    /// Reads of what is told of the first container.
    #[inline]
    pub(crate) fn read_containers(&self) -> u8 {
        self.common.containers.first().map_or(0, |container| container.attributes.read())
    }

    /// Whether the pod is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.until.is_some())
    }

    /// Whether the pod is found by a key, or was not long ago.
    #[inline]
    pub(crate) fn has(&self, key: &Key<'_>, layout: &Layout) -> bool {
        // Most keys.
        if let (BY_UID, [Part::Uid(uid)]) = (key.space, key.parts.as_slice())
            && self.pod.meta.uid == *uid
        {
            return true;
        }
        self.has_now(key, layout)
            || self.rare.as_ref().is_some_and(|rare| rare.former.iter().any(|former| former.is(key)))
    }

    /// Whether the pod is found by a key.
    pub(crate) fn has_now(&self, key: &Key<'_>, layout: &Layout) -> bool {
        layout.slots.len() == key.parts.len()
            && layout.slots.iter().zip(&key.parts).all(|(slot, part)| self.has_part(slot, part))
    }

    fn has_part(&self, slot: &Slot, part: &Part<'_>) -> bool {
        let pod = &*self.pod;
        match (slot.kind(), part) {
            (Kind::Ip, Part::Ip(ip)) => self.addresses().any(|own| own == *ip),
            (Kind::Uid, Part::Uid(uid)) => pod.meta.uid == *uid || self.mirror().as_ref() == Some(part),
            (Kind::Container, Part::Container(id)) => {
                !id.is_empty() && pod.containers.iter().any(|container| container.id == *id)
            }
            (Kind::Namespace, Part::Text(text)) => *text == *pod.meta.namespace,
            (Kind::Name, Part::Text(text)) => *text == *pod.meta.name,
            (Kind::Added(name), Part::Text(text)) => {
                let mut room = OwnRoom::default();
                self.added(name, &mut room).is_some_and(|value| value == *text)
            }
            _ => false,
        }
    }

    /// The values of a slot; none that are empty.
    fn parts<'a>(&'a self, slot: &'a Slot) -> SmallVec<[Part<'a>; 2]> {
        let pod = &*self.pod;
        let text = |text: &'a str| Part::Text(text.into());
        let mut parts = SmallVec::new();
        match slot.kind() {
            Kind::Ip => parts.extend(self.addresses().map(Part::Ip)),
            Kind::Uid => {
                let own = Some(&pod.meta.uid).filter(|uid| !uid.is_empty());
                parts.extend(own.map(|uid| Part::Uid(uid.clone())));
                parts.extend(self.mirror());
            }
            Kind::Container => {
                let ids = pod.containers.iter().map(|container| &container.id);
                parts.extend(ids.filter(|id| !id.is_empty()).map(|id| Part::Container(id.clone())));
            }
            Kind::Namespace => parts.push(text(&pod.meta.namespace)),
            Kind::Name => parts.push(text(&pod.meta.name)),
            Kind::Added(name) => {
                let mut room = OwnRoom::default();
                parts.extend(self.added(name, &mut room).map(|value| Part::Text(value.to_owned().into())));
            }
        }
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        parts
    }

    /// What a pod is found by.
    pub(crate) fn keys(&self, compiled: &Compiled) -> Keys {
        let mut keys = Keys::new();
        for (space, layout) in compiled.associations.spaces() {
            // A key for each combination of the slots' values; none if a slot has none.
            let mut combinations: SmallVec<[Parts<'_>; 2]> = smallvec![Parts::new()];
            for slot in &layout.slots {
                let values = self.parts(slot);
                combinations = combinations
                    .iter()
                    .flat_map(|parts| {
                        values.iter().map(move |value| {
                            let mut parts = parts.clone();
                            parts.push(value.clone());
                            parts
                        })
                    })
                    .collect();
            }
            for parts in combinations {
                let key = Key { space, parts }.into_owned();
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    /// The uid that the kubelet and its log files know a static pod by.
    fn mirror(&self) -> Option<Part<'static>> {
        let uid = self.pod.meta.annotation(MIRROR_ANNOTATION).filter(|uid| !uid.is_empty())?;
        Some(Part::Uid(k8s::row::Uid::new(uid)))
    }

    /// The addresses that are the pod's alone: not its node's, and not those that it has given back.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let alone = !self.pod.host_network && !self.pod.has_ended();
        self.pod.ips.iter().filter(move |_| alone).map(|ip| ip.to_canonical())
    }

    /// The value of an attribute that is added of the pod, if it is text.
    fn added<'a>(&'a self, name: &str, room: &'a mut OwnRoom) -> Option<&'a str> {
        let mut layers = Layers::new();
        self.push(room, Fields::default(), &mut layers);
        layers.into_iter().find_map(|layer| match layer {
            Layer::Set(set) => set.get(name)?.as_str(),
            Layer::Text { key, value } | Layer::NewText { key, value } => {
                (key.name() == name).then_some(value)
            }
        })
    }

    /// Adds what is the pod's own, and what it has in common with others; `said` are attributes that the resource has,
    /// and whose values therefore need not be written.
    pub(crate) fn push<'a>(&'a self, room: &'a mut OwnRoom, said: Fields, layers: &mut Layers<'a>) {
        let own = self.common.own.without(said);
        let OwnRoom { uid, time, ip } = room;
        let pod = &*self.pod;
        let mut put = |field: Field, value: &'a str| layers.push(Layer::Text { key: field.key(), value });
        if own.has(Field::PodName) && !pod.meta.name.is_empty() {
            put(Field::PodName, &pod.meta.name);
        }
        if own.has(Field::ServiceName) && !pod.meta.name.is_empty() {
            put(Field::ServiceName, &pod.meta.name);
        }
        if own.has(Field::PodUid) && !pod.meta.uid.is_empty() {
            put(Field::PodUid, pod.meta.uid.text(uid));
        }
        if let Some(created) = pod.meta.created.filter(|_| own.has(Field::StartTime)) {
            put(Field::StartTime, created.text(time));
        }
        // Even if they are empty, as upstream.
        if own.has(Field::NodeName) {
            put(Field::NodeName, pod.node.as_deref().unwrap_or_default());
        }
        if own.has(Field::PodHostname) {
            put(Field::PodHostname, pod.hostname.as_ref().map_or("", |name| &***name));
        }
        if own.has(Field::PodIp) {
            ip.clear();
            if let Some(address) = pod.ip() {
                // Writing to a string does not fail.
                let _ = std::fmt::Write::write_fmt(ip, format_args!("{address}"));
            }
            put(Field::PodIp, ip);
        }
        if !self.common.attributes.is_empty() {
            layers.push(Layer::Set(&self.common.attributes));
        }
    }

    /// The container of this name.
    pub(crate) fn container_named(&self, name: &str) -> Option<Chosen<'_>> {
        let common = self.common.containers.iter().find(|container| *container.name == *name)?;
        Some(Chosen { common, pod: self })
    }

    /// The container of this id.
    pub(crate) fn container_with(&self, id: &ContainerId) -> Option<Chosen<'_>> {
        let state = self.states().find(|state| state.id == *id)?;
        self.container_named(&state.name)
    }

    /// The container of a resource that names none: the only one that was created, or the only one there is.
    pub(crate) fn only_container(&self) -> Option<Chosen<'_>> {
        if let [only] = &*self.common.containers {
            return Some(Chosen { common: only, pod: self });
        }
        let mut created = self.states().filter(|state| !state.id.is_empty());
        match (created.next(), created.next()) {
            (Some(state), None) => self.container_named(&state.name),
            _ => None,
        }
    }

    fn states(&self) -> impl Iterator<Item = &Container> {
        self.pod.containers.iter().filter(|state| state.kind != ContainerKind::Ephemeral)
    }
}

impl<'a> Chosen<'a> {
    /// What the pod's status says of the container; looked for only where it is used.
    fn state(self) -> Option<&'a Container> {
        self.pod.states().find(|state| state.name == self.common.name)
    }

    /// Adds what the container tells.
    pub(crate) fn push(self, compiled: &Compiled, instance: &'a mut String, layers: &mut Layers<'a>) {
        if !self.common.attributes.is_empty() {
            layers.push(Layer::Set(&self.common.attributes));
        }
        if compiled.fields.has(Field::ServiceInstanceId) && self.state().is_some() {
            let pod = &*self.pod.pod;
            instance.clear();
            for (at, part) in
                [&*pod.meta.namespace, &*pod.meta.name, &*self.common.name].into_iter().enumerate()
            {
                if at > 0 {
                    instance.push('.');
                }
                instance.push_str(part);
            }
            layers.push(Layer::Text { key: Field::ServiceInstanceId.key(), value: instance });
        }
    }

    /// The run after so many restarts, or the last one.
    pub(crate) fn run(self, restarts: Option<u32>) -> Option<Run<'a>> {
        let state = self.state()?;
        let current = Run { id: &state.id, digest: self.common.digest.as_deref() };
        match restarts {
            None => Some(current),
            Some(restarts) if restarts == state.restarts => Some(current),
            Some(restarts) if Some(restarts) == state.restarts.checked_sub(1) => {
                let id = state.detail.as_ref()?.last_id.as_ref()?;
                Some(Run { id, digest: None })
            }
            Some(_) => None,
        }
    }
}

impl CommonContainer {
    /// A list of one text, as tags and digests are given.
    pub(crate) fn list(text: &str) -> Value {
        Value::Array(vec![text.into()])
    }
}

impl ContainerRoom {
    /// The text of an id.
    pub(crate) fn text<'a>(&'a mut self, id: &'a ContainerId) -> &'a str {
        id.text(&mut self.0)
    }
}

impl Default for OwnRoom {
    fn default() -> Self {
        Self { uid: [0; 36], time: TimeText::default(), ip: String::new() }
    }
}

impl Default for ContainerRoom {
    fn default() -> Self {
        Self([0; 64])
    }
}
