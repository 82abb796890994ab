//! What is added to the resources of a batch.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::IpAddr;

use k8s::row::ContainerId;
use pdata::{AnyValueView, KeyValues, Layer, ResourceEdit, ResourceEditor, Scan};

use crate::association::{Connection, Identified, text};
use crate::compile::Compiled;
use crate::entry::{Chosen, CommonContainer, Entry, Layers, Room, Run};
use crate::field::Field;
use crate::index::Candidate;
use crate::telemetry::Tally;
use crate::view::Tables;

/// Adds to resources what is known of their pods at one moment.
pub(crate) struct Enrichment<'t> {
    compiled: &'t Compiled,
    tables: Option<&'t Tables>,
    peer: Option<IpAddr>,
    room: Room,
    tally: &'t mut Tally,
}

/// What was found out of a resource.
#[derive(Default)]
pub(crate) struct Found<'r, 't> {
    scan: Scan<'r>,
    identified: Option<Identified<'r>>,
    candidate: Option<Candidate>,
    pod: Option<&'t Entry>,
}

/// Which run of a container a resource is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restarts {
    /// The last one.
    Last,
    /// The one after so many restarts.
    Count(u32),
    /// What it says is no number.
    Unknown,
}

impl<'t> Enrichment<'t> {
    /// With what `tables` know, if anything is looked up; `peer` sent the resources.
    pub(crate) fn new(
        compiled: &'t Compiled,
        tables: Option<&'t Tables>,
        peer: Option<IpAddr>,
        tally: &'t mut Tally,
    ) -> Self {
        Self { compiled, tables, peer, room: Room::default(), tally }
    }
}

impl<'t> ResourceEdit for Enrichment<'t> {
    type Found<'r> = Found<'r, 't>;

    #[inline]
    fn read<'r>(&mut self, attributes: KeyValues<'r>, found: &mut Found<'r, 't>) {
        self.compiled.wanted.read(attributes, &mut found.scan);
        found.identified = self.compiled.associations.identify(&found.scan, self.peer);
    }

    /// Most pods are not in the processor's cache: what is read of them is read of all pods of the group at once, from one
    /// reference to the next.
    fn look_up(&mut self, group: &mut [Found<'_, 't>]) {
        let Some(tables) = self.tables.filter(|tables| tables.knows_pods) else { return };
        let pods = &**tables.pods;
        for found in &mut *group {
            found.candidate = found.identified.as_ref().map(|identified| pods.candidate(&identified.key));
            found.pod = found.candidate.and_then(|candidate| pods.entry(candidate.slot?));
        }
        let mut read = 0;
        let steps: [fn(&Entry) -> u8; 4] =
            [|pod| pod.change as u8, Entry::read_rows, Entry::read_texts, Entry::read_containers];
        for step in steps {
            for found in &*group {
                read ^= found.pod.map_or(0, step);
            }
        }
        black_box(read);
        for found in group {
            if let Some((identified, candidate)) = found.identified.as_ref().zip(found.candidate) {
                found.pod = pods.confirmed(candidate, &identified.key);
            }
        }
    }

    /// Adds what is known and what the resource does not say itself.
    fn edit(&mut self, editor: &mut ResourceEditor<'_>, found: &Found<'_, 't>) {
        let Self { compiled, tables, room, tally, .. } = self;
        let Found { scan, identified, .. } = found;
        // Whether no two layers have a key in common, as far as that is known beforehand.
        let mut apart = true;
        let mut layers = Layers::new();
        let Room { own, peer, instance, container: id } = room;
        if compiled.passthrough || compiled.fields.has(Field::PodIp) {
            let connection = identified.as_ref().and_then(|identified| identified.connection);
            let value = connection.map(|connection| match connection {
                Connection::Peer(ip) => {
                    peer.clear();
                    // Writing to a string does not fail.
                    let _ = write!(peer, "{ip}");
                    peer.as_str()
                }
                Connection::Text(text) => text,
            });
            layers.extend(value.map(|value| Layer::Text { key: Field::PodIp.key(), value }));
            apart = layers.is_empty();
        }
        let mut run = None;
        if let Some(tables) = tables {
            if identified.is_some() && tables.knows_pods && found.pod.is_none() {
                tally.miss();
            }
            let pod = found.pod.filter(|pod| !pod.ignored);
            let known = pod.is_some() || (identified.is_some() && !tables.knows_pods);
            tally.count(identified.as_ref().map(|identified| identified.layout), known);
            if let Some(pod) = pod {
                let layout =
                    identified.as_ref().and_then(|found| compiled.associations.layouts.get(found.layout));
                let said = layout.map(|layout| layout.said).unwrap_or_default();
                pod.push(own, said, &mut layers);
                apart &= pod.common.apart;
                if let Some((chosen, restarts)) = container(compiled, pod, scan) {
                    chosen.push(compiled, instance, &mut layers);
                    run = Some((chosen, self::run(compiled, chosen, restarts)));
                }
            }
            let of_pod = layers.len();
            add_objects(compiled, tables, &mut layers, pod, scan);
            apart &= layers.len() == of_pod;
        }
        if let Some((_, Some(run))) = &run
            && compiled.fields.has(Field::ContainerId)
            && !run.id.is_empty()
        {
            layers.push(Layer::NewText { key: Field::ContainerId.key(), value: id.text(run.id) });
        }
        editor.fill(&layers, scan, apart);
        if let Some((chosen, run)) = run {
            write_lists(editor, chosen, run);
        }
    }
}

