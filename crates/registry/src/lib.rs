//! Who is online where: the [`Registry`] trait, and [`Local`] for a single node.
#![warn(missing_docs)]

mod local;

use async_trait::async_trait;
use parlance_core::UserId;

pub use local::Local;

/// Why the registry could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached now. Nothing is lost by that: who is online is a hint.
    #[error("the registry is out of reach")]
    Unavailable,
}

/// Who is online. Sessions are counted, so that closing an old one while a new one
/// opens never makes a user seem gone.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// A session of `user` opened. Returns whether they were offline before.
    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError>;

    /// A session of `user` closed. Returns whether it was the last one.
    async fn disconnect(&self, user: &UserId) -> Result<bool, RegistryError>;

    /// Whether each of `users` is online, in that order.
    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, RegistryError>;
}
