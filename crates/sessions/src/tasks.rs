use std::future::pending;

use tokio::task::JoinSet;

/// A bounded number of reads of the store at a time, each in a task of its own, so that a session
/// goes on meanwhile. Takes no memory while there are none; dropping it ends them.
pub(crate) struct Tasks<T> {
    at_once: usize,
    running: Option<JoinSet<T>>,
}

impl<T: Send + 'static> Tasks<T> {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, running: None }
    }

    /// Whether no more may be spawned for now.
    pub(crate) fn is_full(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.len() >= self.at_once)
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = T> + Send + 'static) {
        self.running.get_or_insert_default().spawn(task);
    }

    /// Waits for the next one that ends. Cancel-safe.
    pub(crate) async fn next(&mut self) -> T {
        let Some(running) = &mut self.running else { return pending().await };
        let ended = running.join_next().await;
        if running.is_empty() {
            self.running = None;
        }
        match ended {
            Some(Ok(output)) => output,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is going, and the session with it.
            _ => pending().await,
        }
    }
}
