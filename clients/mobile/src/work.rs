//! The threads that clients run on: those of the app poll futures, and must not drive connections.
#![forbid(unsafe_code)]

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::ClientError;

/// Threads of the runtime, however many clients there are: one that listens may be kept busy by the app.
const THREADS: usize = 2;

static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

/// The runtime, which lives as long as the process.
pub(crate) fn runtime() -> Result<&'static Runtime, ClientError> {
    let start = || {
        Builder::new_multi_thread().worker_threads(THREADS).thread_name("parlance").enable_all().build().ok()
    };
    let no_threads = || ClientError::NotRunning { details: "no thread could be started".to_owned() };
    RUNTIME.get_or_init(start).as_ref().ok_or_else(no_threads)
}

/// Runs a future there to its end, whether or not its caller waits for that.
pub(crate) async fn run<T: Send + 'static>(
    future: impl Future<Output = Result<T, ClientError>> + Send + 'static,
) -> Result<T, ClientError> {
    let task: JoinHandle<Result<T, ClientError>> = runtime()?.spawn(future);
    task.await.unwrap_or_else(|error| Err(ClientError::NotRunning { details: error.to_string() }))
}
