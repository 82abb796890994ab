//! What the service gives a component at start: a place for its tasks.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

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
        tokio::spawn(async move {
            let _entry = entry;
            future.await
        })
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

/// The service as a component sees it.
#[derive(Debug, Clone)]
pub struct Host {
    tasks: TaskSet,
    fatal: watch::Sender<Option<String>>,
}

impl Host {
    /// A host over a set of tasks. Fatal errors go to `fatal`.
    pub fn new(tasks: TaskSet, fatal: watch::Sender<Option<String>>) -> Self {
        Self { tasks, fatal }
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
    async fn the_first_fatal_reason_is_kept() {
        let (sender, receiver) = watch::channel(None);
        let host = Host::new(TaskSet::default(), sender);
        host.report_fatal("first");
        host.report_fatal("second");
        assert_eq!(receiver.borrow().as_deref(), Some("first"));
    }
}
