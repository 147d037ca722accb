//! The table `user_rooms`: the rooms of each user with the user's marks.
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id` | S, partition key | |
//! | `room_id` | S, sort key | |
//! | `role`, `intervals`, `standing`, `left_…` | S | the membership as in `rooms`, written with it |
//! | `join_seq`, `join_count`, `join_deleted` | N | the last joining, and the messages and deletions counted then |
//! | `delivered` | N | received up to this seq |
//! | `read_seq`, `read_count`, `read_deleted` | N | read up to this seq, and the messages and deletions counted there |
//! | `hidden_seq`, `hidden_count` | N | where the room was when its user hid it, and the messages counted then |
//! | `pinned_at`, `muted_at`, `muted_until_ms`, `unread_at` | N | see [`Preferences`] |
//! | `examined` | N | messages of one's own up to here are in `read_seq` |
//!
//! Sending does not write here: the user's own last message is looked up on demand
//! (`read_mark.rs`).

use parlance_core::{Cursors, Mark, Member, RoomId, Timestamp, UserId};

use super::item::{self, Item, get_number, get_text, text};
use super::members;
use crate::record::{damaged, hidden};
use crate::{Preferences, StoreError, UserRoom};

pub(super) const USER: &str = "user_id";
pub(super) const ROOM: &str = "room_id";
pub(super) const DELIVERED: &str = "delivered";
pub(super) const READ: &str = "read_seq";
pub(super) const READ_COUNT: &str = "read_count";
pub(super) const READ_DELETED: &str = "read_deleted";
pub(super) const JOIN: &str = "join_seq";
pub(super) const JOIN_COUNT: &str = "join_count";
pub(super) const JOIN_DELETED: &str = "join_deleted";
pub(super) const EXAMINED: &str = "examined";
pub(super) const HIDDEN: &str = "hidden_seq";
pub(super) const HIDDEN_COUNT: &str = "hidden_count";
pub(super) const PINNED: &str = "pinned_at";
pub(super) const MUTED: &str = "muted_at";
pub(super) const MUTED_UNTIL: &str = "muted_until_ms";
pub(super) const UNREAD: &str = "unread_at";

/// One room of a user as stored.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) member: Member,
    /// Without the user's latest own messages.
    pub(super) cursors: Cursors,
    pub(super) examined: u64,
    pub(super) preferences: Preferences,
}

pub(super) fn key(user: &UserId, room: &RoomId) -> Item {
    item::item([(USER, text(user.as_str())), (ROOM, text(room.as_str()))])
}

pub(super) fn row(user: &UserId, room: &RoomId, item: &Item) -> Result<Row, StoreError> {
    let read = || {
        let mut cursors = Cursors {
            delivered: get_number(item, DELIVERED)?,
            read: Mark {
                seq: get_number(item, READ)?,
                message_count: get_number(item, READ_COUNT)?,
                deleted_count: get_number(item, READ_DELETED)?,
            },
        };
        let join = Mark {
            seq: get_number(item, JOIN)?,
            message_count: get_number(item, JOIN_COUNT)?,
            deleted_count: get_number(item, JOIN_DELETED)?,
        };
        // The first event to receive is the user's own join.
        cursors.advance(Cursors { delivered: join.seq.saturating_sub(1), read: join });
        let member = members::read(user.clone(), item)?;
        let preferences = Preferences {
            hidden: hidden(get_number(item, HIDDEN)?, get_number(item, HIDDEN_COUNT)?),
            pinned_at: get_number(item, PINNED)?,
            muted_at: get_number(item, MUTED)?,
            muted_until: Timestamp(get_number(item, MUTED_UNTIL)?),
            unread_at: get_number(item, UNREAD)?,
        };
        Some(Row { member, cursors, examined: get_number(item, EXAMINED)?, preferences })
    };
    read().ok_or_else(|| damaged("the item", format_args!("{user} in room {room}")))
}

/// Parses a row of [`crate::Store::rooms_of`], as far as it is readable.
pub(super) fn user_room(
    user: &UserId,
    item: &Item,
) -> Result<(RoomId, Result<UserRoom, StoreError>), StoreError> {
    let room = get_text(item, ROOM).and_then(|id| RoomId::parse(id).ok());
    let room = room.ok_or_else(|| damaged("a key of user_rooms", user))?;
    let row = row(user, &room, item).map(|row| {
        let Row { member, cursors, preferences, .. } = row;
        UserRoom { room: room.clone(), member, cursors, preferences }
    });
    Ok((room, row))
}
