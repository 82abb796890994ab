//! Panics as log lines.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Number of panics of this process.
pub(super) fn count() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Makes panics log lines, with their place and the name of the thread, in place of text on standard error.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = info.location().map(ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(message = "a task panicked", reason = message, place, thread = thread.name());
    }));
}
