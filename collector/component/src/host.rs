//! What the service gives a component at start: a place for its tasks and for what a person should know.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{ComponentId, Extension, IntakeBudget};

/// The tracked set of tasks: who runs, by name. A collector that has shut down has none left.
#[derive(Debug, Clone, Default)]
pub struct TaskSet(Arc<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    running: Mutex<Running>,
    /// The name of the first task that panicked.
    panicked: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, String>,
}

impl TaskSet {
    /// Spawns a task that is listed under `name` until it ends, however it ends. A panic is noted: see
    /// [`TaskSet::panicked`].
    pub fn spawn<F>(&self, name: impl Into<String>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on(None, name, future)
    }

    /// Spawns a task on a runtime, or on the present one.
    #[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
    fn spawn_on<F>(
        &self,
        runtime: Option<&Handle>,
        name: impl Into<String>,
        future: F,
    ) -> JoinHandle<F::Output>
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
        match runtime {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        }
    }

    /// Waits until a task panics; the name of the first that did.
    pub async fn panicked(&self) -> String {
        let mut panicked = self.0.panicked.subscribe();
        match panicked.wait_for(Option::is_some).await {
            Ok(name) => name.clone().unwrap_or_default(),
            // The sender lives as long as the set.
            Err(_) => std::future::pending().await,
        }
    }

    /// The name of the first task that panicked, if one did.
    pub fn first_panic(&self) -> Option<String> {
        self.0.panicked.borrow().clone()
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
        let name = self.tasks.lock().names.remove(&self.key);
        // The entry is a variable of the task, which a panic drops while it unwinds.
        if std::thread::panicking() {
            self.tasks.panicked.send_if_modified(|first| {
                let is_first = first.is_none();
                if is_first {
                    first.clone_from(&name);
                }
                is_first
            });
        }
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
    /// The runtime of tasks that always have to answer.
    control: Option<Handle>,
    /// The runtime on which tasks of this host run; the present one if `None`.
    runtime: Option<Handle>,
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
            control: None,
            runtime: None,
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

    /// The same host with a runtime for tasks that have to answer whatever the pipelines do.
    pub fn with_control(mut self, control: Option<Handle>) -> Self {
        self.control = control;
        self
    }

    /// A host whose tasks run beside the pipelines, on a runtime that no pipeline can block: for health checks. What a
    /// task registers with its runtime, such as a socket, has to be made in the task.
    pub fn on_control(&self) -> Self {
        Self { runtime: self.control.clone(), ..self.clone() }
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
        self.tasks.spawn_on(self.runtime.as_ref(), name, future)
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
        assert_eq!(tasks.first_panic().as_deref(), Some("bad"));
        assert_eq!(tasks.panicked().await, "bad");
    }

    #[tokio::test]
    async fn a_task_that_is_aborted_did_not_panic() {
        let tasks = TaskSet::default();
        let task = tasks.spawn("waits", std::future::pending::<()>());
        task.abort();
        assert!(task.await.is_err());
        assert_eq!(tasks.first_panic(), None);
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
