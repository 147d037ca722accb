//! Members of rooms, and what users keep about each of their rooms.

use async_trait::async_trait;
use parlance_core::{Cursors, Member, RoomId, UserId};
use parlance_proto::storage::v1::CursorsRecord;

use super::tables::Table;
use super::{Embedded, keys};
use crate::record::{Place, carry_unknown, decode_place, encode_place};
use crate::{MarkStore, MemberStore, PreferencesChange, StoreError, UserRoom, UserRooms};

#[async_trait]
impl MemberStore for Embedded {
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        let (room, user) = (room.clone(), user.clone());
        self.view(move |view| view.member(&room, &user)).await
    }

    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let (room, after) = (room.clone(), after.cloned());
        self.view(move |view| view.members(&room, after.as_ref(), limit)).await
    }

    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError> {
        let (room, users) = (room.clone(), users.to_vec());
        self.view(move |view| users.iter().filter_map(|user| view.member(&room, user).transpose()).collect())
            .await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError> {
        let (user, after) = (user.clone(), after.cloned());
        self.view(move |view| view.rooms_of(&user, after.as_ref(), limit)).await
    }

    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        let (user, room) = (user.clone(), room.clone());
        self.view(move |view| view.user_room(&user, &room)).await
    }

    async fn user_rooms(&self, user: &UserId, rooms: &[RoomId]) -> Vec<Result<Option<UserRoom>, StoreError>> {
        let user = user.clone();
        self.view_each(rooms, move |view, room| view.user_room(&user, room)).await
    }
}

#[async_trait]
impl MarkStore for Embedded {
    async fn advance(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        let (user, room) = (user.clone(), room.clone());
        self.committer
            .commit(move |txn| {
                let key = keys::pair(user.as_str(), room.as_str());
                let Some(bytes) = txn.get(Table::UserRooms, &key)? else { return Ok(None) };
                let before = decode_place(&room, &user, &bytes)?;
                let mut after = before;
                after.cursors.advance(to);
                if after != before {
                    let row = carry_unknown::<CursorsRecord>(&bytes, encode_place(&after));
                    txn.put(Table::UserRooms, key, row);
                    txn.changes.marks.push((room, user));
                }
                Ok(Some(after.cursors))
            })
            .await?
    }

    async fn set_preferences(
        &self,
        user: &UserId,
        room: &RoomId,
        change: PreferencesChange,
    ) -> Result<bool, StoreError> {
        let change = move |before: Place| Place { preferences: change.apply(before.preferences), ..before };
        self.change_place(user, room, change).await
    }
}

impl Embedded {
    /// Changes the row of a user's room. Returns whether it exists.
    async fn change_place(
        &self,
        user: &UserId,
        room: &RoomId,
        change: impl FnOnce(Place) -> Place + Send + 'static,
    ) -> Result<bool, StoreError> {
        let (user, room) = (user.clone(), room.clone());
        self.committer
            .commit(move |txn| {
                let key = keys::pair(user.as_str(), room.as_str());
                let Some(bytes) = txn.get(Table::UserRooms, &key)? else { return Ok(false) };
                let before = decode_place(&room, &user, &bytes)?;
                let place = change(before);
                if place != before {
                    let row = carry_unknown::<CursorsRecord>(&bytes, encode_place(&place));
                    txn.put(Table::UserRooms, key, row);
                    txn.changes.marks.push((room, user));
                }
                Ok(true)
            })
            .await?
    }
}
