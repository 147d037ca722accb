use async_trait::async_trait;
use futures::future::join_all;
use parlance_core::{Cursors, Head, Member, RoomId, UserId};

use crate::error::StoreError;
use crate::preferences::Preferences;

/// One room of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRoom {
    /// The room.
    pub room: RoomId,
    /// The current or former membership, without data.
    pub member: Member,
    /// The user's marks.
    pub cursors: Cursors,
    /// What the user has set for the room.
    pub preferences: Preferences,
}

/// A page of the rooms of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRooms {
    /// By ascending room id.
    pub rows: Vec<UserRoom>,
    /// Rooms in this range with unreadable rows, which do not affect the others.
    pub damaged: Vec<RoomId>,
    /// Where the next page starts; `None` if this is the last.
    pub next: Option<RoomId>,
}

impl UserRooms {
    /// A page of at most `limit` rows. Fails if a row could not be read for a reason other than damage.
    pub fn from_rows(
        rows: impl IntoIterator<Item = (RoomId, Result<UserRoom, StoreError>)>,
        limit: usize,
    ) -> Result<Self, StoreError> {
        let (mut page, mut count, mut last) = (Self::default(), 0, None);
        for (room, row) in rows {
            count += 1;
            last = Some(room.clone());
            match row {
                Ok(row) => page.rows.push(row),
                Err(StoreError::Damaged(what)) => {
                    tracing::error!(%room, what, "cannot read a row of a user's room");
                    page.damaged.push(room);
                }
                Err(error) => return Err(error),
            }
        }
        page.next = last.filter(|_| count >= limit);
        Ok(page)
    }
}

impl UserRoom {
    /// Whether the room, now at `head`, is left out of the lists of its user: they have hidden it since they last
    /// joined or left, and there was no message since.
    pub fn is_hidden(&self, head: Head) -> bool {
        let since = self.member.changed_at().max(1);
        let hidden = &self.preferences.hidden;
        (since..=head.seq()).contains(&hidden.seq) && head.message_count() <= hidden.message_count
    }
}

/// Memberships, by room and by user.
#[async_trait]
pub trait MemberStore: Send + Sync + 'static {
    /// The row of one member.
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError>;

    /// Rows of members by ascending user id, including former ones.
    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError>;

    /// The existing rows of `users`, in any order; each read as by [`Self::member`].
    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError>;

    /// Rooms of a user by ascending room id, including those left. `cursors.read` may not include the user's latest
    /// own messages; [`Self::user_room`] does.
    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError>;

    /// One room of a user.
    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError>;
    /// Rooms of a user, each as [`Self::user_room`] reads it, in this order: for lists, which a store may read at once.
    async fn user_rooms(&self, user: &UserId, rooms: &[RoomId]) -> Vec<Result<Option<UserRoom>, StoreError>> {
        join_all(rooms.iter().map(|room| self.user_room(user, room))).await
    }
}
