use async_trait::async_trait;
use parlance_core::{Name, Timestamp, UserId};

use crate::created::Created;
use crate::error::StoreError;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The name to show.
    pub name: Name,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the profile last changed.
    pub updated_at: Timestamp,
}

/// Users.
#[async_trait]
pub trait UserStore: Send + Sync + 'static {
    /// Stores a user, or returns the one that has this id.
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError>;

    /// One user.
    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError>;

    /// Users in an order of the store's own, each once; `after` goes on behind that one.
    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError>;

    /// Changes a user's name; `None` for nobody of that id.
    async fn rename_user(&self, id: &UserId, name: Name, at: Timestamp) -> Result<Option<User>, StoreError>;
}
