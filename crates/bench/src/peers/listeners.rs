//! Connections that only count, each in its own task.

use anyhow::{Context, Result};
use tokio::task::JoinSet;

/// Tasks that read until each has received all its messages. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Listeners<T>(JoinSet<Result<T>>);

impl<T: Send + 'static> Listeners<T> {
    /// Reads from each of `connections` with `read`, which returns the connection at the end:
    /// closing it while others still read would be extra work for the server.
    pub(super) fn spawn<F>(connections: Vec<T>, read: impl Fn(T) -> F) -> Self
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Self(connections.into_iter().map(read).collect())
    }

    /// Waits until all have received everything.
    pub(super) async fn finish(mut self) -> Result<Vec<T>> {
        let mut connections = Vec::with_capacity(self.0.len());
        while let Some(ended) = self.0.join_next().await {
            connections.push(ended.context("a listener broke")??);
        }
        Ok(connections)
    }
}
