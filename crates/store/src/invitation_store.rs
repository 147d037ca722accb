use async_trait::async_trait;
use parlance_core::{Invitations, RoomId, UserId};

use crate::error::StoreError;

/// A room to which a user was invited, according to their list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// The room. Only its own [`Invitations`] say whether they still are.
    pub room: RoomId,
    /// The event that invited them last.
    pub seq: u64,
}

/// Invitations, which are written by appends. A room's own decide; the list of a user only says where to look.
#[async_trait]
pub trait InvitationStore: Send + Sync + 'static {
    /// The invitations to a room.
    async fn invitations(&self, room: &RoomId) -> Result<Invitations, StoreError>;

    /// Rooms to which `user` was invited, by ascending id.
    async fn invited_to(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<Invited>, StoreError>;

    /// Takes a room off the list of `user`, unless they were invited to it again meanwhile.
    async fn forget_invited(&self, user: &UserId, old: &Invited) -> Result<(), StoreError>;
}
