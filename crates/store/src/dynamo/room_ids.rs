//! The key from which room ids are derived: an item of the table `rooms` under a key that no room
//! has. Separate from the store's identity, which older versions replace as a whole.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | `#room-ids`, `#` |
//! | `secret` | S | the key, in hexadecimal |
//! | `unkeyed` | N | 1 where the tables had rooms before they had the key |

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;

use super::error::store_error;
use super::item::{self, Item, get_number, get_text, number, text};
use super::{Dynamo, rooms, units};
use crate::record::damaged;
use crate::{RoomIds, StoreError};

const OPERATION: &str = "room_ids";
/// Not a valid room id.
const KEY: &str = "#room-ids";
/// Prefix of the keys of items that belong to no room.
const NO_ROOM: char = '#';
/// One more than the number of such items.
const LOOKED_AT: i32 = 5; // format

impl Dynamo {
    /// The key of these tables. Creates it if missing; only one node's key is stored.
    pub(super) async fn settle_room_ids(&self) -> Result<RoomIds, StoreError> {
        let item = match self.get(OPERATION, &self.tables.rooms, rooms::reserved(KEY)).await? {
            Some(item) => item,
            None => {
                let ids = RoomIds::generate(self.has_rooms().await?)?;
                if self.put_room_ids(&ids).await? {
                    return Ok(ids);
                }
                let lost = || StoreError::Damaged("the key of room ids is gone".into());
                self.get(OPERATION, &self.tables.rooms, rooms::reserved(KEY)).await?.ok_or_else(lost)?
            }
        };
        read(&item).ok_or_else(|| damaged("the item", "the room ids"))
    }

    async fn has_rooms(&self) -> Result<bool, StoreError> {
        let scan = self.client.scan().table_name(&self.tables.rooms).limit(LOOKED_AT).consistent_read(true);
        let answer = scan.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let answer = answer.map_err(|error| store_error(OPERATION, error))?;
        units::read(OPERATION, answer.consumed_capacity());
        let mut ids = answer.items().iter().filter_map(|item| get_text(item, rooms::ROOM));
        Ok(ids.any(|id| !id.starts_with(NO_ROOM)))
    }

    /// Writes the item, if there is none. Returns whether it did.
    async fn put_room_ids(&self, ids: &RoomIds) -> Result<bool, StoreError> {
        let mut item = rooms::reserved(KEY);
        let unkeyed = number(ids.some_unkeyed.into());
        item.extend(item::item([("secret", text(&ids.key_text())), ("unkeyed", unkeyed)]));
        self.put_if(OPERATION, &self.tables.rooms, item, |put| {
            put.condition_expression("attribute_not_exists(#i)").expression_attribute_names("#i", rooms::ROOM)
        })
        .await
    }
}

fn read(item: &Item) -> Option<RoomIds> {
    RoomIds::parse(get_text(item, "secret")?, get_number(item, "unkeyed")? != 0)
}
