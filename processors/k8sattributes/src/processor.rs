//! Adds to resources what is known of their pods.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Host, Settings};
use confmap::Problems;
use k8s::row::ContainerId;
use opentelemetry::metrics::Meter;
use pdata::{AnyValueView, Attributes, Batch, ResourceEditor, Signal};
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::Config;
use crate::association::{Connection, Identified, Values, text};
use crate::cluster::{self, Error};
use crate::compile::Compiled;
use crate::entry::{ContainerEntry, Entry};
use crate::field::Field;
use crate::telemetry::{AssociationMetrics, Tally};
use crate::view::View;

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

/// What is added to one resource, in order.
#[derive(Default)]
struct Additions {
    pod_ip: Option<String>,
    pod: Option<Arc<Entry>>,
    /// Which of the pod's containers, and the restarts of the run that the resource is about.
    container: Option<(usize, Restarts)>,
    objects: SmallVec<[Arc<Attributes>; 6]>,
    service_namespace: Option<String>,
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
        let compiled = Compiled::of(&config, |name| std::env::var(name).ok(), &mut problems);
        problems.into_result()?;
        let signal = settings.pipeline.as_ref().map_or(Signal::Metrics, |pipeline| pipeline.signal());
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

    async fn wait(&self, view: &View, timeout: Duration) -> Result<(), Error> {
        let complete = tokio::time::timeout(timeout, view.complete()).await;
        complete.map_err(|_| Error::NotSynced { after: timeout, missing: view.missing() })
    }

    fn enrich(
        &self,
        editor: &mut ResourceEditor<'_>,
        peer: Option<IpAddr>,
        view: Option<&View>,
        tally: &mut Tally,
    ) {
        let additions = self.additions(editor, peer, view, tally);
        additions.write(editor);
    }

    /// Reads the resource once, and looks up what is to be added.
    fn additions(
        &self,
        editor: &ResourceEditor<'_>,
        peer: Option<IpAddr>,
        view: Option<&View>,
        tally: &mut Tally,
    ) -> Additions {
        let compiled = &*self.compiled;
        let values = compiled.wanted.read(editor.attributes());
        let identified = compiled.associations.identify(&values, peer);
        let mut additions = Additions::default();
        if compiled.passthrough || compiled.fields.has(Field::PodIp) {
            let connection = identified.as_ref().and_then(|identified| identified.connection);
            additions.pod_ip = connection.map(|connection| match connection {
                Connection::Peer(ip) => ip.to_string(),
                Connection::Text(text) => text.to_owned(),
            });
        }
        let Some(view) = view else { return additions };
        let pod = find(view, identified.as_ref(), tally);
        let known = pod.is_some() || (identified.is_some() && !view.knows_pods);
        tally.count(identified.as_ref().map(|identified| identified.layout), known);
        additions.container = pod.as_ref().and_then(|pod| self.container(pod, &values));
        self.add_objects(&mut additions, pod.as_deref(), &values, view);
        additions.pod = pod;
        additions
    }

    /// What namespaces, nodes and workloads add; a pod knows its own, else the resource may name them.
    fn add_objects(&self, additions: &mut Additions, pod: Option<&Entry>, values: &Values<'_>, view: &View) {
        let (compiled, places) = (&*self.compiled, &self.compiled.places);
        let namespace = pod.map(|pod| &*pod.namespace).filter(|name| !name.is_empty());
        if let Some(namespace) = namespace.or_else(|| text(values, places.namespace)) {
            additions.objects.extend(view.namespaces.as_ref().and_then(|all| all.get(namespace)));
            let wanted = compiled.fields.has(Field::ServiceNamespace);
            additions.service_namespace = wanted.then(|| namespace.to_owned());
        }
        if let Some(nodes) = &view.nodes {
            let node = pod.and_then(|pod| pod.node.as_deref());
            let node = node.or_else(|| text(values, places.node));
            additions.objects.extend(node.and_then(|node| nodes.get(node)));
        }
        let of_pod = pod.map(|pod| &pod.workloads);
        for (at, (objects, place)) in view.workloads.iter().zip(places.workloads).enumerate() {
            let Some(objects) = objects else { continue };
            let uid = of_pod.and_then(|workloads| workloads.get(at)?.as_deref());
            let uid = uid.or_else(|| text(values, place));
            additions.objects.extend(uid.and_then(|uid| objects.get(uid)));
        }
    }

