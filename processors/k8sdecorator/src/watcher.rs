//! Keeps the table of pods up to date, as long as metrics ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use k8s::row::Pod;
use k8s::{Interner, Keys, Kubelet, NodeServices, Projection};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::decoration::Node;
use crate::table::Table;

/// How long a list is good for, and how often the kubelet is asked at most.
const PERIOD: Duration = Duration::from_secs(30);
/// How long a pod that is gone is still known: its last metrics come late.
const GRACE: Duration = Duration::from_secs(120);
/// How long a list waits for the services of namespaces that are new.
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
    /// The services of the node's pods, where they are wanted and can be watched.
    pub(crate) services: Option<NodeServices>,
    pub(crate) known: Arc<Known>,
}

impl Watcher {
    pub(crate) async fn run(self) {
        let projection =
            Projection { labels: Keys::All, owners: true, containers: true, ..Projection::default() };
        let interner = Interner::default();
        let mut pods: BTreeMap<String, (Pod, Instant)> = BTreeMap::new();
        let mut told = false;
        loop {
            let begun = Instant::now();
            match self.kubelet.pods(&projection, &interner).await {
                Ok(list) => {
                    pods.extend(list.into_iter().map(|pod| (pod.meta.uid.to_string(), (pod, begun))));
                    pods.retain(|_, (_, seen)| begun.duration_since(*seen) <= GRACE);
                    self.publish(&pods).await;
                    if std::mem::take(&mut told) {
                        tracing::info!(component = self.id, "the kubelet answers again");
                    }
                }
                Err(error) => {
                    let causes = component::causes(&error);
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
            if let Some(services) = &self.services {
                services.settle().await;
            }
            sleep_until(begun + PERIOD).await;
            // Nobody asks for pods whose metrics do not come.
            self.known.wanted.notified().await;
        }
    }

    /// Finds the services of pods, where they are wanted, and makes all of it known.
    async fn publish(&self, pods: &BTreeMap<String, (Pod, Instant)>) {
        let pods = || pods.values().map(|(pod, _)| pod);
        let found = match &self.services {
            Some(services) => {
                if services.follow(pods(), None) {
                    // Those that come later are added with the next list.
                    let _ = timeout(SERVICES, services.synced()).await;
                }
                services.of(pods())
            }
            None => Vec::new(),
        };
        let services = found.iter().map(Option::as_deref).chain(std::iter::repeat(None));
        let table = Table::new(pods().zip(services), &self.node);
        self.known.table.store(Arc::new(table));
    }
}
