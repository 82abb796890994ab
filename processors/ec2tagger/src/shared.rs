//! What all pipelines of a processor share: who asks, and what is known.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use component::Host;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Config;
use crate::tagger::{Known, Tagger};

/// Processors are made once per pipeline, and nothing but the process is common to all pipelines. What is here is dropped
/// with its last user.
static ALL: Mutex<Vec<(Key, Weak<Running>)>> = Mutex::new(Vec::new());

/// What decides whether two processors share.
#[derive(PartialEq, Eq)]
struct Key {
    /// The runtime whose tasks ask.
    runtime: tokio::runtime::Id,
    id: String,
    config: Arc<Config>,
}

/// A tagger that asks.
pub(crate) struct Running {
    pub(crate) known: Arc<Known>,
    /// Until when data wait.
    pub(crate) patience: Instant,
    task: Option<JoinHandle<()>>,
}

impl Running {
    /// The tagger of a processor: that of another pipeline, or what `make` makes.
    pub(crate) fn of(id: &str, config: &Arc<Config>, make: impl FnOnce() -> Self) -> Arc<Self> {
        let runtime = tokio::runtime::Handle::current().id();
        let key = Key { runtime, id: id.to_owned(), config: Arc::clone(config) };
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, running)| running.strong_count() > 0);
        let known = all.iter().find(|(known, _)| *known == key);
        if let Some(running) = known.and_then(|(_, running)| running.upgrade()) {
            return running;
        }
        let running = Arc::new(make());
        all.push((key, Arc::downgrade(&running)));
        running
    }

    /// Begins to ask.
    pub(crate) fn start(
        id: &str,
        tagger: Tagger,
        known: Arc<Known>,
        patience: Duration,
        host: &Host,
    ) -> Self {
        let task = host.spawn(format!("{id}: tagger"), tagger.run());
        Self { known, patience: Instant::now() + patience, task: Some(task) }
    }

    /// Ends the task.
    pub(crate) async fn stop(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // That it was aborted is no news.
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
