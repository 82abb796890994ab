//! Long or blocking work on a thread of the runtime.

use std::future::Future;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs work that computes or blocks for long, after giving the other tasks of this thread to another one. On a runtime of one
/// thread, and outside of a runtime, it just runs.
pub fn blocking<R>(work: impl FnOnce() -> R) -> R {
    if is_multi_thread() { tokio::task::block_in_place(work) } else { work() }
}

/// Waits from within synchronous code, after giving the other tasks of this thread to another one. On a runtime of one thread,
/// which could not make the event happen meanwhile, it returns at once.
pub fn wait_blocking(event: impl Future<Output = ()>) {
    if is_multi_thread() {
        tokio::task::block_in_place(|| Handle::current().block_on(event));
    }
}

fn is_multi_thread() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_run_while_one_waits() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<u32>();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let host = component::Host::standalone();
        let waits = host.spawn("waits", async move {
            let mut received = 0;
            wait_blocking(async { received = receiver.await.unwrap() });
            answer.send(received).unwrap();
        });
        host.spawn("sends", async move { sender.send(7).unwrap() }).await.unwrap();
        waits.await.unwrap();
        assert_eq!(answered.await, Ok(7), "the only worker was not held up");
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_is_not_held_up() {
        wait_blocking(std::future::pending());
        assert_eq!(blocking(|| 7), 7);
    }
}
