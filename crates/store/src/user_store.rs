use async_trait::async_trait;
use parlance_core::{Data, DataChange, DataTooLarge, FoldedName, ImageUrl, Name, Timestamp, UserId};

use crate::created::Created;
use crate::error::StoreError;

/// Whether a user may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserState {
    /// They may.
    #[default]
    Active,
    /// Not until they are reactivated.
    Deactivated,
    /// Never again: the row remains, without picture and data, so that the id is not given to anybody else.
    Deleted,
}

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
    /// Whether they may do anything.
    pub state: UserState,
}

impl User {
    /// Where they are found by name; `None` if they are not.
    pub fn place(&self) -> Option<NamePlace> {
        let place = NamePlace { name: self.name.folded(), user: self.id.clone() };
        (self.state == UserState::Active && !place.name.is_empty()).then_some(place)
    }
}

/// A user's place among all that are found by name: they are ordered by name, then by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamePlace {
    /// The name.
    pub name: FoldedName,
    /// The user.
    pub user: UserId,
}

/// A page of users found by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundUsers {
    /// The users; fewer than asked for where some have just changed.
    pub users: Vec<User>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<NamePlace>,
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
    /// Whether they may do anything.
    pub state: Option<UserState>,
}

impl UserChange {
    /// Changes only the name.
    pub fn rename(name: Name) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    /// Whether it sets what decides where the user is found.
    pub fn sets_place(&self) -> bool {
        self.name.is_some() || self.state.is_some()
    }

    /// Whether it may be applied to `user`. Of one who is deleted, only a name that was kept may be removed.
    pub fn may_change(&self, user: &User) -> bool {
        let is_deleted = |state: UserState| state == UserState::Deleted;
        let renames = self.name.as_ref().is_some_and(|name| *name != user.name);
        !is_deleted(user.state) || (self.state.is_some_and(is_deleted) && renames)
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
        if let Some(state) = self.state {
            user.state = state;
        }
        if user.state == UserState::Deleted {
            user.image = ImageUrl::default();
            user.data = Data::default();
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

    /// The existing users among `ids`, each once and in any order, without those that cannot be read.
    async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError>;

    /// Users in an order specific to the store, each once; `after` is the last user of
    /// the previous page.
    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError>;

    /// Active users whose folded name begins with `prefix`, which is not empty, after `after`. Users stored by a
    /// version without this search are found once their name or state has been set again.
    async fn find_users(
        &self,
        prefix: &FoldedName,
        after: Option<&NamePlace>,
        limit: usize,
    ) -> Result<FoundUsers, StoreError>;

    /// Changes a user; `None` if there is no such user, or one that it [may not change](UserChange::may_change).
    async fn update_user(
        &self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError>;
}
