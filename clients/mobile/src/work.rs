//! The runtime that drives connections. Futures returned to the app are polled by the app's own threads.
#![forbid(unsafe_code)]

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::ClientError;

/// Threads of the runtime, shared by all clients: a listener may block one of them.
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

/// Runs a future to completion on the runtime, even if the caller stops waiting.
pub(crate) async fn run<T: Send + 'static>(
    future: impl Future<Output = Result<T, ClientError>> + Send + 'static,
) -> Result<T, ClientError> {
    let task: JoinHandle<Result<T, ClientError>> = runtime()?.spawn(future);
    task.await.unwrap_or_else(|error| Err(ClientError::NotRunning { details: error.to_string() }))
}
