//! Connections that only count, each in a task of its own.

use anyhow::{Context, Result};
use tokio::task::JoinSet;

/// Tasks that read until each has all its messages. Dropped, they end.
#[derive(Debug)]
pub(super) struct Listeners<T>(JoinSet<Result<T>>);

impl<T: Send + 'static> Listeners<T> {
    /// Reads from each of `connections` with `read`, which gives the connection back once all
    /// has come: closed while others still read, it would be work for the server that no
    /// message caused.
    pub(super) fn spawn<F>(connections: Vec<T>, read: impl Fn(T) -> F) -> Self
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Self(connections.into_iter().map(read).collect())
    }

    /// Waits until all have everything.
    pub(super) async fn finish(mut self) -> Result<Vec<T>> {
        let mut connections = Vec::with_capacity(self.0.len());
        while let Some(ended) = self.0.join_next().await {
            connections.push(ended.context("a listener broke")??);
        }
        Ok(connections)
    }
}
