use async_trait::async_trait;
use parlance_core::{Blocks, Timestamp, TooManyBlocks, UserId};

use crate::error::StoreError;

/// Why nobody was blocked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The user blocks as many as they may.
    #[error(transparent)]
    TooMany(#[from] TooManyBlocks),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whom users block. Not in the change feed.
#[async_trait]
pub trait BlockStore: Send + Sync + 'static {
    /// Whom `user` blocks.
    async fn blocks(&self, user: &UserId) -> Result<Blocks, StoreError>;

    /// Has `user` block `other` since `since`, or with `None` no longer. Returns all of their blocks afterwards.
    async fn set_block(
        &self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Blocks, BlockError>;
}