    /// Which container the resource is about: the one it names, else the only one.
    fn container(&self, pod: &Entry, values: &Values<'_>) -> Option<(usize, Restarts)> {
        let (places, containers) = (&self.compiled.places, &pod.containers);
        if containers.is_empty() {
            return None;
        }
        let position = |is: &dyn Fn(&ContainerEntry) -> bool| containers.iter().position(is);
        let container = if let Some(name) = text(values, places.container_name) {
            position(&|container| *container.name == *name)?
        } else if let Some(id) = text(values, places.container_id) {
            let id = ContainerId::new(id);
            position(&|container| container.id == id)?
        } else {
            let created = containers.iter().filter(|container| !container.id.is_empty()).count();
            match (created, containers.len()) {
                (1, _) => position(&|container| !container.id.is_empty())?,
                (_, 1) => 0,
                _ => return None,
            }
        };
        let restarts = match places.restart_count.and_then(|place| values.get(place)?.as_ref()) {
            None => Restarts::Last,
            Some(AnyValueView::Int(count)) => {
                u32::try_from(*count).map_or(Restarts::Unknown, Restarts::Count)
            }
            Some(value) => {
                let count = value.as_str().and_then(|text| text.parse().ok());
                count.map_or(Restarts::Unknown, Restarts::Count)
            }
        };
        Some((container, restarts))
    }
}

/// The pod of a resource; none that is to be ignored.
fn find(view: &View, identified: Option<&Identified<'_>>, tally: &mut Tally) -> Option<Arc<Entry>> {
    let identified = identified.filter(|_| view.knows_pods)?;
    let pod = view.index.get(&identified.key);
    if pod.is_none() {
        tally.miss();
    }
    pod.filter(|pod| !pod.ignored)
}

impl Additions {
    fn write(&self, editor: &mut ResourceEditor<'_>) {
        if let Some(ip) = &self.pod_ip {
            set_if_absent(editor, Field::PodIp, ip);
        }
        let container = self.pod.as_ref().zip(self.container);
        let container = container.and_then(|(pod, (at, restarts))| Some((pod.containers.get(at)?, restarts)));
        let mut sets: SmallVec<[&Attributes; 8]> = SmallVec::new();
        sets.extend(self.pod.as_ref().map(|pod| &pod.attributes));
        sets.extend(container.map(|(container, _)| &container.attributes));
        sets.extend(self.objects.iter().map(|attributes| &**attributes));
        editor.fill(&sets);
        if let Some((container, restarts)) = container {
            write_run(editor, container, restarts);
        }
        if let Some(namespace) = &self.service_namespace {
            set_if_absent(editor, Field::ServiceNamespace, namespace);
        }
    }
}

/// What is added only where there is no attribute of the name at all, not even an empty one, as upstream.
fn write_run(editor: &mut ResourceEditor<'_>, container: &ContainerEntry, restarts: Restarts) {
    if let Some(tags) = &container.tags {
        editor.insert(Field::ImageTags.name(), tags);
    }
    let run = match restarts {
        Restarts::Last => container.run(None),
        Restarts::Count(count) => container.run(Some(count)),
        Restarts::Unknown => None,
    };
    let Some(run) = run else { return };
    if let Some(id) = &run.id {
        editor.insert(Field::ContainerId.name(), &**id);
    }
    if let Some(digests) = &run.digests {
        editor.insert(Field::RepoDigests.name(), digests);
    }
}

fn set_if_absent(editor: &mut ResourceEditor<'_>, field: Field, value: &str) {
    let is_absent = match editor.get(field.name()) {
        None | Some(AnyValueView::Empty) => true,
        Some(value) => value.as_str().is_some_and(str::is_empty),
    };
    if is_absent {
        editor.upsert(field.name(), value);
    }
}

#[async_trait]
impl Component for AttributesProcessor {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
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
        let view = self.view();
        let mut tally = self.metrics.tally();
        let batch = batch.edit_resources(|editor| self.enrich(editor, peer, view.as_deref(), &mut tally));
        self.metrics.record(&tally);
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
