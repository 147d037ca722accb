//! Work that does not depend on its caller.

use std::future::{Future, pending};

use tokio::task::JoinError;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Runs `future` in its own task, which is cancelled when the returned future is dropped.
///
/// A session is polled only as fast as its client reads. Anything that queues for a lock, a store reader or a
/// connection must be able to proceed when its turn comes, or everyone behind it waits for that client.
///
/// Spawned at once, so the caller holds a handle and no memory for `future`.
pub fn in_own_task<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
where
    F: Future<Output: Send> + Send + 'static,
{
    let task = AbortOnDropHandle::new(tokio::spawn(future));
    async { joined(task.await).await }
}

/// Runs `future` to completion in a task of `tasks`, even if the caller is dropped: for work that must not stop
/// halfway, such as a commit and its announcement.
pub fn run_to_end<F>(tasks: &TaskTracker, future: F) -> impl Future<Output = F::Output> + Send + 'static
where
    F: Future<Output: Send> + Send + 'static,
{
    let task = tasks.spawn(future);
    async { joined(task.await).await }
}

async fn joined<T>(result: Result<T, JoinError>) -> T {
    match result {
        Ok(output) => output,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down, and this task with it.
        Err(_) => pending().await,
    }
}
