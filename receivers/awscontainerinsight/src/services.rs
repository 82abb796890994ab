//! Which pods are behind which services: EndpointSlices, or of old API servers Endpoints.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s::row::{EndpointSlice, Endpoints, PodRef};
use k8s::{Error, Name, Projection, Scope, Watched, Watches};

/// Where the API server says whether it has EndpointSlices (since Kubernetes 1.21).
const DISCOVERY: &str = "/apis/discovery.k8s.io/v1";

/// How long a collection waits for that.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many namespaces are watched each for itself. If the node's pods are in more, one watch of the whole cluster is
/// cheaper for the node and for the API server.
const MOST_NAMESPACES: usize = 16;

/// For how many collections the services of a namespace stay watched that the node has no pods of.
const LINGER: u32 = 10;

/// The ready pods behind the services in a scope.
#[derive(Debug)]
pub(crate) struct Services {
    watches: Watches,
    scope: Scope,
    state: Mutex<State>,
}

/// The ready pods behind the services of those namespaces that a node has pods of: what happens in others is none of its
/// business, and a thousand nodes that watch a whole cluster are a burden to its API server.
#[derive(Debug)]
pub(crate) struct NodeServices {
    watches: Watches,
    /// By namespace; under no name those of the whole cluster.
    watched: Mutex<HashMap<Option<Name>, Followed>>,
}

#[derive(Debug)]
struct Followed {
    services: Arc<Services>,
    /// The number of collections since it was last needed.
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
    /// Begins to watch.
    pub(crate) fn watch(watches: &Watches, scope: Scope) -> Self {
        let behind = Behind::Slices(watches.watch(&scope, &Projection::default()));
        Self { watches: watches.clone(), scope, state: Mutex::new(State { behind, settled: false }) }
    }

