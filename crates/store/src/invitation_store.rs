use std::collections::BTreeMap;

use async_trait::async_trait;
use parlance_core::{Invitations, Listed, RoomId, UserId};

use crate::error::StoreError;

/// A room to which a user was invited, or which they asked to join, according to their list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// The room. Only its own [`Invitations`] say whether they still are.
    pub room: RoomId,
    /// What the list says of it.
    pub listed: Listed,
}

/// Invitations, which are written by appends. A room's own decide; the list of a user only says where to look.
#[async_trait]
pub trait InvitationStore: Send + Sync + 'static {
    /// The invitations to a room, its links, and the requests to join it.
    async fn invitations(&self, room: &RoomId) -> Result<Invitations, StoreError>;

    /// The same without the requests: reading it costs the same however many ask.
    async fn issued(&self, room: &RoomId) -> Result<Invitations, StoreError>;

    /// Rooms to which `user` was invited, or which they asked to join, by ascending id.
    async fn invited_to(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<Invited>, StoreError>;

    /// What the lists of those of `users` say of `room` that have it.
    async fn listed_with(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<BTreeMap<UserId, Listed>, StoreError>;

    /// Takes a room off the list of `user`, unless they were invited to it again meanwhile.
    async fn forget_invited(&self, user: &UserId, old: &Invited) -> Result<(), StoreError>;
}
