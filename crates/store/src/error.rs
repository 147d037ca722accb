/// Why a store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too much at once; trying again later helps.
    #[error("the store is overloaded")]
    Overloaded,
    /// It could not be reached, or did not answer; trying again later may help. Says what
    /// was tried, for the operator.
    #[error("the store does not answer: {0}")]
    Unreachable(String),
    /// It will not do what it is asked: tables, permissions or settings are wrong. Says
    /// what, for the operator.
    #[error("the store rejected the request: {0}")]
    Refused(String),
    /// What is stored cannot be read. Says what and where, for the operator.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// The store has failed and takes no more writes: the process must end. What was being
    /// written then may be there after a restart.
    #[error("the store has failed: {0}")]
    Failed(String),
}

/// Why an append did not happen, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another append came first: catch up and decide again.
    #[error("the room's head has changed")]
    HeadMoved,
    /// The answer was lost: read the key back and compare nonces before going on.
    #[error("the outcome of the append is unknown")]
    Unknown,
    /// It did not happen; but see [`StoreError::Failed`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