    /// Turns to Endpoints if the API server has no EndpointSlices. To be called from time to time: it asks only as long as
    /// they cannot be listed and it is not known why.
    pub(crate) async fn settle(&self) {
        let is_in_doubt = {
            let State { behind, settled } = &*self.lock();
            let Behind::Slices(slices) = behind else { return };
            !settled && !slices.is_synced() && slices.stats().failures > 0
        };
        if !is_in_doubt {
            return;
        }
        match tokio::time::timeout(PATIENCE, self.watches.api().get(DISCOVERY)).await {
            Ok(Ok(_)) => self.lock().settled = true,
            Ok(Err(Error::Status { status: 404, .. })) => {
                tracing::info!(
                    "this API server has no EndpointSlices: services are known by their Endpoints"
                );
                let endpoints = self.watches.watch(&self.scope, &Projection::default());
                *self.lock() = State { behind: Behind::Endpoints(endpoints), settled: true };
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }

    /// Calls `visit` with namespace, service and pods. A service may come several times, each time with some of its pods.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&str, &str, &[PodRef])) {
        let behind = self.lock().behind.clone();
        match behind {
            Behind::Slices(slices) => {
                slices.for_each(|slice| visit(&slice.meta.namespace, &slice.service, &slice.pods));
            }
            Behind::Endpoints(endpoints) => {
                endpoints
                    .for_each(|service| visit(&service.meta.namespace, &service.meta.name, &service.pods));
            }
        }
    }

    /// Waits until all were listed once.
    #[cfg(test)]
    pub(crate) async fn synced(&self) {
        let behind = self.lock().behind.clone();
        match behind {
            Behind::Slices(slices) => slices.synced().await,
            Behind::Endpoints(endpoints) => endpoints.synced().await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeServices {
    /// Watches nothing yet.
    pub(crate) fn new(watches: &Watches) -> Self {
        Self { watches: watches.clone(), watched: Mutex::default() }
    }

    /// From now on the services of these namespaces are watched, and no others but those that were until lately.
    pub(crate) fn follow<'a>(&self, namespaces: impl Iterator<Item = &'a Name>) {
        let namespaces: BTreeSet<Option<&Name>> = namespaces.map(Some).collect();
        let everything = BTreeSet::from([None]);
        let needed = if namespaces.len() > MOST_NAMESPACES { &everything } else { &namespaces };
        let mut watched = self.lock();
        watched.values_mut().for_each(|followed| followed.unused += 1);
        for namespace in needed {
            let followed = watched.entry(namespace.cloned()).or_insert_with(|| {
                let scope = namespace.map_or_else(Scope::all, |name| Scope::all().namespace(&**name));
                Followed { services: Arc::new(Services::watch(&self.watches, scope)), unused: 0 }
            });
            followed.unused = 0;
        }
        watched.retain(|_, followed| followed.unused <= LINGER);
    }

    /// [`Services::settle`] of all.
    pub(crate) async fn settle(&self) {
        for services in self.all() {
            services.settle().await;
        }
    }

    /// [`Services::for_each`] of all.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&str, &str, &[PodRef])) {
        for services in self.all() {
            services.for_each(&mut visit);
        }
    }

    /// Waits until all that are followed were listed once.
    #[cfg(test)]
    pub(crate) async fn synced(&self) {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use component::Host;
    use k8s::{ApiServer, ApiServerConfig};
    use serde_json::json;
    use testkit::{FakeApiServer, Fault};
    use tokio::time::{Instant, sleep};

    use super::*;

    const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
    const ENDPOINTS: &str = "/api/v1/endpoints";

    async fn services(server: &FakeApiServer) -> Services {
        let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
        Services::watch(&Watches::new(api, &Host::standalone()), Scope::all())
    }

    fn found(services: &Services) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        services.for_each(|namespace, service, pods| {
            for pod in pods {
                found.insert(format!("{namespace}/{service}: {}", pod.name));
            }
        });
        found
    }

    /// Settles again and again, as collections do, until something is found.
    async fn settle_until(services: &Services, expected: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !found(services).contains(expected) {
            services.settle().await;
            sleep(Duration::from_millis(10)).await;
            assert!(Instant::now() < end, "{:?}", found(services));
        }
    }

    #[tokio::test]
    async fn old_api_servers_are_asked_for_endpoints() {
        let server = FakeApiServer::start().await;
        let pod = |name: &str| json!({"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "namespace": "ns", "name": name}});
        server.put(
            ENDPOINTS,
            json!({"metadata": {"name": "web", "namespace": "ns"},
                   "subsets": [{"addresses": [pod("ready")], "notReadyAddresses": [pod("waits")]}]}),
        );
        let services = services(&server).await;
        settle_until(&services, "ns/web: ready").await;
        assert_eq!(found(&services).len(), 1, "those that are not ready do not count");
        // What was not there is no longer asked for.
        let asked = || server.requests().iter().filter(|request| request.path.starts_with(DISCOVERY)).count();
        let before = asked();
        for _ in 0..10 {
            services.settle().await;
        }
        assert_eq!(asked(), before);
    }

    #[tokio::test]
    async fn a_refusal_is_no_reason_to_ask_for_endpoints() {
        let server = FakeApiServer::start().await;
        server.answer(DISCOVERY, 200, "{}");
        server.fail(SLICES, Fault::Status(403));
        let services = services(&server).await;
        let end = Instant::now() + Duration::from_secs(20);
        while !services.lock().settled {
            services.settle().await;
            sleep(Duration::from_millis(10)).await;
            assert!(Instant::now() < end);
        }
        assert!(matches!(services.lock().behind, Behind::Slices(_)));
        assert!(!server.requests().iter().any(|request| request.path.starts_with(ENDPOINTS)));
    }

    #[tokio::test]
    async fn slices_that_can_be_listed_are_not_asked_about() {
        let server = FakeApiServer::start().await;
        let endpoint = json!({"targetRef": {"kind": "Pod", "namespace": "ns", "name": "pod"}});
        server.put(SLICES, json!({"metadata": {"name": "a", "namespace": "ns"}, "endpoints": [endpoint]}));
        let services = services(&server).await;
        settle_until(&services, "ns/a: pod").await;
        assert!(!server.requests().iter().any(|request| request.path == DISCOVERY));
    }

    #[tokio::test]
    async fn only_the_namespaces_of_the_nodes_pods_are_watched() {
        let server = FakeApiServer::start().await;
        for namespace in ["own", "other"] {
            let endpoint = json!({"targetRef": {"kind": "Pod", "namespace": namespace, "name": format!("of-{namespace}")}});
            server.put(
                SLICES,
                json!({"metadata": {"name": "web", "namespace": namespace}, "endpoints": [endpoint]}),
            );
        }
        let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
        let services = NodeServices::new(&Watches::new(api, &Host::standalone()));
        let visited = || {
            let mut visited = BTreeSet::new();
            services.for_each(|namespace, _, pods| {
                visited.extend(pods.iter().map(|pod| format!("{namespace}/{}", pod.name)));
            });
            visited
        };
        let (own, other) = (Name::from("own"), Name::from("other"));
        services.follow([&own, &own].into_iter());
        services.synced().await;
        assert_eq!(visited(), BTreeSet::from(["own/of-own".to_owned()]));
        let of_all = |path: &str| path.starts_with(SLICES);
        assert!(!server.requests().iter().any(|request| of_all(&request.path)), "{:?}", server.requests());

        // A pod in another namespace comes, the first one goes.
        services.follow([&other].into_iter());
        services.synced().await;
        assert!(visited().contains("other/of-other"));
        for _ in 0..LINGER {
            services.follow([&other].into_iter());
        }
        assert_eq!(visited(), BTreeSet::from(["other/of-other".to_owned()]));

        // Very many namespaces are one watch.
        let many: Vec<Name> =
            (0..=MOST_NAMESPACES).map(|number| Name::from(format!("ns-{number}").as_str())).collect();
        for _ in 0..=LINGER + 1 {
            services.follow(many.iter());
        }
        assert_eq!(services.lock().keys().collect::<Vec<_>>(), [&None]);
    }
}
