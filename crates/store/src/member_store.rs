use async_trait::async_trait;
use parlance_core::{Cursors, Head, Mark, Member, RoomId, UserId};

use crate::error::StoreError;

/// One room of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRoom {
    /// The room.
    pub room: RoomId,
    /// The membership, now or once.
    pub member: Member,
    /// How far the user has it.
    pub cursors: Cursors,
    /// Where the room was when the user hid it; the default where they have not.
    pub hidden: Mark,
}

/// A page of the rooms of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRooms {
    /// By rising room id.
    pub rows: Vec<UserRoom>,
    /// Rooms whose rows lie among those and cannot be read. The others do not suffer.
    pub damaged: Vec<RoomId>,
    /// What the next page is after; `None` if this is the last.
    pub next: Option<RoomId>,
}

impl UserRooms {
    /// A page of at most `limit` rows. Fails if one of them could not be had for another reason than
    /// that it is damaged.
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
    /// Whether the room, now at `head`, is left out of the lists of its user: they have hidden it
    /// since they last joined or left, and there was no message after that.
    pub fn is_hidden(&self, head: Head) -> bool {
        let since = self.member.changed_at().max(1);
        (since..=head.seq()).contains(&self.hidden.seq) && head.message_count() <= self.hidden.message_count
    }
}

/// Memberships, by room and by user.
#[async_trait]
pub trait MemberStore: Send + Sync + 'static {
    /// The row of one member.
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError>;

    /// Rows of members by rising user id, those who left included.
    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError>;

    /// The rows of those of `users` that have one, in no order; each as [`Self::member`] reads it.
    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError>;

    /// Rooms of a user by rising room id, those left included. `cursors.read` may not know
    /// of the user's latest own messages; [`Self::user_room`] does.
    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError>;

    /// One room of a user.
    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError>;
}
