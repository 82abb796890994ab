//! Adds it to resources.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Host, Settings};
use k8s::{Kubelet, NodeServices, Watches};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use pdata::{Attributes, Batch, ResourceEditor, Signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::Config;
use crate::decoration::Node;
use crate::table::{Subject, Table};
use crate::watcher::{Known, Watcher};

/// How long the first metrics wait for the kubelet.
const PATIENCE: Duration = Duration::from_secs(5);
/// The attribute that says less than what is added.
const HOST: &str = "host";
/// What moves into the attribute `kubernetes` where a pod is known.
const MOVED: [&str; 3] = ["ContainerName", "K8sPodName", "PodId"];

/// The processor.
pub(crate) struct DecoratorProcessor {
    id: String,
    kubelet: Option<Kubelet>,
    tag_service: bool,
    node: Node,
    /// What is added to resources of the cluster, of the node, and of pods that are not known.
    of_cluster: Attributes,
    of_node: Attributes,
    of_unknown: Attributes,
    known: Arc<Known>,
    items: ProcessorMetrics,
    unknown: Counter<u64>,
    labels: [KeyValue; 1],
    /// Whether the extraction of metrics is to be switched off, which is told once.
    disables_extraction: bool,
    running: Mutex<Option<Running>>,
    next: Arc<dyn Consumer>,
}

/// What start began.
struct Running {
    task: JoinHandle<()>,
    patience: Instant,
}

/// What a type of record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Node,
    Pod,
    /// The cluster, or nobody knows.
    Other,
}

impl About {
    /// By the attribute `Type`.
    fn of(kind: &str) -> Self {
        if kind.starts_with("Node") || kind.starts_with("Instance") {
            Self::Node
        } else if kind.starts_with("Pod") || kind.starts_with("Container") {
            Self::Pod
        } else {
            Self::Other
        }
    }
}

impl DecoratorProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        kubelet: Option<Kubelet>,
        next: Arc<dyn Consumer>,
    ) -> Self {
        let node = Node {
            cluster: config.cluster_name.clone(),
            name: config.node_name(),
            prefer_full_pod_name: config.prefer_full_pod_name,
        };
        Self {
            of_cluster: node.of_nothing(false),
            of_node: node.of_node(),
            of_unknown: node.of_nothing(true),
            node,
            kubelet,
            tag_service: config.tag_service,
            disables_extraction: config.disable_metric_extraction,
            known: Arc::default(),
            items: ProcessorMetrics::new(&settings, Signal::Metrics),
            unknown: settings
                .meter
                .u64_counter("otelcol_processor_k8sdecorator_unknown_pods")
                .with_description("Number of resources whose pod is not known")
                .with_unit("{resources}")
                .build(),
            labels: [KeyValue::new("processor", settings.id.to_string())],
            id: settings.id.to_string(),
            running: Mutex::default(),
            next,
        }
    }

    fn begin(&self, kubelet: &Kubelet, host: &Host) -> Running {
        let watcher = Watcher {
            id: self.id.clone(),
            kubelet: kubelet.clone(),
            node: self.node.clone(),
            services: if self.tag_service { self.services(host) } else { None },
            known: Arc::clone(&self.known),
        };
        Running {
            task: host.spawn(format!("{}: pods", self.id), watcher.run()),
            patience: Instant::now() + PATIENCE,
        }
    }

    fn services(&self, host: &Host) -> Option<NodeServices> {
        match Watches::in_cluster(host) {
            Ok(watches) => Some(NodeServices::new(&watches)),
            Err(error) => {
                let error = component::causes(&error);
                tracing::warn!(component = self.id, error, "services are not added");
                None
            }
        }
    }

    /// Waits a moment for the first list of pods.
    async fn first_list(&self) {
        let patience =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|r| r.patience);
        let asked = *self.known.asked.borrow();
        if let (false, Some(patience)) = (asked, patience) {
            let mut asked = self.known.asked.subscribe();
            // Whoever waited long enough goes on without.
            let _ = timeout_at(patience, asked.wait_for(|asked| *asked)).await;
        }
    }

    /// Adds what a resource lacks; whether its pod is not known.
    fn decorate(&self, editor: &mut ResourceEditor<'_>, table: &Table) -> bool {
        let (found, about) = {
            let text = |keys: &[&str]| {
                let mut values = keys.iter().filter_map(|key| editor.get(key)?.as_str());
                values.find(|value| !value.is_empty()).unwrap_or_default()
            };
            let subject = Subject {
                uid: text(&["k8s.pod.uid", "PodId"]),
                namespace: text(&["k8s.namespace.name", "Namespace"]),
                pod: text(&["k8s.pod.name", "K8sPodName"]),
                container: text(&["k8s.container.name", "ContainerName"]),
                container_id: text(&["container.id", "ContainerId"]),
            };
            let about = if subject.is_pod() { About::Pod } else { About::of(text(&["Type"])) };
            (table.get(&subject), about)
        };
        let is_known = found.is_some();
        editor.retain(|pair| pair.key != HOST && !(is_known && MOVED.contains(&pair.key)));
        let added = found.unwrap_or(match about {
            About::Node => &self.of_node,
            About::Pod => &self.of_unknown,
            About::Other => &self.of_cluster,
        });
        for pair in added.iter() {
            editor.insert(pair.key, pair.value);
        }
        about == About::Pod && !is_known
    }
}

#[async_trait]
impl Component for DecoratorProcessor {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        if self.disables_extraction {
            tracing::warn!(
                component = self.id,
                "disable_metric_extraction has no effect here: set it in the exporter awsemf"
            );
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.kubelet {
            Some(kubelet) if running.is_none() => *running = Some(self.begin(kubelet, host)),
            Some(_) => {}
            None => tracing::warn!(
                component = self.id,
                "no pod is known: outside a cluster, or neither `host_ip` nor HOST_IP says where the kubelet is"
            ),
        }
        Ok(())
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { mut task, .. }) = running {
            task.abort();
            // That it was aborted is no news.
            let _ = timeout_at(deadline, &mut task).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for DecoratorProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        self.first_list().await;
        self.known.wanted.notify_one();
        let table = self.known.table.load_full();
        let mut unknown = 0;
        let batch = batch.edit_resources(|editor| unknown += u64::from(self.decorate(editor, &table)));
        if unknown > 0 {
            self.unknown.add(unknown, &self.labels);
        }
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
