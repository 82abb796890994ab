//! What all pipelines of a processor share: one detection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::engine::Detection;

/// Processors are made once per pipeline, and nothing but the process is common to all pipelines. What is here is dropped
/// with its last user.
static DETECTIONS: Mutex<Option<HashMap<Key, Weak<Detection>>>> = Mutex::new(None);

/// What decides whether two processors share: the runtime, whose tasks ask; the id; the configuration.
type Key = (tokio::runtime::Id, String, String);

/// The detection of a processor: that of another pipeline, or what `make` makes.
pub(crate) fn detection(id: &str, configuration: String, make: impl FnOnce() -> Detection) -> Arc<Detection> {
    let key = (tokio::runtime::Handle::current().id(), id.to_owned(), configuration);
    let mut all = lock();
    let all = all.get_or_insert_default();
    if let Some(detection) = all.get(&key).and_then(Weak::upgrade) {
        return detection;
    }
    all.retain(|_, detection| detection.strong_count() > 0);
    let detection = Arc::new(make());
    all.insert(key, Arc::downgrade(&detection));
    detection
}

fn lock() -> MutexGuard<'static, Option<HashMap<Key, Weak<Detection>>>> {
    DETECTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}
