use std::collections::VecDeque;
use std::future::pending;

use tokio::task::JoinSet;

/// Reads of the store that a session waits for while it goes on: so many at a time, each in a task of
/// its own; the others wait in line. Takes no memory while there are none; dropping it ends them.
pub(crate) struct Tasks<W, T> {
    at_once: usize,
    /// Not begun yet.
    waiting: VecDeque<W>,
    running: Option<JoinSet<T>>,
}

impl<W, T: Send + 'static> Tasks<W, T> {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, waiting: VecDeque::new(), running: None }
    }

    /// Puts a read in line.
    pub(crate) fn add(&mut self, read: W) {
        self.waiting.push_back(read);
    }

    /// The next read to [begin](Self::spawn), if there may be one more.
    pub(crate) fn next_waiting(&mut self) -> Option<W> {
        let is_full = self.running.as_ref().is_some_and(|running| running.len() >= self.at_once);
        if is_full { None } else { self.waiting.pop_front() }
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
