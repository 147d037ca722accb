use std::collections::VecDeque;
use std::future::pending;

use tokio::task::JoinSet;

/// Store reads of a session, which continues meanwhile: a limited number at a time, each in its own task; others
/// queue. Takes no memory while there are none; dropping it cancels them.
pub(crate) struct Tasks<W, T> {
    at_once: usize,
    /// Not started yet.
    waiting: VecDeque<W>,
    running: Option<JoinSet<T>>,
}

impl<W, T: Send + 'static> Tasks<W, T> {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, waiting: VecDeque::new(), running: None }
    }

    /// Queues a read.
    pub(crate) fn add(&mut self, read: W) {
        self.waiting.push_back(read);
    }

    /// Whether no other read is allowed now.
    pub(crate) fn is_full(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.len() >= self.at_once)
    }

    /// The next read to [spawn](Self::spawn), if another one is allowed.
    pub(crate) fn next_waiting(&mut self) -> Option<W> {
        if self.is_full() { None } else { self.waiting.pop_front() }
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = T> + Send + 'static) {
        self.running.get_or_insert_default().spawn(task);
    }

    /// Waits for the next finished one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> T {
        let Some(running) = &mut self.running else { return pending().await };
        let ended = running.join_next().await;
        if running.is_empty() {
            self.running = None;
        }
        match ended {
            Some(Ok(output)) => output,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is shutting down, and the session with it.
            _ => pending().await,
        }
    }
}
