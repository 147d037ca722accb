use async_trait::async_trait;
use parlance_core::{Cursors, Mark, RoomId, UserId};

use crate::error::StoreError;

/// How far members have their rooms.
#[async_trait]
pub trait MarkStore: Send + Sync + 'static {
    /// Moves a member's cursors forward to `to`; returns where they are then. `None`
    /// for who never was a member.
    async fn advance(&self, user: &UserId, room: &RoomId, to: Cursors)
    -> Result<Option<Cursors>, StoreError>;

    /// Moves them as [`Self::advance`] does, but the `read` that it returns may not know of
    /// messages that the user sent after `to`: for callers who know of those. Reads nothing.
    async fn advance_stored(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        self.advance(user, room, to).await
    }

    /// Stores where a room was when its user hid it, or with the default that they have not.
    /// Returns whether they are or were a member.
    async fn set_hidden(&self, user: &UserId, room: &RoomId, hidden: Mark) -> Result<bool, StoreError>;
}
