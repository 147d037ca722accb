//! Invitations: one item for each room, in the table `rooms`, which decides; and one for each room in the list of a
//! user, in the table `user_rooms` before all rooms. Both are in the streams of the tables, whose readers ignore them.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | the room, and `i#` |
//! | `invitations` | B | an `InvitationsRecord` |
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id`, `room_id` | S | the user, and ` invited ` with the room's id, which is no id |
//! | `seq` | N | the event that invited them last |

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use parlance_core::{Invitations, InvitationsChange, RoomId, UserId};
use parlance_proto::storage::v1::InvitationsRecord;

use super::calls::Range;
use super::error::store_error;
use super::item::{self, Item, bytes, get_bytes, get_number, get_text, number, text};
use super::transaction::Transaction;
use super::{BEFORE_IDS, BEHIND_IDS, Dynamo, rooms, units, user_rooms};
use crate::invitation_record::{decode_invitations, encode_invitations};
use crate::record::{carry_unknown, damaged};
use crate::{Invited, StoreError};

const ITEM: &str = "i#";
const INVITATIONS: &str = "invitations";
/// Before the room's id: sorts before all ids.
const PREFIX: &str = " invited ";
const SEQ: &str = "seq";

const FORGET: &str = "forget_invited";

fn key(room: &RoomId) -> Item {
    item::item([(rooms::ROOM, text(room.as_str())), (rooms::ITEM, text(ITEM))])
}

fn invited_key(user: &UserId, room: &RoomId) -> Item {
    item::item([
        (user_rooms::USER, text(user.as_str())),
        (user_rooms::ROOM, text(&format!("{PREFIX}{room}"))),
    ])
}

fn invited(user: &UserId, item: &Item) -> Result<Invited, StoreError> {
    let read = || {
        let room = get_text(item, user_rooms::ROOM)?.strip_prefix(PREFIX)?;
        Some(Invited { room: RoomId::parse(room).ok()?, seq: get_number(item, SEQ)? })
    };
    read().ok_or_else(|| damaged("the invitations", user))
}

fn record<'a>(room: &RoomId, item: &'a Item) -> Result<&'a [u8], StoreError> {
    get_bytes(item, INVITATIONS).ok_or_else(|| damaged("the invitations", room))
}

impl Dynamo {
    /// `stored` are the invitations before the change, if there are any: see [`Self::stored_invitations`].
    pub(super) fn add_invitations(
        &self,
        transaction: &mut Transaction,
        room: &RoomId,
        change: &InvitationsChange,
        stored: Option<&Item>,
    ) -> Result<(), StoreError> {
        let all = encode_invitations(&change.all);
        let all = match stored {
            Some(stored) => carry_unknown::<InvitationsRecord>(record(room, stored)?, all),
            None => all,
        };
        let mut item = stored.cloned().unwrap_or_else(|| key(room));
        item.insert(INVITATIONS.to_owned(), bytes(all));
        transaction.put(&self.tables.rooms, item)?;
        for (user, seq) in &change.rooms {
            let mut item = invited_key(user, room);
            match seq {
                Some(seq) => {
                    item.insert(SEQ.to_owned(), number(*seq));
                    transaction.put(&self.tables.user_rooms, item)?;
                }
                None => transaction.remove(&self.tables.user_rooms, item)?,
            }
        }
        Ok(())
    }

    pub(super) async fn invitations_to(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        let Some(item) = self.stored_invitations(room).await? else { return Ok(Invitations::default()) };
        decode_invitations(room, record(room, &item)?)
    }

    /// The item of a room's invitations. Only an append changes it, so it is the one that an append replaces if that
    /// succeeds.
    pub(super) async fn stored_invitations(&self, room: &RoomId) -> Result<Option<Item>, StoreError> {
        self.get_settled("invitations", &self.tables.rooms, key(room)).await
    }

    pub(super) async fn list_of_invited(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<Invited>, StoreError> {
        let low = after.map_or_else(String::new, |room| room.to_string());
        let range = Range {
            operation: "invited_to",
            table: &self.tables.user_rooms,
            partition: (user_rooms::USER, user.as_str()),
            sort: user_rooms::ROOM,
            low: text(&format!("{PREFIX}{low}{BEFORE_IDS}")),
            high: text(&format!("{PREFIX}{BEHIND_IDS}")),
            backwards: false,
        };
        self.run_readable(&range, limit, |item| invited(user, item)).await
    }

    /// Removes the item if it is still as it was read.
    pub(super) async fn forget(&self, user: &UserId, old: &Invited) -> Result<(), StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.tables.user_rooms)
            .set_key(Some(invited_key(user, &old.room)))
            .condition_expression("#s = :s")
            .expression_attribute_names("#s", SEQ)
            .expression_attribute_values(":s", number(old.seq))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match delete.send().await {
            Ok(answer) => {
                units::written(FORGET, answer.consumed_capacity());
                Ok(())
            }
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => {
                    units::refused(FORGET, 1);
                    Ok(())
                }
                _ => Err(store_error(FORGET, error)),
            },
        }
    }
}
