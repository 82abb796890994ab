//! Keeps the table of pods up to date, as long as metrics ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use k8s::row::{EndpointSlice, Pod};
use k8s::{Interner, Keys, Kubelet, Projection, Watched};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::decoration::Node;
use crate::table::Table;

/// How long a list is good for, and how often the kubelet is asked at most.
const PERIOD: Duration = Duration::from_secs(30);
/// How long a pod that is gone is still known: its last metrics come late.
const GRACE: Duration = Duration::from_secs(120);
/// How long the first list waits for the services.
const SERVICES: Duration = Duration::from_secs(2);

/// What is known, for those who add it.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) table: ArcSwap<Table>,
    /// Whether the kubelet was asked once, whatever it said.
    pub(crate) asked: watch::Sender<bool>,
    /// Somebody asks for a pod that is not known, or for any.
    pub(crate) wanted: Notify,
}

/// Who asks the kubelet.
pub(crate) struct Watcher {
    pub(crate) id: String,
    pub(crate) kubelet: Kubelet,
    pub(crate) node: Node,
    /// The services of the cluster, where they are wanted and can be watched.
    pub(crate) services: Option<Watched<EndpointSlice>>,
    pub(crate) known: Arc<Known>,
}

impl Watcher {
    pub(crate) async fn run(self) {
        let projection =
            Projection { labels: Keys::All, owners: true, containers: true, ..Projection::default() };
        let interner = Interner::default();
        if let Some(services) = &self.services {
            // Those that come later are added with the next list.
            let _ = timeout(SERVICES, services.synced()).await;
        }
        let mut pods: BTreeMap<String, (Pod, Instant)> = BTreeMap::new();
        let mut told = false;
        loop {
            let begun = Instant::now();
            match self.kubelet.pods(&projection, &interner).await {
                Ok(list) => {
                    pods.extend(list.into_iter().map(|pod| (pod.meta.uid.to_string(), (pod, begun))));
                    pods.retain(|_, (_, seen)| begun.duration_since(*seen) <= GRACE);
                    self.publish(&pods);
                    if std::mem::take(&mut told) {
                        tracing::info!(component = self.id, "the kubelet answers again");
                    }
                }
                Err(error) => {
                    let causes = causes(&error);
                    if std::mem::replace(&mut told, true) {
                        tracing::debug!(
                            component = self.id,
                            error = causes,
                            "the kubelet still does not say which pods run"
                        );
                    } else {
                        tracing::warn!(
                            component = self.id,
                            error = causes,
                            "the kubelet does not say which pods run; metrics go on with what is known"
                        );
                    }
                }
            }
            self.known.asked.send_replace(true);
            sleep_until(begun + PERIOD).await;
            // Nobody asks for pods whose metrics do not come.
            self.known.wanted.notified().await;
        }
    }

    fn publish(&self, pods: &BTreeMap<String, (Pod, Instant)>) {
        let services = self.services();
        let service =
            |pod: &Pod| services.get(&(pod.meta.namespace.to_string(), pod.meta.name.to_string())).cloned();
        let table = Table::new(pods.values().map(|(pod, _)| pod), &self.node, service);
        self.known.table.store(Arc::new(table));
    }

    /// The service in front of each pod, by namespace and name; of several the first in the order of names.
    fn services(&self) -> BTreeMap<(String, String), String> {
        let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
        if let Some(services) = &self.services {
            services.for_each(|slice| {
                for pod in &slice.pods {
                    let service = found.entry((pod.namespace.to_string(), pod.name.to_string())).or_default();
                    if service.is_empty() || *slice.service < **service {
                        *service = slice.service.to_string();
                    }
                }
            });
        }
        found
    }
}

fn causes(error: &k8s::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
