use async_trait::async_trait;
use parlance_core::{Data, DataChange, DataTooLarge, ImageUrl, Name, Timestamp, UserId};

use crate::created::Created;
use crate::error::StoreError;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The name to show.
    pub name: Name,
    /// Address of a picture.
    pub image: ImageUrl,
    /// The app's own data.
    pub data: Data,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the profile last changed.
    pub updated_at: Timestamp,
}

/// What is to change of a user; `None` leaves it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserChange {
    /// The name.
    pub name: Option<Name>,
    /// Address of a picture.
    pub image: Option<ImageUrl>,
    /// The app's own data.
    pub data: DataChange,
}

impl UserChange {
    /// A change of the name alone.
    pub fn rename(name: Name) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    /// Whether it changes nothing, whoever it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes `user`.
    ///
    /// # Errors
    /// If the data would be too large; then nothing has changed.
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
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
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

    /// Changes a user; `None` for nobody of that id.
    async fn update_user(
        &self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError>;
}
