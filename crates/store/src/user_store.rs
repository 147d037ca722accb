use async_trait::async_trait;
use parlance_core::{Data, DataChange, DataTooLarge, ImageUrl, Name, Timestamp, UserId};

use crate::created::Created;
use crate::error::StoreError;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The display name.
    pub name: Name,
    /// URL of a picture.
    pub image: ImageUrl,
    /// The app's own data.
    pub data: Data,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the profile last changed.
    pub updated_at: Timestamp,
}

/// Fields of a user to change; `None` leaves a field unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserChange {
    /// The new name.
    pub name: Option<Name>,
    /// The new URL of a picture.
    pub image: Option<ImageUrl>,
    /// The app's own data.
    pub data: DataChange,
}

impl UserChange {
    /// Changes only the name.
    pub fn rename(name: Name) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Applies the change to `user`.
    ///
    /// # Errors
    /// If the data would be too large; `user` is unchanged then.
    pub fn apply(self, user: &mut User, at: Timestamp) -> Result<(), DataTooLarge> {
        user.data = user.data.changed(&self.data)?;
        if let Some(name) = self.name {
            user.name = name;
        }
        if let Some(image) = self.image {
            user.image = image;
        }
        user.updated_at = at;
        Ok(())
    }
}

/// Why a user was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The data would be too large.
    #[error(transparent)]
    DataTooLarge(#[from] DataTooLarge),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Users.
#[async_trait]
pub trait UserStore: Send + Sync + 'static {
    /// Stores a user, or returns the existing one with this id.
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError>;

    /// One user.
    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError>;

    /// Users in an order specific to the store, each once; `after` is the last user of
    /// the previous page.
    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError>;

    /// Changes a user; `None` if there is no such user.
    async fn update_user(
        &self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError>;
}
