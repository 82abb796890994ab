//! Which services are in front of pods: by EndpointSlices, or on old API servers by Endpoints.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::row::{EndpointSlice, Endpoints, Pod, PodRef};
use crate::{Error, Name, Projection, Scope, Watched, Watches};

/// Where the API server says whether it has EndpointSlices (since Kubernetes 1.21).
const DISCOVERY: &str = "/apis/discovery.k8s.io/v1";

/// How long it is waited for that.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many namespaces are watched each for itself. If the node's pods are in more, one watch of the whole cluster is
/// cheaper for the node and for the API server.
const MOST_NAMESPACES: usize = 16;

/// For how many calls of [`NodeServices::follow`] the services of a namespace stay watched that the node has no pods of.
const LINGER: u32 = 10;

/// The ready pods behind the services in a scope.
#[derive(Debug)]
pub struct Services {
    watches: Watches,
    scope: Scope,
    state: Mutex<State>,
}

/// The services of those namespaces that a node has pods of: what happens in others is none of its business, and a
/// thousand nodes that watch a whole cluster are a burden to its API server.
#[derive(Debug)]
pub struct NodeServices {
    watches: Watches,
    /// By namespace; under no name those of the whole cluster.
    watched: Mutex<HashMap<Option<Name>, Followed>>,
}

#[derive(Debug)]
struct Followed {
    services: Arc<Services>,
    /// The number of calls since it was last needed.
    unused: u32,
}

#[derive(Debug)]
struct State {
    behind: Behind,
    /// It is known that the API server has what is watched.
    settled: bool,
}

#[derive(Debug, Clone)]
enum Behind {
    Slices(Watched<EndpointSlice>),
    Endpoints(Watched<Endpoints>),
}

impl Services {
    /// Begins to watch. Must be called within a Tokio runtime.
    #[must_use]
    pub fn watch(watches: &Watches, scope: Scope) -> Self {
        let behind = Behind::Slices(watches.watch(&scope, &Projection::default()));
        Self { watches: watches.clone(), scope, state: Mutex::new(State { behind, settled: false }) }
    }

    /// Turns to Endpoints if the API server has no EndpointSlices. To be called from time to time: it asks only as long as
    /// they cannot be listed and it is not known why, and waits for two seconds at most.
    pub async fn settle(&self) {
        if self.is_in_doubt()
            && let Some(has_slices) = has_slices(&self.watches).await
        {
            self.settle_for(has_slices);
        }
    }

    fn is_in_doubt(&self) -> bool {
        let State { behind, settled } = &*self.lock();
        matches!(behind, Behind::Slices(slices) if !settled && !slices.is_synced() && slices.stats().failures > 0)
    }

    fn settle_for(&self, has_slices: bool) {
        let mut state = self.lock();
        if !has_slices {
            state.behind = Behind::Endpoints(self.watches.watch(&self.scope, &Projection::default()));
        }
        state.settled = true;
    }

    /// Calls `visit` with namespace, service and ready pods. A service may come several times, each time with some of its
    /// pods.
    pub fn for_each(&self, mut visit: impl FnMut(&Name, &Name, &[PodRef])) {
        match self.behind() {
            Behind::Slices(slices) => {
                slices.for_each(|slice| visit(&slice.meta.namespace, &slice.service, &slice.pods));
            }
            Behind::Endpoints(endpoints) => {
                endpoints.for_each(|service| {
                    visit(&service.meta.namespace, &Name::from(&*service.meta.name), &service.pods);
                });
            }
        }
    }

