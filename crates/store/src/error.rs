/// Why a store operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Overloaded; retrying later helps.
    #[error("the store is overloaded")]
    Overloaded,
    /// It could not be reached, or did not answer; retrying later may help. Names the operation, for the operator.
    #[error("the store does not answer: {0}")]
    Unreachable(String),
    /// It rejects the request: tables, permissions or settings are wrong. Names the cause, for the operator.
    #[error("the store rejected the request: {0}")]
    Refused(String),
    /// Stored data is unreadable. Names the data and its location, for the operator.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// The store has failed and accepts no more writes: the process must exit. Writes in progress may exist after a
    /// restart.
    #[error("the store has failed: {0}")]
    Failed(String),
}

/// Why an append did not happen, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another append was first: catch up and decide again.
    #[error("the room's head has changed")]
    HeadMoved,
    /// The answer was lost: read the key back and compare nonces before continuing.
    #[error("the outcome of the append is unknown")]
    Unknown,
    /// It did not happen; but see [`StoreError::Failed`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
