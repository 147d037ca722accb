//! Invitations: two items for each room, in the table `rooms`, which decide; and one for each room in the list of a
//! user, in the table `user_rooms` before all rooms. All are in the streams of the tables, whose readers ignore them.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | the room, and `i#` |
//! | `invitations` | B | an `InvitationsRecord` |
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | the room, and `i#requests` |
//! | `requests` | B | a `JoinRequestsRecord` |
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id`, `room_id` | S | the user, and ` invited ` with the room's id, which is no id |
//! | `seq` | N | the event that invited them last, or by which they asked |
//! | `note` | S | what they wrote when they asked; missing if nothing |

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use parlance_core::{Invitations, InvitationsChange, Listed, Reason, RoomId, UserId};
use parlance_proto::storage::v1::{InvitationsRecord, JoinRequestsRecord};

use super::calls::Range;
use super::error::store_error;
use super::item::{self, Item, bytes, get_bytes, get_number, get_text, number, text};
use super::transaction::Transaction;
use super::{BEFORE_IDS, BEHIND_IDS, Dynamo, rooms, units, user_rooms};
use crate::invitation_record::{decode_invitations, decode_requests, encode_invitations, encode_requests};
use crate::record::{carry_unknown, damaged};
use crate::{Invited, StoreError};

const ITEM: &str = "i#";
const INVITATIONS: &str = "invitations";
const REQUESTS_ITEM: &str = "i#requests";
const REQUESTS: &str = "requests";
/// Before the room's id: sorts before all ids.
const PREFIX: &str = " invited ";
const SEQ: &str = "seq";
const NOTE: &str = "note";

const READ: &str = "invitations";
const FORGET: &str = "forget_invited";

fn key(room: &RoomId) -> Item {
    item::item([(rooms::ROOM, text(room.as_str())), (rooms::ITEM, text(ITEM))])
}

fn requests_key(room: &RoomId) -> Item {
    item::item([(rooms::ROOM, text(room.as_str())), (rooms::ITEM, text(REQUESTS_ITEM))])
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
        let note = get_text(item, NOTE).map(Reason::stored).unwrap_or_default();
        Some(Invited {
            room: RoomId::parse(room).ok()?,
            listed: Listed { seq: get_number(item, SEQ)?, note },
        })
    };
    read().ok_or_else(|| damaged("the invitations", user))
}

fn record<'a>(room: &RoomId, item: &'a Item, name: &str) -> Result<&'a [u8], StoreError> {
    get_bytes(item, name).ok_or_else(|| damaged("the invitations", room))
}

/// The items of a room's invitations. Only an append changes them, so they are those that an append replaces if that
/// succeeds.
#[derive(Default)]
pub(super) struct StoredInvitations {
    issued: Option<Item>,
    requests: Option<Item>,
}

impl Dynamo {
    /// `stored` are the invitations before the change: see [`Self::stored_invitations`].
    pub(super) fn add_invitations(
        &self,
        transaction: &mut Transaction,
        room: &RoomId,
        change: &InvitationsChange,
        stored: StoredInvitations,
    ) -> Result<(), StoreError> {
        if change.issued {
            let mut row = encode_invitations(&change.all);
            if let Some(stored) = &stored.issued {
                row = carry_unknown::<InvitationsRecord>(record(room, stored, INVITATIONS)?, row);
            }
            let mut item = stored.issued.unwrap_or_else(|| key(room));
            item.insert(INVITATIONS.to_owned(), bytes(row));
            transaction.put(&self.tables.rooms, item)?;
        }
        if change.requests {
            let mut row = encode_requests(&change.all);
            if let Some(stored) = &stored.requests {
                row = carry_unknown::<JoinRequestsRecord>(record(room, stored, REQUESTS)?, row);
            }
            let mut item = stored.requests.unwrap_or_else(|| requests_key(room));
            item.insert(REQUESTS.to_owned(), bytes(row));
            transaction.put(&self.tables.rooms, item)?;
        }
        for (user, listed) in &change.lists {
            let mut item = invited_key(user, room);
            match listed {
                Some(Listed { seq, note }) => {
                    item.insert(SEQ.to_owned(), number(*seq));
                    if !note.as_str().is_empty() {
                        item.insert(NOTE.to_owned(), text(note.as_str()));
                    }
                    transaction.put(&self.tables.user_rooms, item)?;
                }
                None => transaction.remove(&self.tables.user_rooms, item)?,
            }
        }
        Ok(())
    }

    pub(super) async fn invitations_to(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        let stored = self.stored_invitations(room, true, true).await?;
        let issued = match &stored.issued {
            Some(item) => decode_invitations(room, record(room, item, INVITATIONS)?)?,
            None => Invitations::default(),
        };
        match &stored.requests {
            Some(item) => decode_requests(room, record(room, item, REQUESTS)?, issued),
            None => Ok(issued),
        }
    }

    pub(super) async fn issued_by(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        let Some(item) = self.stored_invitations(room, true, false).await?.issued else {
            return Ok(Invitations::default());
        };
        decode_invitations(room, record(room, &item, INVITATIONS)?)
    }

    /// Those items of a room that are wanted.
    pub(super) async fn stored_invitations(
        &self,
        room: &RoomId,
        issued: bool,
        requests: bool,
    ) -> Result<StoredInvitations, StoreError> {
        let wanted = [issued.then(|| key(room)), requests.then(|| requests_key(room))];
        let wanted: Vec<Item> = wanted.into_iter().flatten().collect();
        let mut stored = StoredInvitations::default();
        for item in self.get_all_settled(READ, &self.tables.rooms, &wanted).await? {
            match get_text(&item, rooms::ITEM) {
                Some(REQUESTS_ITEM) => stored.requests = Some(item),
                _ => stored.issued = Some(item),
            }
        }
        Ok(stored)
    }

    pub(super) async fn lists_of(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<BTreeMap<UserId, Listed>, StoreError> {
        let keys = users.iter().map(|user| invited_key(user, room)).collect();
        let mut listed = BTreeMap::new();
        for item in self.get_many("listed_with", &self.tables.user_rooms, keys).await? {
            let user = get_text(&item, user_rooms::USER).and_then(|user| UserId::parse(user).ok());
            let user = user.ok_or_else(|| damaged("the invitations", room))?;
            let found = invited(&user, &item)?.listed;
            listed.insert(user, found);
        }
        Ok(listed)
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
            .expression_attribute_values(":s", number(old.listed.seq))
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