    /// Whether all were listed once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        match self.behind() {
            Behind::Slices(slices) => slices.is_synced(),
            Behind::Endpoints(endpoints) => endpoints.is_synced(),
        }
    }

    /// Waits until all were listed once, for ever if they never can be.
    pub async fn synced(&self) {
        match self.behind() {
            Behind::Slices(slices) => slices.synced().await,
            Behind::Endpoints(endpoints) => endpoints.synced().await,
        }
    }

    fn behind(&self) -> Behind {
        self.lock().behind.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeServices {
    /// Watches nothing yet.
    #[must_use]
    pub fn new(watches: &Watches) -> Self {
        Self { watches: watches.clone(), watched: Mutex::default() }
    }

    /// From now on the services of the namespaces of these pods are watched, and no others but those that were until lately.
    /// `cluster` are those of the whole cluster, where somebody watches them anyway: once they are known, nothing else is
    /// watched. Must be called within a Tokio runtime.
    ///
    /// Whether namespaces are new: their services are known a moment later.
    pub fn follow<'a>(
        &self,
        pods: impl IntoIterator<Item = &'a Pod>,
        cluster: Option<&Arc<Services>>,
    ) -> bool {
        let cluster = cluster.filter(|services| services.is_synced());
        let namespaces: BTreeSet<Option<&Name>> =
            pods.into_iter().map(|pod| Some(&pod.meta.namespace)).collect();
        let is_wide = cluster.is_some() || namespaces.len() > MOST_NAMESPACES;
        let needed = if is_wide { BTreeSet::from([None]) } else { namespaces };
        let mut watched = self.lock();
        let (mut has_new, mut are_known) = (false, true);
        for namespace in &needed {
            let followed = watched.entry(namespace.cloned()).or_insert_with(|| {
                has_new = true;
                let scope = namespace.map_or_else(Scope::all, |name| Scope::all().namespace(&**name));
                let begin = || Arc::new(Services::watch(&self.watches, scope));
                Followed { services: cluster.cloned().unwrap_or_else(begin), unused: 0 }
            });
            are_known &= followed.services.is_synced();
        }
        watched.retain(|namespace, followed| {
            if needed.contains(&namespace.as_ref()) {
                followed.unused = 0;
            } else if are_known || namespace.is_some() {
                // Those of the whole cluster stay until those of the namespaces take their place.
                followed.unused += 1;
            }
            followed.unused <= LINGER
        });
        has_new
    }

    /// [`Services::settle`] of all that are followed, with one question for all.
    pub async fn settle(&self) {
        let doubtful: Vec<_> = self.all().into_iter().filter(|services| services.is_in_doubt()).collect();
        if !doubtful.is_empty()
            && let Some(has_slices) = has_slices(&self.watches).await
        {
            doubtful.iter().for_each(|services| services.settle_for(has_slices));
        }
    }

    /// The service in front of each of these pods, in their order; of several the first by name.
    #[must_use]
    pub fn of<'a>(&self, pods: impl IntoIterator<Item = &'a Pod>) -> Vec<Option<Name>> {
        let pods: Vec<(&str, &str)> =
            pods.into_iter().map(|pod| (&*pod.meta.namespace, &*pod.meta.name)).collect();
        let own: HashMap<(&str, &str), usize> =
            pods.iter().enumerate().map(|(index, pod)| (*pod, index)).collect();
        let namespaces: HashSet<&str> = pods.iter().map(|(namespace, _)| *namespace).collect();
        let mut found: Vec<Option<Name>> = vec![None; pods.len()];
        for services in self.all() {
            services.for_each(|namespace, service, pods| {
                if !namespaces.contains(&**namespace) {
                    return;
                }
                for pod in pods {
                    let index = own.get(&(&*pod.namespace, &*pod.name)).copied();
                    let Some(found) = index.and_then(|index| found.get_mut(index)) else { continue };
                    if found.as_ref().is_none_or(|known| service < known) {
                        *found = Some(Name::clone(service));
                    }
                }
            });
        }
        // A pod and the one that took its name have one index.
        pods.iter().map(|pod| found.get(*own.get(pod)?)?.clone()).collect()
    }

    /// Waits until all that are followed were listed once, for ever if they never can be.
    pub async fn synced(&self) {
        for services in self.all() {
            services.synced().await;
        }
    }

    fn all(&self) -> Vec<Arc<Services>> {
        self.lock().values().map(|followed| Arc::clone(&followed.services)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<Name>, Followed>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the API server has EndpointSlices; nothing if it does not say.
async fn has_slices(watches: &Watches) -> Option<bool> {
    match tokio::time::timeout(PATIENCE, watches.api().get(DISCOVERY)).await {
        Ok(Ok(_)) => Some(true),
        Ok(Err(Error::Status { status: 404, .. })) => {
            tracing::info!("this API server has no EndpointSlices: services are known by their Endpoints");
            Some(false)
        }
        Ok(Err(_)) | Err(_) => None,
    }
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
