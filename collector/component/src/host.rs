//! What the service gives a component at start: a place for its tasks and for what a person should know.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{ComponentId, Extension, IntakeBudget};

/// The tracked set of tasks: who runs, by name. A collector that has shut down has none left.
#[derive(Debug, Clone, Default)]
pub struct TaskSet(Arc<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, String>,
}

impl TaskSet {
    /// Spawns a task that is listed under `name` until it ends, however it ends.
    #[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: impl Into<String>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let entry = self.enter(name.into());
        // Boxed: the runtime's part of a task is then made once for all, not once for every kind of future.
        let task: Pin<Box<dyn Future<Output = F::Output> + Send>> = Box::pin(async move {
            let _entry = entry;
            future.await
        });
        tokio::spawn(task)
    }

    /// The names of the tasks that still run.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().names.values().cloned().collect()
    }

    fn enter(&self, name: String) -> Entry {
        let mut running = self.0.lock();
        let key = running.next;
        running.next += 1;
        running.names.insert(key, name);
        Entry { tasks: self.0.clone(), key }
    }
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes its task off the list when the task ends, is aborted or panics.
struct Entry {
    tasks: Arc<Tasks>,
    key: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.tasks.lock().names.remove(&self.key);
    }
}

/// Something that a person should see at start-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A server takes connections: what it speaks (`OTLP/gRPC`) and where (`127.0.0.1:4317`).
    Listening {
        /// The protocol.
        what: String,
        /// The bound address.
        address: String,
    },
    /// Something that was looked for is there: `cgroup v2`.
    Found {
        /// What was looked for.
        what: String,
        /// More about it; may be empty.
        detail: String,
    },
    /// Something that was looked for is not there: `kubelet`.
    NotFound {
        /// What was looked for.
        what: String,
        /// What will be missing because of it.
        detail: String,
    },
}

/// A search that goes on in the background while the collector runs already. The start-up report waits a moment for it.
#[derive(Debug)]
pub struct Search {
    host: Host,
    what: String,
}

impl Search {
    /// Ends the search: it is there.
    pub fn found(self, detail: impl Into<String>) {
        let what = self.what.clone();
        self.host.notice(Notice::Found { what, detail: detail.into() });
    }

    /// Ends the search: it is not there; `detail` says what will be missing.
    pub fn not_found(self, detail: impl Into<String>) {
        let what = self.what.clone();
        self.host.notice(Notice::NotFound { what, detail: detail.into() });
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.host.notices.send_modify(|notices| notices.searches = notices.searches.saturating_sub(1));
    }
}

#[derive(Debug, Default)]
struct Notices {
    list: Vec<Notice>,
    searches: usize,
}

/// The service as a component sees it.
#[derive(Debug, Clone)]
pub struct Host {
    tasks: TaskSet,
    fatal: watch::Sender<Option<String>>,
    notices: watch::Sender<Notices>,
    extensions: Extensions,
    intake: IntakeBudget,
}

/// The extensions of the service, by id.
#[derive(Clone, Default)]
struct Extensions(Arc<BTreeMap<ComponentId, Arc<dyn Extension>>>);

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Host {
    /// A host over a set of tasks. Fatal errors go to `fatal`.
    pub fn new(tasks: TaskSet, fatal: watch::Sender<Option<String>>) -> Self {
        Self {
            tasks,
            fatal,
            notices: watch::Sender::default(),
            extensions: Extensions::default(),
            intake: IntakeBudget::default(),
        }
    }

    /// The same host with the extensions that its components may look up.
    pub fn with_extensions(
        mut self,
        extensions: impl IntoIterator<Item = (ComponentId, Arc<dyn Extension>)>,
    ) -> Self {
        self.extensions = Extensions(Arc::new(extensions.into_iter().collect()));
        self
    }

    /// The extension of this id, if the service uses one. It is started before any component of a pipeline.
    pub fn extension(&self, id: &ComponentId) -> Option<Arc<dyn Extension>> {
        self.extensions.0.get(id).cloned()
    }

    /// The budget of requests on their way to the pipelines, shared by all servers of the service.
    pub fn intake(&self) -> &IntakeBudget {
        &self.intake
    }

    /// A host of its own, for running one component alone, as tests do.
    pub fn standalone() -> Self {
        Self::new(TaskSet::default(), watch::Sender::new(None))
    }

    /// Spawns a task of a component; its name should start with the component's id.
    pub fn spawn<F>(&self, name: impl Into<String>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(name, future)
    }

    /// The tracked set.
    pub fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// Adds to the start-up report.
    pub fn notice(&self, notice: Notice) {
        self.notices.send_modify(|notices| notices.list.push(notice));
    }

    /// Says that `what` is being looked for in the background.
    pub fn search(&self, what: impl Into<String>) -> Search {
        self.notices.send_modify(|notices| notices.searches += 1);
        Search { host: self.clone(), what: what.into() }
    }

    /// What a person should see, as far as it is known.
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.borrow().list.clone()
    }

    /// Waits until no search is under way.
    pub async fn searches_ended(&self) {
        // The sender is ours: the channel cannot be closed while we wait.
        let _ = self.notices.subscribe().wait_for(|notices| notices.searches == 0).await;
    }

    /// Asks the service to shut down because this component cannot go on; the first reason is kept.
    pub fn report_fatal(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.fatal.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_is_listed_until_it_ends() {
        let tasks = TaskSet::default();
        let (release, wait) = tokio::sync::oneshot::channel::<()>();
        let task = tasks.spawn("otlp: server", async move { wait.await.is_ok() });
        assert_eq!(tasks.names(), ["otlp: server"]);
        release.send(()).unwrap();
        assert!(task.await.unwrap());
        assert!(tasks.names().is_empty());
    }

    #[tokio::test]
    async fn a_task_that_panics_leaves_the_list() {
        let tasks = TaskSet::default();
        let task = tasks.spawn("bad", async { panic!("on purpose") });
        assert!(task.await.is_err());
        assert!(tasks.names().is_empty());
    }

    #[tokio::test]
    async fn the_report_waits_for_searches() {
        let host = Host::standalone();
        let search = host.search("kubelet");
        let dropped = host.search("nobody");
        let waiting = host.clone();
        let ended = host.spawn("wait", async move { waiting.searches_ended().await });
        drop(dropped);
        assert!(!ended.is_finished());
        search.not_found("no pods");
        ended.await.unwrap();
        assert_eq!(host.notices(), [Notice::NotFound { what: "kubelet".into(), detail: "no pods".into() }]);
    }

    #[test]
    fn extensions_are_found_by_id() {
        struct Beside;
        impl crate::Component for Beside {}
        impl Extension for Beside {}

        let id = |text: &str| ComponentId::parse(text).unwrap();
        let host = Host::standalone().with_extensions([(id("beside/1"), Arc::new(Beside) as _)]);
        let extension = host.clone().extension(&id("beside/1")).unwrap();
        assert!(
            extension.storage(crate::Kind::Exporter, &id("otlp"), "").is_none(),
            "unless it says otherwise"
        );
        assert!(host.extension(&id("beside")).is_none());
    }

    #[tokio::test]
    async fn the_first_fatal_reason_is_kept() {
        let (sender, receiver) = watch::channel(None);
        let host = Host::new(TaskSet::default(), sender);
        host.report_fatal("first");
        host.report_fatal("second");
        assert_eq!(receiver.borrow().as_deref(), Some("first"));
    }
}