/// What namespaces, nodes and workloads add; a pod knows its own, else the resource may name them.
fn add_objects<'a, 'r: 'a>(
    compiled: &Compiled,
    tables: &'a Tables,
    layers: &mut Layers<'a>,
    pod: Option<&'a Entry>,
    scan: &Scan<'r>,
) {
    let places = &compiled.places;
    if !compiled.adds_objects {
        return;
    }
    let namespace = pod.map(|pod| &*pod.pod.meta.namespace).filter(|name| !name.is_empty());
    if let Some(namespace) = namespace.or_else(|| text(scan, places.namespace)) {
        layers.extend(tables.namespaces.as_ref().and_then(|all| all.get(namespace)).map(Layer::Set));
        if compiled.fields.has(Field::ServiceNamespace) {
            layers.push(Layer::Text { key: Field::ServiceNamespace.key(), value: namespace });
        }
    }
    if let Some(nodes) = &tables.nodes {
        let node = pod.and_then(|pod| pod.pod.node.as_deref());
        let node = node.or_else(|| text(scan, places.node));
        layers.extend(node.and_then(|node| nodes.get(node)).map(Layer::Set));
    }
    let of_pod = pod.and_then(|pod| pod.common.workloads.as_deref());
    for (at, (objects, place)) in tables.workloads.iter().zip(places.workloads).enumerate() {
        let Some(objects) = objects else { continue };
        let uid = of_pod.and_then(|workloads| workloads.get(at)?.as_deref());
        let uid = uid.or_else(|| text(scan, place));
        layers.extend(uid.and_then(|uid| objects.get(uid)).map(Layer::Set));
    }
}

/// Which container the resource is about: the one it names, else the only one.
fn container<'e>(compiled: &Compiled, pod: &'e Entry, scan: &Scan<'_>) -> Option<(Chosen<'e>, Restarts)> {
    let places = &compiled.places;
    if pod.common.containers.is_empty() {
        return None;
    }
    let chosen = if let Some(name) = text(scan, places.container_name) {
        pod.container_named(name)?
    } else if let Some(id) = text(scan, places.container_id) {
        pod.container_with(&ContainerId::new(id))?
    } else {
        pod.only_container()?
    };
    let restarts = match places.restart_count.and_then(|place| scan.value(place)) {
        None => Restarts::Last,
        Some(AnyValueView::Int(count)) => u32::try_from(count).map_or(Restarts::Unknown, Restarts::Count),
        Some(value) => {
            let count = value.as_str().and_then(|text| text.parse().ok());
            count.map_or(Restarts::Unknown, Restarts::Count)
        }
    };
    Some((chosen, restarts))
}

/// The run of the container, if anything is to be told of it.
fn run<'e>(compiled: &Compiled, chosen: Chosen<'e>, restarts: Restarts) -> Option<Run<'e>> {
    if !compiled.fields.any(&[Field::ContainerId, Field::RepoDigests]) {
        return None;
    }
    match restarts {
        Restarts::Last => chosen.run(None),
        Restarts::Count(count) => chosen.run(Some(count)),
        Restarts::Unknown => None,
    }
}

/// Lists that are added only where there is no attribute of the name at all, not even an empty one, as upstream.
fn write_lists(editor: &mut ResourceEditor<'_>, chosen: Chosen<'_>, run: Option<Run<'_>>) {
    if let Some(tag) = &chosen.common.tag {
        editor.insert(Field::ImageTags.name(), CommonContainer::list(tag));
    }
    if let Some(digest) = run.and_then(|run| run.digest) {
        editor.insert(Field::RepoDigests.name(), CommonContainer::list(digest));
    }
}
