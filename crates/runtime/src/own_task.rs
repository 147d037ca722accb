//! Work that does not depend on whoever waits for it.

use std::future::{Future, pending};

use tokio::task::JoinError;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// What `future` comes to, in a task of its own; given up when this is dropped.
///
/// A session is polled only as fast as its client reads. Whatever waits in line, for a
/// lock, a reader of the store or a connection, must be able to go on when its turn
/// comes, or everyone behind it waits for that client.
///
/// Begun at once, so that whoever waits for it holds a handle and no room for `future`.
pub fn in_own_task<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
where
    F: Future<Output: Send> + Send + 'static,
{
    let task = AbortOnDropHandle::new(tokio::spawn(future));
    async { joined(task.await).await }
}

/// The output of `future`, which runs to its end in a task of `tasks` even if the caller is
/// dropped: for what must not stop halfway, such as a commit and its announcement.
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
        // The runtime is going, and we with it.
        Err(_) => pending().await,
    }
}
