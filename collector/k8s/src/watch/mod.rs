//! Watches: one per kind, scope and projection, shared by all who ask for it.

mod plan;
mod reflector;
#[cfg(test)]
mod reflector_tests;
mod scope;

pub use scope::Scope;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use component::Host;
use tokio::task::AbortHandle;

use crate::changes::{Changes, Queue};
use crate::row::Row;
use crate::store::Store;
use crate::{ApiServer, ApiServerConfig, Error, Interner, Projection};

/// The watches of one connection to an API server.
///
/// Clones share them. Whoever asks for what is watched already, gets the same store; what nobody holds any more is no
/// longer watched.
#[derive(Clone)]
pub struct Watches(Arc<Shared>);

struct Shared {
    api: ApiServer,
    host: Host,
    interner: Arc<Interner>,
    running: Mutex<HashMap<Key, Box<dyn Any + Send + Sync>>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    row: TypeId,
    scope: Scope,
    projection: Projection,
}

/// A watch that runs as long as somebody holds it. It is its store.
pub struct Watched<R>(Arc<Running<R>>);

struct Running<R> {
    store: Arc<Store<R>>,
    task: AbortHandle,
}

/// The changes of a watch, told to one subscriber. It keeps the watch running.
pub struct Subscription<R> {
    queue: Arc<Queue<R>>,
    watched: Watched<R>,
}

impl Watches {
    /// The watches of the cluster whose pod this is: one set for the whole process, as long as anybody holds it. Their tasks
    /// are those of the `host` that asks first.
    ///
    /// # Errors
    /// [`Error::InCluster`] or [`Error::Client`].
    pub fn in_cluster(host: &Host) -> Result<Self, Error> {
        static OF_PROCESS: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
        let mut of_process = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = of_process.upgrade() {
            return Ok(Self(shared));
        }
        let watches = Self::new(ApiServer::on_host(ApiServerConfig::in_cluster()?, host)?, host);
        *of_process = Arc::downgrade(&watches.0);
        Ok(watches)
    }

    /// No watches yet. Their tasks are `host`'s.
    #[must_use]
    pub fn new(api: ApiServer, host: &Host) -> Self {
        Self(Arc::new(Shared {
            api,
            host: host.clone(),
            interner: Arc::default(),
            running: Mutex::default(),
        }))
    }

    /// The watch of all objects of a kind in `scope`, as far as `projection` keeps them; begins it if nobody has yet.
    /// Must be called within a Tokio runtime.
    #[must_use]
    pub fn watch<R: Row>(&self, scope: &Scope, projection: &Projection) -> Watched<R> {
        let key = Key { row: TypeId::of::<R>(), scope: scope.clone(), projection: projection.clone() };
        let mut all = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&key).and_then(|any| any.downcast_ref::<Weak<Running<R>>>());
        if let Some(running) = known.and_then(Weak::upgrade) {
            return Watched(running);
        }
        let store = Arc::new(Store::new(Arc::clone(&self.0.interner)));
        let reflector =
            reflector::Reflector::new(self.0.api.clone(), scope, projection.clone(), Arc::clone(&store));
        let name = format!("k8s: watch of {scope:?} {}", R::RESOURCE.plural);
        let task = self.0.host.spawn(name, reflector.run()).abort_handle();
        let running = Arc::new(Running { store, task });
        all.insert(key, Box::new(Arc::downgrade(&running)));
        Watched(running)
    }

    /// The pools that all rows take their shared parts from.
    #[must_use]
    pub fn interner(&self) -> &Arc<Interner> {
        &self.0.interner
    }

    /// The connection that is watched over.
    #[must_use]
    pub fn api(&self) -> &ApiServer {
        &self.0.api
    }
}

impl<R: Row> Watched<R> {
    /// Tells a subscriber of changes; it begins with a resync.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<R> {
        let queue = Arc::new(Queue::new());
        self.0.store.attach(&queue);
        Subscription { queue, watched: self.clone() }
    }
}

impl<R: Row> Subscription<R> {
    /// What happened since the last call; waits for something. Cancel safe.
    pub async fn next(&mut self) -> Changes<R> {
        self.queue.next().await
    }

    /// What happened since the last call, if anything did.
    pub fn try_next(&mut self) -> Option<Changes<R>> {
        self.queue.take()
    }

    /// The watch.
    #[must_use]
    pub fn watched(&self) -> &Watched<R> {
        &self.watched
    }
}

impl<R> Deref for Watched<R> {
    type Target = Store<R>;

    fn deref(&self) -> &Store<R> {
        &self.0.store
    }
}

impl<R> Clone for Watched<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> Drop for Running<R> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

impl<R: Row> fmt::Debug for Watched<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("resource", &R::RESOURCE.plural).field("rows", &self.len()).finish()
    }
}
