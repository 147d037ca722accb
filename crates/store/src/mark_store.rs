use async_trait::async_trait;
use parlance_core::{Cursors, RoomId, UserId};

use crate::error::StoreError;
use crate::preferences::PreferencesChange;

/// Members' marks in their rooms, and what they have set for them.
#[async_trait]
pub trait MarkStore: Send + Sync + 'static {
    /// Moves a member's cursors forward to `to`; returns the result. `None` for a user who never was a member.
    async fn advance(&self, user: &UserId, room: &RoomId, to: Cursors)
    -> Result<Option<Cursors>, StoreError>;

    /// Like [`Self::advance`], but the returned `read` may not include messages that the user sent after `to`: for
    /// callers that know them. Reads nothing.
    async fn advance_stored(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        self.advance(user, room, to).await
    }

    /// Changes what a user has set for a room. Returns whether they are or were a member.
    async fn set_preferences(
        &self,
        user: &UserId,
        room: &RoomId,
        change: PreferencesChange,
    ) -> Result<bool, StoreError>;
}
