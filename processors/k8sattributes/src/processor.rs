//! Adds to resources what is known of their pods.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Host, Settings};
use confmap::Problems;
use k8s::row::ContainerId;
use opentelemetry::metrics::Meter;
use pdata::{AnyValueView, Batch, Layer, ResourceEditor, Scan};
use tokio::time::Instant;

use crate::Config;
use crate::association::{Connection, Identified, text};
use crate::cluster::{self, Error};
use crate::compile::Compiled;
use crate::entry::{Chosen, CommonContainer, Entry, Layers, Previous, Room, Run};
use crate::field::Field;
use crate::gating::Gating;
use crate::telemetry::{AssociationMetrics, Tally};
use crate::view::{Tables, View};

/// The processor.
pub(crate) struct AttributesProcessor {
    id: String,
    config: Arc<Config>,
    compiled: Arc<Compiled>,
    meter: Meter,
    metrics: AssociationMetrics,
    items: ProcessorMetrics,
    /// What is known, from start to shutdown.
    view: RwLock<Option<Arc<View>>>,
    next: Arc<dyn Consumer>,
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

impl AttributesProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: Arc<Config>,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let mut problems = Problems::default();
        let gating = Gating::of(&settings.gates);
        let compiled = Compiled::of(&config, |name| std::env::var(name).ok(), gating, &mut problems);
        problems.into_result()?;
        let signal = settings.signal();
        Ok(Self {
            metrics: AssociationMetrics::new(&settings.meter, &compiled.associations, signal),
            items: ProcessorMetrics::new(&settings, signal),
            id: settings.id.to_string(),
            config,
            compiled: Arc::new(compiled),
            meter: settings.meter,
            view: RwLock::default(),
            next,
        })
    }

    fn view(&self) -> Option<Arc<View>> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_view(&self, view: Option<Arc<View>>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Adds to all resources of a batch what is known at this moment.
    fn add_to(&self, batch: Batch, peer: Option<IpAddr>, tally: &mut Tally) -> Batch {
        let view = self.view();
        let tables = view.as_ref().map(|view| view.read());
        let mut room = Room::default();
        batch.edit_resources(|editor| self.enrich(editor, peer, tables.as_ref(), &mut room, tally))
    }

    async fn wait(&self, view: &View, timeout: Duration) -> Result<(), Error> {
        let complete = tokio::time::timeout(timeout, view.complete()).await;
        complete.map_err(|_| Error::NotSynced { after: timeout, missing: view.missing() })
    }

    /// Reads the resource once, and adds what is known and what it does not say itself.
    fn enrich<'t>(
        &self,
        editor: &mut ResourceEditor<'_>,
        peer: Option<IpAddr>,
        tables: Option<&'t Tables>,
        room: &mut Room<'t>,
        tally: &mut Tally,
    ) {
        let compiled = &*self.compiled;
        let mut scan = Scan::default();
        compiled.wanted.read(editor.arrived(), &mut scan);
        let identified = compiled.associations.identify(&scan, peer);
        // Whether no two layers have a key in common, as far as that is known beforehand.
        let mut apart = true;
        let mut layers = Layers::new();
        let Room { previous, own, peer, instance, container: id } = room;
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
            let pod = find(tables, identified.as_ref(), previous, tally);
            let known = pod.is_some() || (identified.is_some() && !tables.knows_pods);
            tally.count(identified.as_ref().map(|identified| identified.layout), known);
            if let Some(pod) = pod {
                let layout =
                    identified.as_ref().and_then(|found| compiled.associations.layouts.get(found.layout));
                let said = layout.map(|layout| layout.said).unwrap_or_default();
                pod.push(own, said, &mut layers);
                apart &= pod.common.apart;
                if let Some((chosen, restarts)) = self.container(pod, &scan) {
                    chosen.push(compiled, instance, &mut layers);
                    run = Some((chosen, restarts));
                }
            }
            let of_pod = layers.len();
            self.add_objects(&mut layers, pod, &scan, tables);
            apart &= layers.len() == of_pod;
        }
        let run = run.map(|(chosen, restarts)| (chosen, self.run(chosen, restarts)));
        if let Some((_, Some(run))) = &run
            && compiled.fields.has(Field::ContainerId)
            && !run.id.is_empty()
        {
            layers.push(Layer::NewText { key: Field::ContainerId.key(), value: id.text(run.id) });
        }
        editor.fill(&layers, &scan, apart);
        if let Some((chosen, run)) = run {
            write_lists(editor, chosen, run);
        }
    }

    /// What namespaces, nodes and workloads add; a pod knows its own, else the resource may name them.
    fn add_objects<'a>(
        &self,
        layers: &mut Layers<'a>,
        pod: Option<&'a Entry>,
        scan: &Scan<'a>,
        tables: &'a Tables,
    ) {
        let (compiled, places) = (&*self.compiled, &self.compiled.places);
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
    fn container<'e>(&self, pod: &'e Entry, scan: &Scan<'_>) -> Option<(Chosen<'e>, Restarts)> {
        let places = &self.compiled.places;
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
    fn run<'e>(&self, chosen: Chosen<'e>, restarts: Restarts) -> Option<Run<'e>> {
        if !self.compiled.fields.any(&[Field::ContainerId, Field::RepoDigests]) {
            return None;
        }
        match restarts {
            Restarts::Last => chosen.run(None),
            Restarts::Count(count) => chosen.run(Some(count)),
            Restarts::Unknown => None,
        }
    }
}

/// The pod of a resource; none that is to be ignored.
fn find<'t>(
    tables: &'t Tables,
    identified: Option<&Identified<'_>>,
    previous: &mut Previous<'t>,
    tally: &mut Tally,
) -> Option<&'t Entry> {
    let identified = identified.filter(|_| tables.knows_pods)?;
    let pod = previous.find(&identified.key, |key| tables.pods.get(key));
    if pod.is_none() {
        tally.miss();
    }
    pod.filter(|pod| !pod.ignored)
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

#[async_trait]
impl Component for AttributesProcessor {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        if !self.compiled.gating.v0 && !self.compiled.gating.v1 {
            return Err(Error::NoConventions.into());
        }
        if self.compiled.passthrough || self.view().is_some() {
            return Ok(());
        }
        let filter = &self.compiled.filter;
        tracing::info!(
            component = self.id,
            labelSelector = filter.labels,
            fieldSelector = filter.fields,
            "k8s filtering"
        );
        let view = cluster::view(&self.config, &self.compiled, host, &self.meter).await?;
        if self.config.wait_for_metadata {
            self.wait(&view, *self.config.wait_for_metadata_timeout).await?;
        }
        self.set_view(Some(view));
        Ok(())
    }

    async fn shutdown(&self, _deadline: Instant) -> Result<(), BoxError> {
        self.set_view(None);
        Ok(())
    }
}

#[async_trait]
impl Consumer for AttributesProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let peer =
            batch.client().and_then(|client| client.address).map(|address| address.ip().to_canonical());
        let mut tally = self.metrics.tally();
        let batch = self.add_to(batch, peer, &mut tally);
        self.metrics.record(&tally);
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
